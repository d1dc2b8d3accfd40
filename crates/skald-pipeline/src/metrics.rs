//! Metrics that users define: counters, gauges and histograms over lines.

use crate::{LabelSet, Now};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// Metrics that the `metrics` stages of a process fill.
///
/// A metric is there as long as a pipeline that defines it. Pipelines may share one, if they agree on its kind.
#[derive(Debug, Default)]
pub struct CustomMetrics {
    metrics: Mutex<BTreeMap<String, Weak<Metric>>>,
    refused: Arc<AtomicU64>,
}

/// One metric with all its series, to be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Whole name, as shown.
    pub name: String,
    /// Description.
    pub help: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Labels and values, in order of the labels.
    pub series: Vec<(LabelSet, Sample)>,
}

/// Value of one series.
#[derive(Debug, Clone, PartialEq)]
pub enum Sample {
    /// Of a counter or gauge.
    Value(f64),
    /// Of a histogram.
    Histogram {
        /// Upper bounds, ascending, and how many observations were at or below each; the last bound is infinite.
        buckets: Vec<(f64, u64)>,
        /// Sum of all observations.
        sum: f64,
    },
}

/// How often idle series are looked for where there is no room for another.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// What a metric is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Definition {
    /// Whole name, as shown.
    pub(crate) name: String,
    pub(crate) help: String,
    pub(crate) kind: MetricKind,
    /// A series that was not updated for longer is gone.
    pub(crate) max_idle: Duration,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum MetricKind {
    Counter,
    Gauge,
    /// With the finite upper bounds, ascending.
    Histogram(Vec<f64>),
}

/// One change of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Change {
    Add(f64),
    Set(f64),
    Observe(f64),
}

/// A metric that pipelines fill.
#[derive(Debug)]
pub(crate) struct Metric {
    definition: Definition,
    series: Mutex<AllSeries>,
    /// Changes that found no room, of all metrics.
    refused: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct AllSeries {
    by_labels: HashMap<LabelSet, Series>,
    /// When idle ones were looked for to make room, monotonic.
    swept: Duration,
}

#[derive(Debug)]
struct Series {
    /// Of a counter or gauge the value, of a histogram the sum.
    value: f64,
    /// Of a histogram, how many observations fell between the bound before and each, the infinite one last.
    counts: Vec<u64>,
    /// Monotonic.
    updated: Duration,
}

impl CustomMetrics {
    /// Series that one metric has at a time; changes of further ones are refused.
    pub const SERIES_MAX: usize = 10_000;

    /// All metrics in name order. Series that were idle too long are gone, and metrics that no pipeline defines any more.
    pub fn snapshot(&self, now: Now) -> Vec<Family> {
        let mut metrics = lock(&self.metrics);
        metrics.retain(|_, metric| metric.strong_count() > 0);
        metrics.values().filter_map(Weak::upgrade).map(|metric| metric.family(now)).collect()
    }

    /// How many changes were refused since their metric had [`CustomMetrics::SERIES_MAX`] series.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// The metric of this definition, made if it is not there. The error is the kind that another pipeline gave it.
    pub(crate) fn define(&self, definition: Definition) -> Result<Arc<Metric>, &'static str> {
        let mut metrics = lock(&self.metrics);
        if let Some(known) = metrics.get(&definition.name).and_then(Weak::upgrade) {
            let same = known.definition.kind == definition.kind;
            return if same { Ok(known) } else { Err(known.definition.kind.as_str()) };
        }
        let name = definition.name.clone();
        let metric = Arc::new(Metric { definition, series: Mutex::default(), refused: Arc::clone(&self.refused) });
        metrics.insert(name, Arc::downgrade(&metric));
        Ok(metric)
    }
}

impl MetricKind {
    fn as_str(&self) -> &'static str {
        match self {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram(_) => "histogram",
        }
    }

    fn bounds(&self) -> &[f64] {
        if let MetricKind::Histogram(bounds) = self { bounds } else { &[] }
    }

    /// A series before its first change.
    fn series(&self) -> Series {
        let counts = if matches!(self, MetricKind::Histogram(_)) { vec![0; self.bounds().len() + 1] } else { Vec::new() };
        Series { value: 0.0, counts, updated: Duration::ZERO }
    }
}

impl Metric {
    /// Changes the series of these labels.
    pub(crate) fn change(&self, labels: &LabelSet, change: Change, now: Now) {
        let mut all = lock(&self.series);
        if let Some(series) = all.by_labels.get_mut(labels) {
            if self.is_idle(series, now) {
                *series = self.definition.kind.series();
            }
            return series.change(change, self.definition.kind.bounds(), now);
        }
        let is_full = |all: &AllSeries| all.by_labels.len() >= CustomMetrics::SERIES_MAX;
        if is_full(&all) && now.monotonic.saturating_sub(all.swept) >= SWEEP_INTERVAL {
            self.forget_idle(&mut all, now);
        }
        if is_full(&all) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let mut series = self.definition.kind.series();
        series.change(change, self.definition.kind.bounds(), now);
        all.by_labels.insert(labels.clone(), series);
    }

    fn forget_idle(&self, all: &mut AllSeries, now: Now) {
        all.swept = now.monotonic;
        all.by_labels.retain(|_, series| !self.is_idle(series, now));
    }

    fn is_idle(&self, series: &Series, now: Now) -> bool {
        now.monotonic.saturating_sub(series.updated) > self.definition.max_idle
    }

    /// The metric as it is shown; forgets idle series.
    fn family(&self, now: Now) -> Family {
        let Definition { name, help, kind, .. } = &self.definition;
        let mut all = lock(&self.series);
        self.forget_idle(&mut all, now);
        let mut series: Vec<_> = all.by_labels.iter().map(|(labels, series)| (labels.clone(), series.sample(kind.bounds()))).collect();
        series.sort_by(|(a, _), (b, _)| a.texts().cmp(b.texts()));
        Family { name: name.clone(), help: help.clone(), kind: kind.as_str(), series }
    }
}

impl Series {
    fn change(&mut self, change: Change, bounds: &[f64], now: Now) {
        self.updated = now.monotonic;
        match change {
            Change::Add(by) => self.value += by,
            Change::Set(to) => self.value = to,
            Change::Observe(value) => {
                self.value += value;
                self.counts[bounds.partition_point(|bound| *bound < value)] += 1;
            }
        }
    }

    fn sample(&self, bounds: &[f64]) -> Sample {
        if self.counts.is_empty() {
            return Sample::Value(self.value);
        }
        let below = self.counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        Sample::Histogram { buckets: bounds.iter().copied().chain([f64::INFINITY]).zip(below).collect(), sum: self.value }
    }
}

/// What is behind a lock stays in order even where its holder panicked: each change is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
