//! Log queries in the form that clients of old ask and read.

use super::{Asked, Refused, asked, json};
use crate::encode;
use crate::error::QueryError;
use crate::params::check_order;
use crate::service::{Answer, AnswerData, Querier, QueryRequest};
use axum::extract::{Request, State};
use axum::response::Response;
use skald_logql::ast::Expr;

const LOG_ONLY: QueryError = QueryError::Unsupported("legacy endpoints only support streams result type");

/// A log query. `regexp` is one more line filter.
pub(super) async fn query(State(querier): State<Querier>, request: Request) -> Result<Response, Refused> {
    let Asked { caller, params, .. } = asked(&querier, request).await?;
    let (start, end) = params.bounds(querier.now())?;
    check_order(start, end)?;
    let text = with_regexp(params.get("query"), params.get("regexp"))?;
    let (limit, forward) = (params.limit()?, params.forward()?);
    let (step, interval) = (Some(params.step(start, end)?), params.interval()?);
    let request = QueryRequest { text, start, end, step, interval, limit, forward };
    let work = caller.work().clone();
    let encode = move |Answer { data, warnings, stats }| match data {
        AnswerData::Entries(entries) => {
            // The entries are copied once to stand by stream.
            let _copied = work.budget().hold(entries.heap_bytes() as u64)?;
            encode::legacy_streams(&entries.streams(), &warnings, &stats, &work)
        }
        AnswerData::Metric(_) => Err(LOG_ONLY),
    };
    Ok(json(querier.query_and(&caller, request, encode).await?))
}

/// The query with `|~ "regexp"` behind it. It stands on a line of its own, in case that the query ends in a comment.
fn with_regexp(query: &str, regexp: &str) -> Result<String, QueryError> {
    match skald_logql::parse(query)? {
        Expr::Metric(_) => Err(LOG_ONLY),
        Expr::Log(_) if regexp.is_empty() => Ok(query.to_owned()),
        Expr::Log(_) => {
            let mut text = format!("{query}\n|~ ");
            skald_model::quote(&mut text, regexp);
            Ok(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, regexp: &str, want: Result<&str, &str>) {
        let found = with_regexp(query, regexp).and_then(|text| Ok(skald_logql::parse(&text)?.to_string()));
        assert_eq!(found.as_deref().map_err(ToString::to_string), want.map_err(str::to_owned), "{query} {regexp}");
    }

    #[test]
    fn the_regexp_is_one_more_line_filter() {
        check(r#"{a="b"}"#, "", Ok(r#"{a="b"}"#));
        check(r#"{a="b"} |= "x" # all"#, r#"\d"?"#, Ok(r#"{a="b"} |= "x" |~ "\\d\"?""#));
        check(r#"rate({a="b"}[1m])"#, "x", Err("legacy endpoints only support streams result type"));
        check("{", "x", Err("parse error at line 1, col 2: syntax error: unexpected $end, expecting IDENTIFIER or }"));
    }
}
