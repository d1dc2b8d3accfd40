//! `kubernetes_sd_configs`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use skald_model::ErrorKind;

use super::{Authorization, BasicAuth, HeaderValues, Oauth2, Secret, TlsConfig, TlsVersion, null_as_default};

/// One item of `kubernetes_sd_configs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KubernetesSdConfig {
    /// What becomes a target.
    pub role: Role,
    /// URL of the API server; none means the one of the cluster that this process runs in.
    #[serde(default)]
    pub api_server: Option<String>,
    /// A kubeconfig file that says where the server is and how to speak to it.
    #[serde(default)]
    pub kubeconfig_file: Option<PathBuf>,
    /// Namespaces to look into; none means all.
    #[serde(default, deserialize_with = "null_as_default")]
    pub namespaces: Namespaces,
    /// Which objects of a kind are looked at, one for each kind.
    #[serde(default, deserialize_with = "null_as_default")]
    pub selectors: Vec<Selector>,
    /// Labels of further objects that targets shall carry.
    #[serde(default, deserialize_with = "null_as_default")]
    pub attach_metadata: AttachMetadata,
    /// User and password.
    #[serde(default)]
    pub basic_auth: Option<BasicAuth>,
    /// The header Authorization.
    #[serde(default)]
    pub authorization: Option<Authorization>,
    /// Older spelling of `authorization.credentials`.
    #[serde(default)]
    pub bearer_token: Option<Secret>,
    /// Older spelling of `authorization.credentials_file`.
    #[serde(default)]
    pub bearer_token_file: Option<PathBuf>,
    /// Refused: the API server is not asked with such tokens.
    #[serde(default)]
    pub oauth2: Option<Oauth2>,
    /// TLS towards the API server.
    #[serde(default)]
    pub tls_config: Option<TlsConfig>,
    /// Refused: the API server is asked directly.
    #[serde(default)]
    pub proxy_url: Option<String>,
    /// Without a proxy this means nothing.
    #[serde(default)]
    pub no_proxy: Option<String>,
    /// Refused when true, as `proxy_url`.
    #[serde(default, deserialize_with = "null_as_default")]
    pub proxy_from_environment: bool,
    /// Without a proxy this means nothing.
    #[serde(default, deserialize_with = "null_as_default")]
    pub proxy_connect_header: BTreeMap<String, Vec<Secret>>,
    /// Taken and without effect: the API server does not redirect.
    #[serde(default)]
    pub follow_redirects: Option<bool>,
    /// Taken and without effect: HTTP/1.1 is spoken.
    #[serde(default)]
    pub enable_http2: Option<bool>,
    /// More headers of each request.
    #[serde(default, deserialize_with = "null_as_default")]
    pub http_headers: BTreeMap<String, HeaderValues>,
}

/// What becomes a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Each node.
    Node,
    /// Each port of each service.
    Service,
    /// Each port of each container.
    Pod,
    /// Each address and port of an Endpoints object.
    Endpoints,
    /// Each address and port of an EndpointSlice.
    EndpointSlice,
    /// Each path of an ingress.
    Ingress,
}

impl Role {
    /// Its name in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Service => "service",
            Self::Pod => "pod",
            Self::Endpoints => "endpoints",
            Self::EndpointSlice => "endpointslice",
            Self::Ingress => "ingress",
        }
    }

    /// Kinds of objects that this role looks at, and selectors may therefore name.
    fn looks_at(self) -> &'static [Role] {
        match self {
            Self::Pod => &[Self::Pod, Self::Node],
            Self::Endpoints => &[Self::Endpoints, Self::Service, Self::Pod, Self::Node],
            Self::EndpointSlice => &[Self::EndpointSlice, Self::Service, Self::Pod, Self::Node],
            Self::Node => &[Self::Node],
            Self::Service => &[Self::Service],
            Self::Ingress => &[Self::Ingress],
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Namespaces to look into.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Namespaces {
    /// Their names; none means all, unless the own one is asked for.
    #[serde(deserialize_with = "null_as_default")]
    pub names: Vec<String>,
    /// Add the namespace that this process runs in; inside a cluster alone.
    #[serde(deserialize_with = "null_as_default")]
    pub own_namespace: bool,
}

/// Which objects of one kind are looked at. Both texts are in the API server's syntax.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selector {
    /// The kind.
    pub role: Role,
    /// By labels.
    #[serde(default)]
    pub label: Option<String>,
    /// By fields.
    #[serde(default)]
    pub field: Option<String>,
}

/// Labels of further objects that targets shall carry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AttachMetadata {
    /// Those of the node (roles pod, endpoints and endpointslice).
    #[serde(deserialize_with = "null_as_default")]
    pub node: bool,
    /// Those of the namespace (all roles but node).
    #[serde(deserialize_with = "null_as_default")]
    pub namespace: bool,
    /// The deployment behind a pod's replica set, by the names that deployments give.
    #[serde(deserialize_with = "null_as_default")]
    pub deployment: bool,
    /// The job behind a pod.
    #[serde(deserialize_with = "null_as_default")]
    pub job: bool,
    /// The cron job behind a pod's job, by the names that cron jobs give.
    #[serde(deserialize_with = "null_as_default")]
    pub cronjob: bool,
}

/// Why an item of `kubernetes_sd_configs` cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum InvalidKubernetesSd {
    #[error("cannot use 'kubeconfig_file' and 'api_server' simultaneously")]
    TwoServers,
    #[error("'{key}' cannot be used with 'kubeconfig_file': that file says how the server is spoken to")]
    BesideKubeconfig { key: &'static str },
    #[error("'{key}' needs 'api_server': inside a cluster the service account is used")]
    WithoutServer { key: &'static str },
    #[error("'namespaces.own_namespace' cannot be used with '{key}': it is the namespace of the cluster that this process runs in")]
    OwnNamespaceElsewhere { key: &'static str },
    #[error("api_server '{url}' is not an http or https URL")]
    ServerUrl { url: String },
    #[error("only one of {first} and {second} can be used")]
    TwoCredentials { first: &'static str, second: &'static str },
    #[error("authorization type cannot be 'basic', use 'basic_auth' instead")]
    BasicType,
    #[error("basic_auth needs a username")]
    NoUser,
    #[error("authorization needs credentials")]
    NoCredentials,
    #[error("tls_config needs both the certificate and its key, or neither")]
    HalfCertificate,
    #[error("role '{role}' does not look at objects of role '{selector}', a selector for these means nothing")]
    SelectorRole { role: Role, selector: Role },
    #[error("there are two selectors for role '{role}'")]
    TwoSelectors { role: Role },
    #[error("'{key}' is not supported for kubernetes_sd_configs")]
    NotSupported { key: &'static str },
}

impl InvalidKubernetesSd {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::TwoServers
            | Self::BesideKubeconfig { .. }
            | Self::WithoutServer { .. }
            | Self::OwnNamespaceElsewhere { .. }
            | Self::ServerUrl { .. }
            | Self::TwoCredentials { .. }
            | Self::BasicType
            | Self::NoUser
            | Self::NoCredentials
            | Self::HalfCertificate
            | Self::SelectorRole { .. }
            | Self::TwoSelectors { .. }
            | Self::NotSupported { .. } => ErrorKind::InvalidInput,
        }
    }
}

impl KubernetesSdConfig {
    /// A configuration of `role` with the default of everything else: the cluster that this process runs in.
    pub fn new(role: Role) -> Self {
        KubernetesSdConfig {
            role,
            api_server: None,
            kubeconfig_file: None,
            namespaces: Namespaces::default(),
            selectors: Vec::new(),
            attach_metadata: AttachMetadata::default(),
            basic_auth: None,
            authorization: None,
            bearer_token: None,
            bearer_token_file: None,
            oauth2: None,
            tls_config: None,
            proxy_url: None,
            no_proxy: None,
            proxy_from_environment: false,
            proxy_connect_header: BTreeMap::new(),
            follow_redirects: None,
            enable_http2: None,
            http_headers: BTreeMap::new(),
        }
    }

    /// Everything that is wrong with it, as far as its own text says.
    pub fn problems(&self) -> Vec<InvalidKubernetesSd> {
        let mut problems = Vec::new();
        self.check_server(&mut problems);
        self.check_credentials(&mut problems);
        self.check_tls(&mut problems);
        self.check_selectors(&mut problems);
        for (key, used) in [
            ("oauth2", self.oauth2.is_some()),
            ("proxy_url", self.proxy_url.is_some()),
            ("proxy_from_environment", self.proxy_from_environment),
        ] {
            if used {
                problems.push(InvalidKubernetesSd::NotSupported { key });
            }
        }
        problems
    }

    /// Keys that say how a server is spoken to, as far as they stand in the configuration.
    fn client_keys(&self) -> impl Iterator<Item = &'static str> + use<> {
        [
            ("basic_auth", self.basic_auth.is_some()),
            ("authorization", self.authorization.is_some()),
            ("bearer_token", self.bearer_token.is_some()),
            ("bearer_token_file", self.bearer_token_file.is_some()),
            ("tls_config", self.tls_config.is_some()),
            ("http_headers", !self.http_headers.is_empty()),
        ]
        .into_iter()
        .filter_map(|(key, used)| used.then_some(key))
    }

    fn check_server(&self, problems: &mut Vec<InvalidKubernetesSd>) {
        match (&self.api_server, &self.kubeconfig_file) {
            (Some(_), Some(_)) => problems.push(InvalidKubernetesSd::TwoServers),
            (None, Some(_)) => problems.extend(self.client_keys().map(|key| InvalidKubernetesSd::BesideKubeconfig { key })),
            (None, None) => problems.extend(self.client_keys().map(|key| InvalidKubernetesSd::WithoutServer { key })),
            (Some(url), None) if !is_http_url(url) => problems.push(InvalidKubernetesSd::ServerUrl { url: url.clone() }),
            (Some(_), None) => {}
        }
        let elsewhere = [("api_server", self.api_server.is_some()), ("kubeconfig_file", self.kubeconfig_file.is_some())];
        if let Some((key, _)) = elsewhere.into_iter().find(|(_, used)| *used && self.namespaces.own_namespace) {
            problems.push(InvalidKubernetesSd::OwnNamespaceElsewhere { key });
        }
    }

    fn check_credentials(&self, problems: &mut Vec<InvalidKubernetesSd>) {
        let basic = self.basic_auth.as_ref();
        let authorization = self.authorization.as_ref();
        let ways = [
            ("basic_auth", basic.is_some()),
            ("authorization", authorization.is_some()),
            ("bearer_token", self.bearer_token.is_some()),
            ("bearer_token_file", self.bearer_token_file.is_some()),
            ("basic_auth.username", basic.is_some_and(|basic| basic.username.is_some())),
            ("basic_auth.username_file", basic.is_some_and(|basic| basic.username_file.is_some())),
            ("basic_auth.password", basic.is_some_and(|basic| basic.password.is_some())),
            ("basic_auth.password_file", basic.is_some_and(|basic| basic.password_file.is_some())),
            ("authorization.credentials", authorization.is_some_and(|value| value.credentials.is_some())),
            ("authorization.credentials_file", authorization.is_some_and(|value| value.credentials_file.is_some())),
        ];
        // The first four exclude one another, and so does each pair of what follows.
        for group in [&ways[..4], &ways[4..6], &ways[6..8], &ways[8..]] {
            let used: Vec<&'static str> = group.iter().filter(|(_, used)| *used).map(|(key, _)| *key).collect();
            if let [first, second, ..] = used[..] {
                problems.push(InvalidKubernetesSd::TwoCredentials { first, second });
            }
        }
        if basic.is_some() && !ways[4].1 && !ways[5].1 {
            problems.push(InvalidKubernetesSd::NoUser);
        }
        if let Some(authorization) = authorization {
            if authorization.scheme.as_deref().is_some_and(|scheme| scheme.trim().eq_ignore_ascii_case("basic")) {
                problems.push(InvalidKubernetesSd::BasicType);
            }
            if !ways[8].1 && !ways[9].1 {
                problems.push(InvalidKubernetesSd::NoCredentials);
            }
        }
    }

    fn check_tls(&self, problems: &mut Vec<InvalidKubernetesSd>) {
        let Some(tls) = &self.tls_config else { return };
        for (key, inline, file) in [
            (("tls_config.ca", "tls_config.ca_file"), tls.ca.is_some(), tls.ca_file.is_some()),
            (("tls_config.cert", "tls_config.cert_file"), tls.cert.is_some(), tls.cert_file.is_some()),
            (("tls_config.key", "tls_config.key_file"), tls.key.is_some(), tls.key_file.is_some()),
        ] {
            if inline && file {
                problems.push(InvalidKubernetesSd::TwoCredentials { first: key.0, second: key.1 });
            }
        }
        if (tls.cert.is_some() || tls.cert_file.is_some()) != (tls.key.is_some() || tls.key_file.is_some()) {
            problems.push(InvalidKubernetesSd::HalfCertificate);
        }
        if tls.min_version == Some(TlsVersion::Tls13) {
            problems.push(InvalidKubernetesSd::NotSupported { key: "tls_config.min_version: TLS13" });
        }
        if tls.max_version.is_some_and(|version| version < TlsVersion::Tls13) {
            problems.push(InvalidKubernetesSd::NotSupported { key: "tls_config.max_version below TLS13" });
        }
    }

    fn check_selectors(&self, problems: &mut Vec<InvalidKubernetesSd>) {
        for (place, selector) in self.selectors.iter().enumerate() {
            if !self.role.looks_at().contains(&selector.role) {
                problems.push(InvalidKubernetesSd::SelectorRole { role: self.role, selector: selector.role });
            }
            if self.selectors[..place].iter().any(|earlier| earlier.role == selector.role) {
                problems.push(InvalidKubernetesSd::TwoSelectors { role: selector.role });
            }
        }
    }
}

fn is_http_url(url: &str) -> bool {
    url.parse::<http::Uri>()
        .is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty()))
}

#[cfg(test)]
mod tests;
