//! The real binary, killed without a word again and again.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    core::{Core, PATIENCE},
    harness::{Producer, binary, free_port, line},
};

const KILLS: u64 = 8;
const EVENTS: u64 = 20_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_line_of_a_producer_is_in_core_exactly_once_whenever_the_node_is_killed() {
    let core = Core::plain().await;
    let dir = tempfile::tempdir().unwrap();
    let port = free_port().await;
    let file = dir.path().join("node.yaml");
    std::fs::write(
        &file,
        format!(
            "node: {{name: edge}}\nserver: {{address: '{}', reconnect_delay: 1, reconnect_delay_max: 1}}\n\
             intake: {{event_port: {port}}}\nstate_dir: {}\n",
            core.address,
            dir.path().join("node").display()
        ),
    )
    .unwrap();
    let mut node = binary(&file);
    let mut kills = 0;
    let mut durable = 0;
    let work = async {
        while durable < EVENTS {
            let Ok(mut producer) = Producer::connect(port, "numbers", None).await else {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            };
            assert!(
                producer.next >= durable,
                "the node forgot lines it had confirmed: {} < {durable}",
                producer.next
            );
            durable = producer.next;
            let mut sent = durable;
            // Lines are on their way in both directions when the kill comes.
            let kill_at = (kills + 1) * EVENTS / (KILLS + 1);
            loop {
                let to = (sent + 500).min(EVENTS);
                let chunk: String = (sent..to).map(line).collect();
                if producer.send(chunk.as_bytes()).await.is_err() {
                    break;
                }
                sent = to;
                if kills < KILLS && sent >= kill_at {
                    // SIGKILL; a fresh process takes over.
                    node.start_kill().unwrap();
                    node.wait().await.unwrap();
                    kills += 1;
                    node = binary(&file);
                }
                match producer.receipt().await {
                    Ok(next) => durable = next,
                    Err(_) => break,
                }
                if durable == EVENTS {
                    break;
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE * 2, work).await.expect("every line is confirmed");
    assert_eq!(kills, KILLS);
    core.until("every event", |seen| seen.events.len() as u64 >= EVENTS).await;
    core.seen(|seen| {
        let numbers: Vec<&String> = seen.events.values().collect();
        let distinct: BTreeSet<&String> = numbers.iter().copied().collect();
        assert_eq!(numbers.len() as u64, EVENTS, "stored twice: {}", numbers.len() - distinct.len());
        assert_eq!(distinct.len() as u64, EVENTS);
    });
    node.start_kill().unwrap();
}
