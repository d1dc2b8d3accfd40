use super::verdict::Cause;
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use skald_pipeline::Text;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Tenants that have metrics of their own; all further ones share [`OTHER_TENANTS`], for a tenant may come out of a line.
const TENANTS_MAX: usize = 1000;
/// Stands for tenants beyond [`TENANTS_MAX`].
const OTHER_TENANTS: &str = "<other>";
/// Bounds of the durations of requests, in seconds.
const SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Labels of what goes to a server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfHost {
    host: Text,
}

/// Labels of what is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTenant {
    host: Text,
    tenant: String,
}

/// Labels of what is dropped.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfDrop {
    host: Text,
    tenant: String,
    reason: &'static str,
}

/// Labels of answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfAnswer {
    status_code: i32,
    host: Text,
}

/// Labels of what waits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfWait {
    host: Text,
    cause: &'static str,
}

/// Metrics of all clients, under promtail's names.
pub struct DeliveryMetrics {
    encoded_bytes: Family<OfHost, Counter>,
    sent_bytes: Family<OfHost, Counter>,
    sent_entries: Family<OfHost, Counter>,
    dropped_bytes: Family<OfDrop, Counter>,
    dropped_entries: Family<OfDrop, Counter>,
    mutated_bytes: Family<OfDrop, Counter>,
    mutated_entries: Family<OfDrop, Counter>,
    batch_retries: Family<OfTenant, Counter>,
    request_duration: Family<OfAnswer, Histogram, fn() -> Histogram>,
    pending_batches: Family<OfHost, Gauge>,
    pending_entries: Family<OfHost, Gauge>,
    waiting: Family<OfWait, Gauge>,
    tenants: Mutex<BTreeSet<String>>,
}

/// Why entries are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DropReason {
    /// The server will not take them, or not within the tries that are configured.
    IngesterError,
    /// The tenant's rate is used up, and the configuration says not to wait, or not so long.
    RateLimited,
    /// What stood in the spool cannot be read.
    Damaged,
    /// A line or label gave a tenant that no server has: it would answer 401 for ever.
    InvalidTenant,
}

impl DropReason {
    const ALL: [DropReason; 4] = [DropReason::IngesterError, DropReason::RateLimited, DropReason::Damaged, DropReason::InvalidTenant];

    pub fn name(self) -> &'static str {
        match self {
            Self::IngesterError => "ingester_error",
            Self::RateLimited => "rate_limited",
            Self::Damaged => "damaged",
            Self::InvalidTenant => "invalid_tenant",
        }
    }
}

impl DeliveryMetrics {
    /// Registers them; once in a process.
    pub fn register(registry: &mut Registry) -> Arc<Self> {
        let metrics = DeliveryMetrics {
            encoded_bytes: Family::default(),
            sent_bytes: Family::default(),
            sent_entries: Family::default(),
            dropped_bytes: Family::default(),
            dropped_entries: Family::default(),
            mutated_bytes: Family::default(),
            mutated_entries: Family::default(),
            batch_retries: Family::default(),
            request_duration: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            pending_batches: Family::default(),
            pending_entries: Family::default(),
            waiting: Family::default(),
            tenants: Mutex::default(),
        };
        let mut counter = |name: &str, help: &str, family: &Family<OfHost, Counter>| registry.register(name, help, family.clone());
        counter("promtail_encoded_bytes", "Bytes of requests as they go over the wire, tries again not counted", &metrics.encoded_bytes);
        counter("promtail_sent_bytes", "Bytes of requests that were taken", &metrics.sent_bytes);
        counter("promtail_sent_entries", "Entries that were taken", &metrics.sent_entries);
        registry.register("promtail_dropped_bytes", "Bytes of lines and metadata that were dropped", metrics.dropped_bytes.clone());
        registry.register("promtail_dropped_entries", "Entries that were dropped", metrics.dropped_entries.clone());
        registry.register("promtail_mutated_bytes", "Bytes by which lines were cut", metrics.mutated_bytes.clone());
        registry.register("promtail_mutated_entries", "Entries whose lines were cut", metrics.mutated_entries.clone());
        registry.register("promtail_batch_retries", "Tries again of batches that were not taken", metrics.batch_retries.clone());
        let help = "How long requests take, by status of the answer; -1 is none";
        registry.register("promtail_request_duration_seconds", help, metrics.request_duration.clone());
        let help = "Batches that were handed to a client and are not settled";
        registry.register("promtail_client_pending_batches", help, metrics.pending_batches.clone());
        registry.register("promtail_client_pending_entries", "Entries in these batches", metrics.pending_entries.clone());
        let help = "Tenants whose batches wait to be tried again, by what was in the way";
        registry.register("promtail_client_waiting_tenants", help, metrics.waiting.clone());
        Arc::new(metrics)
    }

    /// The metrics of one client; what it counts begins with 0.
    pub(crate) fn of_client(self: &Arc<Self>, host: &str, tenant: Option<&str>) -> ClientMetrics {
        let metrics = ClientMetrics { all: self.clone(), host: OfHost { host: host.into() } };
        for counter in [&self.encoded_bytes, &self.sent_bytes, &self.sent_entries] {
            drop(counter.get_or_create(&metrics.host));
        }
        for reason in DropReason::ALL {
            metrics.dropped(tenant, reason, 0, 0);
        }
        for cause in Cause::ALL {
            drop(self.waiting.get_or_create(&metrics.of_wait(cause)));
        }
        metrics
    }

    /// Counts entries that a limit of the agent itself keeps from the client of `host`.
    pub(crate) fn dropped_by_agent(&self, host: &str, tenant: &str, reason: &'static str, entries: u64, bytes: u64) {
        let labels = OfDrop { host: host.into(), tenant: self.tenant_label(Some(tenant)), reason };
        self.dropped_bytes.get_or_create(&labels).inc_by(bytes);
        self.dropped_entries.get_or_create(&labels).inc_by(entries);
    }

    /// Counts entries that a limit of the agent itself has cut, by so many bytes.
    pub(crate) fn mutated_by_agent(&self, host: &str, tenant: &str, reason: &'static str, entries: u64, bytes: u64) {
        let labels = OfDrop { host: host.into(), tenant: self.tenant_label(Some(tenant)), reason };
        self.mutated_bytes.get_or_create(&labels).inc_by(bytes);
        self.mutated_entries.get_or_create(&labels).inc_by(entries);
    }

    fn tenant_label(&self, tenant: Option<&str>) -> String {
        let tenant = tenant.unwrap_or_default();
        let mut tenants = self.tenants.lock();
        if !tenants.contains(tenant) {
            if tenants.len() >= TENANTS_MAX {
                return OTHER_TENANTS.to_owned();
            }
            tenants.insert(tenant.to_owned());
        }
        tenant.to_owned()
    }
}

/// The metrics of one client.
pub(crate) struct ClientMetrics {
    all: Arc<DeliveryMetrics>,
    host: OfHost,
}

impl ClientMetrics {
    pub fn encoded(&self, bytes: usize) {
        self.all.encoded_bytes.get_or_create(&self.host).inc_by(bytes as u64);
    }

    pub fn sent(&self, bytes: usize, entries: u64) {
        self.all.sent_bytes.get_or_create(&self.host).inc_by(bytes as u64);
        self.all.sent_entries.get_or_create(&self.host).inc_by(entries);
    }

    pub fn dropped(&self, tenant: Option<&str>, reason: DropReason, entries: u64, bytes: u64) {
        let labels = OfDrop { host: self.host.host.clone(), tenant: self.all.tenant_label(tenant), reason: reason.name() };
        self.all.dropped_bytes.get_or_create(&labels).inc_by(bytes);
        self.all.dropped_entries.get_or_create(&labels).inc_by(entries);
    }

    pub fn retried(&self, tenant: Option<&str>) {
        let labels = OfTenant { host: self.host.host.clone(), tenant: self.all.tenant_label(tenant) };
        self.all.batch_retries.get_or_create(&labels).inc();
    }

    /// `status` is `None` without an answer.
    pub fn answered(&self, status: Option<u16>, took: Duration) {
        let labels = OfAnswer { status_code: status.map_or(-1, i32::from), host: self.host.host.clone() };
        self.all.request_duration.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// So many batches and entries more, or fewer, are to be settled.
    pub fn pending(&self, batches: i64, entries: i64) {
        self.all.pending_batches.get_or_create(&self.host).inc_by(batches);
        self.all.pending_entries.get_or_create(&self.host).inc_by(entries);
    }

    /// Counts a tenant as waiting until the guard goes.
    pub fn waiting(&self, cause: Cause) -> impl Sized + Send + use<> {
        let gauge = self.all.waiting.get_or_create_owned(&self.of_wait(cause));
        gauge.inc();
        Raised(gauge)
    }

    fn of_wait(&self, cause: Cause) -> OfWait {
        OfWait { host: self.host.host.clone(), cause: cause.name() }
    }
}

/// A gauge that stands one higher as long as this lives.
struct Raised(Gauge);

impl Drop for Raised {
    fn drop(&mut self) {
        self.0.dec();
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

    #[track_caller]
    fn check(registry: &Registry, lines: &[&str]) {
        let text = text(registry);
        for line in lines {
            assert!(text.lines().any(|known| known == *line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn counters_have_promtails_names_and_begin_with_0() {
        let mut registry = Registry::default();
        let client = DeliveryMetrics::register(&mut registry).of_client("h:1", None);
        check(
            &registry,
            &[
                r#"promtail_encoded_bytes_total{host="h:1"} 0"#,
                r#"promtail_dropped_entries_total{host="h:1",tenant="",reason="ingester_error"} 0"#,
                r#"promtail_dropped_bytes_total{host="h:1",tenant="",reason="rate_limited"} 0"#,
                r#"promtail_client_waiting_tenants{host="h:1",cause="misrouted"} 0"#,
            ],
        );
        client.sent(10, 3);
        client.retried(Some("t"));
        client.answered(None, Duration::from_millis(20));
        client.dropped(Some("t"), DropReason::RateLimited, 3, 7);
        let waiting = client.waiting(Cause::Server);
        check(
            &registry,
            &[
                r#"promtail_sent_bytes_total{host="h:1"} 10"#,
                r#"promtail_sent_entries_total{host="h:1"} 3"#,
                r#"promtail_batch_retries_total{host="h:1",tenant="t"} 1"#,
                r#"promtail_request_duration_seconds_count{status_code="-1",host="h:1"} 1"#,
                r#"promtail_dropped_entries_total{host="h:1",tenant="t",reason="rate_limited"} 3"#,
                r#"promtail_dropped_bytes_total{host="h:1",tenant="t",reason="rate_limited"} 7"#,
                r#"promtail_client_waiting_tenants{host="h:1",cause="server"} 1"#,
            ],
        );
        drop(waiting);
        check(&registry, &[r#"promtail_client_waiting_tenants{host="h:1",cause="server"} 0"#]);
    }

    #[test]
    fn tenants_beyond_the_bound_share_their_metrics() {
        let metrics = DeliveryMetrics::register(&mut Registry::default());
        for at in 0..TENANTS_MAX {
            assert_eq!(metrics.tenant_label(Some(&at.to_string())), at.to_string());
        }
        assert_eq!(metrics.tenant_label(Some("late")), OTHER_TENANTS);
        assert_eq!(metrics.tenant_label(Some("7")), "7");
    }
}
