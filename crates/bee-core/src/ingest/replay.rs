//! Rebuilding the stream positions at start: the checkpoint, then every record of the log behind it.

use bee_link::core::{Mark, Marks};
use bee_log::Item;
use bee_wire::{NodeId, StreamId};
use serde::{Deserialize, Serialize};

use super::record::{Header, Source};
use crate::ledger::Ledger;
use crate::state::{Record, State, StateError};

/// Positions of one node's streams as stored under `marks/<node>`, oldest use first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct MarksRecord {
    pub(super) streams: Vec<(String, u64)>,
    /// Events stored, for the ledger.
    #[serde(default)]
    pub(super) stored: u64,
    /// Events the node had to drop, for the ledger.
    #[serde(default)]
    pub(super) dropped: u64,
}

impl Record for MarksRecord {
    const KIND: &'static str = "stream positions";
    const VERSION: u32 = 1;
}

/// Up to where in the log the stored positions are complete.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    pub(super) log_seq: u64,
}

impl Checkpoint {
    pub(super) const KEY: &'static str = "marks-checkpoint";
}

impl Record for Checkpoint {
    const KIND: &'static str = "checkpoint";
    const VERSION: u32 = 1;
}

/// What a replay found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Records read behind the checkpoint.
    pub records: u64,
    /// Events of records that could not be read.
    pub damaged: u64,
}

/// The positions could not be rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The checkpoint could not be read.
    #[error("cannot read the stored stream positions")]
    State(#[from] StateError),
    /// The log could not be read.
    #[error("cannot read the event log")]
    Log(#[from] bee_log::Error),
}

/// Rebuilds the marks. Blocking; start only.
pub fn replay(
    state: &State,
    log: &bee_log::Handle,
    ledger: &Ledger,
) -> Result<(Marks, Replayed), ReplayError> {
    let mut marks = Marks::new();
    for (key, record) in state.records::<MarksRecord>("marks/")? {
        let Some(node_id) = key.strip_prefix("marks/").and_then(|id| id.parse::<NodeId>().ok()) else {
            continue;
        };
        ledger.add(node_id, record.stored, record.dropped);
        for (stream, next_seq) in record.streams {
            if let Ok(stream) = StreamId::new(stream) {
                marks.restore(&Mark { node_id, stream, next_seq });
            }
        }
    }
    let checkpoint = state.record::<Checkpoint>(Checkpoint::KEY)?.unwrap_or_default();
    let mut replayed = Replayed::default();
    let mut reader = log.reader(checkpoint.log_seq.max(log.first_seq()));
    while let Some(item) = reader.next()? {
        match item {
            Item::Gap(gap) => {
                replayed.damaged = replayed.damaged.saturating_add(gap.to.saturating_sub(gap.from))
            }
            Item::Record(record) => match Header::read(record.payload) {
                Ok(header) => {
                    replayed.records += 1;
                    ledger.add(header.node_id, u64::from(header.count), 0);
                    if header.source == Source::Numbered
                        && let Ok(stream) = StreamId::new(header.stream)
                    {
                        let next_seq = header.first_seq.saturating_add(u64::from(header.count));
                        marks.restore(&Mark { node_id: header.node_id, stream, next_seq });
                    }
                }
                Err(_) => replayed.damaged = replayed.damaged.saturating_add(u64::from(record.weight)),
            },
        }
    }
    Ok((marks, replayed))
}
