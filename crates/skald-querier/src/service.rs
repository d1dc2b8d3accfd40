//! The querier: takes a checked request, gathers sources, evaluates, merges.

use crate::budget::MemoryPool;
use crate::cache::ResultCache;
use crate::caller::{Caller, QueryTags};
use crate::checks;
use crate::error::QueryError;
use crate::explain::Step;
use crate::gather::{self, Sources};
use crate::lanes::Lanes;
use crate::metrics::Metrics;
use crate::overlap;
use crate::query_log::Record;
use crate::queue::{Queue, QueueBounds};
use crate::read::{Outcome, Reader};
use crate::stats::QueryStats;
use crate::tail::Tails;
use crate::wanted::Wanted;
use crate::work::Work;
use skald_config::{Config, TenantLimits};
use skald_logql::ast::Expr;
use skald_logql::exec::{LogEntries, MetricResult};
use skald_logql::plan::{Direction, Params as PlanParams, Plan, Rewrites, plan};
use skald_model::seam::{Clock, Seams};
use skald_model::{TenantId, TimeRange, Timestamp};
use skald_rpc::Ingester;
use skald_store::Catalog;
use std::sync::Arc;
use std::time::Duration;

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
    rewrites: Rewrites,
}

struct Inner {
    ingester: Arc<dyn Ingester>,
    catalog: Arc<Catalog>,
    lanes: Arc<Lanes>,
    memory: MemoryPool,
    limits: Arc<dyn TenantLimits>,
    clock: Arc<dyn Clock>,
    config: Arc<Config>,
    queue: Queue,
    tails: Tails,
    cache: Arc<ResultCache>,
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

impl Querier {
    /// Joins the parts.
    pub fn new(parts: Parts) -> Self {
        let Parts { seams, config, limits, ingester, catalog, metrics } = parts;
        let of_querier = &config.querier;
        let bounds = QueueBounds {
            running_max: of_querier.max_concurrent,
            waiting_max: of_querier.max_queued_per_tenant,
            kept_free: usize::from(config.auth_enabled),
        };
        metrics.memory_limit.set(i64::try_from(of_querier.memory_budget.0).unwrap_or(i64::MAX));
        let inner = Inner {
            ingester,
            catalog,
            lanes: Lanes::new(seams.cpu),
            memory: MemoryPool::new(of_querier.memory_budget.0, of_querier.query_memory_budget.0, metrics.memory_held.clone()),
            limits,
            clock: seams.clock,
            tails: Tails::new(config.server.http_listen_conn_limit, metrics.tail_active.clone()),
            queue: Queue::new(bounds, metrics.queue_len.clone()),
            cache: Arc::new(ResultCache::new(config.querier.result_cache_size.0, metrics.clone())),
            config,
            metrics,
        };
        Querier { inner: Arc::new(inner), rewrites: Rewrites::ALL }
    }

    /// The same querier, whose plans use these rewrites alone. Answers do not depend on it.
    pub fn with_rewrites(&self, rewrites: Rewrites) -> Self {
        Querier { inner: self.inner.clone(), rewrites }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// Time since some moment, for measuring.
    pub(crate) fn monotonic(&self) -> Duration {
        self.inner.clock.monotonic()
    }

    pub(crate) fn config(&self) -> &Config {
        &self.inner.config
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Reads for a caller, within what its request may hold.
    pub(crate) fn reader(&self, caller: &Caller) -> Reader {
        let work = caller.work().clone();
        Reader { catalog: self.inner.catalog.clone(), pool: work.pool().clone(), work }
    }

    pub(crate) fn ingester(&self) -> &dyn Ingester {
        self.inner.ingester.as_ref()
    }

    /// Bytes of memory that all requests in progress hold, about.
    pub fn memory_held(&self) -> u64 {
        self.inner.memory.held()
    }

    /// Every ingester, to follow what each acknowledges.
    pub(crate) fn ingesters(&self) -> Vec<Arc<dyn Ingester>> {
        vec![self.inner.ingester.clone()]
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    pub(crate) fn tails(&self) -> &Tails {
        &self.inner.tails
    }

    pub(crate) fn cache(&self) -> &Arc<ResultCache> {
        &self.inner.cache
    }

    /// Counts anew what was counted over the tenant's data objects: to be called whenever other entries of them are deleted.
    pub fn deletes_changed(&self, tenant: &TenantId) {
        self.inner.cache.deletes_changed(tenant);
    }

    /// Who asks for `tenants`, under the limits that are in force now.
    pub fn caller(&self, tenants: Vec<TenantId>, tags: QueryTags) -> Caller {
        self.caller_of(tenants, tags, Record::default())
    }

    /// As [`Querier::caller`], for a request of which `record` is to be logged.
    pub(crate) fn caller_of(&self, tenants: Vec<TenantId>, tags: QueryTags, record: Record) -> Caller {
        let tenants: Arc<[TenantId]> = tenants.into();
        let work = Work::new(self.inner.memory.budget(), self.inner.lanes.of(&tenants), record);
        Caller::new(tenants, self.inner.limits.as_ref(), tags, work)
    }

    /// Answers a log or metric query.
    ///
    /// # Errors
    /// When the query is wrong or a limit is passed, or what it needs does not answer.
    pub async fn query(&self, caller: &Caller, request: QueryRequest) -> Result<Answer, QueryError> {
        self.query_and(caller, request, Ok).await
    }

    /// As [`Querier::query`]; `then` makes something of the answer on the CPU pool, within the same turn and deadline.
    pub(crate) async fn query_and<T: Send + 'static>(
        &self,
        caller: &Caller,
        mut request: QueryRequest,
        then: impl FnOnce(Answer) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let started = self.inner.clock.monotonic();
        let limits = caller.limits();
        let record = caller.work().record();
        record.asked("log", &request.text, (request.start, request.end), request.step);
        let expr = skald_logql::parse(&request.text)?;
        if matches!(expr, Expr::Metric(_)) {
            record.asked("metric", &request.text, (request.start, request.end), request.step);
        }
        checks::blocked(&expr, &request.text, caller)?;
        checks::query(&expr, &request, limits)?;
        request.start = checks::lookback(request.start, request.end, limits, self.now())?;
        let params = PlanParams { rewrites: self.rewrites, ..plan_params(&expr, &request, caller, self.now()) };
        checks::selectors(&expr, limits)?;
        let evaluate = async {
            let queue_time = self.inner.clock.monotonic() - started;
            let work = caller.work().clone();
            let make = move || {
                let plan = plan(&expr, &params)?;
                if let Some(profiler) = work.profiler() {
                    profiler.planned(expr.to_string(), plan.describe(&expr));
                }
                Ok(plan)
            };
            let planned = caller.work().on_pool(make).await?;
            let mut answer = match planned {
                Plan::Log(plan) => self.log(caller, Arc::new(plan)).await?,
                Plan::Metric(plan) => self.metric(caller, plan).await?,
            };
            checks::cut_series(&mut answer, caller);
            answer.stats.queue_time = queue_time;
            answer.stats.exec_time = self.inner.clock.monotonic() - started;
            record.answered(&answer.stats, answer.warnings.len());
            caller.work().on_pool(move || then(answer)).await
        };
        self.in_turn(caller, evaluate).await
    }

    /// Does `work` once it is the caller's turn, and not longer than the caller's queries may take.
    ///
    /// When the work fails, is out of time, or the future is dropped because the client left, the caller's [`Work`] is cancelled.
    pub(crate) async fn in_turn<T>(&self, caller: &Caller, work: impl Future<Output = Result<T, QueryError>>) -> Result<T, QueryError> {
        checks::enabled(caller.limits())?;
        let unless_finished = caller.work().guard();
        let before = self.inner.clock.monotonic();
        let _turn = self.inner.queue.turn(caller.shared_tenants()).await.map_err(|_| QueryError::QueueFull)?;
        let queued = self.inner.clock.monotonic().saturating_sub(before);
        self.inner.metrics.queue_seconds.observe(queued.as_secs_f64());
        caller.work().record().queued(queued);
        let timeout = caller.limits().query_timeout;
        let deadline = async {
            match timeout.is_zero() {
                true => futures::future::pending().await,
                false => self.inner.clock.sleep(timeout).await,
            }
        };
        let result = tokio::select! {
            result = work => result?,
            () = deadline => return Err(QueryError::Timeout),
        };
        unless_finished.finished();
        Ok(result)
    }

    /// Everything that a query reads, repeated entries marked.
    pub(crate) async fn sources(&self, caller: &Caller, wanted: Arc<dyn Wanted>, range: TimeRange) -> Result<Sources, QueryError> {
        if checks::is_hidden(wanted.selector(), caller) {
            return Ok(Sources::default());
        }
        let reader = self.reader(caller);
        let timer = caller.work().time(Step::Index);
        let sources = gather::gather(self.ingester(), &reader, caller.tenants(), wanted, range).await?;
        drop(timer);
        if let Some(profiler) = caller.work().profiler() {
            profiler.sources(&sources);
        }
        checks::bytes(&sources, range, caller.limits())?;
        let _timer = caller.work().time(Step::Overlap);
        overlap::drop_duplicates(&reader, sources).await
    }
}

/// What the sources and their reading give together.
pub(crate) fn joined(sources: Sources, outcome: Outcome) -> (Vec<String>, QueryStats) {
    let (mut warnings, mut stats) = (sources.warnings, sources.stats);
    warnings.extend(outcome.warnings);
    warnings.sort();
    warnings.dedup();
    stats.add(&outcome.stats);
    (warnings, stats)
}

fn plan_params(expr: &Expr, request: &QueryRequest, caller: &Caller, now: Timestamp) -> PlanParams {
    let limits = caller.limits();
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
        max_series: checks::series_max(caller),
        now,
        approx_topk: limits.shard_aggregations.iter().any(|name| name == "approx_topk"),
        profile: caller.work().profiler().map(|profiler| profiler.stage_clock()),
        rewrites: Rewrites::ALL,
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

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use skald_config::Limits;
    use skald_logql::exec::Selector;

    #[test]
    fn a_question_for_series_ends_with_the_query_timeout() {
        let world = skald_testkit::SimWorld::new(1);
        let sizes = skald_store::CacheSizes { footers: 1, pages: 1, indexes: 1 };
        let metrics = skald_store::Metrics::register(&mut Default::default(), sizes);
        let store = Arc::new(skald_store::MemoryStore::new());
        let catalog = futures::executor::block_on(Catalog::open(store, skald_testkit::SimClock::new(Timestamp(0)), sizes, metrics))
            .expect("it is empty");
        let querier = Querier::new(Parts {
            seams: world.seams(),
            config: Arc::default(),
            limits: Arc::new(Limits { query_timeout: Duration::from_secs(10), ..Limits::default() }),
            ingester: Arc::new(crate::testing::Silent),
            catalog: Arc::new(catalog),
            metrics: Metrics::register(&mut Default::default()),
        });
        let caller = querier.caller(vec![TenantId::parse("t").expect("valid")], QueryTags::default());
        let selector = [Selector::compile(&[]).expect("valid")];
        let mut series = Box::pin(querier.series(&caller, &selector, TimeRange::ALL));
        assert!((&mut series).now_or_never().is_none());
        world.clock.advance(Duration::from_secs(10));
        assert!(matches!(series.now_or_never(), Some(Err(QueryError::Timeout))));
    }

    #[test]
    fn a_query_is_planned_only_while_somebody_waits() {
        let world = crate::testing::World::new(Config::default(), Limits::default());
        let ask = |is_cancelled: bool| {
            let caller = world.querier.caller(vec![crate::testing::tenant("t")], QueryTags::default());
            if is_cancelled {
                caller.work().cancel();
            }
            let (start, end) = (Timestamp::from_secs(0), Timestamp::from_secs(60));
            let text = "{a=\"b\"} |~ \"(\"".to_owned();
            let step = Some(Duration::from_secs(1));
            let request = QueryRequest { text, start, end, step, interval: Duration::ZERO, limit: 1, forward: true };
            world.querier.query(&caller, request).now_or_never().expect("it is over at once").map(|_| ())
        };
        let refused = ask(false);
        assert!(matches!(refused, Err(QueryError::Plan(_))), "{refused:?}");
        assert!(matches!(ask(true), Err(QueryError::Cancelled)));
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
