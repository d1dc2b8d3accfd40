//! Limits on queries, with the texts that clients know.

use crate::caller::Caller;
use crate::error::QueryError;
use crate::gather::Sources;
use crate::service::{Answer, AnswerData, QueryRequest};
use skald_config::{AskedQuery, Limits};
use skald_logql::ast::{Expr, LogExpr, MetricExpr, RangeAggregation};
use skald_logql::exec::{MetricResult, Selector};
use skald_logql::units::{format_duration, format_go_duration, format_size};
use skald_model::{TimeRange, Timestamp};
use std::time::Duration;

/// Labels of streams that the server writes for itself.
const INTERNAL_LABELS: [&str; 2] = ["__aggregated_metric__", "__pattern__"];
/// Most series that are counted for a client that takes a part of them.
const PARTIAL_SERIES_MAX: usize = 200_000;

/// Whether the tenant's queries are on.
pub(crate) fn enabled(limits: &Limits) -> Result<(), QueryError> {
    match limits.max_query_parallelism.min(limits.tsdb_max_query_parallelism) {
        0 => Err(QueryError::Disabled),
        _ => Ok(()),
    }
}

/// Refuses what the tenant's rules block.
pub(crate) fn blocked(expr: &Expr, text: &str, caller: &Caller) -> Result<(), QueryError> {
    let kind = match expr {
        Expr::Metric(_) => "metric",
        Expr::Log(log) if log.stages.is_empty() => "limited",
        Expr::Log(_) => "filter",
    };
    let asked = AskedQuery { text, kind, tags: caller.tags().as_str() };
    match caller.limits().blocked_queries.iter().any(|rule| rule.blocks(&asked)) {
        true => refuse("query blocked by policy".to_owned()),
        false => Ok(()),
    }
}

/// Whether the streams of a selector are not shown to this caller: those that the server writes for itself are for Logs Drilldown alone.
pub(crate) fn is_hidden(selector: &Selector, caller: &Caller) -> bool {
    let is_internal = selector.matchers().iter().any(|matcher| INTERNAL_LABELS.contains(&matcher.name.as_str()));
    is_internal && !caller.tags().is_drilldown()
}

/// Most series that are evaluated: Logs Drilldown takes a part of too many instead of an error.
pub(crate) fn series_max(caller: &Caller) -> usize {
    let max = caller.limits().max_query_series;
    if caller.tags().is_drilldown() { max.max(PARTIAL_SERIES_MAX) } else { max }
}

/// Leaves the first series in, as many as the tenant may have, and says so.
pub(crate) fn cut_series(answer: &mut Answer, caller: &Caller) {
    let max = caller.limits().max_query_series;
    let series = match &mut answer.data {
        AnswerData::Metric(MetricResult::Vector(samples)) => {
            let count = samples.len();
            samples.truncate(max);
            count
        }
        AnswerData::Metric(MetricResult::Matrix(series)) => {
            let count = series.len();
            series.truncate(max);
            count
        }
        AnswerData::Metric(MetricResult::Scalar { .. }) | AnswerData::Entries(_) => 0,
    };
    answer.stats.series_cut = series.saturating_sub(max) as u64;
    if answer.stats.series_cut > 0 {
        answer.warnings.push(format!("maximum number of series ({max}) reached for a single query; returning partial results"));
    }
}

/// What is known before anything is planned.
pub(crate) fn query(expr: &Expr, request: &QueryRequest, limits: &Limits) -> Result<(), QueryError> {
    match expr {
        Expr::Log(_) if request.step.is_none() => {
            let text = "log queries are not supported as an instant query type, please change your query to a range query type";
            return Err(QueryError::Unsupported(text));
        }
        Expr::Log(_) => entries(request.limit, limits)?,
        Expr::Metric(metric) => ranges(metric, limits)?,
    }
    length(request.start, request.end, limits)
}

fn refuse<T>(text: String) -> Result<T, QueryError> {
    Err(QueryError::Limit(text))
}

fn entries(limit: u64, limits: &Limits) -> Result<(), QueryError> {
    let max = limits.max_entries_limit_per_query as u64;
    if max > 0 && limit > max {
        return refuse(format!("max entries limit per query exceeded, limit > max_entries_limit_per_query ({limit} > {max})"));
    }
    Ok(())
}

/// Whether a query's span is short enough.
pub(crate) fn length(start: Timestamp, end: Timestamp, limits: &Limits) -> Result<(), QueryError> {
    let nanos = end.0.saturating_sub(start.0);
    let max = limits.max_query_length;
    if !max.is_zero() && i128::from(nanos) > max.as_nanos() as i128 {
        let (length, limit) = (format_go_duration(nanos), format_duration(max));
        return refuse(format!("the query time range exceeds the limit (query length: {length}, limit: {limit})"));
    }
    Ok(())
}

fn ranges(metric: &MetricExpr, limits: &Limits) -> Result<(), QueryError> {
    let max = limits.max_query_range;
    let mut longest = Duration::ZERO;
    each_range(metric, &mut |range| longest = longest.max(range.range));
    if !max.is_zero() && longest > max {
        return refuse(format!("[interval] value exceeds limit: [{}] > [{}]", format_duration(longest), format_duration(max)));
    }
    Ok(())
}

/// Whether the selectors have as many matchers as they must, and not more than they may.
pub(crate) fn selectors(expr: &Expr, limits: &Limits) -> Result<(), QueryError> {
    match expr {
        Expr::Log(log) => selector(log, limits),
        Expr::Metric(metric) => {
            let mut result = Ok(());
            each_range(metric, &mut |range| {
                if result.is_ok() {
                    result = selector(&range.log, limits);
                }
            });
            result
        }
    }
}

fn selector(log: &LogExpr, limits: &Limits) -> Result<(), QueryError> {
    let (count, max) = (log.matchers.len(), limits.max_streams_matchers_per_query);
    if max > 0 && count > max {
        return refuse(format!("max streams matchers per query exceeded, matchers-count > limit ({count} > {max})"));
    }
    let present: Vec<&str> = log.matchers.iter().map(|matcher| matcher.name.as_str()).collect();
    let missing: Vec<&str> = limits.required_labels.iter().map(String::as_str).filter(|label| !present.contains(label)).collect();
    if !missing.is_empty() {
        return refuse(format!(
            "stream selector is missing required matchers [{}], labels present in the query were [{}]",
            missing.join(", "),
            present.join(", ")
        ));
    }
    if present.len() < limits.minimum_labels_number {
        return refuse(format!(
            "stream selector has less label matchers than required: (present: [{}], number_present: {}, required_number_label_matchers: {})",
            present.join(", "),
            present.len(),
            limits.minimum_labels_number
        ));
    }
    Ok(())
}

/// Refuses a query that would look at more than the tenant may read.
pub(crate) fn bytes(sources: &Sources, range: TimeRange, limits: &Limits) -> Result<(), QueryError> {
    let (max, of_querier) = (limits.max_query_bytes_read.0, limits.max_querier_bytes_read.0);
    if max == 0 && of_querier == 0 {
        return Ok(());
    }
    let inside = sources.streams.iter().flat_map(|stream| &stream.runs).filter(|run| range.overlaps(run.min, run.max));
    let bytes: u64 = inside.map(|run| run.place.line_bytes()).sum();
    let advice = "consider adding more specific stream selectors or reduce the time range of the query";
    if max > 0 && bytes > max {
        let (bytes, max) = (format_size(bytes), format_size(max));
        return refuse(format!("the query would read too many bytes (query: {bytes}, limit: {max}); {advice}"));
    }
    if of_querier > 0 && bytes > of_querier {
        let (bytes, max) = (format_size(bytes), format_size(of_querier));
        return refuse(format!("query too large to execute on a single querier: (query: {bytes}, limit: {max}); {advice}"));
    }
    Ok(())
}

/// The start, moved to where the tenant may look back to at most; refuses a range that lies before that.
pub(crate) fn lookback(start: Timestamp, end: Timestamp, limits: &Limits, now: Timestamp) -> Result<Timestamp, QueryError> {
    let max = limits.max_query_lookback;
    let start = if max.is_zero() { start } else { start.max(now.minus(max)) };
    if end < start {
        let max = format_duration(max);
        return refuse(format!("this data is no longer available, it is past now - max_query_lookback ({max})"));
    }
    Ok(start)
}

fn each_range(metric: &MetricExpr, visit: &mut dyn FnMut(&RangeAggregation)) {
    match metric {
        MetricExpr::Range(range) => visit(range),
        MetricExpr::Vector(vector) => each_range(&vector.inner, visit),
        MetricExpr::Binary(binary) => {
            each_range(&binary.left, visit);
            each_range(&binary.right, visit);
        }
        MetricExpr::LabelReplace(replace) => each_range(&replace.inner, visit),
        MetricExpr::Literal(_) | MetricExpr::VectorLiteral(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_moves_to_the_lookback_and_what_lies_before_it_is_refused() {
        let secs = Timestamp::from_secs;
        let limits = Limits { max_query_lookback: Duration::from_secs(100), ..Limits::default() };
        let check = |start, end, limits: &Limits| lookback(secs(start), secs(end), limits, secs(1000)).map_err(|error| error.to_string());
        assert_eq!(check(950, 960, &limits), Ok(secs(950)));
        assert_eq!(check(0, 960, &limits), Ok(secs(900)));
        assert_eq!(check(900, 900, &limits), Ok(secs(900)));
        let refused = "this data is no longer available, it is past now - max_query_lookback (1m40s)".to_owned();
        assert_eq!(check(899, 899, &limits), Err(refused));
        assert_eq!(check(0, 1, &Limits::default()), Ok(secs(0)));
    }
}
