//! Reads events in every form that the field sends them in, without copying what can be borrowed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::event::{EVENT_TYPE_UNKNOWN, EventRef, PotEvent, PotEventBatch, PotEventBatchRef};
use crate::id::{self, NodeId};
use crate::lenient::{self, Scalar};
use crate::limits::BATCH_EVENTS_MAX;
use crate::node::{PotReport, PotStatus, PotStatusUpdate};
use crate::time::{self, Micros};

/// What an event, or a pot status that may be one, is made of.
#[derive(Default)]
struct Parts<'a> {
    node_id: Option<NodeId>,
    pot_id: Option<Cow<'a, str>>,
    pot_type: Option<Cow<'a, str>>,
    event_type: Option<Cow<'a, str>>,
    event: Option<Cow<'a, str>>,
    timestamp: Option<Micros>,
    status: Option<Cow<'a, str>>,
    message: Option<Cow<'a, str>>,
    data: Option<&'a RawValue>,
    metadata: Option<&'a RawValue>,
    detail: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    NodeId,
    PotId,
    PotType,
    EventType,
    Event,
    Timestamp,
    Status,
    Message,
    Data,
    Metadata,
    Detail,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for Parts<'de> {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        de.deserialize_map(PartsVisitor)
    }
}

struct PartsVisitor;

impl<'de> Visitor<'de> for PartsVisitor {
    type Value = Parts<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parts<'de>, A::Error> {
        let mut parts = Parts::default();
        while let Some(field) = map.next_key()? {
            match field {
                Field::NodeId => set(&mut parts.node_id, "node_id", map.next_value()?)?,
                Field::PotId => set(&mut parts.pot_id, "pot_id", text(&mut map)?)?,
                Field::PotType => set(&mut parts.pot_type, "pot_type", text(&mut map)?)?,
                Field::EventType => set(&mut parts.event_type, "event_type", text(&mut map)?)?,
                Field::Event => set(&mut parts.event, "event", text(&mut map)?)?,
                Field::Timestamp => set(&mut parts.timestamp, "timestamp", timestamp(&mut map)?)?,
                Field::Status => set(&mut parts.status, "status", map.next_value::<Name<'de>>()?.0)?,
                Field::Message => set(&mut parts.message, "message", text(&mut map)?)?,
                Field::Data => set(&mut parts.data, "data", map.next_value()?)?,
                Field::Metadata => set(&mut parts.metadata, "metadata", map.next_value()?)?,
                Field::Detail => set(&mut parts.detail, "detail", map.next_value()?)?,
                Field::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(parts)
    }
}

fn set<T, E: Error>(slot: &mut Option<T>, name: &'static str, value: Option<T>) -> Result<(), E> {
    if slot.is_some() {
        return Err(E::duplicate_field(name));
    }
    *slot = value;
    Ok(())
}

fn text<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Cow<'de, str>>, A::Error> {
    Ok(map.next_value::<Option<Text<'de>>>()?.map(|text| text.0))
}

fn timestamp<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Micros>, A::Error> {
    Ok(time::from_scalar(&map.next_value::<AnyScalar<'de>>()?.0))
}

struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        lenient::text(de).map(Self)
    }
}

struct AnyScalar<'a>(Scalar<'a>);

impl<'de> Deserialize<'de> for AnyScalar<'de> {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        lenient::scalar(de).map(Self)
    }
}

struct Name<'a>(Option<Cow<'a, str>>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        lenient::name_opt(de).map(Self)
    }
}

impl<'a> Parts<'a> {
    fn into_event<E: Error>(self) -> Result<EventRef<'a>, E> {
        let event_type = [self.event_type, self.event].into_iter().flatten().find(|text| !text.is_empty());
        Ok(EventRef {
            node_id: self.node_id,
            pot_id: self.pot_id.ok_or_else(|| E::missing_field("pot_id"))?,
            pot_type: self.pot_type.filter(|text| !text.is_empty()),
            event_type: event_type.unwrap_or(Cow::Borrowed(EVENT_TYPE_UNKNOWN)),
            timestamp: self.timestamp,
            data: data([self.data, self.metadata, self.detail], self.message)?,
        })
    }
}

/// The event's own fields: the first of `candidates` that says something, with the message among them if there is one.
fn data<'a, E: Error>(
    candidates: [Option<&'a RawValue>; 3],
    message: Option<Cow<'a, str>>,
) -> Result<Cow<'a, RawValue>, E> {
    let raw = candidates.into_iter().flatten().find(|raw| raw.get() != "null");
    let message = message.filter(|message| !message.is_empty());
    match (raw, message) {
        (Some(raw), None) if raw.get().starts_with('{') => Ok(Cow::Borrowed(raw)),
        (Some(raw), message) if !raw.get().starts_with('{') => {
            #[derive(Serialize)]
            struct Wrapped<'a> {
                #[serde(skip_serializing_if = "Option::is_none")]
                message: Option<Cow<'a, str>>,
                value: &'a RawValue,
            }
            owned(&Wrapped { message, value: raw })
        }
        (Some(raw), Some(message)) => with_message(raw, &message),
        (_, message) => {
            #[derive(Serialize)]
            struct Only<'a> {
                #[serde(skip_serializing_if = "Option::is_none")]
                message: Option<Cow<'a, str>>,
            }
            owned(&Only { message })
        }
    }
}

/// The object with `message` put in front of its members, unless it has one of its own.
fn with_message<'a, E: Error>(object: &'a RawValue, message: &str) -> Result<Cow<'a, RawValue>, E> {
    let members: BTreeMap<Cow<'_, str>, IgnoredAny> =
        serde_json::from_str(object.get()).map_err(E::custom)?;
    if members.contains_key("message") {
        return Ok(Cow::Borrowed(object));
    }
    let rest = object.get().get(1..).unwrap_or("}");
    let comma = if members.is_empty() { "" } else { "," };
    let message = serde_json::to_string(message).map_err(E::custom)?;
    RawValue::from_string(format!("{{\"message\":{message}{comma}{rest}")).map(Cow::Owned).map_err(E::custom)
}

fn owned<'a, E: Error>(value: &impl Serialize) -> Result<Cow<'a, RawValue>, E> {
    serde_json::value::to_raw_value(value).map(Cow::Owned).map_err(E::custom)
}

impl<'de> Deserialize<'de> for EventRef<'de> {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        Parts::deserialize(de)?.into_event()
    }
}

impl<'de> Deserialize<'de> for PotEvent {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        EventRef::deserialize(de).map(EventRef::into_owned)
    }
}

impl<'de> Deserialize<'de> for PotReport {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        let parts = Parts::deserialize(de)?;
        let Some(status) = parts.status.as_deref().map(str::trim).filter(|status| !status.is_empty()) else {
            return parts.into_event().map(|event| Self::Event(event.into_owned()));
        };
        let detail = parts.detail.filter(|raw| raw.get() != "null");
        Ok(Self::Status(PotStatusUpdate {
            status: status.parse::<PotStatus>().map_err(D::Error::custom)?,
            node_id: parts.node_id.ok_or_else(|| D::Error::missing_field("node_id"))?,
            pot_id: parts.pot_id.ok_or_else(|| D::Error::missing_field("pot_id"))?.into_owned(),
            pot_type: parts.pot_type.unwrap_or_default().into_owned(),
            message: parts.message.map(Cow::into_owned),
            detail: detail
                .map(|raw| serde_json::from_str(raw.get()))
                .transpose()
                .map_err(D::Error::custom)?,
        }))
    }
}

impl<'de> Deserialize<'de> for PotStatusUpdate {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        match PotReport::deserialize(de)? {
            PotReport::Status(status) => Ok(status),
            PotReport::Event(_) => Err(D::Error::missing_field("status")),
        }
    }
}

#[derive(Deserialize)]
struct BatchParts<'a> {
    node_id: NodeId,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(deserialize_with = "lenient::unsigned")]
    first_seq: u64,
    #[serde(borrow)]
    events: Events<'a>,
}

impl<'de> Deserialize<'de> for PotEventBatchRef<'de> {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        let BatchParts { node_id, stream, first_seq, events } = BatchParts::deserialize(de)?;
        id::check_stream(&stream).map_err(D::Error::custom)?;
        let events = events.0;
        // `first_seq + events.len()` is what gets acknowledged.
        if u64::try_from(events.len()).ok().and_then(|count| first_seq.checked_add(count)).is_none() {
            return Err(D::Error::custom("first_seq is too large"));
        }
        Ok(Self { node_id, stream, first_seq, events })
    }
}

impl<'de> Deserialize<'de> for PotEventBatch {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        PotEventBatchRef::deserialize(de)?.into_owned().map_err(D::Error::custom)
    }
}

struct Events<'a>(Vec<EventRef<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Events<'a> {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        struct EventsVisitor;
        impl<'de> Visitor<'de> for EventsVisitor {
            type Value = Events<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of events")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Events<'de>, A::Error> {
                let mut events: Vec<EventRef<'de>> = Vec::with_capacity(64);
                while let Some(mut event) = seq.next_element::<EventRef<'de>>()? {
                    if events.len() == BATCH_EVENTS_MAX {
                        return Err(A::Error::custom(format_args!(
                            "a batch has at most {BATCH_EVENTS_MAX} events"
                        )));
                    }
                    event.node_id = None;
                    events.push(event);
                }
                Ok(Events(events))
            }
        }
        de.deserialize_seq(EventsVisitor)
    }
}
