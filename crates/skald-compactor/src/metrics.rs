use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Every metric of the compactor.
#[derive(Clone)]
pub struct Metrics {
    removed_bytes: Family<Reason, Counter>,
    pub(crate) retention_failures: Counter,
    pub(crate) indexes: Counter,
    pub(crate) index_bytes: Counter,
    pub(crate) index_streams: Counter,
    pub(crate) index_seconds: Histogram,
    pub(crate) index_failures: Counter,
    pub(crate) tidied_files: Counter,
    pub(crate) tidy_failures: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

impl Metrics {
    /// Makes the metrics and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Metrics {
            removed_bytes: Family::default(),
            retention_failures: Counter::default(),
            indexes: Counter::default(),
            index_bytes: Counter::default(),
            index_streams: Counter::default(),
            index_seconds: Histogram::new(exponential_buckets(0.005, 4.0, 8)),
            index_failures: Counter::default(),
            tidied_files: Counter::default(),
            tidy_failures: Counter::default(),
        };
        let registry = registry.sub_registry_with_prefix("compactor");
        registry.register("removed_bytes", "Bytes of data objects removed, by reason", metrics.removed_bytes.clone());
        registry.register("retention_failures", "Removals that failed and are tried again", metrics.retention_failures.clone());
        registry.register("indexes", "Indexes of tables that were built and published", metrics.indexes.clone());
        registry.register("index_bytes", "Bytes of index files published", metrics.index_bytes.clone());
        registry.register("index_streams", "Streams in index files published", metrics.index_streams.clone());
        registry.register("index_seconds", "Time to build and publish an index", metrics.index_seconds.clone());
        registry.register("index_failures", "Indexes that could not be built or published", metrics.index_failures.clone());
        registry.register("tidied_files", "Old manifests, index files and absorbed objects removed", metrics.tidied_files.clone());
        registry.register("tidy_failures", "Tables whose old files could not be removed", metrics.tidy_failures.clone());
        metrics
    }

    pub(crate) fn removed(&self, reason: &'static str, bytes: u64) {
        self.removed_bytes.get_or_create(&Reason { reason }).inc_by(bytes);
    }
}
