//! Commands from an operator to a node: carried out, refused, timed out, queued.

use std::net::SocketAddr;

use bee_tests::core::Core;
use bee_tests::node::{self, Node};
use bee_tests::shell::{self, Finished};
use bee_tests::wait::until;
use bee_tests::{Value, json};
use tokio::net::TcpStream;

const FAST: &str = "server:\n  reconnect_delay: 1\n  reconnect_delay_max: 1\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pot_is_installed_stopped_restarted_read_and_removed_through_the_cli() {
    let dir = tempfile::tempdir().unwrap();
    let core = Core::start(&dir.path().join("core"), "").await;
    let _node = Node::join(&core, &dir.path().join("node"), "worker", core.nodes, FAST).await;
    core.rest.wait_node("worker", "Running").await;
    let cmd = async |words: &[&str]| {
        let mut args = vec!["--json", "cmd", "worker"];
        args.extend(words);
        shell::honeybee(core.data(), &args).await
    };
    let install =
        r#"{"InstallPot":{"pot_id":"web2","honeypot_type":"http","auto_start":true,"config":{"port":"0"}}}"#;

    let done = cmd(&[install]).await.json();
    assert_eq!(done["state"], "done", "{done}");
    let first = listening(&core).await;
    assert!(TcpStream::connect(first).await.is_ok());
    failed(&cmd(&[install]).await, "HONEYPOT_ALREADY_EXISTS");
    let listed = cmd(&["GetInstalledPots"]).await.json();
    assert_eq!(listed["data"]["pots"][0]["pot_id"], "web2", "{listed}");

    assert_eq!(cmd(&["StopPot", "web2"]).await.json()["state"], "done");
    core.rest.wait_pot("worker", "web2", "Stopped").await;
    assert!(TcpStream::connect(first).await.is_err(), "nothing listens any more");
    assert_eq!(cmd(&["DeployPot", "web2"]).await.json()["state"], "done");
    core.rest.wait_pot("worker", "web2", "Running").await;
    let pid = async || cmd(&["GetPotInfo", "web2"]).await.json()["data"]["pid"].clone();
    let before = pid().await;
    assert!(before.is_u64(), "{before}");
    assert_eq!(cmd(&["RestartPot", "web2"]).await.json()["state"], "done");
    core.rest.wait_pot("worker", "web2", "Running").await;
    assert_ne!(pid().await, before, "another process");
    let logs = cmd(&["GetPotLogs", "web2"]).await.json();
    assert!(logs["data"]["lines"].is_array() || logs["data"]["lines"].is_string(), "{logs}");
    assert!(cmd(&["GetPotMetrics", "web2"]).await.json()["data"].is_object());

    failed(&cmd(&["StopPot", "nosuch"]).await, "HONEYPOT_NOT_FOUND");
    failed(
        &cmd(&[r#"{"InstallPot":{"pot_id":"x","honeypot_type":"mystery","auto_start":true}}"#]).await,
        "HONEYPOT_INSTALL_FAILED",
    );
    let unknown = cmd(&["MakeCoffee"]).await;
    assert_eq!(unknown.code, Some(2), "{}", unknown.all());

    assert_eq!(cmd(&["RemovePot", "web2"]).await.json()["state"], "done");
    until("the removed pot leaves Core's list", async || {
        let pots = core.rest.json("/api/v1/honeypots").await;
        pots["honeypots"].as_array().unwrap().is_empty().then_some(())
    })
    .await;
    failed(&cmd(&["DeployPot", "web2"]).await, "HONEYPOT_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pot_that_dies_is_started_again_and_the_count_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let core = Core::start(&dir.path().join("core"), "").await;
    let config = format!("{FAST}pots:\n  - id: telnet\n    type: telnet\n    listen: 127.0.0.1:0\n");
    let _node = Node::join(&core, &dir.path().join("node"), "nurse", core.nodes, &config).await;
    let running = async |restarts: u64| {
        until(&format!("the pot runs after {restarts} restarts"), async || {
            let pots = core.rest.json("/api/v1/honeypots").await;
            let pot = pots["honeypots"][0].clone();
            (pot["status"] == "Running" && pot["detail"]["restarts"] == restarts)
                .then(|| pot["detail"].clone())
        })
        .await
    };
    let first = running(0).await;
    let pid = rustix::process::Pid::from_raw(i32::try_from(first["pid"].as_i64().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let second = running(1).await;
    assert_ne!(first["pid"], second["pid"]);
    let address: SocketAddr = second["listening"][0].as_str().unwrap().parse().unwrap();
    assert!(TcpStream::connect(address).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_to_an_offline_node_waits_through_a_restart_of_core_or_times_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut core = Core::start(&dir.path().join("core"), "").await;
    // The node comes back to where Core is then, over a proxy that stays.
    let proxy = bee_tests::proxy::Proxy::start(core.nodes).await;
    let mut node = Node::join(&core, &dir.path().join("node"), "away", proxy.address(), FAST).await;
    let known = core.rest.wait_node("away", "Running").await;
    node.process.kill9();
    core.rest.wait_node("away", "Stopped").await;

    let late = shell::honeybee(core.data(), &["cmd", "away", "GetInstalledPots", "--deadline", "1s"]).await;
    assert_eq!(late.code, Some(1), "{}", late.all());
    assert!(late.stderr.contains("HB0502"), "{}", late.all());
    assert_eq!(core.rest.counter("commands_timed_out_total").await, 1);

    let path = format!("/api/v1/nodes/{}/commands", known["id"].as_str().unwrap());
    let install = json!({"InstallPot": {"pot_id": "late", "honeypot_type": "telnet", "auto_start": true, "config": {"port": "0"}}});
    let queued = core.rest.post(&path, &json!({"command": install, "timeout_s": 600})).await;
    assert_eq!(queued.status, 202, "{}", queued.text);
    let id = queued.json()["command_id"].as_str().unwrap().to_owned();
    core.process.kill9();
    core.start_again().await;
    proxy.set_target(core.nodes);
    let view = async || core.rest.json(&format!("/api/v1/commands/{id}")).await;
    assert_eq!(view().await["state"], "queued", "it survived");

    node.start_again();
    let done: Value = until("the queued command runs", async || {
        let view = view().await;
        (view["state"] == "done").then_some(view)
    })
    .await;
    assert_eq!(done["node"], known["id"], "{done}");
    core.rest.wait_pot("away", "late", "Running").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_refuses_pots_in_plain_words() {
    let dir = tempfile::tempdir().unwrap();
    let core = Core::start(&dir.path().join("core"), "").await;
    let folder = dir.path().join("agent");
    node::enrol(&core, &folder, "light", core.nodes, "").await;
    let config = folder.join("config.yaml");
    let text = std::fs::read_to_string(&config).unwrap().replace("node:\n", "node:\n  type: Agent\n");
    std::fs::write(&config, text).unwrap();
    let mut command = bee_tests::process::command("honeybee-node");
    command.arg("-config").arg(&config).current_dir(dir.path());
    let _node = bee_tests::process::Process::start(command, &dir.path().join("output"), "agent");
    core.rest.wait_node("light", "Running").await;
    let install = r#"{"InstallPot":{"pot_id":"web","honeypot_type":"http","auto_start":true}}"#;
    let answer = shell::honeybee(core.data(), &["cmd", "light", install]).await;
    assert_eq!(answer.code, Some(1), "{}", answer.all());
    assert!(answer.stderr.contains("HB0501") && answer.stderr.contains("Agent"), "{}", answer.all());
}

fn failed(finished: &Finished, code: &str) {
    assert_eq!(finished.code, Some(1), "{}", finished.all());
    let view: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!((&view["state"], &view["code"]), (&json!("failed"), &json!(code)), "{}", finished.all());
    assert!(finished.stderr.contains("HB0501"), "{}", finished.all());
}

async fn listening(core: &Core) -> SocketAddr {
    let pot = core.rest.wait_pot("worker", "web2", "Running").await;
    pot["detail"]["listening"][0].as_str().unwrap_or_else(|| panic!("{pot}")).parse().unwrap()
}
