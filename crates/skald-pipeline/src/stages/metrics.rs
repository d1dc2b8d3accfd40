//! The stage `metrics`.

mod definition;
mod value;

use crate::metrics::{Change, Metric};
use crate::stage::{Build, Compiled, Options, Stage, Verdict, Work};
use crate::{LabelSet, Now, StageError, Text};
use definition::{Action, MetricOptions};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Counts entries, or what was extracted of them, by their labels.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Metrics(BTreeMap<String, MetricOptions>);

impl Options for Metrics {
    fn compile(&self, build: &Build<'_>) -> Result<Compiled, StageError> {
        let rules = self.0.iter().map(|(name, options)| options.compile(name, build.context)).collect::<Result<_, _>>()?;
        Ok(Compiled::each(Counting { rules }))
    }
}

#[derive(Clone)]
struct Counting {
    rules: Arc<[Rule]>,
}

/// One metric and when it changes.
struct Rule {
    metric: Arc<Metric>,
    /// Name of the extracted value.
    source: Text,
    /// The only text of the value that counts.
    only: Option<String>,
    /// Whether all entries count, with or without a value.
    all: bool,
    action: Action,
}

impl Stage for Counting {
    fn process(&mut self, work: &mut Work, now: Now) -> Verdict {
        let labels = shown(&work.entry.labels);
        for rule in self.rules.iter() {
            if let Some(change) = rule.change(work) {
                rule.metric.change(&labels, change, now);
            }
        }
        Verdict::Keep
    }
}

/// Labels of a series: those of the entry that are not internal.
fn shown(labels: &LabelSet) -> LabelSet {
    let mut shown = labels.clone();
    shown.retain(|name, _| !name.starts_with("__"));
    shown
}

impl Rule {
    /// What an entry changes; `None` when it does not count.
    fn change(&self, work: &Work) -> Option<Change> {
        let value = work.extracted.get(&self.source);
        if !self.all {
            let text = value.as_ref().and_then(|value| value.text())?;
            if self.only.as_ref().is_some_and(|only| *only != text) {
                return None;
            }
        }
        let number = || value.as_ref().and_then(|value| value::number(value));
        match self.action {
            Action::Bytes => Some(Change::Add(work.entry.line.len() as f64)),
            Action::Step(by) => Some(Change::Add(by)),
            Action::Count => number().filter(|by| *by >= 0.0).map(Change::Add),
            Action::Add => number().map(Change::Add),
            Action::Subtract => number().map(|by| Change::Add(-by)),
            Action::Set => number().map(Change::Set),
            Action::Observe => number().map(Change::Observe),
        }
    }
}

#[cfg(test)]
mod tests;
