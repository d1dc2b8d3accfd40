//! What a selector would read.

use super::{Refused, asked};
use crate::checks;
use crate::error::QueryError;
use crate::params::check_order;
use crate::service::Querier;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use skald_logql::ast::{Expr, LogExpr};
use skald_logql::parse_matchers;
use skald_logql::plan::{Direction, Params as PlanParams, Plan, Rewrites, plan};
use skald_model::{TimeRange, Timestamp};
use std::time::Duration;

pub(super) async fn index_stats(State(querier): State<Querier>, request: Request) -> Result<Response, Refused> {
    let asked = asked(&querier, request).await?;
    let (start, end) = asked.params.bounds(querier.now())?;
    check_order(start, end)?;
    asked.params.step(start, end)?;
    let matchers = parse_matchers(asked.params.get("query"), false).map_err(QueryError::Matchers)?;
    let log = LogExpr { matchers, stages: Vec::new() };
    let limits = asked.caller.limits();
    checks::length(start, end, limits)?;
    let start = checks::lookback(start, end, limits, querier.now())?;
    let params = PlanParams {
        start,
        end,
        step: None,
        limit: 1,
        direction: Direction::Backward,
        interval: Duration::ZERO,
        max_series: 1,
        now: start,
        rewrites: Rewrites::ALL,
    };
    let Plan::Log(plan) = plan(&Expr::Log(log), &params).map_err(QueryError::Plan)? else {
        return Err(QueryError::Unsupported("only label matchers are supported").into());
    };
    let (stats, warnings) = querier.index_stats(&asked.caller, plan, TimeRange::new(start, Timestamp(end.0.saturating_add(1)))).await?;
    let mut answer = serde_json::json!(stats);
    if !warnings.is_empty() {
        answer["warnings"] = serde_json::json!(warnings);
    }
    Ok(axum::Json(answer).into_response())
}
