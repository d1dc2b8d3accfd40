//! Role `node`: one target for each node, at its kubelet.

use crate::kubernetes::labels::{Labels, sanitized};
use crate::kubernetes::object::Node;

/// Which of a node's addresses is taken, best first.
const ADDRESS_TYPES: [&str; 6] = ["InternalIP", "InternalDNS", "ExternalIP", "ExternalDNS", "LegacyHostIP", "Hostname"];

pub(super) fn targets(node: &Node) -> Vec<Labels> {
    let addresses = &node.status.addresses;
    let Some(address) = ADDRESS_TYPES.iter().find_map(|kind| addresses.iter().find(|address| address.kind == *kind)) else {
        return Vec::new();
    };
    let mut labels = labels(node);
    labels.address(&address.address, node.status.daemon_endpoints.kubelet_endpoint.port);
    labels.plain("instance", node.metadata.name.clone().unwrap_or_default());
    // Of several addresses of one type the first counts, and the later value stays.
    for address in addresses.iter().rev() {
        labels.meta(&format!("node_address_{}", sanitized(&address.kind)), address.address.as_str());
    }
    vec![labels]
}

/// What targets of other roles carry of their node.
pub(super) fn labels(node: &Node) -> Labels {
    let mut labels = Labels::default();
    labels.meta("node_name", node.metadata.name.clone().unwrap_or_default());
    labels.meta("node_provider_id", node.spec.provider_id.as_str());
    labels.metadata("node", &node.metadata);
    for condition in &node.status.conditions {
        labels.meta(&format!("node_condition_{}", sanitized(&condition.kind)), condition.status.to_lowercase());
    }
    labels
}
