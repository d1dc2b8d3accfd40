//! The ingester's own routes.

use crate::service::Ingester;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use futures::future::BoxFuture;
use std::sync::Arc;

/// What is to be done once everything is flushed.
pub type AfterFlush = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

impl Ingester {
    /// `/flush`: seals and flushes all tenants in the background, and then does `and_then`.
    pub fn routes(&self, and_then: AfterFlush) -> Router {
        let ingester = self.clone();
        let flush = move || async move {
            let background = ingester.clone();
            let task = async move {
                background.flush("forced").await;
                and_then().await;
            };
            ingester.seams().spawner.spawn("ingester-flush", Box::pin(task));
            StatusCode::NO_CONTENT
        };
        Router::new().route("/flush", get(flush.clone()).post(flush))
    }
}
