//! The two readings of the lines: one that samples them, and one that counts each under a template.

use super::sample::Sample;
use super::templates::Templates;
use super::tokens::Tokens;
use crate::read::State;
use rustc_hash::FxHashMap;
use skald_logql::exec::{Batch, EvalError, Scratch, Selection, Stats};
use skald_logql::plan::{Direction, LogPlan};
use skald_model::{Level, Timestamp};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Bytes that a count takes in a map, about.
const COUNT_BYTES: usize = 24;

/// Gives the lines that a query selects.
struct Lines {
    plan: Arc<LogPlan>,
    scratch: Scratch,
}

/// A line that is selected.
struct Line<'a> {
    row: usize,
    timestamp: Timestamp,
    level: Level,
    bytes: &'a [u8],
}

impl Lines {
    fn new(plan: Arc<LogPlan>) -> Self {
        Lines { plan, scratch: Scratch::default() }
    }

    fn each(&mut self, batch: &Batch<'_>, selection: &Selection, mut visit: impl FnMut(Line<'_>)) -> Stats {
        let range = self.plan.range();
        let inside = |row: usize| range.contains(Timestamp(batch.timestamps[row]));
        let outside = selection.iter(batch.len()).any(|row| !inside(row));
        let narrowed = outside.then(|| {
            let rows = selection.iter(batch.len()).filter(|row| inside(*row));
            Selection::Rows(rows.map(|row| row as u32).collect())
        });
        let selection = narrowed.as_ref().unwrap_or(selection);
        self.plan.pipeline().run(batch, selection, Direction::Forward, &mut self.scratch, &mut |entry| {
            let level = entry.labels.get(Level::METADATA_NAME).and_then(Level::from_normalised).unwrap_or(Level::Unknown);
            visit(Line { row: entry.row, timestamp: entry.timestamp, level, bytes: entry.line });
            ControlFlow::Continue(())
        })
    }
}

/// Samples lines.
pub(super) struct Sampling {
    lines: Lines,
    pub(super) sample: Sample,
}

impl Sampling {
    pub(super) fn new(plan: Arc<LogPlan>, sample: Sample) -> Self {
        Sampling { lines: Lines::new(plan), sample }
    }
}

impl State for Sampling {
    fn add(&mut self, batch: &Batch<'_>, selection: &Selection, order: (u64, u64)) -> Result<Stats, EvalError> {
        let (stream, sample) = (batch.labels.fingerprint().0, &mut self.sample);
        Ok(self.lines.each(batch, selection, |line| sample.offer(place(stream, order, &line), line.level, line.bytes)))
    }

    fn heap_bytes(&self) -> usize {
        self.sample.heap_bytes()
    }

    fn is_settled(&self, _min: Timestamp, _max: Timestamp) -> bool {
        false
    }
}

/// What tells a line from all others, wherever a reading begins.
fn place(stream: u64, order: (u64, u64), line: &Line<'_>) -> [u64; 4] {
    [stream, line.timestamp.0 as u64, order.0, order.1 + line.row as u64]
}

/// Times as the counts have them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Buckets {
    /// Start of the first one, in nanoseconds.
    first: i64,
    /// Width, in nanoseconds.
    width: i64,
}

impl Buckets {
    /// Buckets of `width` nanoseconds, at its multiples, from the one of `start` on.
    pub(super) fn new(start: Timestamp, width: i64) -> Self {
        Buckets { first: start.0.div_euclid(width).saturating_mul(width), width }
    }

    fn of(&self, at: Timestamp) -> u32 {
        (at.0.saturating_sub(self.first) / self.width) as u32
    }

    /// Start of a bucket, in seconds.
    pub(super) fn seconds(&self, bucket: u32) -> i64 {
        (self.first + i64::from(bucket) * self.width).div_euclid(1_000_000_000)
    }
}

/// Counts lines.
pub(super) struct Counting {
    lines: Lines,
    templates: Arc<Templates>,
    buckets: Buckets,
    tokens: Tokens,
    /// Lines by pattern and bucket.
    pub(super) counts: FxHashMap<(u32, u32), u64>,
    /// Lines of no pattern.
    pub(super) missed: u64,
    /// Some of these.
    sample: Sample,
}

impl Counting {
    /// With a sample of the lines that no template takes.
    pub(super) fn new(plan: Arc<LogPlan>, templates: Arc<Templates>, buckets: Buckets, sample: Sample) -> Self {
        Counting { lines: Lines::new(plan), templates, buckets, tokens: Tokens::default(), counts: FxHashMap::default(), missed: 0, sample }
    }

    /// The lines sampled of those that no template takes.
    pub(super) fn take_sample(&mut self) -> Sample {
        std::mem::replace(&mut self.sample, Sample::new(0, 0))
    }

    /// Adds what another one counted.
    pub(super) fn merge(&mut self, other: Counting) {
        other.counts.into_iter().for_each(|(key, count)| *self.counts.entry(key).or_default() += count);
        self.missed += other.missed;
        self.sample.merge(other.sample);
    }
}

impl State for Counting {
    fn add(&mut self, batch: &Batch<'_>, selection: &Selection, order: (u64, u64)) -> Result<Stats, EvalError> {
        let Counting { lines, templates, buckets, tokens, counts, missed, sample } = self;
        let stream = batch.labels.fingerprint().0;
        Ok(lines.each(batch, selection, |line| {
            tokens.read(line.bytes);
            match templates.classify(line.level, line.bytes, tokens) {
                Some(pattern) => *counts.entry((pattern, buckets.of(line.timestamp))).or_default() += 1,
                None => {
                    *missed += 1;
                    sample.offer(place(stream, order, &line), line.level, line.bytes);
                }
            }
        }))
    }

    fn heap_bytes(&self) -> usize {
        self.counts.capacity() * COUNT_BYTES + self.sample.heap_bytes()
    }

    fn is_settled(&self, _min: Timestamp, _max: Timestamp) -> bool {
        false
    }
}
