use crate::Operation;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// Every metric of calls to a store that may fail.
pub struct Metrics {
    attempts: Family<Ended, Counter>,
    retries: Family<Of, Counter>,
    unclear_puts: Family<Outcome, Counter>,
    lost_seconds: Counter<f64, AtomicU64>,
    pub(super) retries_refused: Counter,
    pub(super) retry_tokens: Gauge<f64, AtomicU64>,
    pub(super) retry_tokens_limit: Gauge,
    pub(super) hedges: Counter,
    pub(super) hedge_wins: Counter,
    pub(super) breaker_state: Gauge,
    pub(super) breaker_refused: Counter,
    pub(super) attempts_running: Gauge,
    pub(super) attempts_waiting: Gauge,
    pub(super) attempts_limit: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

impl Metrics {
    /// Makes the metrics and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Metrics {
            attempts: Family::default(),
            retries: Family::default(),
            unclear_puts: Family::default(),
            lost_seconds: Counter::default(),
            retries_refused: Counter::default(),
            retry_tokens: Gauge::default(),
            retry_tokens_limit: Gauge::default(),
            hedges: Counter::default(),
            hedge_wins: Counter::default(),
            breaker_state: Gauge::default(),
            breaker_refused: Counter::default(),
            attempts_running: Gauge::default(),
            attempts_waiting: Gauge::default(),
            attempts_limit: Gauge::default(),
        };
        let registry = registry.sub_registry_with_prefix("store");
        registry.register("attempts", "Attempts at calls to the object store, by how they ended", metrics.attempts.clone());
        registry.register("retries", "Attempts after one that failed", metrics.retries.clone());
        registry.register("retries_refused", "Calls not tried again since too many are", metrics.retries_refused.clone());
        registry.register("retry_tokens", "Further attempts that may be made now", metrics.retry_tokens.clone());
        registry.register("retry_tokens_limit", "Further attempts that may be made at once", metrics.retry_tokens_limit.clone());
        registry.register("hedges", "Second reads sent since the first was slow", metrics.hedges.clone());
        registry.register("hedge_wins", "Second reads that were answered first", metrics.hedge_wins.clone());
        registry.register("unclear_puts", "Puts of which the answer was lost, by whose object has the name", metrics.unclear_puts.clone());
        registry.register("breaker_state", "0 the object store is used, 1 tried, 2 left alone", metrics.breaker_state.clone());
        registry.register(
            "breaker_refused",
            "Calls that failed at once since the object store is left alone",
            metrics.breaker_refused.clone(),
        );
        registry.register("attempts_running", "Attempts in progress", metrics.attempts_running.clone());
        registry.register("attempts_waiting", "Attempts that wait for others to end", metrics.attempts_waiting.clone());
        registry.register("attempts_limit", "Attempts that may be in progress", metrics.attempts_limit.clone());
        registry.register("lost_seconds", "Time of calls spent in attempts that failed and in pauses", metrics.lost_seconds.clone());
        metrics
    }

    pub(super) fn ended(&self, operation: Operation, outcome: &'static str) {
        self.attempts.get_or_create(&Ended { operation: operation.name(), outcome }).inc();
    }

    pub(super) fn retried(&self, operation: Operation) {
        self.retries.get_or_create(&Of { operation: operation.name() }).inc();
    }

    pub(super) fn unclear_put(&self, outcome: &'static str) {
        self.unclear_puts.get_or_create(&Outcome { outcome }).inc();
    }

    pub(super) fn lost(&self, time: Duration) {
        self.lost_seconds.inc_by(time.as_secs_f64());
    }
}

/// One more in a gauge for as long as it lives.
pub(super) struct Counted<'a>(&'a Gauge);

impl<'a> Counted<'a> {
    pub(super) fn new(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Counted(gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}
