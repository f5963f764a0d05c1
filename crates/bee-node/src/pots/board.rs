//! What is known about every pot right now, for whoever wants to look: the uplink, commands, `honeybee node status`.
//!
//! Level-triggered: a reader that was away sees each pot's newest state once, however many changes it missed. So a slow
//! link can never make a queue of status messages grow.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use bee_wire::node::PotStatus;
use tokio::sync::watch;

/// One pot as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct PotView {
    /// The pot's id.
    pub pot_id: String,
    /// What it is: `ssh`, `telnet`, `http`.
    pub pot_type: String,
    /// Its state.
    pub status: PotStatus,
    /// One sentence on why, empty when there is nothing to say.
    pub message: String,
    /// Process id while a process runs.
    pub pid: Option<u32>,
    /// Addresses it was seen listening on.
    pub listening: Vec<SocketAddr>,
    /// Times it was started again after it ended by itself.
    pub restarts: u64,
    /// It was removed; the entry stays until this was reported.
    pub removed: bool,
}

/// Lines the intake took per pot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PotCounters {
    /// Events made durable.
    pub events: u64,
    /// Lines that were not events.
    pub malformed: u64,
}

/// The shared table; clones share one table.
#[derive(Debug, Clone)]
pub struct PotBoard {
    inner: Arc<Mutex<Inner>>,
    revision: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    pots: BTreeMap<String, (u64, PotView)>,
    counters: HashMap<String, PotCounters>,
    revision: u64,
}

/// Pots whose counters are kept; what else sends lines is counted under `unknown`.
const COUNTED_POTS_MAX: usize = 256;

impl PotBoard {
    /// An empty table.
    pub fn new() -> Self {
        Self { inner: Arc::default(), revision: watch::channel(0).0 }
    }

    /// Puts a pot's newest state on the table.
    pub fn set(&self, view: PotView) {
        let revision = {
            let mut inner = self.lock();
            if inner.pots.get(&view.pot_id).is_some_and(|(_, old)| *old == view) {
                return;
            }
            inner.revision += 1;
            let revision = inner.revision;
            inner.pots.insert(view.pot_id.clone(), (revision, view));
            revision
        };
        self.revision.send_replace(revision);
    }

    /// The states that changed after `revision`, and the revision to ask with next time. `0` gives all.
    pub fn changed_since(&self, revision: u64) -> (Vec<PotView>, u64) {
        let mut inner = self.lock();
        let views =
            inner.pots.values().filter(|(at, _)| *at > revision).map(|(_, view)| view.clone()).collect();
        inner.pots.retain(|_, (at, view)| !(view.removed && *at <= revision));
        (views, inner.revision)
    }

    /// Tells when something changed.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// One pot's state.
    pub fn get(&self, pot_id: &str) -> Option<PotView> {
        self.lock().pots.get(pot_id).map(|(_, view)| view).filter(|view| !view.removed).cloned()
    }

    /// Every pot's state.
    pub fn all(&self) -> Vec<PotView> {
        self.lock().pots.values().map(|(_, view)| view).filter(|view| !view.removed).cloned().collect()
    }

    /// Adds to a pot's counters.
    pub fn count(&self, pot_id: &str, events: u64, malformed: u64) {
        let mut inner = self.lock();
        let full = inner.counters.len() >= COUNTED_POTS_MAX;
        let key = if full && !inner.counters.contains_key(pot_id) { "unknown" } else { pot_id };
        let counters = match inner.counters.get_mut(key) {
            Some(counters) => counters,
            None => inner.counters.entry(key.to_owned()).or_default(),
        };
        counters.events += events;
        counters.malformed += malformed;
    }

    /// A pot's counters since the node started.
    pub fn counters(&self, pot_id: &str) -> PotCounters {
        self.lock().counters.get(pot_id).copied().unwrap_or_default()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // A panic while holding the lock leaves a table that is at worst one entry old.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for PotBoard {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(pot_id: &str, status: PotStatus) -> PotView {
        PotView {
            pot_id: pot_id.into(),
            pot_type: "ssh".into(),
            status,
            message: String::new(),
            pid: None,
            listening: Vec::new(),
            restarts: 0,
            removed: false,
        }
    }

    #[test]
    fn a_reader_that_was_away_sees_each_pot_once() {
        let board = PotBoard::new();
        board.set(view("a", PotStatus::Running));
        let (_, revision) = board.changed_since(0);
        board.set(view("b", PotStatus::Installing));
        board.set(view("b", PotStatus::Failed));
        board.set(view("b", PotStatus::Running));
        let (changed, revision) = board.changed_since(revision);
        assert_eq!(changed, [view("b", PotStatus::Running)]);
        board.set(view("b", PotStatus::Running));
        assert_eq!(board.changed_since(revision).0, []);
        assert_eq!(board.changed_since(0).0.len(), 2);
    }

    #[test]
    fn a_removed_pot_is_reported_once_and_then_forgotten() {
        let board = PotBoard::new();
        board.set(PotView { removed: true, ..view("a", PotStatus::Stopped) });
        assert!(board.get("a").is_none());
        let (changed, revision) = board.changed_since(0);
        assert_eq!(changed.len(), 1);
        assert!(board.changed_since(revision).0.is_empty());
        assert!(board.changed_since(0).0.is_empty());
    }

    #[test]
    fn the_number_of_counted_pots_is_limited() {
        let board = PotBoard::new();
        for n in 0..COUNTED_POTS_MAX + 10 {
            board.count(&format!("p{n}"), 1, 0);
        }
        assert_eq!(board.counters("unknown").events, 10);
        assert_eq!(board.counters("p0").events, 1);
    }
}
