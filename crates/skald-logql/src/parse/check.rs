//! What the grammar cannot say.

use super::ParseError;
use crate::ast::{Expr, LogExpr, MatchOp, Matcher, MetricExpr, RangeAggregation, RangeOp};
use crate::regex::{self, Flags};
use crate::units::format_float;
use std::collections::HashSet;

/// Refuses a bad regular expression of a matcher.
pub(super) fn matcher_regex(pattern: &str) -> Result<(), ParseError> {
    regex::parse(pattern, Flags::SELECTOR).map(drop).map_err(|err| ParseError::new(err.to_string()))
}

/// Refuses a `regexp` stage that could set no label, or one twice.
pub(super) fn regexp_stage(pattern: &str) -> Result<(), ParseError> {
    let invalid = |cause: String| ParseError::new(format!("invalid regexp parser: {cause}"));
    regex::parse(pattern, Flags::SEARCH).map_err(|err| invalid(err.to_string()))?;
    let names = regex::capture_names(pattern);
    if names.is_empty() {
        return Err(invalid("at least one named capture must be supplied".to_owned()));
    }
    let mut seen = HashSet::new();
    match names.into_iter().find(|name| !seen.insert(name.clone())) {
        Some(twice) => Err(invalid(format!("duplicate extracted label name '{twice}'"))),
        None => Ok(()),
    }
}

/// Refuses a pattern of `label_replace`, which is judged with its anchors.
pub(super) fn label_replace(pattern: &str) -> Result<(), ParseError> {
    let anchored = format!("^(?:{pattern})$");
    let checked = regex::parse(&anchored, Flags::SEARCH);
    checked.map(drop).map_err(|err| ParseError::new(format!("invalid regex in label_replace: {err}")))
}

/// Refuses what the function does not take.
pub(super) fn range_aggregation(aggregation: &RangeAggregation) -> Result<(), ParseError> {
    let op = aggregation.op;
    match (op, aggregation.parameter) {
        (RangeOp::QuantileOverTime, None) => return Err(ParseError::new(format!("parameter required for operation {op}"))),
        (RangeOp::QuantileOverTime, Some(_)) | (_, None) => {}
        (_, Some(parameter)) => {
            return Err(ParseError::new(format!("parameter {} not supported for operation {op}", format_float(parameter))));
        }
    }
    if aggregation.grouping.is_some() && !takes_grouping(op) {
        return Err(ParseError::new(format!("grouping not allowed for {op} aggregation")));
    }
    match (aggregation.unwrap.is_some(), takes_unwrap(op)) {
        (true, Unwrapped::Never) => Err(ParseError::new(format!("invalid aggregation {op} with unwrap"))),
        (false, Unwrapped::Always) => Err(ParseError::new(format!("invalid aggregation {op} without unwrap"))),
        _ => Ok(()),
    }
}

fn takes_grouping(op: RangeOp) -> bool {
    match op {
        RangeOp::AvgOverTime
        | RangeOp::MinOverTime
        | RangeOp::MaxOverTime
        | RangeOp::StdvarOverTime
        | RangeOp::StddevOverTime
        | RangeOp::QuantileOverTime
        | RangeOp::FirstOverTime
        | RangeOp::LastOverTime => true,
        RangeOp::Rate
        | RangeOp::RateCounter
        | RangeOp::CountOverTime
        | RangeOp::BytesRate
        | RangeOp::BytesOverTime
        | RangeOp::SumOverTime
        | RangeOp::AbsentOverTime => false,
    }
}

/// Whether a function works on unwrapped values.
enum Unwrapped {
    Always,
    Maybe,
    Never,
}

fn takes_unwrap(op: RangeOp) -> Unwrapped {
    match op {
        RangeOp::CountOverTime | RangeOp::BytesRate | RangeOp::BytesOverTime => Unwrapped::Never,
        RangeOp::Rate | RangeOp::AbsentOverTime => Unwrapped::Maybe,
        RangeOp::RateCounter
        | RangeOp::AvgOverTime
        | RangeOp::SumOverTime
        | RangeOp::MinOverTime
        | RangeOp::MaxOverTime
        | RangeOp::StdvarOverTime
        | RangeOp::StddevOverTime
        | RangeOp::QuantileOverTime
        | RangeOp::FirstOverTime
        | RangeOp::LastOverTime => Unwrapped::Always,
    }
}

/// Refuses a query in which some selector could mean every stream.
pub(super) fn selectors(expr: &Expr) -> Result<(), ParseError> {
    match expr {
        Expr::Log(log) => selector(log),
        Expr::Metric(metric) => metric_selectors(metric),
    }
}

fn metric_selectors(expr: &MetricExpr) -> Result<(), ParseError> {
    match expr {
        MetricExpr::Range(range) => selector(&range.log),
        MetricExpr::Vector(vector) => metric_selectors(&vector.inner),
        MetricExpr::Binary(binary) => {
            metric_selectors(&binary.left)?;
            metric_selectors(&binary.right)
        }
        MetricExpr::Literal(_) | MetricExpr::VectorLiteral(_) => Ok(()),
        MetricExpr::LabelReplace(replace) => metric_selectors(&replace.inner),
    }
}

fn selector(log: &LogExpr) -> Result<(), ParseError> {
    if log.matchers.iter().any(|matcher| !matches_empty(matcher)) {
        return Ok(());
    }
    Err(ParseError::new(
        "queries require at least one regexp or equality matcher that does not have an empty-compatible value. \
         For instance, app=~\".*\" does not meet this requirement, but app=~\".+\" will",
    ))
}

/// Whether a stream without the label passes.
fn matches_empty(matcher: &Matcher) -> bool {
    let by_regex = || regex::parse(&matcher.value, Flags::SELECTOR).is_ok_and(|hir| regex::matches_empty(&hir));
    match matcher.op {
        MatchOp::Equal => matcher.value.is_empty(),
        MatchOp::NotEqual => !matcher.value.is_empty(),
        MatchOp::Regex => by_regex(),
        MatchOp::NotRegex => !by_regex(),
    }
}
