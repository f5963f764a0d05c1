//! Every command ends: done, failed, timed out; across restarts of either side.

use std::time::Duration;

use bee_wire::api::CommandState;
use bee_wire::node::CommandResult;
use bee_wire::{Command, CommandId, CoreMessage, ErrorCode, NodeId, NodeMessage, Secret};

use crate::harness::{DEADLINE, OPEN, Peer, registration, start, start_at};

async fn command(peer: &mut Peer) -> (CommandId, Command) {
    match peer.recv().await {
        Some(CoreMessage::NodeCommand(command)) => (command.command_id.unwrap(), command.command),
        other => panic!("expected a command, got {other:?}"),
    }
}

fn result(command_id: CommandId, ok: bool) -> NodeMessage {
    NodeMessage::CommandResult(CommandResult {
        node_id: NodeId(1),
        command_id,
        ok,
        code: (!ok).then_some(ErrorCode::HoneypotNotFound),
        message: Some("said".into()),
        data: None,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_waits_for_its_node_through_a_restart_and_ends_with_the_result() {
    let dir = tempfile::tempdir().unwrap();
    let core = start(dir.path(), OPEN).await;
    let (peer, ack) = core.node(1, "n").await;
    let totp = ack.totp_key.unwrap().expose().to_owned();
    drop(peer);
    core.until("it is gone", |core| core.connected_nodes().is_empty()).await;
    assert!(core.handle.command(NodeId(9), Command::Restart, None).await.is_err());
    let given = core.handle.command(NodeId(1), Command::StopPot("a".into()), None).await.unwrap();
    assert_eq!(given.state, CommandState::Queued);
    let clock = core.stop().await;

    let core = start_at(dir.path(), OPEN, clock).await;
    core.clock.advance_ms(31_000);
    let mut peer = core.plain().await;
    let mut again = registration(1, "n");
    again.totp_code = Some(Secret::new(core.code(&totp)));
    assert!(peer.register(again).await.accepted);
    let (id, sent) = command(&mut peer).await;
    assert_eq!((id, sent), (given.command_id, Command::StopPot("a".into())));
    peer.send(&result(id, true)).await;
    let ended = core.handle.command_ended(id, DEADLINE).await.unwrap();
    assert_eq!((ended.state, ended.message.as_deref()), (CommandState::Done, Some("said")));

    let failing = core.handle.command(NodeId(1), Command::DeployPot("b".into()), None).await.unwrap();
    let (id, _) = command(&mut peer).await;
    peer.send(&result(id, false)).await;
    let ended = core.handle.command_ended(failing.command_id, DEADLINE).await.unwrap();
    assert_eq!((ended.state, ended.code), (CommandState::Failed, Some(ErrorCode::HoneypotNotFound)));
    assert_eq!(core.handle.commands(Some(NodeId(1)), 10).len(), 2);
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_without_an_answer_times_out() {
    let dir = tempfile::tempdir().unwrap();
    let core = start(dir.path(), OPEN).await;
    let (mut peer, _) = core.node(1, "n").await;
    let given =
        core.handle.command(NodeId(1), Command::Restart, Some(Duration::from_secs(60))).await.unwrap();
    command(&mut peer).await;
    core.clock.advance_ms(61_000);
    core.handle.sweep().await;
    let ended = core.handle.command_ended(given.command_id, DEADLINE).await.unwrap();
    assert_eq!((ended.state, ended.code), (CommandState::TimedOut, Some(ErrorCode::CommandTimeout)));
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_node_gets_the_command_and_it_ends_unconfirmed() {
    let dir = tempfile::tempdir().unwrap();
    let core = start(dir.path(), OPEN).await;
    let mut peer = core.plain().await;
    let plain = bee_wire::node::NodeRegistration::new(NodeId(1), "old", bee_wire::node::NodeType::Full);
    assert!(peer.register(plain).await.accepted);
    let given = core.handle.command(NodeId(1), Command::GetInstalledPots, None).await.unwrap();
    match peer.recv().await {
        Some(CoreMessage::NodeCommand(command)) => assert_eq!(command.command_id, None),
        other => panic!("expected a command, got {other:?}"),
    }
    let ended = core.handle.command_ended(given.command_id, DEADLINE).await.unwrap();
    assert_eq!(ended.state, CommandState::Done);
    assert_eq!(ended.data, Some(serde_json::json!({ "confirmed": false })));
    core.stop().await;
}
