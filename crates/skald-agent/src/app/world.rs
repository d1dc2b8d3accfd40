use super::exporter::PipelineMetrics;
use crate::config::{ConfigError, Flags, Loaded, load};
use crate::delivery::DeliveryMetrics;
use crate::discovery::TargetFailures;
use crate::sources::push::PushMetrics;
use crate::sources::syslog::{HostNames, SyslogMetrics};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::info::Info;
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
    pub(super) syslog: SyslogMetrics,
    pub(super) push: PushMetrics,
    pub(super) names: Arc<HostNames>,
    pub(super) reloads: Reloads,
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
        let reloads = Reloads::default();
        let clock = Arc::clone(&seams.clock);
        let parts = metrics.register_unprefixed(|registry| {
            let version = env!("CARGO_PKG_VERSION");
            let labels = vec![("version", version), ("revision", "unknown"), ("branch", "skald"), ("goversion", "none")];
            registry.register("promtail_build", "What runs", Info::new(labels));
            registry.register("promtail_config_reload_success", "Configurations that were taken while running", reloads.done.clone());
            registry.register("promtail_config_reload_fail", "Configurations that were refused while running", reloads.failed.clone());
            registry.register_collector(Box::new(PipelineMetrics { counters, custom, clock }));
            let (delivery, failures) = (DeliveryMetrics::register(registry), TargetFailures::register(registry));
            (delivery, failures, SyslogMetrics::register(registry), PushMetrics::register(registry))
        });
        let (delivery, failures, syslog, push) = parts;
        let names = Arc::new(HostNames::new(&seams));
        Arc::new(World { flags, seams, metrics, hostname, context, delivery, failures, syslog, push, names, reloads })
    }

    /// Reads the configuration that the command line names. Blocks on the disk.
    ///
    /// # Errors
    /// See [`load`].
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        load(&self.flags, &*self.seams.disk, &|name| std::env::var(name).ok())
    }
}
