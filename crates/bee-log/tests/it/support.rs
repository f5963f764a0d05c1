//! Short forms that the tests share.

use bee_log::{Gap, Handle, Item, Options};

/// A record, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owned {
    pub(crate) seq: u64,
    pub(crate) weight: u32,
    pub(crate) payload: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Read {
    Record(Owned),
    Gap(Gap),
}

pub(crate) fn own(item: Item<'_>) -> Read {
    match item {
        Item::Gap(gap) => Read::Gap(gap),
        Item::Record(record) => {
            Read::Record(Owned { seq: record.seq, weight: record.weight, payload: record.payload.to_vec() })
        }
    }
}

pub(crate) fn read_forward(handle: &Handle, from: u64) -> Vec<Read> {
    let mut reader = handle.reader(from);
    let mut items = Vec::new();
    while let Some(item) = reader.next().unwrap() {
        items.push(own(item));
    }
    items
}

/// Oldest first, like `read_forward`.
pub(crate) fn read_backward(handle: &Handle, before: u64) -> Vec<Read> {
    let mut reader = handle.reverse_reader(before);
    let mut items = Vec::new();
    while let Some(item) = reader.next().unwrap() {
        items.push(own(item));
    }
    items.reverse();
    items
}

pub(crate) fn payloads(items: &[Read]) -> Vec<String> {
    let text = |item: &Read| match item {
        Read::Record(record) => String::from_utf8_lossy(&record.payload).into_owned(),
        Read::Gap(gap) => format!("gap {}..{}", gap.from, gap.to),
    };
    items.iter().map(text).collect()
}

/// Small limits, so that a few records fill segments.
pub(crate) fn small() -> Options {
    Options { record_bytes_max: 300, group_bytes_max: 800, segment_bytes_max: 1000, ..Options::default() }
}
