//! The live feed, published events and artifacts.

use bee_core::OnLag;
use bee_wire::api::ApiTokenRequest;
use bee_wire::id::Cursor;
use bee_wire::module::PublishEvent;
use bee_wire::node::{ArtifactBegin, ArtifactChunk, ArtifactEnd, ArtifactKind};
use bee_wire::{ArtifactId, CoreMessage, NodeId, NodeMessage};
use sha2::{Digest as _, Sha256};

use crate::harness::{DEADLINE, OPEN, batch, start};

async fn collect(subscription: &mut bee_core::Subscription, count: u64) -> (Vec<u64>, u64) {
    let (mut ids, mut missed) = (Vec::new(), 0);
    while (ids.len() as u64) + missed < count {
        let delivery =
            tokio::time::timeout(DEADLINE, subscription.next(500)).await.unwrap().unwrap().unwrap();
        missed += delivery.missed;
        ids.extend(delivery.events.iter().map(|event| event.id.0));
        assert!(delivery.cursor.0 > ids.last().copied().unwrap_or(0));
    }
    (ids, missed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_hears_what_passes_its_filter_and_resumes_from_a_cursor() {
    let dir = tempfile::tempdir().unwrap();
    let core = start(dir.path(), OPEN).await;
    let (mut peer, _) = core.node(1, "n").await;
    let mut all = core.handle.subscribe(None, None, OnLag::Skip).unwrap();
    let mut some = core.handle.subscribe(Some("session:s1 event:cowrie.*"), None, OnLag::Skip).unwrap();
    peer.send(&batch(1, "s", 0, 30)).await;
    let (ids, missed) = collect(&mut all, 30).await;
    assert_eq!((ids.len(), missed), (30, 0));
    let delivery = some.next(100).await.unwrap().unwrap();
    assert_eq!(delivery.events.len(), 10);
    assert!(delivery.events.iter().all(|event| event.session.as_deref() == Some("s1")));

    // From the middle of what is stored, then on into what comes.
    let mut resumed = core.handle.subscribe(None, Some(Cursor(ids[10])), OnLag::CatchUp).unwrap();
    peer.send(&batch(1, "s", 30, 5)).await;
    let (from_middle, missed) = collect(&mut resumed, 25).await;
    assert_eq!((from_middle.len(), missed), (25, 0));
    assert_eq!(from_middle[..20], ids[10..]);
    assert!(core.handle.subscribe(Some("colour:red"), None, OnLag::Skip).is_err());
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_subscriber_never_holds_up_ingest_and_knows_what_it_missed() {
    let dir = tempfile::tempdir().unwrap();
    let core = start(dir.path(), OPEN).await;
    let (mut peer, _) = core.node(1, "n").await;
    let mut skips = core.handle.subscribe(None, None, OnLag::Skip).unwrap();
    let mut catches_up = core.handle.subscribe(None, None, OnLag::CatchUp).unwrap();
    let count = 4 * bee_core::limits::LIVE_QUEUE_MAX as u64;
    for first in (0..count).step_by(1_024) {
        peer.send(&batch(1, "s", first, 1_024)).await;
    }
    // Acknowledged although nobody reads the subscriptions.
    peer.acked("s", count).await;
    core.until("the feed has seen all", |core| {
        core.counters().live_events.get() + core.counters().live_missed.get() >= 2 * count
    })
    .await;
    let (ids, missed) = collect(&mut skips, count).await;
    assert!(missed > 0);
    assert_eq!(ids.len() as u64 + missed, count);
    let (ids, missed) = collect(&mut catches_up, count).await;
    assert_eq!((ids.len() as u64, missed), (count, 0), "the log has what the queue had no room for");
    assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1), "in order, each once");
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_published_event_is_durable_and_answered_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let core = start(dir.path(), OPEN).await;
    let event = PublishEvent {
        event_type: "intel.match".into(),
        timestamp: None,
        pot_id: None,
        pot_type: None,
        enriches: Some(Cursor(1)),
        tags: vec!["T1110".into()],
        data: serde_json::value::RawValue::from_string("{\"src_ip\":\"198.51.100.1\"}".into()).unwrap(),
    };
    let cursor = core.handle.publish_event("intel", event).await.unwrap();
    let stored = core.handle.event(cursor).await.unwrap().unwrap();
    assert_eq!(
        (stored.event_type.as_str(), stored.pot_id.as_str(), stored.node_name.as_str()),
        ("intel.match", "intel", "core")
    );
    assert_eq!(stored.src_ip.as_deref(), Some("198.51.100.1"));
    let clock = core.stop().await;
    let core = crate::harness::start_at(dir.path(), OPEN, clock).await;
    assert!(core.handle.event(cursor).await.unwrap().is_some());
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_artifact_is_acknowledged_when_it_is_in_the_vault_and_a_forged_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let core = start(dir.path(), OPEN).await;
    let (mut peer, _) = core.node(1, "n").await;
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let artifact = ArtifactId(Sha256::digest(&bytes).into());
    let begin = ArtifactBegin {
        node_id: NodeId(1),
        artifact,
        kind: ArtifactKind::Download,
        size: bytes.len() as u64,
        pot_id: None,
    };
    for _ in 0..2 {
        peer.send(&NodeMessage::ArtifactBegin(begin.clone())).await;
        for (index, data) in bytes.chunks(200_000).enumerate() {
            let offset = index as u64 * 200_000;
            peer.send(&NodeMessage::ArtifactChunk(ArtifactChunk {
                node_id: NodeId(1),
                artifact,
                offset,
                data: data.to_vec(),
            }))
            .await;
        }
        peer.send(&NodeMessage::ArtifactEnd(ArtifactEnd { node_id: NodeId(1), artifact })).await;
        peer.acked(artifact.stream().as_str(), bytes.len() as u64).await;
    }
    let (view, path) = core.handle.artifact(artifact).unwrap().unwrap();
    assert_eq!((view.size, std::fs::read(path).unwrap()), (300_000, bytes));
    assert_eq!(core.handle.artifacts().await.unwrap().len(), 1);

    let forged = ArtifactId([7; 32]);
    peer.send(&NodeMessage::ArtifactBegin(ArtifactBegin { artifact: forged, size: 3, ..begin })).await;
    let chunk = ArtifactChunk { node_id: NodeId(1), artifact: forged, offset: 0, data: b"abc".to_vec() };
    peer.send(&NodeMessage::ArtifactChunk(chunk)).await;
    peer.send(&NodeMessage::ArtifactEnd(ArtifactEnd { node_id: NodeId(1), artifact: forged })).await;
    assert!(matches!(peer.recv().await, Some(CoreMessage::Error(_))));
    assert_eq!(core.counter("artifacts_refused_total"), 1);
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_file_opens_core_and_keeps_its_token_across_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let core = start(dir.path(), OPEN).await;
    let path = dir.path().join("core/operator.json");
    let read = || -> serde_json::Value { serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap() };
    let file = read();
    let token = file["token"].as_str().unwrap().to_owned();
    assert!(core.handle.authenticate(&token).is_some());
    assert_eq!(file["ca_fingerprint"].as_str().unwrap(), core.handle.ca_fingerprint());
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let clock = core.stop().await;
    let core = crate::harness::start_at(dir.path(), OPEN, clock).await;
    assert_eq!(read()["token"].as_str(), Some(token.as_str()));
    assert_eq!(core.handle.api_tokens().len(), 1);
    let request = ApiTokenRequest {
        name: "x".into(),
        scopes: vec![bee_wire::api::Scope::EventsRead],
        expires_in_s: None,
    };
    let made = core.handle.create_api_token(request).await.unwrap();
    core.handle.revoke_api_token(&made.token.id).await.unwrap();
    assert!(core.handle.authenticate(made.secret.expose()).is_none());
    core.stop().await;
}
