//! Peers that mean harm: each ends in a named, counted error, and others notice nothing.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::client::{Served, serve};

async fn works(core: &Served) {
    let mut module = core.registered().await;
    module.send(json!({ "BackendCommand": "GetNodeCount" })).await;
    assert_eq!(module.success().await["count"], 0);
    core.get("/api/v1/nodes").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_costs_a_registered_module_an_error_reply_and_not_its_connection() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), "").await;
    let mut module = core.registered().await;
    let nested = format!("{{\"version\":2,\"message\":{}\n", "[".repeat(100_000));
    for (bytes, code) in [
        (nested.as_bytes(), "MESSAGE_PARSE_FAILED"),
        (
            &b"{\"version\":2,\"message\":{\"Log\":{\"level\":\"info\",\"message\":\"\xff\xfe\"}}}\n"[..],
            "MESSAGE_PARSE_FAILED",
        ),
        (b"hello\0there\n", "MESSAGE_PARSE_FAILED"),
        (b"{\"version\":2,\"message\":{\"Log\":7}}", "INVALID_MESSAGE_FORMAT"),
        (b"{\"version\":2}", "INVALID_MESSAGE_FORMAT"),
        (b"{}", "INVALID_MESSAGE_FORMAT"),
    ] {
        module.raw(bytes).await;
        let failure = module.failure().await;
        assert!(
            failure.starts_with(code),
            "{failure} for {}",
            String::from_utf8_lossy(bytes).chars().take(60).collect::<String>()
        );
        module.send(json!({ "BackendCommand": "GetNodeCount" })).await;
        assert_eq!(module.success().await["count"], 0);
    }
    assert_eq!(core.core.counter("module_messages_bad_total"), 6);
    core.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_over_the_limit_is_named_and_ends_the_connection() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), "").await;
    for (registered, bytes, limit) in
        [(true, 10 * 1024 * 1024 + 1, "10485760"), (false, 64 * 1024 + 1, "65536")]
    {
        let mut module = if registered { core.registered().await } else { core.module().await };
        let mut frame = b"{\"version\":2,\"message\":{\"Log\":{\"level\":\"info\",\"message\":\"".to_vec();
        frame.resize(bytes, b'x');
        module.raw_lossy(&frame).await;
        let failure = module.failure().await;
        assert!(failure.starts_with("MESSAGE_TOO_LARGE: ") && failure.contains(limit), "{failure}");
        module.closed().await;
    }
    assert_eq!(core.core.counter("module_frames_too_large_total"), 2);
    // A frame of almost the limit is taken.
    let mut module = core.registered().await;
    let text = "x".repeat(10 * 1024 * 1024 - 200);
    module.send(json!({ "Log": { "level": "debug", "message": text } })).await;
    module.response().await;
    works(&core).await;
    core.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_over_the_limits_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), "").await;
    let auth = format!("Authorization: Bearer {}\r\n", core.token);
    let json_type = format!("{auth}Content-Type: application/json\r\n");
    let large = vec![b' '; 2 * 1024 * 1024];
    let refused = core.raw("POST", "/api/v1/tokens", &json_type, &large).await;
    assert_eq!(refused.problem(413)["code"], "MESSAGE_TOO_LARGE");
    let refused = core.raw("POST", "/api/v1/tokens", &auth, b"{}").await;
    assert_eq!(refused.problem(415)["code"], "UNSUPPORTED_MEDIA_TYPE");
    let nested = format!("{{\"x\":{}", "[".repeat(100_000));
    let refused = core.raw("POST", "/api/v1/tokens", &json_type, nested.as_bytes()).await;
    assert_eq!(refused.problem(400)["code"], "MESSAGE_PARSE_FAILED");
    let refused = core.raw("POST", "/api/v1/tokens", &json_type, b"{\"name\":\"\xff\"}").await;
    refused.problem(400);
    // A head over the limit is cut, whether or not the client lives to see the 431.
    let mut stream = TcpStream::connect(core.address()).await.unwrap();
    let head = format!("GET /api/v1/nodes HTTP/1.1\r\nHost: x\r\nX-Large: {}\r\n\r\n", "x".repeat(64 * 1024));
    let _ = stream.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(crate::harness::DEADLINE, stream.read_to_end(&mut answer))
        .await
        .expect("never cut");
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
    let refused = core.raw("GET", &format!("/api/v1/events?text={}", "x".repeat(5_000)), &auth, b"").await;
    refused.problem(400);
    let refused = core.raw("GET", "/api/v1/events/%ff%fe%00", &auth, b"").await;
    refused.problem(400);
    works(&core).await;
    core.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_peers_are_cut_at_every_step() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), "").await;
    let ws = core.core.handle.addresses().ws.unwrap();
    let head = "POST /api/v1/tokens HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let body = format!("{head}Authorization: Bearer {}\r\nContent-Length: 100\r\n\r\n{{", core.token);
    let socket = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let peers = [
        (core.address(), ""),
        (core.address(), "GET / HT"),
        (core.address(), head),
        (core.address(), &body),
        (core.address(), "{\"version\":2,"),
        (core.address(), "\u{16}\u{3}\u{1}"),
        (ws, ""),
        (ws, "GET / HT"),
        (ws, socket),
    ];
    let mut waiting = tokio::task::JoinSet::new();
    for (address, bytes) in peers {
        let bytes = bytes.to_owned();
        waiting.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(bytes.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            let cut = tokio::time::timeout(Duration::from_secs(40), stream.read_to_end(&mut answer)).await;
            assert!(cut.is_ok(), "never cut: {bytes:?}");
        });
    }
    works(&core).await;
    while let Some(done) = waiting.join_next().await {
        done.unwrap();
    }
    assert!(core.core.counter("api_timeouts_total") >= 5, "{}", core.core.counter("api_timeouts_total"));
    assert_eq!(core.core.counter("module_timeouts_total"), 2);
    works(&core).await;
    core.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_garbage_and_tls_within_tls_are_counted_and_closed() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), "").await;
    let mut stream = TcpStream::connect(core.address()).await.unwrap();
    stream.write_all(b"\x16\x03\x01\x00\x05garbage that is no hello at all").await.unwrap();
    let _ = stream.read_to_end(&mut Vec::new()).await;
    core.core.until("the failure is counted", |handle| handle.counters().api_tls_failures.get() == 1).await;
    works(&core).await;
    core.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_text_to_a_port_that_requires_tls_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), "[api]\ntls = \"required\"\n").await;
    for bytes in ["GET /health HTTP/1.1\r\nHost: x\r\n\r\n", "{\"version\":2}"] {
        let mut stream = TcpStream::connect(core.address()).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.is_empty());
    }
    core.core.until("both are counted", |handle| handle.counters().api_wrong_transport.get() == 2).await;
    core.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_by_the_thousand_keep_nobody_out() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), "").await;
    let _ = bee_daemon::limits::raise_nofile(8_192);
    let mut idle = Vec::new();
    for _ in 0..1_000 {
        idle.push(TcpStream::connect(core.address()).await.unwrap());
    }
    works(&core).await;
    drop(idle);
    core.core.stop().await;
}
