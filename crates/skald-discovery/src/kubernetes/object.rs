//! The parts of Kubernetes' objects that labels are made of. Everything else of an object is skipped as it is read.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use serde::{Deserialize, Deserializer};

use crate::config::null_as_default;

/// Kinds of objects that are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Node,
    Namespace,
    Pod,
    Service,
    Endpoints,
    EndpointSlice,
    Ingress,
}

impl Kind {
    /// What the source of a group begins with.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Namespace => "namespace",
            Self::Pod => "pod",
            Self::Service => "service",
            Self::Endpoints => "endpoints",
            Self::EndpointSlice => "endpointslice",
            Self::Ingress => "ingress",
        }
    }

    /// Whether its objects live in namespaces.
    pub(super) fn namespaced(self) -> bool {
        !matches!(self, Self::Node | Self::Namespace)
    }
}

/// Which object. Ordered by kind, then namespace (empty for kinds without), then name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) kind: Kind,
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Key {
    pub(super) fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Key { kind, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// Unique among all objects of a role: `pod/namespace/name`, `node/name`.
    pub(super) fn source(&self) -> String {
        match self.kind.namespaced() {
            true => format!("{}/{}/{}", self.kind.name(), self.namespace, self.name),
            false => format!("{}/{}", self.kind.name(), self.name),
        }
    }
}

/// A kind that can be watched.
pub(super) trait Observed:
    kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static
{
    const KIND: Kind;

    fn into_object(self) -> Object;

    fn key(&self) -> Key {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Key { kind: Self::KIND, namespace: text(&self.meta().namespace), name: text(&self.meta().name) }
    }
}

/// Any of them.
#[derive(Debug, Clone)]
pub(super) enum Object {
    Node(Node),
    Namespace(Namespace),
    Pod(Pod),
    Service(Service),
    Endpoints(Endpoints),
    EndpointSlice(EndpointSlice),
    Ingress(Ingress),
}

/// Gives a struct the derives, the metadata and the place in the API that make it a kind.
macro_rules! kind {
    ($name:ident in $group:literal $plural:literal $scope:ident { $($field:ident: $type:ty),* $(,)? }) => {
        #[derive(Debug, Clone, Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        pub(super) struct $name {
            #[serde(deserialize_with = "slim_metadata")]
            pub(super) metadata: ObjectMeta,
            $(#[serde(deserialize_with = "null_as_default")] pub(super) $field: $type,)*
        }

        impl kube::Resource for $name {
            type DynamicType = ();
            type Scope = $scope;

            fn kind(_: &()) -> Cow<'_, str> {
                stringify!($name).into()
            }
            fn group(_: &()) -> Cow<'_, str> {
                $group.into()
            }
            fn version(_: &()) -> Cow<'_, str> {
                "v1".into()
            }
            fn plural(_: &()) -> Cow<'_, str> {
                $plural.into()
            }
            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }
            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }

        impl Observed for $name {
            const KIND: Kind = Kind::$name;

            fn into_object(self) -> Object {
                Object::$name(self)
            }
        }
    };
}

/// Gives a part of a kind its derives; a key without a value has its default.
macro_rules! part {
    ($($name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty),* $(,)? })*) => {$(
        #[derive(Debug, Clone, Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        pub(super) struct $name {
            $(#[serde(deserialize_with = "null_as_default")] $(#[$attribute])* pub(super) $field: $type,)*
        }
    )*};
}

kind!(Node in "" "nodes" ClusterResourceScope { spec: NodeSpec, status: NodeStatus });
kind!(Namespace in "" "namespaces" ClusterResourceScope {});
kind!(Pod in "" "pods" NamespaceResourceScope { spec: PodSpec, status: PodStatus });
kind!(Service in "" "services" NamespaceResourceScope { spec: ServiceSpec });
kind!(Endpoints in "" "endpoints" NamespaceResourceScope { subsets: Vec<Subset> });
kind!(EndpointSlice in "discovery.k8s.io" "endpointslices" NamespaceResourceScope {
    address_type: String,
    endpoints: Vec<SliceEndpoint>,
    ports: Vec<SlicePort>,
});
kind!(Ingress in "networking.k8s.io" "ingresses" NamespaceResourceScope { spec: IngressSpec });

part! {
    NodeSpec { #[serde(rename = "providerID")] provider_id: String }
    NodeStatus { addresses: Vec<NodeAddress>, conditions: Vec<Condition>, daemon_endpoints: DaemonEndpoints }
    NodeAddress { #[serde(rename = "type")] kind: String, address: String }
    Condition { #[serde(rename = "type")] kind: String, status: String }
    DaemonEndpoints { kubelet_endpoint: KubeletEndpoint }
    KubeletEndpoint { #[serde(rename = "Port")] port: i32 }

    PodSpec { node_name: String, containers: Vec<Container>, init_containers: Vec<Container> }
    Container { name: String, image: String, ports: Vec<ContainerPort> }
    ContainerPort { name: String, container_port: i32, protocol: Protocol }
    PodStatus {
        phase: String,
        #[serde(rename = "podIP")] pod_ip: String,
        #[serde(rename = "hostIP")] host_ip: String,
        conditions: Vec<Condition>,
        container_statuses: Vec<ContainerStatus>,
        init_container_statuses: Vec<ContainerStatus>,
    }
    ContainerStatus { name: String, #[serde(rename = "containerID")] container_id: String }

    ServiceSpec {
        #[serde(rename = "type")] kind: String,
        #[serde(rename = "clusterIP")] cluster_ip: String,
        external_name: String,
        #[serde(rename = "loadBalancerIP")] load_balancer_ip: String,
        ports: Vec<ServicePort>,
    }
    ServicePort { name: String, port: i32, protocol: Protocol }

    Subset { addresses: Vec<Address>, not_ready_addresses: Vec<Address>, ports: Vec<EndpointPort> }
    Address { ip: String, hostname: String, node_name: String, target_ref: Option<TargetRef> }
    TargetRef { kind: String, namespace: String, name: String }
    EndpointPort { name: String, port: i32, protocol: Protocol }

    SliceEndpoint {
        addresses: Vec<String>,
        conditions: SliceConditions,
        hostname: String,
        node_name: String,
        zone: String,
        target_ref: Option<TargetRef>,
        deprecated_topology: BTreeMap<String, String>,
    }
    SliceConditions { ready: Option<bool>, serving: Option<bool>, terminating: Option<bool> }
    SlicePort { name: String, port: Option<i32>, protocol: Protocol, app_protocol: String }

    IngressSpec { ingress_class_name: String, tls: Vec<IngressTls>, rules: Vec<IngressRule> }
    IngressTls { hosts: Vec<String> }
    IngressRule { host: String, http: Option<IngressHttp> }
    IngressHttp { paths: Vec<IngressPath> }
    IngressPath { path: String }
}

/// Protocol of a port: what says nothing is TCP.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct Protocol(pub(super) String);

impl Default for Protocol {
    fn default() -> Self {
        Protocol("TCP".to_owned())
    }
}

/// Metadata without what nobody asks for; the record of who changed which field is often larger than the rest of the object.
fn slim_metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Slim {
        name: Option<String>,
        namespace: Option<String>,
        uid: Option<String>,
        resource_version: Option<String>,
        labels: Option<BTreeMap<String, String>>,
        annotations: Option<BTreeMap<String, String>>,
        owner_references: Option<Vec<OwnerReference>>,
    }
    let slim = Slim::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name: slim.name,
        namespace: slim.namespace,
        uid: slim.uid,
        resource_version: slim.resource_version,
        labels: slim.labels,
        annotations: slim.annotations,
        owner_references: slim.owner_references,
        ..ObjectMeta::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_no_label_is_made_of_is_not_kept() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "resourceVersion": "3", "managedFields": [{"manager": "m", "fieldsV1": {"f:spec": {}}}], "generation": 2},
            "spec": {"containers": [{"name": "c", "env": [{"name": "A", "value": "B"}]}], "volumes": [{}]},
        }))
        .unwrap();
        assert_eq!(pod.metadata.managed_fields, None);
        assert_eq!(pod.metadata.generation, None);
        assert_eq!(pod.metadata.resource_version.as_deref(), Some("3"));
        assert_eq!(pod.key().source(), "pod/n/p");
    }

    #[test]
    fn paths_of_the_api() {
        fn path<K: Observed>() -> String {
            K::url_path(&(), Some("n").filter(|_| K::KIND.namespaced()))
        }
        let paths = [
            path::<Pod>(),
            path::<Node>(),
            path::<Namespace>(),
            path::<Service>(),
            path::<Endpoints>(),
            path::<EndpointSlice>(),
            path::<Ingress>(),
        ];
        assert_eq!(
            paths,
            [
                "/api/v1/namespaces/n/pods",
                "/api/v1/nodes",
                "/api/v1/namespaces",
                "/api/v1/namespaces/n/services",
                "/api/v1/namespaces/n/endpoints",
                "/apis/discovery.k8s.io/v1/namespaces/n/endpointslices",
                "/apis/networking.k8s.io/v1/namespaces/n/ingresses",
            ]
        );
    }
}
