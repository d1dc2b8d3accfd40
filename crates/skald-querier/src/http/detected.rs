//! Labels and fields that are found by looking at streams and lines.

use super::metadata::selected;
use super::{Asked, Refused, asked, json};
use crate::detected_fields::{self, Fields};
use crate::detected_labels;
use crate::error::QueryError;
use crate::params::check_order;
use crate::service::{Answer, AnswerData, Querier, QueryRequest};
use crate::tenants::TENANT_LABEL;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use serde_json::{Map, Value};
use skald_logql::ast::Expr;
use std::time::Duration;

/// Lines that are looked at, where a request does not say.
const LINE_LIMIT_DEFAULT: u64 = 100;
/// Fields or values of an answer, where a request does not say.
const LIMIT_DEFAULT: u64 = 1000;

pub(super) async fn labels(State(querier): State<Querier>, request: Request) -> Result<Response, Refused> {
    let asked = asked(&querier, request).await?;
    let (selector, range) = selected(&querier, &asked).await?;
    let (labels, warnings) = querier.values_by_name(&asked.caller, &selector, range).await?;
    let hidden = if asked.caller.tenants().len() > 1 { &[TENANT_LABEL][..] } else { &[] };
    let labels = detected_labels::detect(labels, hidden);
    let members = if labels.is_empty() { vec![] } else { vec![("detectedLabels", serde_json::json!(labels))] };
    Ok(answer(members, &warnings))
}

pub(super) async fn fields(State(querier): State<Querier>, request: Request) -> Result<Response, Refused> {
    let (fields, limit, warnings) = detect(&querier, asked(&querier, request).await?).await?;
    let fields = fields.to_json(usize::try_from(limit).unwrap_or(usize::MAX));
    let members = if fields.is_empty() { vec![] } else { vec![("fields", fields.into()), ("limit", limit.into())] };
    Ok(answer(members, &warnings))
}

pub(super) async fn values(State(querier): State<Querier>, Path(name): Path<String>, request: Request) -> Result<Response, Refused> {
    let (fields, limit, warnings) = detect(&querier, asked(&querier, request).await?).await?;
    let values = fields.values(&name, usize::try_from(limit).unwrap_or(usize::MAX));
    let members = if values.is_empty() { vec![] } else { vec![("values", values.into()), ("limit", limit.into())] };
    Ok(answer(members, &warnings))
}

/// Fields of the newest lines of a query, how many the client wants, and what is missing.
async fn detect(querier: &Querier, asked: Asked) -> Result<(Fields, u64, Vec<String>), Refused> {
    let Asked { caller, params, .. } = asked;
    let (start, end) = params.bounds(querier.now())?;
    check_order(start, end)?;
    let limit = params.positive(&["limit", "field_limit"], LIMIT_DEFAULT)?;
    let request = QueryRequest {
        text: params.get("query").to_owned(),
        start,
        end,
        step: Some(params.step(start, end)?),
        interval: Duration::ZERO,
        limit: params.positive(&["line_limit"], LINE_LIMIT_DEFAULT)?,
        forward: false,
    };
    if let Expr::Metric(_) = skald_logql::parse(&request.text).map_err(QueryError::Parse)? {
        return Err(QueryError::Unsupported("only log selector is supported").into());
    }
    let work = caller.work().clone();
    let find = move |Answer { data, warnings, .. }| match data {
        AnswerData::Entries(entries) => {
            // The entries are copied once to stand by stream.
            let _copied = work.budget().hold(entries.heap_bytes() as u64)?;
            Ok((detected_fields::detect(&entries.categorised()), warnings))
        }
        AnswerData::Metric(_) => Ok((Fields::default(), warnings)),
    };
    let (fields, warnings) = querier.query_and(&caller, request, find).await?;
    Ok((fields, limit, warnings))
}

fn answer(members: Vec<(&str, Value)>, warnings: &[String]) -> Response {
    let mut answer: Map<String, Value> = members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    if !warnings.is_empty() {
        answer.insert("warnings".to_owned(), warnings.into());
    }
    json(Value::Object(answer).to_string().into_bytes())
}
