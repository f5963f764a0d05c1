//! The shutdown tree: one root token, one task tracker, two signals.
//!
//! A daemon makes one [`Shutdown`], spawns every task through it (or awaits what it spawned itself)
//! and ends `main` with [`Shutdown::finish`]. The first SIGTERM or SIGINT cancels the root token; a
//! second one leaves the process at once. The order in which a daemon stops its parts is the
//! daemon's own and is not written here.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

/// Why the daemon is stopping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// SIGTERM, as service managers send it.
    Terminate,
    /// SIGINT, as Ctrl-C sends it.
    Interrupt,
    /// The program asked: the text says which part and why.
    Requested(String),
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Terminate => f.write_str("SIGTERM"),
            Self::Interrupt => f.write_str("SIGINT"),
            Self::Requested(why) => f.write_str(why),
        }
    }
}

/// How [`Shutdown::finish`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every tracked task ended in time.
    Clean,
    /// The grace period ran out with this many tasks still running.
    TimedOut {
        /// Tasks that were still running.
        tasks_count: usize,
    },
}

/// The root of the shutdown tree. Cheap to clone; all clones are one tree.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
    tracker: TaskTracker,
    reason: Arc<OnceLock<Reason>>,
}

impl Shutdown {
    /// A tree that stops only when [`Shutdown::trigger`] is called (tests, embedded use).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A tree that also stops on SIGTERM and SIGINT. Needs a running tokio runtime.
    ///
    /// # Errors
    /// When the signal handlers cannot be installed.
    pub fn with_signals() -> std::io::Result<Self> {
        let shutdown = Self::new();
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        // Not tracked: it has to outlive the drain so that the second signal is heard.
        tokio::spawn(watch_signals(shutdown.clone(), terminate, interrupt));
        Ok(shutdown)
    }

    /// The root token; children made from it stop with the daemon.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// A token for one part of the daemon, which can be stopped alone.
    #[must_use]
    pub fn child_token(&self) -> CancellationToken {
        self.token.child_token()
    }

    /// Runs a task that [`Shutdown::finish`] waits for.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tracker.spawn(task)
    }

    /// Runs blocking work (a log writer's thread) that [`Shutdown::finish`] waits for.
    pub fn spawn_blocking<F, T>(&self, task: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.tracker.spawn_blocking(task)
    }

    /// Tasks that have not ended yet.
    #[must_use]
    pub fn tasks_count(&self) -> usize {
        self.tracker.len()
    }

    /// Starts the shutdown. The first reason is the one that is kept.
    pub fn trigger(&self, reason: Reason) {
        if self.reason.set(reason).is_ok() {
            self.token.cancel();
        }
    }

    /// Completes when the shutdown starts.
    pub async fn started(&self) {
        self.token.cancelled().await;
    }

    /// Whether the shutdown has started.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Why the shutdown started, once it has.
    #[must_use]
    pub fn reason(&self) -> Option<&Reason> {
        self.reason.get()
    }

    /// Waits for the shutdown to start, then at most `grace` for every tracked task to end.
    pub async fn finish(&self, grace: Duration) -> Drained {
        self.started().await;
        self.tracker.close();
        match tokio::time::timeout(grace, self.tracker.wait()).await {
            Ok(()) => Drained::Clean,
            Err(_) => {
                let tasks_count = self.tracker.len();
                warn!(tasks_count, grace_ms = grace.as_millis(), "tasks did not stop in time");
                Drained::TimedOut { tasks_count }
            }
        }
    }
}

async fn watch_signals(shutdown: Shutdown, mut terminate: Signal, mut interrupt: Signal) {
    let first = next_signal(&mut terminate, &mut interrupt).await;
    info!(signal = %first, "stopping; a second signal leaves at once");
    shutdown.trigger(first);
    let second = next_signal(&mut terminate, &mut interrupt).await;
    warn!(signal = %second, "second signal: leaving at once");
    // 128 + signal number is what shells report for a process ended by a signal.
    std::process::exit(if second == Reason::Interrupt { 130 } else { 143 });
}

async fn next_signal(terminate: &mut Signal, interrupt: &mut Signal) -> Reason {
    tokio::select! {
        _ = terminate.recv() => Reason::Terminate,
        _ = interrupt.recv() => Reason::Interrupt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn finish_waits_for_tasks_that_watch_the_token() {
        let shutdown = Shutdown::new();
        let token = shutdown.token();
        let task = shutdown.spawn(async move {
            token.cancelled().await;
            "stopped"
        });
        assert_eq!(shutdown.tasks_count(), 1);
        shutdown.trigger(Reason::Requested("test over".to_owned()));
        shutdown.trigger(Reason::Terminate);
        assert_eq!(shutdown.finish(Duration::from_secs(30)).await, Drained::Clean);
        assert_eq!(shutdown.reason(), Some(&Reason::Requested("test over".to_owned())));
        assert_eq!(task.await.unwrap(), "stopped");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_stop_is_reported_after_the_grace_period() {
        let shutdown = Shutdown::new();
        let stuck = shutdown.spawn(std::future::pending::<()>());
        shutdown.trigger(Reason::Interrupt);
        assert_eq!(shutdown.finish(Duration::from_secs(5)).await, Drained::TimedOut { tasks_count: 1 });
        stuck.abort();
    }

    #[tokio::test]
    async fn stopping_one_part_leaves_the_rest_running() {
        let shutdown = Shutdown::new();
        let part = shutdown.child_token();
        part.cancel();
        assert!(!shutdown.is_started());
    }
}
