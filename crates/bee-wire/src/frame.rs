//! Cuts a byte stream into JSON objects.
//!
//! Called with whatever a read returned, in pieces of any size. Objects may follow each other with a newline, with
//! other white space or with nothing between. Never parses JSON: it follows strings and brackets only, each byte once.

use bytes::{Bytes, BytesMut};

/// What the decoder found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The bytes of one JSON object, from `{` to its `}`.
    Object(Bytes),
    /// Bytes that are no object; the decoder went on behind them.
    Garbage(Garbage),
}

/// Bytes that were thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Garbage {
    /// How many.
    pub bytes: usize,
    /// Why.
    pub reason: GarbageReason,
}

/// Why bytes were thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GarbageReason {
    /// Something else than an object.
    #[error("expected a JSON object")]
    NotAnObject,
    /// Nested deeper than [`crate::limits::JSON_DEPTH_MAX`].
    #[error("nested too deep")]
    TooDeep,
    /// Brackets that do not match, a line break in a string, or an object that another one interrupts.
    #[error("broken JSON object")]
    Broken,
}

/// A peer sent more than it may before its object came to an end. The connection has to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message may have at most {max} bytes")]
pub struct FrameTooLarge {
    /// The limit at that moment.
    pub max: usize,
}

/// Finds objects in a stream of bytes.
#[derive(Debug)]
pub struct FrameDecoder {
    buffer: BytesMut,
    max_frame_bytes: usize,
}

impl FrameDecoder {
    /// A decoder that takes objects of at most `max_frame_bytes`.
    pub fn new(max_frame_bytes: usize) -> Self {
        Self { buffer: BytesMut::new(), max_frame_bytes }
    }

    /// Changes the limit, for example once the peer has registered. Counts from the next call of `next_frame`.
    pub fn set_max_frame_bytes(&mut self, max_frame_bytes: usize) {
        self.max_frame_bytes = max_frame_bytes;
    }

    /// Adds bytes. Call `next_frame` until it returns `None` before adding more: between the two the decoder holds at
    /// most its limit and what was just added.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next object or garbage; `None` if more bytes are needed.
    ///
    /// # Errors
    /// [`FrameTooLarge`] once an unfinished object or garbage is longer than the limit; from then on always.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameTooLarge> {
        Err(FrameTooLarge { max: self.max_frame_bytes })
    }

    /// How many bytes it holds.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }
}

/// Whether brackets nest deeper than [`crate::limits::JSON_DEPTH_MAX`].
pub(crate) fn is_too_deep(json: &[u8]) -> bool {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for byte in json {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (true, b'"') => in_string = false,
            (true, _) => {}
            (false, b'"') => in_string = true,
            (false, b'{' | b'[') => {
                depth += 1;
                if depth > crate::limits::JSON_DEPTH_MAX {
                    return true;
                }
            }
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}
