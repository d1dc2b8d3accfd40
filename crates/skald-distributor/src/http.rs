//! The push routes.

use crate::distributor::Distributor;
use crate::error::PushFailure;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use http::{HeaderValue, StatusCode, header};

impl Distributor {
    /// `POST /loki/api/v1/push` and `POST /api/prom/push`.
    pub fn routes(&self) -> Router {
        Router::new().route("/loki/api/v1/push", post(push)).route("/api/prom/push", post(push)).with_state(self.clone())
    }
}

async fn push(State(distributor): State<Distributor>, request: Request) -> Response {
    let began = distributor.clock().monotonic();
    let (head, body) = request.into_parts();
    let response = match distributor.push(&head.uri, &head.headers, body).await {
        Ok(()) => empty(StatusCode::NO_CONTENT),
        Err(failure) => error(&failure),
    };
    let took = distributor.clock().monotonic().saturating_sub(began);
    distributor.metrics().answered(response.status().as_u16(), took.as_secs_f64());
    response
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Seconds after which a push that came too early or too fast may come again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

fn error(failure: &PushFailure) -> Response {
    let mut response = Response::new(Body::from(format!("{failure}\n")));
    *response.status_mut() = failure.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if matches!(failure.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        headers.insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    response
}

#[cfg(test)]
mod tests;
