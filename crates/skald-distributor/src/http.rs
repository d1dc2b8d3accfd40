//! The push routes.

use crate::distributor::Distributor;
use crate::error::PushFailure;
use crate::otlp::answer::RpcStatus;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use http::{HeaderValue, StatusCode, header};
use prost::Message;

impl Distributor {
    /// `POST /loki/api/v1/push`, `POST /api/prom/push` and `POST /otlp/v1/logs`.
    pub fn routes(&self) -> Router {
        Router::new()
            .route("/loki/api/v1/push", post(push))
            .route("/api/prom/push", post(push))
            .route("/otlp/v1/logs", post(export))
            .with_state(self.clone())
    }
}

async fn push(State(distributor): State<Distributor>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    match distributor.push(&head.uri, &head.headers, body).await {
        Ok(()) => answer(StatusCode::NO_CONTENT, Body::empty()),
        Err(failure) => text(&failure),
    }
}

async fn export(State(distributor): State<Distributor>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    match distributor.export(&head.headers, body).await {
        Ok(()) => answer(StatusCode::NO_CONTENT, Body::empty()),
        // Who asks is settled before it matters what for: this is answered as everywhere.
        Err(failure @ PushFailure::Tenancy(_)) => text(&failure),
        Err(failure) => message(&failure),
    }
}

fn answer(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS.into());
    }
    response
}

/// Seconds after which a push that came too early or too fast may come again.
pub const RETRY_AFTER_SECONDS: i64 = 1;

fn text(failure: &PushFailure) -> Response {
    let mut response = answer(failure.status(), Body::from(format!("{failure}\n")));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// An error as clients of OpenTelemetry read it. They send again after 503, and never after 500.
fn message(failure: &PushFailure) -> Response {
    let status = match failure.status() {
        StatusCode::INTERNAL_SERVER_ERROR => StatusCode::SERVICE_UNAVAILABLE,
        status => status,
    };
    let body = RpcStatus { message: failure.to_string(), ..RpcStatus::default() }.encode_to_vec();
    let mut response = answer(status, Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    response
}

#[cfg(test)]
mod tests;
