//! Waiting for a state, with a deadline.

use std::time::{Duration, Instant};

/// Long enough for a loaded machine; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Looks again and again until there is an answer; panics with `what` after [`PATIENCE`].
pub async fn until<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    until_within(what, PATIENCE, look).await
}

/// The same with a deadline of its own.
pub async fn until_within<T>(what: &str, within: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = look().await {
            return answer;
        }
        assert!(started.elapsed() < within, "this did not happen within {within:?}: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
