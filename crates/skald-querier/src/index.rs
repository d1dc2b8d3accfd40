//! What is known of streams without reading their rows.

use crate::caller::Caller;
use crate::error::QueryError;
use crate::gather::{self, Matched, Matching};
use crate::service::Querier;
use crate::tenants::View;
use crate::work::Work;
use skald_logql::exec::Selector;
use skald_logql::plan::LogPlan;
use skald_model::{Labels, TimeRange};
use skald_rpc::{SelectRequest, Selected};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Counts of an index/stats answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct IndexStats {
    /// Streams with entries.
    pub streams: u64,
    /// Runs of blocks and chunks of memory.
    pub chunks: u64,
    /// Bytes of lines.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
}

impl Querier {
    /// Label sets of all streams with entries in `range` that any of `selectors` wants (all, when there is none), in order.
    ///
    /// # Errors
    /// When the ingester does not answer, or not in time.
    pub async fn series(
        &self,
        caller: &Caller,
        selectors: &[Selector],
        range: TimeRange,
    ) -> Result<(BTreeSet<Labels>, Vec<String>), QueryError> {
        let find = async {
            let (mut found, mut warnings) = (BTreeSet::new(), BTreeSet::new());
            let mut held = caller.work().budget().hold_nothing();
            for selector in selectors {
                let (streams, missing) = self.series_of(caller, selector, range).await?;
                found.extend(streams);
                held.resize(found.iter().map(label_bytes).sum())?;
                warnings.extend(missing);
            }
            caller.work().keep(held);
            Ok((found, warnings.into_iter().collect()))
        };
        self.in_turn(caller, find).await
    }

    async fn series_of(
        &self,
        caller: &Caller,
        selector: &Selector,
        range: TimeRange,
    ) -> Result<(BTreeSet<Labels>, Vec<String>), QueryError> {
        let (mut all, mut warnings) = (BTreeSet::new(), Vec::new());
        for view in View::of_all(caller.tenants(), selector)? {
            let request = SelectRequest { matcher: Arc::new(Matching(view.selector().clone())), range, labels_only: true };
            let selected = self.ingester().select(view.tenant(), request).await.map_err(QueryError::Select)?;
            let opened = gather::open_objects(&self.reader(caller), &view, range, &selected).await?;
            let work = caller.work().clone();
            let find = move || labels_of(&work, &view, selected, &opened.objects, range);
            all.extend(caller.work().on_pool(find).await?);
            warnings.extend(opened.warnings);
        }
        Ok((all, warnings))
    }

    /// What a selector would read.
    ///
    /// # Errors
    /// When the ingester does not answer, or not in time.
    pub async fn index_stats(&self, caller: &Caller, plan: LogPlan, range: TimeRange) -> Result<(IndexStats, Vec<String>), QueryError> {
        let find = self.sources(caller, Arc::new(plan), range);
        let sources = self.in_turn(caller, find).await?;
        let mut stats = IndexStats::default();
        for stream in sources.streams.iter().filter(|stream| !stream.runs.is_empty()) {
            stats.streams += 1;
            for run in &stream.runs {
                let kept = run.keep.as_ref().map_or(u64::from(run.rows), |keep| keep.len() as u64);
                stats.chunks += 1;
                stats.entries += kept;
                stats.bytes += run.place.line_bytes() * kept / u64::from(run.rows).max(1);
            }
        }
        Ok((stats, sources.warnings))
    }
}

/// Label sets of a tenant's streams that have entries in `range`.
fn labels_of(work: &Work, view: &View, selected: Selected, objects: &[Matched], range: TimeRange) -> Result<BTreeSet<Labels>, QueryError> {
    let mut found: BTreeSet<Labels> = selected.streams.into_iter().map(|stream| view.series_labels(&stream.labels)).collect();
    let mut held = work.budget().hold(found.iter().map(label_bytes).sum())?;
    for Matched { open, streams } in objects {
        work.check()?;
        let (min, max) = open.footer.summary.time_span();
        let whole = range.covers(min, max);
        for stream in streams {
            if whole || open.footer.runs_of(*stream).any(|(_, run)| range.overlaps(run.min_time, run.max_time)) {
                let labels = view.series_labels(&open.labels[*stream as usize]);
                let bytes = label_bytes(&labels);
                if found.insert(labels) {
                    held.grow(bytes)?;
                }
            }
        }
    }
    Ok(found)
}

/// What a label set in an answer takes, and its text.
fn label_bytes(labels: &Labels) -> u64 {
    (2 * labels.text_len() + 16 * labels.len() + 64) as u64
}
