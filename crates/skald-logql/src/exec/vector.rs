use super::binary::mean_step;
use super::bounds::Account;
use super::error::EvalError;
use super::label_set::LabelSet;
use super::leaf::{self, Counted, LeafValue, RangeLeaf};
use super::series_key::sorted_names;
use super::steps::{Differences, Steps};
use super::top::Top;
use crate::ast::{Grouping, VectorOp};
use rustc_hash::FxHashMap;
use skald_model::Timestamp;

/// Bytes of a point while an expression is evaluated.
pub(crate) const POINT_BYTES: usize = std::mem::size_of::<(u32, f64)>();

/// The answer to a metric query.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricResult {
    /// A number, at an instant.
    Scalar {
        /// When.
        at: Timestamp,
        /// The number.
        value: f64,
    },
    /// One sample per series, at an instant.
    Vector(Vec<Sample>),
    /// Points of each series over the steps.
    Matrix(Vec<Series>),
}

/// A sample of a vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Labels of the series.
    pub labels: LabelSet,
    /// Time of evaluation.
    pub at: Timestamp,
    /// Value.
    pub value: f64,
}

/// A series of a matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Labels of the series.
    pub labels: LabelSet,
    /// Times of evaluation and values, ascending.
    pub points: Vec<(Timestamp, f64)>,
}

/// Series, and at each step which of them have a value, in an order that counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct StepVectors {
    pub(crate) series: Vec<LabelSet>,
    pub(crate) steps: Vec<Vec<(u32, f64)>>,
}

impl StepVectors {
    /// The values of a leaf.
    pub(crate) fn from_counts(leaf: &RangeLeaf, counted: Vec<Counted>, account: &Account<'_>) -> Result<Self, EvalError> {
        let count = leaf.windows.steps.count();
        let mut vectors = StepVectors { series: Vec::with_capacity(counted.len()), steps: vec![Vec::new(); count] };
        let mut points = 0;
        for (at, Counted { labels, rows, bytes, samples }) in counted.into_iter().enumerate() {
            if let LeafValue::Folded(fold) = leaf.value {
                samples.finish(fold, &leaf.windows, account, |step, value| {
                    vectors.steps[step].push((at as u32, value));
                    points += 1;
                })?;
                vectors.series.push(labels);
                account.check(points * POINT_BYTES)?;
                continue;
            }
            let rows = rows.into_sums(count);
            let values = bytes.map(|bytes: Differences| bytes.into_sums(count));
            for (step, n) in rows.iter().enumerate().filter(|(_, n)| **n > 0) {
                let value = leaf.result(values.as_ref().map_or(*n, |values| values[step]));
                vectors.steps[step].push((at as u32, value));
                points += 1;
            }
            vectors.series.push(labels);
            account.check(points * POINT_BYTES)?;
        }
        Ok(vectors)
    }

    /// Bytes of memory held, about.
    pub(crate) fn heap_bytes(&self) -> usize {
        let labels: usize = self.series.iter().map(|labels| labels.heap_bytes() + std::mem::size_of::<LabelSet>()).sum();
        labels + self.steps.iter().map(|points| points.capacity() * POINT_BYTES + std::mem::size_of::<Vec<(u32, f64)>>()).sum::<usize>()
    }

    /// One series of `labels` that is 1 where no series has a value.
    pub(crate) fn absent(self, labels: LabelSet) -> Self {
        let steps = self.steps.into_iter().map(|points| if points.is_empty() { vec![(0, 1.0)] } else { Vec::new() }).collect();
        StepVectors { series: vec![labels], steps }
    }

    /// One series without labels that has `value` at every step.
    pub(crate) fn constant(value: f64, steps: &Steps) -> Self {
        StepVectors { series: vec![LabelSet::default()], steps: vec![vec![(0, value)]; steps.count()] }
    }
}

/// Gives each distinct label set a number.
#[derive(Default)]
pub(crate) struct Interner {
    numbers: FxHashMap<LabelSet, u32>,
    pub(crate) sets: Vec<LabelSet>,
}

impl Interner {
    pub(crate) fn number(&mut self, labels: LabelSet) -> u32 {
        *self.numbers.entry(labels).or_insert_with_key(|labels| {
            self.sets.push(labels.clone());
            self.sets.len() as u32 - 1
        })
    }
}

/// Aggregates over series, step by step. `parameter` is the `k` of `topk`, `bottomk` and `approx_topk`, which here is exact.
///
/// # Errors
/// [`EvalError::Interrupted`].
pub(crate) fn aggregate(
    op: VectorOp,
    parameter: Option<u64>,
    grouping: Option<&Grouping>,
    inner: StepVectors,
    account: &Account<'_>,
) -> Result<StepVectors, EvalError> {
    let mut groups = Interner::default();
    let by = grouping.map(|grouping| sorted_names(&grouping.labels));
    let group_of: Vec<u32> =
        inner.series.iter().map(|labels| groups.number(group_labels(labels, grouping, by.as_deref().unwrap_or_default()))).collect();
    let each_step = |steps: Vec<Vec<(u32, f64)>>, fold: &dyn Fn(Vec<(u32, f64)>) -> Vec<(u32, f64)>| {
        let step = |points| account.check(0).map(|()| fold(points));
        steps.into_iter().map(step).collect::<Result<Vec<_>, _>>()
    };
    match op {
        VectorOp::Topk | VectorOp::Bottomk | VectorOp::ApproxTopk => {
            let leaf::Top { smallest, k } = leaf::Top::of(op, parameter);
            let choose = |points: Vec<(u32, f64)>| top(smallest, k, &group_of, groups.sets.len(), points);
            Ok(StepVectors { steps: each_step(inner.steps, &choose)?, series: inner.series })
        }
        VectorOp::Sort | VectorOp::SortDesc => {
            let descending = op == VectorOp::SortDesc;
            let sort = |mut points: Vec<(u32, f64)>| {
                points.sort_by(|a, b| rank(descending, a.1, b.1));
                points
            };
            Ok(StepVectors { steps: each_step(inner.steps, &sort)?, series: inner.series })
        }
        _ => {
            // In label order: which of equal values `topk` keeps must not depend on how its series were made.
            let mut order: Vec<u32> = (0..groups.sets.len() as u32).collect();
            order.sort_by(|a, b| groups.sets[*a as usize].cmp(&groups.sets[*b as usize]));
            let mut place = vec![0; order.len()];
            order.iter().enumerate().for_each(|(at, group)| place[*group as usize] = at as u32);
            let group_of: Vec<u32> = group_of.into_iter().map(|group| place[group as usize]).collect();
            let steps = each_step(inner.steps, &|points| fold(op, &group_of, order.len(), points))?;
            let series = order.into_iter().map(|group| std::mem::take(&mut groups.sets[group as usize])).collect();
            Ok(StepVectors { series, steps })
        }
    }
}

fn group_labels(labels: &LabelSet, grouping: Option<&Grouping>, names: &[String]) -> LabelSet {
    let listed = |name: &str| names.binary_search_by(|n| n.as_str().cmp(name)).is_ok();
    match grouping {
        None => LabelSet::default(),
        Some(grouping) if grouping.without => labels.filtered(|name, value| !listed(name) && !value.is_empty()),
        Some(_) => labels.filtered(|name, _| listed(name)),
    }
}

/// Smaller first, or larger first; what is no number comes last.
fn rank(descending: bool, a: f64, b: f64) -> std::cmp::Ordering {
    let numbers = || if descending { b.partial_cmp(&a) } else { a.partial_cmp(&b) };
    a.is_nan().cmp(&b.is_nan()).then_with(|| numbers().unwrap_or(std::cmp::Ordering::Equal))
}

/// The `k` largest, or smallest, points of each group, in the order they came.
fn top(smallest: bool, k: usize, group_of: &[u32], groups: usize, points: Vec<(u32, f64)>) -> Vec<(u32, f64)> {
    let mut tops: Vec<Top> = (0..groups).map(|_| Top::new(smallest, k)).collect();
    for (at, (series, value)) in points.iter().enumerate() {
        tops[group_of[*series as usize] as usize].add(*value, at);
    }
    let mut chosen: Vec<usize> = tops.into_iter().flat_map(Top::places).collect();
    chosen.sort_unstable();
    chosen.into_iter().map(|at| points[at]).collect()
}

#[derive(Clone, Copy, Default)]
struct Group {
    count: u64,
    value: f64,
    /// Sum of squared distances from the mean.
    squares: f64,
}

fn fold(op: VectorOp, group_of: &[u32], groups: usize, points: Vec<(u32, f64)>) -> Vec<(u32, f64)> {
    let mut found = vec![Group::default(); groups];
    for (series, value) in points {
        let group = &mut found[group_of[series as usize] as usize];
        group.count += 1;
        let first = group.count == 1;
        match op {
            VectorOp::Sum => group.value += value,
            VectorOp::Avg => group.value = mean_step(group.value, value, group.count),
            VectorOp::Min if first || value < group.value || group.value.is_nan() => group.value = value,
            VectorOp::Max if first || value > group.value || group.value.is_nan() => group.value = value,
            VectorOp::Stddev | VectorOp::Stdvar => {
                let distance = value - group.value;
                group.value += distance / group.count as f64;
                group.squares += distance * (value - group.value);
            }
            _ => {}
        }
    }
    let value = |group: &Group| match op {
        VectorOp::Count => group.count as f64,
        VectorOp::Stdvar => group.squares / group.count as f64,
        VectorOp::Stddev => (group.squares / group.count as f64).sqrt(),
        _ => group.value,
    };
    found.iter().enumerate().filter(|(_, group)| group.count > 0).map(|(at, group)| (at as u32, value(group))).collect()
}

/// The answer of an expression that is a number.
pub(crate) fn scalar_result(value: f64, steps: &Steps, instant: bool) -> MetricResult {
    if instant {
        return MetricResult::Scalar { at: steps.time(0), value };
    }
    let points: Vec<_> = (0..steps.count()).map(|i| (steps.time(i), value)).collect();
    let series = (!points.is_empty()).then(|| Series { labels: LabelSet::default(), points });
    MetricResult::Matrix(series.into_iter().collect())
}

/// The answer of an expression that has series. `keep_order` leaves an instant vector as it was evaluated.
///
/// # Errors
/// [`EvalError::TooManySeries`] when more than `max` series have a value, [`EvalError::Interrupted`].
pub(crate) fn result(
    vectors: StepVectors,
    steps: &Steps,
    instant: bool,
    keep_order: bool,
    max: usize,
    account: &Account<'_>,
) -> Result<MetricResult, EvalError> {
    if instant {
        let points = vectors.steps.into_iter().next().unwrap_or_default();
        if points.len() > max {
            return Err(EvalError::TooManySeries { max });
        }
        let sample = |(series, value): (u32, f64)| Sample { labels: vectors.series[series as usize].clone(), at: steps.time(0), value };
        let mut samples: Vec<Sample> = points.into_iter().map(sample).collect();
        if !keep_order {
            samples.sort_by(|a, b| a.labels.cmp(&b.labels));
        }
        return Ok(MetricResult::Vector(samples));
    }
    let mut found: FxHashMap<&LabelSet, Vec<(Timestamp, f64)>> = FxHashMap::default();
    let mut count = 0;
    for (step, points) in vectors.steps.iter().enumerate() {
        count += points.len();
        account.check(count * std::mem::size_of::<(Timestamp, f64)>())?;
        for (series, value) in points {
            found.entry(&vectors.series[*series as usize]).or_default().push((steps.time(step), *value));
        }
        if found.len() > max {
            return Err(EvalError::TooManySeries { max });
        }
    }
    let mut series: Vec<Series> = found.into_iter().map(|(labels, points)| Series { labels: labels.clone(), points }).collect();
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok(MetricResult::Matrix(series))
}
