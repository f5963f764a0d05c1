//! The Telnet trap: people, worms, scanners and garbage.

use bee_pots::Kind;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::clients::Raw;
use crate::intake::{Trap, check_sessions, of, one, trap};

async fn telnet() -> Trap {
    trap(Kind::Telnet, json!({"auth_delay_ms": 0, "seed": "test"})).await
}

#[tokio::test]
async fn a_worm_logs_in_without_answering_options_and_its_commands_are_recorded() {
    let trap = telnet().await;
    let mut client = Raw::connect(trap.address).await;
    client.expect("login: ").await;
    client.send(b"root\r\n").await;
    client.expect("Password: ").await;
    client.send(b"xc3511\r\n").await;
    client.expect("# ").await;
    client.send(b"id\r\n").await;
    client.expect("uid=0(root)").await;
    client.send(b"/bin/busybox ECCHI\r\n").await;
    client.expect("ECCHI: applet not found").await;
    client.send(b"exit\r\n").await;
    client.end().await;
    let events = trap.intake.closed(1).await;
    check_sessions(&events, "telnet");
    let login = one(&events, "login.success");
    assert_eq!((&login["data"]["username"], &login["data"]["password"]), (&json!("root"), &json!("xc3511")));
    let commands: Vec<_> = of(&events, "command.input").iter().map(|e| e["data"]["input"].clone()).collect();
    assert_eq!(commands, ["id", "/bin/busybox ECCHI", "exit"]);
    let log = one(&events, "log.closed");
    let cast = String::from_utf8(trap.artifact(&log)).unwrap();
    let lines: Vec<serde_json::Value> =
        cast.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["version"], 2);
    assert!(lines.iter().skip(1).any(|l| l[1] == "o" && l[2].as_str().unwrap().contains("uid=0(root)")));
    assert!(lines.iter().skip(1).any(|l| l[1] == "i" && l[2] == "id\r"));
}

#[tokio::test]
async fn refused_logins_are_asked_again_and_then_thrown_out() {
    let trap =
        trap(Kind::Telnet, json!({"auth_delay_ms": 0, "auth": {"policy": "none"}, "auth_attempts_max": 2}))
            .await;
    let mut client = Raw::connect(trap.address).await;
    for password in ["one", "two"] {
        client.expect("login: ").await;
        client.send(b"admin\r\n").await;
        client.expect("Password: ").await;
        client.send(format!("{password}\r\n").as_bytes()).await;
        client.expect("Login incorrect").await;
    }
    client.end().await;
    let events = trap.intake.closed(1).await;
    check_sessions(&events, "telnet");
    let tried: Vec<_> = of(&events, "login.failed").iter().map(|e| e["data"]["password"].clone()).collect();
    assert_eq!(tried, ["one", "two"]);
}

#[tokio::test]
async fn options_and_window_size_are_recorded() {
    let trap = telnet().await;
    let mut client = Raw::connect(trap.address).await;
    client.expect("login: ").await;
    client.send(b"\xff\xfb\x1f\xff\xfa\x1f\x00\x84\x00\x2b\xff\xf0\xff\xfd\x01").await;
    client.send(b"a\x7fadmin\r\0").await;
    client.expect("Password: ").await;
    client.send(b"admin\r\0").await;
    client.expect("# ").await;
    drop(client);
    let events = trap.intake.closed(1).await;
    check_sessions(&events, "telnet");
    let options: Vec<_> = of(&events, "telnet.option")
        .iter()
        .map(|e| (e["data"]["command"].clone(), e["data"]["option_name"].clone()))
        .collect();
    assert_eq!(options, [(json!("WILL"), json!("NAWS")), (json!("DO"), json!("ECHO"))]);
    let size = one(&events, "client.size");
    assert_eq!((&size["data"]["width"], &size["data"]["height"]), (&json!(132), &json!(43)));
    assert_eq!(one(&events, "login.success")["data"]["username"], "admin");
}

#[tokio::test]
async fn a_probe_of_another_protocol_is_flagged_and_not_let_in() {
    let trap = telnet().await;
    let mut client = Raw::connect(trap.address).await;
    client.send(b"GET / HTTP/1.0\r\n\r\n").await;
    client.expect("Login incorrect").await;
    drop(client);
    let events = trap.intake.closed(1).await;
    check_sessions(&events, "telnet");
    let failed = one(&events, "login.failed");
    assert_eq!(
        (&failed["data"]["probe"], &failed["data"]["username"]),
        (&json!("http"), &json!("GET / HTTP/1.0"))
    );
    assert!(of(&events, "login.success").is_empty());
}

#[tokio::test]
async fn no_line_of_a_probe_is_a_login() {
    let trap = telnet().await;
    let mut client = Raw::connect(trap.address).await;
    let sip = "OPTIONS sip:nm SIP/2.0\r\nVia: SIP/2.0/TCP nm\r\nFrom: <sip:nm@nm>;tag=root\r\nTo: <sip:nm2@nm2>\r\n";
    client.send(sip.as_bytes()).await;
    client.expect("Login incorrect").await;
    client.expect("Login incorrect").await;
    drop(client);
    let events = trap.intake.closed(1).await;
    let failed = of(&events, "login.failed");
    assert!(failed.len() >= 2 && failed.iter().all(|e| e["data"]["probe"] == "http-or-rtsp"), "{failed:#?}");
    assert!(of(&events, "login.success").is_empty());
}

#[tokio::test]
async fn garbage_ends_at_worst_its_own_session() {
    let trap = telnet().await;
    let mut hostile: Vec<Vec<u8>> = vec![
        vec![0; 10_000],
        vec![0xff; 10_000],
        b"a".repeat(100_000),
        [b"\xff\xfa".as_slice(), &b"x".repeat(100_000)].concat(),
        b"\xc3\x28\xf0\x28\x8c\xbc\r\n\xfe\xfe\r\n".to_vec(),
        b"\r\n".repeat(10_000),
    ];
    hostile.push(b"root\r\nxyz\r\n\x00\xff\xff\x1b[A\x1b[\x03\x04\x04\x04".repeat(50));
    for bytes in &hostile {
        let mut client = Raw::connect(trap.address).await;
        // The trap may have had enough before everything was written.
        let _ = client.stream.write_all(bytes).await;
        let _ = client.stream.shutdown().await;
        client.end().await;
    }
    let events = trap.intake.closed(hostile.len()).await;
    check_sessions(&events, "telnet");
    let mut client = Raw::connect(trap.address).await;
    client.expect("login: ").await;
}

#[tokio::test]
async fn too_many_connections_of_one_source_are_refused_and_counted() {
    let trap = trap(Kind::Telnet, json!({"source_sessions_max": 2})).await;
    let (mut a, mut b) = (Raw::connect(trap.address).await, Raw::connect(trap.address).await);
    a.expect("login: ").await;
    b.expect("login: ").await;
    assert_eq!(Raw::connect(trap.address).await.end().await, "");
    drop(a);
    trap.intake.closed(1).await;
    trap.pot.stop().await;
    let events = trap.intake.events();
    let refused = events.iter().find(|e| e["event_type"] == "honeybee.pot.refused").expect("a report");
    assert_eq!((&refused["data"]["count"], &refused["data"]["src_ip"]), (&json!(1), &json!("127.0.0.1")));
}

#[tokio::test]
async fn a_session_ends_when_its_time_is_over() {
    let trap = trap(Kind::Telnet, json!({"session_secs_max": 1})).await;
    let mut client = Raw::connect(trap.address).await;
    client.expect("login: ").await;
    client.end().await;
    check_sessions(&trap.intake.closed(1).await, "telnet");
}
