//! Numbered events through the intake while everything that can fail fails, and a count at the end.
//!
//! The producer keeps what has no receipt, the node keeps what Core has not acknowledged. Kills come at seeded points of
//! the stream, not of the clock: while lines are on their way through the process that dies.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bee_tests::core::Core;
use bee_tests::intake::NumberedProducer;
use bee_tests::node::Node;
use bee_tests::proxy::Proxy;
use bee_tests::tmpfs::Tmpfs;
use bee_tests::wait::{until, until_within};
use rand::RngExt as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use tokio::sync::watch;

/// `HONEYBEE_E2E_EVENTS` takes another number.
const EVENTS: u64 = 200_000;
const KILLS_EACH: usize = 20;
const DISK_MIB: u32 = 192;
const POT: &str = "numbered";

#[derive(Debug, Clone, Copy, PartialEq)]
enum Harm {
    KillCore,
    KillNode,
    CutLink,
    StallLink,
    FillCoreDisk,
    FillNodeDisk,
}

/// What is under test, and the disks it stands on.
struct Fleet {
    core: Core,
    node: Node,
    proxy: Proxy,
    producer: Arc<NumberedProducer>,
    /// How far the producer may go in the end.
    flow: watch::Sender<u64>,
    core_disk: Option<Tmpfs>,
    node_disk: Option<Tmpfs>,
    /// Events that the node had and Core had not, over all kills of Core.
    waiting: u64,
    /// Events that came to Core a second time and were recognised.
    repeated: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_numbered_event_is_in_core_exactly_once() {
    let events = number("HONEYBEE_E2E_EVENTS").unwrap_or(EVENTS);
    let seed = number("HONEYBEE_E2E_SEED").unwrap_or_else(|| rand::rng().random());
    eprintln!("nothing_lost: {events} events, seed {seed} (repeat with HONEYBEE_E2E_SEED={seed})");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let mut fleet = Fleet::start(dir.path()).await;

    let mut plan =
        vec![Harm::CutLink, Harm::CutLink, Harm::StallLink, Harm::FillCoreDisk, Harm::FillNodeDisk];
    plan.extend([Harm::KillCore; KILLS_EACH]);
    plan.extend([Harm::KillNode; KILLS_EACH]);
    plan.shuffle(&mut rng);
    let step = events / plan.len() as u64;
    for (index, harm) in plan.iter().enumerate() {
        let before = index as u64 * step;
        fleet.flow.send_replace(events.min(before + 2 * step));
        let strike_at = before + rng.random_range(0..step);
        fleet.until_durable(strike_at).await;
        let at = Instant::now();
        fleet.strike(*harm).await;
        eprintln!("  {strike_at:>7} durable: {harm:?}, {} ms", at.elapsed().as_millis());
    }
    fleet.flow.send_replace(events);
    fleet.until_durable(events).await;
    let sent = started.elapsed();
    until_within("Core has stored what the node has", Duration::from_secs(120), async || {
        let node = fleet.core.rest.node("torture").await?;
        let count = node["events_stored"].as_u64()? + node["events_dropped"].as_u64()?;
        (count >= events).then_some(())
    })
    .await;
    // What was answered so far may have come from memory.
    fleet.strike(Harm::KillCore).await;

    let mut seen: HashMap<u64, u32> = HashMap::new();
    for event in fleet.core.rest.all_events(&format!("pot={POT}")).await {
        *seen.entry(event["data"]["n"].as_u64().unwrap()).or_default() += 1;
    }
    let doubled: Vec<u64> = seen.iter().filter(|(_, times)| **times > 1).map(|(number, _)| *number).collect();
    let missing: Vec<u64> = (0..events).filter(|number| !seen.contains_key(number)).collect();
    let dropped = fleet.core.rest.node("torture").await.unwrap()["events_dropped"].as_u64().unwrap();
    eprintln!(
        "nothing_lost: {} stored, {} missing, {dropped} in the node's counted drops, {} doubled; {KILLS_EACH} kills of Core and of the node each, with {} events between them when Core was killed and {} repeats recognised; sent in {:.0} s, all in {:.0} s",
        seen.len(),
        missing.len(),
        doubled.len(),
        fleet.waiting,
        fleet.repeated,
        sent.as_secs_f64(),
        started.elapsed().as_secs_f64()
    );
    assert!(
        doubled.is_empty(),
        "stored twice (seed {seed}): {:?}",
        doubled.iter().take(20).collect::<Vec<_>>()
    );
    assert_eq!(
        missing.len() as u64,
        dropped,
        "lost without being counted (seed {seed}): {:?}",
        missing.iter().take(20).collect::<Vec<_>>()
    );
    assert!(seen.keys().all(|number| *number < events));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_full_spool_drops_is_counted_to_the_last_event() {
    const SENT: u64 = 150_000;
    let dir = tempfile::tempdir().unwrap();
    let mut core = Core::start(&dir.path().join("core"), "").await;
    let proxy = Proxy::start(core.nodes).await;
    let config = "server:\n  reconnect_delay: 1\n  reconnect_delay_max: 1\nspool:\n  bytes_max: 18000000\n  segment_bytes_max: 8400000\n";
    let node = Node::join(&core, &dir.path().join("node"), "small", proxy.address(), config).await;
    core.rest.wait_node("small", "Running").await;
    core.process.kill9();

    let producer = NumberedProducer::start(POT);
    producer.connect_to(Some(node.intake().await));
    producer.allow(SENT);
    until_within("the node takes all events, the oldest making room", Duration::from_secs(60), async || {
        (producer.durable() == SENT).then_some(())
    })
    .await;
    core.start_again().await;
    proxy.set_target(core.nodes);
    let counted =
        until_within("each event is stored or counted as dropped", Duration::from_secs(60), async || {
            let node = core.rest.node("small").await?;
            let (stored, dropped) = (node["events_stored"].as_u64()?, node["events_dropped"].as_u64()?);
            (stored + dropped >= SENT).then_some((stored, dropped))
        })
        .await;
    eprintln!(
        "a spool of 18 MB, {SENT} events while Core was down: {} stored, {} dropped",
        counted.0, counted.1
    );
    assert!(counted.1 > 0, "the cap was reached");
    let mut numbers: Vec<u64> = Vec::new();
    for event in core.rest.all_events(&format!("pot={POT}")).await {
        numbers.push(event["data"]["n"].as_u64().unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(
        numbers,
        (counted.1..SENT).collect::<Vec<_>>(),
        "the oldest went, in one piece; the rest is there once"
    );
}

impl Fleet {
    async fn start(dir: &std::path::Path) -> Self {
        let (core_dir, node_dir) = (dir.join("core"), dir.join("node"));
        let core_disk = Tmpfs::mount(&core_dir, DISK_MIB);
        let node_disk = Tmpfs::mount(&node_dir, DISK_MIB);
        let core = Core::start(&core_dir, "[limits]\nheartbeat_interval_s = 1\n").await;
        let proxy = Proxy::start(core.nodes).await;
        let config = "server:\n  reconnect_delay: 1\n  reconnect_delay_max: 1\n";
        let node = Node::join(&core, &node_dir, "torture", proxy.address(), config).await;
        let producer = Arc::new(NumberedProducer::start(POT));
        producer.connect_to(Some(node.intake().await));
        let (flow, target) = watch::channel(0);
        tokio::spawn(feed(Arc::clone(&producer), target));
        core.rest.wait_node("torture", "Running").await;
        Self { core, node, proxy, producer, flow, core_disk, node_disk, waiting: 0, repeated: 0 }
    }

    async fn until_durable(&self, count: u64) {
        let what = format!("the node has {count} events durable");
        until_within(&what, Duration::from_secs(60), async || {
            (self.producer.durable() >= count).then_some(())
        })
        .await;
    }

    async fn strike(&mut self, harm: Harm) {
        match harm {
            Harm::KillCore => {
                self.until_core_takes_events().await;
                let stored = self.core.rest.node("torture").await.unwrap()["events_stored"].as_u64().unwrap();
                self.waiting += self.producer.durable().saturating_sub(stored);
                self.repeated += self.core.rest.counter("events_repeated_total").await;
                self.core.process.kill9();
                self.core.start_again().await;
                self.proxy.set_target(self.core.nodes);
            }
            Harm::KillNode => {
                self.node.process.kill9();
                self.producer.connect_to(None);
                self.node.start_again();
                self.producer.connect_to(Some(self.node.intake().await));
            }
            Harm::CutLink => {
                self.until_core_takes_events().await;
                self.proxy.cut();
            }
            Harm::StallLink => {
                self.until_core_takes_events().await;
                self.proxy.stall(true);
                // Events go on being durable on the node, and Core hears nothing for three heartbeats.
                self.core.rest.wait_node("torture", "Unknown").await;
                self.proxy.stall(false);
            }
            Harm::FillCoreDisk => {
                let Some(disk) = &self.core_disk else { return };
                let full = disk.fill();
                self.core.rest.wait_counter("disk_full_total", 1).await;
                drop(full);
            }
            Harm::FillNodeDisk => {
                let Some(disk) = &self.node_disk else { return };
                let full = disk.fill();
                until("the node says that its disk is full", async || {
                    self.node.process.stderr().contains("the disk is full").then_some(())
                })
                .await;
                drop(full);
            }
        }
    }

    /// A Core that dies idle proves nothing.
    async fn until_core_takes_events(&self) {
        let before = self.core.rest.counter("batches_stored_total").await;
        until_within("Core stores batches", Duration::from_secs(60), async || {
            let idle =
                self.core.rest.node("torture").await?["events_stored"].as_u64()? >= self.producer.durable();
            (idle || self.core.rest.counter("batches_stored_total").await > before).then_some(())
        })
        .await;
    }
}

/// Lets the producer go towards the target ever more slowly, so that something is on its way at any moment.
async fn feed(producer: Arc<NumberedProducer>, target: watch::Receiver<u64>) {
    let mut allowed = 0;
    while target.has_changed().is_ok() {
        let left = target.borrow().saturating_sub(allowed);
        allowed += left.min(1 + left / 100);
        producer.allow(allowed);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}
