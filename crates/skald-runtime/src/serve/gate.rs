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
use tower::ServiceExt;

/// Seconds after which a client of a process that is not ready may ask again.
const RETRY_SECONDS: &str = "5";

/// The ports of a process whose parts are not all there yet. The common routes answer; every other request gets 503 with the reason why the process is not
/// ready, until [`Gate::open`].
pub struct Gate {
    runtime: Runtime,
    requests: RequestMetrics,
    routes: Arc<RwLock<Router>>,
    servers: Servers,
    serving: Serving,
}

type Servers = Arc<Mutex<Option<(HttpServer, HttpServer)>>>;

impl Runtime {
    /// Listens on both ports: the common routes on the one, `grpc` and the standard health service, which follows readiness, on the other.
    ///
    /// Both servers stop, by [`Runtime::on_stop`], before everything that was registered before [`Gate::open`], within half of
    /// `server.graceful_shutdown_timeout`.
    ///
    /// # Errors
    /// A port cannot be listened on; then neither is.
    pub async fn listen(&self, grpc: tonic::service::Routes) -> Result<Gate, ServeError> {
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
        let routes = Arc::new(RwLock::new(requests.wrap(closed)));
        let http_server = start(self.0.config.http_address(), dispatch(routes.clone()), "http", config.http_listen_conn_limit).await?;
        let router = grpc.add_service(self.health().await).into_axum_router().layer(from_fn(only_grpc));
        let router = requests.wrap(router);
        let grpc_server = match start(self.0.config.grpc_address(), router, "grpc", config.http_listen_conn_limit).await {
            Ok(server) => server,
            Err(error) => {
                http_server.stop(Duration::ZERO).await;
                return Err(error);
            }
        };
        let serving = Serving { http: http_server.address(), grpc: grpc_server.address() };
        tracing::info!(http = %serving.http, grpc = %serving.grpc, "listening");
        let gate =
            Gate { runtime: self.clone(), requests, routes, servers: Arc::new(Mutex::new(Some((http_server, grpc_server)))), serving };
        gate.stop_with_the_process();
        Ok(gate)
    }
}

impl Gate {
    /// Answers `http` from now on.
    pub fn open(self, http: Router) -> Serving {
        let routes = http.merge(common_routes(self.runtime.0.common.clone())).fallback(not_found);
        *self.routes.write() = self.requests.wrap(routes);
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
