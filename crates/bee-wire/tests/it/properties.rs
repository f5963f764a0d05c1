//! What holds for every message and for every run of bytes.

use bee_wire::codec::{BatchEncoder, decode_event, encode_event};
use bee_wire::frame::{Frame, FrameDecoder, FrameTooLarge};
use bee_wire::pot_line::{IntakeHello, PotLine};
use bee_wire::{
    JoinCode, NodeMessage, Secret, decode_backend, decode_core, decode_module, decode_node, encode_backend,
    encode_core, encode_module, encode_node,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::strategies::{backend_answer, core_message, module_request, node_message};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn a_node_message_is_read_as_it_was_written(message in node_message()) {
        let bytes = encode_node(&message);
        prop_assert_eq!(bytes.last(), Some(&b'\n'));
        prop_assert_eq!(decode_node(&bytes).unwrap(), message);
    }

    #[test]
    fn a_core_message_is_read_as_it_was_written(message in core_message()) {
        prop_assert_eq!(decode_core(&encode_core(&message)).unwrap(), message);
    }

    #[test]
    fn a_module_message_is_read_as_it_was_written(request in module_request()) {
        prop_assert_eq!(decode_module(&encode_module(&request)).unwrap(), request);
    }

    #[test]
    fn a_message_to_a_module_is_read_as_it_was_written(answer in backend_answer()) {
        prop_assert_eq!(decode_backend(&encode_backend(&answer)).unwrap(), answer);
    }

    #[test]
    fn a_batch_built_from_stored_events_is_the_batch_written_whole(message in node_message()) {
        let NodeMessage::PotEventBatch(batch) = message else { return Ok(()) };
        let mut encoder = BatchEncoder::new(batch.node_id, &batch.stream, batch.first_seq);
        for event in &batch.events {
            let stored = encode_event(&event.borrowed());
            prop_assert_eq!(&decode_event(&stored).unwrap().into_owned(), event);
            encoder.push(&stored);
        }
        prop_assert_eq!(encoder.events_count(), batch.events.len());
        prop_assert_eq!(encoder.finish(), encode_node(&NodeMessage::PotEventBatch(batch)));
    }

    #[test]
    fn a_join_code_is_read_as_it_was_written(
        hosts in vec("[a-z0-9.-]{1,40}:[1-9][0-9]{0,3}", 1..=8), ca in any::<[u8; 32]>(), secret in "[!-~]{16,128}",
    ) {
        let code = JoinCode { addresses: hosts, ca_sha256: ca, secret: Secret::new(secret) };
        prop_assert_eq!(code.encode().unwrap().expose().parse::<JoinCode>().unwrap(), code);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in bytes()) {
        let _ = decode_node(&bytes);
        let _ = decode_core(&bytes);
        let _ = decode_module(&bytes);
        let _ = decode_backend(&bytes);
        let _ = PotLine::parse(&bytes);
        let _ = IntakeHello::parse(&bytes);
        let _ = String::from_utf8_lossy(&bytes).parse::<JoinCode>();
    }

    #[test]
    fn a_damaged_message_never_panics(message in node_message(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = encode_node(&message);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = decode_node(&bytes);
        let _ = decode_node(&bytes[..at]);
    }

    #[test]
    fn the_same_frames_come_out_however_the_bytes_are_cut(
        input in bytes(), cuts in vec(1_usize..40, 0..60), limit in 1_usize..200,
    ) {
        let whole = frames(&input, &[], limit);
        prop_assert_eq!(&frames(&input, &cuts, limit), &whole);
        prop_assert_eq!(&frames(&input, &vec![1; input.len()], limit), &whole);
    }

    #[test]
    fn every_message_of_a_stream_is_found(
        messages in vec((node_message(), "[ \t\r\n]{0,3}"), 1..6), cuts in vec(1_usize..500, 0..60),
    ) {
        let mut stream = Vec::new();
        for (message, blank) in &messages {
            let bytes = encode_node(message);
            stream.extend_from_slice(bytes.trim_ascii_end());
            stream.extend_from_slice(blank.as_bytes());
        }
        let (found, error) = frames(&stream, &cuts, 1 << 20);
        prop_assert_eq!(error, None);
        let found: Vec<_> = found
            .into_iter()
            .map(|frame| match frame {
                Frame::Object(bytes) => decode_node(&bytes).unwrap(),
                Frame::Garbage(garbage) => panic!("{garbage:?}"),
            })
            .collect();
        prop_assert_eq!(found, messages.into_iter().map(|(message, _)| message).collect::<Vec<_>>());
    }
}

/// Bytes that are nearly JSON more often than not.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "{", "}", "[", "]", "\"", "\\", ":", ",", "\n", " ", "1", "null", "{}", "\"a\"", "\"\\\"\"", "\u{e9}",
            "{\"version\":2,\"message\":", "\"NodeDrop\"", "{\"version\":1}", "{\"a\":1}\n",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 1..4),
    ];
    vec(piece, 0..80).prop_map(|pieces| pieces.concat())
}

/// What the decoder finds when the bytes come in pieces of these lengths, the rest at once.
fn frames(input: &[u8], cuts: &[usize], limit: usize) -> (Vec<Frame>, Option<FrameTooLarge>) {
    let mut decoder = FrameDecoder::new(limit);
    let mut found = Vec::new();
    let mut rest = input;
    let mut cuts = cuts.iter();
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(cuts.next().map_or(rest.len(), |cut| (*cut).min(rest.len())));
        rest = behind;
        decoder.push(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => found.push(frame),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
        assert!(decoder.buffered_bytes() <= limit, "{} bytes are held", decoder.buffered_bytes());
    }
    (found, None)
}
