//! Log and metric queries.

use super::{Asked, Refused, asked, json};
use crate::caller::Caller;
use crate::params::{Params, check_order};
use crate::service::{Answer, AnswerData, Querier, QueryRequest};
use crate::{encode, explain};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use std::time::Duration;

/// Header by which clients ask for labels split by category; its flags are echoed.
const ENCODING_FLAGS: &str = "x-loki-response-encoding-flags";

pub(super) async fn query_range(State(querier): State<Querier>, request: Request) -> Result<Response, Refused> {
    let Asked { caller, params, headers } = asked(&querier, request).await?;
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
    answer(&querier, &caller, request, &params, &headers).await
}

pub(super) async fn query(State(querier): State<Querier>, request: Request) -> Result<Response, Refused> {
    let Asked { caller, params, headers } = asked(&querier, request).await?;
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
    answer(&querier, &caller, request, &params, &headers).await
}

async fn answer(
    querier: &Querier,
    caller: &Caller,
    request: QueryRequest,
    params: &Params,
    headers: &HeaderMap,
) -> Result<Response, Refused> {
    if params.explain()? {
        let profiler = caller.work().profile(querier.clock().clone());
        let encode = move |answer: Answer| explain::encode(&profiler, &answer);
        return Ok(json(querier.query_and(caller, request, encode).await?));
    }
    let (flags, work) = (encoding_flags(headers), caller.work().clone());
    let encode = move |Answer { data, warnings, stats }| match data {
        AnswerData::Metric(result) => encode::metric(&result, &warnings, &stats, &work),
        AnswerData::Entries(entries) => {
            // The entries are copied once to stand by stream.
            let _copied = work.budget().hold(entries.heap_bytes() as u64)?;
            let categorise = flags.iter().any(|flag| flag == encode::CATEGORIZE_LABELS);
            let streams = if categorise { entries.categorised() } else { entries.streams() };
            encode::streams(&streams, &flags, &warnings, &stats, &work)
        }
    };
    Ok(json(querier.query_and(caller, request, encode).await?))
}

pub(super) fn encoding_flags(headers: &HeaderMap) -> Vec<String> {
    let text = headers.get(ENCODING_FLAGS).and_then(|value| value.to_str().ok()).unwrap_or("");
    text.split(',').map(str::trim).filter(|flag| !flag.is_empty()).map(str::to_owned).collect()
}
