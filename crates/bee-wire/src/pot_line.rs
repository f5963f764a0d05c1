//! Lines of honeypots on the node's intake port (9100), and the hello and receipt of clients that want them.
//!
//! Called by the node's collector with one line at a time, without its line break. Two shapes are taken: HoneyBee's
//! `{pot_id, pot_type, event_type, timestamp, data}` and any other JSON object, which is a honeypot's own log line and
//! becomes `data` as it stands.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::event::EVENT_TYPE_UNKNOWN;
use crate::frame;
use crate::lenient::{self, Scalar};
use crate::limits::{ERROR_TEXT_BYTES_MAX, POT_LINE_BYTES_MAX, PRODUCER_BYTES_MAX};
use crate::secret::Secret;
use crate::time::{self, Micros};

/// The version of the hello and receipt.
pub const INTAKE_VERSION: u64 = 1;

/// One line, whatever its shape.
#[derive(Debug, Clone)]
pub struct PotLine {
    /// The honeypot that the line names (`pot_id`, else `sensor`); the connection's own comes before it.
    pub pot_id: Option<String>,
    /// What kind of honeypot the line says it is from.
    pub pot_type: Option<String>,
    /// What it is; [`EVENT_TYPE_UNKNOWN`] if the line doesn't say.
    pub event_type: String,
    /// When it happened; `None` if the line has no time that can be read.
    pub timestamp: Option<Micros>,
    /// The honeypot's own fields, byte for byte: `data` of HoneyBee's shape, else the whole line.
    pub data: Box<RawValue>,
}

/// The first line of a client that wants its lines stored exactly once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntakeHello {
    /// The version of this extension: 1.
    #[serde(rename = "honeybee_intake", deserialize_with = "lenient::unsigned")]
    pub version: u64,
    /// The client's own name for its sequence of lines; 1 to 64 printable ASCII characters.
    pub producer: String,
    /// Ties the connection to a managed honeypot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
}

/// How many lines of this client's producer are durable on the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntakeReceipt {
    /// The number of the next line to send, counting from 0.
    #[serde(deserialize_with = "lenient::unsigned")]
    pub next: u64,
}

/// Why a line cannot be used. It belongs into the dead-letter file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Longer than [`POT_LINE_BYTES_MAX`].
    #[error("the line is longer than {POT_LINE_BYTES_MAX} bytes")]
    TooLong,
    /// Not UTF-8.
    #[error("the line is not UTF-8")]
    NotUtf8,
    /// Nested deeper than [`crate::limits::JSON_DEPTH_MAX`].
    #[error("the line is nested too deep")]
    TooDeep,
    /// Not a JSON object.
    #[error("the line is not a JSON object: {0}")]
    NotAnObject(String),
    /// A hello that cannot be accepted.
    #[error("the intake hello cannot be accepted: {0}")]
    Hello(String),
}

impl PotLine {
    /// Reads one line, without its line break.
    ///
    /// # Errors
    /// See [`LineError`].
    pub fn parse(line: &[u8]) -> Result<Self, LineError> {
        let text = object_text(line)?;
        let parts: Parts<'_> = serde_json::from_str(text).map_err(not_an_object)?;
        let data = match parts.own_shape() {
            Some(data) => data.to_owned(),
            None => RawValue::from_string(text.to_owned()).map_err(not_an_object)?,
        };
        let event_type =
            [parts.eventid, parts.event_type, parts.event, parts.logtype].into_iter().flatten().next();
        Ok(Self {
            pot_id: parts.pot_id.or(parts.sensor).map(Cow::into_owned),
            pot_type: parts.pot_type.map(Cow::into_owned),
            event_type: event_type.map_or_else(|| EVENT_TYPE_UNKNOWN.to_owned(), Cow::into_owned),
            timestamp: parts.timestamp,
            data,
        })
    }
}

impl IntakeHello {
    /// Reads the first line of a connection: `Ok(None)` if it is no hello but an ordinary line.
    ///
    /// # Errors
    /// [`LineError::Hello`] for a hello of another version or with a bad producer name, else as [`PotLine::parse`].
    pub fn parse(line: &[u8]) -> Result<Option<Self>, LineError> {
        #[derive(Deserialize)]
        struct Probe {
            honeybee_intake: Option<IgnoredAny>,
        }
        let text = object_text(line)?;
        let probe: Probe = serde_json::from_str(text).map_err(not_an_object)?;
        if probe.honeybee_intake.is_none() {
            return Ok(None);
        }
        let hello: Self =
            serde_json::from_str(text).map_err(|cause| LineError::Hello(cut(cause.to_string())))?;
        if hello.version != INTAKE_VERSION {
            return Err(LineError::Hello(format!("version {}, expected {INTAKE_VERSION}", hello.version)));
        }
        let producer_ok = (1..=PRODUCER_BYTES_MAX).contains(&hello.producer.len())
            && hello.producer.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        if !producer_ok {
            return Err(LineError::Hello(format!(
                "producer must be 1 to {PRODUCER_BYTES_MAX} printable ASCII characters"
            )));
        }
        Ok(Some(hello))
    }

    /// The hello as a line, with its line break.
    pub fn to_line(&self) -> Vec<u8> {
        to_line(self)
    }
}

impl IntakeReceipt {
    /// Reads a receipt.
    ///
    /// # Errors
    /// [`LineError::NotAnObject`] for anything else.
    pub fn parse(line: &[u8]) -> Result<Self, LineError> {
        serde_json::from_slice(line).map_err(not_an_object)
    }

    /// The receipt as a line, with its line break.
    pub fn to_line(&self) -> Vec<u8> {
        to_line(self)
    }
}

/// The fields of a line that say what, where and when.
#[derive(Default)]
struct Parts<'a> {
    pot_id: Option<Cow<'a, str>>,
    sensor: Option<Cow<'a, str>>,
    pot_type: Option<Cow<'a, str>>,
    eventid: Option<Cow<'a, str>>,
    event_type: Option<Cow<'a, str>>,
    event: Option<Cow<'a, str>>,
    logtype: Option<Cow<'a, str>>,
    timestamp: Option<Micros>,
    data: Option<&'a RawValue>,
    metadata: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    PotId,
    Sensor,
    PotType,
    Eventid,
    EventType,
    Event,
    Logtype,
    Timestamp,
    Data,
    Metadata,
    #[serde(other)]
    Other,
}

impl<'a> Parts<'a> {
    /// `data` if the line has HoneyBee's shape: it names its event type and brings its fields as one object.
    fn own_shape(&self) -> Option<&'a RawValue> {
        let named = self.eventid.is_none() && (self.event_type.is_some() || self.event.is_some());
        let data = self.data.or(self.metadata).filter(|data| data.get().starts_with('{'));
        if named { data } else { None }
    }
}

impl<'de> Deserialize<'de> for Parts<'de> {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        struct PartsVisitor;
        impl<'de> Visitor<'de> for PartsVisitor {
            type Value = Parts<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            // A line is somebody else's: of a name that comes twice the last value counts, and a value of an
            // unexpected kind is as good as none.
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parts<'de>, A::Error> {
                let mut parts = Parts::default();
                while let Some(field) = map.next_key()? {
                    let raw: &'de RawValue = match field {
                        Field::Other => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                        _ => map.next_value()?,
                    };
                    match field {
                        Field::PotId => parts.pot_id = text(raw),
                        Field::Sensor => parts.sensor = text(raw),
                        Field::PotType => parts.pot_type = text(raw),
                        Field::Eventid => parts.eventid = text(raw),
                        Field::EventType => parts.event_type = text(raw),
                        Field::Event => parts.event = text(raw),
                        Field::Logtype => parts.logtype = text(raw),
                        Field::Timestamp => {
                            parts.timestamp = scalar(raw).as_ref().and_then(time::from_scalar)
                        }
                        Field::Data => parts.data = Some(raw),
                        Field::Metadata => parts.metadata = Some(raw),
                        Field::Other => return Err(A::Error::custom("unreachable field")),
                    }
                }
                Ok(parts)
            }
        }
        de.deserialize_map(PartsVisitor)
    }
}

fn scalar(raw: &RawValue) -> Option<Scalar<'_>> {
    lenient::scalar(&mut serde_json::Deserializer::from_str(raw.get())).ok()
}

/// A name: a text that is not empty, or a number (OpenCanary's `logtype` is one).
fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    match scalar(raw)? {
        Scalar::Text(text) if !text.is_empty() => Some(text),
        Scalar::Unsigned(number) => Some(Cow::Owned(number.to_string())),
        _ => None,
    }
}

/// The line as text, bounded in length and depth.
fn object_text(line: &[u8]) -> Result<&str, LineError> {
    if line.len() > POT_LINE_BYTES_MAX {
        return Err(LineError::TooLong);
    }
    let text = std::str::from_utf8(line).map_err(|_| LineError::NotUtf8)?.trim_ascii();
    if frame::is_too_deep(text.as_bytes()) {
        return Err(LineError::TooDeep);
    }
    Ok(text)
}

fn not_an_object(cause: serde_json::Error) -> LineError {
    LineError::NotAnObject(cut(cause.to_string()))
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(ERROR_TEXT_BYTES_MAX));
    text
}

fn to_line<T: Serialize>(value: &T) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).expect("a struct of numbers and texts can always be written");
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn honeybees_own_shape_keeps_its_data_byte_for_byte() {
        check(
            r#"{"pot_id":"ssh-1","pot_type":"ssh","event_type":"cowrie.login.failed","timestamp":"2026-01-02T03:04:05Z","data":{ "a" : 1.50 }}"#,
            "ssh-1 ssh cowrie.login.failed 2026-01-02T03:04:05.000000Z",
            r#"{ "a" : 1.50 }"#,
        );
        check(
            r#"{"pot_id":7,"event":"x","timestamp":1700000000,"metadata":{"k":"v"}}"#,
            "7 - x 2023-11-14T22:13:20.000000Z",
            r#"{"k":"v"}"#,
        );
    }

    #[test]
    fn a_native_line_becomes_data_as_it_stands() {
        let cowrie = r#"{"eventid":"cowrie.session.connect","sensor":"s1","timestamp":"2026-11-20T21:04:34.076930Z","data":{"x":1},"n":1e2}"#;
        check(cowrie, "s1 - cowrie.session.connect 2026-11-20T21:04:34.076930Z", cowrie);
        let canary = r#"{"logtype":4002,"logdata":{"USERNAME":"root"},"utc_time":"2026-11-20 21:04:34"}"#;
        check(canary, "- - 4002 -", canary);
        let bare = r#"{"event_type":"login","src_ip":"1.2.3.4"}"#;
        check(bare, "- - login -", bare);
        check(
            r#"{"sensor":{"a":[]},"timestamp":[1],"event_type":null}"#,
            "- - unknown -",
            r#"{"sensor":{"a":[]},"timestamp":[1],"event_type":null}"#,
        );
        check("{}", "- - unknown -", "{}");
    }

    #[test]
    fn of_a_key_that_comes_twice_the_last_counts() {
        let line = r#"{"eventid":"a","eventid":"b"}"#;
        check(line, "- - b -", line);
    }

    #[test]
    fn bad_lines_say_why() {
        let error = |line: &[u8]| PotLine::parse(line).unwrap_err();
        assert_eq!(error(b"{\"a\":\"\xff\"}"), LineError::NotUtf8);
        assert_eq!(error("[".repeat(100_000).as_bytes()), LineError::TooDeep);
        assert_eq!(error(&vec![b' '; POT_LINE_BYTES_MAX + 1]), LineError::TooLong);
        for line in
            ["", "[]", "\"x\"", "{\"a\":1", "{\"a\":1}{}", "login failed", "{\"a\":\"\0\"}", "{\"a\":\0}"]
        {
            assert!(matches!(error(line.as_bytes()), LineError::NotAnObject(_)), "{line:?}");
        }
    }

    #[test]
    fn the_hello_is_told_from_a_line() {
        let hello = IntakeHello { version: 1, producer: "ssh-1/0".into(), token: Some("t".into()) };
        assert_eq!(hello.to_line(), b"{\"honeybee_intake\":1,\"producer\":\"ssh-1/0\",\"token\":\"t\"}\n");
        assert_eq!(IntakeHello::parse(&hello.to_line()), Ok(Some(hello)));
        assert_eq!(IntakeHello::parse(br#"{"eventid":"x"}"#), Ok(None));
        let error = |line: &str| IntakeHello::parse(line.as_bytes()).unwrap_err().to_string();
        assert!(error(r#"{"honeybee_intake":2,"producer":"p"}"#).contains("version 2"));
        assert!(error(r#"{"honeybee_intake":1,"producer":""}"#).contains("1 to 64"));
        assert!(error(r#"{"honeybee_intake":1,"producer":"a\nb"}"#).contains("printable"));
        assert!(
            error(&format!(r#"{{"honeybee_intake":1,"producer":"{}"}}"#, "p".repeat(65))).contains("1 to 64")
        );
        assert!(error(r#"{"honeybee_intake":1}"#).contains("producer"));
    }

    #[test]
    fn the_receipt_is_read_as_it_is_written() {
        let receipt = IntakeReceipt { next: u64::MAX };
        assert_eq!(IntakeReceipt::parse(&receipt.to_line()), Ok(receipt));
        assert!(IntakeReceipt::parse(b"{}").is_err());
    }

    fn check(line: &str, expect: &str, data: &str) {
        let parsed = PotLine::parse(line.as_bytes()).unwrap();
        let found = [
            parsed.pot_id.as_deref().unwrap_or("-"),
            parsed.pot_type.as_deref().unwrap_or("-"),
            &parsed.event_type,
            &parsed.timestamp.map_or("-".into(), |time| time.to_string()),
        ]
        .join(" ");
        assert_eq!((found.as_str(), parsed.data.get()), (expect, data));
    }
}
