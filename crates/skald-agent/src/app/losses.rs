use crate::batcher::{DropReason, Losses};
use crate::delivery::DeliveryMetrics;
use std::sync::Arc;

/// Counts what limits of the agent itself take away as lost to every client.
pub(super) struct ClientLosses {
    /// Host of each client, and its own tenant.
    pub(super) clients: Vec<(String, String)>,
    pub(super) metrics: Arc<DeliveryMetrics>,
}

impl Losses for ClientLosses {
    fn dropped(&self, tenant: Option<&str>, reason: DropReason, entries: u64, bytes: u64) {
        for (host, own) in &self.clients {
            self.metrics.dropped_by_agent(host, tenant.unwrap_or(own), reason.as_str(), entries, bytes);
        }
    }

    fn mutated(&self, tenant: Option<&str>, reason: DropReason, entries: u64, bytes: u64) {
        for (host, own) in &self.clients {
            self.metrics.mutated_by_agent(host, tenant.unwrap_or(own), reason.as_str(), entries, bytes);
        }
    }
}
