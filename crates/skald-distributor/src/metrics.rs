use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use skald_model::TenantId;
use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;

/// Labels of a tenant's metrics.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfTenant {
    tenant: String,
}

/// Labels of what a tenant sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfFormat {
    tenant: String,
    format: &'static str,
}

/// Labels of what was discarded.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfDiscard {
    reason: &'static str,
    tenant: String,
    format: &'static str,
}

/// Labels of what was changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfReason {
    reason: &'static str,
    tenant: String,
}

/// Labels of answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfStatus {
    status_code: u16,
}

/// Metrics of the distributor.
pub struct Metrics {
    bytes_received: Family<OfFormat, Counter>,
    lines_received: Family<OfFormat, Counter>,
    metadata_bytes_received: Family<OfFormat, Counter>,
    discarded_samples: Family<OfDiscard, Counter>,
    discarded_bytes: Family<OfDiscard, Counter>,
    mutated_samples: Family<OfReason, Counter>,
    mutated_bytes: Family<OfReason, Counter>,
    push_duration: Family<OfStatus, Histogram>,
    rate_limiter_fill: Family<OfTenant, Gauge<f64, AtomicU64>>,
    /// Bytes of pushes being worked on.
    pub inflight_bytes: Gauge,
    tenants: Mutex<BTreeSet<String>>,
}

/// Tenants that have metrics of their own; all further ones share [`OTHER_TENANTS`].
pub const TENANTS_MAX: usize = 1000;
/// Stands for tenants beyond [`TENANTS_MAX`]; no tenant can have this id.
pub const OTHER_TENANTS: &str = "<other>";

/// A number of entries and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Entries.
    pub entries: usize,
    /// Bytes of lines and metadata.
    pub bytes: usize,
}

impl Amount {
    /// Adds one entry of `bytes`.
    pub fn add(&mut self, bytes: usize) {
        self.entries += 1;
        self.bytes += bytes;
    }
}

impl Metrics {
    /// Makes the metrics and registers them; the registry gives the prefix `skald`.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Metrics {
            bytes_received: Family::default(),
            lines_received: Family::default(),
            metadata_bytes_received: Family::default(),
            discarded_samples: Family::default(),
            discarded_bytes: Family::default(),
            mutated_samples: Family::default(),
            mutated_bytes: Family::default(),
            push_duration: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.0005, 2.0, 16))),
            rate_limiter_fill: Family::default(),
            inflight_bytes: Gauge::default(),
            tenants: Mutex::default(),
        };
        registry.register("discarded_samples", "Entries that were refused", metrics.discarded_samples.clone());
        registry.register(
            "discarded_bytes",
            "Bytes of entries that were refused, or of bodies too large to read",
            metrics.discarded_bytes.clone(),
        );
        registry.register("mutated_samples", "Entries whose line was cut", metrics.mutated_samples.clone());
        registry.register("mutated_bytes", "Bytes that were cut off lines", metrics.mutated_bytes.clone());
        let own = registry.sub_registry_with_prefix("distributor");
        own.register("bytes_received", "Bytes of lines and structured metadata in pushes", metrics.bytes_received.clone());
        own.register("lines_received", "Lines in pushes", metrics.lines_received.clone());
        own.register(
            "structured_metadata_bytes_received",
            "Bytes of structured metadata in pushes",
            metrics.metadata_bytes_received.clone(),
        );
        own.register("push_duration_seconds", "Time from the head of a push to its answer", metrics.push_duration.clone());
        own.register(
            "rate_limiter_fill",
            "Part of the tenant's burst that was used after its last push",
            metrics.rate_limiter_fill.clone(),
        );
        own.register("inflight_bytes", "Bytes of pushes being worked on", metrics.inflight_bytes.clone());
        metrics
    }

    /// Counts what a tenant sent in a format, refused entries included.
    pub fn received(&self, tenant: &TenantId, format: &'static str, received: Amount, metadata_bytes: usize) {
        let label = OfFormat { tenant: self.of_tenant(tenant).tenant, format };
        self.bytes_received.get_or_create(&label).inc_by(received.bytes as u64);
        self.lines_received.get_or_create(&label).inc_by(received.entries as u64);
        self.metadata_bytes_received.get_or_create(&label).inc_by(metadata_bytes as u64);
    }

    /// Counts what was refused of what came in a format.
    pub fn discarded(&self, tenant: &TenantId, format: &'static str, reason: &'static str, amount: Amount) {
        let label = OfDiscard { reason, tenant: self.of_tenant(tenant).tenant, format };
        self.discarded_samples.get_or_create(&label).inc_by(amount.entries as u64);
        self.discarded_bytes.get_or_create(&label).inc_by(amount.bytes as u64);
    }

    /// Counts lines that were cut.
    pub fn truncated(&self, tenant: &TenantId, amount: Amount) {
        let label = self.of_reason(tenant, "line_too_long");
        self.mutated_samples.get_or_create(&label).inc_by(amount.entries as u64);
        self.mutated_bytes.get_or_create(&label).inc_by(amount.bytes as u64);
    }

    /// Shows how full a tenant's rate limiter is.
    pub fn rate_limiter_fill(&self, tenant: &TenantId, fill: f64) {
        self.rate_limiter_fill.get_or_create(&self.of_tenant(tenant)).set(fill);
    }

    /// Counts an answer.
    pub fn answered(&self, status_code: u16, seconds: f64) {
        self.push_duration.get_or_create(&OfStatus { status_code }).observe(seconds);
    }

    fn of_reason(&self, tenant: &TenantId, reason: &'static str) -> OfReason {
        OfReason { reason, tenant: self.of_tenant(tenant).tenant }
    }

    fn of_tenant(&self, tenant: &TenantId) -> OfTenant {
        let mut tenants = self.tenants.lock();
        let known = tenants.contains(tenant.as_str()) || (tenants.len() < TENANTS_MAX && tenants.insert(tenant.to_string()));
        OfTenant { tenant: if known { tenant.as_str() } else { OTHER_TENANTS }.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;

    fn text(registry: &Registry) -> String {
        let mut out = String::new();
        encode(&mut out, registry).expect("strings take all");
        out
    }

    #[test]
    fn metrics_have_the_names_that_dashboards_know() {
        let mut registry = Registry::with_prefix("skald");
        let metrics = Metrics::new(&mut registry);
        let tenant = TenantId::parse("a").expect("valid");
        metrics.received(&tenant, "otlp", Amount { entries: 2, bytes: 30 }, 5);
        metrics.discarded(&tenant, "loki", "line_too_long", Amount { entries: 1, bytes: 9 });
        metrics.answered(204, 0.001);
        let text = text(&registry);
        for line in [
            "skald_distributor_bytes_received_total{tenant=\"a\",format=\"otlp\"} 30",
            "skald_distributor_lines_received_total{tenant=\"a\",format=\"otlp\"} 2",
            "skald_distributor_structured_metadata_bytes_received_total{tenant=\"a\",format=\"otlp\"} 5",
            "skald_discarded_samples_total{reason=\"line_too_long\",tenant=\"a\",format=\"loki\"} 1",
            "skald_discarded_bytes_total{reason=\"line_too_long\",tenant=\"a\",format=\"loki\"} 9",
            "skald_distributor_push_duration_seconds_count{status_code=\"204\"} 1",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn tenants_are_bounded() {
        let mut registry = Registry::with_prefix("skald");
        let metrics = Metrics::new(&mut registry);
        for i in 0..TENANTS_MAX + 5 {
            metrics.received(&TenantId::parse(&format!("t{i}")).expect("valid"), "loki", Amount { entries: 1, bytes: 1 }, 0);
        }
        let text = text(&registry);
        assert_eq!(text.matches("skald_distributor_lines_received_total{").count(), TENANTS_MAX + 1);
        assert!(text.contains("skald_distributor_lines_received_total{tenant=\"<other>\",format=\"loki\"} 5"));
    }
}
