use super::exporter::CountedElsewhere;
use crate::config::{ConfigError, Flags, Loaded, load};
use crate::delivery::DeliveryMetrics;
use crate::discovery::TargetFailures;
use crate::sources::docker::DockerMetrics;
use crate::sources::journal::JournalMetrics;
use crate::sources::push::PushMetrics;
use crate::sources::syslog::{HostNames, SyslogMetrics};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use skald_discovery::DiscoveryStats;
use skald_model::seam::Seams;
use skald_pipeline::{Counters, CustomMetrics, Inspector, PipelineContext};
use skald_runtime::Metrics;
use std::sync::Arc;

/// What stays the same as long as the process runs, whatever the configuration says.
pub struct World {
    /// The command line.
    pub flags: Flags,
    /// Clock, randomness, threads, disk, network.
    pub seams: Seams,
    /// All metrics.
    pub metrics: Metrics,
    /// Name of this machine, or of the node.
    pub hostname: String,
    pub(super) context: PipelineContext,
    pub(super) delivery: Arc<DeliveryMetrics>,
    pub(super) failures: TargetFailures,
    pub(super) discovery: Arc<DiscoveryStats>,
    pub(super) syslog: SyslogMetrics,
    pub(super) push: PushMetrics,
    pub(super) journal: JournalMetrics,
    pub(super) docker: DockerMetrics,
    pub(super) names: Arc<HostNames>,
    pub(super) reloads: Reloads,
    pub(super) targets_active: Gauge,
}

/// How often the configuration was read anew.
#[derive(Debug, Clone, Default)]
pub(super) struct Reloads {
    pub(super) done: Counter,
    pub(super) failed: Counter,
}

impl World {
    /// Registers the metrics of all parts; once a process.
    pub fn new(flags: Flags, seams: Seams, metrics: Metrics, hostname: String, inspector: Option<Arc<dyn Inspector>>) -> Arc<Self> {
        let (counters, custom): (Arc<Counters>, Arc<CustomMetrics>) = Default::default();
        let context = PipelineContext {
            job: "".into(),
            counters: Arc::clone(&counters),
            metrics: Arc::clone(&custom),
            random: Arc::clone(&seams.random),
            inspector,
        };
        let (reloads, discovery) = (Reloads::default(), Arc::<DiscoveryStats>::default());
        let (clock, targets_active) = (Arc::clone(&seams.clock), Gauge::default());
        let parts = metrics.register_unprefixed(|registry| {
            let version = env!("CARGO_PKG_VERSION");
            let labels = vec![("version", version), ("revision", "unknown"), ("branch", "skald"), ("goversion", "none")];
            registry.register("promtail_build", "What runs", Info::new(labels));
            registry.register("promtail_targets_active_total", "Targets being read", targets_active.clone());
            registry.register("promtail_config_reload_success", "Configurations that were taken while running", reloads.done.clone());
            registry.register("promtail_config_reload_fail", "Configurations that were refused while running", reloads.failed.clone());
            registry.register_collector(Box::new(CountedElsewhere { counters, custom, clock, discovery: Arc::clone(&discovery) }));
            let (delivery, failures) = (DeliveryMetrics::register(registry), TargetFailures::register(registry));
            let (syslog, push) = (SyslogMetrics::register(registry), PushMetrics::register(registry));
            let (journal, docker) = (JournalMetrics::register(registry), DockerMetrics::register(registry));
            (delivery, failures, syslog, push, journal, docker)
        });
        let (delivery, failures, syslog, push, journal, docker) = parts;
        let names = HostNames::of_system(Arc::clone(&seams.clock), Arc::clone(&seams.spawner));
        Arc::new(World {
            flags,
            seams,
            metrics,
            hostname,
            context,
            delivery,
            failures,
            discovery,
            syslog,
            push,
            journal,
            docker,
            names,
            reloads,
            targets_active,
        })
    }

    /// Reads the configuration that the command line names. Blocks on the disk.
    ///
    /// # Errors
    /// See [`load`].
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        load(&self.flags, &*self.seams.disk, &|name| std::env::var(name).ok())
    }
}
