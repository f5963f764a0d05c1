//! What Core says of a node: connected, silent, back, gone, replaced.

use bee_wire::node::{Health, NodeStatus, NodeStatusUpdate};
use bee_wire::{CoreMessage, ErrorCode, NodeId, NodeMessage, Secret};

use crate::harness::{OPEN, TestCore, registration, start};

fn heartbeat(status: NodeStatus) -> NodeMessage {
    let health = Some(Health { rss_bytes: 9, ..Health::default() });
    NodeMessage::NodeStatusUpdate(NodeStatusUpdate { node_id: NodeId(1), status, health })
}

async fn becomes(core: &TestCore, status: NodeStatus) {
    core.until(status.as_str(), |core| core.node(NodeId(1)).is_some_and(|node| node.node.status == status))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_node_is_unknown_after_three_heartbeats_and_running_when_it_speaks() {
    let dir = tempfile::tempdir().unwrap();
    let core = start(dir.path(), OPEN).await;
    let mut changes = core.handle.changes();
    let (mut peer, ack) = core.node(1, "n").await;
    assert_eq!(ack.heartbeat_interval_s, Some(30));
    becomes(&core, NodeStatus::Connected).await;
    peer.send(&heartbeat(NodeStatus::Running)).await;
    becomes(&core, NodeStatus::Running).await;
    assert_eq!(core.handle.node(NodeId(1)).unwrap().health.unwrap().rss_bytes, 9);

    core.clock.advance_ms(89_000);
    core.handle.sweep().await;
    assert_eq!(core.handle.node(NodeId(1)).unwrap().node.status, NodeStatus::Running, "two may be missed");
    core.clock.advance_ms(17_000);
    core.handle.sweep().await;
    becomes(&core, NodeStatus::Unknown).await;
    assert!(core.handle.node(NodeId(1)).unwrap().node.connected, "silent is not gone");

    peer.send(&heartbeat(NodeStatus::Running)).await;
    becomes(&core, NodeStatus::Running).await;
    peer.send(&heartbeat(NodeStatus::Stopped)).await;
    peer.send(&NodeMessage::NodeDrop).await;
    peer.closed().await;
    becomes(&core, NodeStatus::Stopped).await;
    assert!(!core.handle.node(NodeId(1)).unwrap().node.connected);
    assert!(changes.try_recv().is_ok(), "watchers heard of it");
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_is_stopped_and_the_state_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let core = start(dir.path(), OPEN).await;
    let (peer, _) = core.node(1, "n").await;
    becomes(&core, NodeStatus::Connected).await;
    drop(peer);
    becomes(&core, NodeStatus::Stopped).await;
    let clock = core.stop().await;
    let core = crate::harness::start_at(dir.path(), OPEN, clock).await;
    becomes(&core, NodeStatus::Stopped).await;
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_connection_takes_the_place_of_the_older_one() {
    let dir = tempfile::tempdir().unwrap();
    let core = start(dir.path(), OPEN).await;
    let (mut older, ack) = core.node(1, "n").await;
    let totp = ack.totp_key.unwrap().expose().to_owned();
    core.clock.advance_ms(31_000);
    let mut newer = core.plain().await;
    let mut again = registration(1, "n");
    again.totp_code = Some(Secret::new(core.code(&totp)));
    assert!(newer.register(again).await.accepted);
    let told = older.recv().await;
    assert!(
        matches!(&told, Some(CoreMessage::Error(error)) if error.code == ErrorCode::NodeAlreadyRegistered),
        "{told:?}"
    );
    older.closed().await;
    newer.send(&heartbeat(NodeStatus::Running)).await;
    becomes(&core, NodeStatus::Running).await;
    assert_eq!(core.handle.connected_nodes(), [NodeId(1)]);
    assert_eq!(core.counter("node_replaced_total"), 1);
    core.stop().await;
}
