//! Log and metric queries.

use super::{Asked, Refused, asked, json};
use crate::caller::Caller;
use crate::encode;
use crate::error::QueryError;
use crate::metrics::Status;
use crate::params::check_order;
use crate::service::{Answer, AnswerData, Querier, QueryRequest};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use skald_rpc::http_status;
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
    answer(&querier, &caller, request, &headers).await
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
    answer(&querier, &caller, request, &headers).await
}

async fn answer(querier: &Querier, caller: &Caller, request: QueryRequest, headers: &HeaderMap) -> Result<Response, Refused> {
    let result = querier.query(caller, request).await;
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
    /// Counts a query in the metrics.
    pub(super) fn count(&self, result: &Result<Answer, QueryError>) {
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

pub(super) fn encoding_flags(headers: &HeaderMap) -> Vec<String> {
    let text = headers.get(ENCODING_FLAGS).and_then(|value| value.to_str().ok()).unwrap_or("");
    text.split(',').map(str::trim).filter(|flag| !flag.is_empty()).map(str::to_owned).collect()
}
