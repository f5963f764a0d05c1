//! Any bytes to the HTTP trap: head, framing, chunks, credentials. No panic, bounded, and chunks join the same however they arrive.
#![no_main]

use bee_pots::http::credentials;
use bee_pots::http::request::{Chunked, Framing, Head, Parsed};
use libfuzzer_sys::fuzz_target;

fn chunks(body: &[u8], step: usize) -> Result<(Vec<u8>, bool), &'static str> {
    let (mut chunked, mut data) = (Chunked::default(), Vec::new());
    for part in body.chunks(step) {
        let used = chunked.decode(part, |bytes| data.extend_from_slice(bytes))?;
        assert!(used <= part.len());
        if chunked.is_done() {
            break;
        }
    }
    assert!(data.len() <= body.len());
    Ok((data, chunked.is_done()))
}

fuzz_target!(|input: &[u8]| {
    let Parsed::Head(head, length) = Head::parse(input) else { return };
    let body = &input[length..];
    assert!(credentials::find(&head, body).len() <= 500);
    if head.framing() == Framing::Chunked && !body.is_empty() {
        // An error is found at the same byte whatever the pieces.
        assert_eq!(chunks(body, body.len()), chunks(body, 1));
    }
});
