//! The ingester's own routes.

use crate::service::Ingester;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;

impl Ingester {
    /// `/flush`: seals and flushes all tenants in the background.
    pub fn routes(&self) -> Router {
        let ingester = self.clone();
        let flush = move || async move {
            let background = ingester.clone();
            ingester.seams().spawner.spawn("ingester-flush", Box::pin(async move { background.flush("forced").await }));
            StatusCode::NO_CONTENT
        };
        Router::new().route("/flush", get(flush.clone()).post(flush))
    }
}
