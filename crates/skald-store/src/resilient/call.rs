//! One call: its attempts, and the time and tokens that they take.

use super::Resilient;
use super::breaker::Rest;
use super::metrics::Counted;
use crate::within::within;
use crate::{Operation, RemoteProblem, RestingStore, StoreError};
use futures::future::{BoxFuture, Either, select};
use std::ops::Range;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::SemaphorePermit;

/// What is asked of the store.
pub(super) struct Call<'a> {
    pub(super) operation: Operation,
    pub(super) name: &'a str,
    /// Bytes asked for, of a read that may be sent twice.
    pub(super) hedged_bytes: Option<u64>,
    /// For each attempt.
    pub(super) attempt_timeout: Duration,
    /// By when all is over.
    pub(super) deadline: Duration,
}

/// How a call ended.
pub(super) struct Ended<T> {
    pub(super) result: Result<T, StoreError>,
    /// An attempt before the last failed, and may have been done.
    pub(super) unclear: bool,
}

impl Resilient {
    /// A call whose bytes take `transfer` at the slowest.
    pub(super) fn begin<'a>(&self, operation: Operation, name: &'a str, transfer: Duration) -> Call<'a> {
        self.budget.add_call();
        let total = self.settings.call_timeout + transfer * self.settings.attempts_max;
        let (attempt_timeout, deadline) = (self.settings.attempt_timeout + transfer, self.clock.monotonic() + total);
        Call { operation, name, hedged_bytes: None, attempt_timeout, deadline }
    }

    /// A read, which may be sent twice.
    pub(super) fn begin_read<'a>(&self, name: &'a str, ranges: &[Range<u64>]) -> Call<'a> {
        let bytes = ranges.iter().map(|range| range.end.saturating_sub(range.start)).fold(0, u64::saturating_add);
        Call { hedged_bytes: Some(bytes), ..self.begin(Operation::Get, name, self.settings.transfer_time(bytes)) }
    }

    /// Makes attempts until one is answered, or there is no sense in another.
    pub(super) async fn run<'s, T>(&'s self, call: &Call<'_>, attempt: impl Fn() -> BoxFuture<'s, Result<T, StoreError>>) -> Ended<T> {
        let mut failed: Option<StoreError> = None;
        let mut unclear = false;
        for retry in 0.. {
            let result = match (self.round(call, &attempt).await, failed.take()) {
                // That the store is not asked any more says less than why.
                (Err(StoreError::Resting(_)), Some(failure)) => Err(failure),
                (result, _) => result,
            };
            let failure = match result {
                Err(failure) if !failure.is_answer() && !matches!(failure, StoreError::Resting(_)) => failure,
                result => return Ended { result, unclear },
            };
            unclear |= !failure.is_undone();
            if !self.pause_before_retry(call, retry, &failure).await {
                return Ended { result: Err(failure), unclear };
            }
            failed = Some(failure);
        }
        unreachable!("attempts are bounded")
    }

    /// Waits before another attempt; false when there shall be none.
    async fn pause_before_retry(&self, call: &Call<'_>, retry: u32, failure: &StoreError) -> bool {
        let now = self.clock.monotonic();
        let pause = self.pause(retry) + failure.retry_in().unwrap_or_default();
        let too_late = now + pause >= call.deadline;
        if retry + 1 >= self.settings.attempts_max || too_late || self.breaker.check(now).is_err() {
            return false;
        }
        if blames_store(failure) && !self.budget.take_for_retry(now) {
            self.metrics.retries_refused.inc();
            return false;
        }
        self.metrics.retried(call.operation);
        self.metrics.lost(pause);
        self.clock.sleep(pause).await;
        true
    }

    /// Uniform between zero and a bound that doubles: callers that failed together do not come back together.
    fn pause(&self, retry: u32) -> Duration {
        let bound = self.settings.pause.saturating_mul(1 << retry.min(20)).min(self.settings.pause_max);
        bound.mul_f64(self.random.next_u64() as f64 / u64::MAX as f64)
    }

    /// One attempt; for a read that takes unusually long, a second beside it.
    async fn round<'s, T>(&'s self, call: &Call<'_>, attempt: &impl Fn() -> BoxFuture<'s, Result<T, StoreError>>) -> Result<T, StoreError> {
        let slot = self.slot(call).await?;
        let Some(bytes) = call.hedged_bytes else { return self.attempt(call, slot, attempt()).await };
        let began = self.clock.monotonic();
        let first = self.attempt(call, slot, attempt());
        let result = match self.hedge_delay(call, bytes) {
            Some(delay) => self.hedge(call, first, delay, attempt).await,
            None => first.await,
        };
        if result.is_ok() {
            // Where the second was faster, the first took at least as long: the longest twentieth stays the longest.
            self.latencies.record(bytes, self.clock.monotonic().saturating_sub(began));
        }
        result
    }

    fn hedge_delay(&self, call: &Call<'_>, bytes: u64) -> Option<Duration> {
        let delay = self.latencies.p95(bytes)?.max(self.settings.hedge_delay_min);
        (delay < call.attempt_timeout).then_some(delay)
    }

    /// Sends a second read once the first has taken `delay`; the first answer counts, and a failure only when both failed.
    async fn hedge<'s, T>(
        &'s self,
        call: &Call<'_>,
        first: impl Future<Output = Result<T, StoreError>>,
        delay: Duration,
        attempt: &impl Fn() -> BoxFuture<'s, Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let first = pin!(first);
        let first = match select(first, self.clock.sleep(delay)).await {
            Either::Left((result, _)) => return result,
            Either::Right(((), first)) => first,
        };
        // A read that waits for its turn is not slow on account of the store: then there is no free slot either.
        let Ok(slot) = self.slots.try_acquire() else { return first.await };
        let now = self.clock.monotonic();
        if self.breaker.check(now).is_err() || !self.budget.take_for_hedge(now) {
            return first.await;
        }
        self.metrics.hedges.inc();
        let answered = |result: &Result<T, StoreError>| !matches!(result, Err(error) if !error.is_answer());
        match select(first, pin!(self.attempt(call, slot, attempt()))).await {
            Either::Left((result, second)) => {
                if answered(&result) {
                    result
                } else {
                    second.await
                }
            }
            Either::Right((result, _)) if answered(&result) => {
                self.metrics.hedge_wins.inc();
                result
            }
            Either::Right((_, first)) => first.await,
        }
    }

    /// Waits for the turn of an attempt.
    async fn slot(&self, call: &Call<'_>) -> Result<SemaphorePermit<'_>, StoreError> {
        let now = self.clock.monotonic();
        self.breaker.check(now).map_err(|rest| self.resting(call, rest))?;
        if let Ok(slot) = self.slots.try_acquire() {
            return Ok(slot);
        }
        let _waiting = Counted::new(&self.metrics.attempts_waiting);
        let left = call.deadline.saturating_sub(now);
        match within(&*self.clock, left, self.slots.acquire()).await {
            Some(slot) if self.clock.monotonic() < call.deadline => Ok(slot.expect("the semaphore is never closed")),
            _ => Err(timed_out(call, left)),
        }
    }

    async fn attempt<T>(
        &self,
        call: &Call<'_>,
        _slot: SemaphorePermit<'_>,
        work: BoxFuture<'_, Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let began = self.clock.monotonic();
        let ticket = self.breaker.admit(began).map_err(|rest| self.resting(call, rest))?;
        self.metrics.breaker_state.set(self.breaker.level());
        let _running = Counted::new(&self.metrics.attempts_running);
        let limit = call.attempt_timeout.min(call.deadline.saturating_sub(began));
        let result = within(&*self.clock, limit, work).await.unwrap_or_else(|| Err(timed_out(call, limit)));
        let ended = self.clock.monotonic();
        let failure = result.as_ref().err().filter(|error| !error.is_answer());
        if failure.is_some() {
            self.metrics.lost(ended.saturating_sub(began));
        }
        ticket.settle(failure.filter(|failure| blames_store(failure)).map(ToString::to_string), ended);
        self.metrics.breaker_state.set(self.breaker.level());
        self.metrics.retry_tokens.set(self.budget.tokens());
        self.metrics.ended(call.operation, outcome(&result));
        result
    }

    fn resting(&self, call: &Call<'_>, rest: Rest) -> StoreError {
        self.metrics.breaker_refused.inc();
        let Rest { failing_for, retry_in, last } = rest;
        StoreError::Resting(Box::new(RestingStore {
            operation: call.operation.name(),
            name: call.name.to_owned(),
            failing_for,
            retry_in,
            last,
        }))
    }
}

fn timed_out(call: &Call<'_>, after: Duration) -> StoreError {
    StoreError::TimedOut { operation: call.operation.name(), name: call.name.to_owned(), after }
}

fn outcome<T>(result: &Result<T, StoreError>) -> &'static str {
    match result {
        Ok(_) => "done",
        Err(StoreError::TimedOut { .. }) => "timed_out",
        Err(error) if error.is_answer() => "answered",
        Err(_) => "failed",
    }
}

/// Whether a failure tells that the store is not well. One that comes of racing calls does not, and is bounded by the attempts of each.
fn blames_store(failure: &StoreError) -> bool {
    !matches!(failure, StoreError::Remote(failure) if failure.problem == RemoteProblem::Conflict)
}
