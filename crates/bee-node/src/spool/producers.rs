//! Who sent lines to the intake, and how many of each producer's lines are durable.
//!
//! Owned by the spool's writer thread. The truth is in the spool's records; `producers.json` is a checkpoint of it,
//! written before records are dropped or truncated, and when lines became durable that have no record (malformed
//! ones). Recovery reads the checkpoint and then every record the spool still has.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::limits::PRODUCERS_MAX;

/// One producer's position.
#[derive(Debug, Clone, Default)]
struct Position {
    /// Number of lines that are durable.
    next: u64,
    /// Which connection may add lines; an older connection of the same producer is refused.
    epoch: u64,
    /// Order of last use, for the limit.
    used: u64,
}

/// All producers; see the module's documentation.
#[derive(Debug, Default)]
pub struct Producers {
    by_key: HashMap<String, Position>,
    clock: u64,
}

/// The checkpoint file's content.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Everything in the spool below this sequence number is covered.
    pub spool_seq: u64,
    /// Producer key and number of durable lines, least recently used first.
    pub producers: Vec<(String, u64)>,
}

impl Producers {
    /// The state as a checkpoint recorded it.
    pub fn restore(checkpoint: &Checkpoint) -> Self {
        let mut producers = Self::default();
        for (key, next) in &checkpoint.producers {
            producers.stored(key, next.saturating_sub(1));
            producers.position(key).next = *next;
        }
        producers
    }

    /// The state as a checkpoint.
    pub fn checkpoint(&self, spool_seq: u64) -> Checkpoint {
        let mut all: Vec<(&String, &Position)> = self.by_key.iter().collect();
        all.sort_by_key(|(_, position)| position.used);
        let producers = all.into_iter().map(|(key, position)| (key.clone(), position.next)).collect();
        Checkpoint { spool_seq, producers }
    }

    /// A connection says it is `key`: how many of its lines are durable, and the epoch its groups must carry.
    pub fn connected(&mut self, key: &str) -> (u64, u64) {
        let position = self.position(key);
        position.epoch += 1;
        (position.next, position.epoch)
    }

    /// Whether `epoch` is still the newest connection of `key`.
    pub fn is_current(&self, key: &str, epoch: u64) -> bool {
        self.by_key.get(key).is_some_and(|position| position.epoch == epoch)
    }

    /// Line `line` of `key` is in the spool.
    pub fn stored(&mut self, key: &str, line: u64) {
        let position = self.position(key);
        position.next = position.next.max(line.saturating_add(1));
    }

    /// All lines of `key` below `next` were dealt with.
    pub fn advanced(&mut self, key: &str, next: u64) {
        let position = self.position(key);
        position.next = position.next.max(next);
    }

    /// Number of producers known.
    #[cfg(test)]
    fn count(&self) -> usize {
        self.by_key.len()
    }

    fn position(&mut self, key: &str) -> &mut Position {
        self.clock += 1;
        if self.by_key.len() >= PRODUCERS_MAX && !self.by_key.contains_key(key) {
            let oldest =
                self.by_key.iter().min_by_key(|(_, position)| position.used).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                self.by_key.remove(&oldest);
            }
        }
        let clock = self.clock;
        let position = self.by_key.entry(key.to_owned()).or_default();
        position.used = clock;
        position
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_restores_every_position() {
        let mut producers = Producers::default();
        producers.stored("a", 4);
        producers.advanced("b", 9);
        producers.stored("a", 2);
        let checkpoint = producers.checkpoint(13);
        let mut again = Producers::restore(&checkpoint);
        assert_eq!(again.connected("a").0, 5);
        assert_eq!(again.connected("b").0, 9);
        assert_eq!(again.connected("new").0, 0);
        let json = serde_json::to_string(&checkpoint).unwrap();
        assert_eq!(serde_json::from_str::<Checkpoint>(&json).unwrap(), checkpoint);
    }

    #[test]
    fn only_the_newest_connection_of_a_producer_may_write() {
        let mut producers = Producers::default();
        let (_, first) = producers.connected("a");
        let (_, second) = producers.connected("a");
        assert!(!producers.is_current("a", first));
        assert!(producers.is_current("a", second));
    }

    #[test]
    fn the_number_of_producers_is_limited_and_the_oldest_goes() {
        let mut producers = Producers::default();
        for n in 0..PRODUCERS_MAX + 1 {
            producers.stored(&format!("p{n}"), 0);
        }
        assert_eq!(producers.count(), PRODUCERS_MAX);
        assert_eq!(producers.connected("p1").0, 1);
        assert_eq!(producers.connected("p0").0, 0);
    }
}
