//! Settings of one client: an item of `clients`.

mod check;
mod secret;

pub use secret::{HiddenUrl, SecretHeaders};

use crate::config::settings::{Hidden, Names, Period, settings};
use serde::{Deserialize, Serialize};
use skald_config::ByteSize;
use skald_model::quote;
use std::collections::BTreeMap;
use std::fmt::Write;
use xxhash_rust::xxh3::xxh3_64;

settings! {
    /// An item of `clients`: where batches go, and how.
    pub struct ClientConfig {
        /// What the client is called in metrics, logs and positions; see [`ClientConfig::id`].
        pub name: Option<String> = None,
        /// The whole address of the push endpoint. A user and a password in it are sent as basic authentication.
        pub url: HiddenUrl = HiddenUrl::default(),
        /// `X-Scope-OrgID` of batches whose entries name no tenant; empty sends no such header.
        pub tenant_id: String = String::new(),
        /// Longest that an entry waits for others.
        pub batchwait: Period = Period::seconds(1),
        /// Bytes of lines and metadata at which a batch is full.
        pub batchsize: ByteSize = ByteSize::mib(1),
        /// Headers of every request. Those that the client itself sets win.
        pub headers: SecretHeaders = SecretHeaders::default(),
        /// Longest that a request may take, answer included.
        pub timeout: Period = Period::seconds(10),
        /// How long a batch that was not taken waits for another try.
        pub backoff_config: BackoffConfig = BackoffConfig::default(),
        /// Whether a batch that is refused by rate (429) is dropped at once.
        pub drop_rate_limited_batches: bool = false,
        /// Labels of every stream. A label of the entry itself wins.
        pub external_labels: Names = Names::default(),
        /// User and password.
        pub basic_auth: Option<BasicAuthConfig> = None,
        /// A type and a credential.
        pub authorization: Option<AuthorizationConfig> = None,
        /// A bearer token.
        pub bearer_token: Option<Hidden> = None,
        /// A file with a bearer token.
        pub bearer_token_file: Option<String> = None,
        /// Tokens of an OAuth 2.0 server.
        pub oauth2: Option<OAuth2Config> = None,
        /// Certificates.
        pub tls_config: TlsConfig = TlsConfig::default(),
        /// The proxy that requests go through.
        pub proxy_url: Option<HiddenUrl> = None,
        /// Hosts, domains and networks that are reached without it, separated by commas.
        pub no_proxy: Option<String> = None,
        /// Whether the variables `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` say which proxy.
        pub proxy_from_environment: bool = false,
        /// Headers that the proxy alone sees.
        pub proxy_connect_header: ProxyHeaders = ProxyHeaders::default(),
        /// Whether redirects are followed.
        pub follow_redirects: bool = true,
        /// Accepted; requests are HTTP/1.1.
        pub enable_http2: bool = true,
        /// Headers of every request, with their values in several forms.
        pub http_headers: BTreeMap<String, HttpHeaderConfig> = BTreeMap::new(),
    }
}

settings! {
    /// `backoff_config`: waits double from the shortest to the longest, with jitter.
    pub struct BackoffConfig {
        /// First wait.
        pub min_period: Period = Period::milliseconds(500),
        /// Longest wait.
        pub max_period: Period = Period::seconds(300),
        /// After how many waits a batch is dropped; 0, and nothing written, is never.
        pub max_retries: Option<u32> = None,
    }
}

settings! {
    /// `basic_auth`.
    pub struct BasicAuthConfig {
        /// The user.
        pub username: Option<String> = None,
        /// A file with the user.
        pub username_file: Option<String> = None,
        /// The password.
        pub password: Option<Hidden> = None,
        /// A file with the password.
        pub password_file: Option<String> = None,
    }
}

settings! {
    /// `authorization`.
    pub struct AuthorizationConfig {
        /// First word of the header.
        #[serde(rename = "type")]
        pub kind: String = "Bearer".to_owned(),
        /// The rest of it.
        pub credentials: Option<Hidden> = None,
        /// A file with the rest of it.
        pub credentials_file: Option<String> = None,
    }
}

settings! {
    /// `oauth2`: the grant of client credentials.
    pub struct OAuth2Config {
        /// Who asks for a token.
        pub client_id: String = String::new(),
        /// What it proves that with.
        pub client_secret: Option<Hidden> = None,
        /// A file with that.
        pub client_secret_file: Option<String> = None,
        /// Where tokens are given.
        pub token_url: HiddenUrl = HiddenUrl::default(),
        /// What is asked for.
        pub scopes: Vec<String> = Vec::new(),
        /// Further parameters of the request for a token.
        pub endpoint_params: Names = Names::default(),
        /// Certificates.
        pub tls_config: TlsConfig = TlsConfig::default(),
        /// The proxy that requests for tokens go through.
        pub proxy_url: Option<HiddenUrl> = None,
        /// What is reached without it.
        pub no_proxy: Option<String> = None,
        /// Whether the environment says which proxy.
        pub proxy_from_environment: bool = false,
        /// Headers that the proxy alone sees.
        pub proxy_connect_header: ProxyHeaders = ProxyHeaders::default(),
    }
}

settings! {
    /// `tls_config` of a client.
    pub struct TlsConfig {
        /// Certificates of the authorities that are trusted, as PEM; else those of the system.
        pub ca: Option<String> = None,
        /// A file with them.
        pub ca_file: Option<String> = None,
        /// Our certificate, as PEM.
        pub cert: Option<String> = None,
        /// A file with it.
        pub cert_file: Option<String> = None,
        /// Its key, as PEM.
        pub key: Option<Hidden> = None,
        /// A file with it.
        pub key_file: Option<String> = None,
        /// The name that the server's certificate must have; else the host of the address.
        pub server_name: Option<String> = None,
        /// Whether any certificate will do.
        pub insecure_skip_verify: bool = false,
        /// Lowest version of TLS: `TLS12` or `TLS13`; older ones are not spoken.
        pub min_version: Option<String> = None,
        /// Highest version of TLS.
        pub max_version: Option<String> = None,
    }
}

settings! {
    /// An item of `http_headers`.
    pub struct HttpHeaderConfig {
        /// Values.
        pub values: Vec<String> = Vec::new(),
        /// Values that are not shown.
        pub secrets: Vec<Hidden> = Vec::new(),
        /// Files with values.
        pub files: Vec<String> = Vec::new(),
    }
}

/// `proxy_connect_header`: values of each header.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProxyHeaders(pub BTreeMap<String, Vec<Hidden>>);

impl ClientConfig {
    /// The name, or six hex digits that address, user, tenant and external labels decide. It stays the same while passwords, tokens and limits change, so
    /// that what the spool knows of the client stays its own.
    pub fn id(&self) -> String {
        if let Some(name) = self.name.as_ref().filter(|name| !name.is_empty()) {
            return name.clone();
        }
        let mut identity = String::new();
        quote(&mut identity, &self.url.to_string());
        quote(&mut identity, &self.tenant_id);
        for (name, value) in &self.external_labels.0 {
            write!(identity, ",{name}=").expect("writing to a string succeeds");
            quote(&mut identity, value);
        }
        format!("{:06x}", xxh3_64(identity.as_bytes()) >> 40)
    }
}

#[cfg(test)]
mod tests;
