//! One tail from its beginning to its end.

use super::entry::{Form, Renderer};
use super::history::{History, ids};
use super::live::Live;
use super::merge::Merger;
use super::outbox::Outbox;
use crate::caller::Caller;
use crate::checks;
use crate::error::QueryError;
use crate::service::{Querier, QueryRequest};
use crate::wanted::Matching;
use skald_logql::ast::Expr;
use skald_logql::plan::{Params as PlanParams, Plan, plan};
use skald_model::seam::{Clock, CpuPool, run_on_pool};
use skald_model::{TenantId, Timestamp};
use skald_rpc::TailBatch;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// How long entries wait for earlier ones, beside what the client asks for: ingesters acknowledge the copies of an entry about that far apart.
const WINDOW: Duration = Duration::from_millis(100);

/// What a client wants to follow.
#[derive(Debug, Clone)]
pub(crate) struct TailRequest {
    /// The query.
    pub(crate) expr: Expr,
    /// First instant of the history.
    pub(crate) start: Timestamp,
    /// Most entries of the history.
    pub(crate) limit: u64,
    /// How long to wait for entries that come late.
    pub(crate) delay: Duration,
    /// How entries are written.
    pub(crate) form: Form,
}

impl Querier {
    /// Ends all live tails and waits until their clients were told, but not for long.
    pub async fn stop_tails(&self) {
        self.tails().stop(self.clock().as_ref()).await;
    }

    /// Fills `outbox` with the history, and then with what is acknowledged, until something fails.
    ///
    /// # Errors
    /// Why it ended.
    pub(crate) async fn tail(&self, caller: &Caller, request: &TailRequest, outbox: &Outbox) -> Result<Infallible, QueryError> {
        let renderer = Arc::new(Renderer { plan: Arc::new(self.tail_plan(caller, request).await?), form: request.form });
        let tenant = only_tenant(caller)?.clone();
        let matcher = Arc::new(Matching(renderer.plan.selector().clone()));
        // First, so that nothing is lost between history and this; what both have is dropped by the merger.
        let live = Live::subscribe(self.ingesters(), tenant, matcher, self.clock().clone()).await?;
        let of_state = renderer.clone();
        let read = self.read_log(caller, renderer.plan.clone(), move || History::new(of_state.clone()));
        let (histories, warnings, stats) = self.in_turn(caller, read).await?;
        caller.work().record().answered(&stats, warnings.len());
        let mut history = History::new(renderer.clone());
        histories.into_iter().for_each(|part| history.merge(part));
        let history = history.finish();
        outbox.put_history(&history, warnings);
        let merger = Merger::new(WINDOW + request.delay, ids(&history));
        drop(history);
        // What the history took is free again; a tail may go on for long.
        caller.work().give_back();
        let pump = Pump { live, merger, renderer, pool: caller.work().pool().clone(), clock: self.clock().clone() };
        pump.run(outbox).await
    }

    async fn tail_plan(&self, caller: &Caller, request: &TailRequest) -> Result<skald_logql::plan::LogPlan, QueryError> {
        let (limits, now) = (caller.limits(), self.now());
        let end = now.max(request.start);
        let checked = QueryRequest {
            text: String::new(),
            start: request.start,
            end,
            step: Some(Duration::from_secs(1)),
            interval: Duration::ZERO,
            limit: request.limit,
            forward: false,
        };
        if !matches!(request.expr, Expr::Log(_)) {
            return Err(QueryError::Unsupported("only log selector is supported"));
        }
        checks::query(&request.expr, &checked, limits)?;
        checks::selectors(&request.expr, limits)?;
        let start = checks::lookback(request.start, end, limits, now)?;
        let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
        // Entries may lie in the future a little; those that were acknowledged do not come again.
        let params = PlanParams { limit, now, ..PlanParams::over(start, Timestamp::MAX) };
        let expr = request.expr.clone();
        match caller.work().on_pool(move || Ok(plan(&expr, &params)?)).await? {
            Plan::Log(plan) => Ok(plan),
            Plan::Metric(_) => Err(QueryError::Unsupported("only log selector is supported")),
        }
    }
}

/// Brings what the ingesters acknowledge into an outbox.
struct Pump {
    live: Live,
    merger: Merger,
    renderer: Arc<Renderer>,
    pool: Arc<dyn CpuPool>,
    clock: Arc<dyn Clock>,
}

impl Pump {
    async fn run(mut self, outbox: &Outbox) -> Result<Infallible, QueryError> {
        let clock = self.clock.clone();
        loop {
            let due = self.merger.next_due();
            let waited = async {
                match due {
                    Some(due) => clock.sleep(due.saturating_sub(clock.monotonic())).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                batch = self.live.next() => self.take(batch.ok_or(QueryError::IngestersGone)?, outbox).await?,
                () = waited => {}
            }
            let ready = self.merger.take_due(clock.monotonic());
            outbox.offer(ready, clock.as_ref()).await;
        }
    }

    async fn take(&mut self, batch: TailBatch, outbox: &Outbox) -> Result<(), QueryError> {
        let (now, renderer) = (self.clock.monotonic(), self.renderer.clone());
        let entries = run_on_pool(self.pool.as_ref(), move || renderer.render(&batch.rows)).await.map_err(|_| QueryError::Stopped)?;
        entries.into_iter().for_each(|entry| self.merger.offer(entry, now));
        outbox.note_missed(batch.missed);
        Ok(())
    }
}

/// The one tenant of a tail.
fn only_tenant(caller: &Caller) -> Result<&TenantId, QueryError> {
    match caller.tenants() {
        [tenant] => Ok(tenant),
        _ => Err(QueryError::Unsupported("multiple org IDs present")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::renderer;
    use super::*;
    use futures::FutureExt;
    use prometheus_client::metrics::counter::Counter;
    use skald_rpc::{Ingester, PushBatch, StreamRows};
    use skald_testkit::{FakeIngester, InlinePool, SimClock};

    fn tenant() -> TenantId {
        TenantId::parse("t").expect("valid")
    }

    fn push(fake: &FakeIngester, at: i64) {
        let rows = skald_testkit::rows(&[(at, &format!("line {at}"))]);
        let batch = PushBatch { streams: vec![StreamRows { labels: skald_testkit::labels(&[("app", "a")]), rows }] };
        fake.push(&tenant(), batch).now_or_never().expect("at once").expect("it is taken");
    }

    /// Times of the entries that wait to be sent.
    fn sent(outbox: &Outbox) -> Vec<i64> {
        let messages = std::iter::from_fn(|| outbox.next().now_or_never().flatten());
        let streams = messages.map(|message| format!("[{}]", String::from_utf8_lossy(&message.streams)));
        let streams = streams.flat_map(|text| serde_json::from_str::<Vec<serde_json::Value>>(&text).expect("JSON"));
        streams.map(|stream| stream["values"][0][0].as_str().expect("text").parse().expect("a number")).collect()
    }

    #[test]
    fn three_ingesters_out_of_step_make_one_sequence() {
        let (fakes, clock) = ([(); 3].map(|()| Arc::new(FakeIngester::default())), SimClock::new(Timestamp(0)));
        let renderer = Arc::new(renderer("{app=\"a\"} |= \"line\" != \"line 4\"", Form::Merged));
        let matcher = Arc::new(Matching(renderer.plan.selector().clone()));
        let ingesters = fakes.iter().map(|fake| fake.clone() as Arc<dyn Ingester>).collect();
        let live = Live::subscribe(ingesters, tenant(), matcher, clock.clone()).now_or_never().expect("at once").expect("all agree");
        let outbox = Outbox::new(Counter::default());
        let merger = Merger::new(WINDOW, std::iter::empty());
        let mut pump = Box::pin(Pump { live, merger, renderer, pool: Arc::new(InlinePool), clock: clock.clone() }.run(&outbox)).fuse();
        // Each acknowledges in an order of its own; the last is a while behind the others.
        [1, 2, 4, 3].into_iter().for_each(|at| push(&fakes[0], at));
        [2, 1, 3, 5].into_iter().for_each(|at| push(&fakes[1], at));
        assert!((&mut pump).now_or_never().is_none());
        assert!(sent(&outbox).is_empty());
        clock.advance(WINDOW / 2);
        [3, 1, 6, 4, 5].into_iter().for_each(|at| push(&fakes[2], at));
        assert!((&mut pump).now_or_never().is_none());
        clock.advance(WINDOW / 2);
        assert!((&mut pump).now_or_never().is_none());
        assert_eq!(sent(&outbox), [1, 2, 3, 5]);
        clock.advance(WINDOW / 2);
        assert!((&mut pump).now_or_never().is_none());
        assert_eq!(sent(&outbox), [6]);
        fakes.iter().for_each(|fake| fake.end_tails(true));
        assert!(matches!(pump.now_or_never(), Some(Err(QueryError::IngestersGone))));
    }
}
