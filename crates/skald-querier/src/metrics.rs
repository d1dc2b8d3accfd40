use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Every metric of the querier.
#[derive(Clone)]
pub struct Metrics {
    pub(crate) queue_len: Gauge,
    pub(crate) queries: Family<Status, Counter>,
    pub(crate) seconds: Histogram,
    pub(crate) lines: Counter,
    pub(crate) bytes: Counter,
    pub(crate) blocks_skipped: Counter,
    pub(crate) incomplete: Counter,
    pub(crate) tail_active: Gauge,
    pub(crate) tail_bytes: Counter,
    pub(crate) tail_dropped: Counter,
}

/// How a query ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Status {
    pub(crate) status: &'static str,
}

impl Metrics {
    /// Makes the metrics and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Metrics {
            queue_len: Gauge::default(),
            queries: Family::default(),
            seconds: Histogram::new(exponential_buckets(0.000_5, 2.0, 18)),
            lines: Counter::default(),
            bytes: Counter::default(),
            blocks_skipped: Counter::default(),
            incomplete: Counter::default(),
            tail_active: Gauge::default(),
            tail_bytes: Counter::default(),
            tail_dropped: Counter::default(),
        };
        let registry = registry.sub_registry_with_prefix("querier");
        registry.register("queue_length", "Queries that wait for their turn", metrics.queue_len.clone());
        registry.register("queries", "Queries, by how they ended", metrics.queries.clone());
        registry.register("query_seconds", "Time from request to answer", metrics.seconds.clone());
        registry.register("processed_lines", "Entries looked at or counted", metrics.lines.clone());
        registry.register("processed_bytes", "Bytes of lines looked at or counted", metrics.bytes.clone());
        registry.register("blocks_skipped", "Blocks that a filter ruled out", metrics.blocks_skipped.clone());
        registry.register("incomplete_answers", "Answers with a warning that entries are missing", metrics.incomplete.clone());
        registry.register("tail_active", "Live tails", metrics.tail_active.clone());
        registry.register("tail_bytes", "Bytes sent to live tails", metrics.tail_bytes.clone());
        registry.register("tail_dropped_entries", "Entries that live tails were told they did not get", metrics.tail_dropped.clone());
        metrics
    }
}
