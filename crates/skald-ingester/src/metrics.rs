use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Every metric of the ingester.
#[derive(Clone)]
pub struct Metrics {
    pub(crate) appended_rows: Counter,
    pub(crate) appended_bytes: Counter,
    pub(crate) refused: Family<Reason, Counter>,
    pub(crate) queue_bytes: Gauge,
    pub(crate) memory_bytes: Gauge,
    pub(crate) memory_bytes_limit: Gauge,
    pub(crate) memory_streams: Gauge,
    pub(crate) active_streams: Gauge,
    pub(crate) sealed_generations: Gauge,
    pub(crate) free_bytes: Gauge,
    pub(crate) wal_bytes: Gauge,
    pub(crate) wal_commit_seconds: Histogram,
    pub(crate) wal_commit_records: Histogram,
    pub(crate) wal_failures: Counter,
    pub(crate) wal_replayed_records: Counter,
    pub(crate) wal_lost_records: Counter,
    pub(crate) seals: Family<Reason, Counter>,
    pub(crate) objects_flushed: Counter,
    pub(crate) flushed_bytes: Counter,
    pub(crate) flush_duplicates: Counter,
    pub(crate) flush_failures: Counter,
    pub(crate) flush_seconds: Histogram,
    pub(crate) tail_readers: Gauge,
    pub(crate) tail_queue_bytes: Gauge,
    pub(crate) tail_missed_entries: Counter,
}

/// Why something happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Reason {
    pub(crate) reason: &'static str,
}

impl Metrics {
    /// Makes the metrics and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.000_25, 2.0, 16));
        let metrics = Metrics {
            appended_rows: Counter::default(),
            appended_bytes: Counter::default(),
            refused: Family::default(),
            queue_bytes: Gauge::default(),
            memory_bytes: Gauge::default(),
            memory_bytes_limit: Gauge::default(),
            memory_streams: Gauge::default(),
            active_streams: Gauge::default(),
            sealed_generations: Gauge::default(),
            free_bytes: Gauge::default(),
            wal_bytes: Gauge::default(),
            wal_commit_seconds: seconds(),
            wal_commit_records: Histogram::new(exponential_buckets(1.0, 2.0, 11)),
            wal_failures: Counter::default(),
            wal_replayed_records: Counter::default(),
            wal_lost_records: Counter::default(),
            seals: Family::default(),
            objects_flushed: Counter::default(),
            flushed_bytes: Counter::default(),
            flush_duplicates: Counter::default(),
            flush_failures: Counter::default(),
            flush_seconds: seconds(),
            tail_readers: Gauge::default(),
            tail_queue_bytes: Gauge::default(),
            tail_missed_entries: Counter::default(),
        };
        let registry = registry.sub_registry_with_prefix("ingester");
        registry.register("appended_rows", "Entries made durable and readable", metrics.appended_rows.clone());
        registry.register("appended_bytes", "Bytes of lines and pushed metadata made durable", metrics.appended_bytes.clone());
        registry.register("refused_entries", "Entries refused, by reason", metrics.refused.clone());
        registry.register("queue_bytes", "Bytes of pushes that wait for the commit thread", metrics.queue_bytes.clone());
        registry.register("memory_bytes", "Bytes held by memtables", metrics.memory_bytes.clone());
        registry.register(
            "memory_bytes_limit",
            "Bytes that memtables may hold before pushes are refused",
            metrics.memory_bytes_limit.clone(),
        );
        registry.register("memory_streams", "Streams known", metrics.memory_streams.clone());
        registry.register("active_streams", "Streams that pushed within the last hour", metrics.active_streams.clone());
        registry.register("sealed_generations", "Parts of generations sealed and not yet flushed", metrics.sealed_generations.clone());
        registry.register(
            "free_bytes",
            "Free bytes of the disk that is written to; of the fullest, when there are several",
            metrics.free_bytes.clone(),
        );
        registry.register("wal_bytes", "Bytes of the write-ahead log on disk", metrics.wal_bytes.clone());
        registry.register("wal_commit_seconds", "Write and fsync of one group", metrics.wal_commit_seconds.clone());
        registry.register("wal_commit_records", "Pushes that shared one fsync", metrics.wal_commit_records.clone());
        registry.register("wal_failures", "Groups that could not be written", metrics.wal_failures.clone());
        registry.register("wal_replayed_records", "Records read at start", metrics.wal_replayed_records.clone());
        registry.register("wal_lost_records", "Records that replay found missing or corrupt", metrics.wal_lost_records.clone());
        registry.register("generations_sealed", "Generations sealed, by reason", metrics.seals.clone());
        registry.register("objects_flushed", "Data objects written", metrics.objects_flushed.clone());
        registry.register("flushed_bytes", "Bytes of data objects written", metrics.flushed_bytes.clone());
        registry.register("flush_duplicates", "Repeated entries dropped at flush", metrics.flush_duplicates.clone());
        registry.register("flush_failures", "Flushes that failed and are tried again", metrics.flush_failures.clone());
        registry.register("flush_seconds", "Flush of one generation", metrics.flush_seconds.clone());
        registry.register("tail_readers", "Readers that follow streams", metrics.tail_readers.clone());
        registry.register(
            "tail_queue_bytes",
            "Bytes that wait for readers that follow streams; 8 MiB a reader",
            metrics.tail_queue_bytes.clone(),
        );
        registry.register("tail_missed_entries", "Entries that readers were too slow for", metrics.tail_missed_entries.clone());
        metrics
    }
}
