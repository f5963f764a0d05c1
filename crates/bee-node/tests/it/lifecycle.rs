//! The real binary: its flags, its signals, its size.

use std::{path::Path, process::Output};

use bee_wire::{NodeMessage, node::NodeEventKind, node::NodeStatus};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;

use crate::{
    core::{Core, PATIENCE, pot_updates},
    harness::{BINARY, binary, eventually, free_port},
};

async fn run(args: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    Command::new(BINARY).args(args).current_dir(dir.path()).env("HOME", dir.path()).output().await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn the_example_config_validates_with_one_dash_as_with_two() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.yaml");
    for flag in ["--gen-config", "-gen-config", "gen-config"] {
        let output = run(&[flag]).await;
        assert!(output.status.success(), "{flag}");
        std::fs::write(&file, &output.stdout).unwrap();
        assert!(text(&output.stdout).contains("heartbeat_interval: 30"));
    }
    let path = file.to_str().unwrap();
    for args in
        [["--validate", "--config", path], ["-validate", "-config", path], ["validate", "--config", path]]
    {
        let output = run(&args).await;
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        assert!(text(&output.stdout).contains("is valid"), "{args:?}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "validating touches nothing");
}

#[tokio::test]
async fn a_wrong_config_is_refused_with_its_code_and_the_fix() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.yaml");
    for (config, says) in [
        ("node: {name: ''}\nserver: {address: '127.0.0.1:1'}", "EMPTY_NODE_NAME"),
        ("node: {name: edge, type: X}\nserver: {address: '127.0.0.1:1'}", "INVALID_NODE_TYPE"),
        ("node: {name: edge}\nserver: {address: ''}", "EMPTY_SERVER_ADDR"),
        ("node: {nam: edge}\nserver: {address: '127.0.0.1:1'}", "did you mean `node.name`?"),
        ("node: [", "CONFIG_PARSE_FAILED"),
    ] {
        std::fs::write(&file, config).unwrap();
        let output = run(&["-validate", "-config", file.to_str().unwrap()]).await;
        assert!(!output.status.success() && text(&output.stderr).contains(says), "{}", text(&output.stderr));
    }
    let output = run(&["-validate", "-config", "/nonexistent.yaml"]).await;
    assert!(text(&output.stderr).contains("CONFIG_READ_FAILED"), "{}", text(&output.stderr));
}

async fn three_traps(core: &Core, dir: &Path) -> std::path::PathBuf {
    let pots: Vec<String> = {
        let mut pots = Vec::new();
        for kind in ["ssh", "telnet", "http"] {
            pots.push(format!("{{id: {kind}-1, type: {kind}, listen: '127.0.0.1:{}'}}", free_port().await));
        }
        pots
    };
    let file = dir.join("node.yaml");
    let config = format!(
        "node: {{name: edge}}\nserver: {{address: '{}'}}\nintake: {{event_port: 0}}\nstate_dir: {}\npots: [{}]\n",
        core.address,
        dir.join("node").display(),
        pots.join(", ")
    );
    std::fs::write(&file, config).unwrap();
    file
}

fn are_running(seen: &crate::core::Seen) -> bool {
    ["ssh-1", "telnet-1", "http-1"].iter().all(|id| {
        pot_updates(seen)
            .any(|update| update.pot_id == *id && update.status == bee_wire::node::PotStatus::Running)
    })
}

fn pids(seen: &crate::core::Seen) -> Vec<u32> {
    let pid = |update: &bee_wire::node::PotStatusUpdate| {
        u32::try_from(update.detail.as_ref()?["pid"].as_u64()?).ok()
    };
    pot_updates(seen).filter_map(pid).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_stops_traps_then_says_goodbye_in_the_fields_order() {
    let core = Core::plain().await;
    let dir = tempfile::tempdir().unwrap();
    let mut node = binary(&three_traps(&core, dir.path()).await);
    core.until("three running traps", are_running).await;
    let pid = Pid::from_raw(i32::try_from(node.id().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let status = tokio::time::timeout(PATIENCE, node.wait()).await.unwrap().unwrap();
    assert!(status.success(), "{status}");
    core.until("the goodbye", |seen| seen.messages.last() == Some(&NodeMessage::NodeDrop)).await;
    core.seen(|seen| {
        let [.., status, event, drop] = seen.messages.as_slice() else { panic!("too few messages") };
        assert!(
            matches!(status, NodeMessage::NodeStatusUpdate(update) if update.status == NodeStatus::Stopped)
        );
        assert!(matches!(event, NodeMessage::NodeEvent(event) if event.kind == NodeEventKind::Stopped));
        assert_eq!(*drop, NodeMessage::NodeDrop);
        for pid in pids(seen) {
            assert!(!Path::new(&format!("/proc/{pid}")).exists(), "trap {pid} outlived its node");
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traps_of_a_node_that_was_killed_leave_by_themselves() {
    let core = Core::plain().await;
    let dir = tempfile::tempdir().unwrap();
    let file = three_traps(&core, dir.path()).await;
    let mut node = binary(&file);
    core.until("three running traps", are_running).await;
    let pids = core.seen(pids);
    assert!(pids.len() >= 3);
    node.start_kill().unwrap();
    node.wait().await.unwrap();
    eventually("the end of the traps", || {
        pids.iter().all(|pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        })
    })
    .await;
    // Their ports are free: the next node brings them up again.
    let connections = core.seen(|seen| seen.registrations.len());
    let node = binary(&file);
    core.until("three traps of the next node", |seen| {
        seen.registrations.len() > connections
            && pot_updates(seen).filter(|update| update.status == bee_wire::node::PotStatus::Running).count()
                >= 6
    })
    .await;
    drop(node);
}
