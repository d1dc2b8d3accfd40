//! The blocks of a configuration file that say where targets come from, by Prometheus' names and defaults.
//!
//! Unknown keys are refused; a key without a value has its default. Secrets neither print nor serialize.

mod http_client;
mod kubernetes;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use http_client::{Authorization, BasicAuth, HeaderValues, Oauth2, Secret, TlsConfig, TlsVersion};
pub use kubernetes::{AttachMetadata, InvalidKubernetesSd, KubernetesSdConfig, Namespaces, Role, Selector};

/// One list of `static_configs`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StaticConfig {
    /// `__address__` of each target; none means `localhost`.
    #[serde(deserialize_with = "null_as_default")]
    pub targets: Vec<String>,
    /// Labels of all its targets.
    #[serde(deserialize_with = "null_as_default")]
    pub labels: BTreeMap<String, String>,
}

/// One item of `file_sd_configs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileSdConfig {
    /// Patterns of files that hold lists of targets; each ends in `.json`, `.yml` or `.yaml`.
    #[serde(deserialize_with = "null_as_default")]
    pub files: Vec<String>,
    /// How often the files are read again, whether they seem to have changed or not.
    #[serde(with = "go_duration")]
    pub refresh_interval: Duration,
}

impl Default for FileSdConfig {
    fn default() -> Self {
        FileSdConfig { files: Vec::new(), refresh_interval: Duration::from_secs(300) }
    }
}

/// For a key that may stand without a value.
pub(crate) fn null_as_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Durations as text: `5m`, `1h30m`, `1d`.
mod go_duration {
    use super::*;

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        skald_config::parse_duration(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("'{text}' is not a duration such as 5m or 1h30m")))
    }

    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&skald_config::format_duration(*duration))
    }
}
