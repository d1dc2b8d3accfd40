use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What syslog sources count, all of a process together. A cheap handle.
#[derive(Debug, Clone, Default)]
pub struct SyslogMetrics {
    pub(super) entries: Counter,
    pub(super) parsing_errors: Counter,
    pub(super) empty: Counter,
    pub(super) cut: Counter,
    pub(super) dropped: Counter,
    pub(super) senders: Gauge,
}

impl SyslogMetrics {
    /// Registers the metrics under their names.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = SyslogMetrics::default();
        let mut counter = |name: &str, help: &str, counter: &Counter| registry.register(name, help, counter.clone());
        counter("promtail_syslog_target_entries", "Syslog messages taken", &metrics.entries);
        let errors = "Syslog messages, or connections, with something that could not be read; what could be read of a message is kept";
        counter("promtail_syslog_target_parsing_errors", errors, &metrics.parsing_errors);
        counter("promtail_syslog_empty_messages", "Syslog messages dropped because they have no text", &metrics.empty);
        counter("promtail_syslog_target_truncated_messages", "Syslog messages cut at max_message_length", &metrics.cut);
        counter("promtail_syslog_target_dropped_datagrams", "Datagrams dropped because too many waited", &metrics.dropped);
        registry.register(
            "promtail_syslog_target_senders",
            "Open connections, and addresses that sent datagrams lately",
            metrics.senders.clone(),
        );
        metrics
    }
}
