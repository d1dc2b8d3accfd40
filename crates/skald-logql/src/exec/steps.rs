use skald_model::{TimeRange, Timestamp};
use std::ops::Range;
use std::time::Duration;

/// The times at which a metric query is evaluated: `start`, `start + step`, … .
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    start: i64,
    step: i64,
    count: usize,
}

impl Steps {
    /// Most steps of a query.
    pub const COUNT_MAX: usize = 11_002;

    /// One evaluation at `at`.
    pub fn instant(at: Timestamp) -> Self {
        Steps { start: at.0, step: 1, count: 1 }
    }

    /// From `start` on while no step passes `end`. `None` when there are more than [`Steps::COUNT_MAX`], or `step` is zero.
    pub fn range(start: Timestamp, end: Timestamp, step: Duration) -> Option<Self> {
        let step = i64::try_from(step.as_nanos()).ok().filter(|step| *step > 0)?;
        let span = i128::from(end.0) - i128::from(start.0);
        let count = if span < 0 { 0 } else { usize::try_from(span / i128::from(step) + 1).ok()? };
        (count <= Self::COUNT_MAX).then_some(Steps { start: start.0, step, count })
    }

    /// Number of steps.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Time of step `i`.
    pub fn time(&self, i: usize) -> Timestamp {
        Timestamp(self.start.saturating_add(self.step.saturating_mul(i as i64)))
    }
}

/// The windows `(t − offset − range, t − offset]` of all steps `t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Windows {
    pub(crate) steps: Steps,
    pub(crate) range: i64,
    pub(crate) offset: i64,
}

/// The steps whose windows hold a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// First step.
    pub(crate) first: usize,
    /// First step after.
    pub(crate) end: usize,
    /// Every time from the one asked about up to this one, inclusive, has the same steps.
    pub(crate) until: i64,
}

impl Span {
    pub(crate) fn is_empty(&self) -> bool {
        self.first >= self.end
    }
}

impl Windows {
    /// Times that lie in some window, and those between windows.
    pub(crate) fn fetch(&self) -> TimeRange {
        if self.steps.count == 0 {
            return TimeRange::new(Timestamp(0), Timestamp(0));
        }
        let last = self.steps.time(self.steps.count - 1).0;
        let start = self.steps.start.saturating_sub(self.offset).saturating_sub(self.range).saturating_add(1);
        TimeRange::new(Timestamp(start), Timestamp(last.saturating_sub(self.offset).saturating_add(1)))
    }

    /// The steps whose windows hold `timestamp`.
    pub(crate) fn span(&self, timestamp: i64) -> Span {
        let (start, step, count) = (i128::from(self.steps.start), i128::from(self.steps.step), self.steps.count as i128);
        let at = i128::from(timestamp) + i128::from(self.offset) - start;
        let range = i128::from(self.range);
        let ceil = |time: i128| (time + step - 1).div_euclid(step).clamp(0, count);
        let (first, end) = (ceil(at), ceil(at + range));
        let enters = if first < count { first * step } else { i128::MAX };
        let leaves = if end < count { end * step - range } else { i128::MAX };
        let until = enters.min(leaves).saturating_add(start - i128::from(self.offset)).min(i128::from(i64::MAX));
        Span { first: first as usize, end: end as usize, until: until as i64 }
    }
}

impl Windows {
    /// The windows that hold some time from `min` to `max`, of the same grid drawn out without end: which they are does not depend on where
    /// the grid begins. A single window is a grid of itself and has to hold both.
    ///
    /// `None` when it does not, or when they are too many.
    pub(crate) fn around(&self, min: i64, max: i64) -> Option<Windows> {
        if self.steps.count == 1 {
            return (!self.span(min).is_empty() && !self.span(max).is_empty()).then_some(*self);
        }
        let (first, step) = (self.first_end(), i128::from(self.steps.step));
        let ceil = |time: i128| (time - first + step - 1).div_euclid(step);
        let (from, end) = (ceil(i128::from(min)), ceil(i128::from(max) + i128::from(self.range)));
        let count = usize::try_from(end - from).ok().filter(|count| *count <= Steps::COUNT_MAX)?;
        let start = i64::try_from(first + from * step).ok()?;
        i64::try_from(first + end * step).ok()?;
        Some(Windows { steps: Steps { start, step: self.steps.step, count }, range: self.range, offset: 0 })
    }

    /// What decides which windows [`Windows::around`] finds: equal texts, equal windows. All single windows are one: they hold everything.
    pub(crate) fn grid(&self) -> String {
        if self.steps.count == 1 {
            return "one window".to_owned();
        }
        let step = self.steps.step;
        format!("windows of {} every {step} at {}", self.range, self.first_end().rem_euclid(i128::from(step)))
    }

    /// How the steps of `part`, windows of the same grid, are numbered here.
    pub(crate) fn shift_of(&self, part: &Windows) -> Shift {
        let by = if self.steps.count == 1 { 0 } else { (part.first_end() - self.first_end()) / i128::from(self.steps.step) };
        // Further away than any number of steps is as good as far away.
        let by = by.clamp(-(1 << 40), 1 << 40) as i64;
        Shift { by, from: part.steps.count as u32, to: self.steps.count as u32 }
    }

    /// Where the first window ends.
    fn first_end(&self) -> i128 {
        i128::from(self.steps.start) - i128::from(self.offset)
    }
}

/// From the numbers of steps of one grid to those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shift {
    by: i64,
    /// Number of steps of the one.
    from: u32,
    /// Number of steps of the other.
    to: u32,
}

impl Shift {
    /// The steps of the other that `first..end` are; `None` when they are none.
    pub(crate) fn span(&self, first: u32, end: u32) -> Option<(u32, u32)> {
        let (first, end) = (self.number(first), self.number(end));
        (first < end).then_some((first, end))
    }

    /// Step of the other, or the one behind its last.
    fn number(&self, step: u32) -> u32 {
        (i64::from(step) + self.by).clamp(0, i64::from(self.to)) as u32
    }

    /// The steps of the one that the other has.
    fn visible(&self) -> Range<u32> {
        let own = |number: i64| (number - self.by).clamp(0, i64::from(self.from)) as u32;
        own(0)..own(i64::from(self.to))
    }
}

/// Remembers the span of the last time asked about: neighbouring rows mostly share it.
pub(crate) struct SpanCursor<'a> {
    windows: &'a Windows,
    from: i64,
    span: Span,
}

impl<'a> SpanCursor<'a> {
    pub(crate) fn new(windows: &'a Windows) -> Self {
        SpanCursor { windows, from: i64::MAX, span: Span { first: 0, end: 0, until: i64::MIN } }
    }

    #[inline]
    pub(crate) fn span(&mut self, timestamp: i64) -> Span {
        if timestamp < self.from || timestamp > self.span.until {
            self.span = self.windows.span(timestamp);
            self.from = timestamp;
        }
        self.span
    }
}

/// Sums over windows, kept as their differences from step to step: adding a row costs two additions however long the window is.
#[derive(Debug, Clone)]
pub(crate) enum Differences {
    /// The sum at the only step.
    One(i64),
    /// Changes at steps, for series with few entries.
    Sparse(Vec<(u32, i64)>),
    /// The change at each step, and one more place behind the last.
    Dense(Vec<i64>),
}

impl Differences {
    pub(crate) fn new(steps: usize) -> Self {
        if steps == 1 { Differences::One(0) } else { Differences::Sparse(Vec::new()) }
    }

    /// Adds `amount` to each step of `span`, and says how many bytes more it holds.
    #[inline]
    pub(crate) fn add(&mut self, span: Span, amount: i64, steps: usize) -> isize {
        match self {
            Differences::One(sum) => *sum += if span.is_empty() { 0 } else { amount },
            Differences::Dense(changes) => {
                changes[span.first] += amount;
                changes[span.end] -= amount;
            }
            Differences::Sparse(changes) => {
                if let [.., (first, a), (end, b)] = changes.as_mut_slice()
                    && *first as usize == span.first
                    && *end as usize == span.end
                {
                    *a += amount;
                    *b -= amount;
                    return 0;
                }
                let before = self.heap_bytes();
                self.push_changes([(span.first as u32, amount), (span.end as u32, -amount)], steps);
                return self.heap_bytes() as isize - before as isize;
            }
        }
        0
    }

    fn push_changes(&mut self, more: impl IntoIterator<Item = (u32, i64)>, steps: usize) {
        let Differences::Sparse(changes) = self else { return };
        changes.extend(more);
        if 2 * changes.len() > steps + 1 {
            self.make_dense(steps);
        }
    }

    fn make_dense(&mut self, steps: usize) {
        let mut dense = match self {
            Differences::Dense(_) => return,
            _ => vec![0; steps + 1],
        };
        match self {
            Differences::Sparse(changes) => changes.iter().for_each(|(step, amount)| dense[*step as usize] += amount),
            Differences::One(sum) => dense[0] = *sum,
            Differences::Dense(_) => {}
        }
        *self = Differences::Dense(dense);
    }

    /// Adds what another counted over the same steps.
    pub(crate) fn merge(&mut self, other: Differences, steps: usize) {
        match (&mut *self, other) {
            (Differences::One(sum), other) => *sum += other.into_sums(1).first().copied().unwrap_or(0),
            (Differences::Dense(changes), Differences::Sparse(more)) => {
                more.iter().for_each(|(step, amount)| changes[*step as usize] += amount);
            }
            (Differences::Sparse(_), Differences::Sparse(more)) => self.push_changes(more, steps),
            (_, more) => {
                let more = more.into_dense(steps);
                self.make_dense(steps);
                if let Differences::Dense(changes) = self {
                    changes.iter_mut().zip(more).for_each(|(change, amount)| *change += amount);
                }
            }
        }
    }

    fn into_dense(mut self, steps: usize) -> Vec<i64> {
        self.make_dense(steps);
        if let Differences::Dense(changes) = self { changes } else { Vec::new() }
    }

    /// Adds what another counted over other steps of the same grid, as far as its steps are here.
    pub(crate) fn merge_shifted(&mut self, other: &Differences, shift: Shift) {
        match self {
            Differences::One(sum) => other.each_change(|step, amount| *sum += if shift.number(step) == 0 { amount } else { 0 }),
            Differences::Dense(changes) => other.each_change(|step, amount| changes[shift.number(step) as usize] += amount),
            Differences::Sparse(changes) => {
                other.each_change(|step, amount| changes.push((shift.number(step), amount)));
                self.push_changes([], shift.to as usize);
            }
        }
    }

    /// Whether any sum is above zero at the steps that `shift` leads to. Only for sums that are never below, after [`Differences::compact`].
    pub(crate) fn is_visible(&self, shift: Shift) -> bool {
        let visible = shift.visible();
        if visible.is_empty() {
            return false;
        }
        let (mut sum, mut found) = (0, false);
        self.each_change(|step, amount| {
            // The sum before this change held up to the step before.
            found |= sum > 0 && visible.start < step;
            if step < visible.end {
                sum += amount;
            }
        });
        found || sum > 0
    }

    fn each_change(&self, mut visit: impl FnMut(u32, i64)) {
        match self {
            Differences::One(sum) => {
                visit(0, *sum);
                visit(1, -*sum);
            }
            Differences::Sparse(changes) => changes.iter().for_each(|(step, amount)| visit(*step, *amount)),
            Differences::Dense(changes) => {
                changes.iter().enumerate().filter(|(_, amount)| **amount != 0).for_each(|(step, amount)| visit(step as u32, *amount));
            }
        }
    }

    /// Takes as little memory as it can: each change once, in the order of steps.
    pub(crate) fn compact(&mut self, steps: usize) {
        if let Differences::One(_) = self {
            return;
        }
        self.make_dense(steps);
        let mut changes = Vec::new();
        self.each_change(|step, amount| changes.push((step, amount)));
        if 2 * changes.len() <= steps + 1 {
            changes.shrink_to_fit();
            *self = Differences::Sparse(changes);
        }
    }

    /// The sum at each step.
    pub(crate) fn into_sums(self, steps: usize) -> Vec<i64> {
        if let Differences::One(sum) = self {
            return vec![sum];
        }
        let mut changes = self.into_dense(steps);
        let mut sum = 0;
        for change in &mut changes {
            sum += *change;
            *change = sum;
        }
        changes.truncate(steps);
        changes
    }

    /// Takes everything out.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::replace(self, Differences::One(0))
    }

    /// The sum, where there is one step.
    pub(crate) fn only_sum(&self) -> Option<i64> {
        if let Differences::One(sum) = self { Some(*sum) } else { None }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Differences::One(_) => 0,
            Differences::Sparse(changes) => 16 * changes.capacity(),
            Differences::Dense(changes) => 8 * changes.capacity(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn windows_leave_out_their_lower_bound() {
        let windows = Windows { steps: Steps::instant(Timestamp(1060)), range: 60, offset: 0 };
        assert!(windows.span(1000).is_empty());
        assert_eq!((windows.span(1001).first, windows.span(1001).end), (0, 1));
        assert!(!windows.span(1060).is_empty() && windows.span(1061).is_empty());
        assert_eq!(windows.fetch(), TimeRange::new(Timestamp(1001), Timestamp(1061)));
    }

    #[test]
    fn too_many_steps_are_refused() {
        assert!(Steps::range(Timestamp(0), Timestamp(1_000_000), Duration::from_nanos(1)).is_none());
        assert!(Steps::range(Timestamp(0), Timestamp(1), Duration::ZERO).is_none());
        assert_eq!(Steps::range(Timestamp(5), Timestamp(4), Duration::from_nanos(1)).map(|steps| steps.count()), Some(0));
    }

    proptest! {
        #![proptest_config(skald_testkit::property(64))]

        #[test]
        fn spans_agree_with_the_definition_and_hold_until_they_say(
            start in -50i64..50, step in 1i64..20, count in 1usize..12, range in 0i64..60, offset in -30i64..30, at in -150i64..250,
        ) {
            let steps = Steps { start, step, count };
            let windows = Windows { steps, range, offset };
            let holds = |timestamp: i64| (0..count).filter(|i| {
                let end = steps.time(*i).0 - offset;
                end - range < timestamp && timestamp <= end
            }).collect::<Vec<_>>();
            let span = windows.span(at);
            prop_assert_eq!((span.first..span.end).collect::<Vec<_>>(), holds(at));
            prop_assert!(span.until >= at);
            for later in at..=span.until.min(at + 100) {
                prop_assert_eq!(holds(later), holds(at));
            }
        }

        #[test]
        fn sparse_and_dense_sums_are_one(
            adds in proptest::collection::vec((0usize..8, 0usize..8, 1i64..5), 0..20), split in 0usize..20, steps in 1usize..9,
        ) {
            let (mut one, mut two, mut want) = (Differences::new(steps), Differences::new(steps), vec![0i64; steps]);
            let (mut grown, mut held) = ([0isize; 2], [0; 2]);
            for (i, (a, b, amount)) in adds.into_iter().enumerate() {
                let span = Span { first: a.min(b).min(steps), end: a.max(b).min(steps), until: 0 };
                want[span.first..span.end].iter_mut().for_each(|sum| *sum += amount);
                let to = if i < split { &mut one } else { &mut two };
                grown[usize::from(i >= split)] += to.add(span, amount, steps);
                held[usize::from(i >= split)] = to.heap_bytes() as isize;
            }
            prop_assert_eq!(grown, held);
            one.merge(two, steps);
            prop_assert_eq!(one.into_sums(steps), want);
        }
    }
}
