//! Any text: reading a join code never panics, and a code that is read is written the same. Also any bytes as the inside
//! of a code with a right checksum, which the fuzzer could not find by itself.
#![no_main]

use bee_wire::JoinCode;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(text) = std::str::from_utf8(input) {
        check(text);
    }
    check(&bee_wire::join::seal(input));
});

fn check(text: &str) {
    if let Ok(code) = text.parse::<JoinCode>() {
        let written = code.encode().expect("what was read can be written");
        assert_eq!(written.expose().parse(), Ok(code));
    }
}
