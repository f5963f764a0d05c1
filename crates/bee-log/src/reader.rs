//! Reads committed records in order, and follows the writer.

use std::sync::Arc;

use crate::scan::{Found, Range, Scanner, Step};
use crate::shared::{Place, Shared};
use crate::{Gap, GapCause, Item, Record, Result};

/// Reads forward; see [`crate::Handle::reader`]. Holds one open file and [`crate::RECORD_BYTES_LIMIT`] bytes at most,
/// 256 KiB as long as records are small.
pub struct Reader {
    shared: Arc<Shared>,
    next: u64,
    /// The segment being read, by its first sequence number.
    at: Option<(u64, Scanner)>,
}

enum Advance {
    Gap(Gap),
    Record(Found),
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Reader").field("next", &self.next).finish_non_exhaustive()
    }
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>, next: u64) -> Self {
        Self { shared, next, at: None }
    }

    /// The next record or gap; `None` at the end of what is committed: ask again later for more.
    ///
    /// The very first record may begin before the number asked for, if it covers it.
    ///
    /// # Errors
    /// `Io` when a segment cannot be opened or read; the position is kept, so the call can be repeated.
    #[expect(clippy::should_implement_trait, reason = "lends from its own buffer, which Iterator cannot")]
    pub fn next(&mut self) -> Result<Option<Item<'_>>> {
        let found = match self.advance()? {
            None => return Ok(None),
            Some(Advance::Gap(gap)) => return Ok(Some(Item::Gap(gap))),
            Some(Advance::Record(found)) => found,
        };
        let Some((_, scanner)) = &mut self.at else { return Ok(None) };
        let payload = scanner.payload(&found)?;
        Ok(Some(Item::Record(Record { seq: found.header.seq, weight: found.header.weight, payload })))
    }

    /// Sequence number that the next item begins at.
    pub fn position(&self) -> u64 {
        self.next
    }

    /// Goes on from another sequence number.
    pub fn seek(&mut self, seq: u64) {
        self.next = seq;
        self.at = None;
    }

    fn advance(&mut self) -> Result<Option<Advance>> {
        loop {
            let first_seq = self.shared.first_seq();
            if self.next < first_seq {
                self.at = None;
                return Ok(Some(self.gap(first_seq, GapCause::Truncated)));
            }
            if self.next >= self.shared.next_seq() {
                return Ok(None);
            }
            let Some((segment, scanner)) = &mut self.at else {
                if let Some(gap) = self.open()? {
                    return Ok(Some(gap));
                }
                continue;
            };
            match scanner.step()? {
                Step::Record(found) if found.header.end_seq() <= self.next => {}
                Step::Record(found) => {
                    self.next = found.header.end_seq();
                    return Ok(Some(Advance::Record(found)));
                }
                Step::Hole { to, .. } if to <= self.next => {}
                Step::Hole { to, .. } => return Ok(Some(self.gap(to, GapCause::Damaged))),
                Step::End => {
                    let grown = self.shared.state().find(*segment).map(|found| (found.bytes, found.end_seq));
                    match grown {
                        Some((limit, end_seq)) if end_seq > scanner.expect() => {
                            scanner.extend(limit, end_seq)
                        }
                        _ => self.at = None,
                    }
                }
            }
        }
    }

    fn gap(&mut self, to: u64, cause: GapCause) -> Advance {
        let from = std::mem::replace(&mut self.next, to);
        Advance::Gap(Gap { from, to, cause })
    }

    /// Opens the segment of `next`, or says that it is lost.
    fn open(&mut self) -> Result<Option<Advance>> {
        let place = self.shared.state().place(self.next, self.shared.next_seq());
        let (first_seq, end_seq, limit, from) = match place {
            Place::Hole { to } => return Ok(self.lost(to)),
            Place::Segment { first_seq, end_seq, limit, from } => (first_seq, end_seq, limit, from),
        };
        let range = Range { offset: from.1, seq: from.0, limit, end_seq: Some(end_seq) };
        match self.shared.scanner(first_seq, range)? {
            Some(scanner) => self.at = Some((first_seq, scanner)),
            None => return Ok(self.lost(end_seq)),
        }
        Ok(None)
    }

    /// Damage, unless it was truncated while we looked.
    fn lost(&mut self, to: u64) -> Option<Advance> {
        (self.next >= self.shared.first_seq()).then(|| self.gap(to, GapCause::Damaged))
    }
}
