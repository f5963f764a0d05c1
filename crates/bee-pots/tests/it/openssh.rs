//! The SSH trap and OpenSSH's own clients, where they are installed (with sshpass, which types the password).

use std::path::Path;
use std::process::Output;

use bee_pots::Kind;
use serde_json::json;

use crate::clients::{installed, run};
use crate::intake::{Trap, check_sessions, of, one, trap};

const OPTIONS: [&str; 10] = [
    "-o",
    "BatchMode=no",
    "-o",
    "StrictHostKeyChecking=no",
    "-o",
    "UserKnownHostsFile=/dev/null",
    "-o",
    "LogLevel=ERROR",
    "-o",
    "PreferredAuthentications=password",
];

async fn ssh() -> Option<Trap> {
    if !["ssh", "scp", "sftp", "sshpass"].iter().all(|program| installed(program)) {
        return None;
    }
    Some(trap(Kind::Ssh, json!({"auth_delay_ms": 0, "seed": "test"})).await)
}

async fn client(program: &str, trap: &Trap, arguments: &[&str], input: Option<&str>) -> Output {
    let port = trap.address.port().to_string();
    let mut all =
        vec!["-p", "hunter2", program, "-F", "/dev/null", if program == "ssh" { "-p" } else { "-P" }, &port];
    all.extend(OPTIONS);
    all.extend(arguments);
    run("sshpass", &all, input).await
}

fn ok(output: &Output) -> String {
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{:?}: {text}", output.status);
    text
}

fn file(dir: &Path, content: &[u8]) -> String {
    let path = dir.join("up.bin");
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn ssh_runs_commands() {
    let Some(trap) = ssh().await else { return };
    let uname = ok(&client("ssh", &trap, &["root@127.0.0.1", "uname -a; whoami"], None).await);
    assert!(uname.starts_with("Linux ") && uname.trim_end().ends_with("root"), "{uname}");
    let failed = client("ssh", &trap, &["root@127.0.0.1", "false"], None).await;
    assert_eq!(failed.status.code(), Some(1));
    let events = trap.intake.closed(2).await;
    check_sessions(&events, "ssh");
    assert!(
        of(&events, "client.version")[0]["data"]["version"].as_str().unwrap().starts_with("SSH-2.0-OpenSSH_")
    );
}

#[tokio::test]
async fn ssh_has_an_interactive_session() {
    let Some(trap) = ssh().await else { return };
    let commands = "id\npwd\ncd /tmp\nls -la /etc | head -3\necho $((6*7)) > n; cat n\nexit\n";
    let said = ok(&client("ssh", &trap, &["-tt", "root@127.0.0.1"], Some(commands)).await);
    assert!(said.contains("uid=0(root)") && said.contains("/root") && said.contains("42"), "{said}");
    let events = trap.intake.closed(1).await;
    check_sessions(&events, "ssh");
    assert_eq!(of(&events, "command.input").len(), 6, "{said}");
    assert!(String::from_utf8(trap.artifact(&one(&events, "log.closed"))).unwrap().contains("uid=0(root)"));
}

#[tokio::test]
async fn scp_uploads_by_both_protocols() {
    let Some(trap) = ssh().await else { return };
    let dir = tempfile::tempdir().unwrap();
    for (n, flags) in [vec!["-O"], vec!["-s"]].into_iter().enumerate() {
        let content: Vec<u8> = (0..200_000_u32).map(|i| (i * 7 + n as u32) as u8).collect();
        let path = file(dir.path(), &content);
        let target = format!("root@127.0.0.1:/tmp/up{n}.bin");
        let arguments: Vec<&str> = flags.into_iter().chain([path.as_str(), target.as_str()]).collect();
        ok(&client("scp", &trap, &arguments, None).await);
        let events = trap.intake.closed(n + 1).await;
        check_sessions(&events, "ssh");
        let upload = of(&events, "session.file_upload").pop().expect("an upload");
        assert_eq!(upload["data"]["destfile"], format!("/tmp/up{n}.bin"));
        assert_eq!(trap.artifact(&upload), content);
    }
}

#[tokio::test]
async fn scp_downloads_a_fake_file() {
    let Some(trap) = ssh().await else { return };
    let dir = tempfile::tempdir().unwrap();
    for flag in ["-O", "-s"] {
        let target = dir.path().join(flag);
        ok(&client("scp", &trap, &[flag, "root@127.0.0.1:/etc/passwd", target.to_str().unwrap()], None)
            .await);
        assert!(std::fs::read_to_string(&target).unwrap().starts_with("root:x:0:0:"));
    }
    check_sessions(&trap.intake.closed(2).await, "ssh");
}

#[tokio::test]
async fn sftp_lists_uploads_renames_and_removes() {
    let Some(trap) = ssh().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), b"\x7fELF payload");
    let batch = format!(
        "pwd\nls -la /etc\nmkdir /tmp/d\nput {path} /tmp/d/a\nchmod 755 /tmp/d/a\nrename /tmp/d/a /tmp/d/b\nls -l /tmp/d\nget /tmp/d/b {}\ndf /\nrm /tmp/d/b\nrmdir /tmp/d\nbye\n",
        dir.path().join("back").display()
    );
    let said = ok(&client("sftp", &trap, &["-b", "-", "root@127.0.0.1"], Some(&batch)).await);
    assert!(
        said.contains("Remote working directory: /root")
            && said.contains("passwd")
            && said.contains("/tmp/d/b"),
        "{said}"
    );
    assert_eq!(std::fs::read(dir.path().join("back")).unwrap(), b"\x7fELF payload");
    let events = trap.intake.closed(1).await;
    check_sessions(&events, "ssh");
    let upload = one(&events, "session.file_upload");
    assert_eq!(upload["data"]["destfile"], "/tmp/d/a");
    assert_eq!(trap.artifact(&upload), b"\x7fELF payload");
}

#[tokio::test]
async fn ssh_tunnels_are_recorded() {
    let Some(trap) = ssh().await else { return };
    let said =
        client("ssh", &trap, &["-W", "192.0.2.1:80", "root@127.0.0.1"], Some("GET / HTTP/1.0\r\n\r\n")).await;
    assert!(String::from_utf8_lossy(&said.stdout).contains("403 Forbidden"));
    let events = trap.intake.closed(1).await;
    check_sessions(&events, "ssh");
    assert_eq!(one(&events, "direct-tcpip.request")["data"]["dst_ip"], "192.0.2.1");
}
