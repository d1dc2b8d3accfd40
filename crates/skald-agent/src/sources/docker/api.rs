//! What an engine answers, as far as it is looked at.

use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// An item of the list of containers.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Container {
    pub id: String,
    #[serde(deserialize_with = "or_default")]
    pub names: Vec<String>,
    pub image: String,
    #[serde(rename = "ImageID")]
    pub image_id: String,
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    /// `running`, `exited` and others.
    #[serde(deserialize_with = "or_default")]
    pub state: String,
    #[serde(deserialize_with = "or_default")]
    pub host_config: HostConfig,
    #[serde(deserialize_with = "or_default")]
    pub network_settings: NetworkSettings,
    #[serde(deserialize_with = "or_default")]
    pub ports: Vec<Port>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct HostConfig {
    pub network_mode: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct NetworkSettings {
    /// By name.
    #[serde(deserialize_with = "or_default")]
    pub networks: BTreeMap<String, Endpoint>,
}

/// A container's end of a network.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Endpoint {
    #[serde(rename = "NetworkID")]
    pub network_id: String,
    #[serde(rename = "IPAddress")]
    pub ip: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Port {
    #[serde(rename = "IP")]
    pub ip: String,
    #[serde(rename = "PrivatePort")]
    pub private: u16,
    #[serde(rename = "PublicPort")]
    pub public: u16,
    #[serde(rename = "Type")]
    pub protocol: String,
}

/// An item of the list of networks.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Network {
    pub id: String,
    pub name: String,
    pub scope: String,
    pub ingress: bool,
    pub internal: bool,
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
}

/// One container in detail.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Detail {
    pub config: DetailConfig,
    pub state: DetailState,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct DetailConfig {
    pub tty: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct DetailState {
    pub running: bool,
}

/// An event: a container has started.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Event {
    pub actor: Actor,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Actor {
    #[serde(rename = "ID")]
    pub id: String,
}

impl Container {
    /// Whether more may be written than there is.
    pub(super) fn is_running(&self) -> bool {
        matches!(self.state.as_str(), "running" | "restarting" | "paused")
    }
}

fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
