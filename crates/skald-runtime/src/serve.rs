mod gate;

pub use gate::Gate;

use crate::{Common, Metrics, Readiness, ServeError};
use axum::Router;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use skald_config::{Config, ConfigError, Overrides};
use skald_model::seam::Seams;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use tokio::sync::watch;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

/// What the parts of a process are built with. A cheap handle.
#[derive(Clone)]
pub struct Runtime(Arc<Inner>);

struct Inner {
    common: Common,
    config: Arc<Config>,
    seams: Seams,
    stops: Mutex<Vec<(&'static str, BoxFuture<'static, ()>)>>,
    end: watch::Sender<Option<&'static str>>,
    stopping: watch::Sender<bool>,
}

/// Where a process listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Serving {
    /// The HTTP port.
    pub http: SocketAddr,
    /// The gRPC port.
    pub grpc: SocketAddr,
}

impl Runtime {
    /// From its parts; [`crate::run()`] does this for a process.
    pub fn new(common: Common, seams: Seams) -> Self {
        let config = Arc::new(common.loaded.config.clone());
        let (end, stopping) = (watch::channel(None).0, watch::channel(false).0);
        Runtime(Arc::new(Inner { common, config, seams, stops: Mutex::default(), end, stopping }))
    }

    /// The configuration in force.
    pub fn config(&self) -> &Arc<Config> {
        &self.0.config
    }

    /// Clock, randomness, threads, disk and network.
    pub fn seams(&self) -> &Seams {
        &self.0.seams
    }

    /// Where parts register their metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.0.common.metrics
    }

    /// Where parts say how they are.
    pub fn readiness(&self) -> &Readiness {
        &self.0.common.readiness
    }

    /// The limits of tenants: `limits_config` and the file of `runtime_config`, which is read again while the process runs. Called once; blocks on the disk.
    ///
    /// # Errors
    /// The file cannot be read or is wrong.
    pub fn tenant_limits(&self) -> Result<Arc<Overrides>, ConfigError> {
        let seams = self.seams();
        let overrides = Overrides::load(&self.0.config, Arc::clone(&seams.disk))?;
        overrides.watch(Arc::clone(&seams.clock), Arc::clone(&seams.spawner));
        self.metrics().register(|registry| registry.register_collector(Box::new(ReloadMetrics(Arc::downgrade(&overrides)))));
        Ok(overrides)
    }

    /// Has `stop` run when the process stops: what was registered last runs first, one after the other.
    pub fn on_stop(&self, name: &'static str, stop: impl Future<Output = ()> + Send + 'static) {
        self.0.stops.lock().push((name, Box::pin(stop)));
    }

    /// Stops the process, as a signal would, but with an exit code that says that it failed.
    pub fn stop(&self, why: &'static str) {
        self.0.end.send_replace(Some(why));
    }

    /// Completes when the process begins to stop. Streams without an end, such as tails, end then.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stopping = self.0.stopping.subscribe();
        async move {
            // An error is the end of the runtime itself.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        }
    }

    /// Listens on both ports: `http` and the common routes on the one, `grpc` and the standard health service, which follows readiness, on the other.
    ///
    /// Returns at once; what is served may not be ready yet. Both servers stop, by [`Runtime::on_stop`], before everything that was registered earlier,
    /// within half of `server.graceful_shutdown_timeout`.
    ///
    /// # Errors
    /// A port cannot be listened on; then neither is.
    pub async fn serve(&self, http: Router, grpc: tonic::service::Routes) -> Result<Serving, ServeError> {
        Ok(self.listen().await?.open(http, grpc))
    }

    /// The health service, whose answer for the whole process follows readiness.
    async fn health(&self) -> HealthServer<HealthService> {
        let reporter = HealthReporter::new();
        let readiness = self.readiness().clone();
        let mut changes = readiness.changes();
        report(&reporter, &readiness).await;
        let service = HealthService::from_health_reporter(reporter.clone());
        let task = async move {
            while changes.changed().await.is_ok() {
                report(&reporter, &readiness).await;
            }
        };
        self.0.seams.spawner.spawn("grpc health", Box::pin(task));
        HealthServer::new(service)
    }

    /// Completes when a part asks the process to stop.
    pub(crate) async fn asked_to_stop(&self) -> &'static str {
        let mut end = self.0.end.subscribe();
        let why = end.wait_for(Option::is_some).await.ok().and_then(|why| *why);
        why.unwrap_or("the runtime ended")
    }

    /// Tells everyone that the process stops.
    pub(crate) fn set_stopping(&self) {
        self.readiness().set_stopping();
        self.0.stopping.send_replace(true);
    }

    /// What is to be stopped next.
    pub(crate) fn next_stop(&self) -> Option<(&'static str, BoxFuture<'static, ()>)> {
        self.0.stops.lock().pop()
    }
}

/// What became of the last look at the file with limits of tenants.
#[derive(Debug)]
struct ReloadMetrics(Weak<Overrides>);

impl Collector for ReloadMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let Some(overrides) = self.0.upgrade() else { return Ok(()) };
        let good = ConstGauge::new(i64::from(overrides.last_error().is_none()));
        let help = "1 when the file with limits of tenants was right at the last look.";
        good.encode(encoder.encode_descriptor("runtime_config_last_reload_successful", help, None, good.metric_type())?)
    }
}

/// What is answered where there is nothing.
async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "404 page not found\n").into_response()
}

/// Refuses what is not gRPC. Without this, whatever is posted to the wrong port would be answered with status 200 and look taken.
async fn only_grpc(request: Request, next: Next) -> Response {
    let content_type = request.headers().get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    if content_type.starts_with(b"application/grpc") {
        return next.run(request).await;
    }
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, "this port speaks gRPC alone, the HTTP API has a port of its own\n").into_response()
}

async fn report(reporter: &HealthReporter, readiness: &Readiness) {
    let status = if readiness.check().is_ok() { ServingStatus::Serving } else { ServingStatus::NotServing };
    reporter.set_service_status("", status).await;
}

#[cfg(test)]
mod tests;
