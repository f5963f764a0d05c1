//! Any bytes from a Telnet client, cut anywhere: no panic, and the same data and options come out.
#![no_main]

use bee_pots::telnet::iac::{Decoder, Item};
use libfuzzer_sys::fuzz_target;

fn decode(parts: &[&[u8]]) -> (Vec<u8>, Vec<Item>) {
    let (mut decoder, mut data, mut others) = (Decoder::default(), Vec::new(), Vec::new());
    for part in parts {
        decoder.decode(part, |item| match item {
            Item::Data(bytes) => data.extend(bytes),
            other => others.push(other),
        });
    }
    (data, others)
}

fuzz_target!(|input: &[u8]| {
    let whole = decode(&[input]);
    assert!(whole.0.len() <= input.len());
    let (a, b) = input.split_at(input.len() / 2);
    assert_eq!(decode(&[a, b]), whole);
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(decode(&bytes), whole);
});
