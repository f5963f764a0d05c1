//! Macros for the two shapes the protocol is made of: sets of names, and enums of messages.

/// An enum whose values are plain names on the wire.
///
/// Written as the name given; read from that name in any case, and from the object form `{"Name": ..}`.
macro_rules! wire_names {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum $name {
            $($(#[$vmeta])* #[serde(rename = $text)] $variant),+
        }

        impl $name {
            /// Every value, in the order of the protocol document.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The value of that name, in any case; `None` for a name that is not known.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str().eq_ignore_ascii_case(text))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::error::UnknownName;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text).ok_or_else(|| crate::error::UnknownName::new(stringify!($name), text))
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
                let name = crate::lenient::name(de)?;
                name.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// Reading and writing for an enum of messages.
///
/// Variants before the `;` carry a value, those after it carry nothing and are written as `{"Name": {}}`.
macro_rules! wire_messages {
    ($name:ident { $($variant:ident($ty:ty)),* $(,)? ; $($unit:ident),* $(,)? }) => {
        impl $name {
            /// The name of this message on the wire.
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => stringify!($variant),)*
                    $(Self::$unit => stringify!($unit),)*
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, ser: S) -> Result<S::Ok, S::Error> {
                match self {
                    $(Self::$variant(value) => ser.serialize_newtype_variant(stringify!($name), 0, stringify!($variant), value),)*
                    $(Self::$unit => ser.serialize_newtype_variant(stringify!($name), 0, stringify!($unit), &crate::lenient::Empty {}),)*
                }
            }
        }

        impl<'de> crate::codec::Payload<'de> for $name {
            fn read<D: serde::Deserializer<'de>>(name: &str, de: D) -> Result<Option<Self>, D::Error> {
                Ok(Some(match name {
                    $(stringify!($variant) => Self::$variant(crate::lenient::or_empty::<$ty, D>(de)?),)*
                    $(stringify!($unit) => {
                        <serde::de::IgnoredAny as serde::Deserialize>::deserialize(de)?;
                        Self::$unit
                    })*
                    _ => return Ok(None),
                }))
            }

            fn knows(name: &str) -> bool {
                matches!(name, $(stringify!($variant))|* $(| stringify!($unit))*)
            }
        }
    };
}
