//! Metric queries.

use crate::caller::Caller;
use crate::error::QueryError;
use crate::gather::Sources;
use crate::read::{Laziness, Reading, State, units};
use crate::service::{Answer, AnswerData, Querier, joined};
use crate::stats::QueryStats;
use crate::work::Work;
use skald_logql::exec::{Batch, EvalError, LeafState, LineNeed, MetricResult, RangeLeaf, Selection, Stats};
use skald_logql::plan::MetricPlan;
use skald_model::Timestamp;
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
        let metered = caller.work().metered();
        let finish = move || {
            let result = plan.finish_within(states, &metered);
            metered.result(result)
        };
        let result = caller.work().on_pool(finish).await?;
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
        let (work, counted) = (caller.work().clone(), leaf.clone());
        let count = move || {
            let (state, mut sources, stats) = count_whole_runs(counted, sources, &work)?;
            let units = units(&mut sources);
            Ok((state, sources, units, stats))
        };
        let (mut state, sources, units, counted_stats) = caller.work().on_pool(count).await?;
        let reading = Reading { needs: leaf.needs().clone(), probe: leaf.pipeline().block_probe().clone(), laziness: Laziness::Whole };
        let new_leaf = leaf.clone();
        let new_state = move || MetricState(LeafState::new(new_leaf.clone()));
        let (states, outcome) = self.reader(caller).evaluate(units, reading, new_state).await?;
        let work = caller.work().clone();
        let merge = move || {
            for part in states {
                work.check()?;
                state.merge(part.0)?;
            }
            Ok(state)
        };
        let state = caller.work().on_pool(merge).await?;
        let (warnings, mut stats) = joined(sources, outcome);
        stats.add(&counted_stats);
        Ok((state, warnings, stats))
    }
}

/// Streams that are counted between two looks at what the state holds.
const STREAMS_UNCOUNTED: usize = 256;

/// Counts runs whose numbers in the directory are enough, and leaves the others to be read.
fn count_whole_runs(leaf: Arc<RangeLeaf>, mut sources: Sources, work: &Work) -> Result<(LeafState, Sources, QueryStats), QueryError> {
    let mut state = LeafState::new(leaf.clone());
    let mut stats = QueryStats::default();
    if leaf.needs().lines == LineNeed::Bytes {
        return Ok((state, sources, stats));
    }
    let mut held = work.budget().hold_nothing();
    for (i, stream) in sources.streams.iter_mut().enumerate() {
        work.check()?;
        if i % STREAMS_UNCOUNTED == 0 {
            held.resize(state.heap_bytes() as u64)?;
        }
        let mut rest = Vec::new();
        for source in stream.runs.drain(..) {
            let counts = source.place.counts(&sources.objects).filter(|_| source.keep.is_none());
            if let Some((counts, columns)) = counts
                && state.add_run(&stream.labels, &counts, columns.iter().map(|column| &*column.name))?
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
    held.resize(state.heap_bytes() as u64)?;
    work.keep(held);
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
