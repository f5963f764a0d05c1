//! Waiting times between attempts: exponential, capped, with full jitter.
//!
//! `NodeLink` asks it after every attempt that failed. Full jitter (a uniform draw below the
//! exponential ceiling) spreads a fleet that lost its Core at one moment over the whole interval,
//! so that Core's return is not answered by every node in the same second.

use rand::{Rng, RngExt};

/// Bounds of the waiting time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackoffConfig {
    /// Ceiling of the first wait, in milliseconds; at least 1.
    pub base_ms: u64,
    /// Ceiling of any wait, in milliseconds; a smaller value than `base_ms` is read as `base_ms`.
    pub cap_ms: u64,
}

impl Default for BackoffConfig {
    fn default() -> Self {
        // 5 s is the field's `reconnect_delay`; a minute keeps ten thousand waiting nodes below
        // two hundred attempts a second and still finds a returned Core soon.
        BackoffConfig { base_ms: 5_000, cap_ms: 60_000 }
    }
}

/// The state of one retry loop.
#[derive(Debug, Clone)]
pub struct Backoff {
    config: BackoffConfig,
    failures: u32,
}

impl Backoff {
    /// A loop that has not failed yet.
    pub fn new(config: BackoffConfig) -> Self {
        let base_ms = config.base_ms.max(1);
        Backoff { config: BackoffConfig { base_ms, cap_ms: config.cap_ms.max(base_ms) }, failures: 0 }
    }

    /// The time to wait after one more failure, in milliseconds: uniform in `0..=ceiling`, where the
    /// ceiling doubles from `base_ms` to `cap_ms`.
    pub fn next_delay_ms<R: Rng + ?Sized>(&mut self, rng: &mut R) -> u64 {
        let ceiling = self.ceiling_ms();
        self.failures = self.failures.saturating_add(1);
        rng.random_range(0..=ceiling)
    }

    /// Starts again from `base_ms`: call it once an attempt has proved good.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last reset.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    fn ceiling_ms(&self) -> u64 {
        let factor = 1u64.checked_shl(self.failures).unwrap_or(u64::MAX);
        self.config.base_ms.saturating_mul(factor).min(self.config.cap_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

    #[test]
    fn waits_grow_to_the_cap_and_never_pass_it() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut backoff = Backoff::new(BackoffConfig { base_ms: 100, cap_ms: 3_000 });
        let mut longest = 0;
        for attempt in 0..200u32 {
            let ceiling = 100u64.saturating_mul(1u64.checked_shl(attempt).unwrap_or(u64::MAX)).min(3_000);
            let delay = backoff.next_delay_ms(&mut rng);
            assert!(delay <= ceiling, "attempt {attempt}: {delay} > {ceiling}");
            longest = longest.max(delay);
        }
        assert!(longest > 2_500, "two hundred draws below 3000 should come near it, got {longest}");
    }

    #[test]
    fn jitter_covers_the_whole_interval_so_that_a_fleet_spreads() {
        let mut low = 0;
        for seed in 0..1_000 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let delay = Backoff::new(BackoffConfig { base_ms: 1_000, cap_ms: 1_000 }).next_delay_ms(&mut rng);
            low += u32::from(delay < 500);
        }
        assert!(
            (400..600).contains(&low),
            "half of the fleet should draw below the middle, got {low} of 1000"
        );
    }

    #[test]
    fn reset_starts_from_the_base_again() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut backoff = Backoff::new(BackoffConfig { base_ms: 10, cap_ms: 1_000_000 });
        for _ in 0..20 {
            backoff.next_delay_ms(&mut rng);
        }
        backoff.reset();
        assert!(backoff.next_delay_ms(&mut rng) <= 10);
    }
}
