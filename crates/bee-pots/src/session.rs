//! One attacker's visit: its id, addresses and clock, and the events that carry them.
//!
//! Every session writes `<prefix>.session.connect` when it is made and exactly one `<prefix>.session.closed` with
//! `duration_ms` when it ends, however it ends: the last clone to go writes it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use data_encoding::HEXLOWER;
use serde_json::{Map, Value};
use tokio_util::task::TaskTracker;

use crate::emit::Emitter;
use crate::limits::EVENT_TEXT_MAX;

/// A session. Clones are the same session.
#[derive(Debug, Clone)]
pub(crate) struct Session(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    emitter: Emitter,
    prefix: &'static str,
    /// Members that every event of this session has.
    common: Map<String, Value>,
    id: String,
    source: SocketAddr,
    started: Instant,
    background: TaskTracker,
}

impl Session {
    /// Opens a session and writes its connect event. `prefix` is `cowrie` or `http`; `background` owns its slow work.
    pub(crate) fn open(
        emitter: Emitter,
        prefix: &'static str,
        protocol: &'static str,
        source: SocketAddr,
        local: SocketAddr,
        background: TaskTracker,
    ) -> Self {
        let id = HEXLOWER.encode(&rand::random::<[u8; 6]>());
        let common = Map::from_iter([
            ("session".to_owned(), id.clone().into()),
            ("protocol".to_owned(), protocol.into()),
            ("src_ip".to_owned(), source.ip().to_canonical().to_string().into()),
            ("src_port".to_owned(), source.port().into()),
            ("dst_ip".to_owned(), local.ip().to_canonical().to_string().into()),
            ("dst_port".to_owned(), local.port().into()),
        ]);
        let session = Self(Arc::new(Inner {
            emitter,
            prefix,
            common,
            id,
            source,
            started: Instant::now(),
            background,
        }));
        session.event("session.connect", Value::Null);
        session
    }

    /// The session's id: twelve hexadecimal digits.
    pub(crate) fn id(&self) -> &str {
        &self.0.id
    }

    /// Who connected.
    pub(crate) fn source(&self) -> SocketAddr {
        self.0.source
    }

    /// Writes `<prefix>.<name>` with the session's own members and `members` (an object or `null`), which win.
    /// A member that is `null` is left out.
    pub(crate) fn event(&self, name: &str, members: Value) {
        self.0.event(name, members);
    }

    /// Runs work that waits for the disk on a thread for such. The session is not closed before it is done.
    pub(crate) fn in_background(&self, work: impl FnOnce(&Session) + Send + 'static) {
        let session = self.clone();
        self.0.background.spawn_blocking(move || work(&session));
    }
}

impl Inner {
    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn event(&self, name: &str, members: Value) {
        let mut data = self.common.clone();
        if let Value::Object(members) = members {
            data.extend(members.into_iter().filter(|(_, value)| !value.is_null()));
        }
        let mut cut = false;
        data.values_mut().for_each(|value| shorten(value, &mut cut));
        if cut {
            data.insert("truncated".to_owned(), true.into());
        }
        self.emitter.event(&format!("{}.{name}", self.prefix), &data);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let duration = self.elapsed_ms();
        self.event("session.closed", serde_json::json!({ "duration_ms": duration }));
    }
}

/// Cuts long texts, at a character's border.
fn shorten(value: &mut Value, cut: &mut bool) {
    match value {
        Value::String(text) if text.len() > EVENT_TEXT_MAX => {
            let end = (0..=EVENT_TEXT_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(end);
            *cut = true;
        }
        Value::Array(items) => items.iter_mut().for_each(|item| shorten(item, cut)),
        Value::Object(members) => members.values_mut().for_each(|member| shorten(member, cut)),
        _ => {}
    }
}

/// Attacker bytes as an event's text: what is not UTF-8 becomes the replacement character.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..EVENT_TEXT_MAX + 4).unwrap_or(bytes)).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let mut cut = false;
        let mut value =
            json!({"a": "é".repeat(EVENT_TEXT_MAX), "b": ["x".repeat(EVENT_TEXT_MAX + 1)], "c": "short"});
        shorten(&mut value, &mut cut);
        assert!(cut);
        assert_eq!(value["a"].as_str().unwrap().len(), EVENT_TEXT_MAX);
        assert_eq!(value["b"][0].as_str().unwrap().len(), EVENT_TEXT_MAX);
        assert_eq!(value["c"], "short");
    }
}
