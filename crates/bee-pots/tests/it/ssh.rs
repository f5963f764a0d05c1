//! The SSH trap driven with russh's client and with raw bytes: no program of this machine is needed.

use std::sync::Arc;
use std::time::Duration;

use bee_pots::Kind;
use russh::client::{self, AuthResult, Handle};
use russh::keys::{Algorithm, PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{ChannelMsg, Disconnect};
use serde_json::{Value, json};

use crate::clients::Raw;
use crate::intake::{DEADLINE, Trap, check_sessions, of, one, trap};

struct Client;

impl client::Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _key: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

async fn ssh() -> Trap {
    trap(Kind::Ssh, json!({"auth_delay_ms": 0, "seed": "test"})).await
}

async fn connect(trap: &Trap) -> Handle<Client> {
    client::connect(Arc::new(client::Config::default()), trap.address, Client).await.unwrap()
}

async fn log_in(trap: &Trap, user: &str, password: &str) -> Handle<Client> {
    let mut handle = connect(trap).await;
    assert!(handle.authenticate_password(user, password).await.unwrap().success());
    handle
}

async fn leave(handle: Handle<Client>) {
    handle.disconnect(Disconnect::ByApplication, "", "").await.unwrap();
}

/// The methods that a refusal names.
fn methods(answer: &AuthResult) -> Vec<String> {
    let AuthResult::Failure { remaining_methods, .. } = answer else { panic!("let in") };
    remaining_methods.iter().map(|method| format!("{method:?}")).collect()
}

/// Everything that a channel says until it is closed: stdout, stderr, exit status.
async fn drain(mut channel: russh::Channel<client::Msg>) -> (String, String, Option<u32>) {
    let (mut out, mut err, mut status) = (Vec::new(), Vec::new(), None);
    let whole = tokio::time::timeout(DEADLINE, async {
        while let Some(message) = channel.wait().await {
            match message {
                ChannelMsg::Data { data } => out.extend_from_slice(&data),
                ChannelMsg::ExtendedData { data, .. } => err.extend_from_slice(&data),
                ChannelMsg::ExitStatus { exit_status } => status = Some(exit_status),
                _ => {}
            }
        }
    });
    whole.await.expect("the channel stays open");
    (String::from_utf8_lossy(&out).into_owned(), String::from_utf8_lossy(&err).into_owned(), status)
}

async fn exec(handle: &Handle<Client>, command: &[u8]) -> (String, String, Option<u32>) {
    let channel = handle.channel_open_session().await.unwrap();
    channel.exec(true, command).await.unwrap();
    drain(channel).await
}

#[tokio::test]
async fn a_login_and_a_command_make_the_events_that_cowrie_makes() {
    let trap = ssh().await;
    let mut handle = connect(&trap).await;
    for _ in 0..2 {
        assert_eq!(
            methods(&handle.authenticate_password("root", "root").await.unwrap()),
            ["PublicKey", "Password"]
        );
    }
    assert!(handle.authenticate_password("root", "hunter2").await.unwrap().success());
    let (out, err, status) = exec(&handle, b"id; nosuchcmd --x").await;
    assert!(out.contains("uid=0(root)"), "{out}");
    assert!(err.contains("nosuchcmd: command not found"), "{err}");
    assert_eq!(status, Some(127));
    leave(handle).await;
    let events = trap.intake.closed(1).await;
    check_sessions(&events, "ssh");
    let kinds: Vec<_> =
        events.iter().map(|e| e["event_type"].as_str().unwrap().trim_start_matches("cowrie.")).collect();
    assert_eq!(
        kinds,
        [
            "session.connect",
            "client.version",
            "client.kex",
            "login.failed",
            "login.failed",
            "login.success",
            "session.params",
            "command.input",
            "command.failed",
            "session.closed"
        ]
    );
    let kex = one(&events, "client.kex");
    assert_eq!(kex["data"]["hassh"].as_str().unwrap().len(), 32);
    assert!(
        kex["data"]["hasshAlgorithms"]
            .as_str()
            .unwrap()
            .starts_with("mlkem768x25519-sha256,curve25519-sha256,")
    );
    assert_eq!(
        one(&events, "client.version")["data"]["version"].as_str().unwrap().get(..14),
        Some("SSH-2.0-russh_")
    );
    assert_eq!(one(&events, "command.input")["data"]["input"], "id; nosuchcmd --x");
}

#[tokio::test]
async fn a_key_is_recorded_and_refused() {
    let trap = ssh().await;
    let mut handle = connect(&trap).await;
    let key = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).unwrap();
    let sha256 = key.public_key().fingerprint(Default::default()).to_string();
    let answer =
        handle.authenticate_publickey("git", PrivateKeyWithHashAlg::new(Arc::new(key), None)).await.unwrap();
    assert_eq!(methods(&answer), ["PublicKey", "Password"]);
    leave(handle).await;
    let events = trap.intake.closed(1).await;
    let offered = one(&events, "client.fingerprint");
    assert_eq!(
        (&offered["data"]["username"], &offered["data"]["type"]),
        (&json!("git"), &json!("ssh-ed25519"))
    );
    assert_eq!(offered["data"]["fingerprint_sha256"], sha256);
    assert_eq!(offered["data"]["fingerprint"].as_str().unwrap().split(':').count(), 16);
}

#[tokio::test]
async fn guessing_ends_after_the_allowed_attempts() {
    let trap =
        trap(Kind::Ssh, json!({"auth_delay_ms": 0, "auth_attempts_max": 3, "auth": {"policy": "none"}}))
            .await;
    let mut handle = connect(&trap).await;
    for password in ["a", "b"] {
        assert!(!handle.authenticate_password("root", password).await.unwrap().success());
    }
    // The last one is refused and the connection ended; the client may see either first.
    let last = handle.authenticate_password("root", "c").await;
    assert!(last.is_err() || !last.unwrap().success());
    let events = trap.intake.closed(1).await;
    check_sessions(&events, "ssh");
    assert_eq!(of(&events, "login.failed").len(), 3);
}

#[tokio::test]
async fn an_interactive_session_is_recorded_as_an_asciicast() {
    let trap = ssh().await;
    let handle = log_in(&trap, "root", "hunter2").await;
    let channel = handle.channel_open_session().await.unwrap();
    channel.set_env(true, "LANG", "C.UTF-8").await.unwrap();
    channel.request_pty(true, "xterm-256color", 120, 40, 0, 0, &[]).await.unwrap();
    channel.request_shell(true).await.unwrap();
    channel.window_change(100, 30, 0, 0).await.unwrap();
    channel.data_bytes("whoamx\x7fi\rexit\r").await.unwrap();
    let (out, _, status) = drain(channel).await;
    assert!(out.contains("\r\nroot\r\n") && out.contains("root@"), "{out:?}");
    assert_eq!(status, Some(0));
    leave(handle).await;
    let events = trap.intake.closed(1).await;
    check_sessions(&events, "ssh");
    assert_eq!(
        (&one(&events, "client.var")["data"]["name"], &one(&events, "client.size")["data"]["width"]),
        (&json!("LANG"), &json!(120))
    );
    let inputs: Vec<_> = of(&events, "command.input").iter().map(|e| e["data"]["input"].clone()).collect();
    assert_eq!(inputs, ["whoami", "exit"]);
    let log = one(&events, "log.closed");
    let cast = String::from_utf8(trap.artifact(&log)).unwrap();
    let lines: Vec<Value> = cast.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (&lines[0]["version"], &lines[0]["width"], &lines[0]["env"]["TERM"]),
        (&json!(2), &json!(120), &json!("xterm-256color"))
    );
    assert!(lines.iter().skip(1).any(|l| l[1] == "r" && l[2] == "100x30"));
    let shown: String =
        lines.iter().skip(1).filter(|l| l[1] == "o").map(|l| l[2].as_str().unwrap()).collect();
    assert_eq!(shown, out);
}

#[tokio::test]
async fn a_file_written_by_a_command_is_kept() {
    let trap = ssh().await;
    let handle = log_in(&trap, "root", "hunter2").await;
    exec(&handle, b"echo '#!/bin/sh' > /tmp/x.sh; chmod +x /tmp/x.sh").await;
    let channel = handle.channel_open_session().await.unwrap();
    channel.exec(true, "cat > /tmp/stdin.bin").await.unwrap();
    channel.data_bytes(&b"\x7fELF\0\xff"[..]).await.unwrap();
    channel.eof().await.unwrap();
    drain(channel).await;
    leave(handle).await;
    let events = trap.intake.closed(1).await;
    check_sessions(&events, "ssh");
    let files = of(&events, "session.file_download");
    let of_file = |name: &str| {
        files
            .iter()
            .find(|e| e["data"]["destfile"] == name)
            .unwrap_or_else(|| panic!("{name} in {files:#?}"))
            .clone()
    };
    assert_eq!(trap.artifact(&of_file("/tmp/x.sh")), b"#!/bin/sh\n");
    assert_eq!(trap.artifact(&of_file("/tmp/stdin.bin")), b"\x7fELF\0\xff");
}

#[tokio::test]
async fn a_download_is_recorded_and_nothing_is_fetched() {
    let trap = ssh().await;
    // Something that would notice a fetch.
    let bait = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x.sh", bait.local_addr().unwrap());
    let handle = log_in(&trap, "root", "hunter2").await;
    exec(&handle, format!("wget {url} -O /tmp/x.sh || curl -o /tmp/y {url}").as_bytes()).await;
    leave(handle).await;
    let events = trap.intake.closed(1).await;
    let downloads: Vec<_> =
        of(&events, "session.file_download").into_iter().filter(|e| e["data"]["url"].is_string()).collect();
    assert_eq!(
        (&downloads[0]["data"]["url"], &downloads[0]["data"]["fetched"]),
        (&json!(url), &json!(false))
    );
    assert!(
        tokio::time::timeout(Duration::from_millis(50), bait.accept()).await.is_err(),
        "the trap fetched"
    );
}

#[tokio::test]
async fn tunnels_are_recorded_answered_and_lead_nowhere() {
    let trap = ssh().await;
    let bait = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = u32::from(bait.local_addr().unwrap().port());
    let handle = log_in(&trap, "root", "hunter2").await;
    let channel = handle.channel_open_direct_tcpip("127.0.0.1", port, "10.0.0.1", 4242).await.unwrap();
    channel.data_bytes(&b"GET / HTTP/1.0\r\nHost: example\r\n\r\n"[..]).await.unwrap();
    let (out, _, _) = drain(channel).await;
    assert!(out.starts_with("HTTP/1.1 403 Forbidden"), "{out}");
    assert_ne!(handle.tcpip_forward("0.0.0.0", 0).await.unwrap(), 0);
    leave(handle).await;
    let events = trap.intake.closed(1).await;
    let request = one(&events, "direct-tcpip.request");
    assert_eq!(
        (&request["data"]["dst_ip"], &request["data"]["dst_port"], &request["data"]["orig_ip"]),
        (&json!("127.0.0.1"), &json!(port), &json!("10.0.0.1"))
    );
    assert_eq!(one(&events, "direct-tcpip.data")["data"]["data"], "GET / HTTP/1.0\r\nHost: example\r\n\r\n");
    assert_eq!(one(&events, "tcpip-forward.request")["data"]["bind_ip"], "0.0.0.0");
    assert!(
        tokio::time::timeout(Duration::from_millis(50), bait.accept()).await.is_err(),
        "the trap connected"
    );
}

#[tokio::test]
async fn channels_and_commands_beyond_what_openssh_allows_are_refused() {
    let trap = ssh().await;
    let handle = log_in(&trap, "root", "hunter2").await;
    let mut open = Vec::new();
    for _ in 0..10 {
        open.push(handle.channel_open_session().await.unwrap());
    }
    assert!(handle.channel_open_session().await.is_err(), "MaxSessions is 10");
    drop(open);
    leave(handle).await;
    check_sessions(&trap.intake.closed(1).await, "ssh");
}

#[tokio::test]
async fn a_client_that_vanishes_in_any_phase_is_one_closed_session() {
    let trap = ssh().await;
    drop(Raw::connect(trap.address).await);
    let mut greeted = Raw::connect(trap.address).await;
    greeted.expect("SSH-2.0-OpenSSH_").await;
    greeted.send(b"SSH-2.0-half\r\n").await;
    drop(greeted);
    drop(connect(&trap).await);
    let handle = log_in(&trap, "root", "hunter2").await;
    let channel = handle.channel_open_session().await.unwrap();
    channel.request_pty(true, "xterm", 80, 24, 0, 0, &[]).await.unwrap();
    channel.request_shell(true).await.unwrap();
    drop((channel, handle));
    let events = trap.intake.closed(4).await;
    check_sessions(&events, "ssh");
    assert_eq!(of(&events, "session.closed").len(), 4);
}

#[tokio::test]
async fn what_is_no_ssh_is_answered_as_openssh_answers_it() {
    let trap = ssh().await;
    let mut count = 0;
    for (said, expect) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "Invalid SSH identification string."),
        (b"SSH-1.5-old\r\n".to_vec(), "Protocol major versions differ."),
        (b"\x16\x03\x01\x00\x05hello\n".to_vec(), "Invalid SSH identification string."),
        (vec![b'a'; 20_000], "Invalid SSH identification string."),
        (vec![0xff; 5_000], "Invalid SSH identification string."),
    ] {
        let mut client = Raw::connect(trap.address).await;
        client.send(&said).await;
        let reply = client.end().await;
        assert!(reply.starts_with("SSH-2.0-OpenSSH_"), "{reply:?}");
        // Bytes of ours that the trap never read can turn its last words into a reset.
        assert!(reply.contains(expect) || said.len() > 1000, "{said:?}: {reply:?}");
        count += 1;
    }
    let events = trap.intake.closed(count).await;
    check_sessions(&events, "ssh");
    assert!(of(&events, "client.version").iter().all(|e| e["data"]["malformed"] == true));
}

#[tokio::test]
async fn garbage_after_the_greeting_ends_its_own_session_only() {
    let trap = ssh().await;
    let garbage: Vec<Vec<u8>> = vec![
        vec![0; 4096],
        vec![0xff; 4096],
        b"\x00\x00\x00\x0c\x0a\x14".repeat(100),
        (0..=255).cycle().take(50_000).collect(),
    ];
    for bytes in &garbage {
        let mut client = Raw::connect(trap.address).await;
        client.expect("\r\n").await;
        client.send(b"SSH-2.0-Go\r\n").await;
        client.send(bytes).await;
        // Half-open: a packet that claims more bytes than come is a slow-loris, and its sender leaves here.
        drop(client);
    }
    let events = trap.intake.closed(garbage.len()).await;
    check_sessions(&events, "ssh");
    leave(log_in(&trap, "root", "hunter2").await).await;
}

#[tokio::test]
async fn hostile_commands_and_names_arrive_as_text() {
    let trap = ssh().await;
    let mut handle = connect(&trap).await;
    assert!(!handle.authenticate_password("root", "root").await.unwrap().success());
    assert!(handle.authenticate_password("ro\0ot\u{202e}<b>", &"p".repeat(20_000)).await.unwrap().success());
    let huge = [b"echo ".as_slice(), &b"x".repeat(20_000)].concat();
    for command in [&b"\xff\xfe\x00\x1b]52;c;x\x07"[..], &huge, b"'; DROP TABLE \"x\"; --", b"\n\n\n"] {
        exec(&handle, command).await;
    }
    leave(handle).await;
    let events = trap.intake.closed(1).await;
    check_sessions(&events, "ssh");
    let login = one(&events, "login.success");
    assert_eq!(login["data"]["username"], "ro\0ot\u{202e}<b>");
    assert_eq!(login["data"]["truncated"], true);
}

#[tokio::test]
async fn host_keys_stay_the_same_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let intake = crate::intake::Intake::start().await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let events = bee_pots::EventTarget {
            address: intake.address,
            pot_id: "pot-1".into(),
            pot_type: "ssh".into(),
            token: None,
        };
        let listen = "127.0.0.1:0".parse().unwrap();
        let setup = bee_pots::PotSetup {
            kind: Kind::Ssh,
            listen,
            dir: dir.path().to_owned(),
            config: Value::Null,
            events,
        };
        let pot = bee_pots::start(setup).await.unwrap();
        let (tell, told) = tokio::sync::oneshot::channel();
        let seer = Seer(Some(tell));
        drop(client::connect(Arc::new(client::Config::default()), pot.address(), seer).await.unwrap());
        seen.push(told.await.unwrap());
        pot.stop().await;
    }
    assert_eq!(seen[0], seen[1]);
}

/// Tells the server's key.
struct Seer(Option<tokio::sync::oneshot::Sender<String>>);

impl client::Handler for Seer {
    type Error = russh::Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        if let Some(tell) = self.0.take() {
            tell.send(format!("{key:?}")).unwrap();
        }
        Ok(true)
    }
}
