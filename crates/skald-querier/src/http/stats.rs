//! What a selector would read.

use super::{Asked, Refused, asked, json};
use crate::checks;
use crate::error::QueryError;
use crate::params::check_order;
use crate::service::Querier;
use axum::extract::{Request, State};
use axum::response::Response;
use skald_logql::parse_matchers;

pub(super) async fn index_stats(State(querier): State<Querier>, request: Request) -> Result<Response, Refused> {
    let Asked { caller, params, .. } = asked(&querier, request).await?;
    let (start, end) = params.bounds(querier.now())?;
    check_order(start, end)?;
    let step = params.step(start, end)?;
    caller.work().record().asked_about(params.get("query"), (start, end), Some(step));
    let matchers = parse_matchers(params.get("query"), false).map_err(QueryError::Matchers)?;
    checks::length(start, end, caller.limits())?;
    let start = checks::lookback(start, end, caller.limits(), querier.now())?;
    let (stats, warnings) = querier.index_stats(&caller, matchers, start, end).await?;
    let mut answer = serde_json::json!(stats);
    if !warnings.is_empty() {
        answer["warnings"] = serde_json::json!(warnings);
    }
    Ok(json(answer.to_string().into_bytes()))
}
