//! Metric queries.

use crate::caller::Caller;
use crate::error::QueryError;
use crate::gather::Sources;
use crate::read::{Laziness, Reading, State, units};
use crate::service::{Answer, AnswerData, Querier, joined};
use crate::stats::QueryStats;
use skald_logql::exec::{Batch, EvalError, LeafState, LineNeed, MetricResult, RangeLeaf, Selection, Stats};
use skald_logql::plan::MetricPlan;
use skald_model::Timestamp;
use skald_model::seam::run_on_pool;
use std::sync::Arc;

impl Querier {
    pub(crate) async fn metric(&self, caller: &Caller, plan: MetricPlan) -> Result<Answer, QueryError> {
        let (mut states, mut warnings, mut stats) = (Vec::new(), Vec::new(), QueryStats::default());
        for leaf in plan.leaves() {
            let (state, of_leaf, leaf_stats) = self.leaf(caller, leaf).await?;
            states.push(state);
            stats.add(&leaf_stats);
            warnings.extend(of_leaf);
        }
        let finish = move || plan.finish(states);
        let result = run_on_pool(self.reader().pool.as_ref(), finish).await.map_err(|_| QueryError::Stopped)??;
        stats.entries_returned = match &result {
            MetricResult::Scalar { .. } => 1,
            MetricResult::Vector(samples) => samples.len() as u64,
            MetricResult::Matrix(series) => series.iter().map(|series| series.points.len() as u64).sum(),
        };
        warnings.sort();
        warnings.dedup();
        Ok(Answer { data: AnswerData::Metric(result), warnings, stats })
    }

    async fn leaf(&self, caller: &Caller, leaf: &Arc<RangeLeaf>) -> Result<(LeafState, Vec<String>, QueryStats), QueryError> {
        let sources = self.sources(caller, leaf.clone(), leaf.fetch()).await?;
        let (pool, counted) = (self.reader().pool.as_ref(), leaf.clone());
        let count = move || count_whole_runs(counted, sources);
        let (mut state, mut sources, counted_stats) = run_on_pool(pool, count).await.map_err(|_| QueryError::Stopped)??;
        let reading = Reading { needs: leaf.needs().clone(), probe: leaf.pipeline().block_probe().clone(), laziness: Laziness::Whole };
        let new_leaf = leaf.clone();
        let new_state = move || MetricState(LeafState::new(new_leaf.clone()));
        let (states, outcome) = self.reader().evaluate(units(&mut sources), reading, new_state).await?;
        for part in states {
            state.merge(part.0)?;
        }
        let (warnings, mut stats) = joined(sources, outcome);
        stats.add(&counted_stats);
        Ok((state, warnings, stats))
    }
}

/// Counts runs whose numbers in the directory are enough, and leaves the others to be read.
fn count_whole_runs(leaf: Arc<RangeLeaf>, mut sources: Sources) -> Result<(LeafState, Sources, QueryStats), EvalError> {
    let mut state = LeafState::new(leaf.clone());
    let mut stats = QueryStats::default();
    if leaf.needs().lines == LineNeed::Bytes {
        return Ok((state, sources, stats));
    }
    for stream in &mut sources.streams {
        let mut rest = Vec::new();
        for source in stream.runs.drain(..) {
            let counts = source.place.counts().filter(|_| source.keep.is_none());
            if let Some(counts) = counts
                && state.add_run(&stream.labels, &counts)?
            {
                stats.object_lines += counts.rows;
                stats.object_bytes += counts.line_bytes;
                stats.post_filter_lines += counts.rows;
            } else {
                rest.push(source);
            }
        }
        stream.runs = rest;
    }
    Ok((state, sources, stats))
}

struct MetricState(LeafState);

impl State for MetricState {
    fn add(&mut self, batch: &Batch<'_>, selection: &Selection, _order: (u64, u64)) -> Result<Stats, EvalError> {
        self.0.add_batch(batch, selection)
    }

    fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }

    fn is_settled(&self, _min: Timestamp, _max: Timestamp) -> bool {
        false
    }
}
