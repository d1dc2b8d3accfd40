//! Label names, label values and series.

use super::{Asked, Refused, asked, json};
use crate::caller::Caller;
use crate::checks;
use crate::encode;
use crate::error::QueryError;
use crate::index::{both_inside, compile};
use crate::params::{ParamError, Params};
use crate::service::Querier;
use crate::tenants::TENANT_LABEL;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use skald_logql::exec::Selector;
use skald_logql::parse_matchers;
use skald_model::TimeRange;

/// Most selectors of one request for series.
const SELECTORS_MAX: usize = 64;

/// The inclusive window of a metadata request about `query`, as a half-open range.
fn window(querier: &Querier, caller: &Caller, params: &Params, query: &str) -> Result<TimeRange, Refused> {
    let (start, end) = params.bounds(querier.now())?;
    caller.work().record().asked_about(query, (start, end), None);
    let start = checks::lookback(start, end, caller.limits(), querier.now())?;
    checks::length(start, end, caller.limits())?;
    Ok(both_inside(start, end))
}

/// The streams and the time that a request is about.
pub(super) async fn selected(querier: &Querier, asked: &Asked) -> Result<(Selector, TimeRange), Refused> {
    let text = asked.params.get("query");
    let range = window(querier, &asked.caller, &asked.params, text)?;
    let matchers = if text.is_empty() { Vec::new() } else { parse_matchers(text, false).map_err(QueryError::Matchers)? };
    Ok((compile(&asked.caller, matchers).await?, range))
}

pub(super) async fn labels(State(querier): State<Querier>, request: Request) -> Result<Response, Refused> {
    let asked = asked(&querier, request).await?;
    let (selector, range) = selected(&querier, &asked).await?;
    let (mut names, warnings) = querier.label_names(&asked.caller, &selector, range).await?;
    if asked.caller.tenants().len() > 1 {
        names.insert(TENANT_LABEL.to_owned());
    }
    Ok(json(encode::names(&names, &warnings)))
}

pub(super) async fn label_values(State(querier): State<Querier>, Path(name): Path<String>, request: Request) -> Result<Response, Refused> {
    let asked = asked(&querier, request).await?;
    if name == TENANT_LABEL && querier.config().querier.multi_tenant_queries_enabled {
        let tenants = asked.caller.tenants().iter().map(ToString::to_string).collect();
        return Ok(json(encode::names(&tenants, &[])));
    }
    let (selector, range) = selected(&querier, &asked).await?;
    let (values, warnings) = querier.label_values(&asked.caller, &selector, &name, range).await?;
    Ok(json(encode::names(&values, &warnings)))
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
