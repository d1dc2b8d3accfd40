use crate::queue::Lengths;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Every metric of the querier.
#[derive(Clone)]
pub struct Metrics {
    pub(crate) queue_len: Lengths,
    pub(crate) queue_seconds: Histogram,
    pub(crate) queries: Family<EndedQuery, Counter>,
    pub(crate) seconds: Family<OfKind, Histogram, fn() -> Histogram>,
    pub(crate) bytes_per_second: Family<OfKind, Histogram, fn() -> Histogram>,
    pub(crate) memory_held: Gauge,
    pub(crate) memory_limit: Gauge,
    pub(crate) lines: Counter,
    pub(crate) bytes: Counter,
    pub(crate) blocks_skipped: Counter,
    pub(crate) incomplete: Counter,
    pub(crate) tail_active: Gauge,
    pub(crate) tail_bytes: Counter,
    pub(crate) tail_dropped: Counter,
    pub(crate) result_cache_bytes: Gauge,
    pub(crate) result_cache_limit: Gauge,
    pub(crate) result_cache_hits: Counter,
    pub(crate) result_cache_misses: Counter,
}

/// How a query ended; status 499 is a client that left, 101 a tail that had begun.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct EndedQuery {
    pub(crate) endpoint: String,
    pub(crate) status_code: u16,
}

/// What kind a query is: `log`, `metric`, `patterns`, `tail`, or `metadata` for all else.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OfKind {
    pub(crate) kind: &'static str,
}

impl Metrics {
    /// Makes the metrics and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.000_5, 2.0, 18));
        let metrics = Metrics {
            queue_len: Lengths::default(),
            queue_seconds: seconds(),
            queries: Family::default(),
            seconds: Family::new_with_constructor(seconds),
            bytes_per_second: Family::new_with_constructor(|| Histogram::new(exponential_buckets(1_000_000.0, 2.0, 16))),
            memory_held: Gauge::default(),
            memory_limit: Gauge::default(),
            lines: Counter::default(),
            bytes: Counter::default(),
            blocks_skipped: Counter::default(),
            incomplete: Counter::default(),
            tail_active: Gauge::default(),
            tail_bytes: Counter::default(),
            tail_dropped: Counter::default(),
            result_cache_bytes: Gauge::default(),
            result_cache_limit: Gauge::default(),
            result_cache_hits: Counter::default(),
            result_cache_misses: Counter::default(),
        };
        let registry = registry.sub_registry_with_prefix("querier");
        registry.register("queue_length", "Queries that wait for their turn, of tenants with any", metrics.queue_len.clone());
        registry.register("queue_seconds", "Time that queries wait for their turn", metrics.queue_seconds.clone());
        registry.register(
            "queries",
            "Queries, by endpoint and status; 499 is a client that left, 101 a tail that has ended",
            metrics.queries.clone(),
        );
        registry.register(
            "query_seconds",
            "Time from request to answer, for tails to their end, by kind of query",
            metrics.seconds.clone(),
        );
        registry.register("query_bytes_per_second", "Bytes of lines per second of a query, by kind", metrics.bytes_per_second.clone());
        registry.register("memory_bytes", "Memory that running queries hold", metrics.memory_held.clone());
        registry.register("memory_bytes_limit", "Memory that running queries may hold", metrics.memory_limit.clone());
        registry.register("processed_lines", "Entries looked at or counted", metrics.lines.clone());
        registry.register("processed_bytes", "Bytes of lines looked at or counted", metrics.bytes.clone());
        registry.register("blocks_skipped", "Blocks that a filter ruled out", metrics.blocks_skipped.clone());
        registry.register("incomplete_answers", "Answers with a warning that something is missing", metrics.incomplete.clone());
        registry.register("tail_active", "Live tails", metrics.tail_active.clone());
        registry.register("tail_bytes", "Bytes sent to live tails", metrics.tail_bytes.clone());
        registry.register("tail_dropped_entries", "Entries that live tails were told they did not get", metrics.tail_dropped.clone());
        registry.register("result_cache_bytes", "Bytes of states of objects in the cache", metrics.result_cache_bytes.clone());
        registry.register("result_cache_bytes_limit", "Bytes of states that the cache may hold", metrics.result_cache_limit.clone());
        registry.register("result_cache_hits", "Objects whose state was found in the cache", metrics.result_cache_hits.clone());
        registry.register(
            "result_cache_misses",
            "Objects whose state could have been, but was not in the cache",
            metrics.result_cache_misses.clone(),
        );
        metrics
    }
}
