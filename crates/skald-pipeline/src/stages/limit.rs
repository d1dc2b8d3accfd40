use crate::stage::{Build, Compiled, Options, Stage, Verdict, Work};
use crate::{Counter, Counters, Now, StageError, Text};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Fewest label values that are told apart.
const DISTINCT_LABELS_MIN: usize = 10_000;

/// A source waits no longer at a time, however low the limit.
const PAUSE_SECONDS_MAX: f64 = 86_400.0;

/// Limits how many lines pass in a second.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Limit {
    /// Lines per second.
    rate: Option<f64>,
    /// Lines that may pass at once.
    burst: Option<u32>,
    /// Whether lines above the limit are dropped; otherwise the source waits.
    drop: Option<bool>,
    /// Label of which each value has a limit of its own.
    by_label_name: Option<String>,
    /// Values of it that are told apart.
    max_distinct_labels: Option<usize>,
}

impl Options for Limit {
    fn compile(&self, build: &Build<'_>) -> Result<Compiled, StageError> {
        let rate =
            self.rate.filter(|rate| rate.is_finite() && *rate > 0.0).ok_or_else(|| StageError::invalid("rate", "must be above 0"))?;
        let burst = self.burst.filter(|burst| *burst > 0).ok_or_else(|| StageError::invalid("burst", "must be above 0"))?;
        let size = Size { rate, burst: f64::from(burst) };
        let drop = self.drop.unwrap_or(false);
        let label = self.by_label_name.as_deref().filter(|name| !name.is_empty());
        let counters = Arc::clone(&build.context.counters);
        let dropped = counters.reason("ratelimit_drop_stage");
        match label {
            Some(_) if !drop => Err(StageError::Choice("by_label_name needs drop: true")),
            Some(label) => {
                let most = self.max_distinct_labels.unwrap_or(0).max(DISTINCT_LABELS_MIN);
                let buckets = Arc::new(Mutex::new(FxHashMap::default()));
                Ok(Compiled::each(ByLabel { label: label.into(), size, most, buckets, dropped, counters }))
            }
            None => Ok(Compiled::each(Limited { size, drop, bucket: Arc::default(), dropped })),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Size {
    rate: f64,
    burst: f64,
}

/// Room for lines: filled by time up to the burst, emptied by lines. Below zero are lines that were let pass for a promise to wait.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    filled: Duration,
}

impl Bucket {
    fn full(size: Size, now: Duration) -> Self {
        Bucket { tokens: size.burst, filled: now }
    }

    fn fill(&mut self, size: Size, now: Duration) {
        let elapsed = now.saturating_sub(self.filled);
        self.tokens = (self.tokens + elapsed.as_secs_f64() * size.rate).min(size.burst);
        self.filled = self.filled.max(now);
    }

    /// Whether there was room for one line.
    fn take(&mut self, size: Size, now: Duration) -> bool {
        self.fill(size, now);
        let room = self.tokens >= 1.0;
        self.tokens -= if room { 1.0 } else { 0.0 };
        room
    }

    /// Lets a line pass and says how long to wait for it.
    fn borrow(&mut self, size: Size, now: Duration) -> Duration {
        self.fill(size, now);
        self.tokens -= 1.0;
        Duration::from_secs_f64((-self.tokens / size.rate).clamp(0.0, PAUSE_SECONDS_MAX))
    }
}

/// One limit for all sources of the pipeline.
#[derive(Clone)]
struct Limited {
    size: Size,
    drop: bool,
    /// `None` until the first line.
    bucket: Arc<Mutex<Option<Bucket>>>,
    dropped: Counter,
}

impl Stage for Limited {
    fn process(&mut self, _work: &mut Work, now: Now) -> Verdict {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = bucket.get_or_insert_with(|| Bucket::full(self.size, now.monotonic));
        if !self.drop {
            return match bucket.borrow(self.size, now.monotonic) {
                Duration::ZERO => Verdict::Keep,
                pause => Verdict::Pause(pause),
            };
        }
        if bucket.take(self.size, now.monotonic) {
            return Verdict::Keep;
        }
        self.dropped.add(1);
        Verdict::Drop
    }
}

/// A limit for each value of a label.
#[derive(Clone)]
struct ByLabel {
    label: Text,
    size: Size,
    most: usize,
    buckets: Arc<Mutex<FxHashMap<Text, Bucket>>>,
    dropped: Counter,
    counters: Arc<Counters>,
}

impl Stage for ByLabel {
    fn process(&mut self, work: &mut Work, now: Now) -> Verdict {
        let Some(value) = work.entry.labels.get_text(&self.label) else {
            return Verdict::Keep;
        };
        if self.has_room(value, now.monotonic) {
            return Verdict::Keep;
        }
        self.dropped.add(1);
        self.counters.dropped_by_label(&self.label, value, 1);
        Verdict::Drop
    }
}

impl ByLabel {
    fn has_room(&self, value: &Text, now: Duration) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(value) {
            return bucket.take(self.size, now);
        }
        if buckets.len() >= self.most {
            self.make_room(&mut buckets, now);
        }
        buckets.entry(Text::clone(value)).or_insert_with(|| Bucket::full(self.size, now)).take(self.size, now)
    }

    /// Forgets values that have been quiet until their limit was as new; if there are none, all.
    fn make_room(&self, buckets: &mut FxHashMap<Text, Bucket>, now: Duration) {
        buckets.retain(|_, bucket| {
            bucket.fill(self.size, now);
            bucket.tokens < self.size.burst
        });
        if buckets.len() >= self.most {
            buckets.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::testing::{Bench, refused};

    #[test]
    fn lines_above_the_limit_are_dropped() {
        let mut bench = Bench::new("- limit: {rate: 2, burst: 3, drop: true}");
        let passed = |bench: &mut Bench| (0..10).map(|_| bench.push("x").len()).sum::<usize>();
        assert_eq!(passed(&mut bench), 3);
        bench.advance(Duration::from_secs(1));
        assert_eq!(passed(&mut bench), 2);
        bench.advance(Duration::from_secs(100));
        assert_eq!(passed(&mut bench), 3);
        assert_eq!(bench.dropped(), ["ratelimit_drop_stage:22"]);
        assert_eq!(bench.pause, Duration::ZERO);
    }

    #[test]
    fn a_source_whose_time_is_behind_does_not_refill_the_limit_twice() {
        let mut bench = Bench::new("- limit: {rate: 1, burst: 1, drop: true}");
        let early = bench.now;
        bench.advance(Duration::from_secs(1));
        let late = bench.now;
        let mut passed = |now| {
            bench.now = now;
            bench.push("x").len()
        };
        assert_eq!([passed(late), passed(early), passed(late)], [1, 0, 0]);
    }

    #[test]
    fn a_source_waits_as_long_as_its_line_is_early() {
        let mut bench = Bench::new("- limit: {rate: 4, burst: 2}");
        let mut pauses = Vec::new();
        for _ in 0..4 {
            assert_eq!(bench.push("x").len(), 1);
            pauses.push(bench.pause.as_millis());
        }
        assert_eq!(pauses, [0, 0, 250, 500]);
        bench.advance(Duration::from_millis(500));
        bench.push("x");
        assert_eq!(bench.pause.as_millis(), 250);
        assert!(bench.dropped().is_empty());
    }

    #[test]
    fn a_pause_is_bounded() {
        let mut bench = Bench::new("- limit: {rate: 1e-300, burst: 1}");
        bench.push("x");
        bench.push("x");
        assert_eq!(bench.pause, Duration::from_secs(86_400));
    }

    #[test]
    fn all_sources_share_the_limit() {
        let mut bench = Bench::new("- limit: {rate: 1, burst: 2, drop: true}");
        let mut other = bench.pipeline.instance();
        bench.push("x");
        let mut out = Vec::new();
        for _ in 0..3 {
            other.process(crate::stages::testing::entry("x", bench.now), crate::Mark(0), bench.now, &mut out);
        }
        assert_eq!(out.len(), 1);
        assert!(bench.push("x").is_empty());
    }

    #[test]
    fn each_value_of_a_label_has_a_limit() {
        let mut bench = Bench::new("- limit: {rate: 1, burst: 1, drop: true, by_label_name: app}");
        let lines = ["{app=a} x", "{app=b} x", "{app=a} x", "x", "x", "{app=a} x"];
        assert_eq!(lines.iter().flat_map(|line| bench.push(line)).count(), 4);
        assert_eq!(bench.dropped(), ["ratelimit_drop_stage:2"]);
        let labels = bench.context.counters.labels();
        assert_eq!(labels, [("app".into(), "a".into(), 2)]);
    }

    #[test]
    fn label_values_are_bounded_and_busy_ones_remembered() {
        let mut bench = Bench::new("- limit: {rate: 1, burst: 1, drop: true, by_label_name: app, max_distinct_labels: 5}");
        for at in 0..DISTINCT_LABELS_MIN - 1 {
            bench.push(&format!("{{app={at}}} x"));
        }
        bench.advance(Duration::from_secs(2));
        assert_eq!(bench.push("{app=busy} x").len(), 1);
        // Here those that were quiet make room for a new one.
        assert_eq!(bench.push("{app=new} x").len(), 1);
        assert!(bench.push("{app=busy} x").is_empty());
        for at in 0..DISTINCT_LABELS_MIN {
            bench.push(&format!("{{app={at}}} x"));
        }
        // All were busy, so all were forgotten.
        assert_eq!(bench.push("{app=busy} x").len(), 1);
    }

    #[test]
    fn options_go_together() {
        refused("- limit: {burst: 1}", "stage 1 (limit): option rate: must be above 0");
        refused("- limit: {rate: 1}", "option burst: must be above 0");
        refused("- limit: {rate: -1, burst: 1}", "option rate: must be above 0");
        refused("- limit: {rate: .inf, burst: 1}", "option rate: must be above 0");
        refused("- limit: {rate: 1, burst: 1, by_label_name: app}", "by_label_name needs drop: true");
    }
}
