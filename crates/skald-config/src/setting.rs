//! What a key of the configuration is: its name, its documentation, what it takes. The one description from which loading checks and the reference is written.

use crate::{AttributeRule, BlockedQuery, ByteSize, duration};
use figment::value::Value;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A type that stands in the configuration tree: a section, or a value with its textual form.
pub(crate) trait Setting: Sized {
    fn kind() -> Kind;
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

/// What a key takes.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// More keys.
    Section { doc: &'static str, keys: fn() -> Vec<Key> },
    /// One value.
    Value { expected: &'static str, accepts: fn(&Value) -> bool },
}

impl Kind {
    pub(crate) fn value<T: Setting>(expected: &'static str) -> Kind {
        Kind::Value { expected, accepts: |value| value.deserialize::<Read<T>>().is_ok() }
    }
}

/// One key of a section.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) kind: Kind,
}

/// The keys of a section type.
pub(crate) fn keys_of<T: Setting>() -> Vec<Key> {
    match T::kind() {
        Kind::Section { keys, .. } => keys(),
        Kind::Value { .. } => Vec::new(),
    }
}

/// The functions that `#[serde(with = …)]` asks for.
pub(crate) fn serialize<T: Setting, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    value.write(serializer)
}

pub(crate) fn deserialize<'de, T: Setting, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::read(deserializer)
}

/// A setting where serde wants a type of its own.
struct Read<T>(T);

impl<'de, T: Setting> Deserialize<'de> for Read<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read(deserializer).map(Read)
    }
}

struct Written<'a, T>(&'a T);

impl<T: Setting> Serialize for Written<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write(serializer)
    }
}

/// Declares a section: a struct whose fields and their doc comments are its keys.
macro_rules! settings {
    ($(#[doc = $doc:literal])* $(#[derive($derive:ident)])? pub struct $name:ident { $($(#[doc = $field_doc:literal])* pub $field:ident: $type:ty,)* }) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        $(#[derive($derive)])?
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[doc = $field_doc])* #[serde(with = "crate::setting")] pub $field: $type,)*
        }

        impl crate::setting::Setting for $name {
            fn kind() -> crate::setting::Kind {
                crate::setting::Kind::Section {
                    doc: concat!($($doc, "\n"),*),
                    keys: || vec![$(crate::setting::Key {
                        name: stringify!($field),
                        doc: concat!($($field_doc, "\n"),*),
                        kind: <$type as crate::setting::Setting>::kind(),
                    }),*],
                }
            }

            fn write<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serde::Serialize::serialize(self, serializer)
            }

            fn read<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                serde::Deserialize::deserialize(deserializer)
            }
        }
    };
}
pub(crate) use settings;

/// Types that serde reads and writes as we want them.
macro_rules! plain {
    ($($type:ty => $expected:literal),* $(,)?) => {
        $(impl crate::setting::Setting for $type {
            fn kind() -> crate::setting::Kind {
                crate::setting::Kind::value::<$type>($expected)
            }

            fn write<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serde::Serialize::serialize(self, serializer)
            }

            fn read<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                serde::Deserialize::deserialize(deserializer)
            }
        })*
    };
}
pub(crate) use plain;

plain! {
    bool => "true or false",
    u16 => "a whole number from 0 to 65535",
    usize => "a whole number, 0 or more",
    i64 => "a whole number",
    f64 => "a number",
    ByteSize => "a size such as 256KB or 1GB",
    Vec<String> => "a list of texts",
    Vec<BlockedQuery> => "a list of rules with pattern, regex, hash, types and query_tags",
    Vec<AttributeRule> => "a list of rules with action (index_label, structured_metadata or drop) and attributes or regex",
}

impl Setting for Duration {
    fn kind() -> Kind {
        Kind::value::<Duration>("a duration such as 30s, 1h30m or 7d")
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&duration::format_duration(*self))
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::read(deserializer)?;
        duration::parse_duration(&text).ok_or_else(|| de::Error::custom("not a duration"))
    }
}

/// A text; one that looks like a number (as in `SKALD_…=2024`) is a text too.
impl Setting for String {
    fn kind() -> Kind {
        Kind::value::<String>("a text")
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = String;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
                Ok(text.to_owned())
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<String, E> {
                Ok(number.to_string())
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<String, E> {
                Ok(number.to_string())
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl Setting for PathBuf {
    fn kind() -> Kind {
        Kind::value::<PathBuf>("a path")
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.display())
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::read(deserializer).map(PathBuf::from)
    }
}

impl<T: Setting> Setting for Option<T> {
    fn kind() -> Kind {
        match T::kind() {
            Kind::Value { expected, .. } => Kind::value::<Option<T>>(expected),
            section @ Kind::Section { .. } => section,
        }
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_ref().map(Written).serialize(serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::<Read<T>>::deserialize(deserializer).map(|value| value.map(|Read(value)| value))
    }
}
