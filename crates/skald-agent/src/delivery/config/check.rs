use super::{BasicAuthConfig, ClientConfig, HiddenUrl, OAuth2Config, TlsConfig};
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use std::fmt::Display;

/// Versions of TLS by their names in the configuration, oldest first.
const TLS_VERSIONS: [&str; 4] = ["TLS10", "TLS11", "TLS12", "TLS13"];

impl ClientConfig {
    /// All that is wrong with the settings, each as a sentence that names its key.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Problems::default();
        problems.url("url", &self.url, &["http", "https"]);
        problems.holds(!self.timeout.0.is_zero(), "timeout must be above 0");
        problems.holds(self.batchsize.0 > 0, "batchsize must be above 0");
        let backoff = &self.backoff_config;
        problems.holds(!backoff.min_period.0.is_zero(), "backoff_config.min_period must be above 0");
        problems.holds(backoff.min_period <= backoff.max_period, "backoff_config.min_period is longer than backoff_config.max_period");
        problems.holds(header_value(&self.tenant_id), "tenant_id holds what a header cannot");
        for (name, value) in &self.headers.0 {
            problems.header("headers", name, [&*value.0]);
        }
        for (name, header) in &self.http_headers {
            problems.header("http_headers", name, header.values.iter().map(|v| &**v).chain(header.secrets.iter().map(|v| &*v.0)));
        }
        self.check_authentication(&mut problems);
        problems.proxy("", self.proxy_url.as_ref(), self.proxy_from_environment, &self.no_proxy, &self.proxy_connect_header);
        problems.tls("tls_config", &self.tls_config);
        problems.renamed("", self.proxy_url.is_some() || self.proxy_from_environment, &self.tls_config);
        problems.0
    }

    fn check_authentication(&self, problems: &mut Problems) {
        let ways = [
            self.basic_auth.is_some(),
            self.authorization.is_some(),
            self.bearer_token.is_some() || self.bearer_token_file.is_some(),
            self.oauth2.is_some(),
        ];
        let given = ways.iter().filter(|given| **given).count();
        problems.holds(given <= 1, "at most one of basic_auth, authorization, bearer_token(_file) and oauth2 may be given");
        problems.one_of("bearer_token", &self.bearer_token, &self.bearer_token_file);
        if let Some(basic) = &self.basic_auth {
            basic.check(problems);
        }
        if let Some(authorization) = &self.authorization {
            problems.one_of("authorization.credentials", &authorization.credentials, &authorization.credentials_file);
            problems.holds(header_value(&authorization.kind), "authorization.type holds what a header cannot");
            let basic = authorization.kind.trim().eq_ignore_ascii_case("basic");
            problems.holds(!basic, "authorization.type cannot be basic; use basic_auth");
        }
        if let Some(oauth2) = &self.oauth2 {
            oauth2.check(problems);
        }
    }
}

impl BasicAuthConfig {
    fn check(&self, problems: &mut Problems) {
        problems.one_of("basic_auth.username", &self.username, &self.username_file);
        problems.one_of("basic_auth.password", &self.password, &self.password_file);
    }
}

impl OAuth2Config {
    fn check(&self, problems: &mut Problems) {
        problems.holds(!self.client_id.is_empty(), "oauth2.client_id is missing");
        problems.holds(self.client_secret.is_some() || self.client_secret_file.is_some(), "oauth2.client_secret is missing");
        problems.one_of("oauth2.client_secret", &self.client_secret, &self.client_secret_file);
        problems.url("oauth2.token_url", &self.token_url, &["http", "https"]);
        problems.proxy("oauth2.", self.proxy_url.as_ref(), self.proxy_from_environment, &self.no_proxy, &self.proxy_connect_header);
        problems.tls("oauth2.tls_config", &self.tls_config);
        problems.renamed("oauth2.", self.proxy_url.is_some() || self.proxy_from_environment, &self.tls_config);
    }
}

#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn holds(&mut self, holds: bool, problem: impl Display) {
        if !holds {
            self.0.push(problem.to_string());
        }
    }

    fn one_of<T>(&mut self, key: &str, value: &Option<T>, file: &Option<String>) {
        self.holds(value.is_none() || file.is_none(), format!("at most one of {key} and {key}_file may be given"));
    }

    fn url(&mut self, key: &str, url: &HiddenUrl, schemes: &[&str]) {
        if url.0.is_empty() {
            return self.0.push(format!("{key} is missing"));
        }
        match Url::parse(&url.0) {
            Ok(parsed) if schemes.contains(&parsed.scheme()) && parsed.has_host() => {}
            Ok(_) => self.0.push(format!("{key} \"{url}\" is not an address of the kind {}://host", schemes.join(":// or "))),
            Err(error) => self.0.push(format!("{key} \"{url}\" is not an address: {error}")),
        }
    }

    fn header<'a>(&mut self, key: &str, name: &str, values: impl IntoIterator<Item = &'a str>) {
        self.holds(HeaderName::from_bytes(name.as_bytes()).is_ok(), format!("{key}: \"{name}\" is not the name of a header"));
        self.holds(values.into_iter().all(header_value), format!("{key}: the value of \"{name}\" holds what a header cannot"));
    }

    fn proxy(
        &mut self,
        prefix: &str,
        url: Option<&HiddenUrl>,
        from_environment: bool,
        no_proxy: &Option<String>,
        headers: &super::ProxyHeaders,
    ) {
        if let Some(url) = url {
            self.url(&format!("{prefix}proxy_url"), url, &["http", "https", "socks5", "socks5h"]);
            self.holds(!from_environment, format!("at most one of {prefix}proxy_url and {prefix}proxy_from_environment may be given"));
        }
        self.holds(no_proxy.is_none() || url.is_some(), format!("{prefix}no_proxy needs {prefix}proxy_url"));
        for (name, values) in &headers.0 {
            self.header(&format!("{prefix}proxy_connect_header"), name, values.iter().map(|value| &*value.0));
        }
    }

    /// A proxy is told the host of the address, which is then the name that the server has for TLS.
    fn renamed(&mut self, prefix: &str, proxied: bool, tls: &TlsConfig) {
        self.holds(!proxied || tls.server_name.is_none(), format!("{prefix}tls_config.server_name does not go together with a proxy"));
    }

    fn tls(&mut self, key: &str, tls: &TlsConfig) {
        self.one_of(&format!("{key}.ca"), &tls.ca, &tls.ca_file);
        self.one_of(&format!("{key}.cert"), &tls.cert, &tls.cert_file);
        self.one_of(&format!("{key}.key"), &tls.key, &tls.key_file);
        let (has_cert, has_key) = (tls.cert.is_some() || tls.cert_file.is_some(), tls.key.is_some() || tls.key_file.is_some());
        self.holds(has_cert == has_key, format!("{key}: a certificate and its key go together"));
        let [min, max] = [("min_version", &tls.min_version), ("max_version", &tls.max_version)].map(|(name, version)| {
            let rank = version.as_ref().map(|version| TLS_VERSIONS.iter().position(|known| known == version));
            self.holds(rank != Some(None), format!("{key}.{name} is none of {}", TLS_VERSIONS.join(", ")));
            rank.flatten()
        });
        self.holds(max.is_none_or(|max| max >= 2), format!("{key}.max_version: TLS 1.2 is the oldest that is spoken"));
        self.holds(max.is_none_or(|max| min.is_none_or(|min| min <= max)), format!("{key}: min_version is above max_version"));
        self.holds(tls.server_name.as_ref().is_none_or(|name| server_name(name)), format!("{key}.server_name is not the name of a host"));
    }
}

fn header_value(text: &str) -> bool {
    HeaderValue::from_str(text).is_ok()
}

fn server_name(name: &str) -> bool {
    rustls::pki_types::ServerName::try_from(name).is_ok()
}
