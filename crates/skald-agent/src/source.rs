//! What a running source shows of itself.

use futures::future::BoxFuture;
use skald_pipeline::LabelSet;

/// A source of lines that runs: all file targets of a scrape config, a listener, a follower.
pub trait Source: Send + Sync + 'static {
    /// What it reads, for `/targets`, `/service-discovery` and `/ready`.
    fn status(&self) -> SourceStatus;
    /// Stops reading: what was read is offered, listeners are closed. Idempotent.
    fn stop(&self) -> BoxFuture<'static, ()>;
}

/// A look at a source.
#[derive(Debug, Clone, Default)]
pub struct SourceStatus {
    /// `job_name` of its scrape config.
    pub job: String,
    /// `file`, `journal`, `syslog`, `push`, `docker`.
    pub kind: &'static str,
    /// Whether it counts as ready by the rules of `/ready`.
    pub ready: bool,
    /// What is being read.
    pub active: Vec<TargetStatus>,
    /// What was found and is not read, with the reason; at most 100.
    pub dropped: Vec<TargetStatus>,
}

/// One target of a source.
#[derive(Debug, Clone, Default)]
pub struct TargetStatus {
    /// Labels as found, before relabeling.
    pub discovered: LabelSet,
    /// Labels after relabeling.
    pub labels: LabelSet,
    /// Why it is not read; empty for an active target.
    pub reason: String,
    /// Facts to show: path and offset, address, cursor.
    pub details: Vec<(String, String)>,
}
