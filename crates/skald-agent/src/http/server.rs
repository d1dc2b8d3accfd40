use crate::config::ServerConfig;
use crate::sources::tls::{TlsError, TlsNetwork, TlsSettings, acceptor};
use axum::Router;
use prometheus_client::metrics::gauge::Gauge;
use skald_model::ErrorKind;
use skald_model::seam::{Network, Seams};
use skald_runtime::{HttpServer, ServeError};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// Most connections where the configuration has no bound.
const CONNECTIONS_MAX: usize = 256;

/// Why the agent does not listen.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// No address.
    #[error("server.http_listen_address \"{0}\" is no IP address")]
    Address(String),
    /// The address is taken, not ours or not allowed.
    #[error(transparent)]
    Listen(#[from] ServeError),
    /// Its TLS is not right.
    #[error("server.http_tls_config")]
    Tls(#[from] TlsError),
}

impl ServerError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Address(_) => ErrorKind::InvalidInput,
            Self::Listen(error) => error.kind(),
            Self::Tls(error) => error.kind(),
        }
    }
}

/// Serves `router` where `config` says, over TLS if it says so.
///
/// # Errors
/// See [`ServerError`].
pub async fn serve(config: &ServerConfig, router: Router, seams: &Seams) -> Result<HttpServer, ServerError> {
    let tls = config.http_tls_config.as_ref().map(TlsSettings::of_server).transpose()?.flatten();
    let network: Arc<dyn Network> = match tls {
        Some(tls) => Arc::new(TlsNetwork::new(Arc::clone(&seams.network), acceptor(&tls, &*seams.disk)?)),
        None => Arc::clone(&seams.network),
    };
    let connections_max = if config.http_listen_conn_limit == 0 { CONNECTIONS_MAX } else { config.http_listen_conn_limit };
    let mut refused = None;
    for address in addresses(config)? {
        let (clock, spawner) = (Arc::clone(&seams.clock), Arc::clone(&seams.spawner));
        match HttpServer::start(address, router.clone(), connections_max, Gauge::default(), &*network, clock, spawner).await {
            Ok(server) => return Ok(server),
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.expect("there is an address at least").into())
}

/// The address, or all addresses of the machine: of both families where the system lets one socket hear both, else of the old one.
fn addresses(config: &ServerConfig) -> Result<Vec<SocketAddr>, ServerError> {
    let text = config.http_listen_address.as_str();
    let hosts: Vec<IpAddr> = match text {
        "" => vec![Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()],
        "localhost" => vec![Ipv4Addr::LOCALHOST.into()],
        _ => vec![text.parse().map_err(|_| ServerError::Address(text.to_owned()))?],
    };
    Ok(hosts.into_iter().map(|host| SocketAddr::new(host, config.http_listen_port)).collect())
}
