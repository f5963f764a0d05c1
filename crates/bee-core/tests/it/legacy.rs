//! Peers of the field: plain v2, with everything odd that they send.

use bee_wire::node::PotStatus;
use bee_wire::{CoreMessage, NodeId};

use crate::harness::{OPEN, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_node_with_odd_manners_keeps_its_connection_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let core = start(dir.path(), OPEN).await;
    let mut peer = core.plain().await;
    // Back to back, no newline; the id as text.
    peer.raw(
        br#"{"version":2,"message":{"NodeRegistration":{"node_id":"12345","node_name":"old","address":"0.0.0.0","port":8080,"node_type":"Full"}}}{"version":2,"message":{"NodeStatusUpdate":{"node_id":12345,"status":"Running"}}}"#,
    )
    .await;
    let Some(CoreMessage::RegistrationAck(ack)) = peer.recv().await else { panic!("no answer") };
    assert!(
        ack.accepted && ack.features.is_empty() && ack.heartbeat_interval_s.is_none() && ack.resume.is_none()
    );
    assert!(ack.totp_key.is_some());

    peer.raw(br#"{"version":2,"message":{"NodeEvent":"Started"}}{"version":2,"message":{"NodeEvent":{"Alarm":{"description":"tamper"}}}}"#).await;
    peer.raw(br#"{"version":2,"message":{"PotStatusUpdate":{"node_id":12345,"pot_id":"cowrie-01","pot_type":"cowrie","status":"Running","message":"up"}}}"#).await;
    // An attack event squeezed into a status update with an empty status.
    peer.raw(br#"{"version":2,"message":{"PotStatusUpdate":{"node_id":12345,"pot_id":"cowrie-01","pot_type":"cowrie","status":"","message":"login attempt"}}}"#).await;
    peer.raw(br#"{"version":2,"message":{"PotEvent":{"node_id":12345,"pot_id":"cowrie-01","event":"login","message":"m","metadata":{"username":"admin","ip":"192.168.1.100"},"timestamp":1767225600}}}"#).await;
    peer.raw(b"this is no message\n{\"version\":2,\"message\":{\"Nonsense\":{}}}\n").await;
    peer.raw(br#"{"version":2,"message":{"PotEvent":{"node_id":12345,"pot_id":"cowrie-01","event_type":"last","timestamp":"2026-01-01T00:00:00Z","data":{"username":"z"}}}}"#).await;
    core.until("all events are stored", |core| core.counters().events_stored.get() >= 4).await;

    let page = core.handle.events(Default::default()).await.unwrap();
    let types: Vec<&str> = page.events.iter().map(|event| event.event_type.as_str()).collect();
    assert!(types.contains(&"last") && types.contains(&"honeybee.node.alarm"), "{types:?}");
    let login = page.events.iter().find(|event| event.event_type == "login").unwrap();
    assert_eq!((login.username.as_deref(), login.src_ip.as_deref()), (Some("admin"), Some("192.168.1.100")));
    let pots = core.handle.pots();
    assert_eq!((pots.len(), pots[0].status), (1, PotStatus::Running));
    assert!(core.handle.node(NodeId(12345)).unwrap().node.connected, "nothing of this ends a connection");
    assert_eq!((core.counter("frames_garbage_total"), core.counter("frames_unknown_total")), (1, 1));
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_changes_its_id_is_known_by_name_and_code() {
    let dir = tempfile::tempdir().unwrap();
    let core = start(dir.path(), OPEN).await;
    let mut first =
        bee_wire::node::NodeRegistration::new(NodeId(100), "drifter", bee_wire::node::NodeType::Full);
    let mut peer = core.plain().await;
    let totp = peer.register(first.clone()).await.totp_key.unwrap().expose().to_owned();
    drop(peer);
    core.clock.advance_ms(31_000);
    first.node_id = NodeId(200);
    first.totp_code = Some(bee_wire::Secret::new(core.code(&totp)));
    let ack = core.plain().await.register(first).await;
    assert!(ack.accepted, "{ack:?}");
    assert_eq!(core.handle.nodes().len(), 1, "it is the same node");
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_protocol_version_is_refused_with_both_versions_named() {
    let dir = tempfile::tempdir().unwrap();
    let core = start(dir.path(), OPEN).await;
    let mut peer = core.plain().await;
    peer.raw(br#"{"version":1,"message":{"NodeRegistration":{"node_id":1,"node_name":"n","address":"","port":1,"node_type":"Full"}}}"#).await;
    let Some(CoreMessage::RegistrationAck(ack)) = peer.recv().await else { panic!("no answer") };
    let text = ack.message.unwrap();
    assert!(
        !ack.accepted
            && text.contains("PROTOCOL_VERSION_MISMATCH")
            && text.contains('1')
            && text.contains('2'),
        "{text}"
    );
    peer.closed().await;
    core.stop().await;
}
