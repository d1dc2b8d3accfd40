//! Memory of queries: a budget for each, and one pool that all take from.
//!
//! Everything large that a query holds is taken from its [`Budget`] before it is made and given back when the [`Held`] is dropped. What cannot
//! be known before, such as the growth of a state while it takes rows in, is settled after each piece of work, so a query passes its
//! budget by a piece at most before it fails with the reason.

use prometheus_client::metrics::gauge::Gauge;
use skald_config::ByteSize;
use skald_model::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a query may not hold more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    /// The query has taken all that one may.
    #[error("the query needs more than its memory budget of {}; select fewer streams, a shorter range or fewer series", ByteSize(*budget))]
    Query {
        /// Bytes that one query may hold.
        budget: u64,
    },
    /// All queries together have.
    #[error("the running queries hold all of the {} of memory for queries; try again when they are through", ByteSize(*budget))]
    All {
        /// Bytes that all may hold.
        budget: u64,
    },
}

impl BudgetError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Query { .. } => ErrorKind::InvalidInput,
            Self::All { .. } => ErrorKind::Unavailable,
        }
    }
}

/// The memory of all queries. A cheap handle.
#[derive(Clone)]
pub(crate) struct MemoryPool {
    inner: Arc<Pool>,
}

struct Pool {
    held: AtomicU64,
    held_max: u64,
    of_query_max: u64,
    shown: Gauge,
}

/// The memory of one query. A cheap handle.
#[derive(Clone)]
pub(crate) struct Budget {
    inner: Arc<Query>,
}

struct Query {
    held: AtomicU64,
    peak: AtomicU64,
    pool: MemoryPool,
}

/// Bytes that were taken; given back when dropped.
pub(crate) struct Held {
    budget: Budget,
    bytes: u64,
}

impl MemoryPool {
    /// All queries may hold `held_max` bytes, each `of_query_max`. What they hold shows in `shown`.
    pub(crate) fn new(held_max: u64, of_query_max: u64, shown: Gauge) -> Self {
        MemoryPool { inner: Arc::new(Pool { held: AtomicU64::new(0), held_max, of_query_max: of_query_max.min(held_max), shown }) }
    }

    /// The budget of another query.
    pub(crate) fn budget(&self) -> Budget {
        Budget { inner: Arc::new(Query { held: AtomicU64::new(0), peak: AtomicU64::new(0), pool: self.clone() }) }
    }

    /// Bytes that all hold.
    pub(crate) fn held(&self) -> u64 {
        self.inner.held.load(Ordering::Relaxed)
    }
}

impl Budget {
    /// Takes `bytes`.
    ///
    /// # Errors
    /// When the query or all together would hold too much; nothing was taken then.
    pub(crate) fn hold(&self, bytes: u64) -> Result<Held, BudgetError> {
        self.take(bytes)?;
        Ok(Held { budget: self.clone(), bytes })
    }

    /// Nothing yet, to be [resized](Held::resize).
    pub(crate) fn hold_nothing(&self) -> Held {
        Held { budget: self.clone(), bytes: 0 }
    }

    /// Most bytes that one query may hold.
    pub(crate) fn limit(&self) -> u64 {
        self.inner.pool.inner.of_query_max
    }

    /// Most bytes that this query held.
    pub(crate) fn peak(&self) -> u64 {
        self.inner.peak.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> Result<(), BudgetError> {
        let pool = &*self.inner.pool.inner;
        let held = add_up_to(&self.inner.held, bytes, pool.of_query_max).ok_or(BudgetError::Query { budget: pool.of_query_max })?;
        if add_up_to(&pool.held, bytes, pool.held_max).is_none() {
            self.inner.held.fetch_sub(bytes, Ordering::Relaxed);
            return Err(BudgetError::All { budget: pool.held_max });
        }
        self.inner.peak.fetch_max(held, Ordering::Relaxed);
        pool.shown.inc_by(bytes as i64);
        Ok(())
    }

    fn give_back(&self, bytes: u64) {
        let pool = &*self.inner.pool.inner;
        self.inner.held.fetch_sub(bytes, Ordering::Relaxed);
        pool.held.fetch_sub(bytes, Ordering::Relaxed);
        pool.shown.dec_by(bytes as i64);
    }
}

/// Adds where the sum is at most `max`; the sum.
fn add_up_to(held: &AtomicU64, bytes: u64, max: u64) -> Option<u64> {
    let sum = |held: u64| held.checked_add(bytes).filter(|sum| *sum <= max);
    held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum).ok().map(|before| before + bytes)
}

impl Held {
    /// Holds `bytes` from now on.
    ///
    /// # Errors
    /// As [`Budget::hold`]; what was held before stays held.
    pub(crate) fn resize(&mut self, bytes: u64) -> Result<(), BudgetError> {
        if bytes > self.bytes {
            self.budget.take(bytes - self.bytes)?;
        } else {
            self.budget.give_back(self.bytes - bytes);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Holds `bytes` more.
    ///
    /// # Errors
    /// As [`Budget::hold`]; what was held before stays held.
    pub(crate) fn grow(&mut self, bytes: u64) -> Result<(), BudgetError> {
        self.resize(self.bytes.saturating_add(bytes))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_query_and_all_together_have_a_bound_and_give_everything_back() {
        let shown = Gauge::default();
        let pool = MemoryPool::new(100, 60, shown.clone());
        let (one, two) = (pool.budget(), pool.budget());
        let mut first = one.hold(50).expect("fits");
        assert_eq!(one.hold(11).err(), Some(BudgetError::Query { budget: 60 }));
        assert_eq!(two.hold(51).err(), Some(BudgetError::All { budget: 100 }));
        let second = two.hold(50).expect("fits");
        assert_eq!(first.grow(10), Err(BudgetError::All { budget: 100 }));
        drop(second);
        assert_eq!((first.grow(10), shown.get(), pool.held()), (Ok(()), 60, 60));
        assert_eq!((first.resize(5), one.peak(), one.limit()), (Ok(()), 60, 60));
        drop(first);
        assert_eq!((pool.held(), shown.get(), one.hold(u64::MAX).is_err()), (0, 0, true));
    }

    proptest! {
        #![proptest_config(skald_testkit::property(64))]

        #[test]
        fn what_is_held_is_the_sum_of_what_was_taken(steps in proptest::collection::vec((0usize..3, 0usize..6, 0u64..80), 0..60)) {
            let pool = MemoryPool::new(150, 100, Gauge::default());
            let budgets: Vec<Budget> = (0..3).map(|_| pool.budget()).collect();
            let mut held: Vec<(usize, Held)> = Vec::new();
            for (of, at, bytes) in steps {
                let sum = |of: Option<usize>, held: &[(usize, Held)]| {
                    held.iter().filter(|(query, _)| of.is_none_or(|of| of == *query)).map(|(_, held)| held.bytes).sum::<u64>()
                };
                if at < held.len() {
                    let query = held[at].0;
                    let (others, all) = (sum(Some(query), &held) - held[at].1.bytes, sum(None, &held) - held[at].1.bytes);
                    let fits = bytes <= held[at].1.bytes || (others + bytes <= 100 && all + bytes <= 150);
                    prop_assert_eq!(held[at].1.resize(bytes).is_ok(), fits);
                    if bytes % 3 == 0 {
                        held.swap_remove(at);
                    }
                } else {
                    let fits = sum(Some(of), &held) + bytes <= 100 && sum(None, &held) + bytes <= 150;
                    let taken = budgets[of].hold(bytes);
                    prop_assert_eq!(taken.is_ok(), fits);
                    held.extend(taken.ok().map(|taken| (of, taken)));
                }
                prop_assert_eq!(pool.held(), sum(None, &held));
            }
            held.clear();
            prop_assert_eq!(pool.held(), 0);
        }
    }
}
