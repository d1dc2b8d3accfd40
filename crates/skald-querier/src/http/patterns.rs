//! Patterns of lines.

use super::{Asked, Refused, asked, json};
use crate::params::check_order;
use crate::patterns::{Pattern, PatternsRequest};
use crate::service::Querier;
use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::Value;

pub(super) async fn patterns(State(querier): State<Querier>, request: Request) -> Result<Response, Refused> {
    let Asked { caller, params, .. } = asked(&querier, request).await?;
    let (start, end) = params.bounds(querier.now())?;
    check_order(start, end)?;
    let request = PatternsRequest { text: params.get("query").to_owned(), start, end, step: params.step(start, end)? };
    let found = querier.patterns(&caller, request).await?;
    let mut answer = serde_json::json!({ "status": "success" });
    if !found.warnings.is_empty() {
        answer["warnings"] = found.warnings.into();
    }
    answer["data"] = found.patterns.into_iter().map(to_json).collect();
    Ok(json(answer.to_string().into_bytes()))
}

fn to_json(pattern: Pattern) -> Value {
    let samples: Vec<[Value; 2]> = pattern.samples.into_iter().map(|(seconds, lines)| [seconds.into(), lines.into()]).collect();
    serde_json::json!({ "pattern": pattern.text, "level": pattern.level.as_str(), "samples": samples })
}
