//! What the intake takes, keeps, refuses and puts up with.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    core::{Core, PATIENCE},
    harness::{Producer, line, send_plain, start, start_in, start_with},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_lines_are_kept_aside_and_good_ones_around_them_arrive() {
    let core = Core::plain().await;
    let node = start(&core.address).await;
    let mut bytes = line(1).into_bytes();
    bytes.extend_from_slice(b"not json \x1b[2J\xff\n[1,2]\n");
    bytes.extend_from_slice(b"{\"eventid\":\"x\",\"password\":\"\xff\0\"}\r\n");
    bytes.extend_from_slice(&[b"{\"a\":".repeat(200), b"\n".to_vec()].concat());
    bytes.extend_from_slice(line(2).as_bytes());
    send_plain(node.port, &bytes).await;
    core.until("three events", |seen| seen.events.len() == 3).await;
    core.seen(|seen| {
        let data: Vec<&String> = seen.events.values().collect();
        assert_eq!(data, [r#"{"n":1}"#, r#"{"eventid":"x","password":"\\xff\u0000"}"#, r#"{"n":2}"#]);
    });
    let letters = std::fs::read_to_string(node.state().join("dead-letter/lines.jsonl")).unwrap();
    assert_eq!(letters.lines().count(), 3, "{letters}");
    assert!(letters.contains("\\\\x1b[2J\\\\xff"), "{letters}");
    assert_eq!(node.board.counters("unknown").malformed, 3);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_is_stored_once_across_connections_restarts_and_malformed_lines() {
    let core = Core::plain().await;
    let node = start(&core.address).await;
    let mut first = Producer::connect(node.port, "me", None).await.unwrap();
    assert_eq!(first.next, 0);
    first.send(format!("{}broken\n{}", line(0), line(2)).as_bytes()).await.unwrap();
    first.receipt_of(3).await;
    first.send(b"broken too\n").await.unwrap();
    first.receipt_of(4).await;
    drop(first);
    let second = Producer::connect(node.port, "me", None).await.unwrap();
    assert_eq!(second.next, 4);
    let dir = node.stop().await;
    let node = start_in(dir, &core.address, |_| {}).await;
    let mut third = Producer::connect(node.port, "me", None).await.unwrap();
    assert_eq!(third.next, 4, "known after a restart, malformed lines included");
    third.send(line(4).as_bytes()).await.unwrap();
    third.receipt_of(5).await;
    assert_eq!(Producer::connect(node.port, "other", None).await.unwrap().next, 0);
    core.until("three events", |seen| seen.events.len() == 3).await;
    core.seen(|seen| {
        assert_eq!(seen.events.values().collect::<Vec<_>>(), [r#"{"n":0}"#, r#"{"n":2}"#, r#"{"n":4}"#])
    });
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_connection_of_a_producer_replaces_the_older_one() {
    let core = Core::plain().await;
    let node = start(&core.address).await;
    let mut old = Producer::connect(node.port, "me", None).await.unwrap();
    let mut new = Producer::connect(node.port, "me", None).await.unwrap();
    let ended = tokio::time::timeout(PATIENCE, old.receipt()).await.unwrap();
    assert!(ended.is_err(), "the older connection is closed");
    new.send(line(0).as_bytes()).await.unwrap();
    new.receipt_of(1).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_that_cannot_be_accepted_is_answered_and_ends_that_connection() {
    let core = Core::plain().await;
    let node = start(&core.address).await;
    let mut stream = TcpStream::connect(("127.0.0.1", node.port)).await.unwrap();
    stream.write_all(b"{\"honeybee_intake\":9,\"producer\":\"x\"}\n").await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.contains("\"error\"") && answer.contains("version"), "{answer}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_lines_are_cut_and_quiet_connections_are_not() {
    let core = Core::plain().await;
    let node =
        start_with(&core.address, |config| config.intake.line_time_max = Duration::from_millis(300)).await;
    let mut quiet = TcpStream::connect(("127.0.0.1", node.port)).await.unwrap();
    quiet.write_all(line(1).as_bytes()).await.unwrap();
    let mut slow = TcpStream::connect(("127.0.0.1", node.port)).await.unwrap();
    // A byte now and then does not help: the line has to end.
    let drip = async {
        while slow.write_all(b"{").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    };
    tokio::time::timeout(PATIENCE, drip).await.expect("the slow connection is cut");
    quiet.write_all(line(2).as_bytes()).await.unwrap();
    core.until("both lines of the quiet one", |seen| seen.events.len() == 2).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_beyond_the_limit_make_room_for_pots_that_speak() {
    let core = Core::plain().await;
    let node = start_with(&core.address, |config| config.intake.connections_max = 8).await;
    let mut speaking = Producer::connect(node.port, "pot", None).await.unwrap();
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(TcpStream::connect(("127.0.0.1", node.port)).await.unwrap());
    }
    speaking.send(line(1).as_bytes()).await.unwrap();
    speaking.receipt_of(1).await;
    let mut late = Producer::connect(node.port, "late", None).await.unwrap();
    late.send(line(2).as_bytes()).await.unwrap();
    late.receipt_of(1).await;
    core.until("both events", |seen| seen.events.len() == 2).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_the_spools_cap_the_oldest_go_and_are_counted_and_reported() {
    let core = Core::plain().await;
    let (segment, cap) = (9 * 1024 * 1024, 18 * 1024 * 1024);
    let shrink = |config: &mut bee_node::Config| {
        config.spool.segment_bytes_max = segment;
        config.spool.bytes_max = cap;
    };
    // Core's address answers only once the spool has overflowed.
    let gate = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gate.local_addr().unwrap().to_string();
    drop(gate);
    let node = start_with(&address, shrink).await;
    let filler = "x".repeat(64 * 1024);
    let mut producer = Producer::connect(node.port, "p", None).await.unwrap();
    let total = 700;
    for n in 0..total {
        let line = format!("{{\"eventid\":\"e\",\"n\":{n},\"filler\":\"{filler}\"}}\n");
        producer.send(line.as_bytes()).await.unwrap();
        producer.receipt_of(n + 1).await;
    }
    let status = node.spool.status();
    assert!(status.dropped > 0 && status.bytes <= cap, "{status:?}");
    assert_eq!(status.dropped + status.events, total);
    let dropped = status.dropped;
    let dir = node.stop().await;
    let node = start_in(dir, &core.address, shrink).await;
    core.until("what is left", |seen| seen.events.len() as u64 == total - dropped).await;
    core.seen(|seen| {
        assert_eq!(seen.batches[0].1, dropped, "the numbers of dropped events are left out");
        assert_eq!(seen.events.keys().next_back().unwrap().1, total - 1);
    });
    assert_eq!(
        Producer::connect(node.port, "p", None).await.unwrap().next,
        total,
        "producers outlive dropped records"
    );
    assert_eq!(node.spool.status().dropped, dropped, "the count survives a restart");
    node.stop().await;
}
