//! Word for a connection from the rest of Core: acknowledgements, commands, the order to go.
//!
//! One small allocation a connection instead of a channel: ten thousand idle nodes cost little. Acknowledgements
//! of one stream replace each other, so that a slow node's queue does not grow with its own speed.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bee_link::core::Input;
use bee_wire::{ErrorCode, StreamId};
use tokio::sync::Notify;

use crate::ingest::AckSink;
use crate::limits;

/// The inbox of one connection's task, and what the sweep wants to know of it.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    mail: Mutex<Mail>,
    wake: Notify,
    heard_unix_ms: AtomicI64,
    deadline_mono_ms: AtomicU64,
}

#[derive(Debug, Default)]
struct Mail {
    stored: Vec<(StreamId, u64)>,
    inputs: VecDeque<Input>,
}

impl Mailbox {
    /// Leaves an input for the session. A connection that does not take its mail is told to go.
    pub(crate) fn push(&self, input: Input) {
        {
            let mut mail = self.lock();
            if mail.inputs.len() >= limits::NODE_QUEUE_MAX {
                mail.inputs.clear();
                mail.inputs.push_back(Input::Shutdown {
                    code: ErrorCode::ConnectionFailed,
                    reason: "the node does not take what Core sends".to_owned(),
                });
            } else {
                mail.inputs.push_back(input);
            }
        }
        self.wake.notify_one();
    }

    /// Everything that waits, acknowledgements first.
    pub(crate) fn take(&self) -> Vec<Input> {
        let mut mail = self.lock();
        let stored = std::mem::take(&mut mail.stored);
        let inputs = std::mem::take(&mut mail.inputs);
        drop(mail);
        let stored = stored.into_iter().map(|(stream, next_seq)| Input::Stored { stream, next_seq });
        stored.chain(inputs).collect()
    }

    /// Waits until there is mail.
    pub(crate) async fn arrived(&self) {
        self.wake.notified().await;
    }

    /// Notes a sign of life and the session's next deadline (`u64::MAX` for none).
    pub(crate) fn note(&self, heard_unix_ms: Option<i64>, deadline_mono_ms: Option<u64>) {
        if let Some(heard) = heard_unix_ms {
            self.heard_unix_ms.store(heard, Ordering::Relaxed);
        }
        self.deadline_mono_ms.store(deadline_mono_ms.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// When the node was heard last, Unix milliseconds.
    pub(crate) fn heard_unix_ms(&self) -> i64 {
        self.heard_unix_ms.load(Ordering::Relaxed)
    }

    /// Called by the sweep: wakes the session when its deadline has passed.
    pub(crate) fn sweep(&self, mono_ms: u64) {
        let deadline = self.deadline_mono_ms.load(Ordering::Relaxed);
        // The task sets the next deadline when it has handled this one; if it does so in between, that stands.
        if mono_ms >= deadline
            && self
                .deadline_mono_ms
                .compare_exchange(deadline, u64::MAX, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            self.push(Input::Tick);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AckSink for Mailbox {
    fn stored(&self, stream: &StreamId, next_seq: u64) {
        {
            let mut mail = self.lock();
            match mail.stored.iter_mut().find(|(known, _)| known == stream) {
                Some((_, known)) => *known = next_seq.max(*known),
                None => mail.stored.push((stream.clone(), next_seq)),
            }
        }
        self.wake.notify_one();
    }

    fn refused(&self, why: String) {
        self.push(Input::Shutdown { code: ErrorCode::InvalidMessageFormat, reason: why });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_of_one_stream_are_one() {
        let mailbox = Mailbox::default();
        let stream = StreamId::new("a").unwrap();
        for next in [3, 9, 5] {
            mailbox.stored(&stream, next);
        }
        let mail = mailbox.take();
        assert!(matches!(mail.as_slice(), [Input::Stored { next_seq: 9, .. }]), "{mail:?}");
        assert!(mailbox.take().is_empty());
    }

    #[test]
    fn a_connection_that_takes_no_mail_is_told_to_go() {
        let mailbox = Mailbox::default();
        for _ in 0..=limits::NODE_QUEUE_MAX {
            mailbox.push(Input::Tick);
        }
        let mail = mailbox.take();
        assert!(matches!(mail.as_slice(), [Input::Shutdown { .. }]), "{}", mail.len());
    }

    #[test]
    fn the_sweep_wakes_a_session_once_per_deadline() {
        let mailbox = Mailbox::default();
        mailbox.note(None, Some(100));
        mailbox.sweep(99);
        assert!(mailbox.take().is_empty());
        mailbox.sweep(100);
        mailbox.sweep(101);
        assert_eq!(mailbox.take().len(), 1);
    }
}
