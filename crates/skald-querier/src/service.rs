//! The querier: takes a checked request, gathers sources, evaluates, merges.

use crate::caller::{Caller, QueryTags};
use crate::checks;
use crate::error::QueryError;
use crate::gather::{self, Sources, Wanted};
use crate::metrics::Metrics;
use crate::overlap;
use crate::queue::Queue;
use crate::read::{Outcome, Reader};
use crate::stats::QueryStats;
use crate::tail::Tails;
use skald_config::{Config, Limits, TenantLimits};
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
    reader: Reader,
    limits: Arc<dyn TenantLimits>,
    clock: Arc<dyn Clock>,
    config: Arc<Config>,
    queue: Queue,
    tails: Tails,
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
        let reader = Reader { catalog, pool: seams.cpu.clone(), budget: query_budget(&config) };
        let inner = Inner {
            ingester,
            reader,
            limits,
            clock: seams.clock,
            tails: Tails::new(config.server.http_listen_conn_limit, metrics.tail_active.clone()),
            queue: Queue::new(config.querier.max_concurrent, config.querier.max_queued_per_tenant, metrics.queue_len.clone()),
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

    pub(crate) fn reader(&self) -> &Reader {
        &self.inner.reader
    }

    pub(crate) fn ingester(&self) -> &dyn Ingester {
        self.inner.ingester.as_ref()
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

    /// Who asks for `tenants`, under the limits that are in force now.
    pub fn caller(&self, tenants: Vec<TenantId>, tags: QueryTags) -> Caller {
        Caller::new(tenants, self.inner.limits.as_ref(), tags)
    }

    /// Answers a log or metric query.
    ///
    /// # Errors
    /// When the query is wrong or a limit is passed, or what it needs does not answer.
    pub async fn query(&self, caller: &Caller, mut request: QueryRequest) -> Result<Answer, QueryError> {
        let started = self.inner.clock.monotonic();
        let limits = caller.limits();
        let expr = skald_logql::parse(&request.text)?;
        checks::query(&expr, &request, limits)?;
        request.start = checks::lookback(request.start, request.end, limits, self.now())?;
        let params = PlanParams { rewrites: self.rewrites, ..plan_params(&expr, &request, limits, self.now()) };
        let plan = plan(&expr, &params)?;
        checks::selectors(&expr, limits)?;
        let evaluate = async {
            let queue_time = self.inner.clock.monotonic() - started;
            let mut answer = match plan {
                Plan::Log(plan) => self.log(caller, Arc::new(plan)).await?,
                Plan::Metric(plan) => self.metric(caller, plan).await?,
            };
            answer.stats.queue_time = queue_time;
            Ok(answer)
        };
        let mut answer = self.in_turn(caller, evaluate).await?;
        answer.stats.exec_time = self.inner.clock.monotonic() - started;
        Ok(answer)
    }

    /// Does `work` once it is the caller's turn, and not longer than the caller's queries may take.
    pub(crate) async fn in_turn<T>(&self, caller: &Caller, work: impl Future<Output = Result<T, QueryError>>) -> Result<T, QueryError> {
        let _turn = self.inner.queue.turn(caller.key()).await?;
        let timeout = caller.limits().query_timeout;
        if timeout.is_zero() {
            return work.await;
        }
        let deadline = self.inner.clock.sleep(timeout);
        tokio::select! {
            result = work => result,
            () = deadline => Err(QueryError::Timeout),
        }
    }

    /// Everything that a query reads, repeated entries marked.
    pub(crate) async fn sources(&self, caller: &Caller, wanted: Arc<dyn Wanted>, range: TimeRange) -> Result<Sources, QueryError> {
        let Inner { ingester, reader, .. } = &*self.inner;
        let sources = gather::gather(ingester.as_ref(), reader, caller.tenants(), wanted, range).await?;
        checks::bytes(&sources, range, caller.limits())?;
        overlap::drop_duplicates(&reader.catalog, &reader.pool, sources).await
    }

    /// As [`Querier::sources`], for those that count entries and read no lines: what a query may read does not bound them.
    pub(crate) async fn sources_to_count(&self, caller: &Caller, wanted: Arc<dyn Wanted>, range: TimeRange) -> Result<Sources, QueryError> {
        let Inner { ingester, reader, .. } = &*self.inner;
        let sources = gather::gather(ingester.as_ref(), reader, caller.tenants(), wanted, range).await?;
        overlap::drop_duplicates(&reader.catalog, &reader.pool, sources).await
    }
}

/// Bytes that one query may hold: so many that all that run at a time stay within the budget of the querier.
fn query_budget(config: &Config) -> u64 {
    let querier = &config.querier;
    querier.query_memory_budget.0.min(querier.memory_budget.0 / querier.max_concurrent.max(1) as u64)
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
        approx_topk: limits.shard_aggregations.iter().any(|name| name == "approx_topk"),
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
    use skald_logql::exec::Selector;
    use skald_rpc::{PushBatch, PushError, SelectError, SelectRequest, Selected, TailError, TailRequest, TailStream};

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
        let caller = querier.caller(vec![TenantId::parse("t").expect("valid")], QueryTags::default());
        let selector = [Selector::compile(&[]).expect("valid")];
        let mut series = Box::pin(querier.series(&caller, &selector, TimeRange::ALL));
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
