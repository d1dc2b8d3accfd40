use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// What journal sources count, all of a process together. A cheap handle.
#[derive(Debug, Clone, Default)]
pub struct JournalMetrics {
    pub(super) lines: Counter,
    pub(super) restarts: Counter,
    errors: Family<ErrorLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    error: &'static str,
}

impl JournalMetrics {
    /// Registers the metrics under their names.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = JournalMetrics::default();
        registry.register("promtail_journal_target_lines", "Entries of the journal that were taken", metrics.lines.clone());
        let errors = "Entries of the journal that were not taken, by reason";
        registry.register("promtail_journal_target_parsing_errors", errors, metrics.errors.clone());
        registry.register(
            "promtail_journal_target_restarts",
            "Times that journalctl ended and was started again",
            metrics.restarts.clone(),
        );
        metrics
    }

    pub(super) fn error(&self, error: &'static str) {
        self.errors.get_or_create(&ErrorLabels { error }).inc();
    }
}
