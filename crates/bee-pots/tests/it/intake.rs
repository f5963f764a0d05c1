//! A small intake that speaks the node's side of the hello and receipt protocol, and a trap wired to it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bee_pots::{EventTarget, Kind, PotSetup, RunningPot};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Longest wait for a state; only a failing test waits that long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Stores each line of a producer once and acknowledges it.
pub(crate) struct Intake {
    pub(crate) address: SocketAddr,
    lines: Arc<Mutex<Vec<Value>>>,
    changed: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl Intake {
    pub(crate) async fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), None)
    }

    /// With `cut_after`, each connection is cut after that many lines, of which only half were stored and acknowledged.
    pub(crate) fn on(listener: TcpListener, cut_after: Option<usize>) -> Self {
        let address = listener.local_addr().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (tell, changed) = watch::channel(0);
        let task = tokio::spawn({
            let lines = Arc::clone(&lines);
            async move {
                let mut counts = std::collections::HashMap::<String, u64>::new();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (reader, mut writer) = stream.into_split();
                    let mut reader = BufReader::new(reader).lines();
                    let Ok(Some(hello)) = reader.next_line().await else { continue };
                    let hello: Value = serde_json::from_str(&hello).unwrap();
                    assert_eq!(hello["honeybee_intake"], 1);
                    let producer = hello["producer"].as_str().unwrap().to_owned();
                    assert!((1..=64).contains(&producer.len()));
                    let next = counts.entry(producer).or_default();
                    writer.write_all(format!("{{\"next\":{next}}}\n").as_bytes()).await.unwrap();
                    let mut read = 0;
                    while let Ok(Some(line)) = reader.next_line().await {
                        read += 1;
                        if cut_after.is_some_and(|cut| read >= cut) {
                            break;
                        }
                        if cut_after.is_some_and(|cut| read > cut / 2) {
                            continue;
                        }
                        *next += 1;
                        lines.lock().unwrap().push(serde_json::from_str(&line).unwrap());
                        tell.send_modify(|n| *n += 1);
                        if writer.write_all(format!("{{\"next\":{next}}}\n").as_bytes()).await.is_err() {
                            break;
                        }
                    }
                }
            }
        });
        Self { address, lines, changed, task }
    }

    pub(crate) fn events(&self) -> Vec<Value> {
        self.lines.lock().unwrap().clone()
    }

    /// Waits until the events satisfy `is_it` and returns them.
    pub(crate) async fn wait(&self, what: &str, is_it: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let mut changed = self.changed.clone();
        let waited = tokio::time::timeout(DEADLINE, async {
            loop {
                let events = self.events();
                if is_it(&events) {
                    return events;
                }
                changed.changed().await.unwrap();
            }
        })
        .await;
        waited.unwrap_or_else(|_| panic!("no {what} within {DEADLINE:?}; events: {:#?}", self.events()))
    }

    /// Waits until `count` sessions were closed and returns all events.
    pub(crate) async fn closed(&self, count: usize) -> Vec<Value> {
        self.wait("session.closed", |events| of(events, "session.closed").len() >= count).await
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A trap with its intake and directory.
pub(crate) struct Trap {
    pub(crate) intake: Intake,
    pub(crate) address: SocketAddr,
    pub(crate) dir: TempDir,
    pub(crate) pot: RunningPot,
}

pub(crate) async fn trap(kind: Kind, config: Value) -> Trap {
    let intake = Intake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let events = EventTarget {
        address: intake.address,
        pot_id: "pot-1".into(),
        pot_type: kind.name().into(),
        token: None,
    };
    let listen = "127.0.0.1:0".parse().unwrap();
    let pot =
        bee_pots::start(PotSetup { kind, listen, dir: dir.path().to_owned(), config, events }).await.unwrap();
    Trap { intake, address: pot.address(), dir, pot }
}

impl Trap {
    /// The bytes of the artifact that an event tells of.
    pub(crate) fn artifact(&self, event: &Value) -> Vec<u8> {
        let data = &event["data"];
        let path =
            self.dir.path().join(data["outfile"].as_str().unwrap_or_else(|| panic!("no outfile in {event}")));
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(path.file_name().unwrap().to_str().unwrap(), data["shasum"].as_str().unwrap());
        assert_eq!(data["size"], bytes.len());
        bytes
    }
}

/// The events whose type ends in `.name`.
pub(crate) fn of(events: &[Value], name: &str) -> Vec<Value> {
    events
        .iter()
        .filter(|e| {
            e["event_type"].as_str().is_some_and(|t| t.split_once('.').is_some_and(|(_, n)| n == name))
        })
        .cloned()
        .collect()
}

/// The one event of this type.
pub(crate) fn one(events: &[Value], name: &str) -> Value {
    let found = of(events, name);
    assert_eq!(found.len(), 1, "{name} in {events:#?}");
    found.into_iter().next().unwrap()
}

/// What holds for every session of every trap: one connect, one closed after everything else, the common members everywhere.
pub(crate) fn check_sessions(events: &[Value], protocol: &str) {
    let mut open = std::collections::HashMap::<&str, bool>::new();
    for event in events.iter().filter(|e| !e["event_type"].as_str().unwrap().starts_with("honeybee.")) {
        let data = &event["data"];
        let session = data["session"].as_str().unwrap();
        let kind = event["event_type"].as_str().unwrap();
        for member in ["src_ip", "src_port", "dst_ip", "dst_port", "protocol"] {
            assert!(!data[member].is_null(), "{member} in {event}");
        }
        assert_eq!((&event["pot_id"], &data["protocol"]), (&Value::from("pot-1"), &Value::from(protocol)));
        assert!(
            event["timestamp"].as_str().unwrap().ends_with('Z')
                && event["timestamp"].as_str().unwrap().len() == 27
        );
        if kind.ends_with(".session.connect") {
            assert!(open.insert(session, true).is_none(), "{session} connects twice");
        } else {
            assert_eq!(open.get(session), Some(&true), "{kind} of a session that is not open");
        }
        if kind.ends_with(".session.closed") {
            assert!(data["duration_ms"].is_u64());
            open.insert(session, false);
        }
    }
    assert!(open.values().all(|open| !open), "a session was never closed");
}
