//! How the tests of stages write pipelines and entries.

use crate::{Counters, CustomMetrics, Entry, Instance, LabelSet, Mark, Now, Pipeline, PipelineContext, StageConfig};
use skald_model::Timestamp;
use skald_testkit::SeededRandom;
use std::sync::Arc;
use std::time::Duration;

/// 2024-05-06T07:08:09Z, when the tests begin.
pub(crate) const START: i64 = 1_714_979_289_000_000_000;

/// A pipeline, one source, and a clock that stands until it is moved.
pub(crate) struct Bench {
    pub(crate) pipeline: Pipeline,
    pub(crate) instance: Instance,
    pub(crate) context: PipelineContext,
    pub(crate) now: Now,
    /// Lines pushed.
    marks: u64,
    /// How long the last `push` asked to wait.
    pub(crate) pause: Duration,
}

impl Bench {
    #[track_caller]
    pub(crate) fn new(yaml: &str) -> Self {
        let context = context();
        let pipeline = Pipeline::new(&stages(yaml), &context).unwrap_or_else(|err| panic!("{yaml}: {}", chain(&err)));
        let now = Now { wall: Timestamp(START), monotonic: Duration::from_secs(1000) };
        Bench { instance: pipeline.instance(), pipeline, context, now, marks: 0, pause: Duration::ZERO }
    }

    /// Lets time go by; nothing else happens.
    pub(crate) fn advance(&mut self, by: Duration) {
        self.now = Now { wall: self.now.wall.plus(by), monotonic: self.now.monotonic + by };
    }

    /// Runs one line, written `line` or `{labels} line`. Marks count lines from 0.
    pub(crate) fn push(&mut self, text: &str) -> Vec<Entry> {
        let mut out = Vec::new();
        let entry = entry(text, self.now);
        self.pause = self.instance.process(entry, Mark(self.marks), self.now, &mut out);
        self.marks += 1;
        out
    }

    pub(crate) fn tick(&mut self) -> Vec<Entry> {
        let mut out = Vec::new();
        self.instance.tick(self.now, &mut out);
        out
    }

    pub(crate) fn flush(&mut self) -> Vec<Entry> {
        let mut out = Vec::new();
        self.instance.flush(self.now, &mut out);
        out
    }

    /// `reason:count`, of those that are not zero.
    pub(crate) fn dropped(&self) -> Vec<String> {
        self.context.counters.reasons().iter().filter(|(_, lines)| *lines > 0).map(|(reason, lines)| format!("{reason}:{lines}")).collect()
    }
}

pub(crate) fn context() -> PipelineContext {
    PipelineContext {
        job: "job".into(),
        counters: Arc::new(Counters::default()),
        metrics: Arc::new(CustomMetrics::default()),
        random: Arc::new(SeededRandom::new(1)),
        inspector: None,
    }
}

#[track_caller]
pub(crate) fn stages(yaml: &str) -> Vec<StageConfig> {
    serde_saphyr::from_str(yaml).unwrap_or_else(|err| panic!("{yaml}: {err}"))
}

/// An entry from `line` or `{labels} line`.
pub(crate) fn entry(text: &str, now: Now) -> Entry {
    let (labels, line) = match text.strip_prefix('{').and_then(|rest| rest.split_once("} ")) {
        Some((labels, line)) if labels.contains('=') => (parse_labels(labels), line),
        _ => (LabelSet::new(), text),
    };
    Entry { labels, timestamp: now.wall, line: line.to_owned(), metadata: Vec::new() }
}

pub(crate) fn parse_labels(text: &str) -> LabelSet {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').expect("a label is name=value");
        (name.to_owned(), value.trim_matches('"').to_owned())
    };
    text.split(", ").map(pair).collect()
}

/// As `{labels} line`, with the timestamp's distance from the start where it is not that, and structured metadata.
pub(crate) fn show(entry: &Entry) -> String {
    let mut text = format!("{} ", entry.labels);
    if entry.timestamp.0 != START {
        text.push_str(&format!("@{:+}ns ", entry.timestamp.0 - START));
    }
    for (name, value) in &entry.metadata {
        text.push_str(&format!("[{name}={value}] "));
    }
    text + &entry.line
}

pub(crate) fn show_all(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(show).collect()
}

/// What a new instance of a pipeline makes of some lines, with a flush at the end.
#[track_caller]
pub(crate) fn check(yaml: &str, lines: &[&str], want: &[&str]) {
    let mut bench = Bench::new(yaml);
    let mut got: Vec<Entry> = lines.iter().flat_map(|line| bench.push(line)).collect();
    got.extend(bench.flush());
    assert_eq!(show_all(&got), want, "{yaml}");
}

/// How a pipeline is refused, when it is read or when it is compiled: the error ends in `want`.
#[track_caller]
pub(crate) fn refused(yaml: &str, want: &str) {
    let text = match serde_saphyr::from_str::<Vec<StageConfig>>(yaml) {
        Err(err) => err.to_string(),
        Ok(stages) => match Pipeline::new(&stages, &context()) {
            Err(err) => chain(&err),
            Ok(_) => panic!("{yaml}: was not refused"),
        },
    };
    assert!(text.contains(want), "{yaml}: {text}");
}

/// An error with its causes.
pub(crate) fn chain(err: &dyn std::error::Error) -> String {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(err) = cause {
        text.push_str(&format!(": {err}"));
        cause = err.source();
    }
    text
}
