//! Discovery against a real API server. `make kubernetes` builds one and runs this.
#![allow(clippy::disallowed_methods, reason = "a real server has real files, sockets and times")]

mod api_server;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api_server::ApiServer;
use k8s_openapi::api::core::v1::{Endpoints, Namespace, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use skald_discovery::config::{AttachMetadata, KubernetesSdConfig, Role};
use skald_discovery::{Discovery, DiscoveryStats, KubernetesDiscovery, KubernetesSeams, Update};
use skald_runtime::{OsRandom, StdDisk, SystemClock};

/// A discovery, and the groups that it told, by their sources.
struct Subject {
    discovery: KubernetesDiscovery,
    stats: Arc<DiscoveryStats>,
    groups: BTreeMap<String, Vec<BTreeMap<String, String>>>,
}

impl Subject {
    /// Begins, and takes in what is there.
    async fn synced(config: &KubernetesSdConfig) -> Self {
        let mut subject = Self::new(config).await;
        while !subject.take().await {}
        subject
    }

    async fn new(config: &KubernetesSdConfig) -> Self {
        let stats = Arc::new(DiscoveryStats::default());
        let seams = KubernetesSeams {
            clock: Arc::new(SystemClock::new()),
            random: Arc::new(OsRandom::new().expect("randomness")),
            disk: Arc::new(StdDisk),
        };
        let discovery = KubernetesDiscovery::connect(config, "n1", seams, stats.clone()).await.expect("a discovery");
        Subject { discovery, stats, groups: BTreeMap::new() }
    }

    /// Takes in one update; whether it was `Synced`.
    async fn take(&mut self) -> bool {
        match tokio::time::timeout(Duration::from_secs(60), self.discovery.next()).await.expect("an update within a minute") {
            Update::Synced => return true,
            Update::Group(group) if group.targets.is_empty() => drop(self.groups.remove(&group.source)),
            Update::Group(group) => {
                let targets = group.targets.into_iter().map(|labels| labels.into_iter().collect()).collect();
                self.groups.insert(group.source, targets);
            }
        }
        false
    }

    async fn until(&mut self, wanted: impl Fn(&Self) -> bool) {
        while !wanted(self) {
            self.take().await;
        }
    }

    fn sources(&self) -> Vec<&str> {
        self.groups.keys().map(String::as_str).collect()
    }

    /// The label of the group's target of that number; without the prefix, unless there is one of exactly this name.
    fn label(&self, source: &str, target: usize, name: &str) -> &str {
        let labels = &self.groups[source][target];
        labels.get(name).or_else(|| labels.get(&format!("__meta_kubernetes_{name}"))).map_or("", String::as_str)
    }

    #[track_caller]
    fn has(&self, source: &str, target: usize, want: &[(&str, &str)]) {
        for (name, value) in want {
            assert_eq!(self.label(source, target, name), *value, "{name} of {:#?}", self.groups[source]);
        }
    }
}

async fn create<K>(api: Api<K>, object: Value) -> K
where
    K: kube::Resource + serde::Serialize + serde::de::DeserializeOwned + Clone + std::fmt::Debug,
{
    let object: K = serde_json::from_value(object).expect("an object");
    api.create(&PostParams::default(), &object).await.expect("the server takes it")
}

async fn create_pod(client: &Client, name: &str, node: &str) {
    let pods: Api<Pod> = Api::namespaced(client.clone(), "shop");
    let pod = json!({
        "metadata": {"name": name, "labels": {"app": name}, "annotations": {"example.org/note": "x"}},
        "spec": {
            "nodeName": node,
            "initContainers": [{"name": "prepare", "image": "prepare:1"}],
            "containers": [{"name": "app", "image": "app:1", "ports": [{"name": "http", "containerPort": 8080}]}],
        },
    });
    create(pods.clone(), pod).await;
    let status = json!({"status": {
        "phase": "Running", "podIP": "10.1.0.1", "podIPs": [{"ip": "10.1.0.1"}], "hostIP": "192.168.0.1", "hostIPs": [{"ip": "192.168.0.1"}],
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [
            {"name": "app", "containerID": "containerd://abc", "image": "app:1", "imageID": "i", "ready": true, "restartCount": 0},
        ],
    }});
    pods.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.expect("the server takes it");
}

async fn fill(client: &Client) {
    let spaced = |object: Value| {
        let mut object = object;
        object["metadata"]["namespace"] = json!("shop");
        object
    };
    create::<Namespace>(Api::all(client.clone()), json!({"metadata": {"name": "shop", "labels": {"team": "blue"}}})).await;
    let nodes: Api<Node> = Api::all(client.clone());
    create(nodes.clone(), json!({"metadata": {"name": "n1", "labels": {"zone": "a"}}, "spec": {"providerID": "metal://n1"}})).await;
    let status = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": "192.168.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "conditions": [{"type": "Ready", "status": "True"}],
    }});
    nodes.patch_status("n1", &PatchParams::default(), &Patch::Merge(status)).await.expect("the server takes it");
    create_pod(client, "web", "n1").await;
    create_pod(client, "elsewhere", "n2").await;
    let service = json!({"metadata": {"name": "web", "labels": {"tier": "front"}}, "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}]}});
    create::<Service>(Api::namespaced(client.clone(), "shop"), spaced(service)).await;
    let target = json!({"kind": "Pod", "name": "web", "namespace": "shop"});
    let slice = json!({
        "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}}, "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.1.0.1"], "conditions": {"ready": true}, "nodeName": "n1", "zone": "a", "targetRef": target}],
        "ports": [{"name": "http", "port": 8080}],
    });
    create::<EndpointSlice>(Api::namespaced(client.clone(), "shop"), spaced(slice)).await;
    let endpoints = json!({
        "metadata": {"name": "web"},
        "subsets": [{"addresses": [{"ip": "10.1.0.1", "nodeName": "n1", "targetRef": target}], "ports": [{"name": "http", "port": 8080}]}],
    });
    create::<Endpoints>(Api::namespaced(client.clone(), "shop"), spaced(endpoints)).await;
    let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
    let rule = json!({"host": "shop.example.org", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}});
    let ingress = json!({"metadata": {"name": "web"}, "spec": {"ingressClassName": "nginx", "tls": [{"hosts": ["shop.example.org"]}], "rules": [rule]}});
    create::<Ingress>(Api::namespaced(client.clone(), "shop"), spaced(ingress)).await;
}

#[tokio::test]
#[ignore = "needs a real API server: make kubernetes"]
async fn targets_follow_a_real_api_server() {
    let mut server = ApiServer::start().await;
    let client = server.client().await;
    fill(&client).await;
    every_role_has_its_targets(&server).await;
    credentials_are_taken_from_wherever_they_are(&server).await;
    pods_come_and_go(&mut server).await;
}

async fn every_role_has_its_targets(server: &ApiServer) {
    let attach_metadata = AttachMetadata { node: true, namespace: true, ..AttachMetadata::default() };
    let with = |role| KubernetesSdConfig { attach_metadata, ..server.by_token(role) };

    let pods = Subject::synced(&with(Role::Pod)).await;
    assert_eq!(pods.sources(), ["pod/shop/web"]);
    let pod = [
        ("namespace", "shop"),
        ("pod_name", "web"),
        ("pod_label_app", "web"),
        ("pod_annotation_example_org_note", "x"),
        ("pod_ready", "true"),
        ("pod_phase", "Running"),
        ("pod_node_name", "n1"),
        ("pod_host_ip", "192.168.0.1"),
        ("node_label_zone", "a"),
        ("namespace_label_team", "blue"),
    ];
    let container = [("__address__", "10.1.0.1:8080"), ("pod_container_name", "app"), ("pod_container_id", "containerd://abc")];
    pods.has("pod/shop/web", 0, &[&pod[..], &container].concat());
    let init = [("__address__", "10.1.0.1"), ("pod_container_name", "prepare"), ("pod_container_init", "true")];
    pods.has("pod/shop/web", 1, &[&pod[..], &init].concat());
    assert_eq!(pods.label("pod/shop/web", 0, "pod_uid").len(), 36);

    let nodes = Subject::synced(&with(Role::Node)).await;
    nodes.has("node/n1", 0, &[("__address__", "192.168.0.1:10250"), ("instance", "n1"), ("node_provider_id", "metal://n1")]);

    let services = Subject::synced(&with(Role::Service)).await;
    services.has(
        "service/shop/web",
        0,
        &[("__address__", "web.shop.svc:80"), ("service_type", "ClusterIP"), ("service_label_tier", "front")],
    );
    assert!(services.label("service/shop/web", 0, "service_cluster_ip").starts_with("10.96."));

    let joined = [("__address__", "10.1.0.1:8080"), ("service_label_tier", "front"), ("pod_label_app", "web"), ("node_label_zone", "a")];
    let slices = Subject::synced(&with(Role::EndpointSlice)).await;
    slices.has("endpointslice/shop/web-1", 0, &joined);
    slices.has("endpointslice/shop/web-1", 0, &[("endpointslice_endpoint_conditions_ready", "true"), ("endpointslice_port", "8080")]);
    let endpoints = Subject::synced(&with(Role::Endpoints)).await;
    endpoints.has("endpoints/shop/web", 0, &joined);
    endpoints.has("endpoints/shop/web", 0, &[("endpoint_ready", "true"), ("endpoint_port_name", "http")]);

    let ingresses = Subject::synced(&with(Role::Ingress)).await;
    ingresses.has(
        "ingress/shop/web",
        0,
        &[("__address__", "shop.example.org"), ("ingress_scheme", "https"), ("ingress_class_name", "nginx")],
    );
    for subject in [&pods, &nodes, &services, &slices, &endpoints, &ingresses] {
        assert_eq!(subject.stats.failures(), 0);
    }
}

async fn credentials_are_taken_from_wherever_they_are(server: &ApiServer) {
    for config in [server.by_inline_certificate(Role::Pod), server.by_certificate_files(Role::Pod), server.by_certificate(Role::Pod)] {
        let subject = Subject::synced(&config).await;
        assert_eq!((subject.sources(), subject.stats.failures()), (vec!["pod/shop/web"], 0));
    }
    // A token that the server does not know (any more) is read again before each attempt.
    server.write_token("unknown");
    let mut subject = Subject::new(&server.by_token(Role::Pod)).await;
    let stats = subject.stats.clone();
    let rotate = async {
        while stats.failures() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server.write_token(api_server::TOKEN);
    };
    futures::join!(rotate, subject.until(|subject| !subject.groups.is_empty()));
    assert_eq!(subject.sources(), ["pod/shop/web"]);
}

async fn pods_come_and_go(server: &mut ApiServer) {
    let pods: Api<Pod> = Api::namespaced(server.client().await, "shop");
    let mut subject = Subject::synced(&server.by_certificate(Role::Pod)).await;
    assert_eq!(subject.sources(), ["pod/shop/web"]);

    create_pod(&server.client().await, "second", "n1").await;
    subject.until(|subject| subject.groups.contains_key("pod/shop/second")).await;
    let label = json!({"metadata": {"labels": {"app": "renamed"}}});
    pods.patch("second", &PatchParams::default(), &Patch::Merge(label)).await.expect("the server takes it");
    subject.until(|subject| subject.label("pod/shop/second", 0, "pod_label_app") == "renamed").await;
    pods.delete("second", &DeleteParams::default().grace_period(0)).await.expect("the server takes it");
    subject.until(|subject| !subject.groups.contains_key("pod/shop/second")).await;

    // While the server is away what is known stays; then everything that happened is told.
    let updates = subject.stats.updates();
    server.stop();
    let stats = subject.stats.clone();
    let away = async {
        while stats.failures() < 2 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(stats.updates(), updates);
        server.start_again().await;
        create_pod(&server.client().await, "third", "n1").await;
    };
    futures::join!(away, subject.until(|subject| subject.groups.contains_key("pod/shop/third")));
    assert_eq!(subject.sources(), ["pod/shop/third", "pod/shop/web"]);

    // What is gone when it comes back is told as well, by a new list or by the watch.
    pods.delete("third", &DeleteParams::default().grace_period(0)).await.expect("the server takes it");
    server.stop();
    let away = async {
        server.start_again().await;
    };
    futures::join!(away, subject.until(|subject| !subject.groups.contains_key("pod/shop/third")));
    assert_eq!(subject.sources(), ["pod/shop/web"]);
}
