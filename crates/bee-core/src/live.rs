//! The live feed: durable events to whoever listens, without ever holding up ingest.
//!
//! The writer hands each durable batch over with `try_send`; one thread makes the views, once for all
//! subscribers and only when there are any, and puts them into bounded queues. A subscriber that is too slow
//! finds a gap in its queue: it is told how many events it missed, or (a module, an output) reads them from
//! the log, because everything published is in the log already.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bee_wire::api::Event;
use bee_wire::id::Cursor;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::counters::Counters;
use crate::events::{self, EventFilter, Events, ReadError};
use crate::ingest::StoredBatch;
use crate::limits;

/// Batches between the writer and the feed's thread.
const FEED_QUEUE_MAX: usize = 256;

/// What a subscriber that is too slow wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLag {
    /// Go on with the newest and be told how many were missed (a dashboard).
    Skip,
    /// Read the missed ones from the log (a module, an output).
    CatchUp,
}

/// What someone wants to hear.
#[derive(Debug, Clone)]
pub struct SubscribeOptions {
    /// Which events.
    pub filter: EventFilter,
    /// Stored events from here on come first; only new ones without it.
    pub from: Option<Cursor>,
    /// What to do when it is too slow.
    pub on_lag: OnLag,
}

/// Events for a subscriber, in order.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The events, oldest first; may be empty when `missed` is not 0.
    pub events: Vec<Arc<Event>>,
    /// Events left out before `events` because the subscriber was slow. An upper bound: some might not have
    /// passed its filter.
    pub missed: u64,
    /// Where the missed ones begin.
    pub missed_from: Option<Cursor>,
    /// Pass it as `from` to go on behind this delivery.
    pub cursor: Cursor,
}

/// There are too many subscribers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are {0} live subscribers already; close some, or try again later")]
pub struct TooManySubscribers(pub usize);

/// The feed. Cloning is cheap.
#[derive(Clone)]
pub struct Live {
    feed: SyncSender<Arc<StoredBatch>>,
    board: Arc<Mutex<Board>>,
    events: Events,
    shutdown: CancellationToken,
}

struct Board {
    queues: Vec<Weak<Queue>>,
    // The number from which on the feed's thread will serve queues.
    next: u64,
}

struct Queue {
    filter: Arc<EventFilter>,
    state: Mutex<QueueState>,
    wake: Notify,
}

#[derive(Default)]
struct QueueState {
    items: VecDeque<Entry>,
    events: usize,
}

enum Entry {
    Event(Arc<Event>),
    Gap { from: u64, to: u64, missed: u64 },
}

impl Live {
    /// Starts the feed's thread, which ends when the last clone is gone. `next` is the log's next number.
    pub fn start(
        events: Events,
        counters: Arc<Counters>,
        next: u64,
        shutdown: CancellationToken,
    ) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (feed, batches) = sync_channel(FEED_QUEUE_MAX);
        let board = Arc::new(Mutex::new(Board { queues: Vec::new(), next }));
        let live = Self { feed, board: Arc::clone(&board), events: events.clone(), shutdown };
        let thread = std::thread::Builder::new()
            .name("bee-live".into())
            .spawn(move || distribute(&batches, &board, &events, &counters))?;
        Ok((live, thread))
    }

    /// What the writer calls. Never blocks; a batch that finds no room becomes a gap for all subscribers.
    pub fn publish(&self, batch: Arc<StoredBatch>) {
        match self.feed.try_send(batch) {
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }

    /// Begins a subscription.
    pub fn subscribe(&self, options: SubscribeOptions) -> Result<Subscription, TooManySubscribers> {
        let queue = Arc::new(Queue {
            filter: Arc::new(options.filter),
            state: Mutex::default(),
            wake: Notify::new(),
        });
        let next = {
            let mut board = lock(&self.board);
            board.queues.retain(|queue| queue.strong_count() > 0);
            if board.queues.len() >= limits::LIVE_SUBSCRIBERS_MAX {
                return Err(TooManySubscribers(board.queues.len()));
            }
            board.queues.push(Arc::downgrade(&queue));
            board.next
        };
        // The first event has number 1: who asks from 0 on has missed nothing.
        let from = options.from.map_or(next, |cursor| cursor.0.max(1));
        Ok(Subscription {
            queue,
            events: self.events.clone(),
            on_lag: options.on_lag,
            catching_up: (from < next).then_some((from, next)),
            cursor: from.min(next),
            shutdown: self.shutdown.clone(),
        })
    }

    /// Subscribers at this moment.
    pub fn subscribers_count(&self) -> usize {
        lock(&self.board).queues.iter().filter(|queue| queue.strong_count() > 0).count()
    }
}

/// One listener. Dropping it ends the subscription.
pub struct Subscription {
    queue: Arc<Queue>,
    events: Events,
    on_lag: OnLag,
    catching_up: Option<(u64, u64)>,
    cursor: u64,
    shutdown: CancellationToken,
}

impl Subscription {
    /// Waits for the next events, at most `max` of them (a delivery that catches up may hold a few more). `None`
    /// when Core stops. Safe to drop while waiting.
    pub async fn next(&mut self, max: usize) -> Result<Option<Delivery>, ReadError> {
        loop {
            if let Some((from, to)) = self.catching_up {
                let (events, reached) = self.events.forward(Arc::clone(&self.queue.filter), from, to).await?;
                self.catching_up = (reached < to).then_some((reached, to));
                self.cursor = reached;
                if !events.is_empty() {
                    return Ok(Some(self.delivery(events, 0, None)));
                }
                continue;
            }
            if let Some(delivery) = self.take(max) {
                return Ok(Some(delivery));
            }
            if self.catching_up.is_some() {
                continue;
            }
            // A wake between the look and this wait is kept as a permit.
            tokio::select! {
                () = self.queue.wake.notified() => {}
                () = self.shutdown.cancelled() => return Ok(None),
            }
        }
    }

    /// Where this subscription stands: everything below was delivered, did not pass, or was said to be missed.
    pub fn cursor(&self) -> Cursor {
        Cursor(self.cursor)
    }

    fn take(&mut self, max: usize) -> Option<Delivery> {
        let mut events = Vec::new();
        let mut missed = (0, None);
        {
            let mut state = lock(&self.queue.state);
            while events.len() < max.max(1) {
                match state.items.front() {
                    Some(Entry::Gap { from, to, missed: count }) if events.is_empty() => {
                        let (from, to, count) = (*from, *to, *count);
                        state.items.pop_front();
                        if self.on_lag == OnLag::CatchUp {
                            self.catching_up = Some((from, to));
                            return None;
                        }
                        missed = (missed.0 + count, missed.1.or(Some(Cursor(from))));
                        self.cursor = to;
                    }
                    Some(Entry::Event(_)) => {
                        if let Some(Entry::Event(event)) = state.items.pop_front() {
                            state.events -= 1;
                            self.cursor = event.id.0.saturating_add(1);
                            events.push(event);
                        }
                    }
                    // A gap behind events comes with the next delivery.
                    Some(Entry::Gap { .. }) | None => break,
                }
            }
        }
        (!events.is_empty() || missed.0 > 0).then(|| self.delivery(events, missed.0, missed.1))
    }

    fn delivery(&self, events: Vec<Arc<Event>>, missed: u64, missed_from: Option<Cursor>) -> Delivery {
        Delivery { events, missed, missed_from, cursor: Cursor(self.cursor) }
    }
}

fn distribute(
    batches: &Receiver<Arc<StoredBatch>>,
    board: &Mutex<Board>,
    events: &Events,
    counters: &Counters,
) {
    while let Ok(batch) = batches.recv() {
        // Views are made outside of the lock; who subscribes meanwhile starts behind this batch.
        let (queues, skipped): (Vec<Arc<Queue>>, _) = {
            let mut board = lock(board);
            let skipped = (board.next, batch.seq);
            board.next = batch.end_seq();
            board.queues.retain(|queue| queue.strong_count() > 0);
            (board.queues.iter().filter_map(Weak::upgrade).collect(), skipped)
        };
        if queues.is_empty() {
            continue;
        }
        if skipped.0 < skipped.1 {
            for queue in &queues {
                queue.gap(skipped.0, skipped.1, skipped.1 - skipped.0, counters);
            }
        }
        serve(&batch, &queues, events, counters);
        for queue in &queues {
            queue.wake.notify_one();
        }
    }
}

fn serve(batch: &StoredBatch, queues: &[Arc<Queue>], events: &Events, counters: &Counters) {
    let interested: Vec<&Arc<Queue>> =
        queues.iter().filter(|queue| events::may_hold(&queue.filter, batch)).collect();
    if interested.is_empty() {
        return;
    }
    for (seq, event) in batch.events() {
        let mut view = None;
        for queue in &interested {
            if !queue.filter.may_pass(&event) {
                continue;
            }
            let view = view.get_or_insert_with(|| Arc::new(events.views().view(seq, &batch.header, &event)));
            if queue.filter.passes(view) {
                queue.push(view, counters);
            }
        }
    }
}

impl Queue {
    fn push(&self, event: &Arc<Event>, counters: &Counters) {
        let seq = event.id.0;
        let mut state = lock(&self.state);
        if state.events >= limits::LIVE_QUEUE_MAX {
            drop(state);
            self.gap(seq, seq.saturating_add(1), 1, counters);
            return;
        }
        state.items.push_back(Entry::Event(Arc::clone(event)));
        state.events += 1;
        counters.live_events.one();
    }

    /// Notes events that were left out; neighbouring gaps are one.
    fn gap(&self, from: u64, to: u64, count: u64, counters: &Counters) {
        counters.live_missed.add(count);
        let mut state = lock(&self.state);
        match state.items.back_mut() {
            Some(Entry::Gap { to: end, missed, .. }) => {
                *end = to;
                *missed += count;
            }
            _ => state.items.push_back(Entry::Gap { from, to, missed: count }),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
