//! Decides when a pot that ended by itself is started again, and when not any more.
//!
//! Pure: the time is an argument. A pot that keeps ending soon after its start is left alone after a few times,
//! because starting it for ever hides the fault and burns the machine; a command or a new config starts it again.

/// A run of at least this long is a healthy one: the count starts anew.
const HEALTHY_RUN_MS: u64 = 60_000;
/// Short runs in a row after which the pot is given up.
const SHORT_RUNS_MAX: u32 = 6;
const FIRST_DELAY_MS: u64 = 500;
const DELAY_MS_MAX: u64 = 30_000;

/// What to do after a pot ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Start it again after this many milliseconds.
    After(u64),
    /// It ended too often in a row; leave it.
    GiveUp,
}

/// Counts a pot's short runs.
#[derive(Debug, Default)]
pub(super) struct RestartPolicy {
    short_runs: u32,
    restarts: u64,
}

impl RestartPolicy {
    /// The pot ended by itself after running for `ran_ms`.
    pub(super) fn ended(&mut self, ran_ms: u64) -> Decision {
        if ran_ms >= HEALTHY_RUN_MS {
            self.short_runs = 0;
        }
        self.short_runs += 1;
        if self.short_runs >= SHORT_RUNS_MAX {
            return Decision::GiveUp;
        }
        self.restarts += 1;
        let delay = FIRST_DELAY_MS.checked_shl(self.short_runs - 1).unwrap_or(DELAY_MS_MAX);
        Decision::After(delay.min(DELAY_MS_MAX))
    }

    /// Somebody asked for a start: earlier crashes are forgiven.
    pub(super) fn forgive(&mut self) {
        self.short_runs = 0;
    }

    /// Times the pot was started again without being asked.
    pub(super) fn restarts(&self) -> u64 {
        self.restarts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_and_a_crash_loop_ends() {
        let mut policy = RestartPolicy::default();
        let decisions: Vec<_> = (0..6).map(|_| policy.ended(10)).collect();
        assert_eq!(
            decisions,
            [500, 1000, 2000, 4000, 8000]
                .map(Decision::After)
                .into_iter()
                .chain([Decision::GiveUp])
                .collect::<Vec<_>>()
        );
        assert_eq!(policy.restarts(), 5);
        policy.forgive();
        assert_eq!(policy.ended(10), Decision::After(500));
    }

    #[test]
    fn a_long_run_starts_the_count_anew() {
        let mut policy = RestartPolicy::default();
        for _ in 0..100 {
            assert_eq!(policy.ended(HEALTHY_RUN_MS), Decision::After(500));
        }
    }
}
