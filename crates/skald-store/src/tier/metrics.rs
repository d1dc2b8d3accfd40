use crate::StoreError;
use bytes::Bytes;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Every metric of the tier. A cheap handle.
#[derive(Clone)]
pub struct TierMetrics {
    pub(super) queue_objects: Gauge,
    pub(super) queue_bytes: Gauge,
    pub(super) queue_oldest_seconds: Gauge,
    pub(super) cache_bytes: Gauge,
    pub(super) cache_limit: Gauge,
    pub(super) cache_hits: Counter,
    pub(super) cache_misses: Counter,
    pub(super) evictions: Counter,
    pub(super) fills: Counter,
    pub(super) fill_failures: Counter,
    served_bytes: Family<Of, Counter>,
}

/// Where bytes came from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    Queue,
    Cache,
    Remote,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    place: &'static str,
}

impl TierMetrics {
    /// Makes the metrics and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = TierMetrics {
            queue_objects: Gauge::default(),
            queue_bytes: Gauge::default(),
            queue_oldest_seconds: Gauge::default(),
            cache_bytes: Gauge::default(),
            cache_limit: Gauge::default(),
            cache_hits: Counter::default(),
            cache_misses: Counter::default(),
            evictions: Counter::default(),
            fills: Counter::default(),
            fill_failures: Counter::default(),
            served_bytes: Family::default(),
        };
        let registry = registry.sub_registry_with_prefix("store");
        registry.register("upload_queue_objects", "Data objects that wait to be uploaded", metrics.queue_objects.clone());
        registry.register("upload_queue_bytes", "Bytes of data objects that wait to be uploaded", metrics.queue_bytes.clone());
        registry.register(
            "upload_queue_oldest_seconds",
            "How long the oldest data object waits to be uploaded",
            metrics.queue_oldest_seconds.clone(),
        );
        registry.register("object_cache_bytes", "Bytes of data objects in the cache on the local disk", metrics.cache_bytes.clone());
        registry.register("object_cache_bytes_limit", "Bytes of data objects that the cache may hold", metrics.cache_limit.clone());
        registry.register("object_cache_hits", "Reads of data objects that the cache answered", metrics.cache_hits.clone());
        registry.register("object_cache_misses", "Reads of data objects that the cache did not have", metrics.cache_misses.clone());
        registry.register("object_cache_evictions", "Data objects that gave way to others, or to free space", metrics.evictions.clone());
        registry.register("object_cache_fills", "Data objects that were fetched whole since they are read often", metrics.fills.clone());
        registry.register("object_cache_fill_failures", "Data objects that could not be fetched whole", metrics.fill_failures.clone());
        registry.register("read_bytes", "Bytes of data objects read, by where they were", metrics.served_bytes.clone());
        metrics
    }

    /// Counts what was read from a place.
    pub(super) fn served(&self, place: Place, read: Result<Vec<Bytes>, StoreError>) -> Result<Vec<Bytes>, StoreError> {
        let place = match place {
            Place::Queue => "queue",
            Place::Cache => "cache",
            Place::Remote => "remote",
        };
        let read = read?;
        let bytes = read.iter().map(|part| part.len() as u64).sum();
        self.served_bytes.get_or_create(&Of { place }).inc_by(bytes);
        Ok(read)
    }
}
