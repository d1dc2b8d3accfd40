//! How blocks of settings are read: every key may be left out or be empty, and then has its default; a key that is not known is refused.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use skald_config::{format_duration, parse_duration};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Defines a block of settings with the default of each key beside it, and with `Default`, `Serialize` and `Deserialize` that agree with that.
///
/// What serde derives would refuse a key without a value, which is how charts write a block that nobody has filled.
macro_rules! settings {
    (
        $(#[doc = $about:literal])+
        pub struct $name:ident {
            $($(#[doc = $doc:literal])+ $(#[serde($attribute:meta)])? pub $field:ident: $type:ty = $default:expr,)*
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq, serde::Serialize)]
        pub struct $name {
            $($(#[doc = $doc])+ $(#[serde($attribute)])? pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $($field: $default,)* }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[derive(serde::Deserialize)]
                #[serde(deny_unknown_fields)]
                struct Written {
                    $($(#[serde($attribute)])? $field: Option<$type>,)*
                }
                let written = Written::deserialize(deserializer)?;
                Ok($name { $($field: written.$field.unwrap_or_else(|| $default),)* })
            }
        }
    };
}

pub(crate) use settings;

/// A length of time: `1h30m`, `500ms`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Period(pub Duration);

impl Period {
    /// So many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Period(Duration::from_secs(seconds))
    }

    /// So many milliseconds.
    pub const fn milliseconds(milliseconds: u64) -> Self {
        Period(Duration::from_millis(milliseconds))
    }
}

impl std::str::FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_duration(text).map(Period).ok_or_else(|| format!("\"{text}\" is not a duration such as 30s or 1h30m"))
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_duration(self.0))
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A map of names to texts; a name without a value has an empty one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Names(pub BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = BTreeMap::<String, Option<String>>::deserialize(deserializer)?;
        Ok(Names(written.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect()))
    }
}

/// What stands in the place of a secret.
const HIDDEN: &str = "<secret>";

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Hidden(pub String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Hidden {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.0.is_empty() { "" } else { HIDDEN })
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Hidden)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    settings! {
        /// A block.
        pub struct Block {
            /// With a default of its own.
            pub port: u16 = 80,
            /// Renamed.
            #[serde(rename = "waitTime")]
            pub wait_time: Period = Period::seconds(5),
            /// A map.
            pub labels: Names = Names::default(),
            /// Not to be shown.
            pub password: Option<Hidden> = None,
        }
    }

    #[track_caller]
    fn check(text: &str, want: Result<Block, &str>) {
        let read = serde_saphyr::from_str::<Option<Block>>(text).map(Option::unwrap_or_default);
        assert_eq!(read.map_err(|error| error.without_snippet().to_string()), want.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn a_key_without_a_value_has_its_default() {
        let labels = Names([("a", "1.10"), ("b", "")].map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        check("", Ok(Block::default()));
        check("port:\nwaitTime:\nlabels:\n", Ok(Block::default()));
        check("waitTime: 1m\nlabels: {a: 1.10, b: }", Ok(Block { wait_time: Period::seconds(60), labels, ..Block::default() }));
        check("ports: 1", Err("unknown field `ports`, expected one of port, waitTime, labels, password at line 1, column 1"));
        check("waitTime: 5", Err("\"5\" is not a duration such as 30s or 1h30m at line 1, column 11"));
    }

    #[test]
    fn secrets_are_not_printed() {
        let block: Block = serde_saphyr::from_str("password: hunter2").expect("it is a block");
        assert_eq!(block.password, Some(Hidden("hunter2".to_owned())));
        let printed = serde_saphyr::to_string(&block).expect("settings are plain data");
        assert_eq!(printed, "port: 80\nwaitTime: 5s\nlabels: {}\npassword: <secret>\n");
        assert!(!format!("{block:?}").contains("hunter2"));
    }
}
