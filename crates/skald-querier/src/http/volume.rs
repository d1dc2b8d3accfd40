//! Volumes.

use super::{Asked, Refused, asked, json};
use crate::checks;
use crate::encode;
use crate::error::QueryError;
use crate::params::{ParamError, check_order};
use crate::service::{Answer, AnswerData, Querier};
use crate::volume::{AggregateBy, VolumeRequest};
use axum::extract::{Request, State};
use axum::response::Response;
use skald_logql::parse_matchers;

pub(super) async fn volume(State(querier): State<Querier>, request: Request) -> Result<Response, Refused> {
    answer(&querier, asked(&querier, request).await?, false).await
}

pub(super) async fn volume_range(State(querier): State<Querier>, request: Request) -> Result<Response, Refused> {
    answer(&querier, asked(&querier, request).await?, true).await
}

async fn answer(querier: &Querier, asked: Asked, is_range: bool) -> Result<Response, Refused> {
    let Asked { caller, params, .. } = asked;
    let (start, end) = params.bounds(querier.now())?;
    check_order(start, end)?;
    // A step is checked also where it has no use.
    let step = params.step(start, end)?;
    caller.work().record().asked_about(params.get("query"), (start, end), is_range.then_some(step));
    let limit = params.volume_limit()?;
    let by = match params.get("aggregateBy") {
        "" | "series" => AggregateBy::Series,
        "labels" => AggregateBy::Labels,
        _ => return Err(ParamError("invalid aggregation option".to_owned()).into()),
    };
    let matchers = parse_matchers(params.get("query"), true).map_err(QueryError::Matchers)?;
    checks::length(start, end, caller.limits())?;
    let start = checks::lookback(start, end, caller.limits(), querier.now())?;
    let target_labels = params.get("targetLabels").to_owned();
    let request = VolumeRequest { matchers, start, end, step: is_range.then_some(step), limit, target_labels, by };
    let Answer { data, warnings, stats } = querier.volume(&caller, request).await?;
    Ok(json(match data {
        AnswerData::Metric(result) => encode::metric(&result, &warnings, &stats, caller.work())?,
        AnswerData::Entries(_) => return Err(QueryError::Stopped.into()),
    }))
}
