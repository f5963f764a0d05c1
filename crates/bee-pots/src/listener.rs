//! Accepts connections for a trap, within its limits, and bounds each session's time.
//!
//! A connection past a limit is closed at once and counted; `honeybee.pot.refused` reports the count with the last source.

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::emit::Emitter;

/// How often refused connections are reported while there are any.
const REFUSED_REPORT_EVERY: Duration = Duration::from_secs(10);
/// Wait after an accept error such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the accept loop of a trap works with.
#[derive(Debug)]
pub(crate) struct Accept {
    /// The bound socket.
    pub(crate) listener: TcpListener,
    /// Ends the loop and, through [`Connection::stop`], each session.
    pub(crate) stop: CancellationToken,
    /// Owns the session tasks.
    pub(crate) tracker: TaskTracker,
    /// Where events go.
    pub(crate) emitter: Emitter,
}

/// The limits on sessions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionLimits {
    /// Sessions at once.
    pub(crate) sessions_max: usize,
    /// Sessions at once from one source address.
    pub(crate) source_sessions_max: usize,
    /// Longest session.
    pub(crate) session_max: Duration,
}

/// One accepted connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The socket.
    pub(crate) stream: TcpStream,
    /// The client.
    pub(crate) source: SocketAddr,
    /// The address that the client connected to.
    pub(crate) local: SocketAddr,
    /// Where events go.
    pub(crate) emitter: Emitter,
    /// Cancelled when the session has to end: the trap stops, or the session's time is over.
    pub(crate) stop: CancellationToken,
    /// Owns work that outlives the connection, such as keeping a file.
    pub(crate) background: TaskTracker,
}

/// Sessions at once, whole and per source.
#[derive(Debug, Default)]
struct Count {
    all: usize,
    sources: HashMap<IpAddr, usize>,
}

/// Gives its place back when the session is over.
struct Place {
    count: Arc<Mutex<Count>>,
    source: IpAddr,
}

/// Accepts until `accept.stop`, running `session` for each connection within the limits.
pub(crate) async fn accept<F, S>(accept: Accept, limits: SessionLimits, session: S)
where
    F: Future<Output = ()> + Send + 'static,
    S: Fn(Connection) -> F,
{
    let count = Arc::new(Mutex::new(Count::default()));
    let mut refused = Refused::default();
    let mut report = tokio::time::interval(REFUSED_REPORT_EVERY);
    report.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let accepted = tokio::select! {
            () = accept.stop.cancelled() => break,
            _ = report.tick(), if refused.count > 0 => {
                refused.report(&accept.emitter);
                continue;
            }
            accepted = accept.listener.accept() => accepted,
        };
        let Ok((stream, source)) = accepted else {
            // Out of descriptors, or the client is gone already: neither ends the trap.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Ok(local) = stream.local_addr() else { continue };
        let Some(place) = Place::take(&count, source.ip().to_canonical(), limits) else {
            refused.add(source.ip());
            continue;
        };
        // Keystrokes and prompts are small; nothing here gains from Nagle.
        let _ = stream.set_nodelay(true);
        let stop = accept.stop.child_token();
        let running = session(Connection {
            stream,
            source,
            local,
            emitter: accept.emitter.clone(),
            stop: stop.clone(),
            background: accept.tracker.clone(),
        });
        accept.tracker.spawn(async move {
            let _place = place;
            let mut running = std::pin::pin!(running);
            if tokio::time::timeout(limits.session_max, &mut running).await.is_err() {
                // The session sees the token, says goodbye and ends; its own code closes it in order.
                stop.cancel();
                running.await;
            }
        });
    }
    if refused.count > 0 {
        refused.report(&accept.emitter);
    }
}

impl Place {
    fn take(count: &Arc<Mutex<Count>>, source: IpAddr, limits: SessionLimits) -> Option<Self> {
        let mut counts = count.lock().unwrap_or_else(PoisonError::into_inner);
        let of_source = counts.sources.get(&source).copied().unwrap_or(0);
        if counts.all >= limits.sessions_max || of_source >= limits.source_sessions_max {
            return None;
        }
        counts.all += 1;
        counts.sources.insert(source, of_source + 1);
        drop(counts);
        Some(Self { count: Arc::clone(count), source })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all = counts.all.saturating_sub(1);
        match counts.sources.get_mut(&self.source) {
            Some(n) if *n > 1 => *n -= 1,
            _ => {
                counts.sources.remove(&self.source);
            }
        }
    }
}

#[derive(Default)]
struct Refused {
    count: u64,
    last: Option<IpAddr>,
}

impl Refused {
    fn add(&mut self, source: IpAddr) {
        self.count += 1;
        self.last = Some(source.to_canonical());
    }

    fn report(&mut self, emitter: &Emitter) {
        let last = self.last.map(|ip| ip.to_string());
        let data = Map::from_iter([
            ("count".to_owned(), Value::from(self.count)),
            ("reason".to_owned(), "too many sessions at once".into()),
            ("src_ip".to_owned(), last.into()),
        ]);
        emitter.event("honeybee.pot.refused", &data);
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn places_are_bounded_whole_and_per_source_and_come_back() {
        let limits = SessionLimits { sessions_max: 3, source_sessions_max: 2, session_max: Duration::ZERO };
        let count = Arc::new(Mutex::new(Count::default()));
        let (a, b) = (IpAddr::from(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::from(Ipv4Addr::new(192, 0, 2, 2)));
        let first = Place::take(&count, a, limits);
        let second = Place::take(&count, a, limits);
        assert!(first.is_some() && second.is_some());
        assert!(Place::take(&count, a, limits).is_none(), "one source may have two");
        let third = Place::take(&count, b, limits);
        assert!(third.is_some());
        assert!(Place::take(&count, b, limits).is_none(), "three in all");
        drop(first);
        assert!(Place::take(&count, b, limits).is_some());
        drop((second, third));
        assert!(count.lock().unwrap().sources.is_empty(), "no entry stays for a source that left");
    }
}
