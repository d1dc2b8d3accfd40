//! What a leaf counted over rows that never change, kept to be used again by other queries.

use super::error::EvalError;
use super::label_set::LabelSet;
use super::leaf::{Counted, Failure, LeafState, LeafValue, RangeLeaf, check_values};
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
    series: Vec<(Box<[u8]>, Counted)>,
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
        let steps = self.windows.steps.count();
        let mut keys: Vec<_> = self.index.into_iter().collect();
        keys.sort_unstable_by_key(|(_, at)| *at);
        let compact = |((key, _), mut counted): ((Box<[u8]>, usize), Counted)| {
            counted.rows.compact(steps);
            counted.bytes.iter_mut().for_each(|bytes| bytes.compact(steps));
            counted.samples.shrink();
            (key, counted)
        };
        let series: Vec<_> = keys.into_iter().zip(self.series).map(compact).collect();
        let heap_bytes = series.iter().map(|(key, counted)| key.len() + counted.labels.heap_bytes() + counted.heap_bytes()).sum();
        PartialState { fragment: self.leaf.fragment.clone(), windows: self.windows, series, failed: self.failed, heap_bytes }
    }

    /// Adds what a leaf of the same fragment counted over other rows. An entry with an error fails this query too, wherever it is.
    ///
    /// # Errors
    /// [`EvalError::TooManySeries`], [`EvalError::TooLarge`].
    pub fn add_partial(&mut self, part: &PartialState) -> Result<(), EvalError> {
        debug_assert_eq!(self.leaf.fragment, part.fragment, "states of one fragment");
        if let Some(failed) = &part.failed {
            self.failed = Some(self.failed.take().map_or(failed.clone(), |mine| mine.min(failed.clone())));
        }
        let shift = self.windows.shift_of(&part.windows);
        for (key, counted) in &part.series {
            if let LeafValue::Folded(fold) = self.leaf.value {
                let samples = counted.samples.shifted(fold, shift);
                if !samples.is_empty() {
                    self.values += samples.kept();
                    check_values(self.values)?;
                    self.series_of(key, &counted.labels)?.samples.merge(fold, samples);
                }
            } else if counted.rows.is_visible(shift) {
                let mine = self.series_of(key, &counted.labels)?;
                mine.rows.merge_shifted(&counted.rows, shift);
                if let (Some(mine), Some(bytes)) = (&mut mine.bytes, &counted.bytes) {
                    mine.merge_shifted(bytes, shift);
                }
            }
        }
        Ok(())
    }

    fn series_of(&mut self, key: &[u8], labels: &LabelSet) -> Result<&mut Counted, EvalError> {
        let at = match self.index.get(key) {
            Some(at) => *at,
            None => self.insert(key.into(), labels.clone())?,
        };
        Ok(&mut self.series[at])
    }
}

impl Counted {
    /// Bytes of memory held, about.
    pub(super) fn heap_bytes(&self) -> usize {
        let Counted { labels: _, rows, bytes, samples } = self;
        let counts = rows.heap_bytes() + bytes.as_ref().map_or(0, Differences::heap_bytes) + Samples::heap_bytes(samples);
        counts + std::mem::size_of::<Counted>() + 48
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
