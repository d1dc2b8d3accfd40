//! The stages, one module each: its options and what it does. The table of names is here.

mod cri;
mod decolorize;
mod docker;
mod dropping;
mod eventlogmessage;
mod geoip;
mod json;
mod label_lists;
mod labels;
mod limit;
mod logfmt;
mod matching;
mod metrics;
mod multiline;
mod options;
mod output;
mod pack;
mod partial;
mod regex;
mod rendering;
mod replace;
mod sampling;
mod source;
mod static_labels;
mod structured_metadata;
mod template;
mod tenant;
mod timestamp;

use crate::StageError;
use crate::stage::{Build, Compiled, Options};
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// One item of `pipeline_stages`: a stage's name and its options.
#[derive(Debug, Clone, PartialEq)]
pub struct StageConfig(Kind);

/// Declares the stages: the name in the configuration, other names it has, the type of its options.
macro_rules! stages {
    ($($variant:ident: $name:literal $(or $alias:literal)* => $options:ty,)*) => {
        #[derive(Debug, Clone, PartialEq)]
        enum Kind {
            $($variant($options),)*
        }

        impl Kind {
            /// Reads the options of the stage `name`; nothing there means no options. `None` is an unknown stage.
            fn read<'de, A: MapAccess<'de>>(name: &str, map: &mut A) -> Result<Option<Self>, A::Error> {
                Ok(match name {
                    $($name $(| $alias)* => Some(Kind::$variant(map.next_value::<Option<$options>>()?.unwrap_or_default())),)*
                    _ => None,
                })
            }

            fn name(&self) -> &'static str {
                match self {
                    $(Kind::$variant(_) => $name,)*
                }
            }

            fn compile(&self, build: &Build<'_>) -> Result<Compiled, StageError> {
                match self {
                    $(Kind::$variant(options) => options.compile(build),)*
                }
            }

            fn write<S: SerializeMap>(&self, map: &mut S) -> Result<(), S::Error> {
                match self {
                    $(Kind::$variant(options) => map.serialize_entry($name, options),)*
                }
            }
        }
    };
}

stages! {
    Cri: "cri" => cri::Cri,
    Decolorize: "decolorize" => decolorize::Decolorize,
    Docker: "docker" => docker::Docker,
    Drop: "drop" => dropping::Drop,
    EventLogMessage: "eventlogmessage" => eventlogmessage::EventLogMessage,
    Geoip: "geoip" => geoip::Geoip,
    Json: "json" => json::Json,
    LabelAllow: "labelallow" => label_lists::LabelAllow,
    LabelDrop: "labeldrop" => label_lists::LabelDrop,
    Labels: "labels" => labels::Labels,
    Limit: "limit" => limit::Limit,
    Logfmt: "logfmt" => logfmt::Logfmt,
    Match: "match" => matching::Match,
    Metrics: "metrics" => metrics::Metrics,
    Multiline: "multiline" => multiline::Multiline,
    Output: "output" => output::Output,
    Pack: "pack" => pack::Pack,
    Regex: "regex" => regex::RegexOptions,
    Replace: "replace" => replace::Replace,
    Sampling: "sampling" => sampling::Sampling,
    StaticLabels: "static_labels" => static_labels::StaticLabels,
    StructuredMetadata: "structured_metadata" or "non_indexed_labels" => structured_metadata::StructuredMetadata,
    Template: "template" => template::TemplateOptions,
    Tenant: "tenant" => tenant::Tenant,
    Timestamp: "timestamp" => timestamp::TimestampOptions,
}

impl StageConfig {
    /// Name of the stage.
    pub fn name(&self) -> &'static str {
        self.0.name()
    }

    pub(crate) fn compile(&self, build: &Build<'_>) -> Result<Compiled, StageError> {
        self.0.compile(build)
    }
}

impl<'de> Deserialize<'de> for StageConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OneStage)
    }
}

impl Serialize for StageConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        self.0.write(&mut map)?;
        map.end()
    }
}

struct OneStage;

impl<'de> Visitor<'de> for OneStage {
    type Value = StageConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map from the name of one stage to its options")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<StageConfig, A::Error> {
        let name: String = map.next_key()?.ok_or_else(|| A::Error::custom("a stage has no name"))?;
        let stage = Kind::read(&name, &mut map)?.ok_or_else(|| A::Error::custom(format_args!("unknown stage type: {name:?}")))?;
        match map.next_key::<String>()? {
            None => Ok(StageConfig(stage)),
            Some(second) => {
                Err(A::Error::custom(format_args!("one stage has two names, {name:?} and {second:?}: each needs its own \"- \"")))
            }
        }
    }
}

/// For an option that may be there without a value: reads nothing as the default.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
