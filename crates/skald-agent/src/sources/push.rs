//! Pushes of other agents and clients: a listener with Loki's push route and one for plain lines.
//!
//! A push is answered once its entries are on disk. While there is no room it is answered 503, and the client sends it again. A stream with labels that
//! are none is refused and named; the others of its push are taken.

mod body;
mod config;
mod decode;
mod http;
mod intake;
mod metrics;

pub use config::PushConfig;
pub use decode::{BadStream, Content, DecodeError, Receive, read};
pub use metrics::PushMetrics;

use super::listen::{ListenError, addresses};
use super::tls::{TlsError, TlsNetwork, TlsSettings, acceptor};
use super::{label_set, one_target};
use crate::sink::SinkParts;
use crate::source::{Source, SourceStatus};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use skald_model::ErrorKind;
use skald_model::seam::{Network, Seams};
use skald_pipeline::LabelSet;
use skald_runtime::{HttpServer, ServeError};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Most connections at a time where the configuration sets no other bound; later ones wait to be accepted.
const CONNECTIONS_MAX: usize = 1024;

/// Why a push source did not start.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The address is none.
    #[error(transparent)]
    Address(#[from] ListenError),
    /// It cannot listen.
    #[error(transparent)]
    Listen(#[from] ServeError),
    /// Its TLS is not right.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl PushError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Address(error) => error.kind(),
            Self::Listen(error) => error.kind(),
            Self::Tls(error) => error.kind(),
        }
    }
}

/// A listener for pushes that runs.
pub struct PushSource {
    job: String,
    address: SocketAddr,
    labels: LabelSet,
    stop_timeout: Duration,
    /// Taken when it is stopped.
    server: Mutex<Option<HttpServer>>,
}

impl PushSource {
    /// Listens, and takes pushes from then on.
    ///
    /// # Errors
    /// See [`PushError`].
    pub async fn start(job: &str, config: PushConfig, sink: SinkParts, metrics: PushMetrics, seams: &Seams) -> Result<Self, PushError> {
        let server = &config.server;
        let tls = server.http_tls_config.as_ref().map(TlsSettings::of_server).transpose()?.flatten();
        let network: Arc<dyn Network> = match tls {
            Some(tls) => Arc::new(TlsNetwork::new(Arc::clone(&seams.network), acceptor(&tls, &*seams.disk)?)),
            None => Arc::clone(&seams.network),
        };
        let listen_address = listen_address(&server.http_listen_address, server.http_listen_port);
        let connections_max = if server.http_listen_conn_limit == 0 { CONNECTIONS_MAX } else { server.http_listen_conn_limit };
        let stop_timeout = server.graceful_shutdown_timeout.0;
        let labels = label_set(&config.labels);
        let connections = metrics.connections.clone();
        let router = http::router(config, sink, metrics, seams);
        let mut started = Err(PushError::Address(ListenError::Listen {
            address: listen_address.clone(),
            source: std::io::ErrorKind::AddrNotAvailable.into(),
        }));
        for address in addresses(&listen_address).await? {
            let (clock, spawner) = (Arc::clone(&seams.clock), Arc::clone(&seams.spawner));
            let server = HttpServer::start(address, router.clone(), connections_max, connections.clone(), &*network, clock, spawner);
            started = server.await.map_err(PushError::Listen);
            if started.is_ok() {
                break;
            }
        }
        let server = started?;
        let address = server.address();
        tracing::info!(job, %address, "listening for pushes");
        Ok(PushSource { job: job.to_owned(), address, labels, stop_timeout, server: Mutex::new(Some(server)) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn listen_address(host: &str, port: u16) -> String {
    let is_bare_ipv6 = host.contains(':') && !host.starts_with('[');
    if is_bare_ipv6 { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

impl Source for PushSource {
    fn status(&self) -> SourceStatus {
        let ready = self.server.lock().is_some();
        one_target(&self.job, "push", ready, &self.labels, &[("address", &self.address.to_string())])
    }

    fn stop(&self) -> BoxFuture<'static, ()> {
        let (server, timeout) = (self.server.lock().take(), self.stop_timeout);
        async move {
            if let Some(server) = server {
                server.stop(timeout).await;
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
