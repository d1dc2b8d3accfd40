//! Label names, label values and series.

use super::{Asked, Refused, asked, json};
use crate::caller::Caller;
use crate::checks;
use crate::encode;
use crate::error::QueryError;
use crate::params::{ParamError, Params};
use crate::service::Querier;
use crate::tenants::TENANT_LABEL;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use skald_logql::ast::Matcher;
use skald_logql::exec::Selector;
use skald_logql::parse_matchers;
use skald_model::{Labels, TimeRange, Timestamp};
use std::collections::BTreeSet;

/// Most selectors of one request for series.
const SELECTORS_MAX: usize = 64;

/// The inclusive window of a metadata request about `query`, as a half-open range.
fn window(querier: &Querier, caller: &Caller, params: &Params, query: &str) -> Result<TimeRange, Refused> {
    let (start, end) = params.bounds(querier.now())?;
    caller.work().record().asked_about(query, (start, end), None);
    let start = checks::lookback(start, end, caller.limits(), querier.now())?;
    checks::length(start, end, caller.limits())?;
    Ok(TimeRange::new(start, Timestamp(end.0.saturating_add(1))))
}

/// Compiles on the CPU pool: large regular expressions take a while.
async fn compile(caller: &Caller, matchers: Vec<Matcher>) -> Result<Selector, QueryError> {
    caller.work().on_pool(move || Ok(Selector::compile(&matchers).map_err(ParamError)?)).await
}

pub(super) async fn streams_of(querier: &Querier, asked: &Asked) -> Result<(BTreeSet<Labels>, Vec<String>), Refused> {
    let text = asked.params.get("query");
    let range = window(querier, &asked.caller, &asked.params, text)?;
    let matchers = if text.is_empty() { Vec::new() } else { parse_matchers(text, false).map_err(QueryError::Matchers)? };
    Ok(querier.series(&asked.caller, &[compile(&asked.caller, matchers).await?], range).await?)
}

pub(super) async fn labels(State(querier): State<Querier>, request: Request) -> Result<Response, Refused> {
    let asked = asked(&querier, request).await?;
    let (streams, warnings) = streams_of(&querier, &asked).await?;
    let mut names: BTreeSet<&str> = streams.iter().flat_map(|labels| labels.iter().map(|(name, _)| name)).collect();
    if asked.caller.tenants().len() > 1 {
        names.insert(TENANT_LABEL);
    }
    Ok(json(encode::names(&names.into_iter().map(str::to_owned).collect::<Vec<_>>(), &warnings)))
}

pub(super) async fn label_values(State(querier): State<Querier>, Path(name): Path<String>, request: Request) -> Result<Response, Refused> {
    let asked = asked(&querier, request).await?;
    if name == TENANT_LABEL && querier.config().querier.multi_tenant_queries_enabled {
        let tenants: Vec<_> = asked.caller.tenants().iter().map(ToString::to_string).collect();
        return Ok(json(encode::names(&tenants, &[])));
    }
    let (streams, warnings) = streams_of(&querier, &asked).await?;
    let values: BTreeSet<&str> = streams.iter().filter_map(|labels| labels.get(&name)).collect();
    Ok(json(encode::names(&values.into_iter().map(str::to_owned).collect::<Vec<_>>(), &warnings)))
}

pub(super) async fn series(State(querier): State<Querier>, request: Request) -> Result<Response, Refused> {
    let asked = asked(&querier, request).await?;
    let texts: Vec<&str> = asked.params.all(&["match[]", "match"]).collect();
    let range = window(&querier, &asked.caller, &asked.params, &texts.join(", "))?;
    if texts.len() > SELECTORS_MAX {
        return Err(ParamError(format!("too many match[] parameters: {}, at most {SELECTORS_MAX} are allowed", texts.len())).into());
    }
    let mut selectors = Vec::new();
    for text in &texts {
        let matchers = parse_matchers(text, true).map_err(QueryError::Matchers)?;
        if matchers.is_empty() && texts.len() > 1 {
            return Err(ParamError(format!("0 matchers in group: {text}")).into());
        }
        selectors.push(compile(&asked.caller, matchers).await?);
    }
    if selectors.is_empty() {
        selectors.push(compile(&asked.caller, Vec::new()).await?);
    }
    let (streams, warnings) = querier.series(&asked.caller, &selectors, range).await?;
    Ok(json(encode::series(&streams, &warnings)))
}
