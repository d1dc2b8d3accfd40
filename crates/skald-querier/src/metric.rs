//! Metric queries.

use crate::cache::Shelf;
use crate::caller::Caller;
use crate::counting::Counting;
use crate::error::QueryError;
use crate::read::{Laziness, Reading, units};
use crate::service::{Answer, AnswerData, Querier, joined};
use crate::stats::QueryStats;
use skald_logql::exec::{LeafState, MetricResult, RangeLeaf};
use skald_logql::plan::MetricPlan;
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
        let pool = self.reader().pool.as_ref();
        let shelf = Shelf::of(self.cache(), &self.reader().catalog, caller, leaf);
        let of_leaf = leaf.clone();
        let begin = move || Counting::begin(of_leaf, shelf, sources);
        let (counting, mut sources, counted) = run_on_pool(pool, begin).await.map_err(|_| QueryError::Stopped)??;
        let reading = Reading { needs: leaf.needs().clone(), probe: leaf.pipeline().block_probe().clone(), laziness: Laziness::Whole };
        let counting = Arc::new(counting);
        let (states, outcome) = self.reader().evaluate_parts(units(&mut sources), reading, counting.clone()).await?;
        let finish = move || counting.finish(states);
        let (state, kept) = run_on_pool(pool, finish).await.map_err(|_| QueryError::Stopped)??;
        let (warnings, mut stats) = joined(sources, outcome);
        stats.add(&counted);
        stats.cache.add(&kept);
        Ok((state, warnings, stats))
    }
}
