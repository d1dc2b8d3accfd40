//! The query API: decode, call, encode.

use crate::checks;
use crate::encode;
use crate::error::QueryError;
use crate::metrics::Status;
use crate::params::{ParamError, Params, check_order};
use crate::service::{Answer, AnswerData, Querier, QueryRequest};
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use http_body_util::{BodyExt, Limited};
use skald_logql::ast::{Expr, LogExpr, Matcher};
use skald_logql::exec::Selector;
use skald_logql::parse_matchers;
use skald_logql::plan::{Direction, Params as PlanParams, Plan, plan};
use skald_model::{ErrorKind, Labels, TenantId, TimeRange, Timestamp};
use skald_rpc::http_status;
use skald_runtime::{chain, tenancy};
use std::collections::BTreeSet;
use std::time::Duration;
use tower_http::compression::CompressionLayer;

/// Largest form body.
const FORM_BYTES_MAX: usize = 10 << 20;
const JSON: &str = "application/json; charset=UTF-8";
/// Header by which clients ask for labels split by category; its flags are echoed.
const ENCODING_FLAGS: &str = "x-loki-response-encoding-flags";

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
            .route("/loki/api/v1/query_range", get_or_post(query_range))
            .route("/loki/api/v1/query", get_or_post(query))
            .route("/loki/api/v1/labels", get_or_post(labels))
            .route("/loki/api/v1/label", get_or_post(labels))
            .route("/loki/api/v1/label/{name}/values", get_or_post(label_values))
            .route("/loki/api/v1/series", get_or_post(series))
            .route("/loki/api/v1/index/stats", get_or_post(index_stats))
            .route("/loki/api/v1/format_query", get_or_post(format_query))
            .layer(CompressionLayer::new().gzip(true))
            .with_state(self.clone())
    }
}

/// A request's tenant, parameters and headers.
struct Asked {
    tenant: TenantId,
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
        let mut response = (status, text).into_response();
        response.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

async fn asked(querier: &Querier, request: Request) -> Result<Asked, Refused> {
    let tenant = tenancy::tenant(request.headers(), querier.config().auth_enabled).map_err(Refused::Tenancy)?;
    let headers = request.headers().clone();
    Ok(Asked { tenant, params: params_of(request).await?, headers })
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
    let collected = Limited::new(body, FORM_BYTES_MAX).collect().await;
    let bytes = collected.map_err(|_| ParamError(format!("the form body cannot be read or is larger than {FORM_BYTES_MAX} bytes")))?;
    Ok(bytes.to_bytes().to_vec())
}

fn json(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, JSON)], body).into_response()
}

async fn query_range(State(querier): State<Querier>, request: Request) -> Result<Response, Refused> {
    let Asked { tenant, params, headers } = asked(&querier, request).await?;
    let (start, end) = params.bounds(querier.now())?;
    check_order(start, end)?;
    let request = QueryRequest {
        text: params.get("query").to_owned(),
        start,
        end,
        limit: params.limit()?,
        forward: params.forward()?,
        step: Some(params.step(start, end)?),
        interval: params.interval()?,
    };
    answer(&querier, &tenant, request, &headers).await
}

async fn query(State(querier): State<Querier>, request: Request) -> Result<Response, Refused> {
    let Asked { tenant, params, headers } = asked(&querier, request).await?;
    let at = params.time(querier.now())?;
    let request = QueryRequest {
        text: params.get("query").to_owned(),
        start: at,
        end: at,
        limit: params.limit()?,
        forward: params.forward()?,
        step: None,
        interval: Duration::ZERO,
    };
    answer(&querier, &tenant, request, &headers).await
}

async fn answer(querier: &Querier, tenant: &TenantId, request: QueryRequest, headers: &HeaderMap) -> Result<Response, Refused> {
    let result = querier.query(tenant, request).await;
    querier.count(&result);
    let Answer { data, warnings, stats } = result?;
    Ok(json(match data {
        AnswerData::Metric(result) => encode::metric(&result, &warnings, &stats),
        AnswerData::Entries(entries) => {
            let flags = encoding_flags(headers);
            let categorise = flags.iter().any(|flag| flag == encode::CATEGORIZE_LABELS);
            let streams = if categorise { entries.categorised() } else { entries.streams() };
            encode::streams(&streams, &flags, &warnings, &stats)
        }
    }))
}

impl Querier {
    fn count(&self, result: &Result<Answer, QueryError>) {
        let metrics = self.metrics();
        let status = match result {
            Ok(answer) => {
                metrics.seconds.observe(answer.stats.exec_time.as_secs_f64());
                metrics.lines.inc_by(answer.stats.memory_lines + answer.stats.object_lines);
                metrics.bytes.inc_by(answer.stats.memory_bytes + answer.stats.object_bytes);
                metrics.blocks_skipped.inc_by(answer.stats.blocks_skipped);
                metrics.incomplete.inc_by(u64::from(!answer.warnings.is_empty()));
                "ok"
            }
            Err(error) if http_status(error.kind()).is_client_error() => "refused",
            Err(_) => "failed",
        };
        metrics.queries.get_or_create(&Status { status }).inc();
    }
}

fn encoding_flags(headers: &HeaderMap) -> Vec<String> {
    let text = headers.get(ENCODING_FLAGS).and_then(|value| value.to_str().ok()).unwrap_or("");
    text.split(',').map(str::trim).filter(|flag| !flag.is_empty()).map(str::to_owned).collect()
}

/// The inclusive window of a metadata request, as a half-open range.
fn window(querier: &Querier, tenant: &TenantId, params: &Params) -> Result<TimeRange, Refused> {
    let (start, end) = params.bounds(querier.now())?;
    let limits = querier.limits(tenant);
    let start = checks::lookback(start, end, &limits, querier.now())?;
    checks::length(start, end, &limits)?;
    Ok(TimeRange::new(start, Timestamp(end.0.saturating_add(1))))
}

fn compile(matchers: &[Matcher]) -> Result<Selector, ParamError> {
    Selector::compile(matchers).map_err(ParamError)
}

async fn streams_of(querier: &Querier, asked: &Asked) -> Result<(BTreeSet<Labels>, Vec<String>), Refused> {
    let range = window(querier, &asked.tenant, &asked.params)?;
    let text = asked.params.get("query");
    let matchers = if text.is_empty() { Vec::new() } else { parse_matchers(text, false).map_err(QueryError::Matchers)? };
    Ok(querier.series(&asked.tenant, &[compile(&matchers)?], range).await?)
}

async fn labels(State(querier): State<Querier>, request: Request) -> Result<Response, Refused> {
    let asked = asked(&querier, request).await?;
    let (streams, warnings) = streams_of(&querier, &asked).await?;
    let names: BTreeSet<&str> = streams.iter().flat_map(|labels| labels.iter().map(|(name, _)| name)).collect();
    Ok(json(encode::names(&names.into_iter().map(str::to_owned).collect::<Vec<_>>(), &warnings)))
}

async fn label_values(State(querier): State<Querier>, Path(name): Path<String>, request: Request) -> Result<Response, Refused> {
    let asked = asked(&querier, request).await?;
    let (streams, warnings) = streams_of(&querier, &asked).await?;
    let values: BTreeSet<&str> = streams.iter().filter_map(|labels| labels.get(&name)).collect();
    Ok(json(encode::names(&values.into_iter().map(str::to_owned).collect::<Vec<_>>(), &warnings)))
}

async fn series(State(querier): State<Querier>, request: Request) -> Result<Response, Refused> {
    let asked = asked(&querier, request).await?;
    let range = window(&querier, &asked.tenant, &asked.params)?;
    let texts: Vec<&str> = asked.params.all(&["match[]", "match"]).collect();
    let mut selectors = Vec::new();
    for text in &texts {
        let matchers = parse_matchers(text, true).map_err(QueryError::Matchers)?;
        if matchers.is_empty() && texts.len() > 1 {
            return Err(ParamError(format!("0 matchers in group: {text}")).into());
        }
        selectors.push(compile(&matchers)?);
    }
    if selectors.is_empty() {
        selectors.push(compile(&[])?);
    }
    let (streams, warnings) = querier.series(&asked.tenant, &selectors, range).await?;
    Ok(json(encode::series(&streams, &warnings)))
}

async fn index_stats(State(querier): State<Querier>, request: Request) -> Result<Response, Refused> {
    let asked = asked(&querier, request).await?;
    let (start, end) = asked.params.bounds(querier.now())?;
    check_order(start, end)?;
    asked.params.step(start, end)?;
    let matchers = parse_matchers(asked.params.get("query"), false).map_err(QueryError::Matchers)?;
    let log = LogExpr { matchers, stages: Vec::new() };
    let limits = querier.limits(&asked.tenant);
    checks::length(start, end, &limits)?;
    let start = checks::lookback(start, end, &limits, querier.now())?;
    let params = PlanParams {
        start,
        end,
        step: None,
        limit: 1,
        direction: Direction::Backward,
        interval: Duration::ZERO,
        max_series: 1,
        now: start,
    };
    let Plan::Log(plan) = plan(&Expr::Log(log), &params).map_err(QueryError::Plan)? else {
        return Err(QueryError::Unsupported("only label matchers are supported").into());
    };
    let (stats, warnings) = querier.index_stats(&asked.tenant, plan, TimeRange::new(start, Timestamp(end.0.saturating_add(1)))).await?;
    let mut answer = serde_json::json!(stats);
    if !warnings.is_empty() {
        answer["warnings"] = serde_json::json!(warnings);
    }
    Ok(axum::Json(answer).into_response())
}

/// The query in its readable form; it needs no tenant, and its errors are JSON.
async fn format_query(request: Request) -> Result<Response, Refused> {
    let params = params_of(request).await?;
    let (status, answer) = match skald_logql::parse(params.get("query")) {
        Ok(expr) => (StatusCode::OK, serde_json::json!({ "status": "success", "data": skald_logql::pretty(&expr) })),
        Err(error) => (StatusCode::BAD_REQUEST, serde_json::json!({ "status": "invalid-query", "error": error.to_string() })),
    };
    Ok((status, [(header::CONTENT_TYPE, "application/json; charset=utf-8")], answer.to_string()).into_response())
}
