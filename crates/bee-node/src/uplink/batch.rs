//! Reads a batch of events from the spool and makes the message of it; the events' bytes are copied as they are.

use bee_link::node::BatchRequest;
use bee_log::{Error as LogError, Item, Reader};
use bee_wire::{NodeId, codec::BatchEncoder};

use crate::spool::{Stream, record};

/// A message for Core, and what it covers.
#[derive(Debug)]
pub(super) struct Batch {
    /// What goes on the wire; empty when there was nothing to read.
    pub(super) bytes: Vec<u8>,
    /// The stream's number behind the last event.
    pub(super) next_seq: u64,
}

/// Reads what `request` asks for. Blocking.
///
/// A hole in the spool ends a batch, and the next one begins behind it: numbers within a batch have no gaps. A hole at
/// the very end is told by a batch without events.
pub(super) fn read(
    reader: &mut Reader,
    stream: &Stream,
    node_id: NodeId,
    request: &BatchRequest,
) -> Result<Batch, LogError> {
    let from = request.first_seq + stream.base;
    if reader.position() != from {
        reader.seek(from);
    }
    let mut message: Option<Message> = None;
    let mut next = from;
    while let Some(item) = reader.next()? {
        match item {
            Item::Gap(gap) => {
                next = gap.to;
                if message.is_some() {
                    // The gap was read; the next request is for what is behind it.
                    return Ok(finish(message, stream, gap.from));
                }
            }
            Item::Record(found) => {
                // A record of an unknown form still has its number; an empty event keeps the count right.
                let event = record::parse(found.payload).map_or(UNREADABLE, |record| record.event);
                let message = message
                    .get_or_insert_with(|| Message::begin(node_id, stream, request.numbered, found.seq));
                message.push(event);
                next = found.end_seq();
                if message.events >= request.events_max || message.bytes_len() as u64 >= request.bytes_max {
                    break;
                }
            }
        }
    }
    if message.is_none() && next > from && request.numbered {
        message = Some(Message::begin(node_id, stream, true, next));
    }
    Ok(finish(message, stream, next))
}

const UNREADABLE: &[u8] = br#"{"pot_id":"unknown","event_type":"honeybee.node.unreadable","data":{}}"#;

fn finish(message: Option<Message>, stream: &Stream, next: u64) -> Batch {
    let bytes = message.map(Message::finish).unwrap_or_default();
    Batch { bytes, next_seq: next.saturating_sub(stream.base) }
}

enum Form {
    Numbered(BatchEncoder),
    /// For a Core without batches: one message an event.
    Plain {
        out: Vec<u8>,
        node_id: NodeId,
    },
}

struct Message {
    form: Form,
    events: u64,
}

impl Message {
    fn begin(node_id: NodeId, stream: &Stream, numbered: bool, seq: u64) -> Self {
        let form = if numbered {
            Form::Numbered(BatchEncoder::new(node_id, &stream.id, seq.saturating_sub(stream.base)))
        } else {
            Form::Plain { out: Vec::new(), node_id }
        };
        Self { form, events: 0 }
    }

    fn push(&mut self, event: &[u8]) {
        self.events += 1;
        match &mut self.form {
            Form::Numbered(batch) => batch.push(event),
            Form::Plain { out, node_id } => {
                out.extend_from_slice(br#"{"version":2,"message":{"PotEvent":{"node_id":"#);
                out.extend_from_slice(node_id.to_string().as_bytes());
                out.push(b',');
                out.extend_from_slice(event.get(1..).unwrap_or_default());
                out.extend_from_slice(b"}}\n");
            }
        }
    }

    fn bytes_len(&self) -> usize {
        match &self.form {
            Form::Numbered(batch) => batch.bytes_len(),
            Form::Plain { out, .. } => out.len(),
        }
    }

    fn finish(self) -> Vec<u8> {
        match self.form {
            Form::Numbered(batch) => batch.finish(),
            Form::Plain { out, .. } => out,
        }
    }
}

#[cfg(test)]
mod tests {
    use bee_log::{Log, Options, Writer};
    use bee_wire::{NodeMessage, StreamId, decode_node};

    use super::*;

    fn spool(events: u64) -> (tempfile::TempDir, Writer, Stream) {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { start_seq: 100, ..Options::default() };
        let (mut writer, _, _) = Log::open(dir.path().join("spool"), options).unwrap();
        for n in 0..events {
            let mut record = Vec::new();
            record::begin(&mut record, Some(("p", n)));
            record.extend_from_slice(
                format!(r#"{{"pot_id":"a","event_type":"e","timestamp":"2026-01-01T00:00:00Z","data":{{"n": {n}}}}}"#).as_bytes(),
            );
            writer.append(1, &record).unwrap();
        }
        writer.commit().unwrap();
        (dir, writer, Stream { id: StreamId::new("s").unwrap(), base: 100 })
    }

    fn request(first_seq: u64, events_max: u64, numbered: bool) -> BatchRequest {
        BatchRequest {
            stream: StreamId::new("s").unwrap(),
            first_seq,
            events_max,
            bytes_max: 1 << 20,
            numbered,
        }
    }

    #[test]
    fn a_batch_holds_the_events_as_they_were_and_counts_from_the_streams_base() {
        let (_dir, writer, stream) = spool(5);
        let mut reader = writer.handle().reader(0);
        let batch = read(&mut reader, &stream, NodeId(7), &request(1, 3, true)).unwrap();
        assert_eq!(batch.next_seq, 4);
        let NodeMessage::PotEventBatch(message) = decode_node(&batch.bytes).unwrap() else {
            panic!("no batch")
        };
        assert_eq!((message.node_id, message.first_seq, message.events.len()), (NodeId(7), 1, 3));
        assert_eq!(message.events[2].data.get(), r#"{"n": 3}"#, "byte for byte");
        let rest = read(&mut reader, &stream, NodeId(7), &request(4, 3, true)).unwrap();
        assert_eq!(rest.next_seq, 5);
        let nothing = read(&mut reader, &stream, NodeId(7), &request(5, 3, true)).unwrap();
        assert!(nothing.bytes.is_empty() && nothing.next_seq == 5);
    }

    #[test]
    fn a_plain_core_gets_one_message_an_event() {
        let (_dir, writer, stream) = spool(2);
        let batch = read(&mut writer.handle().reader(0), &stream, NodeId(7), &request(0, 9, false)).unwrap();
        let lines: Vec<&[u8]> = batch.bytes.split_inclusive(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len(), 2);
        let NodeMessage::PotEvent(event) = decode_node(lines[1]).unwrap() else { panic!("no event") };
        assert_eq!((event.node_id, event.data.get()), (Some(NodeId(7)), r#"{"n": 1}"#));
    }

    #[test]
    fn events_that_are_gone_leave_a_gap_in_the_numbers() {
        let (_dir, writer, stream) = spool(5);
        let handle = writer.handle();
        handle.truncate_before(103).unwrap();
        let batch = read(&mut handle.reader(0), &stream, NodeId(7), &request(0, 9, true)).unwrap();
        let NodeMessage::PotEventBatch(message) = decode_node(&batch.bytes).unwrap() else {
            panic!("no batch")
        };
        assert_eq!((message.first_seq, message.events.len(), batch.next_seq), (3, 2, 5));
        handle.truncate_before(105).unwrap();
        let batch = read(&mut handle.reader(0), &stream, NodeId(7), &request(0, 9, true)).unwrap();
        let NodeMessage::PotEventBatch(message) = decode_node(&batch.bytes).unwrap() else {
            panic!("no batch")
        };
        assert_eq!((message.first_seq, message.events.len(), batch.next_seq), (5, 0, 5));
    }
}
