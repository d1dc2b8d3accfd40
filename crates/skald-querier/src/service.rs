//! The querier: takes a checked request, gathers sources, evaluates, merges.

use crate::checks;
use crate::error::QueryError;
use crate::gather::{self, Matching, Sources, Wanted};
use crate::metrics::Metrics;
use crate::overlap;
use crate::read::{Laziness, Outcome, Reader, Reading, State, units};
use crate::stats::QueryStats;
use parking_lot::Mutex;
use skald_block::Run;
use skald_config::{Config, Limits, TenantLimits};
use skald_logql::ast::Expr;
use skald_logql::exec::{
    Batch, EvalError, LeafState, LineNeed, LogCollector, LogEntries, MetricResult, Probe, RangeLeaf, RunCounts, Selection, Selector, Stats,
};
use skald_logql::plan::{Direction, LogPlan, MetricPlan, Params as PlanParams, Plan, plan};
use skald_model::seam::{Clock, Seams, run_on_pool};
use skald_model::{Labels, TenantId, TimeRange, Timestamp};
use skald_rpc::{Ingester, SelectRequest};
use skald_store::Catalog;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// What a querier is made of.
pub struct Parts {
    /// Clock, pool and the like.
    pub seams: Seams,
    /// Effective configuration.
    pub config: Arc<Config>,
    /// Limits by tenant.
    pub limits: Arc<dyn TenantLimits>,
    /// Who holds what is not flushed.
    pub ingester: Arc<dyn Ingester>,
    /// What is flushed.
    pub catalog: Arc<Catalog>,
    /// Metrics, registered.
    pub metrics: Metrics,
}

/// Answers queries over memory and data objects. Cheap to clone.
#[derive(Clone)]
pub struct Querier {
    inner: Arc<Inner>,
}

struct Inner {
    ingester: Arc<dyn Ingester>,
    reader: Reader,
    limits: Arc<dyn TenantLimits>,
    clock: Arc<dyn Clock>,
    config: Arc<Config>,
    turns: Semaphore,
    waiting: Mutex<HashMap<TenantId, usize>>,
    metrics: Metrics,
}

/// A query as it came, its parameters read.
#[derive(Debug, Clone)]
pub struct QueryRequest {
    /// LogQL.
    pub text: String,
    /// First instant, or the only one.
    pub start: Timestamp,
    /// Last instant.
    pub end: Timestamp,
    /// Between evaluations; `None` asks for one evaluation at `end`.
    pub step: Option<Duration>,
    /// Least time between lines; zero for all lines.
    pub interval: Duration,
    /// Most lines.
    pub limit: u64,
    /// Oldest lines first.
    pub forward: bool,
}

/// The answer to a query.
pub struct Answer {
    /// Lines or numbers.
    pub data: AnswerData,
    /// What is missing from it, if anything.
    pub warnings: Vec<String>,
    /// What it cost.
    pub stats: QueryStats,
}

/// Lines or numbers.
pub enum AnswerData {
    /// Of a log query.
    Entries(LogEntries),
    /// Of a metric query.
    Metric(MetricResult),
}

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
    /// Joins the parts.
    pub fn new(parts: Parts) -> Self {
        let Parts { seams, config, limits, ingester, catalog, metrics } = parts;
        let reader = Reader { catalog, pool: seams.cpu.clone(), budget: query_budget(&config) };
        let inner = Inner {
            ingester,
            reader,
            limits,
            clock: seams.clock,
            turns: Semaphore::new(config.querier.max_concurrent.max(1)),
            config,
            waiting: Mutex::default(),
            metrics,
        };
        Querier { inner: Arc::new(inner) }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    pub(crate) fn config(&self) -> &Config {
        &self.inner.config
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    pub(crate) fn limits(&self, tenant: &TenantId) -> Arc<Limits> {
        self.inner.limits.limits(tenant)
    }

    /// Answers a log or metric query.
    ///
    /// # Errors
    /// When the query is wrong or a limit is passed, or what it needs does not answer.
    pub async fn query(&self, tenant: &TenantId, mut request: QueryRequest) -> Result<Answer, QueryError> {
        let started = self.inner.clock.monotonic();
        let limits = self.limits(tenant);
        let expr = skald_logql::parse(&request.text)?;
        checks::query(&expr, &request, &limits)?;
        request.start = checks::lookback(request.start, request.end, &limits, self.now())?;
        let plan = plan(&expr, &plan_params(&expr, &request, &limits, self.now()))?;
        checks::selectors(&expr, &limits)?;
        let _turn = self.wait_for_turn(tenant).await?;
        let queue_time = self.inner.clock.monotonic() - started;
        let evaluate = async {
            match plan {
                Plan::Log(plan) => self.log(tenant, Arc::new(plan)).await,
                Plan::Metric(plan) => self.metric(tenant, plan).await,
            }
        };
        let mut answer = self.within(limits.query_timeout, evaluate).await?;
        answer.stats.queue_time = queue_time;
        answer.stats.exec_time = self.inner.clock.monotonic() - started;
        Ok(answer)
    }

    async fn within<T>(&self, timeout: Duration, work: impl Future<Output = Result<T, QueryError>>) -> Result<T, QueryError> {
        if timeout.is_zero() {
            return work.await;
        }
        let deadline = self.inner.clock.sleep(timeout);
        tokio::select! {
            result = work => result,
            () = deadline => Err(QueryError::Timeout),
        }
    }

    /// Waits until one of the running queries is through; refuses when too many of the tenant's wait already.
    async fn wait_for_turn(&self, tenant: &TenantId) -> Result<tokio::sync::SemaphorePermit<'_>, QueryError> {
        if let Ok(permit) = self.inner.turns.try_acquire() {
            return Ok(permit);
        }
        let _waiting = Waiting::enter(&self.inner, tenant)?;
        self.inner.turns.acquire().await.map_err(|_| QueryError::Stopped)
    }

    async fn sources(&self, tenant: &TenantId, wanted: Arc<dyn Wanted>, range: TimeRange) -> Result<Sources, QueryError> {
        let Inner { ingester, reader, .. } = &*self.inner;
        let (catalog, pool) = (&reader.catalog, &reader.pool);
        let sources = gather::gather(ingester.as_ref(), catalog, pool.as_ref(), tenant, wanted, range).await?;
        checks::bytes(&sources, range, &self.limits(tenant))?;
        overlap::drop_duplicates(catalog, pool, sources).await
    }

    async fn log(&self, tenant: &TenantId, plan: Arc<LogPlan>) -> Result<Answer, QueryError> {
        let mut sources = self.sources(tenant, plan.clone(), plan.range()).await?;
        let mut units = units(&mut sources);
        let forward = plan.direction() == Direction::Forward;
        if forward {
            units.sort_by_key(|unit| unit.time_span().0);
        } else {
            units.sort_by_key(|unit| std::cmp::Reverse(unit.time_span().1));
        }
        let probe = plan.pipeline().block_probe().clone();
        let laziness = match (is_open(&probe), forward) {
            (false, _) => Laziness::Whole,
            (true, true) => Laziness::OldestFirst,
            (true, false) => Laziness::NewestFirst,
        };
        let reading = Reading { needs: plan.pipeline().needs().clone(), probe, laziness };
        let empty = plan.collector();
        let new_state = move || LogState { collector: plan.collector(), forward };
        let (states, outcome) = self.inner.reader.evaluate(units, reading, new_state).await?;
        let mut collector = empty;
        for state in states {
            collector.merge(state.collector)?;
        }
        let entries = collector.finish();
        let (warnings, mut stats) = joined(sources, outcome);
        stats.entries_returned = entries.len() as u64;
        Ok(Answer { data: AnswerData::Entries(entries), warnings, stats })
    }

    async fn metric(&self, tenant: &TenantId, plan: MetricPlan) -> Result<Answer, QueryError> {
        let (mut states, mut warnings, mut stats) = (Vec::new(), Vec::new(), QueryStats::default());
        for leaf in plan.leaves() {
            let (state, of_leaf, leaf_stats) = self.leaf(tenant, leaf).await?;
            states.push(state);
            stats.add(&leaf_stats);
            warnings.extend(of_leaf);
        }
        let finish = move || plan.finish(states);
        let result = run_on_pool(self.inner.reader.pool.as_ref(), finish).await.map_err(|_| QueryError::Stopped)??;
        stats.entries_returned = match &result {
            MetricResult::Scalar { .. } => 1,
            MetricResult::Vector(samples) => samples.len() as u64,
            MetricResult::Matrix(series) => series.iter().map(|series| series.points.len() as u64).sum(),
        };
        warnings.sort();
        warnings.dedup();
        Ok(Answer { data: AnswerData::Metric(result), warnings, stats })
    }

    async fn leaf(&self, tenant: &TenantId, leaf: &Arc<RangeLeaf>) -> Result<(LeafState, Vec<String>, QueryStats), QueryError> {
        let sources = self.sources(tenant, leaf.clone(), leaf.fetch()).await?;
        let (pool, counted) = (self.inner.reader.pool.as_ref(), leaf.clone());
        let count = move || count_whole_runs(counted, sources);
        let (mut state, mut sources, counted_stats) = run_on_pool(pool, count).await.map_err(|_| QueryError::Stopped)??;
        let reading = Reading { needs: leaf.needs().clone(), probe: leaf.pipeline().block_probe().clone(), laziness: Laziness::Whole };
        let new_leaf = leaf.clone();
        let new_state = move || MetricState(LeafState::new(new_leaf.clone()));
        let (states, outcome) = self.inner.reader.evaluate(units(&mut sources), reading, new_state).await?;
        for part in states {
            state.merge(part.0)?;
        }
        let (warnings, mut stats) = joined(sources, outcome);
        stats.add(&counted_stats);
        Ok((state, warnings, stats))
    }

    /// Label sets of all streams with entries in `range` that any of `selectors` wants (all, when there is none), in order.
    ///
    /// # Errors
    /// When the ingester does not answer, or not in time.
    pub async fn series(
        &self,
        tenant: &TenantId,
        selectors: &[Selector],
        range: TimeRange,
    ) -> Result<(BTreeSet<Labels>, Vec<String>), QueryError> {
        let find = async {
            let (mut found, mut warnings) = (BTreeSet::new(), BTreeSet::new());
            for selector in selectors {
                let (streams, missing) = self.series_of(tenant, selector, range).await?;
                found.extend(streams);
                warnings.extend(missing);
            }
            Ok((found, warnings.into_iter().collect()))
        };
        self.within(self.limits(tenant).query_timeout, find).await
    }

    async fn series_of(
        &self,
        tenant: &TenantId,
        selector: &Selector,
        range: TimeRange,
    ) -> Result<(BTreeSet<Labels>, Vec<String>), QueryError> {
        let request = SelectRequest { matcher: Arc::new(Matching(selector.clone())), range, labels_only: true };
        let selected = self.inner.ingester.select(tenant, request).await.map_err(QueryError::Select)?;
        let (objects, missing) = gather::open_objects(&self.inner.reader.catalog, tenant, range, &selected).await?;
        let selector = selector.clone();
        let find = move || {
            let mut found: BTreeSet<Labels> = selected.streams.into_iter().map(|stream| stream.labels).collect();
            for open in objects {
                let (min, max) = open.footer.summary.time_span();
                let whole = range.covers(min, max);
                for stream in gather::matching_streams(&open, &selector) {
                    if whole || open.footer.runs_of(stream).any(|(_, run)| range.overlaps(run.min_time, run.max_time)) {
                        found.insert(open.labels[stream as usize].clone());
                    }
                }
            }
            found
        };
        let found = run_on_pool(self.inner.reader.pool.as_ref(), find).await.map_err(|_| QueryError::Stopped)?;
        Ok((found, missing))
    }

    /// What a selector would read.
    ///
    /// # Errors
    /// When the ingester does not answer, or not in time.
    pub async fn index_stats(&self, tenant: &TenantId, plan: LogPlan, range: TimeRange) -> Result<(IndexStats, Vec<String>), QueryError> {
        let find = self.sources(tenant, Arc::new(plan), range);
        let sources = self.within(self.limits(tenant).query_timeout, find).await?;
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

/// Bytes that one query may hold: so many that all that run at a time stay within the budget of the querier.
fn query_budget(config: &Config) -> u64 {
    let querier = &config.querier;
    querier.query_memory_budget.0.min(querier.memory_budget.0 / querier.max_concurrent.max(1) as u64)
}

/// Whether a probe passes every block.
fn is_open(probe: &Probe) -> bool {
    matches!(probe, Probe::All(all) if all.is_empty())
}

fn joined(sources: Sources, outcome: Outcome) -> (Vec<String>, QueryStats) {
    let (mut warnings, mut stats) = (sources.warnings, sources.stats);
    warnings.extend(outcome.warnings);
    warnings.sort();
    warnings.dedup();
    stats.add(&outcome.stats);
    (warnings, stats)
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

impl gather::Place {
    fn counts(&self) -> Option<RunCounts> {
        match self {
            gather::Place::Memory(_) => None,
            gather::Place::Block { run, .. } => Some(run_counts(run)),
        }
    }

    pub(crate) fn line_bytes(&self) -> u64 {
        match self {
            gather::Place::Memory(rows) => rows.line_bytes().len() as u64,
            gather::Place::Block { run, .. } => u64::from(run.line_bytes),
        }
    }
}

fn run_counts(run: &Run) -> RunCounts {
    let mut levels = [0; 8];
    levels.iter_mut().zip(run.levels).for_each(|(to, from)| *to = u64::from(from));
    RunCounts { rows: u64::from(run.rows), line_bytes: u64::from(run.line_bytes), min: run.min_time, max: run.max_time, levels }
}

fn plan_params(expr: &Expr, request: &QueryRequest, limits: &Limits, now: Timestamp) -> PlanParams {
    let (mut start, mut end) = (request.start, request.end);
    if let (Expr::Metric(_), Some(step)) = (expr, request.step) {
        (start, end) = align(start, end, step);
    }
    PlanParams {
        start,
        end,
        step: request.step,
        limit: usize::try_from(request.limit).unwrap_or(usize::MAX),
        direction: if request.forward { Direction::Forward } else { Direction::Backward },
        interval: request.interval,
        max_series: limits.max_query_series,
        now,
    }
}

/// Range queries are evaluated at multiples of the step: the start moves down to one, the end up.
fn align(start: Timestamp, end: Timestamp, step: Duration) -> (Timestamp, Timestamp) {
    let step = i64::try_from(step.as_nanos()).unwrap_or(i64::MAX).max(1);
    let down = start.0.div_euclid(step).saturating_mul(step);
    let up = match end.0.rem_euclid(step) {
        0 => end.0,
        rest => end.0.saturating_add(step - rest),
    };
    (Timestamp(down), Timestamp(up))
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

/// One of a tenant's queries that wait for their turn.
struct Waiting<'a> {
    inner: &'a Inner,
    tenant: TenantId,
}

impl<'a> Waiting<'a> {
    fn enter(inner: &'a Inner, tenant: &TenantId) -> Result<Self, QueryError> {
        let mut waiting = inner.waiting.lock();
        let of_tenant = waiting.entry(tenant.clone()).or_default();
        if *of_tenant >= inner.config.querier.max_queued_per_tenant {
            return Err(QueryError::QueueFull);
        }
        *of_tenant += 1;
        inner.metrics.queue_len.inc();
        Ok(Waiting { inner, tenant: tenant.clone() })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.inner.waiting.lock();
        self.inner.metrics.queue_len.dec();
        if let Some(of_tenant) = waiting.get_mut(&self.tenant) {
            *of_tenant -= 1;
            if *of_tenant == 0 {
                waiting.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use skald_rpc::{PushBatch, PushError, SelectError, Selected, TailError, TailRequest, TailStream};

    /// An ingester that never answers.
    struct Silent;

    #[async_trait::async_trait]
    impl Ingester for Silent {
        async fn push(&self, _tenant: &TenantId, _batch: PushBatch) -> Result<(), PushError> {
            futures::future::pending().await
        }

        async fn select(&self, _tenant: &TenantId, _request: SelectRequest) -> Result<Selected, SelectError> {
            futures::future::pending().await
        }

        async fn tail(&self, _tenant: &TenantId, _request: TailRequest) -> Result<TailStream, TailError> {
            futures::future::pending().await
        }
    }

    #[test]
    fn a_question_for_series_ends_with_the_query_timeout() {
        let world = skald_testkit::SimWorld::new(1);
        let sizes = skald_store::CacheSizes { footers: 1, pages: 1 };
        let metrics = skald_store::Metrics::register(&mut Default::default(), sizes);
        let store = Arc::new(skald_store::MemoryStore::new());
        let catalog = futures::executor::block_on(Catalog::open(store, sizes, metrics)).expect("it is empty");
        let querier = Querier::new(Parts {
            seams: world.seams(),
            config: Arc::default(),
            limits: Arc::new(Limits { query_timeout: Duration::from_secs(10), ..Limits::default() }),
            ingester: Arc::new(Silent),
            catalog: Arc::new(catalog),
            metrics: Metrics::register(&mut Default::default()),
        });
        let (tenant, selector) = (TenantId::parse("t").expect("valid"), [Selector::compile(&[]).expect("valid")]);
        let mut series = Box::pin(querier.series(&tenant, &selector, TimeRange::ALL));
        assert!((&mut series).now_or_never().is_none());
        world.clock.advance(Duration::from_secs(10));
        assert!(matches!(series.now_or_never(), Some(Err(QueryError::Timeout))));
    }

    #[test]
    fn ranges_are_aligned_outwards() {
        let secs = Timestamp::from_secs;
        let aligned = |start, end, step| align(secs(start), secs(end), Duration::from_secs(step));
        assert_eq!(aligned(571, 695, 60), (secs(540), secs(720)));
        assert_eq!(aligned(540, 600, 60), (secs(540), secs(600)));
        assert_eq!(aligned(-61, -1, 60), (secs(-120), secs(0)));
    }
}
