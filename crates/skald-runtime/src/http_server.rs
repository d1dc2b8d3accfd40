mod refusal;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use futures::future::{Either, select};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use prometheus_client::metrics::gauge::Gauge;
use refusal::{Explained, Unread};
use skald_model::ErrorKind;
use skald_model::seam::{Clock, Connection, Listener, Network, Spawner};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt;
use tracing::{debug, warn};

/// Longest that the head of a request may take to come, and that a connection may be silent between requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);
/// Largest head of a request. The line in it may take 65,534 bytes, the most that a parsed URL can have.
const HEAD_BYTES_MAX: usize = 256 << 10;
/// Most requests at a time on one HTTP/2 connection.
const STREAMS_MAX: u32 = 1024;
/// Pause after a connection could not be accepted, as when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken, not ours or not allowed.
    #[error("cannot listen on {address}: {}", source.kind())]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Cause.
        #[source]
        source: io::Error,
    },
}

impl ServeError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Listen { .. } => ErrorKind::Unavailable,
        }
    }
}

/// A server of HTTP/1.1 and HTTP/2 (without TLS) on one port.
pub struct HttpServer {
    address: SocketAddr,
    stop: watch::Sender<Phase>,
    done: watch::Receiver<bool>,
    clock: Arc<dyn Clock>,
}

/// How far a server is from its end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Phase {
    Serving,
    /// Nothing new is accepted; what is in progress goes on.
    Draining,
    /// Connections are closed.
    Cut,
}

/// What the task that accepts connections works with.
struct Acceptor {
    listener: Box<dyn Listener>,
    router: Router,
    clock: Arc<dyn Clock>,
    spawner: Arc<dyn Spawner>,
    phase: watch::Receiver<Phase>,
    connections_max: usize,
    connections: Gauge,
}

impl HttpServer {
    /// Listens on `address` and serves `router`. At most `connections_max` connections are open at a time, later ones wait to be accepted; `connections`
    /// shows how many are. Handlers find the peer in `ConnectInfo<SocketAddr>`.
    ///
    /// # Errors
    /// [`ServeError::Listen`]
    pub async fn start(
        address: SocketAddr,
        router: Router,
        connections_max: usize,
        connections: Gauge,
        network: &dyn Network,
        clock: Arc<dyn Clock>,
        spawner: Arc<dyn Spawner>,
    ) -> Result<Self, ServeError> {
        let refused = |source| ServeError::Listen { address, source };
        let listener = network.listen(address).await.map_err(refused)?;
        let address = listener.local_address().map_err(refused)?;
        let (stop, phase) = watch::channel(Phase::Serving);
        let (tell_done, done) = watch::channel(false);
        let connections_max = connections_max.min(Semaphore::MAX_PERMITS);
        let acceptor =
            Acceptor { listener, router, clock: Arc::clone(&clock), spawner: Arc::clone(&spawner), phase, connections_max, connections };
        let task = async move {
            acceptor.run().await;
            tell_done.send_replace(true);
        };
        spawner.spawn("http server", Box::pin(task));
        Ok(HttpServer { address, stop, done, clock })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts nothing new, lets requests in progress end, and after `bound` closes the connections of those that have not.
    pub async fn stop(mut self, bound: Duration) {
        self.stop.send_replace(Phase::Draining);
        let drained = matches!(select(pin!(self.done.wait_for(|done| *done)), self.clock.sleep(bound)).await, Either::Left(_));
        if !drained {
            warn!(address = %self.address, "requests still in progress, closing their connections");
            self.stop.send_replace(Phase::Cut);
            // The task is gone only together with the runtime.
            let _ = self.done.wait_for(|done| *done).await;
        }
    }
}

impl Acceptor {
    async fn run(self) {
        let graceful = GracefulShutdown::new();
        let permits = Arc::new(Semaphore::new(self.connections_max));
        let mut phase = self.phase.clone();
        loop {
            let next = async {
                let permit = Arc::clone(&permits).acquire_owned().await.expect("nobody closes the semaphore");
                (self.listener.accept().await, permit)
            };
            let stopping = pin!(phase.wait_for(|phase| *phase != Phase::Serving));
            let (accepted, permit) = match select(pin!(next), stopping).await {
                Either::Left((accepted, _)) => accepted,
                Either::Right(_) => break,
            };
            match accepted {
                Ok((connection, peer)) => {
                    self.connections.inc();
                    let (serving, connections) = (self.connection(connection, peer, &graceful), self.connections.clone());
                    let task = async move {
                        serving.await;
                        connections.dec();
                        drop(permit);
                    };
                    self.spawner.spawn("http connection", Box::pin(task));
                }
                Err(error) => {
                    warn!(%error, "connection not accepted");
                    self.clock.sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        // The port is free for the next process before the last request has ended.
        drop(self.listener);
        graceful.shutdown().await;
    }

    /// Serves one connection until it ends, or is cut.
    fn connection(
        &self,
        connection: Box<dyn Connection>,
        peer: SocketAddr,
        graceful: &GracefulShutdown,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (router, unread) = (self.router.clone(), Unread::default());
        let connection = TokioIo::new(Explained::new(connection, Arc::clone(&self.clock), unread.clone()));
        let service = router.map_request(move |mut request: http::Request<hyper::body::Incoming>| -> Request {
            request.extensions_mut().insert(ConnectInfo(peer));
            unread.track(request).map(axum::body::Body::new)
        });
        let serving = builder().serve_connection_with_upgrades(connection, TowerToHyperService::new(service)).into_owned();
        let serving = graceful.watch(serving);
        let mut phase = self.phase.clone();
        async move {
            let cut = pin!(phase.wait_for(|phase| *phase == Phase::Cut));
            if let Either::Left((Err(error), _)) = select(pin!(serving), cut).await {
                debug!(%peer, %error, "connection ended by an error");
            }
        }
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES_MAX);
    let mut http2 = builder.http2();
    http2.timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX).max_header_list_size(HEAD_BYTES_MAX as u32);
    http2.keep_alive_interval(HEAD_TIMEOUT).adaptive_window(true);
    builder
}

#[cfg(test)]
mod tests;
