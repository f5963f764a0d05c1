//! Any bytes, cut anywhere: the decoder never panics, never holds more than its limit, and finds the same frames as in
//! one piece. The first byte sets the limit, the second seeds the cuts.
#![no_main]

use bee_wire::frame::{Frame, FrameDecoder, FrameTooLarge};
use libfuzzer_sys::fuzz_target;

fn frames(
    input: &[u8],
    limit: usize,
    mut next_cut: impl FnMut() -> usize,
) -> (Vec<Frame>, Option<FrameTooLarge>) {
    let mut decoder = FrameDecoder::new(limit);
    let mut found = Vec::new();
    let mut rest = input;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(next_cut().clamp(1, rest.len()));
        rest = behind;
        decoder.push(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => found.push(frame),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
        assert!(decoder.buffered_bytes() <= limit);
    }
    (found, None)
}

fuzz_target!(|input: &[u8]| {
    let [limit, seed, input @ ..] = input else { return };
    let limit = 1 + usize::from(*limit) * 4;
    let whole = frames(input, limit, || usize::MAX);
    let mut state = u32::from(*seed) | 0x100;
    let cut = frames(input, limit, || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 28) as usize
    });
    assert_eq!(whole, cut);
    for frame in &whole.0 {
        if let Frame::Object(bytes) = frame {
            assert!(bytes.len() <= limit && bytes.starts_with(b"{") && bytes.ends_with(b"}"));
        }
    }
});
