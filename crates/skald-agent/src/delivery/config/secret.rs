use crate::config::settings::Hidden;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// An address that may hold a password, which is never printed.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct HiddenUrl(pub String);

/// The address with `xxxxx` in the place of a password.
impl fmt::Display for HiddenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority_at = self.0.find("://").map_or(0, |at| at + 3);
        let (scheme, rest) = self.0.split_at(authority_at);
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        match authority.rsplit_once('@').map(|(user, host)| (user.split_once(':'), host)) {
            Some((Some((user, _)), host)) => write!(f, "{scheme}{user}:xxxxx@{host}{path}"),
            _ => f.write_str(&self.0),
        }
    }
}

impl fmt::Debug for HiddenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for HiddenUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// `headers`: names and values; values are not printed, for some are keys.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(transparent)]
pub struct SecretHeaders(pub BTreeMap<String, Hidden>);

impl<'de> Deserialize<'de> for SecretHeaders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = BTreeMap::<String, Option<Hidden>>::deserialize(deserializer)?;
        Ok(SecretHeaders(written.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect()))
    }
}
