//! Wire to durable as fast as it goes: a measurement, run by hand.
//!
//! `cargo test --release -p bee-core --test it -- --ignored --nocapture wire_to_durable`

use std::time::Instant;

use bee_wire::encode_node;
use tokio::io::AsyncWriteExt as _;

use crate::harness::{OPEN, batch, identity, node_key, registration, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a claim"]
async fn wire_to_durable_over_tls() {
    const BATCHES: u64 = 400;
    const EVENTS: u64 = 2_500;
    let dir = tempfile::tempdir().unwrap();
    let core = start(dir.path(), OPEN).await;
    let key = node_key();
    let mut first = registration(1, "bench");
    first.csr = Some(key.csr_pem.clone());
    let ack = core.tls(None).await.register(first).await;
    let identity = identity(&key, &ack.certificate.unwrap(), dir.path());
    let frames: Vec<Vec<u8>> =
        (0..BATCHES).map(|n| encode_node(&batch(1, "s", n * EVENTS, EVENTS))).collect();
    let bytes: usize = frames.iter().map(Vec::len).sum();
    core.clock.advance_ms(31_000);
    let mut peer = core.tls(Some(identity)).await;
    let mut again = registration(1, "bench");
    again.totp_code = Some(bee_wire::Secret::new(core.code(ack.totp_key.unwrap().expose())));
    let ack = peer.register(again).await;
    assert!(ack.accepted, "{ack:?}");
    let begin = Instant::now();
    for frame in &frames {
        peer.stream.write_all(frame).await.unwrap();
    }
    peer.stream.flush().await.unwrap();
    peer.acked("s", BATCHES * EVENTS).await;
    let took = begin.elapsed();
    let events = (BATCHES * EVENTS) as f64;
    println!(
        "{events} events, {:.0} MB in {took:?}: {:.0} events/s, {} syncs, {} log bytes",
        bytes as f64 / 1e6,
        events / took.as_secs_f64(),
        core.counter("log_commits_total"),
        core.counter("log_bytes_total")
    );
    core.stop().await;
}
