use super::BuildError;
use super::secret::Files;
use super::tls::{Material, client_config};
use crate::delivery::config::{ClientConfig, HiddenUrl, OAuth2Config, ProxyHeaders, TlsConfig};
use parking_lot::Mutex;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, NoProxy, Proxy, Url, redirect};
use skald_model::seam::{Clock, Seams};
use skald_runtime::chain;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tracing::{info, warn};

/// How often files of certificates are looked at.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(10);
/// How long a connection may be idle.
const IDLE_MAX: Duration = Duration::from_secs(90);
/// Most idle connections to one host.
const IDLE_CONNECTIONS_MAX: usize = 8;

/// What decides how connections are made.
pub(crate) struct ConnectionSettings {
    tls: TlsConfig,
    /// For connecting; and for the whole answer, where that ends.
    timeout: Duration,
    answers_end: bool,
    /// A socket of this machine instead of the host of the address.
    socket: Option<PathBuf>,
    proxy_url: Option<HiddenUrl>,
    no_proxy: Option<String>,
    proxy_from_environment: bool,
    proxy_headers: ProxyHeaders,
}

impl ConnectionSettings {
    pub fn of_client(config: &ClientConfig) -> Self {
        ConnectionSettings {
            tls: config.tls_config.clone(),
            timeout: config.timeout.0,
            answers_end: true,
            socket: None,
            proxy_url: config.proxy_url.clone(),
            no_proxy: config.no_proxy.clone(),
            proxy_from_environment: config.proxy_from_environment,
            proxy_headers: config.proxy_connect_header.clone(),
        }
    }

    /// For answers that come for as long as a server has something to say.
    pub fn of_reader(config: &ClientConfig, socket: Option<PathBuf>) -> Self {
        ConnectionSettings { answers_end: false, socket, ..Self::of_client(config) }
    }

    pub fn of_oauth2(config: &OAuth2Config, timeout: Duration) -> Self {
        ConnectionSettings {
            tls: config.tls_config.clone(),
            timeout,
            answers_end: true,
            socket: None,
            proxy_url: config.proxy_url.clone(),
            no_proxy: config.no_proxy.clone(),
            proxy_from_environment: config.proxy_from_environment,
            proxy_headers: config.proxy_connect_header.clone(),
        }
    }
}

/// The connections of one client, which are made anew when the files of its certificates change.
pub(crate) struct Connection {
    settings: Arc<ConnectionSettings>,
    /// The server's name for TLS, where it is not the host of the address; and that host.
    renamed: Option<(String, String)>,
    files: Files,
    clock: Arc<dyn Clock>,
    current: Mutex<Current>,
}

struct Current {
    client: Client,
    material: Material,
    looked_at: Duration,
}

impl Connection {
    /// Reads certificates; connects nowhere.
    pub async fn open(settings: ConnectionSettings, url: &Url, seams: &Seams, files: Files) -> Result<Self, BuildError> {
        let material = Material::read(&settings.tls, &files).await?;
        let renamed = settings.tls.server_name.clone().filter(|_| url.scheme() == "https").zip(url.host_str().map(str::to_owned));
        let settings = Arc::new(settings);
        let (client, material) = build(&settings, &renamed, material, &files).await?;
        let current = Mutex::new(Current { client, material, looked_at: seams.clock.monotonic() });
        Ok(Connection { settings, renamed, files, clock: seams.clock.clone(), current })
    }

    /// The client for a request that is sent now.
    pub async fn client(&self) -> Client {
        if self.is_due() {
            self.look_at_certificates().await;
        }
        self.current.lock().client.clone()
    }

    /// Where a request to `url` is sent: TLS takes the server's name from the address.
    pub fn address(&self, url: &Url) -> Url {
        let mut address = url.clone();
        if let Some((name, _)) = self.renamed_for(url) {
            // A name that was checked with the configuration is a host.
            let _ = address.set_host(Some(name));
        }
        address
    }

    /// The `Host` of a request to `url`, where [`Connection::address`] is another.
    pub fn host_header(&self, url: &Url) -> Option<String> {
        self.renamed_for(url)?;
        let host = url.host_str()?;
        Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
    }

    fn renamed_for(&self, url: &Url) -> Option<&(String, String)> {
        self.renamed.as_ref().filter(|(_, host)| url.scheme() == "https" && url.host_str() == Some(host))
    }

    fn is_due(&self) -> bool {
        let tls = &self.settings.tls;
        let in_files = tls.ca_file.is_some() || tls.cert_file.is_some() || tls.key_file.is_some();
        let now = self.clock.monotonic();
        let mut current = self.current.lock();
        let due = in_files && now.saturating_sub(current.looked_at) >= CERTIFICATES_EVERY;
        if due {
            current.looked_at = now;
        }
        due
    }

    /// Certificates that cannot be read, or do not fit each other, leave those before in use: they may be half replaced.
    async fn look_at_certificates(&self) {
        let fresh = match Material::read(&self.settings.tls, &self.files).await {
            Ok(material) if material == self.current.lock().material => return,
            Ok(material) => build(&self.settings, &self.renamed, material, &self.files).await,
            Err(error) => Err(error.into()),
        };
        match fresh {
            Ok((client, material)) => {
                info!("certificates have changed, connecting anew");
                let mut current = self.current.lock();
                (current.client, current.material) = (client, material);
            }
            Err(error) => warn!(error = chain(&error), "changed certificates cannot be used, keeping those before"),
        }
    }
}

/// Away from the runtime, for the system's authorities are many and stand in files.
async fn build(
    settings: &Arc<ConnectionSettings>,
    renamed: &Option<(String, String)>,
    material: Material,
    files: &Files,
) -> Result<(Client, Material), BuildError> {
    let (settings, renamed) = (settings.clone(), renamed.clone());
    files.run(move || build_now(&settings, renamed, &material).map(|client| (client, material))).await?
}

fn build_now(settings: &ConnectionSettings, renamed: Option<(String, String)>, material: &Material) -> Result<Client, BuildError> {
    let mut builder = Client::builder()
        .tls_backend_preconfigured(client_config(&settings.tls, material)?)
        .http1_only()
        .connect_timeout(settings.timeout)
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .pool_idle_timeout(IDLE_MAX)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .no_proxy();
    if settings.answers_end {
        builder = builder.timeout(settings.timeout);
    }
    if let Some(socket) = &settings.socket {
        builder = builder.unix_socket(socket.as_path());
    }
    for proxy in proxies(settings, &|name| std::env::var(name).ok())? {
        builder = builder.proxy(proxy);
    }
    if let Some((name, host)) = renamed {
        builder = builder.dns_resolver(Renamed { name, host });
    }
    builder.build().map_err(BuildError::Client)
}

/// The proxies of the configuration, or those of the environment if it says so.
fn proxies(settings: &ConnectionSettings, environment: &dyn Fn(&str) -> Option<String>) -> Result<Vec<Proxy>, BuildError> {
    let headers = proxy_headers(&settings.proxy_headers)?;
    // A lone star stands for all hosts; the client would take it for all names, and not for addresses.
    let for_none = |except: &Option<String>| except.as_deref().is_some_and(|list| list.split(',').any(|item| item.trim() == "*"));
    let finish =
        |proxy: Proxy, except: Option<String>| proxy.headers(headers.clone()).no_proxy(except.as_deref().and_then(NoProxy::from_string));
    if let Some(url) = settings.proxy_url.as_ref().filter(|_| !for_none(&settings.no_proxy)) {
        return Ok(vec![finish(Proxy::all(&url.0).map_err(BuildError::Client)?, settings.no_proxy.clone())]);
    }
    if !settings.proxy_from_environment {
        return Ok(Vec::new());
    }
    let either = |name: &str| environment(name).or_else(|| environment(&name.to_lowercase())).filter(|value| !value.is_empty());
    let except = either("NO_PROXY");
    if for_none(&except) {
        return Ok(Vec::new());
    }
    let plain = either("HTTP_PROXY").map(Proxy::http);
    let encrypted = either("HTTPS_PROXY").map(Proxy::https);
    plain.into_iter().chain(encrypted).map(|proxy| Ok(finish(proxy.map_err(BuildError::Client)?, except.clone()))).collect()
}

fn proxy_headers(headers: &ProxyHeaders) -> Result<HeaderMap, BuildError> {
    let mut map = HeaderMap::new();
    for (name, values) in &headers.0 {
        for value in values {
            let wrong = || BuildError::Header(name.clone());
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
            map.append(key, HeaderValue::from_str(&value.0).map_err(|_| wrong())?);
        }
    }
    Ok(map)
}

/// Finds the host of the address under the name that the server has for TLS.
struct Renamed {
    name: String,
    host: String,
}

impl Resolve for Renamed {
    fn resolve(&self, name: Name) -> Resolving {
        let asked = if name.as_str() == self.name { self.host.clone() } else { name.as_str().to_owned() };
        Box::pin(async move {
            // An IPv6 address stands in brackets in an address of the web alone.
            let host = asked.trim_start_matches('[').trim_end_matches(']').to_owned();
            let found: Vec<_> = tokio::net::lookup_host((host, 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(config: &str, environment: &[(&str, &str)]) -> usize {
        let config: ClientConfig = serde_saphyr::from_str(config).expect("settings");
        let lookup = |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        proxies(&ConnectionSettings::of_client(&config), &lookup).expect("addresses").len()
    }

    #[test]
    fn the_environment_is_asked_for_proxies_only_when_told() {
        let environment = [("HTTP_PROXY", "http://p:1"), ("https_proxy", "http://q:2"), ("NO_PROXY", "localhost")];
        assert_eq!(chosen("url: http://h", &environment), 0);
        assert_eq!(chosen("{url: 'http://h', proxy_from_environment: true}", &environment), 2);
        let for_none = [("HTTP_PROXY", "http://p:1"), ("NO_PROXY", "a.test, *")];
        for environment in [&for_none[..], &[("HTTP_PROXY", "")]] {
            assert_eq!(chosen("{url: 'http://h', proxy_from_environment: true}", environment), 0);
        }
        assert_eq!(chosen("{url: 'http://h', proxy_url: 'http://p'}", &environment), 1);
    }
}
