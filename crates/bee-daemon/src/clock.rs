//! Time as a dependency: wall time for what people read, monotonic time for deadlines.
//!
//! Daemons hold a [`SharedClock`] and pass numbers down; pure code takes the numbers as arguments.
//! Nothing here sleeps: waiting is tokio's business.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A source of wall and monotonic time.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Microseconds since 1970-01-01T00:00:00Z; may jump either way when the machine's clock is set.
    fn wall_micros(&self) -> i64;

    /// Milliseconds since this clock was made; never goes back.
    fn mono_ms(&self) -> u64;

    /// Whole seconds since 1970-01-01T00:00:00Z.
    fn wall_seconds(&self) -> i64 {
        self.wall_micros().div_euclid(1_000_000)
    }
}

/// The clock as daemons carry it.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clocks.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// Starts the monotonic count at zero, now.
    #[must_use]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }

    /// The same, ready to hand around.
    #[must_use]
    pub fn shared() -> SharedClock {
        Arc::new(Self::new())
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn wall_micros(&self) -> i64 {
        // A machine whose clock stands before 1970 (a Pi without a battery) still gets a number.
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros),
        }
    }

    fn mono_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A clock that moves only when told to, for tests and simulations.
#[derive(Debug, Default)]
pub struct ManualClock {
    wall_micros: AtomicI64,
    mono_ms: AtomicU64,
}

impl ManualClock {
    /// A clock showing `wall_micros`, with its monotonic count at zero.
    #[must_use]
    pub fn at(wall_micros: i64) -> Arc<Self> {
        Arc::new(Self { wall_micros: AtomicI64::new(wall_micros), mono_ms: AtomicU64::new(0) })
    }

    /// Moves both clocks forward.
    pub fn advance_ms(&self, by_ms: u64) {
        self.mono_ms.fetch_add(by_ms, Ordering::SeqCst);
        let micros = i64::try_from(by_ms.saturating_mul(1_000)).unwrap_or(i64::MAX);
        self.wall_micros.fetch_add(micros, Ordering::SeqCst);
    }

    /// Sets the wall clock alone, as an operator or NTP would.
    pub fn set_wall_micros(&self, wall_micros: i64) {
        self.wall_micros.store(wall_micros, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn wall_micros(&self) -> i64 {
        self.wall_micros.load(Ordering::SeqCst)
    }

    fn mono_ms(&self) -> u64 {
        self.mono_ms.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_the_wall_clock_back_leaves_monotonic_time_alone() {
        let clock = ManualClock::at(5_000_000);
        clock.advance_ms(1_500);
        assert_eq!(clock.wall_micros(), 6_500_000);
        clock.set_wall_micros(-1);
        assert_eq!((clock.wall_micros(), clock.wall_seconds(), clock.mono_ms()), (-1, -1, 1_500));
    }

    #[test]
    fn the_system_clock_shows_a_year_after_this_was_written() {
        let clock = SystemClock::new();
        let year_2025_micros = 1_735_689_600_000_000;
        assert!(clock.wall_micros() > year_2025_micros);
        assert!(clock.mono_ms() <= clock.mono_ms());
    }
}
