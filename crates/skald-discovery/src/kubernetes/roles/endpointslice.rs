//! Role `endpointslice`: one target for each address and port of a slice, and for the ports of the pods behind them that no endpoint names.

use super::View;
use super::endpoints::{Behind, PodPorts, join};
use crate::kubernetes::labels::{Labels, sanitized};
use crate::kubernetes::object::{EndpointSlice, SliceEndpoint, SlicePort};

/// Label of a slice that names its service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

pub(super) fn targets(slice: &EndpointSlice, view: View<'_>) -> Vec<Labels> {
    let metadata = &slice.metadata;
    let namespace = metadata.namespace.as_deref();
    let mut common = view.namespace_labels(namespace);
    common.meta("endpointslice_name", metadata.name.clone().unwrap_or_default());
    common.meta("endpointslice_address_type", slice.address_type.as_str());
    common.metadata("endpointslice", metadata);
    common.extend(&view.service_labels(namespace, service_name(slice).map(String::as_str)));

    let mut targets = Vec::new();
    let mut pods = PodPorts::default();
    for endpoint in &slice.endpoints {
        let of_endpoint = endpoint_labels(&common, endpoint);
        for port in &slice.ports {
            for address in &endpoint.addresses {
                let mut labels = of_endpoint.clone();
                place(&mut labels, address, port);
                let behind = Behind { target: endpoint.target_ref.as_ref(), node_name: &endpoint.node_name, port: port.port };
                join(&mut labels, view, namespace, behind, &mut pods);
                targets.push(labels);
            }
        }
    }
    targets.extend(pods.other_ports(&common, view));
    targets
}

/// The service that a slice belongs to.
pub(super) fn service_name(slice: &EndpointSlice) -> Option<&String> {
    slice.metadata.labels.as_ref()?.get(SERVICE_NAME)
}

fn endpoint_labels(common: &Labels, endpoint: &SliceEndpoint) -> Labels {
    let mut labels = common.clone();
    let conditions = &endpoint.conditions;
    for (name, value) in [("ready", conditions.ready), ("serving", conditions.serving), ("terminating", conditions.terminating)] {
        if let Some(value) = value {
            labels.meta(&format!("endpointslice_endpoint_conditions_{name}"), value.to_string());
        }
    }
    labels.meta_if_any("endpointslice_endpoint_hostname", &endpoint.hostname);
    labels.meta_if_any("endpointslice_endpoint_node_name", &endpoint.node_name);
    labels.meta_if_any("endpointslice_endpoint_zone", &endpoint.zone);
    if let Some(target) = &endpoint.target_ref {
        labels.meta("endpointslice_address_target_kind", target.kind.as_str());
        labels.meta("endpointslice_address_target_name", target.name.as_str());
    }
    for (name, value) in &endpoint.deprecated_topology {
        let name = sanitized(name);
        labels.meta(&format!("endpointslice_endpoint_topology_{name}"), value.as_str());
        labels.meta(&format!("endpointslice_endpoint_topology_present_{name}"), "true");
    }
    labels
}

/// `__address__` and the labels of the port.
fn place(labels: &mut Labels, address: &str, port: &SlicePort) {
    match port.port {
        Some(number) => {
            labels.address(address, number);
            labels.meta("endpointslice_port", number.to_string());
        }
        None => labels.plain("__address__", address),
    }
    labels.meta("endpointslice_port_name", port.name.as_str());
    labels.meta("endpointslice_port_protocol", port.protocol.0.as_str());
    labels.meta_if_any("endpointslice_port_app_protocol", &port.app_protocol);
}
