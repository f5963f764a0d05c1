//! Reads a struct from the merged tree: serde's data model over [`Node`].
//!
//! An own deserializer rather than `toml`'s or a JSON detour, because it knows at every step which
//! key it is at and where that key was written, sees the field names a struct accepts, and turns a
//! text from the environment into whatever type the field has.

use std::cell::RefCell;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, EnumAccess, Expected, IntoDeserializer as _, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};

use super::tree::{Entry, Node, Value};
use super::{Origin, Problem, join};

/// How alike (0 to 1) a known name must be to be proposed for an unknown one.
const LIKENESS_MIN: f64 = 0.6;

/// Reads `T`, or every unknown key and the first value that does not fit.
pub(super) fn read<T: DeserializeOwned>(root: &Node) -> Result<T, Vec<Problem>> {
    let unknown = RefCell::new(Vec::new());
    let result = T::deserialize(De { node: root, key: String::new(), unknown: &unknown });
    let mut problems = unknown.into_inner();
    match result {
        Ok(value) if problems.is_empty() => Ok(value),
        Ok(_) => Err(problems),
        Err(error) => {
            problems.push(error.0);
            Err(problems)
        }
    }
}

/// The name people most probably meant.
pub(super) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| {
            let lower = name.to_lowercase().replace('-', "_");
            (
                strsim::normalized_damerau_levenshtein(&lower, candidate)
                    .max(strsim::jaro_winkler(&lower, candidate) - 0.2),
                *candidate,
            )
        })
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[derive(Clone)]
struct De<'a> {
    node: &'a Node,
    key: String,
    unknown: &'a RefCell<Vec<Problem>>,
}

#[derive(Debug)]
struct DeError(Problem);

impl De<'_> {
    fn fail(&self, message: impl Into<String>) -> DeError {
        DeError(Problem { origin: self.node.origin.clone(), key: self.key.clone(), message: message.into() })
    }

    /// Says where an error happened, unless a deeper place has said so already.
    fn locate(&self, error: DeError) -> DeError {
        locate(error, &self.key, &self.node.origin)
    }
}

fn locate(error: DeError, key: &str, origin: &Origin) -> DeError {
    if error.0.key.is_empty() && error.0.origin == Origin::Default {
        return DeError(Problem { origin: origin.clone(), key: key.to_owned(), message: error.0.message });
    }
    error
}

macro_rules! numbers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
            let Value::Loose(text) = &self.node.value else {
                return self.deserialize_any(visitor);
            };
            let text = text.trim();
            let read = if let Ok(number) = text.parse::<u64>() {
                visitor.visit_u64(number)
            } else if let Ok(number) = text.parse::<i64>() {
                visitor.visit_i64(number)
            } else if let Ok(number) = text.parse::<f64>() {
                visitor.visit_f64(number)
            } else {
                Err(de::Error::invalid_type(Unexpected::Str(text), &visitor))
            };
            read.map_err(|error| self.locate(error))
        }
    )*};
}

impl<'de> de::Deserializer<'de> for De<'_> {
    type Error = DeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        let read = match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Signed(number) => visitor.visit_i64(*number),
            Value::Unsigned(number) => visitor.visit_u64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Text(text) | Value::Loose(text) => visitor.visit_str(text),
            Value::List(items) => {
                visitor.visit_seq(Items { of: self.clone(), items: items.iter(), index: 0 })
            }
            Value::Table(entries) => visitor.visit_map(Entries::new(&self, entries, None)),
        };
        read.map_err(|error| self.locate(error))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        let Value::Loose(text) = &self.node.value else {
            return self.deserialize_any(visitor);
        };
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => visitor.visit_bool(true),
            "false" | "no" | "off" | "0" => visitor.visit_bool(false),
            _ => Err(self.fail(format!("must be true or false, not {text:?}"))),
        }
    }

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_f32 deserialize_f64
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        match &self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        let Value::Loose(text) = &self.node.value else {
            return self.deserialize_any(visitor);
        };
        let items: Vec<Node> = text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(|item| Node { origin: self.node.origin.clone(), value: Value::Loose(item.to_owned()) })
            .collect();
        visitor.visit_seq(Items { of: self.clone(), items: items.iter(), index: 0 })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DeError> {
        let entries: &[Entry] = match &self.node.value {
            Value::Table(entries) => entries,
            // A section header with nothing under it.
            Value::Null => &[],
            _ => return Err(self.fail("must be a section with keys of its own, not a single value")),
        };
        visitor.visit_map(Entries::new(&self, entries, Some(fields))).map_err(|error| self.locate(error))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DeError> {
        let read = match &self.node.value {
            Value::Text(text) | Value::Loose(text) => {
                let name: StrDeserializer<'_, DeError> = text.as_str().into_deserializer();
                visitor.visit_enum(name)
            }
            Value::Table(entries) => match entries.as_slice() {
                [entry] => visitor.visit_enum(Variant { of: &self, entry }),
                _ => Err(self.fail("must have exactly one key, the name of the choice")),
            },
            _ => return self.deserialize_any(visitor),
        };
        read.map_err(|error| self.locate(error))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        visitor.visit_unit()
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, DeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, DeError> {
        self.deserialize_seq(visitor)
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct map identifier
    }
}

struct Items<'a, I> {
    of: De<'a>,
    items: I,
    index: usize,
}

impl<'de, 'n, I: Iterator<Item = &'n Node>> SeqAccess<'de> for Items<'_, I> {
    type Error = DeError;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, DeError> {
        let Some(node) = self.items.next() else {
            return Ok(None);
        };
        let key = format!("{}[{}]", self.of.key, self.index);
        self.index += 1;
        let error_key = key.clone();
        seed.deserialize(De { node, key, unknown: self.of.unknown })
            .map(Some)
            .map_err(|error| locate(error, &error_key, &node.origin))
    }
}

struct Entries<'a> {
    parent_key: String,
    unknown: &'a RefCell<Vec<Problem>>,
    entries: std::slice::Iter<'a, Entry>,
    current: Option<&'a Entry>,
    fields: Option<&'static [&'static str]>,
}

impl<'a> Entries<'a> {
    fn new(of: &De<'a>, entries: &'a [Entry], fields: Option<&'static [&'static str]>) -> Self {
        Self {
            parent_key: of.key.clone(),
            unknown: of.unknown,
            entries: entries.iter(),
            current: None,
            fields,
        }
    }

    /// The next entry that the struct knows; the ones it does not know are noted.
    fn next_known(&mut self) -> Option<&'a Entry> {
        loop {
            let entry = self.entries.next()?;
            match self.fields {
                Some(fields) if !fields.contains(&entry.key.as_str()) => {
                    self.unknown.borrow_mut().push(Problem {
                        origin: entry.key_origin.clone(),
                        key: join(&self.parent_key, &entry.key),
                        message: self.advice(&entry.key, fields),
                    });
                }
                _ => return Some(entry),
            }
        }
    }

    fn advice(&self, key: &str, fields: &[&str]) -> String {
        match nearest(key, fields) {
            Some(near) => format!("is not a known key; did you mean `{}`?", join(&self.parent_key, near)),
            None => format!("is not a known key; known here: {}", listed(fields)),
        }
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = DeError;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, DeError> {
        self.current = self.next_known();
        let Some(entry) = self.current else {
            return Ok(None);
        };
        let name: StrDeserializer<'_, DeError> = entry.key.as_str().into_deserializer();
        let key = join(&self.parent_key, &entry.key);
        seed.deserialize(name).map(Some).map_err(|error| locate(error, &key, &entry.key_origin))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, DeError> {
        let entry = self
            .current
            .take()
            .ok_or_else(|| <DeError as de::Error>::custom("a value was asked for before its key"))?;
        let key = join(&self.parent_key, &entry.key);
        let error_key = key.clone();
        seed.deserialize(De { node: &entry.node, key, unknown: self.unknown })
            .map_err(|error| locate(error, &error_key, &entry.node.origin))
    }
}

struct Variant<'a> {
    of: &'a De<'a>,
    entry: &'a Entry,
}

impl<'a> Variant<'a> {
    fn content(&self) -> De<'a> {
        De { node: &self.entry.node, key: join(&self.of.key, &self.entry.key), unknown: self.of.unknown }
    }
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = DeError;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), DeError> {
        let name: StrDeserializer<'_, DeError> = self.entry.key.as_str().into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = DeError;

    fn unit_variant(self) -> Result<(), DeError> {
        match self.entry.node.value {
            Value::Null => Ok(()),
            _ => Err(self.content().fail("takes no value")),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, DeError> {
        seed.deserialize(self.content())
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, DeError> {
        de::Deserializer::deserialize_seq(self.content(), visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DeError> {
        de::Deserializer::deserialize_struct(self.content(), "", fields, visitor)
    }
}

impl de::Error for DeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(Problem { origin: Origin::Default, key: String::new(), message: message.to_string() })
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format!("must be {}, not {}", wanted(expected), shown(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(found: &str, variants: &'static [&'static str]) -> Self {
        let hint =
            nearest(found, variants).map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
        Self::custom(format!("must be one of {}, not {found:?}{hint}", listed(variants)))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom(format!("needs the key `{field}`"))
    }
}

impl fmt::Display for DeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for DeError {}

/// Serde names Rust types; people want to know what to write.
fn wanted(expected: &dyn Expected) -> String {
    let name = expected.to_string();
    let range = match name.as_str() {
        "u8" => "0 to 255",
        "u16" => "0 to 65535",
        "u32" => "0 to 4294967295",
        "i8" => "-128 to 127",
        "i16" => "-32768 to 32767",
        "i32" => "-2147483648 to 2147483647",
        "u64" | "usize" | "nonzero u64" => return "a whole number, 0 or more".to_owned(),
        "i64" | "isize" => return "a whole number".to_owned(),
        "f32" | "f64" => return "a number".to_owned(),
        "a boolean" => return "true or false".to_owned(),
        "a string" | "path string" => return "a text in quotes".to_owned(),
        "a sequence" => return "a list".to_owned(),
        "a map" => return "a section with keys of its own".to_owned(),
        _ => return name,
    };
    format!("a whole number from {range}")
}

fn shown(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(number) => number.to_string(),
        Unexpected::Signed(number) => number.to_string(),
        Unexpected::Float(number) => number.to_string(),
        Unexpected::Str(text) => format!("{text:?}"),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a section".to_owned(),
        Unexpected::Unit => "empty".to_owned(),
        other => other.to_string(),
    }
}

fn listed(names: &[&str]) -> String {
    names.join(", ")
}
