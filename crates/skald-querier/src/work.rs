//! The work for one request: whether anyone still waits for it, what it may hold, where it computes, what it did.

use crate::budget::{Budget, Held};
use crate::error::QueryError;
use crate::explain::{Profiler, Step, Timer};
use crate::query_log::Record;
use parking_lot::Mutex;
use skald_logql::exec::{Bounds, EvalError};
use skald_model::seam::{Clock, CpuPool, run_on_pool};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Bytes by which what an evaluation holds may differ from what its budget knows.
const ACCOUNT_STEP: u64 = 64 << 10;

/// The work for one request. A cheap handle; jobs on the CPU pool hold it too.
#[derive(Clone)]
pub(crate) struct Work {
    inner: Arc<Inner>,
}

struct Inner {
    cancelled: AtomicBool,
    budget: Budget,
    pool: Arc<dyn CpuPool>,
    record: Record,
    /// Measures, where what is done is to be seen.
    profiler: OnceLock<Arc<Profiler>>,
    /// Memory of results that live as long as the request.
    kept: Mutex<Vec<Held>>,
}

impl Work {
    /// Work that may hold what `budget` has, and computes on `pool`.
    pub(crate) fn new(budget: Budget, pool: Arc<dyn CpuPool>, record: Record) -> Self {
        Work {
            inner: Arc::new(Inner {
                cancelled: AtomicBool::new(false),
                budget,
                pool,
                record,
                profiler: OnceLock::new(),
                kept: Mutex::default(),
            }),
        }
    }

    /// Says that nobody waits for the result any more: jobs end within a few thousand rows, and no further one starts.
    pub(crate) fn cancel(&self) {
        self.inner.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether somebody still waits for the result.
    ///
    /// # Errors
    /// [`QueryError::Cancelled`]
    pub(crate) fn check(&self) -> Result<(), QueryError> {
        if self.inner.cancelled.load(Ordering::Relaxed) { Err(QueryError::Cancelled) } else { Ok(()) }
    }

    /// What the request may hold.
    pub(crate) fn budget(&self) -> &Budget {
        &self.inner.budget
    }

    /// Where it computes.
    pub(crate) fn pool(&self) -> &Arc<dyn CpuPool> {
        &self.inner.pool
    }

    /// What is said of it in the log.
    pub(crate) fn record(&self) -> &Record {
        &self.inner.record
    }

    /// Measures from now on what is done.
    pub(crate) fn profile(&self, clock: Arc<dyn Clock>) -> Arc<Profiler> {
        self.inner.profiler.get_or_init(|| Arc::new(Profiler::new(clock))).clone()
    }

    /// What measures, if anything does.
    pub(crate) fn profiler(&self) -> Option<&Arc<Profiler>> {
        self.inner.profiler.get()
    }

    /// Measures a step until it is dropped, if anything measures.
    pub(crate) fn time(&self, step: Step) -> Option<Timer> {
        self.profiler().map(|profiler| profiler.time(step))
    }

    /// Keeps memory counted until the request has ended.
    pub(crate) fn keep(&self, held: Held) {
        self.inner.kept.lock().push(held);
    }

    /// What was kept is gone although the request goes on.
    pub(crate) fn give_back(&self) {
        self.inner.kept.lock().clear();
    }

    /// Computes on the CPU pool.
    ///
    /// # Errors
    /// What the job gives; [`QueryError::Cancelled`] when nobody waits, [`QueryError::Stopped`] when the job panicked.
    pub(crate) async fn on_pool<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        self.check()?;
        let work = self.clone();
        let checked = move || work.check().and_then(|()| job());
        run_on_pool(self.pool().as_ref(), checked).await.map_err(|_| QueryError::Stopped)?
    }

    /// Cancels the work when dropped, unless it was [finished](Guard::finished).
    pub(crate) fn guard(&self) -> Guard {
        Guard { work: Some(self.clone()) }
    }

    /// Bounds an evaluation by this work.
    pub(crate) fn metered(&self) -> Metered {
        Metered { work: self.clone(), held: Mutex::new(self.inner.budget.hold_nothing()), why: Mutex::default() }
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").field("cancelled", &self.inner.cancelled).finish_non_exhaustive()
    }
}

/// See [`Work::guard`].
pub(crate) struct Guard {
    work: Option<Work>,
}

impl Guard {
    /// The result is there.
    pub(crate) fn finished(mut self) {
        self.work = None;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(work) = &self.work {
            work.cancel();
        }
    }
}

/// See [`Work::metered`].
pub(crate) struct Metered {
    work: Work,
    held: Mutex<Held>,
    why: Mutex<Option<QueryError>>,
}

impl Bounds for Metered {
    fn check(&self, held_bytes: usize) -> Result<(), EvalError> {
        let settle = || {
            self.work.check()?;
            let (mut held, bytes) = (self.held.lock(), held_bytes as u64);
            if held.bytes().abs_diff(bytes) >= ACCOUNT_STEP {
                held.resize(bytes)?;
            }
            Ok(())
        };
        settle().map_err(|why| {
            *self.why.lock() = Some(why);
            EvalError::Interrupted
        })
    }
}

impl Metered {
    /// The result of the evaluation, with the reason if it was interrupted. Its memory stays counted until the request has ended.
    pub(crate) fn result<T>(self, result: Result<T, EvalError>) -> Result<T, QueryError> {
        self.work.keep(self.held.into_inner());
        result.map_err(|error| match error {
            EvalError::Interrupted => self.why.into_inner().unwrap_or(QueryError::Cancelled),
            other => QueryError::Eval(other),
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::budget::MemoryPool;
    use futures::FutureExt;
    use prometheus_client::metrics::gauge::Gauge;
    use skald_testkit::InlinePool;

    /// Work that may hold so many bytes, and computes where it is told to.
    pub(crate) fn work(bytes: u64) -> Work {
        let budget = MemoryPool::new(bytes, bytes, Gauge::default()).budget();
        Work::new(budget, Arc::new(InlinePool), Record::default())
    }

    #[test]
    fn nothing_starts_once_nobody_waits() {
        let work = work(100);
        assert!(matches!(work.on_pool(|| Ok(1)).now_or_never(), Some(Ok(1))));
        work.guard().finished();
        assert!(work.check().is_ok());
        drop(work.guard());
        let ran = work.on_pool::<()>(|| panic!("it does not start")).now_or_never();
        assert!(matches!(ran, Some(Err(QueryError::Cancelled))));
    }

    #[test]
    fn an_evaluation_ends_with_the_reason() {
        let work = work(1 << 20);
        let metered = work.metered();
        assert_eq!(metered.check(1 << 19), Ok(()));
        assert!(work.budget().hold((1 << 19) + 1).is_err());
        let interrupted = metered.check(1 << 21).map(|()| 0);
        assert!(matches!(metered.result(interrupted), Err(QueryError::Budget(_))));
        assert!(work.budget().hold((1 << 19) + 1).is_err(), "what it held stays counted");
        work.cancel();
        let metered = work.metered();
        let interrupted = metered.check(0).map(|()| 0);
        assert!(matches!(metered.result(interrupted), Err(QueryError::Cancelled)));
    }
}
