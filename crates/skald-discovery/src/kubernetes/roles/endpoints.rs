//! Role `endpoints`: one target for each address and port of an Endpoints object, and for the ports of the pods behind them that no address names.

use super::{View, node_of, pod};
use crate::kubernetes::labels::Labels;
use crate::kubernetes::object::{Address, EndpointPort, Endpoints, Pod, Subset, TargetRef};

pub(super) fn targets(endpoints: &Endpoints, view: View<'_>) -> Vec<Labels> {
    let metadata = &endpoints.metadata;
    let (namespace, name) = (metadata.namespace.as_deref(), metadata.name.as_deref());
    let mut common = view.namespace_labels(namespace);
    common.meta("endpoints_name", name.unwrap_or_default());
    common.metadata("endpoints", metadata);
    common.extend(&view.service_labels(namespace, name));

    let mut targets = Vec::new();
    let mut pods = PodPorts::default();
    for (subset, address, ready) in addresses(endpoints) {
        let of_address = address_labels(&common, address, ready);
        for port in &subset.ports {
            let mut labels = of_address.clone();
            labels.address(&address.ip, port.port);
            labels.meta("endpoint_port_name", port.name.as_str());
            labels.meta("endpoint_port_protocol", port.protocol.0.as_str());
            join(&mut labels, view, namespace, Behind::of(address, port), &mut pods);
            targets.push(labels);
        }
    }
    targets.extend(pods.other_ports(&common, view));
    targets
}

/// All addresses with their subset, and whether they are ready.
pub(super) fn addresses(endpoints: &Endpoints) -> impl Iterator<Item = (&Subset, &Address, bool)> {
    endpoints.subsets.iter().flat_map(|subset| {
        let ready = subset.addresses.iter().map(move |address| (subset, address, true));
        ready.chain(subset.not_ready_addresses.iter().map(move |address| (subset, address, false)))
    })
}

fn address_labels(common: &Labels, address: &Address, ready: bool) -> Labels {
    let mut labels = common.clone();
    labels.meta("endpoint_ready", ready.to_string());
    labels.meta_if_any("endpoint_hostname", &address.hostname);
    labels.meta_if_any("endpoint_node_name", &address.node_name);
    if let Some(target) = &address.target_ref {
        labels.meta("endpoint_address_target_kind", target.kind.as_str());
        labels.meta("endpoint_address_target_name", target.name.as_str());
    }
    labels
}

/// What an endpoint leads to.
#[derive(Clone, Copy)]
pub(super) struct Behind<'a> {
    pub(super) target: Option<&'a TargetRef>,
    pub(super) node_name: &'a str,
    pub(super) port: Option<i32>,
}

impl<'a> Behind<'a> {
    fn of(address: &'a Address, port: &EndpointPort) -> Self {
        Behind { target: address.target_ref.as_ref(), node_name: &address.node_name, port: Some(port.port) }
    }
}

/// Adds the labels of the node and of the pod behind an endpoint, and of the container whose port it is.
pub(super) fn join<'a>(labels: &mut Labels, view: View<'a>, namespace: Option<&str>, behind: Behind<'_>, pods: &mut PodPorts<'a>) {
    labels.extend(&view.node_labels(node_of(behind.target, behind.node_name)));
    let Some(pod) = view.pod(namespace, behind.target) else { return };
    labels.extend(&pod::labels(pod, view.attach));
    let ports = pod::containers(pod).flat_map(|(container, is_init)| container.ports.iter().map(move |port| (container, is_init, port)));
    if let Some((container, is_init, port)) = ports.into_iter().find(|(_, _, port)| Some(port.container_port) == behind.port) {
        labels.extend(&pod::container_labels(pod, container, is_init));
        labels.extend(&pod::port_labels(port));
    }
    pods.note(pod, behind.port);
}

/// The pods behind the endpoints of one object, and which of their ports the endpoints name.
#[derive(Default)]
pub(super) struct PodPorts<'a>(Vec<(&'a Pod, Vec<i32>)>);

impl<'a> PodPorts<'a> {
    fn note(&mut self, pod: &'a Pod, port: Option<i32>) {
        let place = self.0.iter().position(|(known, _)| std::ptr::eq(*known, pod)).unwrap_or_else(|| {
            self.0.push((pod, Vec::new()));
            self.0.len() - 1
        });
        self.0[place].1.extend(port);
    }

    /// Targets for the declared ports that no endpoint names.
    pub(super) fn other_ports(self, common: &Labels, view: View<'_>) -> Vec<Labels> {
        let mut targets = Vec::new();
        for (pod, named) in self.0 {
            if pod.status.pod_ip.is_empty() {
                continue;
            }
            for (container, is_init) in pod::containers(pod) {
                for port in container.ports.iter().filter(|port| !named.contains(&port.container_port)) {
                    let mut labels = common.clone();
                    labels.address(&pod.status.pod_ip, port.container_port);
                    labels.extend(&view.node_labels(Some(&pod.spec.node_name)));
                    labels.extend(&pod::labels(pod, view.attach));
                    labels.extend(&pod::container_labels(pod, container, is_init));
                    labels.extend(&pod::port_labels(port));
                    targets.push(labels);
                }
            }
        }
        targets
    }
}
