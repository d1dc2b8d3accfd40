//! Role `service`: one target for each port of a service, at its name in the cluster's DNS.

use super::View;
use crate::kubernetes::labels::Labels;
use crate::kubernetes::object::Service;

pub(super) fn targets(service: &Service, view: View<'_>) -> Vec<Labels> {
    let (spec, metadata) = (&service.spec, &service.metadata);
    let mut common = view.namespace_labels(metadata.namespace.as_deref());
    common.extend(&labels(service));
    common.meta("service_type", spec.kind.as_str());
    match spec.kind.as_str() {
        "ExternalName" => common.meta("service_external_name", spec.external_name.as_str()),
        _ => common.meta("service_cluster_ip", spec.cluster_ip.as_str()),
    }
    if spec.kind == "LoadBalancer" {
        common.meta("service_loadbalancer_ip", spec.load_balancer_ip.as_str());
    }
    let host = format!("{}.{}.svc", metadata.name.as_deref().unwrap_or_default(), metadata.namespace.as_deref().unwrap_or_default());
    let target = |port: &crate::kubernetes::object::ServicePort| {
        let mut labels = common.clone();
        labels.address(&host, port.port);
        labels.meta("service_port_name", port.name.as_str());
        labels.meta("service_port_number", port.port.to_string());
        labels.meta("service_port_protocol", port.protocol.0.as_str());
        labels
    };
    spec.ports.iter().map(target).collect()
}

/// What targets of other roles carry of their service.
pub(super) fn labels(service: &Service) -> Labels {
    let mut labels = Labels::default();
    labels.meta("service_name", service.metadata.name.clone().unwrap_or_default());
    labels.metadata("service", &service.metadata);
    labels
}
