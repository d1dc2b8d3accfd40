use super::{Runtime, Serving, not_found, only_grpc};
use crate::{HttpServer, RequestMetrics, ServeError, common_routes};
use axum::Router;
use axum::extract::Request;
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::RETRY_AFTER;
use parking_lot::{Mutex, RwLock};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge as Metric;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthService;
use tower::ServiceExt;

/// Seconds after which a client of a process that is not ready may ask again.
const RETRY_SECONDS: &str = "5";

/// The ports of a process whose parts are not all there yet. The common routes and the health service answer; every other request gets 503 with the reason why the process is not
/// ready, until [`Gate::open`].
pub struct Gate {
    runtime: Runtime,
    requests: RequestMetrics,
    http: Arc<RwLock<Router>>,
    grpc: Arc<RwLock<Router>>,
    health: HealthServer<HealthService>,
    servers: Servers,
    serving: Serving,
}

type Servers = Arc<Mutex<Option<(HttpServer, HttpServer)>>>;

impl Runtime {
    /// Listens on both ports: the common routes on the one, the standard health service, which follows readiness, on the other.
    ///
    /// Both servers stop, by [`Runtime::on_stop`], before everything that was registered before [`Gate::open`], within half of
    /// `server.graceful_shutdown_timeout`.
    ///
    /// # Errors
    /// A port cannot be listened on; then neither is.
    pub async fn listen(&self) -> Result<Gate, ServeError> {
        let (config, seams) = (&self.0.config.server, &self.0.seams);
        let requests = RequestMetrics::new(self.metrics(), Arc::clone(&seams.clock));
        let connections = Family::<Vec<(&str, &str)>, Metric>::default();
        self.metrics().register(|registry| registry.register("open_connections", "Open connections of clients", connections.clone()));
        let start = async |address: Option<SocketAddr>, router: Router, protocol: &'static str, connections_max: usize| {
            let address = address.expect("validated configurations have addresses");
            let gauge = connections.get_or_create_owned(&vec![("protocol", protocol)]);
            let (clock, spawner) = (Arc::clone(&seams.clock), Arc::clone(&seams.spawner));
            HttpServer::start(address, router, connections_max, gauge, &*seams.network, clock, spawner).await
        };
        let closed = common_routes(self.0.common.clone()).fallback_service(closed(self.clone()));
        let http = Arc::new(RwLock::new(requests.wrap(closed)));
        let health = self.health().await;
        let grpc = Arc::new(RwLock::new(grpc_router(tonic::service::Routes::default(), &health, &requests)));
        let http_server = start(self.0.config.http_address(), dispatch(http.clone()), "http", config.http_listen_conn_limit).await?;
        let started = start(self.0.config.grpc_address(), dispatch(grpc.clone()), "grpc", config.http_listen_conn_limit).await;
        let grpc_server = match started {
            Ok(server) => server,
            Err(error) => {
                http_server.stop(Duration::ZERO).await;
                return Err(error);
            }
        };
        let serving = Serving { http: http_server.address(), grpc: grpc_server.address() };
        tracing::info!(http = %serving.http, grpc = %serving.grpc, "listening");
        let servers = Arc::new(Mutex::new(Some((http_server, grpc_server))));
        let gate = Gate { runtime: self.clone(), requests, http, grpc, health, servers, serving };
        gate.stop_with_the_process();
        Ok(gate)
    }
}

impl Gate {
    /// Answers `http` and `grpc` from now on.
    pub fn open(self, http: Router, grpc: tonic::service::Routes) -> Serving {
        let routes = http.merge(common_routes(self.runtime.0.common.clone())).fallback(not_found);
        *self.http.write() = self.requests.wrap(routes);
        *self.grpc.write() = grpc_router(grpc, &self.health, &self.requests);
        // Once more, so that they stop before the parts that were made meanwhile.
        self.stop_with_the_process();
        self.serving
    }

    fn stop_with_the_process(&self) {
        let (servers, bound) = (self.servers.clone(), self.runtime.0.config.server.graceful_shutdown_timeout / 2);
        self.runtime.on_stop("servers", async move {
            let servers = servers.lock().take();
            if let Some((http, grpc)) = servers {
                futures::join!(http.stop(bound), grpc.stop(bound));
            }
        });
    }
}

fn grpc_router(grpc: tonic::service::Routes, health: &HealthServer<HealthService>, requests: &RequestMetrics) -> Router {
    requests.wrap(grpc.add_service(health.clone()).into_axum_router().layer(from_fn(only_grpc)))
}

/// Hands every request to the routes that are in force when it comes.
fn dispatch(routes: Arc<RwLock<Router>>) -> Router {
    let answer = move |request: Request| {
        let routes = routes.read().clone();
        async move {
            let answered: Result<Response, Infallible> = routes.oneshot(request).await;
            answered.unwrap_or_else(|never| match never {})
        }
    };
    Router::new().fallback(answer)
}

/// Says why the process is not ready.
fn closed(runtime: Runtime) -> axum::routing::MethodRouter {
    axum::routing::any(move || {
        let why = runtime.readiness().check().err().unwrap_or_else(|| "starting".to_owned());
        async move { (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, RETRY_SECONDS)], format!("{why}\n")).into_response() }
    })
}
