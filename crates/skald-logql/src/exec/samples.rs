//! Values of entries, folded as far as the steps that see them allow.

use super::binary::mean_step;
use super::bounds::Account;
use super::error::EvalError;
use super::steps::{Shift, Span, Windows};
use std::cmp::Ordering;
use std::ops::Range;

/// What becomes of the values in a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum SampleFold {
    Sum,
    Rate,
    Avg,
    Min,
    Max,
    Stdvar,
    Stddev,
    First,
    Last,
    Quantile(f64),
    RateCounter,
}

impl SampleFold {
    /// Whether it has to see each value once all are there.
    pub(crate) fn keeps_values(self) -> bool {
        matches!(self, SampleFold::Quantile(_) | SampleFold::RateCounter)
    }

    /// What it keeps of values; all that keep the same can be worked out from the same.
    pub(crate) fn kept_text(self) -> &'static str {
        match self {
            SampleFold::Sum | SampleFold::Rate => "sum",
            SampleFold::Avg => "mean",
            SampleFold::Min => "least",
            SampleFold::Max => "largest",
            SampleFold::Stdvar | SampleFold::Stddev => "squares",
            SampleFold::First => "first",
            SampleFold::Last => "last",
            SampleFold::Quantile(_) => "values",
            SampleFold::RateCounter => "values and times",
        }
    }

    fn keeps_times(self) -> bool {
        matches!(self, SampleFold::RateCounter)
    }
}

/// The values of one series.
///
/// Values that are in the windows of the same steps are one segment. Segments follow each other in time, so the windows of a step
/// are a run of segments, and the run only moves forward from step to step.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    segments: Vec<Segment>,
}

#[derive(Debug, Clone)]
struct Segment {
    first: u32,
    end: u32,
    folded: Folded,
    /// Only where they are kept.
    values: Vec<f64>,
    times: Vec<i64>,
}

/// Values that were folded into one.
#[derive(Debug, Clone, Copy)]
struct Folded {
    count: u64,
    /// Sum, mean, least, largest, first or last.
    value: f64,
    /// Sum of squared distances from the mean.
    squares: f64,
    /// Time of the first or last.
    at: i64,
}

impl Folded {
    fn new(value: f64, at: i64) -> Self {
        Folded { count: 1, value, squares: 0.0, at }
    }

    /// Adds one value, of an entry that was added later.
    fn add(&mut self, fold: SampleFold, value: f64, at: i64) {
        self.count += 1;
        match fold {
            SampleFold::Avg => self.value = mean_step(self.value, value, self.count),
            SampleFold::Stdvar | SampleFold::Stddev => {
                let distance = value - self.value;
                self.value += distance / self.count as f64;
                self.squares += distance * (value - self.value);
            }
            _ => {
                self.count -= 1;
                *self = self.with(fold, &Folded::new(value, at));
            }
        }
    }

    /// Both together, `later` after this one.
    fn with(&self, fold: SampleFold, later: &Folded) -> Folded {
        let (a, b) = (self, later);
        let count = a.count + b.count;
        let weight = b.count as f64 / count as f64;
        let distance = b.value - a.value;
        let (mut squares, mut at) = (0.0, a.at);
        let value = match fold {
            SampleFold::Sum | SampleFold::Rate => a.value + b.value,
            SampleFold::Avg if a.value.is_infinite() || b.value.is_infinite() => a.value + b.value,
            SampleFold::Avg => a.value + distance * weight,
            SampleFold::Stdvar | SampleFold::Stddev => {
                squares = a.squares + b.squares + distance * distance * a.count as f64 * weight;
                a.value + distance * weight
            }
            SampleFold::Min if b.value < a.value || a.value.is_nan() => b.value,
            SampleFold::Max if b.value > a.value || a.value.is_nan() => b.value,
            SampleFold::First if b.is_before(a) => {
                at = b.at;
                b.value
            }
            SampleFold::Last if a.is_before(b) => {
                at = b.at;
                b.value
            }
            _ => a.value,
        };
        Folded { count, value, squares, at }
    }

    /// Which of two values came first. At one time the lesser did, so that it does not matter in which order states are merged.
    fn is_before(&self, other: &Folded) -> bool {
        self.at.cmp(&other.at).then(self.value.total_cmp(&other.value)).is_lt()
    }

    fn result(&self, fold: SampleFold, seconds: f64) -> f64 {
        match fold {
            SampleFold::Rate => self.value / seconds,
            SampleFold::Stdvar => self.squares / self.count as f64,
            SampleFold::Stddev => (self.squares / self.count as f64).sqrt(),
            _ => self.value,
        }
    }
}

impl Segment {
    fn new(span: Span, fold: SampleFold, value: f64, at: i64) -> Self {
        let mut segment = Segment {
            first: span.first as u32,
            end: span.end as u32,
            folded: Folded::new(value, at),
            values: Vec::new(),
            times: Vec::new(),
        };
        segment.keep(fold, value, at);
        segment
    }

    fn key(&self) -> (u32, u32) {
        (self.first, self.end)
    }

    #[inline]
    fn heap_bytes(&self) -> usize {
        8 * (self.values.capacity() + self.times.capacity())
    }

    /// Adds the values of another segment of the same steps.
    fn join(&mut self, fold: SampleFold, other: Segment) {
        self.folded = self.folded.with(fold, &other.folded);
        self.values.extend(other.values);
        self.times.extend(other.times);
    }

    fn keep(&mut self, fold: SampleFold, value: f64, at: i64) {
        if fold.keeps_values() {
            self.values.push(value);
        }
        if fold.keeps_times() {
            self.times.push(at);
        }
    }
}

impl Samples {
    /// Adds the value of an entry at `at`, whose steps are `span`, and says how many bytes more it holds. Neighbours mostly share their span.
    pub(crate) fn add(&mut self, fold: SampleFold, span: Span, value: f64, at: i64) -> usize {
        let key = (span.first as u32, span.end as u32);
        let place = match self.segments.last().map(|last| last.key().cmp(&key)) {
            Some(Ordering::Equal) => Ok(self.segments.len() - 1),
            None | Some(Ordering::Less) => Err(self.segments.len()),
            Some(Ordering::Greater) => self.segments.binary_search_by_key(&key, Segment::key),
        };
        match place {
            Ok(found) => {
                let segment = &mut self.segments[found];
                if !fold.keeps_values() {
                    segment.folded.add(fold, value, at);
                    return 0;
                }
                let before = segment.heap_bytes();
                segment.keep(fold, value, at);
                segment.heap_bytes() - before
            }
            Err(found) => {
                let before = self.segments.capacity();
                let segment = Segment::new(span, fold, value, at);
                let kept = segment.heap_bytes();
                self.segments.insert(found, segment);
                kept + (self.segments.capacity() - before) * size_of::<Segment>()
            }
        }
    }

    /// Adds what another counted over the same steps.
    pub(crate) fn merge(&mut self, fold: SampleFold, other: Samples) {
        let Some(first) = other.segments.first().map(Segment::key) else { return };
        // Parts mostly follow each other in time: what lies before the other's first segment stays where it is.
        let before = self.segments.partition_point(|segment| segment.key() < first);
        let mut mine = self.segments.split_off(before).into_iter().peekable();
        let mut theirs = other.segments.into_iter().peekable();
        while let (Some(a), Some(b)) = (mine.peek(), theirs.peek()) {
            let order = a.key().cmp(&b.key());
            let a = if order.is_le() { mine.next() } else { None };
            let b = if order.is_ge() { theirs.next() } else { None };
            self.segments.extend(match (a, b) {
                (Some(mut a), Some(b)) => {
                    a.join(fold, b);
                    Some(a)
                }
                (one, two) => one.or(two),
            });
        }
        self.segments.extend(mine);
        self.segments.extend(theirs);
    }

    /// The values that are in the windows of `shift`'s steps, under its numbers.
    pub(crate) fn shifted(&self, fold: SampleFold, shift: Shift) -> Samples {
        let mut shifted: Vec<Segment> = Vec::with_capacity(self.segments.len());
        for segment in &self.segments {
            let Some((first, end)) = shift.span(segment.first, segment.end) else { continue };
            match shifted.last_mut() {
                Some(last) if last.key() == (first, end) => last.join(fold, segment.clone()),
                _ => shifted.push(Segment { first, end, ..segment.clone() }),
            }
        }
        Samples { segments: shifted }
    }

    /// Whether there is no value.
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Lets go of memory that is not used.
    pub(crate) fn shrink(&mut self) {
        self.segments.shrink_to_fit();
        for segment in &mut self.segments {
            segment.values.shrink_to_fit();
            segment.times.shrink_to_fit();
        }
    }

    /// Calls `visit` with each step that has values, and what they come to.
    ///
    /// # Errors
    /// [`EvalError::Interrupted`].
    pub(crate) fn finish(
        &self,
        fold: SampleFold,
        windows: &Windows,
        account: &Account<'_>,
        mut visit: impl FnMut(usize, f64),
    ) -> Result<(), EvalError> {
        if fold.keeps_values() {
            return self.each_run(windows.steps.count(), |step, run| {
                // The values of a window are copied to be put in order.
                account.check(16 * self.segments[run.clone()].iter().map(|segment| segment.values.len()).sum::<usize>())?;
                visit(step, all_values(fold, &self.segments[run], windows, step));
                Ok(())
            });
        }
        // What the front of a run comes to, from each of its segments on; what came behind it is in `back`.
        let (mut front, mut front_end, mut back) = (Vec::new(), 0, None::<Folded>);
        let mut back_end = 0;
        let seconds = windows.range as f64 / 1e9;
        let join = |a: Option<Folded>, b: Option<Folded>| match (a, b) {
            (Some(a), Some(b)) => Some(a.with(fold, &b)),
            (a, b) => a.or(b),
        };
        self.each_run(windows.steps.count(), |step, Range { start: from, end }| {
            self.segments[back_end.max(front_end)..end].iter().for_each(|segment| back = join(back, Some(segment.folded)));
            back_end = end;
            if from > front_end {
                front.clear();
                let mut sum = None;
                for segment in self.segments[from..end].iter().rev() {
                    sum = join(Some(segment.folded), sum);
                    front.push(sum);
                }
                (front_end, back) = (end, None);
            }
            let ahead = if from < front_end { front[front_end - from - 1] } else { None };
            if let Some(folded) = join(ahead, back) {
                visit(step, folded.result(fold, seconds));
            }
            Ok(())
        })
    }

    /// Calls `visit` with each step that has values, and the places of its segments.
    fn each_run(&self, steps: usize, mut visit: impl FnMut(usize, Range<usize>) -> Result<(), EvalError>) -> Result<(), EvalError> {
        let (mut from, mut end) = (0, 0);
        for step in 0..steps {
            while self.segments.get(end).is_some_and(|segment| segment.first as usize <= step) {
                end += 1;
            }
            while from < end && self.segments[from].end as usize <= step {
                from += 1;
            }
            if from < end {
                visit(step, from..end)?;
            }
        }
        Ok(())
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.segments.capacity() * size_of::<Segment>() + self.segments.iter().map(Segment::heap_bytes).sum::<usize>()
    }
}

fn all_values(fold: SampleFold, run: &[Segment], windows: &Windows, step: usize) -> f64 {
    let mut values: Vec<f64> = run.iter().flat_map(|segment| segment.values.iter().copied()).collect();
    match fold {
        SampleFold::Quantile(q) => quantile(q, &mut values),
        _ => {
            let times = run.iter().flat_map(|segment| segment.times.iter().copied());
            let mut samples: Vec<(i64, f64)> = times.zip(values).collect();
            samples.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
            let end = windows.steps.time(step).0.saturating_sub(windows.offset);
            rate_counter(&samples, end, windows.range)
        }
    }
}

/// The `q`-quantile, between the two values next to it. What is no number counts as least.
fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let order = |a: &f64, b: &f64| b.is_nan().cmp(&a.is_nan()).then(a.partial_cmp(b).unwrap_or(Ordering::Equal));
    let rank = q * (values.len() - 1) as f64;
    let low = rank.floor() as usize;
    let weight = rank - rank.floor();
    let (_, lower, above) = values.select_nth_unstable_by(low, order);
    let lower = *lower;
    let upper = above.iter().copied().min_by(order).unwrap_or(lower);
    lower * (1.0 - weight) + upper * weight
}

/// Increase per second of a counter that may have been reset, drawn out to the window's edges where samples come near them.
fn rate_counter(samples: &[(i64, f64)], window_end: i64, range: i64) -> f64 {
    let ([(first_at, first), .., (last_at, last)], seconds) = (samples, |nanos: i64| nanos as f64 / 1e9) else { return 0.0 };
    let mut delta = last - first;
    let mut before = 0.0;
    for (_, value) in samples {
        if *value < before {
            delta += before;
        }
        before = *value;
    }
    let sampled = seconds(last_at - first_at);
    let gap = sampled / (samples.len() - 1) as f64;
    let mut to_start = seconds(first_at.saturating_sub(window_end.saturating_sub(range)));
    let mut to_end = seconds(window_end.saturating_sub(*last_at));
    if to_start >= 1.1 * gap {
        to_start = gap / 2.0;
    }
    if delta > 0.0 && *first >= 0.0 {
        to_start = to_start.min(sampled * (first / delta));
    }
    if to_end >= 1.1 * gap {
        to_end = gap / 2.0;
    }
    delta * ((sampled + to_start + to_end) / sampled) / seconds(range)
}

#[cfg(test)]
mod tests {
    use super::super::bounds::Unbounded;
    use super::super::steps::Steps;
    use super::*;
    use proptest::prelude::*;
    use skald_model::Timestamp;
    use std::time::Duration;

    const FOLDS: [SampleFold; 11] = [
        SampleFold::Sum,
        SampleFold::Rate,
        SampleFold::Avg,
        SampleFold::Min,
        SampleFold::Max,
        SampleFold::Stdvar,
        SampleFold::Stddev,
        SampleFold::First,
        SampleFold::Last,
        SampleFold::Quantile(0.3),
        SampleFold::RateCounter,
    ];

    /// The definition, over the values of one window in time order.
    fn naive(fold: SampleFold, window: &[(i64, f64)], end: i64, range: i64) -> f64 {
        let values: Vec<f64> = window.iter().map(|(_, value)| *value).collect();
        let n = values.len() as f64;
        let (sum, mean) = (values.iter().sum::<f64>(), values.iter().sum::<f64>() / n);
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n;
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        match fold {
            SampleFold::Sum => sum,
            SampleFold::Rate => sum / (range as f64 / 1e9),
            SampleFold::Avg => mean,
            SampleFold::Min => sorted[0],
            SampleFold::Max => sorted[sorted.len() - 1],
            SampleFold::Stdvar => variance,
            SampleFold::Stddev => variance.sqrt(),
            SampleFold::First => values[0],
            SampleFold::Last => values[values.len() - 1],
            SampleFold::Quantile(q) => {
                let rank = q * (n - 1.0);
                let (low, high) = (rank.floor() as usize, (rank.floor() as usize + 1).min(values.len() - 1));
                sorted[low] * (1.0 - rank.fract()) + sorted[high] * rank.fract()
            }
            SampleFold::RateCounter => rate_counter(window, end, range),
        }
    }

    proptest! {
        #![proptest_config(skald_testkit::property(64))]

        #[test]
        fn every_split_and_order_gives_what_the_definition_gives(
            samples in proptest::collection::btree_map(0i64..300, -20i32..20, 0..40), shuffle in proptest::collection::vec(0usize..40, 40),
            parts in 1usize..4, step in 1i64..40, range in 1i64..90, offset in -20i64..20,
        ) {
            let steps = Steps::range(Timestamp(0), Timestamp(300), Duration::from_nanos(step as u64)).expect("few");
            let windows = Windows { steps, range, offset };
            let sorted: Vec<(i64, f64)> = samples.iter().map(|(at, value)| (*at, f64::from(*value) / 4.0)).collect();
            let mut shuffled = sorted.clone();
            (0..shuffled.len()).for_each(|i| { let j = shuffle[i] % shuffled.len(); shuffled.swap(i, j) });
            for fold in FOLDS {
                let mut states: Vec<Samples> = (0..parts).map(|_| Samples::default()).collect();
                let mut held = vec![0; parts];
                for (i, (at, value)) in shuffled.iter().enumerate() {
                    let span = windows.span(*at);
                    if !span.is_empty() {
                        held[i % parts] += states[i % parts].add(fold, span, *value, *at);
                    }
                }
                prop_assert_eq!(held, states.iter().map(Samples::heap_bytes).collect::<Vec<_>>());
                let mut all = Samples::default();
                states.into_iter().for_each(|state| all.merge(fold, state));
                let mut got = Vec::new();
                let account = Account::new(&Unbounded);
                prop_assert!(all.finish(fold, &windows, &account, |step, value| got.push((step, value))).is_ok());
                let mut want = Vec::new();
                for i in 0..steps.count() {
                    let end = steps.time(i).0 - offset;
                    let window: Vec<_> = sorted.iter().copied().filter(|(at, _)| end - range < *at && *at <= end).collect();
                    if !window.is_empty() {
                        want.push((i, naive(fold, &window, end, range)));
                    }
                }
                let steps_of = |values: &[(usize, f64)]| values.iter().map(|(step, _)| *step).collect::<Vec<_>>();
                prop_assert_eq!(steps_of(&got), steps_of(&want));
                for ((_, got), (_, want)) in got.iter().zip(&want) {
                    prop_assert!((got - want).abs() <= 1e-9 * want.abs().max(1.0) || (got.is_nan() && want.is_nan()), "{:?}: {} {}", fold, got, want);
                }
            }
        }
    }

    #[track_caller]
    fn check(fold: SampleFold, values: &[f64], want: f64) {
        let windows = Windows { steps: Steps::instant(Timestamp(100)), range: 100, offset: 0 };
        let mut samples = Samples::default();
        for (i, value) in values.iter().enumerate() {
            samples.add(fold, windows.span(i as i64 + 1), *value, i as i64 + 1);
        }
        let same = |_, got: f64| assert!(got == want || (got.is_nan() && want.is_nan()), "{fold:?} of {values:?}: {got}");
        assert_eq!(samples.finish(fold, &windows, &Account::new(&Unbounded), same), Ok(()));
    }

    #[test]
    fn what_is_no_number_is_left_out_of_the_least_and_the_largest_only() {
        let nan = f64::NAN;
        check(SampleFold::Min, &[nan, 2.0, 1.0, nan], 1.0);
        check(SampleFold::Max, &[nan, 2.0, 1.0, nan], 2.0);
        check(SampleFold::Max, &[nan, nan], nan);
        check(SampleFold::First, &[nan, 2.0], nan);
        check(SampleFold::Last, &[1.0, nan], nan);
        check(SampleFold::Quantile(0.0), &[1.0, nan], nan);
        check(SampleFold::Quantile(1.0), &[nan, 1.0, 3.0], 3.0);
    }

    #[test]
    fn quantiles_outside_are_infinite_and_means_keep_infinities() {
        check(SampleFold::Quantile(1.5), &[1.0], f64::INFINITY);
        check(SampleFold::Avg, &[f64::INFINITY, 1.0, f64::INFINITY], f64::INFINITY);
        check(SampleFold::Avg, &[f64::INFINITY, f64::NEG_INFINITY], f64::NAN);
        check(SampleFold::RateCounter, &[5.0], 0.0);
        check(SampleFold::Stdvar, &[0.1, 0.1, 0.1], 0.0);
    }
}
