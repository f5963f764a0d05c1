//! Which events of the spool are sent, which are acknowledged, and whether another batch may go.
//!
//! `NodeLink` owns one. It counts batches and bytes, never events one by one.

use std::collections::VecDeque;

use bee_wire::StreamId;
use bee_wire::core::EventAck;

use super::{BatchRequest, LinkConfig};

/// What an acknowledgement means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Acked {
    /// Nothing new.
    Nothing,
    /// The spool may forget everything below.
    Below(u64),
    /// Core is ahead of the spool: the spool is an old copy.
    Stale {
        /// Where Core stands.
        core_next_seq: u64,
    },
}

#[derive(Debug)]
struct InFlight {
    next_seq: u64,
    bytes: u64,
    sent_ms: u64,
}

#[derive(Debug)]
struct Spool {
    stream: StreamId,
    first_seq: u64,
    next_seq: u64,
}

#[derive(Debug, Default)]
pub(super) struct Window {
    spool: Option<Spool>,
    open: bool,
    numbered: bool,
    resume: Option<EventAck>,
    // Everything below was sent on this connection, or is durable at Core.
    sent: u64,
    // The request that waits for `BatchSent`.
    sending: Option<u64>,
    // Nothing could be read at `sent`; wait until the spool moves.
    stalled: bool,
    stale: bool,
    // Everything below was written to a Core that does not acknowledge.
    written: u64,
    in_flight: VecDeque<InFlight>,
    in_flight_bytes: u64,
}

impl Window {
    /// The node is registered: send from where Core stands.
    pub(super) fn open(&mut self, numbered: bool, resume: Option<EventAck>) -> Acked {
        self.close();
        self.open = true;
        self.numbered = numbered;
        self.resume = resume;
        self.restart()
    }

    /// The connection is gone, and with it what was in flight.
    pub(super) fn close(&mut self) {
        self.open = false;
        self.sending = None;
        self.resume = None;
        self.in_flight.clear();
        self.in_flight_bytes = 0;
    }

    pub(super) fn spool(&mut self, stream: StreamId, first_seq: u64, next_seq: u64) -> Acked {
        self.stalled = false;
        let same = self.spool.as_ref().is_some_and(|spool| spool.stream == stream);
        self.spool = Some(Spool { stream, first_seq, next_seq });
        if same {
            self.sent = self.sent.max(first_seq);
            return Acked::Nothing;
        }
        self.stale = false;
        self.written = 0;
        self.sending = None;
        self.in_flight.clear();
        self.in_flight_bytes = 0;
        self.restart()
    }

    /// The next batch to send, if the window has room and the spool has events.
    pub(super) fn next(&mut self, config: &LinkConfig) -> Option<BatchRequest> {
        let spool = self.spool.as_ref()?;
        let idle = self.open && self.sending.is_none() && !self.stalled && !self.stale;
        let room = self.in_flight.len() < config.window_batches_max.max(1)
            && self.in_flight_bytes < config.window_bytes_max.max(1);
        if !idle || !room || self.sent >= spool.next_seq {
            return None;
        }
        self.sending = Some(self.sent);
        Some(BatchRequest {
            stream: spool.stream.clone(),
            first_seq: self.sent,
            events_max: config.batch_events_max.max(1),
            bytes_max: config.batch_bytes_max.max(1),
            numbered: self.numbered,
        })
    }

    /// A batch was written. Where Core does not acknowledge, that is all there will ever be.
    pub(super) fn batch_sent(&mut self, next_seq: u64, bytes: u64, mono_ms: u64) -> Acked {
        let Some(first_seq) = self.sending.take() else { return Acked::Nothing };
        if next_seq <= first_seq {
            self.stalled = true;
            return Acked::Nothing;
        }
        self.sent = self.sent.max(next_seq);
        if !self.numbered {
            self.written = self.written.max(next_seq);
            return Acked::Below(next_seq);
        }
        self.in_flight_bytes = self.in_flight_bytes.saturating_add(bytes);
        self.in_flight.push_back(InFlight { next_seq, bytes, sent_ms: mono_ms });
        Acked::Nothing
    }

    pub(super) fn ack(&mut self, ack: &EventAck) -> Acked {
        let Some(spool) = self.spool.as_ref().filter(|spool| spool.stream == ack.stream) else {
            return Acked::Nothing;
        };
        if ack.next_seq > spool.next_seq {
            let news = !std::mem::replace(&mut self.stale, true);
            return if news { Acked::Stale { core_next_seq: ack.next_seq } } else { Acked::Nothing };
        }
        while let Some(batch) = self.in_flight.front()
            && batch.next_seq <= ack.next_seq
        {
            self.in_flight_bytes = self.in_flight_bytes.saturating_sub(batch.bytes);
            self.in_flight.pop_front();
        }
        self.sent = self.sent.max(ack.next_seq);
        if ack.next_seq > spool.first_seq { Acked::Below(ack.next_seq) } else { Acked::Nothing }
    }

    pub(super) fn stream(&self) -> Option<&StreamId> {
        self.spool.as_ref().map(|spool| &spool.stream)
    }

    /// When the oldest batch in flight was sent.
    pub(super) fn oldest_sent_ms(&self) -> Option<u64> {
        self.in_flight.front().map(|batch| batch.sent_ms)
    }

    fn restart(&mut self) -> Acked {
        let Some(spool) = &self.spool else { return Acked::Nothing };
        self.stalled = false;
        self.sent = if self.numbered { spool.first_seq } else { spool.first_seq.max(self.written) };
        match self.resume.take() {
            Some(resume) => self.ack(&resume),
            None => Acked::Nothing,
        }
    }
}
