//! Any bytes, both directions of the module protocol: reading never panics, and what was read is written in a form that
//! reads again.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(request) = bee_wire::decode_module(input) {
        let again =
            bee_wire::decode_module(&bee_wire::encode_module(&request)).expect("what we write, we read");
        assert_eq!(again.request_id, request.request_id);
        assert_eq!(again.message.name(), request.message.name());
    }
    if let Ok(answer) = bee_wire::decode_backend(input) {
        let again =
            bee_wire::decode_backend(&bee_wire::encode_backend(&answer)).expect("what we write, we read");
        assert_eq!(again.request_id, answer.request_id);
        assert_eq!(again.message.name(), answer.message.name());
    }
});
