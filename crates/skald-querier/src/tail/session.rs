//! One tail from its beginning to its end.

use super::entry::{Form, Renderer};
use super::history::{History, ids};
use super::live::Live;
use super::merge::Merger;
use super::outbox::Outbox;
use crate::caller::Caller;
use crate::checks;
use crate::error::QueryError;
use crate::gather::Matching;
use crate::service::{Querier, QueryRequest};
use skald_logql::ast::Expr;
use skald_logql::plan::{Direction, Params as PlanParams, Plan, Rewrites, plan};
use skald_model::seam::run_on_pool;
use skald_model::{TenantId, Timestamp};
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
        let renderer = Arc::new(Renderer { plan: Arc::new(self.tail_plan(caller, request)?), form: request.form });
        let tenant = only_tenant(caller)?.clone();
        let matcher = Arc::new(Matching(renderer.plan.selector().clone()));
        // First, so that nothing is lost between history and this; what both have is dropped by the merger.
        let mut live = Live::subscribe(self.ingesters(), tenant, matcher, self.clock().clone()).await?;
        let of_state = renderer.clone();
        let read = self.read_log(caller, renderer.plan.clone(), move || History::new(of_state.clone()));
        let (histories, warnings, _) = self.in_turn(caller, read).await?;
        let mut history = History::new(renderer.clone());
        histories.into_iter().for_each(|part| history.merge(part));
        let history = history.finish();
        outbox.put_history(&history, warnings);
        let mut merger = Merger::new(WINDOW + request.delay, ids(&history));
        drop(history);
        // What the history took is free again; a tail may go on for long.
        caller.work().give_back();
        loop {
            let due = merger.next_due().map(|at| self.clock().sleep(at.saturating_sub(self.clock().monotonic())));
            let waited = async {
                match due {
                    Some(due) => due.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                batch = live.next() => {
                    let batch = batch.ok_or(QueryError::IngestersGone)?;
                    let renderer = renderer.clone();
                    let render = run_on_pool(caller.work().pool().as_ref(), move || renderer.render(&batch.rows));
                    let now = self.clock().monotonic();
                    render.await.map_err(|_| QueryError::Stopped)?.into_iter().for_each(|entry| merger.offer(entry, now));
                    outbox.note_missed(batch.missed);
                }
                () = waited => {}
            }
            let ready = merger.take_due(self.clock().monotonic());
            outbox.offer(ready, self.clock().as_ref()).await;
        }
    }

    fn tail_plan(&self, caller: &Caller, request: &TailRequest) -> Result<skald_logql::plan::LogPlan, QueryError> {
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
        let params = PlanParams {
            start: checks::lookback(request.start, end, limits, now)?,
            // Entries may lie in the future a little; those that were acknowledged do not come again.
            end: Timestamp::MAX,
            step: None,
            limit: usize::try_from(request.limit).unwrap_or(usize::MAX),
            direction: Direction::Backward,
            interval: Duration::ZERO,
            max_series: limits.max_query_series,
            now,
            rewrites: Rewrites::ALL,
            approx_topk: false,
            profile: None,
        };
        match plan(&request.expr, &params)? {
            Plan::Log(plan) => Ok(plan),
            Plan::Metric(_) => Err(QueryError::Unsupported("only log selector is supported")),
        }
    }
}

/// The one tenant of a tail.
fn only_tenant(caller: &Caller) -> Result<&TenantId, QueryError> {
    match caller.tenants() {
        [tenant] => Ok(tenant),
        _ => Err(QueryError::Unsupported("multiple org IDs present")),
    }
}
