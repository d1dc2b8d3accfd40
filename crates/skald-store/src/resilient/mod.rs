//! Calls to a store that may be slow, fail or go away.
//!
//! [`Resilient`] wraps a store that makes one attempt for each call, such as S3. Around it, every call
//!
//! - **ends**: each attempt has a timeout that grows with its bytes, and so has the call with all its attempts and pauses;
//! - **is tried again** when it failed, after a pause drawn from zero to a bound that doubles, later if the store asks for that. What the store
//!   *answers* (no such object, the name is taken, denied …) is no failure and final. Retries come out of a **budget**: a share of the calls and
//!   a small reserve, for all calls together. A store that fails for all gets a tenth more requests, not four times as many;
//! - **fails at once** when too large a share of recent attempts failed: the store is left alone for a while, then a few attempts try whether it is
//!   well again (a circuit breaker: closed, open, half-open);
//! - **is sent twice** when it is a read that takes longer than nearly all recent ones of its size did. The first answer counts, the other is
//!   dropped. This comes out of the budget, too. Puts and listings are never sent twice at a time;
//! - **waits** when too many are under way.
//!
//! # Unclear puts
//!
//! A put whose answer was lost may have been done, or may be done later. `put` and `delete` are simply repeated: it comes to the same, as long as
//! nobody puts other bytes under the name meanwhile. `put_if_absent` is repeated, too; when the repetition is told that the name is taken, the
//! object may be that of the first attempt. Up to [`SETTLED_LEN_MAX`] it is read back: if it has the bytes of this call, the call has won. So
//! exactly one of several racers wins as long as no two put equal bytes; who needs that puts an id into the bytes that was drawn for this put
//! (manifests, owner objects). Larger objects are not read back: the call says [`StoreError::AlreadyExists`], and the caller compares digests, as it
//! has to do anyway, since an earlier process may have put the same object.
//!
//! Where the call itself fails, all stays open, and the caller has to find out by the same means.

mod breaker;
mod budget;
mod call;
mod latency;
mod metrics;
mod settings;
#[cfg(test)]
mod tests;

pub use metrics::Metrics;
pub use settings::{BreakerSettings, Settings};

use crate::{ObjectMeta, ObjectStore, Operation, StoreError};
use async_trait::async_trait;
use breaker::Breaker;
use budget::Budget;
use bytes::Bytes;
use call::Ended;
use latency::Latencies;
use skald_model::seam::{Clock, Random};
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Largest object that is read back when nobody knows whose put it was.
pub const SETTLED_LEN_MAX: usize = 1 << 20;

/// An object store whose calls end, and are tried again within bounds. See the [module](self).
pub struct Resilient {
    inner: Arc<dyn ObjectStore>,
    settings: Settings,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    slots: Semaphore,
    budget: Budget,
    breaker: Breaker,
    latencies: Latencies,
    metrics: Metrics,
}

impl Resilient {
    /// Wraps `inner`, each call of which is one attempt. `random` draws the pauses.
    pub fn new(inner: Arc<dyn ObjectStore>, settings: Settings, clock: Arc<dyn Clock>, random: Arc<dyn Random>, metrics: Metrics) -> Self {
        let concurrency = settings.concurrency.clamp(1, Semaphore::MAX_PERMITS);
        metrics.attempts_limit.set(concurrency as i64);
        metrics.retry_tokens_limit.set(i64::from(settings.retry_reserve));
        metrics.retry_tokens.set(f64::from(settings.retry_reserve));
        Resilient {
            inner,
            slots: Semaphore::new(concurrency),
            budget: Budget::new(settings.retry_share, settings.retry_reserve, clock.monotonic()),
            breaker: Breaker::new(settings.breaker.clone()),
            latencies: Latencies::default(),
            settings,
            clock,
            random,
            metrics,
        }
    }

    /// Whether the object of this name has exactly these bytes.
    async fn holds(&self, name: &str, bytes: &Bytes) -> Result<bool, StoreError> {
        let len = bytes.len() as u64;
        match self.get_range(name, 0..len).await {
            Ok(found) if found == *bytes => {}
            Ok(_) | Err(StoreError::OutOfRange { .. } | StoreError::NotFound(_)) => return Ok(false),
            Err(error) => return Err(error),
        }
        match self.get_range(name, len..len + 1).await {
            Err(StoreError::OutOfRange { .. }) => Ok(true),
            Ok(_) | Err(StoreError::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn settle(&self, name: &str, bytes: &Bytes) -> Result<(), StoreError> {
        let taken = || StoreError::AlreadyExists(name.to_owned());
        if bytes.len() > SETTLED_LEN_MAX {
            self.metrics.unclear_put("not_compared");
            return Err(taken());
        }
        let holds = self.holds(name, bytes).await.inspect_err(|_| self.metrics.unclear_put("unknown"))?;
        self.metrics.unclear_put(if holds { "ours" } else { "other" });
        if holds { Ok(()) } else { Err(taken()) }
    }
}

#[async_trait]
impl ObjectStore for Resilient {
    async fn put(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        let call = self.begin(Operation::Put, name, self.settings.transfer_time(bytes.len() as u64));
        self.run(&call, || self.inner.put(name, bytes.clone())).await.result
    }

    async fn put_if_absent(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        let call = self.begin(Operation::PutIfAbsent, name, self.settings.transfer_time(bytes.len() as u64));
        match self.run(&call, || self.inner.put_if_absent(name, bytes.clone())).await {
            Ended { result: Err(StoreError::AlreadyExists(_)), unclear: true } => self.settle(name, &bytes).await,
            Ended { result, .. } => result,
        }
    }

    async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let call = self.begin_read(name, std::slice::from_ref(&range));
        self.run(&call, || self.inner.get_range(name, range.clone())).await.result
    }

    async fn get_ranges(&self, name: &str, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>, StoreError> {
        let call = self.begin_read(name, &ranges);
        self.run(&call, || self.inner.get_ranges(name, ranges.clone())).await.result
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StoreError> {
        let call = self.begin(Operation::List, prefix, self.settings.list_timeout);
        self.run(&call, || self.inner.list(prefix)).await.result
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let call = self.begin(Operation::Delete, name, self.settings.time_to_delete(1));
        self.run(&call, || self.inner.delete(name)).await.result
    }

    async fn delete_many(&self, names: &[String]) -> Result<(), StoreError> {
        let Some(first) = names.first() else { return Ok(()) };
        let call = self.begin(Operation::Delete, first, self.settings.time_to_delete(names.len()));
        self.run(&call, || self.inner.delete_many(names)).await.result
    }
}
