//! The query API: decode, call, encode.

mod detected;
mod format;
mod legacy;
mod limits;
mod metadata;
mod patterns;
mod query;
mod stats;
mod tail;
mod volume;

use crate::caller::{Caller, QueryTags};
use crate::error::QueryError;
use crate::params::{ParamError, Params};
use crate::query_log::{Record, Why, observe};
use crate::service::Querier;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, get, on};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use skald_model::ErrorKind;
use skald_rpc::http_status;
use skald_runtime::{chain, tenancy};
use tower_http::compression::CompressionLayer;

/// Largest form body.
const FORM_BYTES_MAX: usize = 10 << 20;
/// A form of answers that a client may ask for in vain; whatever else it asks for, it gets JSON.
const PARQUET: &[u8] = b"application/vnd.apache.parquet";
const JSON: &str = "application/json; charset=UTF-8";

impl Querier {
    /// The routes of the query API.
    pub fn routes(&self) -> Router {
        fn get_or_post<H, T>(handler: H) -> MethodRouter<Querier>
        where
            H: axum::handler::Handler<T, Querier>,
            T: 'static,
        {
            on(MethodFilter::GET.or(MethodFilter::POST), handler)
        }
        Router::new()
            .route("/loki/api/v1/query_range", get_or_post(query::query_range))
            .route("/loki/api/v1/query", get_or_post(query::query))
            .route("/loki/api/v1/labels", get_or_post(metadata::labels))
            .route("/loki/api/v1/label", get_or_post(metadata::labels))
            .route("/loki/api/v1/label/{name}/values", get_or_post(metadata::label_values))
            .route("/loki/api/v1/series", get_or_post(metadata::series))
            .route("/loki/api/v1/index/stats", get_or_post(stats::index_stats))
            .route("/loki/api/v1/detected_labels", get_or_post(detected::labels))
            .route("/loki/api/v1/detected_fields", get_or_post(detected::fields))
            .route("/loki/api/v1/detected_field/{name}/values", get_or_post(detected::values))
            .route("/loki/api/v1/patterns", get_or_post(patterns::patterns))
            .route("/loki/api/v1/index/volume", get_or_post(volume::volume))
            .route("/loki/api/v1/index/volume_range", get_or_post(volume::volume_range))
            .route("/loki/api/v1/drilldown-limits", get(limits::drilldown))
            .route("/config/tenant/v1/limits", get(limits::tenant))
            .route("/api/prom/query", get_or_post(legacy::query))
            .route("/api/prom/label", get_or_post(metadata::labels))
            .route("/api/prom/label/{name}/values", get_or_post(metadata::label_values))
            .route("/api/prom/series", get_or_post(metadata::series))
            .route("/loki/api/v1/format_query", get_or_post(format::format_query))
            .layer(from_fn_with_state(self.clone(), observe))
            .layer(CompressionLayer::new().gzip(true))
            .route("/loki/api/v1/tail", get_or_post(tail::tail))
            .route("/api/prom/tail", get_or_post(tail::legacy))
            .with_state(self.clone())
    }
}

/// Who asks, with which parameters and headers.
struct Asked {
    caller: Caller,
    params: Params,
    headers: HeaderMap,
}

/// Why a request is not answered, as it goes to the client.
enum Refused {
    Tenancy(tenancy::TenancyError),
    Query(QueryError),
}

impl From<QueryError> for Refused {
    fn from(error: QueryError) -> Self {
        Refused::Query(error)
    }
}

impl From<ParamError> for Refused {
    fn from(error: ParamError) -> Self {
        Refused::Query(error.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, text) = match self {
            Refused::Tenancy(error) => (error.status(), error.body()),
            Refused::Query(error) => {
                let status = http_status(error.kind());
                let text = match error.kind() {
                    ErrorKind::Internal | ErrorKind::Corrupt | ErrorKind::Unavailable => chain(&error),
                    _ => error.to_string(),
                };
                (status, text)
            }
        };
        let mut response = (status, text.clone()).into_response();
        response.extensions_mut().insert(Why(text));
        response.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

async fn asked(querier: &Querier, request: Request) -> Result<Asked, Refused> {
    let record = request.extensions().get::<Record>().cloned().unwrap_or_default();
    let caller = caller(querier, request.headers(), record)?;
    if request.headers().get_all(header::ACCEPT).iter().any(|value| value.as_bytes().starts_with(PARQUET)) {
        let why = "support for Parquet encoded responses is disabled. Enable with -frontend.support-parquet-encoding=true";
        return Err(QueryError::Unsupported(why).into());
    }
    let headers = request.headers().clone();
    let params = params_of(request).await?;
    caller.work().record().query(params.get("query"));
    Ok(Asked { caller, params, headers })
}

/// Who asks: one tenant, or several where queries over several are allowed.
fn caller(querier: &Querier, headers: &HeaderMap, record: Record) -> Result<Caller, Refused> {
    let config = querier.config();
    let tenants = tenancy::tenants(headers, config.auth_enabled).map_err(Refused::Tenancy)?;
    if tenants.len() > 1 && !config.querier.multi_tenant_queries_enabled {
        return Err(Refused::Tenancy(tenancy::TenancyError::Multiple));
    }
    let caller = querier.caller_of(tenants, QueryTags::of(headers), record);
    let caller = if config.querier.per_request_limits_enabled { caller.tightened(headers)? } else { caller };
    Ok(if wants_no_cache(headers) { caller.without_cache() } else { caller })
}

fn wants_no_cache(headers: &HeaderMap) -> bool {
    let text = headers.get(header::CACHE_CONTROL).and_then(|value| value.to_str().ok()).unwrap_or("");
    text.split(',').any(|directive| directive.trim().eq_ignore_ascii_case("no-cache"))
}

async fn params_of(request: Request) -> Result<Params, Refused> {
    let (parts, body) = request.into_parts();
    let query = parts.uri.query().unwrap_or("");
    let is_form = |headers: &HeaderMap| {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
    };
    let form = if parts.method == Method::POST && is_form(&parts.headers) { read_form(body).await? } else { Vec::new() };
    Ok(Params::parse(query, &form))
}

async fn read_form(body: Body) -> Result<Vec<u8>, Refused> {
    match Limited::new(body, FORM_BYTES_MAX).collect().await {
        Ok(bytes) => Ok(bytes.to_bytes().to_vec()),
        Err(error) if error.is::<LengthLimitError>() => Err(QueryError::BodyTooLarge { limit: FORM_BYTES_MAX }.into()),
        Err(error) => Err(ParamError(format!("the form body cannot be read: {error}")).into()),
    }
}

fn json(body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, JSON)], body.into()).into_response()
}

#[cfg(test)]
mod tests;
