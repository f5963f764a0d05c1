//! The two clocks every decision of this crate is given.
//!
//! Callers read them once per input and pass them in; nothing here reads a clock. Timers
//! (heartbeats, back-off, silence, rate limits) run on the monotonic clock, because a wall clock
//! that an operator or NTP moves must neither fire them all at once nor stop them. The wall
//! clock is used only where a peer or a person shares it: TOTP steps, token expiry, deadlines.

/// One moment, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since any fixed point of this process; never goes back, starts anew with the process.
    pub mono_ms: u64,
    /// Milliseconds since 1970-01-01T00:00:00Z, as the machine believes; may jump either way.
    pub unix_ms: i64,
}

impl Now {
    /// A moment from both clocks, in milliseconds.
    pub fn new(mono_ms: u64, unix_ms: i64) -> Self {
        Now { mono_ms, unix_ms }
    }
}
