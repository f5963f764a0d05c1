//! Counts failures per key and says when a key has had too many: token buckets in bounded memory.
//!
//! `Registry` keeps one by source address and one by node. Each key costs one timestamp (GCRA,
//! the form of the leaky bucket used by ATM, ITU-T I.371). When the map is full the key that is
//! nearest to being forgiven goes first, so an attacker with many addresses cannot wash out the
//! record of the one that is guessing.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

/// How many failures a key may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimiterConfig {
    /// Failures in a row before the key is refused; at least 1.
    pub burst: u32,
    /// Milliseconds after which one failure is forgiven; at least 1.
    pub refill_ms: u64,
    /// Keys remembered at most; at least 1.
    pub keys_max: usize,
}

/// Failure counters for keys of type `K`.
#[derive(Debug, Clone)]
pub struct Limiter<K> {
    config: LimiterConfig,
    // The moment (monotonic ms) at which the key has no failure left, and the same, ordered.
    clear_at: HashMap<K, u64>,
    by_time: BTreeSet<(u64, K)>,
}

impl<K: Clone + Eq + Hash + Ord> Limiter<K> {
    /// A limiter that has seen no failure.
    pub fn new(config: LimiterConfig) -> Self {
        let config = LimiterConfig {
            burst: config.burst.max(1),
            refill_ms: config.refill_ms.max(1),
            keys_max: config.keys_max.max(1),
        };
        Limiter { config, clear_at: HashMap::new(), by_time: BTreeSet::new() }
    }

    /// Whether `key` may try once more.
    ///
    /// # Errors
    /// The milliseconds to wait until it may.
    pub fn check(&self, key: &K, mono_ms: u64) -> Result<(), u64> {
        let clear_at = self.clear_at.get(key).copied().unwrap_or(0);
        let debt = clear_at.saturating_sub(mono_ms);
        let allowed = self.config.refill_ms.saturating_mul(u64::from(self.config.burst) - 1);
        if debt <= allowed { Ok(()) } else { Err(debt - allowed) }
    }

    /// Counts one failure of `key`.
    pub fn fail(&mut self, key: &K, mono_ms: u64) {
        let old = self.forget(key).unwrap_or(0);
        // A flood of failures must not lock a key for longer than its whole burst takes to refill.
        let ceiling = self.config.refill_ms.saturating_mul(u64::from(self.config.burst));
        let debt = old.saturating_sub(mono_ms).saturating_add(self.config.refill_ms).min(ceiling);
        if self.clear_at.len() >= self.config.keys_max
            && let Some((_, mildest)) = self.by_time.first().cloned()
        {
            self.forget(&mildest);
        }
        let clear_at = mono_ms.saturating_add(debt);
        self.clear_at.insert(key.clone(), clear_at);
        self.by_time.insert((clear_at, key.clone()));
    }

    /// Forgets the failures of `key`, after it has proved itself.
    pub fn forgive(&mut self, key: &K) {
        self.forget(key);
    }

    /// Keys remembered now; never above `keys_max`.
    pub fn keys_count(&self) -> usize {
        self.clear_at.len()
    }

    fn forget(&mut self, key: &K) -> Option<u64> {
        let clear_at = self.clear_at.remove(key)?;
        self.by_time.remove(&(clear_at, key.clone()));
        Some(clear_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(keys_max: usize) -> Limiter<u32> {
        Limiter::new(LimiterConfig { burst: 3, refill_ms: 100, keys_max })
    }

    #[test]
    fn a_burst_is_allowed_then_one_try_per_refill() {
        let mut l = limiter(10);
        for _ in 0..3 {
            assert_eq!(l.check(&1, 0), Ok(()));
            l.fail(&1, 0);
        }
        assert_eq!(l.check(&1, 0), Err(100));
        assert_eq!(l.check(&1, 99), Err(1));
        assert_eq!(l.check(&1, 100), Ok(()));
        l.fail(&1, 100);
        assert_eq!(l.check(&1, 199), Err(1));
        assert_eq!(l.check(&2, 199), Ok(()), "another key pays nothing");
    }

    #[test]
    fn a_flood_does_not_lengthen_the_wait() {
        let mut l = limiter(10);
        for _ in 0..1_000_000 {
            l.fail(&1, 0);
        }
        assert_eq!(l.check(&1, 100), Ok(()));
    }

    #[test]
    fn success_clears_a_key() {
        let mut l = limiter(10);
        (0..5).for_each(|_| l.fail(&1, 0));
        l.forgive(&1);
        assert_eq!(l.check(&1, 0), Ok(()));
        assert_eq!(l.keys_count(), 0);
    }

    #[test]
    fn memory_is_bounded_and_the_guiltiest_key_stays() {
        let mut l = limiter(100);
        (0..3).for_each(|_| l.fail(&0, 0));
        for key in 1..10_000 {
            l.fail(&key, 0);
        }
        assert_eq!(l.keys_count(), 100);
        assert_eq!(l.by_time.len(), 100);
        assert!(l.check(&0, 0).is_err(), "the guesser is still known after 10,000 other failures");
    }
}
