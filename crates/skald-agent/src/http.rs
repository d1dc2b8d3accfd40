//! What the agent shows of itself over HTTP: targets, configuration, metrics, readiness, and `/reload`.

mod pages;
mod server;

pub use server::{ServerError, serve};

use crate::source::SourceStatus;
use async_trait::async_trait;
use axum::Router;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{any, get};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use std::sync::Arc;

/// What the routes show and do.
#[async_trait]
pub trait Operations: Send + Sync + 'static {
    /// The configuration in force as YAML, without secrets.
    fn config(&self) -> String;
    /// All sources.
    async fn sources(&self) -> Vec<SourceStatus>;
    /// All metrics as OpenMetrics text.
    async fn metrics(&self) -> String;
    /// Whether `/ready` asks for a source that works.
    fn needs_target(&self) -> bool;
    /// Reads the configuration anew.
    ///
    /// # Errors
    /// Why the old one goes on.
    async fn reload(&self) -> Result<(), String>;
}

/// Which routes there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteOptions {
    /// Stands in front of every path; empty or begins with `/`.
    pub prefix: String,
    /// Whether `/metrics` is served.
    pub metrics: bool,
    /// Whether `/reload` is served.
    pub reload: bool,
}

type Shown = State<Arc<dyn Operations>>;

/// The routes of an agent.
pub fn routes(operations: Arc<dyn Operations>, options: &RouteOptions) -> Router {
    let targets_path = format!("{}/targets", options.prefix);
    let mut router = Router::new()
        .route("/targets", get(targets))
        .route("/service-discovery", get(discovery))
        .route("/config", get(config))
        .route("/ready", get(ready))
        .route("/", get(move || std::future::ready(Redirect::to(&targets_path))));
    if options.metrics {
        router = router.route("/metrics", get(metrics));
    }
    if options.reload {
        router = router.route("/reload", any(reload));
    }
    let router = router.with_state(operations);
    if options.prefix.is_empty() { router } else { Router::new().nest(&options.prefix, router) }
}

async fn targets(State(operations): Shown) -> Html<String> {
    Html(pages::targets(&operations.sources().await))
}

async fn discovery(State(operations): Shown) -> Html<String> {
    Html(pages::discovery(&operations.sources().await))
}

async fn config(State(operations): Shown) -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], operations.config()).into_response()
}

async fn metrics(State(operations): Shown) -> Response {
    ([(CONTENT_TYPE, skald_runtime::METRICS_CONTENT_TYPE)], operations.metrics().await).into_response()
}

async fn ready(State(operations): Shown) -> Response {
    if operations.needs_target() && !operations.sources().await.iter().any(|source| source.ready) {
        let why = "Not ready: nothing to read was found yet; see /service-discovery, or set server.health_check_target to false\n";
        return (StatusCode::INTERNAL_SERVER_ERROR, why).into_response();
    }
    "Ready\n".into_response()
}

async fn reload(State(operations): Shown) -> Response {
    match operations.reload().await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(why) => (StatusCode::INTERNAL_SERVER_ERROR, format!("failed to reload config: {why}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests;
