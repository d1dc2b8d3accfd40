//! Stages in the order in which they run, compiled.

use super::hints::{Wanted, hints};
use super::{PlanError, Rewrites, rewrite};
use crate::ast::{Extraction, LabelFilter, LineFilter, NamedOrMatcher, Stage, Unwrap};
use crate::exec::{
    Condition, ConditionError, LabelFormatter, LineFormatter, LineMatcher, LogfmtOptions, Named, Needs, PatternParser, Pipeline,
    RegexpParser, Step, Unwrapper, parse_key, parse_path,
};
use crate::regex;
use skald_model::Timestamp;

/// Compiles `stages`, after which `unwrap` takes a value. `needs` is what the use of their result needs, `wanted` the labels that it
/// looks at.
pub(super) fn compile(
    stages: &[Stage],
    unwrap: Option<&Unwrap>,
    now: Timestamp,
    wanted: Wanted<'_>,
    needs: Needs,
    rewrites: Rewrites,
) -> Result<Pipeline, PlanError> {
    let (mut line_filters, mut steps, mut texts, mut template_cost) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for run in in_order(stages) {
        match run {
            Run::Lines(filters) if steps.iter().any(Step::changes_line) => {
                steps.extend(compile_line_filters(&filters)?.into_iter().map(|(filter, _)| Step::Line(filter)));
                texts.extend(filters.iter().map(ToString::to_string));
            }
            Run::Lines(filters) => line_filters.extend(compile_line_filters(&filters)?),
            Run::Stage(stage) => {
                let step = step(stage, now)?;
                template_cost += step.as_ref().map_or(0, Step::template_cost);
                patterns_fit(template_cost)?;
                steps.extend(step);
                texts.push(stage.to_string());
            }
        }
    }
    let hints = hints(stages, &steps, unwrap, wanted)?;
    if hints.required.as_ref().is_some_and(Vec::is_empty) {
        let kept = steps.into_iter().zip(texts).filter(|(step, _)| !step.is_parser());
        (steps, texts) = kept.unzip();
    }
    Ok(rewrite::pipeline(line_filters, steps, texts, hints, needs, rewrites))
}

/// Refuses templates whose patterns are too large together.
pub(super) fn patterns_fit(template_cost: usize) -> Result<(), PlanError> {
    if template_cost <= regex::COST_MAX {
        return Ok(());
    }
    Err(PlanError::Regex("the patterns in the templates of the query are too large together".to_owned()))
}

/// One stage, or line filters that run together.
enum Run<'a> {
    Lines(Vec<&'a LineFilter>),
    Stage(&'a Stage),
}

/// Line filters move to the front of the stages around them, up to the next label filter, `line_format` or `unpack`.
fn in_order(stages: &[Stage]) -> Vec<Run<'_>> {
    let mut runs = Vec::new();
    let is_barrier = |stage: &Stage| matches!(stage, Stage::LabelFilter(_) | Stage::LineFormat(_) | Stage::Unpack);
    let mut rest = stages;
    while !rest.is_empty() {
        let end = rest.iter().position(is_barrier).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        let filters: Vec<_> =
            part.iter().filter_map(|stage| if let Stage::LineFilter(filter) = stage { Some(filter) } else { None }).collect();
        if !filters.is_empty() {
            runs.push(Run::Lines(filters));
        }
        runs.extend(part.iter().filter(|stage| !matches!(stage, Stage::LineFilter(_))).map(Run::Stage));
        runs.extend(after.first().map(Run::Stage));
        rest = after.get(1..).unwrap_or_default();
    }
    runs
}

/// The filters, each with its text.
fn compile_line_filters(filters: &[&LineFilter]) -> Result<Vec<(LineMatcher, String)>, PlanError> {
    let joined = || filters.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let failed = |cause| PlanError::Stage { stage: joined(), cause };
    let compile = |filter: &&LineFilter| Ok((LineMatcher::compile(filter).map_err(failed)?, filter.to_string()));
    filters.iter().map(compile).collect()
}

/// Compiles a label filter.
pub(super) fn condition(filter: &LabelFilter) -> Result<Condition, PlanError> {
    Condition::compile(filter).map_err(wrong_condition)
}

/// Compiles what takes values from a label.
pub(super) fn unwrapper(unwrap: &Unwrap) -> Result<Unwrapper, PlanError> {
    Unwrapper::compile(unwrap).map_err(wrong_condition)
}

fn wrong_condition(error: ConditionError) -> PlanError {
    match error {
        ConditionError::Regex(cause) => PlanError::Regex(cause),
        ConditionError::Ip { filter, cause } => PlanError::Stage { stage: filter, cause },
    }
}

fn named(items: &[NamedOrMatcher]) -> Result<Vec<Named>, PlanError> {
    items.iter().map(|item| Named::compile(item).map_err(PlanError::Regex)).collect()
}

fn compile_each<T>(
    stage: &Stage,
    items: &[Extraction],
    compile: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<(String, T)>, PlanError> {
    let one = |item: &Extraction| match compile(&item.expression) {
        Ok(compiled) => Ok((item.name.clone(), compiled)),
        Err(cause) => {
            let cause = format!("cannot parse expression [{}]: {cause}", item.expression);
            Err(PlanError::Stage { stage: stage.to_string(), cause })
        }
    };
    items.iter().map(one).collect()
}

fn step(stage: &Stage, now: Timestamp) -> Result<Option<Step>, PlanError> {
    let failed = |cause| PlanError::Stage { stage: stage.to_string(), cause };
    Ok(Some(match stage {
        Stage::LineFilter(_) => return Ok(None),
        Stage::LabelFilter(filter) => Step::Filter(condition(filter)?),
        Stage::Json(extractions) if !extractions.is_empty() => Step::JsonPaths(compile_each(stage, extractions, parse_path)?),
        Stage::Logfmt { extractions, strict, .. } if !extractions.is_empty() => {
            Step::LogfmtKeys { strict: *strict, keys: compile_each(stage, extractions, parse_key)? }
        }
        Stage::Json(_) => Step::Json,
        Stage::Logfmt { strict, keep_empty, .. } => Step::Logfmt(LogfmtOptions { strict: *strict, keep_empty: *keep_empty }),
        Stage::Drop(items) => Step::Drop(named(items)?),
        Stage::Keep(items) => Step::Keep(named(items)?),
        Stage::Regexp(pattern) => Step::Regexp(RegexpParser::compile(pattern).map_err(|error| PlanError::Regex(error.to_string()))?),
        Stage::Pattern(pattern) => Step::Pattern(PatternParser::new(pattern)),
        Stage::Unpack => Step::Unpack,
        Stage::Decolorize => Step::Decolorize,
        Stage::LineFormat(template) => Step::LineFormat(Box::new(LineFormatter::compile(template, now.0).map_err(failed)?)),
        Stage::LabelFormat(formats) => Step::LabelFormat(LabelFormatter::compile(formats, now.0).map_err(failed)?),
    }))
}
