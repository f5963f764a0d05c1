//! The guarantee: acknowledged is stored, stored is stored once, and what is missing is counted.

use std::path::Path;

use bee_wire::NodeId;
use bee_wire::api::EventQuery;

use crate::harness::{OPEN, batch, start, start_at};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeats_are_stored_once_also_across_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let core = start(dir.path(), OPEN).await;
    let (mut peer, ack) = core.node(1, "n").await;
    assert_eq!(ack.resume, None);
    let totp = ack.totp_key.unwrap().expose().to_owned();
    peer.send(&batch(1, "spool", 0, 100)).await;
    peer.acked("spool", 100).await;
    peer.send(&batch(1, "spool", 0, 100)).await;
    peer.send(&batch(1, "spool", 50, 100)).await;
    peer.acked("spool", 150).await;
    assert_eq!(core.counter("events_repeated_total"), 150);
    let clock = core.stop().await;

    let core = start_at(dir.path(), OPEN, clock).await;
    core.clock.advance_ms(31_000);
    let mut peer = core.plain().await;
    let mut again = crate::harness::registration(1, "n");
    again.totp_code = Some(bee_wire::Secret::new(core.code(&totp)));
    let ack = peer.register(again).await;
    let resume = ack.resume.unwrap();
    assert_eq!((resume.stream.as_str(), resume.next_seq), ("spool", 150));
    peer.send(&batch(1, "spool", 140, 20)).await;
    peer.acked("spool", 160).await;
    assert_eq!(core.numbers().await, (0..160).collect::<Vec<_>>());
    assert_eq!(core.handle.node(NodeId(1)).unwrap().node.events_stored, 160);
    core.stop().await;
}

/// The disk as a crash leaves it: a copy made while Core runs.
fn crash_image(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    std::fs::set_permissions(to, std::fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            crash_image(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_crash_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let core = start(&dir.path().join("a"), OPEN).await;
    let (mut peer, ack) = core.node(1, "n").await;
    let totp = ack.totp_key.unwrap().expose().to_owned();
    peer.send(&batch(1, "spool", 0, 500)).await;
    peer.acked("spool", 500).await;
    // No checkpoint of the positions was written yet: they come from the log alone.
    crash_image(&dir.path().join("a"), &dir.path().join("b"));
    let clock = core.stop().await;

    let core = start_at(&dir.path().join("b"), OPEN, clock).await;
    core.clock.advance_ms(31_000);
    let mut peer = core.plain().await;
    let mut again = crate::harness::registration(1, "n");
    again.totp_code = Some(bee_wire::Secret::new(core.code(&totp)));
    let ack = peer.register(again).await;
    assert_eq!(ack.resume.map(|resume| resume.next_seq), Some(500));
    peer.send(&batch(1, "spool", 400, 200)).await;
    peer.acked("spool", 600).await;
    assert_eq!(core.numbers().await, (0..600).collect::<Vec<_>>());
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_that_a_node_skips_are_counted_as_its_loss() {
    let dir = tempfile::tempdir().unwrap();
    let core = start(dir.path(), OPEN).await;
    let (mut peer, _) = core.node(1, "n").await;
    peer.send(&batch(1, "spool", 0, 10)).await;
    peer.send(&batch(1, "spool", 25, 5)).await;
    peer.acked("spool", 30).await;
    assert_eq!(core.counter("events_gap_total"), 15);
    let node = core.handle.node(NodeId(1)).unwrap().node;
    assert_eq!((node.events_stored, node.events_dropped), (15, 15));
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oldest_events_leave_at_the_size_cap_and_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let small = format!(
        "{OPEN}[limits]\nmax_frame_bytes = 65536\n[log]\nsegment_bytes = 1500000\nbytes_max = 3000000\n"
    );
    let core = start(dir.path(), &small).await;
    let (mut peer, _) = core.node(1, "n").await;
    // Random text does not compress: sixty batches of about 60 KB pass the cap.
    let mut next = 0;
    while core.counter("events_expired_total") == 0 {
        assert!(next < 2_000, "the cap was never met");
        let noise: String = (0..60_000).map(|_| char::from(rand::random_range(b'a'..=b'z'))).collect();
        let text = format!(
            "{{\"version\":2,\"message\":{{\"PotEventBatch\":{{\"node_id\":1,\"stream\":\"s\",\"first_seq\":{next},\"events\":[{{\"pot_id\":\"p\",\"event_type\":\"x.y\",\"timestamp\":1767225600,\"data\":{{\"n\":{next},\"noise\":\"{noise}\"}}}}]}}}}}}\n"
        );
        peer.raw(text.as_bytes()).await;
        next += 1;
        peer.acked("s", next).await;
    }
    let expired = core.counter("events_expired_total");
    let kept = core.numbers().await;
    assert_eq!(kept, (expired..next).collect::<Vec<_>>());
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_found_newest_first_by_every_filter() {
    let dir = tempfile::tempdir().unwrap();
    let core = start(dir.path(), OPEN).await;
    let (mut peer, _) = core.node(1, "edge").await;
    peer.send(&batch(1, "s", 0, 250)).await;
    peer.acked("s", 250).await;
    let ids = |query: EventQuery| {
        let handle = core.handle.clone();
        async move {
            let page = handle.events(query).await.unwrap();
            assert!(!page.partial);
            page.events
                .iter()
                .map(|event| event.password.as_deref().unwrap()[1..].parse::<u64>().unwrap())
                .collect::<Vec<_>>()
        }
    };
    let base = EventQuery { limit: Some(1_000), ..EventQuery::default() };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(ids(EventQuery { limit: Some(3), ..base.clone() }).await, [249, 248, 247]);
    assert_eq!(
        ids(EventQuery { session: text("s3"), ..base.clone() }).await,
        (30..40).rev().collect::<Vec<_>>()
    );
    assert_eq!(ids(EventQuery { src_ip: text("203.0.113.8/31"), ..base.clone() }).await, [9, 8]);
    assert_eq!(ids(EventQuery { src_ip: text("203.0.113.7"), ..base.clone() }).await, [7]);
    assert_eq!(ids(EventQuery { text: text("\"P42\""), ..base.clone() }).await, [42]);
    assert_eq!(
        ids(EventQuery { event_type: text("cowrie.login.*"), node: text("edge"), ..base.clone() })
            .await
            .len(),
        250
    );
    assert_eq!(ids(EventQuery { node: text("nobody"), ..base.clone() }).await.len(), 0);
    assert_eq!(
        ids(EventQuery { pot: text("ssh-1"), pot_type: text("SSH"), ..base.clone() }).await.len(),
        250
    );
    let at = |ms: i64| Some(bee_wire::Micros::from_unix_us(1_767_225_600_000_000).plus_ms(ms));
    assert_eq!(ids(EventQuery { since: at(10), until: at(13), ..base.clone() }).await, [12, 11, 10]);
    assert!(core.handle.events(EventQuery { src_ip: text("nonsense"), ..base }).await.is_err());

    let page = core.handle.events(EventQuery { limit: Some(1), ..EventQuery::default() }).await.unwrap();
    let event = core.handle.event(page.events[0].id).await.unwrap().unwrap();
    assert_eq!((event.node_name.as_str(), event.username.as_deref()), ("edge", Some("root")));
    core.stop().await;
}
