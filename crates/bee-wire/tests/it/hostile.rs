//! Input made to hurt.

use std::time::Instant;

use bee_wire::codec::BatchEncoder;
use bee_wire::frame::{Frame, FrameDecoder, GarbageReason};
use bee_wire::id::{NodeId, StreamId};
use bee_wire::pot_line::{LineError, PotLine};
use bee_wire::{ErrorCode, NodeFrame, NodeMessage, decode_module, decode_node, decode_node_frame, limits};

#[test]
fn a_hundred_thousand_brackets_are_refused_unparsed() {
    for bracket in ["[", "{\"a\":"] {
        let message = format!("{{\"version\":2,\"message\":{}", bracket.repeat(100_000));
        let mut decoder = FrameDecoder::new(limits::FRAME_BYTES_MAX);
        decoder.push(message.as_bytes());
        let Ok(Some(Frame::Garbage(garbage))) = decoder.next_frame() else { panic!("taken as an object") };
        assert_eq!(garbage.reason, GarbageReason::TooDeep);
        // A WebSocket frame comes to the codec without a frame decoder.
        assert_eq!(decode_module(message.as_bytes()).unwrap_err().code(), ErrorCode::MessageParseFailed);
        assert!(decode_node(message.as_bytes()).is_err());
        assert_eq!(PotLine::parse(message.as_bytes()).unwrap_err(), LineError::TooDeep);
    }
}

#[test]
fn data_as_deep_as_the_limit_allows_is_kept_and_deeper_is_refused() {
    // The envelope, the message, its name's object and `data` itself take three levels.
    let event = |depth: usize| {
        format!(
            r#"{{"version":2,"message":{{"PotEvent":{{"pot_id":"p","event_type":"e","data":{{"a":{}{}}}}}}}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    let first = |input: &str| {
        let mut decoder = FrameDecoder::new(limits::FRAME_BYTES_MAX);
        decoder.push(input.as_bytes());
        decoder.next_frame().unwrap().unwrap()
    };
    let Frame::Object(bytes) = first(&event(limits::JSON_DEPTH_MAX - 4)) else { panic!("refused") };
    assert!(matches!(decode_node(&bytes), Ok(NodeMessage::PotEvent(_))));
    assert!(matches!(first(&event(limits::JSON_DEPTH_MAX - 3)), Frame::Garbage(_)));
}

#[test]
fn invalid_utf8_and_nul_are_parse_errors_wherever_they_stand() {
    let good = br#"{"version":2,"message":{"PotEvent":{"pot_id":"p","event_type":"e","data":{"a":"b"}}}}"#;
    assert!(decode_node(good).is_ok());
    for byte in [0xFF, 0xC0, 0x00] {
        for at in 0..good.len() {
            let mut bad = good.to_vec();
            bad[at] = byte;
            let error = decode_node(&bad).expect_err("taken").code();
            assert!(
                matches!(error, ErrorCode::MessageParseFailed | ErrorCode::InvalidMessageFormat),
                "{at}: {error}"
            );
        }
    }
}

#[test]
fn numbers_out_of_range_are_errors_and_not_panics() {
    for number in ["-1", "1e999", "18446744073709551616", "1.5", "-0.0", "1e-5", "9007199254740994.0", "NaN"]
    {
        let message = format!(
            r#"{{"version":2,"message":{{"NodeStatusUpdate":{{"node_id":{number},"status":"Running"}}}}}}"#
        );
        assert!(decode_node(message.as_bytes()).is_err() || number == "-0.0", "{number}");
        let _ = decode_node(format!(r#"{{"version":{number},"message":"NodeDrop"}}"#).as_bytes());
        let _ = PotLine::parse(format!(r#"{{"timestamp":{number}}}"#).as_bytes());
    }
}

#[test]
fn an_error_text_is_short_whatever_was_sent() {
    let long = "x".repeat(1_000_000);
    for message in [
        format!(r#"{{"version":2,"message":{{"{long}":1}}}}"#),
        format!(r#"{{"version":2,"message":"{long}"}}"#),
        format!(r#"{{"version":2,"message":{{"NodeEvent":"{long}"}}}}"#),
        format!(
            r#"{{"version":2,"message":{{"NodeStatusUpdate":{{"node_id":"{long}","status":"Running"}}}}}}"#
        ),
    ] {
        let error = decode_node(message.as_bytes()).unwrap_err().to_string();
        assert!(error.len() < 2 * limits::ERROR_TEXT_BYTES_MAX, "{} bytes", error.len());
    }
}

#[test]
fn lists_are_bounded() {
    let mut batch = BatchEncoder::new(NodeId(1), &StreamId::new("s").unwrap(), 0);
    for _ in 0..limits::BATCH_EVENTS_MAX {
        batch.push(br#"{"pot_id":"p","event_type":"e","data":{}}"#);
    }
    let fits = batch.finish();
    assert!(matches!(decode_node_frame(&fits), Ok(NodeFrame::Batch(batch)) if batch.events.len() == 10_000));
    let text = String::from_utf8(fits).unwrap().replace("\"events\":[", "\"events\":[{\"pot_id\":\"p\"},");
    assert!(decode_node(text.as_bytes()).unwrap_err().to_string().contains("at most 10000 events"));
    let features = vec!["f"; limits::FEATURES_MAX + 1];
    let registration = serde_json::json!({"version": 2, "message": {"NodeRegistration":
        {"node_id": 1, "node_name": "n", "node_type": "Full", "features": features}}});
    assert!(
        decode_node(registration.to_string().as_bytes())
            .unwrap_err()
            .to_string()
            .contains("at most 64 features")
    );
}

/// Prints what the hot path costs; run with `--release --ignored --nocapture` to measure.
#[test]
#[ignore = "a measurement"]
fn batches_are_cheap() {
    let event = format!(
        r#"{{"pot_id":"ssh-1","pot_type":"ssh","event_type":"cowrie.login.failed","timestamp":"2026-01-02T03:04:05.678901Z","data":{{"session":"193744d030b6","protocol":"ssh","src_ip":"203.0.113.7","src_port":37132,"dst_ip":"198.51.100.1","dst_port":2222,"username":"root","password":"123456","message":"{}"}}}}"#,
        "login attempt [root/123456] failed ".repeat(3)
    );
    let mut batch = BatchEncoder::new(NodeId(1), &StreamId::new("s").unwrap(), 0);
    for _ in 0..1000 {
        batch.push(event.as_bytes());
    }
    let frame = batch.finish();
    let started = Instant::now();
    let rounds = 200;
    for _ in 0..rounds {
        let mut decoder = FrameDecoder::new(limits::FRAME_BYTES_MAX);
        for piece in frame.chunks(64 * 1024) {
            decoder.push(piece);
            while let Some(Frame::Object(bytes)) = decoder.next_frame().unwrap() {
                let Ok(NodeFrame::Batch(batch)) = decode_node_frame(&bytes) else { panic!("no batch") };
                assert_eq!(batch.events.len(), 1000);
            }
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{} bytes an event: {:.0} events/s, {:.0} MB/s",
        event.len(),
        f64::from(rounds) * 1000.0 / seconds,
        f64::from(rounds) * frame.len() as f64 / seconds / 1e6
    );
}
