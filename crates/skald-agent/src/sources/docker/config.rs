use crate::config::settings::{Hidden, Period, settings};
use crate::delivery::config::{AuthorizationConfig, BasicAuthConfig, ClientConfig, HiddenUrl, HttpHeaderConfig};
use crate::delivery::config::{OAuth2Config, ProxyHeaders, TlsConfig};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Port of an engine whose address names none.
const ENGINE_PORT: u16 = 2375;

settings! {
    /// An item of `docker_sd_configs`: an engine whose containers are read.
    pub struct DockerSdConfig {
        /// Address of the engine: `unix:///var/run/docker.sock`, `tcp://host:2375`, `https://host`.
        pub host: String = String::new(),
        /// Port in `__address__` of a container that exposes none.
        pub port: u16 = 80,
        /// Host in `__address__` of a container that uses the network of its host.
        pub host_networking_host: String = "localhost".to_owned(),
        /// Whether a container in several networks has the labels of the first alone.
        pub match_first_network: bool = true,
        /// Which containers the engine lists.
        pub filters: Vec<DockerFilter> = Vec::new(),
        /// How often the containers are listed, beside each time that one starts.
        pub refresh_interval: Period = Period::seconds(60),
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
        /// Certificates. Where any are given, `tcp://` is spoken with TLS.
        pub tls_config: TlsConfig = TlsConfig::default(),
        /// The proxy that requests go through.
        pub proxy_url: Option<HiddenUrl> = None,
        /// What is reached without it.
        pub no_proxy: Option<String> = None,
        /// Whether the environment says which proxy.
        pub proxy_from_environment: bool = false,
        /// Headers that the proxy alone sees.
        pub proxy_connect_header: ProxyHeaders = ProxyHeaders::default(),
        /// Accepted; engines do not redirect.
        pub follow_redirects: bool = true,
        /// Accepted; requests are HTTP/1.1.
        pub enable_http2: bool = true,
        /// Headers of every request.
        pub http_headers: BTreeMap<String, HttpHeaderConfig> = BTreeMap::new(),
    }
}

settings! {
    /// An item of `filters`, as the engine's API has them.
    pub struct DockerFilter {
        /// What is looked at: `name`, `label`, `status`.
        pub name: String = String::new(),
        /// One of which it must be.
        pub values: Vec<String> = Vec::new(),
    }
}

impl DockerSdConfig {
    /// What is wrong with it, each with the key.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.host.is_empty() {
            problems.push("host is missing".to_owned());
        } else if self.address().is_none() {
            problems.push(format!("host \"{}\" is not an address such as unix:///var/run/docker.sock or tcp://host:2375", self.host));
        }
        if self.refresh_interval.0.is_zero() {
            problems.push("refresh_interval must be above 0".to_owned());
        }
        if self.filters.iter().any(|filter| filter.name.is_empty()) {
            problems.push("filters: a filter needs a name".to_owned());
        }
        if !self.host.is_empty() {
            problems.extend(self.client().problems());
        }
        problems
    }

    /// How the engine is spoken to, in the words of clients.
    pub(super) fn client(&self) -> ClientConfig {
        ClientConfig {
            url: HiddenUrl(self.address().map_or_else(|| "http://docker".to_owned(), |(url, _)| url)),
            basic_auth: self.basic_auth.clone(),
            authorization: self.authorization.clone(),
            bearer_token: self.bearer_token.clone(),
            bearer_token_file: self.bearer_token_file.clone(),
            oauth2: self.oauth2.clone(),
            tls_config: self.tls_config.clone(),
            proxy_url: self.proxy_url.clone(),
            no_proxy: self.no_proxy.clone(),
            proxy_from_environment: self.proxy_from_environment,
            proxy_connect_header: self.proxy_connect_header.clone(),
            http_headers: self.http_headers.clone(),
            ..ClientConfig::default()
        }
    }

    /// The socket that the engine listens on, if it is one of this machine.
    pub(super) fn socket(&self) -> Option<PathBuf> {
        self.address().and_then(|(_, socket)| socket)
    }

    /// The filters as the engine wants them.
    pub(super) fn filters(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut filters: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for filter in &self.filters {
            filters.entry(&filter.name).or_default().extend(filter.values.iter().map(String::as_str));
        }
        filters
    }

    fn address(&self) -> Option<(String, Option<PathBuf>)> {
        match self.host.split_once("://")? {
            ("unix", path) => path.starts_with('/').then(|| ("http://docker".to_owned(), Some(path.into()))),
            ("tcp", host) if !host.is_empty() => {
                let scheme = if self.tls_config == TlsConfig::default() { "http" } else { "https" };
                let host = host.trim_end_matches('/');
                let has_port = host.rsplit(']').next().is_some_and(|end| end.contains(':'));
                Some((if has_port { format!("{scheme}://{host}") } else { format!("{scheme}://{host}:{ENGINE_PORT}") }, None))
            }
            ("http" | "https", host) if !host.is_empty() => Some((self.host.clone(), None)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> DockerSdConfig {
        serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[track_caller]
    fn check(text: &str, url: &str, socket: Option<&str>) {
        let config = config(text);
        assert_eq!(config.problems(), [""; 0], "{text}");
        assert_eq!((config.client().url.0.as_str(), config.socket()), (url, socket.map(PathBuf::from)), "{text}");
    }

    #[test]
    fn an_engine_is_a_socket_or_a_host() {
        check("host: unix:///run/docker.sock", "http://docker", Some("/run/docker.sock"));
        check("host: tcp://h:1234/", "http://h:1234", None);
        check("host: tcp://[::1]", "http://[::1]:2375", None);
        check("{host: 'tcp://h:2376', tls_config: {insecure_skip_verify: true}}", "https://h:2376", None);
        check("host: https://h/docker", "https://h/docker", None);
    }

    #[test]
    fn what_cannot_be_used_is_told() {
        let first = |text: &str| config(text).problems().into_iter().next().unwrap_or_default();
        assert_eq!(first("port: 81"), "host is missing");
        for host in ["npipe:////./pipe/docker_engine", "unix://relative", "tcp://", "docker.sock"] {
            assert!(first(&format!("host: '{host}'")).starts_with(&format!("host \"{host}\" is not an address")), "{host}");
        }
        assert_eq!(first("{host: 'tcp://h', refresh_interval: 0s}"), "refresh_interval must be above 0");
        assert_eq!(first("{host: 'tcp://h', filters: [{values: [a]}]}"), "filters: a filter needs a name");
        let both = "{host: 'tcp://h', basic_auth: {username: a}, bearer_token: b}";
        assert!(first(both).starts_with("at most one of basic_auth"), "{}", first(both));
    }

    #[test]
    fn filters_of_one_name_are_one_for_the_engine() {
        let config = config("{filters: [{name: label, values: [a, b]}, {name: name, values: [x]}, {name: label, values: [c]}]}");
        assert_eq!(serde_json::to_string(&config.filters()).unwrap(), r#"{"label":["a","b","c"],"name":["x"]}"#);
    }
}
