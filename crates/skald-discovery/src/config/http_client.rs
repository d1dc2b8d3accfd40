//! The keys that say how a server is spoken to.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize, Serializer};

use super::null_as_default;

/// Text that neither prints nor serializes: both show `<secret>`.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from being shown.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text itself, for the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("<secret>")
    }
}

/// `basic_auth`: user and password, each in the configuration or in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BasicAuth {
    /// The user.
    pub username: Option<String>,
    /// File that holds the user.
    pub username_file: Option<PathBuf>,
    /// The password.
    pub password: Option<Secret>,
    /// File that holds the password.
    pub password_file: Option<PathBuf>,
}

/// `authorization`: what the header of that name says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Authorization {
    /// The scheme; none means `Bearer`.
    #[serde(rename = "type")]
    pub scheme: Option<String>,
    /// What stands behind the scheme.
    pub credentials: Option<Secret>,
    /// File that holds what stands behind the scheme.
    pub credentials_file: Option<PathBuf>,
}

/// `oauth2`: a token is asked for with a client's credentials.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Oauth2 {
    /// The client.
    #[serde(deserialize_with = "null_as_default")]
    pub client_id: String,
    /// Its secret.
    pub client_secret: Option<Secret>,
    /// File that holds its secret.
    pub client_secret_file: Option<PathBuf>,
    /// Where tokens are asked for.
    #[serde(deserialize_with = "null_as_default")]
    pub token_url: String,
    /// Scopes to ask for.
    #[serde(deserialize_with = "null_as_default")]
    pub scopes: Vec<String>,
    /// More parameters of the request.
    #[serde(deserialize_with = "null_as_default")]
    pub endpoint_params: BTreeMap<String, String>,
    /// TLS towards the server of tokens.
    pub tls_config: Option<TlsConfig>,
    /// Proxy towards the server of tokens.
    pub proxy_url: Option<String>,
    /// Hosts that are asked without the proxy.
    pub no_proxy: Option<String>,
    /// Take the proxy from the environment.
    #[serde(deserialize_with = "null_as_default")]
    pub proxy_from_environment: bool,
    /// Headers for the proxy's CONNECT.
    #[serde(deserialize_with = "null_as_default")]
    pub proxy_connect_header: BTreeMap<String, Vec<Secret>>,
}

/// `tls_config`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// Certificates (PEM) that the server's must lead to; none means those of the system.
    pub ca: Option<String>,
    /// File that holds them.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate (PEM).
    pub cert: Option<String>,
    /// File that holds our own certificate.
    pub cert_file: Option<PathBuf>,
    /// Its key (PEM).
    pub key: Option<Secret>,
    /// File that holds its key.
    pub key_file: Option<PathBuf>,
    /// Name that the server's certificate must be for, instead of the one in the URL.
    pub server_name: Option<String>,
    /// Take any certificate.
    #[serde(deserialize_with = "null_as_default")]
    pub insecure_skip_verify: bool,
    /// Oldest version of TLS to speak.
    pub min_version: Option<TlsVersion>,
    /// Newest version of TLS to speak.
    pub max_version: Option<TlsVersion>,
}

/// A version of TLS. Ours speaks 1.2 and 1.3; the older ones stand for "no limit" below, and for a contradiction above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TlsVersion {
    /// 1.0
    #[serde(rename = "TLS10")]
    Tls10,
    /// 1.1
    #[serde(rename = "TLS11")]
    Tls11,
    /// 1.2
    #[serde(rename = "TLS12")]
    Tls12,
    /// 1.3
    #[serde(rename = "TLS13")]
    Tls13,
}

/// Values of one header of `http_headers`; all are sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeaderValues {
    /// Values.
    #[serde(deserialize_with = "null_as_default")]
    pub values: Vec<String>,
    /// Values that are not shown.
    #[serde(deserialize_with = "null_as_default")]
    pub secrets: Vec<Secret>,
    /// Files that hold a value each.
    #[serde(deserialize_with = "null_as_default")]
    pub files: Vec<PathBuf>,
}
