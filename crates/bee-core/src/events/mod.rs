//! Stored events for people and programs: newest first with filters, one by number, or forward from a cursor.
//!
//! Reads the log in blocks, newest first, after the cache of recent batches; no index until the column store
//! exists. Therefore every search has a limit of events and of time, and says honestly when it met one: the
//! next page goes on from there. Nothing here runs on an async thread or holds up ingest.

mod filter;
mod recent;
mod view;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bee_log::{Handle, Item};
use bee_wire::api::{Event, EventPage};
use bee_wire::id::Cursor;
use tokio::sync::Semaphore;

pub use filter::{EventFilter, FilterError};
pub use recent::Recent;
pub(crate) use view::age_ms;
pub use view::{NodeNames, Views};

use crate::counters::Counters;
use crate::ingest::StoredBatch;
use crate::ingest::record::{self, Header, StoredEvent};
use crate::limits;

/// How much one search may do.
#[derive(Debug, Clone, Copy)]
pub struct SearchLimits {
    /// Events looked at.
    pub scan_max: u64,
    /// Time taken.
    pub time_max: Duration,
}

impl Default for SearchLimits {
    fn default() -> Self {
        Self { scan_max: limits::QUERY_SCAN_MAX, time_max: limits::QUERY_TIME_MAX }
    }
}

/// The log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Reading the log failed.
    #[error("cannot read the event log")]
    Log(#[from] bee_log::Error),
    /// Core is shutting down.
    #[error("Core is shutting down")]
    Closed,
}

/// Read access to all stored events. Cloning is cheap.
#[derive(Clone)]
pub struct Events {
    inner: Arc<Inner>,
}

struct Inner {
    log: Handle,
    recent: Arc<Recent>,
    views: Arc<Views>,
    counters: Arc<Counters>,
    readers: Semaphore,
}

impl Events {
    /// Read access over a log and the cache of what was just stored.
    pub fn new(log: Handle, recent: Arc<Recent>, views: Arc<Views>, counters: Arc<Counters>) -> Self {
        let readers = Semaphore::new(limits::QUERIES_MAX);
        Self { inner: Arc::new(Inner { log, recent, views, counters, readers }) }
    }

    /// The newest events that pass, older than `before`, at most `limit`.
    pub async fn search(
        &self,
        filter: EventFilter,
        before: Option<Cursor>,
        limit: usize,
        within: SearchLimits,
    ) -> Result<EventPage, ReadError> {
        let limit = limit.clamp(1, limits::QUERY_LIMIT_MAX);
        let page = self.blocking(move |inner| inner.search(&filter, before, limit, within)).await?;
        self.inner.counters.queries.one();
        if page.partial {
            self.inner.counters.queries_incomplete.one();
        }
        Ok(page)
    }

    /// One event by its number.
    pub async fn event(&self, id: Cursor) -> Result<Option<Event>, ReadError> {
        self.blocking(move |inner| inner.event(id.0)).await
    }

    /// Events from number `from` below `to`, oldest first: what passes of the next stretch of the log, and where
    /// the next call should begin. Used by subscribers that catch up.
    pub async fn forward(
        &self,
        filter: Arc<EventFilter>,
        from: u64,
        to: u64,
    ) -> Result<(Vec<Arc<Event>>, u64), ReadError> {
        self.blocking(move |inner| inner.forward(&filter, from, to)).await
    }

    /// First and next number of the log.
    pub fn bounds(&self) -> (u64, u64) {
        (self.inner.log.first_seq(), self.inner.log.next_seq())
    }

    /// Bytes, segments and the like.
    pub fn log_stats(&self) -> bee_log::Stats {
        self.inner.log.stats()
    }

    /// The views, for the live feed.
    pub fn views(&self) -> &Views {
        &self.inner.views
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, bee_log::Error> + Send + 'static,
    ) -> Result<T, ReadError> {
        let _reader = self.inner.readers.acquire().await.map_err(|_| ReadError::Closed)?;
        let inner = Arc::clone(&self.inner);
        match tokio::task::spawn_blocking(move || work(&inner)).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(ReadError::Closed),
        }
    }
}

/// One search on its way.
struct Search<'a> {
    filter: &'a EventFilter,
    before: u64,
    limit: usize,
    scan_max: u64,
    until: Instant,
    found: Vec<Event>,
    scanned: u64,
    /// Everything from here on was looked at.
    reached: u64,
}

enum Progress {
    GoOn,
    PageFull,
    LimitMet,
    RangeDone,
}

impl Inner {
    fn search(
        &self,
        filter: &EventFilter,
        before: Option<Cursor>,
        limit: usize,
        within: SearchLimits,
    ) -> Result<EventPage, bee_log::Error> {
        let before = before.map_or(u64::MAX, |cursor| cursor.0);
        let mut search = Search {
            filter,
            before,
            limit,
            scan_max: within.scan_max,
            until: Instant::now() + within.time_max,
            found: Vec::new(),
            scanned: 0,
            reached: before,
        };
        let mut oldest = u64::MAX;
        let mut progress = Progress::GoOn;
        // What left the log at its size cap is gone, also from the cache.
        let first = self.log.first_seq();
        for batch in self.recent.newest_first().into_iter().take_while(|batch| batch.seq >= first) {
            oldest = batch.seq;
            if batch.seq < before {
                progress = self.look(&mut search, batch.seq, &batch.header, || {
                    Some(std::borrow::Cow::Borrowed(batch.body.as_slice()))
                });
                if !matches!(progress, Progress::GoOn) {
                    break;
                }
            }
        }
        if matches!(progress, Progress::GoOn) {
            let mut reader = self.log.reverse_reader(oldest.min(before));
            while let Some(item) = reader.next()? {
                let Item::Record(record) = item else { continue };
                let Ok(header) = Header::read(record.payload) else {
                    self.counters.log_records_damaged.one();
                    continue;
                };
                progress =
                    self.look(&mut search, record.seq, &header, || match header.body(record.payload) {
                        Ok(body) => Some(std::borrow::Cow::Owned(body)),
                        Err(_) => {
                            self.counters.log_records_damaged.one();
                            None
                        }
                    });
                if !matches!(progress, Progress::GoOn) {
                    break;
                }
            }
        }
        let next_cursor = match progress {
            Progress::PageFull => search.found.last().map(|event| event.id),
            Progress::LimitMet => Some(Cursor(search.reached)),
            Progress::GoOn | Progress::RangeDone => None,
        };
        Ok(EventPage {
            partial: matches!(progress, Progress::LimitMet),
            events: search.found,
            next_cursor,
            scanned: search.scanned,
        })
    }

    /// Looks at one batch, newest event first.
    fn look<'b>(
        &self,
        search: &mut Search<'_>,
        seq: u64,
        header: &Header,
        body: impl FnOnce() -> Option<std::borrow::Cow<'b, [u8]>>,
    ) -> Progress {
        if search.filter.received_from().is_some_and(|oldest| header.received < oldest) {
            return Progress::RangeDone;
        }
        if search.scanned >= search.scan_max || Instant::now() >= search.until {
            return Progress::LimitMet;
        }
        search.scanned = search.scanned.saturating_add(u64::from(header.count));
        if search.filter.may_hold(header)
            && let Some(body) = body()
            && search.filter.may_hold_bytes(&body)
        {
            let events: Vec<(u64, StoredEvent<'_>)> = (seq..).zip(record::events(&body)).collect();
            for (number, event) in events.iter().rev() {
                if *number >= search.before || !search.filter.may_pass(event) {
                    continue;
                }
                let view = self.views.view(*number, header, event);
                if search.filter.passes(&view) {
                    search.found.push(view);
                    if search.found.len() >= search.limit {
                        return Progress::PageFull;
                    }
                }
            }
        }
        search.reached = seq;
        Progress::GoOn
    }

    fn event(&self, number: u64) -> Result<Option<Event>, bee_log::Error> {
        let all = EventFilter::default();
        let within = SearchLimits { scan_max: 1, time_max: limits::QUERY_TIME_MAX };
        let found = self.search(&all, Some(Cursor(number.saturating_add(1))), 1, within)?;
        Ok(found.events.into_iter().find(|event| event.id.0 == number))
    }

    fn forward(
        &self,
        filter: &EventFilter,
        from: u64,
        to: u64,
    ) -> Result<(Vec<Arc<Event>>, u64), bee_log::Error> {
        /// Enough for one delivery, small enough that a subscriber with a rare filter still moves on.
        const SCAN: u64 = 50_000;
        let mut found = Vec::new();
        let mut reached = from;
        let mut scanned = 0_u64;
        let mut reader = self.log.reader(from.max(self.log.first_seq()));
        while reached < to && scanned < SCAN && found.len() < limits::QUERY_LIMIT_MAX {
            let Some(item) = reader.next()? else {
                reached = to;
                break;
            };
            let record = match item {
                Item::Gap(gap) => {
                    reached = gap.to;
                    continue;
                }
                Item::Record(record) => record,
            };
            let end = record.end_seq();
            scanned = scanned.saturating_add(u64::from(record.weight));
            let body =
                Header::read(record.payload).and_then(|header| Ok((header.body(record.payload)?, header)));
            let Ok((body, header)) = body else {
                self.counters.log_records_damaged.one();
                reached = end;
                continue;
            };
            if filter.may_hold(&header) && filter.may_hold_bytes(&body) {
                for (number, event) in (record.seq..).zip(record::events(&body)) {
                    if number < reached || number >= to || !filter.may_pass(&event) {
                        continue;
                    }
                    let view = self.views.view(number, &header, &event);
                    if filter.passes(&view) {
                        found.push(Arc::new(view));
                    }
                }
            }
            reached = end.min(to);
        }
        Ok((found, reached))
    }
}

/// Whether a stored batch may hold something for a filter; used by the live feed.
pub(crate) fn may_hold(filter: &EventFilter, batch: &StoredBatch) -> bool {
    filter.may_hold(&batch.header)
}
