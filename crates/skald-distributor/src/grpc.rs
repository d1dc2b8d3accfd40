//! OpenTelemetry logs over gRPC: the method `Export` of `opentelemetry.proto.collector.logs.v1.LogsService`.
//!
//! A call is one message each way. Its body is read by the same code as those of HTTP, so that the same bounds hold; nothing becomes messages in between.

use crate::distributor::Distributor;
use crate::error::PushFailure;
use crate::head::Route;
use crate::http::RETRY_AFTER_SECONDS;
use crate::otlp::answer::{Exported, PartialSuccess, RetryInfo, RpcStatus};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body_util::{BodyExt, Full};
use prost::Message;
use skald_model::ErrorKind;
use skald_rpc::grpc_code;
use skald_runtime::tenancy::TenancyError;
use tonic::{Code, Status};

const EXPORT: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const ENCODINGS: HeaderValue = HeaderValue::from_static("identity,gzip,zstd");

impl Distributor {
    /// The service of OpenTelemetry logs, for the gRPC port.
    pub fn grpc_routes(&self) -> Router {
        Router::new().route(EXPORT, post(export)).with_state(self.clone())
    }
}

async fn export(State(distributor): State<Distributor>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let answer = distributor.take(Route::Grpc, &head.headers, body).await;
    let mut response = match answer {
        Ok(()) | Err(PushFailure::NoStreams) => taken(&Exported::default()),
        Err(failure) => match failure.refused_entries() {
            Some(entries) => {
                let error_message = failure.to_string();
                let partial = PartialSuccess { rejected_log_records: i64::try_from(entries).unwrap_or(i64::MAX), error_message };
                taken(&Exported { partial_success: Some(partial) })
            }
            None => status(&failure).into_http(),
        },
    };
    response.headers_mut().insert(ACCEPT_ENCODING, ENCODINGS);
    response
}

/// One message, not compressed, and the status behind it.
fn taken(message: &Exported) -> Response {
    let message = message.encode_to_vec();
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).expect("a message of some texts").to_be_bytes());
    body.extend(message);
    let trailers = HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static("0"))]);
    let body = Full::new(Bytes::from(body)).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

fn status(failure: &PushFailure) -> Status {
    let code = match failure {
        PushFailure::Tenancy(TenancyError::Missing) => Code::Unauthenticated,
        other => Code::from_i32(grpc_code(other.kind())),
    };
    let message = failure.to_string();
    if !matches!(failure.kind(), ErrorKind::LimitExceeded | ErrorKind::Unavailable) {
        return Status::new(code, message);
    }
    // Clients of OpenTelemetry take an exhausted resource for final unless they are told when to come again.
    let details = vec![RetryInfo::after(RETRY_AFTER_SECONDS)];
    let told = RpcStatus { code: code.into(), message: message.clone(), details };
    Status::with_details(code, message, told.encode_to_vec().into())
}

#[cfg(test)]
mod tests;
