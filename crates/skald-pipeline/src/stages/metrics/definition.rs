use super::Rule;
use crate::metrics::{Definition, MetricKind};
use crate::stages::options::duration;
use crate::stages::or_default;
use crate::{PipelineContext, StageError};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What names begin with that say nothing else.
const PREFIX: &str = "promtail_custom_";
const MAX_IDLE: Duration = Duration::from_secs(300);
const MAX_IDLE_MIN: Duration = Duration::from_secs(1);
/// Upper bounds of a histogram that says none.
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Upper bounds that a histogram may have.
const BUCKETS_MAX: usize = 1000;

/// One metric of the stage.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct MetricOptions {
    /// `counter`, `gauge` or `histogram`.
    #[serde(rename = "type")]
    kind: String,
    #[serde(deserialize_with = "or_default")]
    description: String,
    /// Name of the extracted value; else that of the metric.
    source: Option<String>,
    prefix: Option<String>,
    max_idle_duration: Option<String>,
    #[serde(deserialize_with = "or_default")]
    config: ActionOptions,
}

/// What an entry does to the metric.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
struct ActionOptions {
    #[serde(deserialize_with = "or_default")]
    action: String,
    /// The only value that counts.
    value: Option<String>,
    /// Whether all entries count; for counters.
    #[serde(deserialize_with = "or_default")]
    match_all: bool,
    /// Whether the lengths of lines are counted.
    #[serde(deserialize_with = "or_default")]
    count_entry_bytes: bool,
    #[serde(deserialize_with = "or_default")]
    buckets: Vec<f64>,
}

/// What an entry that counts does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Action {
    /// Adds the length of its line.
    Bytes,
    /// Adds a fixed number.
    Step(f64),
    /// Adds its value to a counter, which never falls.
    Count,
    Add,
    Subtract,
    Set,
    Observe,
}

impl MetricOptions {
    pub(super) fn compile(&self, name: &str, context: &PipelineContext) -> Result<Rule, StageError> {
        let refused = |option: &'static str, why: String| StageError::invalid(option, format!("metric {name}: {why}"));
        let (kind, action) = match self.kind.to_ascii_lowercase().as_str() {
            "counter" => (MetricKind::Counter, self.config.counter()),
            "gauge" => (MetricKind::Gauge, self.config.gauge()),
            "histogram" => (MetricKind::Histogram(self.config.bounds().map_err(|why| refused("buckets", why))?), Ok(Action::Observe)),
            "" => return Err(refused("type", "is required".to_owned())),
            other => return Err(refused("type", format!("{other:?} is neither counter, gauge nor histogram"))),
        };
        let action = action.map_err(|why| refused("config", why))?;
        let max_idle = self.max_idle()?;
        let whole = format!("{}{name}", self.prefix.as_deref().filter(|prefix| !prefix.is_empty()).unwrap_or(PREFIX));
        if !is_name(&whole) {
            return Err(refused("prefix", format!("{whole:?} is no name of a metric")));
        }
        let all = self.config.match_all && kind == MetricKind::Counter;
        let definition = Definition { name: whole, help: self.description.clone(), kind, max_idle };
        let metric =
            context.metrics.define(definition).map_err(|kind| refused("type", format!("another pipeline has a {kind} of this name")))?;
        let source = self.source.as_deref().filter(|source| !source.is_empty()).unwrap_or(name).into();
        Ok(Rule { metric, source, only: self.config.value.clone(), all, action })
    }

    fn max_idle(&self) -> Result<Duration, StageError> {
        const OPTION: &str = "max_idle_duration";
        let Some(text) = self.max_idle_duration.as_deref().filter(|text| !text.is_empty()) else { return Ok(MAX_IDLE) };
        let idle = duration(OPTION, text)?;
        if idle < MAX_IDLE_MIN { Err(StageError::invalid(OPTION, format!("{text} is less than a second"))) } else { Ok(idle) }
    }
}

impl ActionOptions {
    fn counter(&self) -> Result<Action, String> {
        if self.match_all && self.value.is_some() {
            return Err("match_all and value exclude each other".to_owned());
        }
        let adds = self.action.eq_ignore_ascii_case("add");
        if self.count_entry_bytes && !(self.match_all && adds) {
            return Err("count_entry_bytes needs match_all and the action add".to_owned());
        }
        match self.action.to_ascii_lowercase().as_str() {
            "inc" => Ok(Action::Step(1.0)),
            "add" if self.count_entry_bytes => Ok(Action::Bytes),
            "add" => Ok(Action::Count),
            _ => Err(format!("action {:?} is neither inc nor add", self.action)),
        }
    }

    fn gauge(&self) -> Result<Action, String> {
        match self.action.to_ascii_lowercase().as_str() {
            "set" => Ok(Action::Set),
            "inc" => Ok(Action::Step(1.0)),
            "dec" => Ok(Action::Step(-1.0)),
            "add" => Ok(Action::Add),
            "sub" => Ok(Action::Subtract),
            _ => Err(format!("action {:?} is neither set, inc, dec, add nor sub", self.action)),
        }
    }

    fn bounds(&self) -> Result<Vec<f64>, String> {
        if self.buckets.is_empty() {
            return Ok(BUCKETS.to_vec());
        }
        let finite = self.buckets.strip_suffix(&[f64::INFINITY]).unwrap_or(&self.buckets);
        let ascend = finite.iter().all(|bound| bound.is_finite()) && finite.is_sorted_by(|a, b| a < b);
        match finite.len() {
            len if len > BUCKETS_MAX => Err(format!("more than {BUCKETS_MAX}")),
            _ if !ascend => Err("do not ascend".to_owned()),
            _ => Ok(finite.to_vec()),
        }
    }
}

/// Letters, digits, `_` and `:`, not beginning with a digit.
fn is_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':');
    name.bytes().all(fits) && !name.starts_with(|c: char| c.is_ascii_digit())
}
