use crate::{LabelSet, Now};

/// Metrics that the `metrics` stages of a process fill.
#[derive(Debug, Default)]
pub struct CustomMetrics {}

/// One metric with all its series, to be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Whole name, as shown.
    pub name: String,
    /// Description.
    pub help: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Labels and values.
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

impl CustomMetrics {
    /// All metrics in name order. Series that were idle too long are gone.
    pub fn snapshot(&self, _now: Now) -> Vec<Family> {
        Vec::new()
    }
}
