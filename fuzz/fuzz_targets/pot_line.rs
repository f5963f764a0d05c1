//! Any line of a honeypot: reading never panics, `data` is an object, and the event made of it can be stored and read.
#![no_main]

use bee_wire::codec::{decode_event, encode_event};
use bee_wire::event::PotEvent;
use bee_wire::pot_line::{IntakeHello, IntakeReceipt, PotLine};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| {
    if let Ok(Some(hello)) = IntakeHello::parse(line) {
        assert_eq!(IntakeHello::parse(&hello.to_line()), Ok(Some(hello)));
    }
    let _ = IntakeReceipt::parse(line);
    let Ok(parsed) = PotLine::parse(line) else { return };
    assert!(parsed.data.get().starts_with('{'));
    let event = PotEvent {
        node_id: None,
        pot_id: parsed.pot_id.unwrap_or_default(),
        pot_type: parsed.pot_type,
        event_type: parsed.event_type,
        timestamp: parsed.timestamp,
        data: parsed.data,
    };
    let stored = encode_event(&event.borrowed());
    assert_eq!(decode_event(&stored).expect("what we store, we read").into_owned(), event);
});
