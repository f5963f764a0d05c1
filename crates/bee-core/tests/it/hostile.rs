//! Peers that mean harm: each ends in a counted, named error, and nobody else notices.

use bee_wire::NodeId;
use bee_wire::node::{NodeStatus, NodeStatusUpdate};
use bee_wire::{CoreMessage, ErrorCode, NodeMessage};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{DEADLINE, OPEN, TestCore, batch, start};

/// Writes what Core may cut off in the middle, then waits for the end.
async fn throw(core: &TestCore, chunks: impl IntoIterator<Item = Vec<u8>>) {
    let mut stream = TcpStream::connect(core.handle.addresses().nodes).await.unwrap();
    for chunk in chunks {
        if stream.write_all(&chunk).await.is_err() {
            break;
        }
    }
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "Core kept the connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_with_bad_bytes_end_their_own_connection_only() {
    let dir = tempfile::tempdir().unwrap();
    let core = start(dir.path(), OPEN).await;
    let (mut good, _) = core.node(1, "good").await;

    // A frame over 64 KiB before registration.
    throw(&core, [b"{\"a\":\"".to_vec(), vec![b'x'; 70_000]]).await;
    assert_eq!(core.counter("frames_too_large_total"), 1);
    // Three unreadable frames in a row.
    throw(&core, [b"nonsense\n\xff\xfe\x00\n[1,2,3]\n".to_vec()]).await;
    assert!(core.counter("frames_garbage_total") >= 3);
    // A hundred thousand nested brackets.
    throw(&core, [vec![b'{'; 100_000], vec![b'\n'], vec![b'['; 60_000], b"\n{{{\n{]\n".to_vec()]).await;
    // A TLS record that is none.
    throw(&core, [b"\x16\x03\x01\x00\x05hello and more".to_vec()]).await;
    core.until("the handshake failure is counted", |core| core.counters().node_tls_failures.get() == 1).await;

    good.send(&batch(1, "s", 0, 10)).await;
    good.acked("s", 10).await;
    core.until("only the good one is left", |core| {
        core.gauges().iter().any(|(name, value)| *name == "node_connections_open" && *value == 1)
    })
    .await;
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registered_node_over_the_frame_limit_is_told_and_cut() {
    let dir = tempfile::tempdir().unwrap();
    let core = start(dir.path(), OPEN).await;
    let (mut peer, _) = core.node(1, "n").await;
    let limit = core.handle.config().max_frame_bytes;
    assert_eq!(limit, 10 << 20);
    peer.raw(b"{\"version\":2,\"message\":\"").await;
    let piece = vec![b'x'; 1 << 20];
    let mut sent = 0;
    while sent <= limit {
        if peer.stream.write_all(&piece).await.is_err() {
            break;
        }
        sent += piece.len();
    }
    // The reset that follows unread bytes may overtake the error reply; the counter is certain.
    core.until("it is counted", |core| core.counters().frames_too_large.get() == 1).await;
    core.until("it is gone", |core| core.connected_nodes().is_empty()).await;
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_dribbles_is_cut_at_the_registration_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let core = start(dir.path(), OPEN).await;
    let mut slow = core.plain().await;
    slow.raw(b"{\"version\":2,").await;
    core.until("it is connected", |core| {
        core.gauges().iter().any(|(name, value)| *name == "node_connections_open" && *value == 1)
    })
    .await;
    // Its first byte must have been taken before the clock moves.
    core.until("its bytes were read", |core| core.counters().node_bytes.get() > 0).await;
    core.clock.advance_ms(25_000);
    core.handle.sweep().await;
    slow.closed().await;
    core.until("it is counted", |core| core.counters().node_registration_timeouts.get() == 1).await;
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_text_to_a_tls_port_and_tls_to_a_plain_port_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let core = start(&dir.path().join("a"), "[tls]\nmode = \"required\"\n").await;
    throw(&core, [b"{\"version\":2}".to_vec()]).await;
    core.until("plain is counted", |core| core.counters().node_wrong_transport.get() == 1).await;
    core.stop().await;
    let core = start(&dir.path().join("b"), "[tls]\nmode = \"off\"\n").await;
    throw(&core, [b"\x16\x03\x01\x00\x05hello".to_vec()]).await;
    core.until("TLS is counted", |core| core.counters().node_wrong_transport.get() == 1).await;
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_cannot_speak_for_another() {
    let dir = tempfile::tempdir().unwrap();
    let core = start(dir.path(), OPEN).await;
    let (_victim, _) = core.node(1, "victim").await;
    let (mut liar, _) = core.node(2, "liar").await;
    let forged = NodeStatusUpdate { node_id: NodeId(1), status: NodeStatus::Failed, health: None };
    liar.send(&NodeMessage::NodeStatusUpdate(forged)).await;
    liar.send(&batch(1, "s", 0, 3)).await;
    liar.acked("s", 3).await;
    let status = |id| core.handle.node(NodeId(id)).unwrap().node;
    assert_ne!(status(1).status, NodeStatus::Failed);
    assert_eq!((status(1).events_stored, status(2).events_stored), (0, 3), "its events count as its own");
    assert!(core.counter("node_id_forged_total") >= 2);
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_a_limit_on_strangers() {
    let dir = tempfile::tempdir().unwrap();
    let core = start(dir.path(), &format!("{OPEN}[limits]\nunregistered_max = 4\n")).await;
    let mut idle = Vec::new();
    for _ in 0..4 {
        idle.push(TcpStream::connect(core.handle.addresses().nodes).await.unwrap());
    }
    core.until("four wait", |core| core.counters().node_connections.get() == 4).await;
    throw(&core, []).await;
    assert_eq!(core.counter("node_connections_refused_total"), 1);
    drop(idle);
    core.until("places are free again", |core| {
        core.gauges().iter().any(|(name, value)| *name == "node_connections_open" && *value == 0)
    })
    .await;
    core.node(1, "n").await;
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sequence_numbers_past_the_end_of_the_world_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let core = start(dir.path(), OPEN).await;
    let (mut peer, _) = core.node(1, "n").await;
    peer.send(&batch(1, "s", (1 << 53) - 2, 5)).await;
    let answer = peer.recv().await;
    assert!(
        matches!(&answer, Some(CoreMessage::Error(error)) if error.code == ErrorCode::InvalidMessageFormat),
        "{answer:?}"
    );
    peer.closed().await;
    assert_eq!(core.counter("events_stored_total"), 0);
    core.stop().await;
}
