use super::CacheSizes;
use crate::table_index::IndexMetrics;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Every metric of the catalogue.
#[derive(Clone)]
pub struct Metrics {
    pub(super) objects: Gauge,
    pub(super) bytes: Gauge,
    pub(super) retired: Gauge,
    pub(super) footer_bytes: Gauge,
    pub(super) footer_hits: Counter,
    pub(super) footer_misses: Counter,
    pub(super) page_bytes: Gauge,
    pub(super) manifests_read: Counter,
    pub(super) manifest_failures: Counter,
    pub(super) index: IndexMetrics,
}

impl Metrics {
    /// Makes the metrics and registers them.
    pub fn register(registry: &mut Registry, sizes: CacheSizes) -> Self {
        let metrics = Metrics {
            objects: Gauge::default(),
            bytes: Gauge::default(),
            retired: Gauge::default(),
            footer_bytes: Gauge::default(),
            footer_hits: Counter::default(),
            footer_misses: Counter::default(),
            page_bytes: Gauge::default(),
            manifests_read: Counter::default(),
            manifest_failures: Counter::default(),
            index: IndexMetrics::default(),
        };
        let (footer_limit, page_limit) = (Gauge::<i64>::default(), Gauge::<i64>::default());
        footer_limit.set(sizes.footers as i64);
        page_limit.set(sizes.pages as i64);
        let registry = registry.sub_registry_with_prefix("store");
        registry.register("objects", "Live data objects", metrics.objects.clone());
        registry.register("object_bytes", "Bytes of live data objects", metrics.bytes.clone());
        registry.register("retired_objects", "Data objects that are no longer live and wait for their readers", metrics.retired.clone());
        registry.register("footer_cache_bytes", "Bytes of footers in the cache", metrics.footer_bytes.clone());
        registry.register("footer_cache_bytes_limit", "Bytes of footers that the cache may hold", footer_limit);
        registry.register("footer_cache_hits", "Footers found in the cache", metrics.footer_hits.clone());
        registry.register("footer_cache_misses", "Footers read from the store", metrics.footer_misses.clone());
        registry.register("filter_cache_bytes", "Bytes of filter pages in the cache", metrics.page_bytes.clone());
        registry.register("filter_cache_bytes_limit", "Bytes of filter pages that the cache may hold", page_limit);
        registry.register("manifests_read", "Manifests of tables that were read", metrics.manifests_read.clone());
        registry.register("manifest_failures", "Manifests of tables that could not be read", metrics.manifest_failures.clone());
        metrics.index.register(registry, sizes.indexes);
        metrics
    }
}
