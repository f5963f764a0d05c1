//! Commands of Core, with real traps as child processes.

use std::collections::BTreeMap;

use bee_wire::{
    Command, CommandId, ErrorCode, NodeMessage,
    command::{InstallPot, NodeSpec, PotSpec},
    node::{NodeStatus, NodeType, PotStatus},
};

use crate::{
    core::{Core, Manners, pot_updates, results},
    harness::{eventually, free_port, start, start_in, start_with},
};

async fn telnet(pot_id: &str, auto_start: bool) -> InstallPot {
    let config = BTreeMap::from([("telnet_port".to_owned(), free_port().await.to_string())]);
    InstallPot {
        pot_id: pot_id.into(),
        honeypot_type: "telnet".into(),
        config,
        auto_start,
        ..InstallPot::default()
    }
}

async fn connects(port: &str) -> bool {
    tokio::net::TcpStream::connect(format!("127.0.0.1:{port}")).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trap_is_installed_runs_is_asked_about_and_removed() {
    let core = Core::plain().await;
    let node = start(&core.address).await;
    let pot = telnet("t-1", true).await;
    let port = pot.config["telnet_port"].clone();
    let installed = core.command(Command::InstallPot(pot.clone())).await;
    assert!(installed.ok, "{installed:?}");
    assert!(connects(&port).await, "the result comes once the trap listens");
    core.until("its state", |seen| {
        pot_updates(seen).any(|update| update.pot_id == "t-1" && update.status == PotStatus::Running)
    })
    .await;
    core.until("events of the connection", |seen| seen.events.values().any(|data| data.contains("src_ip")))
        .await;

    let twice = core.command(Command::InstallPot(pot.clone())).await;
    assert_eq!(twice.code, Some(ErrorCode::HoneypotAlreadyExists));
    let info = core.command(Command::GetPotInfo("t-1".into())).await.data.unwrap();
    assert_eq!((info["pot_type"].as_str(), info["status"].as_str()), (Some("telnet"), Some("Running")));
    let metrics = core.command(Command::GetPotMetrics("t-1".into())).await.data.unwrap();
    assert!(
        metrics["rss_bytes"].as_u64().unwrap() > 100_000 && metrics["events"].as_u64().unwrap() > 0,
        "{metrics}"
    );
    assert!(core.command(Command::GetPotLogs("t-1".into())).await.data.unwrap()["lines"].is_array());
    let list = core.command(Command::GetInstalledPots).await.data.unwrap();
    assert_eq!(list["pots"].as_array().unwrap().len(), 1);
    assert!(core.command(Command::GetPotStatus("t-1".into())).await.ok);

    assert!(core.command(Command::StopPot("t-1".into())).await.ok);
    assert!(!connects(&port).await, "the result comes once it is gone");
    assert!(core.command(Command::DeployPot("t-1".into())).await.ok);
    let before = node.board.get("t-1").unwrap().pid;
    assert!(core.command(Command::RestartPot("t-1".into())).await.ok);
    assert_ne!(node.board.get("t-1").unwrap().pid, before);
    let moved = InstallPot { config: telnet("t-1", true).await.config, ..pot };
    assert!(core.command(Command::UpdatePot(moved.clone())).await.ok);
    assert!(connects(&moved.config["telnet_port"]).await && !connects(&port).await);

    assert!(core.command(Command::RemovePot("t-1".into())).await.ok);
    assert!(!connects(&moved.config["telnet_port"]).await);
    let gone = core.command(Command::GetPotInfo("t-1".into())).await;
    assert_eq!(gone.code, Some(ErrorCode::HoneypotNotFound));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_installed_is_refused_with_the_reason() {
    let core = Core::plain().await;
    let node = start(&core.address).await;
    let pot = telnet("x", false).await;
    for (pot, says) in [
        (InstallPot { honeypot_type: "smb".into(), ..pot.clone() }, "ssh, telnet, http"),
        (InstallPot { pot_id: "../x".into(), ..pot.clone() }, "pot id"),
        (InstallPot { git_url: Some("https://example/x".into()), ..pot.clone() }, "git_url"),
        (
            InstallPot { config: BTreeMap::from([("hostnam".into(), "x".into())]), ..pot.clone() },
            "`hostname`",
        ),
    ] {
        let result = core.command(Command::InstallPot(pot)).await;
        assert_eq!((result.ok, result.code), (false, Some(ErrorCode::HoneypotInstallFailed)));
        assert!(result.message.as_ref().unwrap().contains(says), "{result:?}");
    }
    // A port that somebody else has: the trap's own words are the reason.
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let config = BTreeMap::from([("port".to_owned(), port)]);
    let result = core.command(Command::InstallPot(InstallPot { config, auto_start: true, ..pot })).await;
    assert_eq!(result.code, Some(ErrorCode::HoneypotStartFailed));
    assert!(result.message.as_ref().unwrap().contains("cannot listen"), "{result:?}");
    node.stop().await;

    let core = Core::plain().await;
    let node = start_with(&core.address, |config| {
        config.node_type = NodeType::Agent;
        config.pots.enabled = false;
    })
    .await;
    let result = core.command(Command::InstallPot(telnet("x", true).await)).await;
    assert_eq!(result.code, Some(ErrorCode::HoneypotInstallFailed));
    assert!(result.message.unwrap().contains("Agent"));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_is_carried_out_once_across_reconnects_and_restarts() {
    let core = Core::plain().await;
    let node = start(&core.address).await;
    let id = CommandId(uuid::Uuid::now_v7());
    let install = Command::InstallPot(telnet("once", false).await);
    core.command_as(id, install.clone()).await;
    assert!(core.result(id).await.ok);
    for _ in 0..2 {
        core.command_as(id, install.clone()).await;
    }
    core.until("three answers", |seen| results(seen).filter(|result| result.command_id == id).count() == 3)
        .await;
    core.cut();
    let dir = node.stop().await;
    let node = start_in(dir, &core.address, |_| {}).await;
    core.until("another registration", |seen| seen.live == 1 && seen.registrations.len() >= 2).await;
    core.command_as(id, install).await;
    core.until("a fourth answer", |seen| results(seen).filter(|result| result.command_id == id).count() >= 4)
        .await;
    core.seen(|seen| {
        assert!(results(seen).all(|result| result.ok), "a second run would say that the pot exists")
    });
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spec_is_what_runs_and_survives_a_restart_of_the_node() {
    let core = Core::plain().await;
    let node = start(&core.address).await;
    let spec = |revision, pots: Vec<PotSpec>| Command::ApplySpec(NodeSpec { revision, pots });
    let pot = |pot: InstallPot| PotSpec {
        pot_id: pot.pot_id,
        honeypot_type: pot.honeypot_type,
        config: pot.config,
        running: true,
        ..PotSpec::default()
    };
    let (a, b) = (pot(telnet("a", true).await), pot(telnet("b", true).await));
    assert!(core.command(spec(3, vec![a.clone(), b.clone()])).await.ok);
    assert!(connects(&a.config["telnet_port"]).await && connects(&b.config["telnet_port"]).await);
    let pid = node.board.get("b").unwrap().pid;
    assert!(core.command(spec(4, vec![b.clone()])).await.ok);
    assert!(!connects(&a.config["telnet_port"]).await);
    assert_eq!(node.board.get("b").unwrap().pid, pid, "what is as it should be is left alone");
    let old = core.command(spec(2, vec![a])).await;
    assert!(old.ok && old.data.unwrap()["ignored"] == 2);
    let dir = node.stop().await;
    assert!(!connects(&b.config["telnet_port"]).await);
    let node = start_in(dir, &core.address, |_| {}).await;
    eventually("the trap after a restart", || {
        node.board.get("b").is_some_and(|view| view.status == PotStatus::Running)
    })
    .await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trap_that_dies_is_started_again_and_its_state_is_told() {
    let core = Core::plain().await;
    let node = start(&core.address).await;
    assert!(core.command(Command::InstallPot(telnet("t", true).await)).await.ok);
    let pid = node.board.get("t").unwrap().pid.unwrap();
    let raw = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(raw, rustix::process::Signal::KILL).unwrap();
    core.until("the failure", |seen| pot_updates(seen).any(|update| update.status == PotStatus::Failed))
        .await;
    eventually("a new process", || {
        node.board.get("t").is_some_and(|view| {
            view.status == PotStatus::Running && view.pid.is_some_and(|new| new != pid) && view.restarts == 1
        })
    })
    .await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_from_core_is_answered_and_said_goodbye_to_in_order() {
    let core = Core::plain().await;
    let node = start(&core.address).await;
    let result = core.command(Command::Stop).await;
    assert!(result.ok);
    assert_eq!(
        tokio::time::timeout(crate::core::PATIENCE, node.node).await.unwrap().unwrap(),
        bee_node::Exit::Stopped
    );
    core.until("the goodbye", |seen| seen.messages.last() == Some(&NodeMessage::NodeDrop)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_core_is_answered_by_pot_states() {
    let core = Core::with(Manners { features: Vec::new(), ..Manners::default() }).await;
    let node = start(&core.address).await;
    let send = async |command| {
        let command = bee_wire::core::NodeCommand {
            node_id: bee_wire::NodeId(1),
            command,
            command_id: None,
            deadline: None,
        };
        core.send(bee_wire::CoreMessage::NodeCommand(command)).await;
    };
    send(Command::InstallPot(InstallPot { honeypot_type: "smb".into(), ..telnet("bad", true).await })).await;
    core.until("the refusal as a state", |seen| {
        pot_updates(seen).any(|update| {
            update.pot_id == "bad"
                && update.status == PotStatus::Failed
                && update.message.as_ref().is_some_and(|text| text.starts_with("HONEYPOT_INSTALL_FAILED"))
        })
    })
    .await;
    send(Command::InstallPot(telnet("good", true).await)).await;
    core.until("the running trap", |seen| {
        pot_updates(seen).any(|update| {
            update.pot_id == "good" && update.status == PotStatus::Running && update.detail.is_none()
        })
    })
    .await;
    send(Command::Status).await;
    core.until("a status", |seen| {
        seen.messages.iter().any(|message| {
            matches!(message, NodeMessage::NodeStatusUpdate(update) if update.status == NodeStatus::Running && update.health.is_none())
        })
    })
    .await;
    assert!(core.seen(|seen| results(seen).next().is_none()));
    node.stop().await;
}
