//! Metric queries.

use crate::cache::Shelf;
use crate::caller::Caller;
use crate::counting::Counting;
use crate::error::QueryError;
use crate::explain::Step;
use crate::read::{Laziness, Reading, units};
use crate::service::{Answer, AnswerData, Querier, joined};
use crate::stats::QueryStats;
use skald_logql::exec::{LeafState, MetricResult, RangeLeaf};
use skald_logql::plan::MetricPlan;
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
        let timed = caller.work().clone();
        let finish = move || {
            let _timer = timed.time(Step::Finish);
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
        let profiler = caller.work().profiler();
        profiler.iter().for_each(|profiler| profiler.begin_leaf());
        let sources = self.sources(caller, leaf.clone(), leaf.fetch()).await?;
        let reader = self.reader(caller);
        let shelf = Shelf::of(self.cache(), &reader.catalog, caller, leaf);
        let (of_leaf, work) = (leaf.clone(), caller.work().clone());
        let begin = move || {
            let _timer = work.time(Step::Directory);
            let (counting, mut sources, stats) = Counting::begin(of_leaf, shelf, sources, &work)?;
            // What was counted without reading is taken by the first units to be read; before that it must fit.
            work.budget().hold(counting.heap_bytes())?;
            let units = units(&mut sources);
            Ok((counting, sources, units, stats))
        };
        let (counting, sources, units, counted) = caller.work().on_pool(begin).await?;
        let reading = Reading { needs: leaf.needs().clone(), probe: leaf.pipeline().block_probe().clone(), laziness: Laziness::Whole };
        let counting = Arc::new(counting);
        let (states, outcome) = reader.evaluate_parts(units, reading, counting.clone()).await?;
        let work = caller.work().clone();
        let finish = move || {
            let _timer = work.time(Step::Merge);
            let nothing_read = states.is_empty();
            let (state, kept) = counting.finish(states)?;
            if nothing_read {
                work.keep(work.budget().hold(state.heap_bytes() as u64)?);
            }
            Ok((state, kept))
        };
        let (state, kept) = caller.work().on_pool(finish).await?;
        let (warnings, mut stats) = joined(sources, outcome);
        stats.add(&counted);
        stats.cache.add(&kept);
        profiler.iter().for_each(|profiler| profiler.end_leaf(&stats, &counted, state.profile()));
        Ok((state, warnings, stats))
    }
}
