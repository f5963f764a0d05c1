//! What the layers have in common: a tree of values, each with its origin.
//!
//! TOML, YAML, environment and flags all become [`Node`]s, which are merged and then read by `de`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Origin, Problem, join};

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
    /// From the environment or a flag: the struct's field says what it is.
    Loose(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    /// Where the key stands; its value may start on another line.
    pub(super) key_origin: Origin,
    pub(super) node: Node,
}

impl Node {
    pub(super) fn empty() -> Self {
        Self { origin: Origin::Default, value: Value::Table(Vec::new()) }
    }

    /// Lays `over` on top: tables are merged key by key, everything else is replaced.
    pub(super) fn merge(&mut self, over: Node) {
        match (&mut self.value, over.value) {
            (Value::Table(entries), Value::Table(over_entries)) => {
                for entry in over_entries {
                    match entries.iter_mut().find(|known| known.key == entry.key) {
                        Some(known) => known.node.merge(entry.node),
                        None => entries.push(entry),
                    }
                }
            }
            // An empty section (`tls:` with nothing under it) takes nothing away.
            (Value::Table(_), Value::Null) => {}
            (_, value) => {
                *self = Node { origin: over.origin, value };
            }
        }
    }

    /// Sets one dotted key to a text whose type the struct decides.
    pub(super) fn set(&mut self, key: &str, text: String, origin: Origin) {
        let leaf = Node { origin: origin.clone(), value: Value::Loose(text) };
        let over = key.rsplit('.').fold(leaf, |node, part| Node {
            origin: origin.clone(),
            value: Value::Table(vec![Entry { key: part.to_owned(), key_origin: origin.clone(), node }]),
        });
        self.merge(over);
    }

    /// Notes where each leaf (anything but a table) came from.
    pub(super) fn origins(&self, key: &str, into: &mut BTreeMap<String, Origin>) {
        match &self.value {
            Value::Table(entries) => {
                for entry in entries {
                    entry.node.origins(&join(key, &entry.key), into);
                }
            }
            _ => {
                into.insert(key.to_owned(), self.origin.clone());
            }
        }
    }
}

/// Reads a TOML document.
pub(super) fn from_toml(name: &str, text: &str) -> Result<Node, Problem> {
    let source = Source::new(name, text);
    match DeTable::parse(text) {
        Ok(table) => Ok(source.toml_table(0, table.get_ref())),
        Err(error) => Err(Problem {
            origin: source.at_byte(error.span().map_or(0, |span| span.start)),
            key: String::new(),
            message: one_line(error.message()),
        }),
    }
}

/// Reads a YAML document; an empty one is an empty table.
pub(super) fn from_yaml(name: &str, text: &str) -> Result<Node, Problem> {
    let source = Source::new(name, text);
    match serde_saphyr::from_str::<Option<Spanned<Yaml>>>(text) {
        Ok(Some(document)) => match source.yaml(document) {
            node @ Node { value: Value::Table(_), .. } => Ok(node),
            Node { value: Value::Null, .. } => Ok(Node::empty()),
            node => Err(Problem {
                origin: node.origin,
                key: String::new(),
                message: "the file must be a table of `key: value`".to_owned(),
            }),
        },
        Ok(None) => Ok(Node::empty()),
        Err(error) => Err(Problem {
            origin: source.at_line(error.location().map_or(1, |location| location.line())),
            key: String::new(),
            message: one_line(&error.without_snippet().to_string()),
        }),
    }
}

/// A file's name and where its lines start.
struct Source {
    name: Arc<str>,
    line_starts: Vec<usize>,
}

impl Source {
    fn new(name: &str, text: &str) -> Self {
        let line_starts = text.match_indices('\n').map(|(at, _)| at + 1).collect();
        Self { name: name.into(), line_starts }
    }

    fn at_byte(&self, byte: usize) -> Origin {
        let line = 1 + self.line_starts.partition_point(|start| *start <= byte);
        self.at_line(line as u64)
    }

    fn at_line(&self, line: u64) -> Origin {
        Origin::File {
            file: Arc::clone(&self.name),
            line: usize::try_from(line).unwrap_or(usize::MAX).max(1),
        }
    }

    fn toml_table(&self, at: usize, table: &DeTable<'_>) -> Node {
        let mut entries: Vec<(usize, Entry)> = table
            .iter()
            .map(|(key, value)| {
                let at = key.span().start;
                let entry = Entry {
                    key: key.get_ref().to_string(),
                    key_origin: self.at_byte(at),
                    node: self.toml_value(at, value.get_ref()),
                };
                (at, entry)
            })
            .collect();
        // The parser sorts by name; people read problems from the top of the file.
        entries.sort_by_key(|(at, _)| *at);
        Node {
            origin: self.at_byte(at),
            value: Value::Table(entries.into_iter().map(|(_, entry)| entry).collect()),
        }
    }

    fn toml_value(&self, at: usize, value: &DeValue<'_>) -> Node {
        let value = match value {
            DeValue::Table(table) => return self.toml_table(at, table),
            DeValue::Array(items) => Value::List(
                items.iter().map(|item| self.toml_value(item.span().start, item.get_ref())).collect(),
            ),
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Boolean(value) => Value::Bool(*value),
            DeValue::Float(number) => {
                number.as_str().parse().map_or_else(|_| Value::Text(number.as_str().to_owned()), Value::Float)
            }
            DeValue::Integer(number) => {
                let (digits, radix) = (number.as_str(), number.radix());
                match (i64::from_str_radix(digits, radix), u64::from_str_radix(digits, radix)) {
                    (Ok(number), _) => Value::Signed(number),
                    (_, Ok(number)) => Value::Unsigned(number),
                    _ => Value::Text(digits.to_owned()),
                }
            }
            DeValue::Datetime(time) => Value::Text(time.to_string()),
        };
        Node { origin: self.at_byte(at), value }
    }

    fn yaml(&self, spanned: Spanned<Yaml>) -> Node {
        let origin = self.at_line(spanned.referenced.line());
        let value = match spanned.value {
            Yaml::Scalar(value) => value,
            Yaml::List(items) => Value::List(items.into_iter().map(|item| self.yaml(item)).collect()),
            Yaml::Table(entries) => Value::Table(
                entries
                    .into_iter()
                    .map(|(key, value)| Entry {
                        key_origin: self.at_line(key.referenced.line()),
                        key: key.value,
                        node: self.yaml(value),
                    })
                    .collect(),
            ),
        };
        Node { origin, value }
    }
}

enum Yaml {
    Scalar(Value),
    List(Vec<Spanned<Yaml>>),
    Table(Vec<(Spanned<String>, Spanned<Yaml>)>),
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(YamlVisitor)
    }
}

struct YamlVisitor;

impl<'de> Visitor<'de> for YamlVisitor {
    type Value = Yaml;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Yaml, D::Error> {
        Yaml::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::Signed(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::Unsigned(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::Float(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::Text(value.to_owned())))
    }

    fn visit_string<E>(self, value: String) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::Text(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Yaml, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Yaml::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Yaml, A::Error> {
        let mut table = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            table.push(entry);
        }
        Ok(Yaml::Table(table))
    }
}

fn one_line(message: &str) -> String {
    let words: Vec<&str> = message.split_whitespace().collect();
    words.join(" ")
}
