//! What parsers are told about the rest of the query.
//!
//! This decides which labels are extracted and so which errors are seen: a parser stops once it has found all that is listed.

use super::PlanError;
use crate::ast::{LabelFilter, LabelFormat, Stage, Unwrap};
use crate::exec::{Condition, ERROR, EXTRACTED, Hints, Step};
use std::collections::HashSet;

/// Which labels of entries the rest of the query looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted<'a> {
    /// All.
    All,
    /// These, and those that stages name.
    Groups(&'a [String]),
}

/// The hints for `stages` and what is unwrapped after them, under `wanted`.
pub(super) fn hints(stages: &[Stage], steps: &[Step], unwrap: Option<&Unwrap>, wanted: Wanted<'_>) -> Result<Hints, PlanError> {
    let (required, early) = match wanted {
        Wanted::All => (None, true),
        Wanted::Groups(groups) => (Some(required(stages, steps, unwrap, groups)), groups.is_empty()),
    };
    let preserve_errors = required.as_ref().is_some_and(|names| names.iter().any(|name| name == ERROR));
    let early = if early { early_filters(stages)? } else { Vec::new() };
    Ok(Hints { required, early, preserve_errors })
}

fn required(stages: &[Stage], steps: &[Step], unwrap: Option<&Unwrap>, groups: &[String]) -> Vec<String> {
    let (mut names, mut known) = (Vec::new(), HashSet::new());
    let mut add = |name: &str| {
        for name in [name, name.strip_suffix(EXTRACTED).unwrap_or(name)] {
            if !known.contains(name) {
                known.insert(name.to_owned());
                names.push(name.to_owned());
            }
        }
    };
    groups.iter().for_each(|name| add(name));
    for stage in stages {
        match stage {
            Stage::LabelFilter(filter) => each_name(filter, &mut add),
            Stage::LabelFormat(formats) => formats.iter().for_each(|format| {
                if let LabelFormat::Rename { src, .. } = format {
                    add(src);
                }
            }),
            _ => {}
        }
    }
    for step in steps {
        match step {
            Step::LineFormat(format) => format.template().fields().iter().for_each(|name| add(name)),
            Step::LabelFormat(format) => format.templates().flat_map(|template| template.fields()).for_each(|name| add(name)),
            _ => {}
        }
    }
    if let Some(unwrap) = unwrap {
        add(&unwrap.label);
        unwrap.filters.iter().for_each(|filter| each_name(filter, &mut add));
    }
    names
}

fn each_name(filter: &LabelFilter, visit: &mut impl FnMut(&str)) {
    match filter {
        LabelFilter::And(a, b) | LabelFilter::Or(a, b) => {
            each_name(a, visit);
            each_name(b, visit);
        }
        LabelFilter::Text(matcher) => visit(&matcher.name),
        LabelFilter::Number { name, .. }
        | LabelFilter::Duration { name, .. }
        | LabelFilter::Bytes { name, .. }
        | LabelFilter::Ip { name, .. } => visit(name),
    }
}

/// The first filter of each name that is neither `and` nor `or`.
fn early_filters(stages: &[Stage]) -> Result<Vec<(String, crate::exec::Test)>, PlanError> {
    let (mut early, mut known) = (Vec::new(), HashSet::new());
    for stage in stages {
        let Stage::LabelFilter(filter) = stage else { continue };
        let mut is_early = !matches!(filter, LabelFilter::And(..) | LabelFilter::Or(..));
        each_name(filter, &mut |name| is_early &= !known.contains(name));
        if is_early && let Condition::One { name, test } = super::stages::condition(filter)? {
            known.insert(name.clone());
            early.push((name, test));
        }
    }
    Ok(early)
}
