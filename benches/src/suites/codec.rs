//! How fast messages are read and written: one thread, nothing but `bee_wire`.
//!
//! Rates are per second of CPU time, so that a busy machine changes them little.

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bee_bench::mix::Mix;
use bee_wire::codec::{BatchEncoder, decode_event, encode_event};
use bee_wire::node::{NodeStatus, NodeStatusUpdate};
use bee_wire::{
    Frame, FrameDecoder, NodeFrame, NodeId, NodeMessage, StreamId, decode_node_frame, encode_node,
};

use super::{MB, thread_cpu};
use crate::report::Report;

const EVENTS: usize = 20_000;
const BATCH: usize = 1_000;
/// CPU time of one round of one case.
const ROUND: Duration = Duration::from_millis(500);
/// As Core reads from a socket.
const READ_BYTES: usize = 32 * 1024;

pub(crate) fn run(rounds: usize) -> anyhow::Result<Report> {
    let mix = Mix::new(42, EVENTS);
    let mut report = Report::new("codec");
    report.setting("events", format!("{EVENTS} of the mix, mean {:.0} B", mix.mean_bytes()));
    report.setting("batch", format!("{BATCH} events"));
    report.setting("rates", "per second of CPU time of one thread");

    let singles: Vec<Vec<u8>> = (0..EVENTS as u64).map(|seq| single(mix.event(seq))).collect();
    let stream: Vec<u8> = singles.concat();
    let batches: Vec<Vec<u8>> =
        (0..EVENTS / BATCH).map(|n| batch(&mix, n * BATCH)).collect::<anyhow::Result<_>>()?;
    let batch_stream: Vec<u8> = batches.concat();
    let heartbeat = NodeMessage::NodeStatusUpdate(NodeStatusUpdate {
        node_id: NodeId(4_711),
        status: NodeStatus::Running,
        health: Some(bee_wire::node::Health::default()),
    });
    let heartbeat_bytes = encode_node(&heartbeat);
    let messages: Vec<NodeMessage> = singles
        .iter()
        .map(|bytes| bee_wire::decode_node(bytes).context("a single event"))
        .collect::<anyhow::Result<_>>()?;

    for _ in 0..rounds.max(1) {
        measure(&mut report, "read frames of one event", "frames", &stream, EVENTS, || {
            scan(&stream, EVENTS)
        })?;
        measure(&mut report, "read frames of a batch", "events", &batch_stream, EVENTS, || {
            scan(&batch_stream, batches.len())
        })?;
        measure(&mut report, "decode one event a message", "messages", &stream, EVENTS, || {
            for message in &singles {
                let decoded = decode_node_frame(black_box(message)).context("decode a message")?;
                ensure!(decoded.as_event().is_some(), "not an event");
            }
            Ok(())
        })?;
        measure(&mut report, "decode batches", "events", &batch_stream, EVENTS, || {
            for message in &batches {
                match decode_node_frame(black_box(message)).context("decode a batch")? {
                    NodeFrame::Batch(batch) => ensure!(batch.events.len() == BATCH, "events are missing"),
                    NodeFrame::Message(_) => anyhow::bail!("not a batch"),
                }
            }
            Ok(())
        })?;
        measure(&mut report, "decode heartbeats", "messages", &heartbeat_bytes, 1, || {
            decode_node_frame(black_box(&heartbeat_bytes)).map(drop).context("decode a heartbeat")
        })?;
        measure(&mut report, "encode one event a message", "messages", &stream, EVENTS, || {
            for message in &messages {
                black_box(encode_node(black_box(message)));
            }
            Ok(())
        })?;
        measure(&mut report, "encode batches of encoded events", "events", &batch_stream, EVENTS, || {
            for n in 0..EVENTS / BATCH {
                black_box(batch(&mix, n * BATCH)?);
            }
            Ok(())
        })?;
        measure(&mut report, "decode and encode events as a spool does", "events", &stream, EVENTS, || {
            for seq in 0..EVENTS as u64 {
                let event = decode_event(black_box(mix.event(seq))).context("decode an event")?;
                black_box(encode_event(&event));
            }
            Ok(())
        })?;
        measure(&mut report, "encode heartbeats", "messages", &heartbeat_bytes, 1, || {
            black_box(encode_node(black_box(&heartbeat)));
            Ok(())
        })?;
    }
    Ok(report)
}

/// Repeats `work`, which handles `items` of `bytes`, for one round.
fn measure(
    report: &mut Report,
    case: &str,
    items_are: &str,
    bytes: &[u8],
    items: usize,
    mut work: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let began = thread_cpu();
    let mut times = 0_u64;
    while thread_cpu().saturating_sub(began) < ROUND {
        // Looking at the clock costs more than a heartbeat.
        for _ in 0..(1_000 / items).max(1) {
            work()?;
            times += 1;
        }
    }
    let seconds = thread_cpu().saturating_sub(began).as_secs_f64();
    report.round(case, &format!("{items_are}/s"), "/s", times as f64 * items as f64 / seconds);
    report.round(case, "throughput", "MB/s", times as f64 * bytes.len() as f64 / MB / seconds);
    Ok(())
}

fn scan(stream: &[u8], frames: usize) -> anyhow::Result<()> {
    let mut decoder = FrameDecoder::new(bee_wire::limits::FRAME_BYTES_MAX);
    let mut found = 0;
    for read in stream.chunks(READ_BYTES) {
        decoder.push(black_box(read));
        while let Some(frame) = decoder.next_frame().context("cut a frame")? {
            ensure!(matches!(frame, Frame::Object(_)), "garbage in our own stream");
            found += 1;
        }
    }
    ensure!(found == frames, "{found} of {frames} frames");
    Ok(())
}

fn single(event: &[u8]) -> Vec<u8> {
    let mut message = b"{\"version\":2,\"message\":{\"PotEvent\":{\"node_id\":4711,".to_vec();
    message.extend_from_slice(event.get(1..).unwrap_or_default());
    message.extend_from_slice(b"}}\n");
    message
}

fn batch(mix: &Mix, first: usize) -> anyhow::Result<Vec<u8>> {
    let mut encoder = BatchEncoder::new(NodeId(4_711), &StreamId::new("bench")?, first as u64);
    for seq in first..first + BATCH {
        encoder.push(mix.event(seq as u64));
    }
    Ok(encoder.finish())
}
