//! Any bytes: reading never panics, and what was read is written in a form that reads again.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(message) = bee_wire::decode_core(input) else { return };
    let written = bee_wire::encode_core(&message);
    let again = bee_wire::decode_core(&written).expect("what we write, we read");
    // The whole is compared by the property tests: floats of an arbitrary text may lose their last digit here.
    assert_eq!(again.name(), message.name());
});
