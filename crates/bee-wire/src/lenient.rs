//! Readers that take what the field sends: numbers as strings, strings as numbers, names as objects, null as nothing.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapDeserializer;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::ErrorCode;
use crate::limits;
use crate::secret::Secret;

/// A message without fields: `{}`.
#[derive(Serialize)]
pub(crate) struct Empty {}

/// A JSON value that is not a container.
pub(crate) enum Scalar<'de> {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(Cow<'de, str>),
}

pub(crate) fn scalar<'de, D: Deserializer<'de>>(de: D) -> Result<Scalar<'de>, D::Error> {
    de.deserialize_any(ScalarVisitor)
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a number")
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Null)
    }
    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Bool(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Unsigned(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(u64::try_from(value).map_or(Scalar::Signed(value), Scalar::Unsigned))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Float(value))
    }
    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(value)))
    }
    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(value.to_owned())))
    }
    fn visit_string<E>(self, value: String) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(value)))
    }
}

/// A text, or a number or boolean written as one.
pub(crate) fn text<'de, D: Deserializer<'de>>(de: D) -> Result<Cow<'de, str>, D::Error> {
    match scalar(de)? {
        Scalar::Text(text) => Ok(text),
        Scalar::Unsigned(number) => Ok(Cow::Owned(number.to_string())),
        Scalar::Signed(number) => Ok(Cow::Owned(number.to_string())),
        Scalar::Float(number) => Ok(Cow::Owned(number.to_string())),
        Scalar::Bool(value) => Ok(Cow::Borrowed(if value { "true" } else { "false" })),
        Scalar::Null => Err(D::Error::custom("expected a text, found null")),
    }
}

/// [`text`] as an owned string, for `deserialize_with`.
pub(crate) fn string<'de, D: Deserializer<'de>>(de: D) -> Result<String, D::Error> {
    text(de).map(Cow::into_owned)
}

/// [`string`], or nothing for null.
pub(crate) fn string_opt<'de, D: Deserializer<'de>>(de: D) -> Result<Option<String>, D::Error> {
    Option::<Text>::deserialize(de).map(|text| text.map(|text| text.0))
}

/// [`string`], or the empty text for null.
pub(crate) fn string_or_empty<'de, D: Deserializer<'de>>(de: D) -> Result<String, D::Error> {
    string_opt(de).map(Option::unwrap_or_default)
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        string(de).map(Self)
    }
}

/// A map of texts; numbers and booleans become texts, nulls are left out, null itself is an empty map.
pub(crate) fn string_map<'de, D: Deserializer<'de>>(de: D) -> Result<BTreeMap<String, String>, D::Error> {
    let map: Option<BTreeMap<String, Option<Text>>> = Option::deserialize(de)?;
    Ok(map.unwrap_or_default().into_iter().filter_map(|(key, value)| Some((key, value?.0))).collect())
}

/// A whole number, or the decimal text of one.
pub(crate) fn unsigned<'de, D: Deserializer<'de>>(de: D) -> Result<u64, D::Error> {
    match scalar(de)? {
        Scalar::Unsigned(number) => Ok(number),
        Scalar::Text(text) => text.trim().parse().map_err(|_| D::Error::custom(NOT_UNSIGNED)),
        // Encoders without integers write 2 as 2.0; beyond 2^53 a float no longer says which number was meant.
        Scalar::Float(number)
            if number.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&number) =>
        {
            Ok(number as u64)
        }
        _ => Err(D::Error::custom(NOT_UNSIGNED)),
    }
}

const NOT_UNSIGNED: &str = "expected a whole number from 0 to 18446744073709551615";

/// A port number, as a number or as text.
pub(crate) fn port<'de, D: Deserializer<'de>>(de: D) -> Result<u16, D::Error> {
    u16::try_from(unsigned(de)?).map_err(|_| D::Error::custom("a port is a number from 0 to 65535"))
}

/// A boolean, also as `"true"`, `"false"`, 1 or 0.
pub(crate) fn boolean<'de, D: Deserializer<'de>>(de: D) -> Result<bool, D::Error> {
    match scalar(de)? {
        Scalar::Bool(value) => Ok(value),
        Scalar::Unsigned(0) => Ok(false),
        Scalar::Unsigned(1) => Ok(true),
        Scalar::Text(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Scalar::Text(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(D::Error::custom("expected true or false")),
    }
}

/// [`boolean`], with null read as false.
pub(crate) fn boolean_or_false<'de, D: Deserializer<'de>>(de: D) -> Result<bool, D::Error> {
    struct Flag(bool);
    impl<'de> Deserialize<'de> for Flag {
        fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
            boolean(de).map(Self)
        }
    }
    Option::<Flag>::deserialize(de).map(|flag| flag.is_some_and(|flag| flag.0))
}

/// Null or a missing member as the default.
pub(crate) fn or_default<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(
    de: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(de).map(Option::unwrap_or_default)
}

/// A value whose null form means `{}`.
pub(crate) fn or_empty<'de, T: Deserialize<'de>, D: Deserializer<'de>>(de: D) -> Result<T, D::Error> {
    match Option::<T>::deserialize(de)? {
        Some(value) => Ok(value),
        None => T::deserialize(MapDeserializer::<'_, std::iter::Empty<(&str, &str)>, D::Error>::new(
            std::iter::empty(),
        )),
    }
}

/// A name: `"Name"`, or the key of an object with one member.
pub(crate) fn name<'de, D: Deserializer<'de>>(de: D) -> Result<Cow<'de, str>, D::Error> {
    de.deserialize_any(NameVisitor)
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }
    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(value))
    }
    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(value.to_owned()))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let name: String = map.next_key()?.ok_or_else(|| A::Error::custom("expected a name, found {}"))?;
        map.next_value::<IgnoredAny>()?;
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Cow::Owned(name))
    }
}

/// [`unsigned`], or nothing for null.
pub(crate) fn unsigned_opt<'de, D: Deserializer<'de>>(de: D) -> Result<Option<u64>, D::Error> {
    struct Number(u64);
    impl<'de> Deserialize<'de> for Number {
        fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
            unsigned(de).map(Self)
        }
    }
    Option::<Number>::deserialize(de).map(|number| number.map(|number| number.0))
}

/// A TOTP code; a number has lost its leading zeros and gets them back.
pub(crate) fn totp_code<'de, D: Deserializer<'de>>(de: D) -> Result<Secret, D::Error> {
    match scalar(de)? {
        Scalar::Text(text) => Ok(Secret::new(text)),
        Scalar::Unsigned(number) => Ok(Secret::new(format!("{number:06}"))),
        _ => Err(D::Error::custom("expected a TOTP code of six digits")),
    }
}

/// [`totp_code`], or nothing for null and for the empty text.
pub(crate) fn totp_code_opt<'de, D: Deserializer<'de>>(de: D) -> Result<Option<Secret>, D::Error> {
    struct Code(Secret);
    impl<'de> Deserialize<'de> for Code {
        fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
            totp_code(de).map(Self)
        }
    }
    let code = Option::<Code>::deserialize(de)?.map(|code| code.0);
    Ok(code.filter(|code| !code.expose().is_empty()))
}

/// A list of features, bounded.
pub(crate) fn features<'de, D: Deserializer<'de>>(de: D) -> Result<Vec<String>, D::Error> {
    let features: Vec<String> = or_default(de)?;
    if features.len() > limits::FEATURES_MAX {
        return Err(D::Error::custom(format_args!(
            "at most {} features may be listed",
            limits::FEATURES_MAX
        )));
    }
    Ok(features)
}

/// The code of a command result; one that is not known is `COMMAND_FAILED`.
pub(crate) fn command_code<'de, D: Deserializer<'de>>(de: D) -> Result<Option<ErrorCode>, D::Error> {
    Ok(string_opt(de)?.map(|code| ErrorCode::parse(&code).unwrap_or(ErrorCode::CommandFailed)))
}

/// The code of an error reply; one that is not known is `INVALID_MESSAGE_FORMAT`.
pub(crate) fn reply_code<'de, D: Deserializer<'de>>(de: D) -> Result<ErrorCode, D::Error> {
    Ok(ErrorCode::parse(&text(de)?).unwrap_or(ErrorCode::InvalidMessageFormat))
}

/// The bytes of an artifact chunk, as base64 (RFC 4648 section 4).
pub(crate) mod base64_chunk {
    use data_encoding::BASE64;
    use serde::de::Error;
    use serde::{Deserializer, Serializer};

    use crate::limits::ARTIFACT_CHUNK_BYTES_MAX;

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], ser: S) -> Result<S::Ok, S::Error> {
        ser.serialize_str(&BASE64.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(de: D) -> Result<Vec<u8>, D::Error> {
        let text = super::text(de)?;
        if text.len() > ARTIFACT_CHUNK_BYTES_MAX.div_ceil(3) * 4 {
            return Err(D::Error::custom(format_args!(
                "a chunk has at most {ARTIFACT_CHUNK_BYTES_MAX} bytes"
            )));
        }
        BASE64.decode(text.as_bytes()).map_err(|_| D::Error::custom("a chunk is base64 with padding"))
    }
}

/// [`name`], or nothing for null.
pub(crate) fn name_opt<'de, D: Deserializer<'de>>(de: D) -> Result<Option<Cow<'de, str>>, D::Error> {
    struct Name<'a>(Cow<'a, str>);
    impl<'de> Deserialize<'de> for Name<'de> {
        fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
            name(de).map(Self)
        }
    }
    Option::<Name<'de>>::deserialize(de).map(|name| name.map(|name| name.0))
}

/// A JSON object, byte for byte.
pub(crate) fn raw_object<'de, D: Deserializer<'de>>(de: D) -> Result<Box<RawValue>, D::Error> {
    let raw = <Box<RawValue>>::deserialize(de)?;
    if raw.get().starts_with('{') { Ok(raw) } else { Err(D::Error::custom("expected an object")) }
}
