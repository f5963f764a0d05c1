//! Any first bytes of an SSH client: no panic, and the answer for a whole stream is the same however it was cut.
#![no_main]

use bee_pots::ssh::kexinit::{KexInit, Parsed};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let whole = KexInit::parse(input);
    if let Parsed::Found(found) = &whole {
        assert_eq!(found.hassh().len(), 32);
    }
    for cut in 0..input.len().min(64) {
        let part = KexInit::parse(&input[..cut]);
        // Once something is decided, more bytes do not change it.
        assert!(part == Parsed::Incomplete || part == whole, "at {cut}: {part:?} then {whole:?}");
    }
});
