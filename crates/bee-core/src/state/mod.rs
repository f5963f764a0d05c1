//! Small, durable facts: who the nodes are, which tokens exist, which commands wait, how far each stream came.
//!
//! [`Kv`] is the key-value part of the scale-out seam (design decision 13): a store with one revision
//! counter, atomic change sets and a watch. [`redb`] is the embedded one; a cluster puts another behind the
//! same trait and nothing above it knows. [`State`] is what the rest of Core holds: reads go straight to the
//! store, writes are gathered by one thread so that a thousand registrations share one disk sync.
//! Nothing here knows what a value means beyond its version number, and events never pass through here.

mod redb;
mod writer;

use serde::{Serialize, de::DeserializeOwned};

pub use redb::RedbKv;
pub use writer::State;

/// One stored value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The full key, e.g. `node/42`.
    pub key: String,
    /// JSON text, as it was written.
    pub value: Vec<u8>,
    /// The store's revision when this value was written. Later writes have higher ones.
    pub revision: u64,
}

/// One step of an atomic change set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Writes `value` under `key`, whatever was there.
    Put {
        /// Full key.
        key: String,
        /// JSON text.
        value: Vec<u8>,
    },
    /// Removes `key`; no error when it is not there.
    Delete {
        /// Full key.
        key: String,
    },
}

impl Change {
    /// A `Put` of a versioned record.
    pub fn put<T: Record>(key: String, record: &T) -> Result<Self, StateError> {
        Ok(Self::Put { value: encode(&key, record)?, key })
    }

    /// A `Delete`.
    pub fn delete(key: String) -> Self {
        Self::Delete { key }
    }

    /// The key that this change touches.
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

/// What a watcher is told: the keys of one applied change set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Revision of the change set.
    pub revision: u64,
    /// Keys written or removed by it.
    pub keys: Vec<String>,
}

/// What can go wrong with the state store.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The store itself failed (disk full, damaged file, lost connection).
    #[error("cannot {doing} the state store")]
    Store {
        /// `open`, `read`, `write`.
        doing: &'static str,
        /// The engine's own error.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A value is not the JSON that its reader expects.
    #[error("state value {key} cannot be read as {kind}")]
    Value {
        /// Which key.
        key: String,
        /// Which record type was wanted.
        kind: &'static str,
        /// What the JSON reader said.
        #[source]
        cause: serde_json::Error,
    },
    /// A value was written by a newer Core.
    #[error(
        "state value {key} has version {found}, this Core reads {kind} up to version {known}: start the newer Core again"
    )]
    Newer {
        /// Which key.
        key: String,
        /// Which record type was wanted.
        kind: &'static str,
        /// Version found.
        found: u32,
        /// Highest version known here.
        known: u32,
    },
    /// The writer thread is gone: Core is shutting down.
    #[error("the state store is closed")]
    Closed,
}

impl StateError {
    pub(crate) fn store<E: std::error::Error + Send + Sync + 'static>(doing: &'static str, cause: E) -> Self {
        Self::Store { doing, cause: Box::new(cause) }
    }
}

/// A durable key-value store with revisions. All calls block; [`State`] keeps them off the async threads.
pub trait Kv: Send + Sync + 'static {
    /// Reads one value.
    fn get(&self, key: &str) -> Result<Option<Entry>, StateError>;

    /// Reads up to `limit` values whose keys start with `prefix`, in key order, beginning after the key `after`.
    fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Entry>, StateError>;

    /// Applies all changes or none, durably, and answers the new revision.
    fn apply(&self, changes: &[Change]) -> Result<u64, StateError>;

    /// The revision of the last applied change set, 0 for an empty store.
    fn revision(&self) -> Result<u64, StateError>;

    /// Change sets from now on. A receiver that lags is told so by the channel and must scan again.
    fn watch(&self) -> tokio::sync::broadcast::Receiver<Changed>;
}

/// A type that is stored, with the version of its layout.
pub trait Record: Serialize + DeserializeOwned {
    /// Name used in errors.
    const KIND: &'static str;
    /// Version written. Older ones must still be readable by `Deserialize`.
    const VERSION: u32;
}

#[derive(Serialize, serde::Deserialize)]
struct Versioned<T> {
    v: u32,
    record: T,
}

#[derive(serde::Deserialize)]
struct VersionOnly {
    v: u32,
}

/// The stored form of a record: `{"v": version, "record": {..}}`.
pub fn encode<T: Record>(key: &str, record: &T) -> Result<Vec<u8>, StateError> {
    serde_json::to_vec(&Versioned { v: T::VERSION, record }).map_err(|cause| StateError::Value {
        key: key.to_owned(),
        kind: T::KIND,
        cause,
    })
}

/// Reads what [`encode`] wrote; refuses values of a newer version instead of guessing.
pub fn decode<T: Record>(entry: &Entry) -> Result<T, StateError> {
    let bad = |cause| StateError::Value { key: entry.key.clone(), kind: T::KIND, cause };
    let VersionOnly { v } = serde_json::from_slice(&entry.value).map_err(bad)?;
    if v > T::VERSION {
        return Err(StateError::Newer { key: entry.key.clone(), kind: T::KIND, found: v, known: T::VERSION });
    }
    let versioned: Versioned<T> = serde_json::from_slice(&entry.value).map_err(bad)?;
    Ok(versioned.record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
    struct Thing {
        name: String,
    }
    impl Record for Thing {
        const KIND: &'static str = "thing";
        const VERSION: u32 = 2;
    }

    fn entry(text: &str) -> Entry {
        Entry { key: "t/1".into(), value: text.as_bytes().to_vec(), revision: 1 }
    }

    #[test]
    fn a_record_keeps_its_version_beside_it() {
        let bytes = encode("t/1", &Thing { name: "a".into() }).unwrap();
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), r#"{"v":2,"record":{"name":"a"}}"#);
        let back: Thing = decode(&Entry { key: "t/1".into(), value: bytes, revision: 1 }).unwrap();
        assert_eq!(back, Thing { name: "a".into() });
    }

    #[test]
    fn a_value_of_a_newer_core_is_refused_and_named() {
        let error = decode::<Thing>(&entry(r#"{"v":3,"record":{"renamed":1}}"#)).unwrap_err();
        assert!(matches!(error, StateError::Newer { found: 3, known: 2, .. }), "{error}");
        assert!(error.to_string().contains("t/1"));
    }

    #[test]
    fn a_damaged_value_is_an_error_not_a_default() {
        assert!(matches!(decode::<Thing>(&entry("{}")), Err(StateError::Value { .. })));
    }
}
