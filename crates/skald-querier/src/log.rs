//! Log queries.

use crate::caller::Caller;
use crate::error::QueryError;
use crate::explain::Step;
use crate::read::{Laziness, Reading, State, units};
use crate::service::{Answer, AnswerData, Querier, joined};
use crate::stats::QueryStats;
use skald_logql::exec::{Batch, EvalError, LogCollector, Selection, Stats};
use skald_logql::plan::{Direction, LogPlan};
use skald_model::Timestamp;
use std::sync::Arc;

impl Querier {
    pub(crate) async fn log(&self, caller: &Caller, plan: Arc<LogPlan>) -> Result<Answer, QueryError> {
        let forward = plan.direction() == Direction::Forward;
        let mut collector = plan.collector();
        let of_state = plan.clone();
        let new_state = move || LogState { collector: of_state.collector(), forward };
        let profiler = caller.work().profiler();
        profiler.iter().for_each(|profiler| profiler.begin_leaf());
        let (states, warnings, mut stats) = self.read_log(caller, plan, new_state).await?;
        let (work, of_leaf) = (caller.work().clone(), stats.clone());
        let merge = move || {
            let timer = work.time(Step::Merge);
            for state in states {
                work.check()?;
                collector.merge(state.collector)?;
            }
            drop(timer);
            if let Some(profiler) = work.profiler() {
                profiler.end_leaf(&of_leaf, &QueryStats::default(), collector.profile());
            }
            Ok(collector.finish())
        };
        let entries = caller.work().on_pool(merge).await?;
        stats.entries_returned = entries.len() as u64;
        Ok(Answer { data: AnswerData::Entries(entries), warnings, stats })
    }

    /// Reads the rows of a log query in its direction, until the states are settled.
    pub(crate) async fn read_log<S: State>(
        &self,
        caller: &Caller,
        plan: Arc<LogPlan>,
        new_state: impl Fn() -> S + Send + Sync + 'static,
    ) -> Result<(Vec<S>, Vec<String>, QueryStats), QueryError> {
        let mut sources = self.sources(caller, plan.clone(), plan.range()).await?;
        let forward = plan.direction() == Direction::Forward;
        let in_order = move || {
            let mut units = units(&mut sources);
            if forward {
                units.sort_by_cached_key(|unit| unit.time_span().0);
            } else {
                units.sort_by_cached_key(|unit| std::cmp::Reverse(unit.time_span().1));
            }
            Ok((units, sources))
        };
        let (units, sources) = caller.work().on_pool(in_order).await?;
        let probe = plan.pipeline().block_probe().clone();
        let laziness = match (plan.stops_at_limit(), forward) {
            (false, _) => Laziness::Whole,
            (true, true) => Laziness::OldestFirst,
            (true, false) => Laziness::NewestFirst,
        };
        let reading = Reading { needs: plan.pipeline().needs().clone(), probe, laziness };
        let (states, outcome) = self.reader(caller).evaluate(units, reading, new_state).await?;
        let (warnings, stats) = joined(sources, outcome);
        Ok((states, warnings, stats))
    }
}

struct LogState {
    collector: LogCollector,
    forward: bool,
}

impl State for LogState {
    fn add(&mut self, batch: &Batch<'_>, selection: &Selection, order: (u64, u64)) -> Result<Stats, EvalError> {
        self.collector.add_batch(batch, selection, order)
    }

    fn heap_bytes(&self) -> usize {
        self.collector.heap_bytes()
    }

    fn is_settled(&self, min: Timestamp, max: Timestamp) -> bool {
        self.collector.horizon().is_some_and(|horizon| if self.forward { min > horizon } else { max < horizon })
    }

    fn is_backward(&self) -> bool {
        !self.forward
    }
}
