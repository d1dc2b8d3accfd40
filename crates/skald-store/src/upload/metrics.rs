use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Every metric of the uploader. A cheap handle.
#[derive(Clone)]
pub struct UploadMetrics {
    pub(super) objects: Counter,
    pub(super) joined: Counter,
    pub(super) bytes: Counter,
    pub(super) failures: Counter,
    pub(super) seconds: Histogram,
    pub(super) memory: Gauge,
}

impl UploadMetrics {
    /// Makes the metrics and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = UploadMetrics {
            objects: Counter::default(),
            joined: Counter::default(),
            bytes: Counter::default(),
            failures: Counter::default(),
            seconds: Histogram::new(exponential_buckets(0.05, 2.0, 12)),
            memory: Gauge::default(),
        };
        let registry = registry.sub_registry_with_prefix("store");
        registry.register("uploads", "Data objects uploaded", metrics.objects.clone());
        registry.register("upload_joined_objects", "Data objects that were joined into uploaded ones", metrics.joined.clone());
        registry.register("upload_bytes", "Bytes of data objects uploaded", metrics.bytes.clone());
        registry.register("upload_failures", "Uploads that failed and are tried again", metrics.failures.clone());
        registry.register("upload_seconds", "Time to join and upload a data object", metrics.seconds.clone());
        registry.register("upload_memory_bytes", "Bytes of data objects that are being joined or uploaded", metrics.memory.clone());
        metrics
    }
}
