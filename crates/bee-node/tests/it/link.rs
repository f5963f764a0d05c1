//! Registration, heartbeat, delivery, resume.

use bee_wire::node::feature;

use crate::{
    core::{Core, Manners},
    harness::{Producer, eventually, line, send_plain, start, start_in, start_with},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_registers_and_sends_heartbeats_with_its_health() {
    let core = Core::plain().await;
    let node = start(&core.address).await;
    core.until("three heartbeats", |seen| {
        let health = seen.messages.iter().filter_map(|message| match message {
            bee_wire::NodeMessage::NodeStatusUpdate(update) => update.health.as_ref(),
            _ => None,
        });
        health.filter(|health| health.rss_bytes > 0 && health.clock_ms > 0).count() >= 3
    })
    .await;
    core.seen(|seen| {
        let registration = &seen.registrations[0];
        assert_eq!(registration.node_name, "edge-1");
        assert_eq!(registration.features, feature::ALL);
        assert_eq!(registration.software.as_deref(), Some(bee_node::SOFTWARE));
        assert!(registration.boot_id.is_some() && registration.csr.is_some());
        assert!(registration.node_id.0 > 0 && registration.node_id.0 < 1 << 53);
    });
    let dir = node.stop().await;
    let node = start_in(dir, &core.address, |_| {}).await;
    core.until("a second registration", |seen| seen.registrations.len() == 2).await;
    core.seen(|seen| {
        assert_eq!(seen.registrations[0].node_id, seen.registrations[1].node_id, "the id is kept");
        assert!(seen.registrations[0].totp_code.is_none());
        let code = seen.registrations[1].totp_code.as_ref().expect("a TOTP code once Core gave a key");
        assert!(code.expose().len() == 6 && code.expose().bytes().all(|byte| byte.is_ascii_digit()));
    });
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_of_both_shapes_reach_core_byte_for_byte_and_leave_the_spool() {
    let core = Core::plain().await;
    let node = start(&core.address).await;
    let native = r#"{"eventid":"cowrie.login.failed","sensor":"c","password":"a\u0000b",  "n": 1.50}"#;
    send_plain(node.port, format!("{}{native}\n", line(7)).as_bytes()).await;
    core.until("two events", |seen| seen.events.len() == 2).await;
    core.seen(|seen| {
        let data: Vec<&String> = seen.events.values().collect();
        assert_eq!(data, [r#"{"n":7}"#, native]);
    });
    eventually("an empty spool", || node.spool.status().events == 0).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_cut_only_unacknowledged_events_are_sent_again() {
    let core = Core::plain().await;
    let node = start(&core.address).await;
    let mut producer = Producer::connect(node.port, "p", None).await.unwrap();
    for n in 0..100 {
        producer.send(line(n).as_bytes()).await.unwrap();
    }
    producer.receipt_of(100).await;
    core.until("the first hundred", |seen| seen.events.len() == 100).await;
    eventually("their acknowledgement", || node.spool.acked() == 100).await;
    core.behave(|manners| manners.acknowledges = false);
    for n in 100..200 {
        producer.send(line(n).as_bytes()).await.unwrap();
    }
    core.until("the second hundred", |seen| seen.events.len() == 200).await;
    let batches = core.seen(|seen| seen.batches.len());
    // The Core has them all: `resume` says so, and nothing comes again.
    core.behave(|manners| manners.acknowledges = true);
    core.cut();
    producer.send(line(200).as_bytes()).await.unwrap();
    core.until("the last one", |seen| seen.events.len() == 201).await;
    core.seen(|seen| {
        assert_eq!(seen.repeats, 0);
        assert_eq!(seen.batches[batches].1, 200, "the first batch after the cut begins where Core stands");
        let numbers: Vec<u64> = seen.events.keys().map(|(_, seq)| *seq).collect();
        assert_eq!(numbers, (0..201).collect::<Vec<_>>());
    });
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_time_without_core_arrive_when_it_is_there() {
    let core = Core::plain().await;
    let refused = crate::harness::free_port().await;
    let node = start(&format!("127.0.0.1:{refused}")).await;
    send_plain(node.port, line(1).as_bytes()).await;
    send_plain(node.port, line(2).as_bytes()).await;
    eventually("two durable events", || node.spool.status().events == 2).await;
    let dir = node.stop().await;
    let node = start_in(dir, &core.address, |_| {}).await;
    core.until("both events", |seen| seen.events.len() == 2).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_core_gets_single_events_and_no_extension() {
    let core = Core::with(Manners { features: Vec::new(), ..Manners::default() }).await;
    let node = start_with(&core.address, |config| config.join_code = None).await;
    send_plain(node.port, format!("{}{}", line(1), line(2)).as_bytes()).await;
    core.until("two single events", |seen| seen.plain_events.len() == 2).await;
    core.seen(|seen| {
        assert_eq!(seen.plain_events, [r#"{"n":1}"#, r#"{"n":2}"#]);
        assert!(seen.batches.is_empty());
    });
    eventually("an empty spool", || node.spool.status().events == 0).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn artifacts_are_uploaded_and_removed_once_core_has_them() {
    let core = Core::plain().await;
    let node = start(&core.address).await;
    let folder = node.state().join("pots/ssh-9/artifacts");
    std::fs::create_dir_all(&folder).unwrap();
    let content: Vec<u8> = (0..700_000_u32).map(|n| n as u8).collect();
    let name = "cd".repeat(32);
    std::fs::write(folder.join(&name), &content).unwrap();
    core.until("the artifact", |seen| seen.artifacts.get(&name).is_some_and(|bytes| *bytes == content)).await;
    eventually("its removal here", || !folder.join(&name).exists()).await;
    node.stop().await;
}
