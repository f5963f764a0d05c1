//! Reads committed records newest first, block by block of the sparse index.

use std::sync::Arc;

use crate::scan::{Found, Range, Scanner, Step};
use crate::shared::{Block, IndexEntry, Shared};
use crate::{Gap, GapCause, Item, Record, Result};

/// Reads backward; see [`crate::Handle::reverse_reader`]. Does not see what is committed after it was made, nor what
/// is truncated in the meantime.
pub struct ReverseReader {
    shared: Arc<Shared>,
    /// Everything at and above is done.
    before: u64,
    block: Option<(Scanner, Vec<Entry>)>,
}

/// What a block holds, in forward order.
enum Entry {
    Record(Found),
    Hole { from: u64, to: u64 },
}

impl std::fmt::Debug for ReverseReader {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("ReverseReader").field("before", &self.before).finish_non_exhaustive()
    }
}

impl ReverseReader {
    pub(crate) fn new(shared: Arc<Shared>, before: u64) -> Self {
        let before = before.min(shared.next_seq());
        Self { shared, before, block: None }
    }

    /// The next older record or gap; `None` when `first_seq` was reached.
    ///
    /// # Errors
    /// `Io` when a segment cannot be opened or read.
    #[expect(clippy::should_implement_trait, reason = "lends from its own buffer, which Iterator cannot")]
    pub fn next(&mut self) -> Result<Option<Item<'_>>> {
        let found = loop {
            let first_seq = self.shared.first_seq();
            if self.before <= first_seq {
                return Ok(None);
            }
            match self.block.as_mut().map(|(_, entries)| entries.pop()) {
                Some(Some(Entry::Record(found))) => {
                    self.before = found.header.seq;
                    if found.header.end_seq() > first_seq {
                        break found;
                    }
                }
                Some(Some(Entry::Hole { from, to })) => {
                    let to = to.min(self.before);
                    if let Some(gap) = self.gap(from, to) {
                        return Ok(Some(gap));
                    }
                }
                Some(None) => self.block = None,
                None => {
                    if let Some(gap) = self.load()? {
                        return Ok(Some(gap));
                    }
                }
            }
        };
        let Some((scanner, _)) = &mut self.block else { return Ok(None) };
        let payload = scanner.payload_backward(&found)?;
        Ok(Some(Item::Record(Record { seq: found.header.seq, weight: found.header.weight, payload })))
    }

    /// Reads the block that ends at `before`, or says that it is lost.
    fn load(&mut self) -> Result<Option<Item<'static>>> {
        let block = self.shared.state().block_below(self.before);
        match block {
            Block::Unindexed { segment } => self.shared.build_index(segment)?,
            Block::Hole { from } => return Ok(self.gap(from, self.before)),
            Block::Records { segment, from, to } => {
                let range = Range { offset: from.1, seq: from.0, limit: to.1, end_seq: Some(to.0) };
                match self.shared.scanner(segment, range)? {
                    Some(scanner) => self.collect(scanner, from)?,
                    None => return Ok(self.gap(from.0, self.before)),
                }
            }
        }
        Ok(None)
    }

    fn collect(&mut self, mut scanner: Scanner, from: IndexEntry) -> Result<()> {
        let mut entries = Vec::new();
        loop {
            match scanner.step()? {
                Step::Record(found) if found.header.seq < self.before => entries.push(Entry::Record(found)),
                Step::Hole { from, to } if from < self.before => entries.push(Entry::Hole { from, to }),
                Step::Record(_) | Step::Hole { .. } => {}
                Step::End => break,
            }
        }
        if entries.is_empty() {
            // Only if the file changed under us: what the index pointed at is gone.
            entries.push(Entry::Hole { from: from.0, to: self.before });
        }
        self.block = Some((scanner, entries));
        Ok(())
    }

    /// Everything from `from` to `to` is lost, as far as it was not truncated.
    fn gap(&mut self, from: u64, to: u64) -> Option<Item<'static>> {
        let from = from.max(self.shared.first_seq());
        self.before = self.before.min(from);
        (from < to).then_some(Item::Gap(Gap { from, to, cause: GapCause::Damaged }))
    }
}
