//! What a leaf counted over rows that never change, kept to be used again by other queries.

use super::error::EvalError;
use super::leaf::{Failure, LeafState, LeafValue, RangeLeaf};
use super::samples::Samples;
use super::steps::{Differences, Windows};
use skald_model::Timestamp;
use std::sync::Arc;

/// The counts of a leaf over some rows, under steps that depend on those rows and not on a query's start and end.
///
/// Any leaf of the same [`RangeLeaf::fragment`] can add it: the steps that both have in common are counted.
#[derive(Debug)]
pub struct PartialState {
    fragment: Option<Arc<str>>,
    windows: Windows,
    /// Keys of the series, end to end, and where each ends.
    keys: Vec<u8>,
    ends: Vec<usize>,
    /// By series, as in the state.
    rows: Vec<Differences>,
    bytes: Vec<Differences>,
    samples: Vec<Samples>,
    failed: Option<Failure>,
    heap_bytes: usize,
}

impl RangeLeaf {
    /// Text of all that decides what the leaf makes of a row, and of where its steps are, but not of its first and last step. Leaves of
    /// equal fragments count equal rows alike. `None` when a row may count differently from query to query.
    pub fn fragment(&self) -> Option<&Arc<str>> {
        self.fragment.as_ref()
    }

    /// Whether all rows count in one and the same window. Partial states of such leaves hold all of their rows, whichever the window was.
    pub fn has_one_window(&self) -> bool {
        self.windows.steps.count() == 1
    }
}

impl LeafValue {
    /// What is kept of rows; functions that keep the same have their states in common.
    pub(crate) fn kept(self) -> &'static str {
        match self {
            LeafValue::Count | LeafValue::Rate => "rows",
            LeafValue::Bytes | LeafValue::BytesRate => "bytes",
            LeafValue::Folded(fold) => fold.kept_text(),
        }
    }
}

impl LeafState {
    /// Nothing counted yet, of rows that are between two times, under all steps that may see them: also those that the leaf has not.
    ///
    /// `None` when there are too many, or the leaf has a single step that does not see both times.
    pub fn of_part(leaf: Arc<RangeLeaf>, min: Timestamp, max: Timestamp) -> Option<Self> {
        let windows = leaf.windows.around(min.0, max.0)?;
        Some(LeafState::over(leaf, windows))
    }

    /// The counts of a state made by [`LeafState::of_part`], in as little memory as they can have.
    pub fn into_partial(self) -> PartialState {
        let LeafState { leaf, windows, series, mut rows, mut bytes, mut samples, failed, .. } = self;
        let steps = windows.steps.count();
        let (mut keys, mut ends) = (Vec::new(), Vec::with_capacity(series.len()));
        for number in 0..series.len() {
            keys.extend_from_slice(series.key(number));
            ends.push(keys.len());
        }
        keys.shrink_to_fit();
        rows.iter_mut().chain(&mut bytes).for_each(|counts| counts.compact(steps));
        rows.shrink_to_fit();
        bytes.shrink_to_fit();
        samples.iter_mut().for_each(Samples::shrink);
        samples.shrink_to_fit();
        let counts = |list: &[Differences]| list.iter().map(|counts| size_of::<Differences>() + counts.heap_bytes()).sum::<usize>();
        let values: usize = samples.iter().map(|samples| size_of::<Samples>() + samples.heap_bytes()).sum();
        let heap_bytes = keys.len() + ends.len() * size_of::<usize>() + counts(&rows) + counts(&bytes) + values;
        PartialState { fragment: leaf.fragment.clone(), windows, keys, ends, rows, bytes, samples, failed, heap_bytes }
    }

    /// Adds what a leaf of the same fragment counted over other rows. An entry with an error fails this query too, wherever it is.
    ///
    /// # Errors
    /// [`EvalError::TooManySeries`].
    pub fn add_partial(&mut self, part: &PartialState) -> Result<(), EvalError> {
        debug_assert_eq!(self.leaf.fragment, part.fragment, "states of one fragment");
        if let Some(failed) = &part.failed {
            self.failed = Some(self.failed.take().map_or(failed.clone(), |mine| mine.min(failed.clone())));
        }
        let shift = self.windows.shift_of(&part.windows);
        let mut start = 0;
        for (number, end) in part.ends.iter().enumerate() {
            let key = &part.keys[start..*end];
            start = *end;
            if let LeafValue::Folded(fold) = self.leaf.value {
                let samples = part.samples[number].shifted(fold, shift);
                if !samples.is_empty() {
                    self.change(key, |state, series| state.samples[series].merge(fold, samples))?;
                }
            } else if part.rows[number].is_visible(shift) {
                self.change(key, |state, series| {
                    state.rows[series].merge_shifted(&part.rows[number], shift);
                    if let (Some(mine), Some(bytes)) = (state.bytes.get_mut(series), part.bytes.get(number)) {
                        mine.merge_shifted(bytes, shift);
                    }
                })?;
            }
        }
        Ok(())
    }

    fn change(&mut self, key: &[u8], change: impl FnOnce(&mut LeafState, usize)) -> Result<(), EvalError> {
        let series = self.series_of(key)?;
        let before = self.nested_of(series);
        change(self, series);
        self.nested = self.nested + self.nested_of(series) - before;
        Ok(())
    }
}

impl PartialState {
    /// Whether an entry carried an error. Whether that fails a query depends on its first and last step, so that only one that sees all of
    /// the rows may add it.
    pub fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Bytes of memory held, about.
    pub fn heap_bytes(&self) -> usize {
        self.heap_bytes
    }
}

#[cfg(test)]
mod tests;
