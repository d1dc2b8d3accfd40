use super::Rewrites;
use crate::ast::{Matcher, Stage, Unwrap};
use crate::exec::{LeafValue, Pipeline, SeriesKey, Windows};
use std::sync::Arc;

/// What a leaf was planned from.
pub(super) struct FragmentOf<'a> {
    pub(super) matchers: &'a [Matcher],
    pub(super) stages: &'a [Stage],
    pub(super) unwrap: Option<&'a Unwrap>,
    pub(super) key: &'a SeriesKey,
    pub(super) value: LeafValue,
    pub(super) windows: Windows,
}

impl FragmentOf<'_> {
    /// The leaf's [`fragment`](crate::exec::RangeLeaf::fragment): the parts themselves, since their canonical form rounds some numbers, and
    /// what `pipeline` was told about the rest of the query.
    pub(super) fn text(&self, pipeline: &Pipeline, rewrites: Rewrites) -> Option<Arc<str>> {
        if pipeline.sees_clock() {
            return None;
        }
        let FragmentOf { matchers, stages, unwrap, key, value, windows } = self;
        let (kept, grid, required) = (value.kept(), windows.grid(), &pipeline.hints().required);
        let preserves_errors = pipeline.preserves_errors();
        let of_text = format!("{kept} by {key:?} of {matchers:?} {stages:?} {unwrap:?}");
        Some(format!("{of_text}, {required:?} {preserves_errors}, {grid}, {rewrites:?}").into())
    }
}
