use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What push sources count, all of a process together. A cheap handle.
#[derive(Debug, Clone, Default)]
pub struct PushMetrics {
    pub(super) entries: Counter,
    pub(super) parsing_errors: Counter,
    pub(super) refused: Counter,
    pub(super) connections: Gauge,
}

impl PushMetrics {
    /// Registers the metrics under their names.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = PushMetrics::default();
        let mut counter = |name: &str, help: &str, counter: &Counter| registry.register(name, help, counter.clone());
        counter("promtail_push_target_entries", "Entries of pushes that were taken", &metrics.entries);
        counter("promtail_push_target_parsing_errors", "Pushes, or streams of pushes, that could not be read", &metrics.parsing_errors);
        counter("promtail_push_target_refused_pushes", "Pushes answered 503 because there was no room", &metrics.refused);
        registry.register("promtail_push_target_connections", "Open connections", metrics.connections.clone());
        metrics
    }
}
