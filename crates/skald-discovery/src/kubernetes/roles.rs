//! From objects to targets: one pure function for each role.

mod endpoints;
mod endpointslice;
mod ingress;
mod node;
mod pod;
mod service;

#[cfg(test)]
mod tests;

use super::labels::Labels;
use super::object::{Key, Kind, Object, Pod, TargetRef};
use super::objects::Objects;
use crate::LabelSet;
use crate::config::AttachMetadata;

/// What a role sees beside the object itself.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) objects: &'a Objects,
    pub(super) attach: AttachMetadata,
}

/// Targets that `object` stands for. Namespaces are no targets.
pub(super) fn targets(object: &Object, view: View<'_>) -> Vec<LabelSet> {
    let targets = match object {
        Object::Node(node) => node::targets(node),
        Object::Pod(pod) => pod::targets(pod, view),
        Object::Service(service) => service::targets(service, view),
        Object::Endpoints(endpoints) => endpoints::targets(endpoints, view),
        Object::EndpointSlice(slice) => endpointslice::targets(slice, view),
        Object::Ingress(ingress) => ingress::targets(ingress, view),
        Object::Namespace(_) => Vec::new(),
    };
    targets.into_iter().map(Labels::into_set).collect()
}

/// Whether the targets of `object` may change with the object of `other`, which is of another kind.
pub(super) fn depends(object: &Object, other: &Key) -> bool {
    match (object, other.kind) {
        // The caller offers objects of this namespace alone.
        (_, Kind::Namespace) => true,
        (Object::Pod(pod), Kind::Node) => pod.spec.node_name == other.name,
        (Object::Endpoints(endpoints), Kind::Service) => endpoints.metadata.name.as_deref() == Some(&other.name),
        (Object::Endpoints(endpoints), _) => {
            endpoints::addresses(endpoints).any(|(_, address, _)| concerned(address.target_ref.as_ref(), &address.node_name, other))
        }
        (Object::EndpointSlice(slice), Kind::Service) => endpointslice::service_name(slice) == Some(&other.name),
        (Object::EndpointSlice(slice), _) => {
            slice.endpoints.iter().any(|endpoint| concerned(endpoint.target_ref.as_ref(), &endpoint.node_name, other))
        }
        _ => false,
    }
}

/// Whether an endpoint leads to the pod or node `other`.
fn concerned(target: Option<&TargetRef>, node_name: &str, other: &Key) -> bool {
    match other.kind {
        Kind::Node => node_of(target, node_name) == Some(&other.name),
        Kind::Pod => target.is_some_and(|target| target.kind == "Pod" && target.name == other.name),
        _ => false,
    }
}

/// Name of the node that an endpoint is on, or is.
fn node_of<'a>(target: Option<&'a TargetRef>, node_name: &'a str) -> Option<&'a str> {
    let is_node = target.filter(|target| target.kind == "Node").map(|target| target.name.as_str());
    is_node.or(Some(node_name).filter(|name| !name.is_empty()))
}

impl<'a> View<'a> {
    /// `__meta_kubernetes_namespace`, and the labels of that namespace where they are asked for.
    fn namespace_labels(self, namespace: Option<&str>) -> Labels {
        let mut labels = Labels::default();
        let namespace = namespace.unwrap_or_default();
        labels.meta("namespace", namespace);
        if self.attach.namespace
            && let Some(Object::Namespace(object)) = self.objects.get(&Key::new(Kind::Namespace, "", namespace))
        {
            labels.metadata("namespace", &object.metadata);
        }
        labels
    }

    /// Labels of the node of that name, where they are asked for.
    fn node_labels(self, name: Option<&str>) -> Labels {
        match name.filter(|_| self.attach.node).and_then(|name| self.objects.get(&Key::new(Kind::Node, "", name))) {
            Some(Object::Node(node)) => node::labels(node),
            _ => Labels::default(),
        }
    }

    /// Labels of the service of that name, if there is one.
    fn service_labels(self, namespace: Option<&str>, name: Option<&str>) -> Labels {
        match name.and_then(|name| self.objects.get(&Key::new(Kind::Service, namespace.unwrap_or_default(), name))) {
            Some(Object::Service(service)) => service::labels(service),
            _ => Labels::default(),
        }
    }

    /// The pod that an endpoint leads to, if it is one that we know.
    fn pod(self, namespace: Option<&str>, target: Option<&TargetRef>) -> Option<&'a Pod> {
        let target = target.filter(|target| target.kind == "Pod")?;
        let namespace = if target.namespace.is_empty() { namespace.unwrap_or_default() } else { &target.namespace };
        match self.objects.get(&Key::new(Kind::Pod, namespace, &target.name)) {
            Some(Object::Pod(pod)) => Some(pod),
            _ => None,
        }
    }
}
