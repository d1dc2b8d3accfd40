use crate::process::ProcessMetrics;
use parking_lot::Mutex;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::sync::Arc;

/// Content type of what [`Metrics::encode`] gives.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics of the process: those of its parts, under the prefix `skald`, and those of the process itself. A cheap handle.
#[derive(Clone)]
pub struct Metrics(Arc<Mutex<Registries>>);

struct Registries {
    skald: Registry,
    process: Registry,
}

impl Metrics {
    /// The metrics of a new process that runs `service`.
    pub fn new(service: &'static str) -> Self {
        let (mut skald, mut process) = (Registry::with_prefix("skald"), Registry::default());
        let labels = vec![("version", env!("CARGO_PKG_VERSION")), ("revision", revision()), ("service", service)];
        skald.register("build", "What runs", Info::new(labels));
        process.register_collector(Box::new(ProcessMetrics));
        Metrics(Arc::new(Mutex::new(Registries { skald, process })))
    }

    /// Lets a part register its metrics; their names get the prefix `skald`, those of counters the suffix `_total`.
    pub fn register<T>(&self, with: impl FnOnce(&mut Registry) -> T) -> T {
        with(&mut self.0.lock().skald)
    }

    /// Lets a part register metrics that others know under their whole names: these get no prefix.
    pub fn register_unprefixed<T>(&self, with: impl FnOnce(&mut Registry) -> T) -> T {
        with(&mut self.0.lock().process)
    }

    /// All metrics as OpenMetrics text.
    pub fn encode(&self) -> String {
        let registries = self.0.lock();
        let mut out = String::new();
        encode_registry(&mut out, &registries.skald)
            .and_then(|()| encode_registry(&mut out, &registries.process))
            .and_then(|()| encode_eof(&mut out))
            .expect("writing to a string succeeds");
        out
    }
}

/// Commit that this was built from, where the build said so.
pub(crate) fn revision() -> &'static str {
    option_env!("SKALD_REVISION").unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::metrics::counter::Counter;

    #[test]
    fn metrics_of_parts_have_the_prefix_and_those_of_the_process_do_not() {
        let metrics = Metrics::new("test");
        let counter = Counter::<u64>::default();
        metrics.register(|registry| registry.register("things", "Things", counter.clone()));
        counter.inc_by(3);
        metrics.register_unprefixed(|registry| registry.register("others_things", "Things", counter.clone()));
        let text = metrics.encode();
        assert!(text.contains("skald_things_total 3"), "{text}");
        assert!(text.contains("\nothers_things_total 3"), "{text}");
        let build = format!("skald_build_info{{version=\"{}\",revision=\"unknown\",service=\"test\"}} 1", env!("CARGO_PKG_VERSION"));
        assert!(text.contains(&build), "{text}");
        assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
