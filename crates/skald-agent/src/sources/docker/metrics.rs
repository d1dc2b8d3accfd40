use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// What docker sources count, all of a process together. A cheap handle.
#[derive(Debug, Clone, Default)]
pub struct DockerMetrics {
    pub(super) entries: Counter,
    pub(super) errors: Counter,
    pub(super) cut: Counter,
    pub(super) failures: Counter,
}

impl DockerMetrics {
    /// Registers the metrics under their names.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = DockerMetrics::default();
        let named = [
            ("promtail_docker_target_entries", "Lines of containers that were taken", &metrics.entries),
            ("promtail_docker_target_parsing_errors", "Lines of containers that have no time", &metrics.errors),
            ("promtail_docker_target_cut_lines", "Lines of containers that were too long and lost their ends", &metrics.cut),
            ("promtail_docker_target_failures", "Requests to engines that failed and were made again", &metrics.failures),
        ];
        for (name, help, counter) in named {
            registry.register(name, help, counter.clone());
        }
        metrics
    }
}
