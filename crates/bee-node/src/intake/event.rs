//! Makes a spool record of an intake line: whose it is, what it is, when it was, and its data as it came.

use std::{borrow::Cow, sync::Arc};

use bee_wire::{EventRef, Micros, limits::POT_ID_BYTES_MAX, pot_line::PotLine};

use crate::{
    pots::Who,
    spool::{EVENT_BYTES_MAX, record},
};

/// The pot of a line that names none.
const UNKNOWN_POT: &str = "unknown";

/// What [`write`] added.
#[derive(Debug)]
pub(super) struct Written<'a> {
    /// The pot that the event is counted for.
    pub(super) pot_id: PotName<'a>,
}

/// A pot's id: the connection's own, or what the line said.
#[derive(Debug)]
pub(super) enum PotName<'a> {
    Managed(&'a Arc<str>),
    Named(String),
}

impl PotName<'_> {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Managed(id) => id,
            Self::Named(id) => id,
        }
    }

    pub(super) fn shared(&self) -> Arc<str> {
        match self {
            Self::Managed(id) => Arc::clone(id),
            Self::Named(id) => Arc::from(id.as_str()),
        }
    }
}

/// Appends the record of `line` to `out`; on an error `out` is as it was and the text says why.
pub(super) fn write<'a>(
    out: &mut Vec<u8>,
    line: &[u8],
    who: Option<&'a Who>,
    producer: Option<(&str, u64)>,
    now: Micros,
) -> Result<Written<'a>, String> {
    let line = PotLine::parse(line).map_err(|error| error.to_string())?;
    let pot_id = match who {
        Some(who) => PotName::Managed(&who.pot_id),
        None => PotName::Named(line.pot_id.map_or_else(|| UNKNOWN_POT.to_owned(), cut)),
    };
    let pot_type = match who {
        Some(who) => Some(Cow::Borrowed(&*who.pot_type)),
        None => line.pot_type.map(Cow::Owned),
    };
    let event = EventRef {
        node_id: None,
        pot_id: Cow::Borrowed(pot_id.as_str()),
        pot_type,
        event_type: Cow::Owned(line.event_type),
        timestamp: Some(line.timestamp.unwrap_or(now)),
        data: Cow::Owned(line.data),
    };
    let before = out.len();
    record::begin(out, producer);
    let from = out.len();
    let written = serde_json::to_writer(&mut *out, &event).map_err(|error| error.to_string());
    let bytes = out.len().saturating_sub(from);
    let checked = written.and_then(|()| {
        if bytes <= EVENT_BYTES_MAX {
            Ok(())
        } else {
            Err(format!("the event has {bytes} bytes, over {EVENT_BYTES_MAX}"))
        }
    });
    if let Err(why) = checked {
        out.truncate(before);
        return Err(why);
    }
    Ok(Written { pot_id })
}

/// Foreign names may be long; the whole line is kept in `data` anyway.
fn cut(mut name: String) -> String {
    if name.len() > POT_ID_BYTES_MAX {
        name.truncate(name.floor_char_boundary(POT_ID_BYTES_MAX));
    }
    if name.is_empty() { UNKNOWN_POT.to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(line: &str, who: Option<&Who>) -> Result<serde_json::Value, String> {
        let mut out = vec![7];
        let result = write(&mut out, line.as_bytes(), who, Some(("p", 3)), Micros::from_unix_us(1_000_000));
        match result {
            Ok(_) => {
                let found = record::parse(&out[1..]).unwrap();
                assert_eq!(found.producer, Some(("p", 3)));
                Ok(serde_json::from_slice(found.event).unwrap())
            }
            Err(why) => {
                assert_eq!(out, [7]);
                Err(why)
            }
        }
    }

    #[test]
    fn honeybee_lines_keep_their_parts() {
        let line = r#"{"pot_id":"a","pot_type":"ssh","event_type":"x.y","timestamp":"2026-01-02T03:04:05Z","data":{"k": 1.0}}"#;
        let event = event(line, None).unwrap();
        assert_eq!(event["pot_id"], "a");
        assert_eq!(event["pot_type"], "ssh");
        assert_eq!(event["event_type"], "x.y");
        assert_eq!(event["timestamp"], "2026-01-02T03:04:05.000000Z");
        assert_eq!(event["data"].to_string(), r#"{"k":1.0}"#);
    }

    #[test]
    fn native_lines_become_data_and_their_time_may_be_now() {
        let event =
            event(r#"{"eventid":"cowrie.login.failed","sensor":"s","username":"root"}"#, None).unwrap();
        assert_eq!(event["pot_id"], "s");
        assert_eq!(event["event_type"], "cowrie.login.failed");
        assert_eq!(event["timestamp"], "1970-01-01T00:00:01.000000Z");
        assert_eq!(event["data"]["username"], "root");
    }

    #[test]
    fn the_connections_pot_comes_before_what_the_line_says() {
        let who = Who { pot_id: "mine".into(), pot_type: "telnet".into() };
        let event =
            event(r#"{"pot_id":"other","pot_type":"x","event_type":"e","data":{}}"#, Some(&who)).unwrap();
        assert_eq!((event["pot_id"].as_str(), event["pot_type"].as_str()), (Some("mine"), Some("telnet")));
    }

    #[test]
    fn what_is_no_object_is_refused_and_long_names_are_cut() {
        for line in ["[1]", "17", "{\"a\":", "null"] {
            assert!(event(line, None).is_err(), "{line}");
        }
        let long = format!(r#"{{"sensor":"{}"}}"#, "é".repeat(200));
        assert_eq!(event(&long, None).unwrap()["pot_id"].as_str().unwrap().len(), 64);
        assert_eq!(event("{}", None).unwrap()["pot_id"], "unknown");
    }
}
