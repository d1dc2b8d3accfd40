use serde_json::{Value, json};

use super::*;
use crate::kubernetes::object::{EndpointSlice, Endpoints, Ingress, Namespace, Node, Observed, Pod, Service};

fn object(json: Value) -> (Key, Object) {
    fn read<K: Observed>(json: Value) -> (Key, Object) {
        let object: K = serde_json::from_value(json).expect("an object");
        (object.key(), object.into_object())
    }
    match json["kind"].as_str().expect("a kind") {
        "Pod" => read::<Pod>(json),
        "Node" => read::<Node>(json),
        "Service" => read::<Service>(json),
        "Endpoints" => read::<Endpoints>(json),
        "EndpointSlice" => read::<EndpointSlice>(json),
        "Ingress" => read::<Ingress>(json),
        "Namespace" => read::<Namespace>(json),
        other => panic!("{other}"),
    }
}

/// Labels by their names without the prefix, of each target of `of`, which sees `others`.
fn labels_of(of: Value, others: &[Value], attach: AttachMetadata) -> Vec<Vec<(String, String)>> {
    let objects: Objects = others.iter().cloned().map(object).collect();
    let targets = targets(&object(of).1, View { objects: &objects, attach });
    let short = |name: String| name.strip_prefix("__meta_kubernetes_").map(str::to_owned).unwrap_or(name);
    let shortened = |labels: LabelSet| {
        let mut labels: Vec<_> = labels.into_iter().map(|(name, value)| (short(name), value)).collect();
        labels.sort();
        labels
    };
    targets.into_iter().map(shortened).collect()
}

/// The targets have exactly these labels.
#[track_caller]
fn check(of: Value, others: &[Value], attach: AttachMetadata, want: &[&[(&str, &str)]]) {
    let got = labels_of(of, others, attach);
    assert_eq!(got.len(), want.len(), "{got:#?}");
    for (got, want) in got.iter().zip(want) {
        let mut want: Vec<(String, String)> = want.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        want.sort();
        assert_eq!(got, &want);
    }
}

/// The targets have these labels among others; an empty value means that there is none of that name.
#[track_caller]
fn check_some(of: Value, others: &[Value], attach: AttachMetadata, want: &[&[(&str, &str)]]) {
    let got = labels_of(of, others, attach);
    assert_eq!(got.len(), want.len(), "{got:#?}");
    for (got, want) in got.iter().zip(want) {
        for (name, value) in *want {
            let found = got.iter().find(|(label, _)| label == name).map(|(_, value)| value.as_str());
            assert_eq!(found.unwrap_or_default(), *value, "{name} in {got:#?}");
        }
    }
}

const NOTHING: AttachMetadata = AttachMetadata { node: false, namespace: false, deployment: false, job: false, cronjob: false };
const ALL: AttachMetadata = AttachMetadata { node: true, namespace: true, deployment: true, job: true, cronjob: true };

fn pod(name: &str, container: Value) -> Value {
    json!({
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "uid": "0a1b", "resourceVersion": "7"},
        "spec": {"nodeName": "n1", "containers": [container]},
        "status": {"phase": "Running", "podIP": "10.1.2.3", "hostIP": "192.168.0.1", "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

fn node() -> Value {
    json!({
        "kind": "Node",
        "metadata": {"name": "n1", "labels": {"zone": "a"}},
        "spec": {"providerID": "metal://n1"},
        "status": {
            "addresses": [
                {"type": "Hostname", "address": "n1.local"},
                {"type": "InternalIP", "address": "192.168.0.1"},
                {"type": "InternalIP", "address": "fd00::1"},
            ],
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "Unknown"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        },
    })
}

fn namespace() -> Value {
    json!({"kind": "Namespace", "metadata": {"name": "shop", "labels": {"team": "blue"}, "annotations": {"owner": "ann"}}})
}

/// What every target of `pod("web", …)` carries of the pod itself.
const WEB: [(&str, &str); 8] = [
    ("namespace", "shop"),
    ("pod_name", "web"),
    ("pod_ip", "10.1.2.3"),
    ("pod_ready", "true"),
    ("pod_phase", "Running"),
    ("pod_node_name", "n1"),
    ("pod_host_ip", "192.168.0.1"),
    ("pod_uid", "0a1b"),
];

#[test]
fn a_container_without_ports_is_one_target() {
    let container = [
        ("__address__", "10.1.2.3"),
        ("pod_container_name", "app"),
        ("pod_container_id", ""),
        ("pod_container_image", "app:1"),
        ("pod_container_init", "false"),
    ];
    check(pod("web", json!({"name": "app", "image": "app:1"})), &[], NOTHING, &[&[&WEB[..], &container].concat()]);
}

#[test]
fn every_port_of_every_container_is_a_target() {
    let mut of = pod(
        "web",
        json!({"name": "app", "image": "app:1", "ports": [{"name": "http", "containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}]}),
    );
    of["spec"]["containers"].as_array_mut().unwrap().push(json!({"name": "side", "image": "s:2"}));
    of["spec"]["initContainers"] = json!([{"name": "prepare", "image": "p:3"}]);
    of["spec"]["ephemeralContainers"] = json!([{"name": "debug", "image": "d:4"}]);
    of["status"]["containerStatuses"] =
        json!([{"name": "side", "containerID": "containerd://ss"}, {"name": "app", "containerID": "containerd://aa"}]);
    of["status"]["initContainerStatuses"] = json!([{"name": "prepare", "containerID": "containerd://pp"}]);
    let want: [&[(&str, &str)]; 4] = [
        &[
            ("__address__", "10.1.2.3:80"),
            ("pod_container_name", "app"),
            ("pod_container_id", "containerd://aa"),
            ("pod_container_port_name", "http"),
            ("pod_container_port_number", "80"),
            ("pod_container_port_protocol", "TCP"),
        ],
        &[
            ("__address__", "10.1.2.3:53"),
            ("pod_container_name", "app"),
            ("pod_container_port_name", ""),
            ("pod_container_port_number", "53"),
            ("pod_container_port_protocol", "UDP"),
        ],
        &[
            ("__address__", "10.1.2.3"),
            ("pod_container_name", "side"),
            ("pod_container_id", "containerd://ss"),
            ("pod_container_init", "false"),
            ("pod_container_port_number", ""),
        ],
        &[
            ("pod_container_name", "prepare"),
            ("pod_container_id", "containerd://pp"),
            ("pod_container_init", "true"),
            ("pod_container_image", "p:3"),
        ],
    ];
    check_some(of, &[], NOTHING, &want);
}

#[test]
fn a_pod_without_an_address_is_no_target() {
    let mut of = pod("web", json!({"name": "app"}));
    of["status"] = json!({"phase": "Pending"});
    check(of.clone(), &[], NOTHING, &[]);
    of["status"] = Value::Null;
    check(of, &[], NOTHING, &[]);
}

#[test]
fn labels_and_annotations_have_twins_that_say_they_are_there() {
    let mut of = pod("web", json!({"name": "app"}));
    of["metadata"]["labels"] = json!({"app.kubernetes.io/name": "web", "ünï": "x", "empty": ""});
    of["metadata"]["annotations"] = json!({"kubernetes.io/config.hash": "cafe"});
    check_some(
        of,
        &[],
        NOTHING,
        &[&[
            ("pod_label_app_kubernetes_io_name", "web"),
            ("pod_labelpresent_app_kubernetes_io_name", "true"),
            ("pod_label__n_", "x"),
            ("pod_labelpresent_empty", "true"),
            ("pod_annotation_kubernetes_io_config_hash", "cafe"),
            ("pod_annotationpresent_kubernetes_io_config_hash", "true"),
        ]],
    );
}

#[test]
fn readiness_is_told_in_small_letters_and_unknown_without_a_word_of_it() {
    for (conditions, want) in [
        (json!([{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": "False"}]), "false"),
        (json!([{"type": "Ready", "status": "Unknown"}]), "unknown"),
        (json!([]), "unknown"),
        (Value::Null, "unknown"),
    ] {
        let mut of = pod("web", json!({"name": "app"}));
        of["status"]["conditions"] = conditions;
        check_some(of, &[], NOTHING, &[&[("pod_ready", want)]]);
    }
}

#[test]
fn the_controller_and_what_stands_behind_it() {
    let owned = |kind: &str, name: &str, controller: bool, hash: &str| {
        let mut of = pod("web", json!({"name": "app"}));
        of["metadata"]["labels"] = json!({"pod-template-hash": hash});
        of["metadata"]["ownerReferences"] = json!([
            {"apiVersion": "v1", "kind": "Other", "name": "o", "uid": "1"},
            {"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "2", "controller": controller},
        ]);
        of
    };
    let names = |kind, name, deployment, job, cronjob| {
        [
            ("pod_controller_kind", kind),
            ("pod_controller_name", name),
            ("pod_deployment_name", deployment),
            ("pod_job_name", job),
            ("pod_cronjob_name", cronjob),
        ]
    };
    let cases = [
        (owned("ReplicaSet", "web-6d4cf56db6", true, "6d4cf56db6"), names("ReplicaSet", "web-6d4cf56db6", "web", "", "")),
        (owned("ReplicaSet", "web-by-hand", true, "6d4cf56db6"), names("ReplicaSet", "web-by-hand", "", "", "")),
        (owned("Job", "backup-28392840", true, ""), names("Job", "backup-28392840", "", "backup-28392840", "backup")),
        (owned("Job", "migrate-v2", true, ""), names("Job", "migrate-v2", "", "migrate-v2", "")),
        (owned("DaemonSet", "agent", true, ""), names("DaemonSet", "agent", "", "", "")),
        (owned("ReplicaSet", "web-6d4cf56db6", false, "6d4cf56db6"), names("", "", "", "", "")),
    ];
    for (of, want) in cases {
        check_some(of.clone(), &[], ALL, &[&want]);
        check_some(of, &[], NOTHING, &[&[("pod_deployment_name", ""), ("pod_job_name", ""), ("pod_cronjob_name", "")]]);
    }
}

#[test]
fn pods_carry_their_node_and_namespace_where_that_is_asked_for() {
    let of = pod("web", json!({"name": "app"}));
    let others = [node(), namespace()];
    let attached = [
        ("node_name", "n1"),
        ("node_provider_id", "metal://n1"),
        ("node_label_zone", "a"),
        ("node_labelpresent_zone", "true"),
        ("node_condition_Ready", "true"),
        ("namespace_label_team", "blue"),
        ("namespace_annotation_owner", "ann"),
        ("namespace_annotationpresent_owner", "true"),
    ];
    check_some(of.clone(), &others, ALL, &[&attached]);
    check_some(of.clone(), &others, NOTHING, &[&attached.map(|(name, _)| (name, ""))]);
    check_some(of, &[], ALL, &[&attached.map(|(name, _)| (name, ""))]);
}

#[test]
fn a_node_is_a_target_at_its_kubelet() {
    check(
        node(),
        &[],
        NOTHING,
        &[&[
            ("__address__", "192.168.0.1:10250"),
            ("instance", "n1"),
            ("node_name", "n1"),
            ("node_provider_id", "metal://n1"),
            ("node_label_zone", "a"),
            ("node_labelpresent_zone", "true"),
            ("node_address_Hostname", "n1.local"),
            ("node_address_InternalIP", "192.168.0.1"),
            ("node_condition_Ready", "true"),
            ("node_condition_DiskPressure", "unknown"),
        ]],
    );
    let mut of = node();
    of["status"]["addresses"] = json!([{"type": "Hostname", "address": "n1"}, {"type": "ExternalIP", "address": "fd00::2"}]);
    check_some(of.clone(), &[], NOTHING, &[&[("__address__", "[fd00::2]:10250")]]);
    of["status"]["addresses"] = json!([]);
    check(of, &[], NOTHING, &[]);
}

fn service(spec: Value) -> Value {
    json!({"kind": "Service", "metadata": {"name": "web", "namespace": "shop", "labels": {"tier": "front"}}, "spec": spec})
}

#[test]
fn every_port_of_a_service_is_a_target() {
    let port = json!([{"name": "http", "port": 80, "protocol": "TCP"}]);
    let common = [
        ("__address__", "web.shop.svc:80"),
        ("namespace", "shop"),
        ("service_name", "web"),
        ("service_label_tier", "front"),
        ("service_labelpresent_tier", "true"),
        ("service_port_name", "http"),
        ("service_port_number", "80"),
        ("service_port_protocol", "TCP"),
    ];
    let cases: [(Value, &[(&str, &str)]); 3] = [
        (
            json!({"type": "ClusterIP", "clusterIP": "10.0.0.9", "ports": port}),
            &[("service_type", "ClusterIP"), ("service_cluster_ip", "10.0.0.9")],
        ),
        (
            json!({"type": "ExternalName", "externalName": "example.org", "ports": port}),
            &[("service_type", "ExternalName"), ("service_external_name", "example.org")],
        ),
        (
            json!({"type": "LoadBalancer", "clusterIP": "10.0.0.9", "loadBalancerIP": "1.2.3.4", "ports": port}),
            &[("service_type", "LoadBalancer"), ("service_cluster_ip", "10.0.0.9"), ("service_loadbalancer_ip", "1.2.3.4")],
        ),
    ];
    for (spec, own) in cases {
        check(service(spec), &[], NOTHING, &[&[&common[..], own].concat()]);
    }
    check(service(json!({"clusterIP": "None"})), &[], NOTHING, &[]);
    check_some(service(json!({"ports": port})), &[namespace()], ALL, &[&[("namespace_label_team", "blue")]]);
}

#[test]
fn every_path_of_an_ingress_is_a_target() {
    let rules = json!([
        {"host": "shop.example.org", "http": {"paths": [{"path": "/cart"}, {}]}},
        {"host": "a.apps.example.org"},
        {"host": "a.b.apps.example.org"},
        {},
    ]);
    let tls = json!([{"hosts": ["shop.example.org"]}, {"hosts": ["*.apps.example.org"]}, {}]);
    let of = json!({
        "kind": "Ingress",
        "metadata": {"name": "web", "namespace": "shop", "annotations": {"a/b": "c"}},
        "spec": {"ingressClassName": "nginx", "tls": tls, "rules": rules},
    });
    let target = |address, scheme, path| {
        vec![
            ("__address__", address),
            ("ingress_scheme", scheme),
            ("ingress_path", path),
            ("namespace", "shop"),
            ("ingress_name", "web"),
            ("ingress_class_name", "nginx"),
            ("ingress_annotation_a_b", "c"),
            ("ingress_annotationpresent_a_b", "true"),
        ]
    };
    check(
        of,
        &[],
        NOTHING,
        &[
            &target("shop.example.org", "https", "/cart"),
            &target("shop.example.org", "https", "/"),
            &target("a.apps.example.org", "https", "/"),
            &target("a.b.apps.example.org", "http", "/"),
            &target("", "http", "/"),
        ],
    );
}

/// A pod that endpoints lead to: the port 80 of its container is named by them, 9090 is not.
fn backend() -> Value {
    pod(
        "web",
        json!({"name": "app", "image": "app:1", "ports": [{"name": "http", "containerPort": 80}, {"name": "metrics", "containerPort": 9090}]}),
    )
}

fn target_ref() -> Value {
    json!({"kind": "Pod", "name": "web", "namespace": "shop"})
}

#[test]
fn endpoints_join_their_service_node_and_pod() {
    let of = json!({
        "kind": "Endpoints",
        "metadata": {"name": "web", "namespace": "shop", "labels": {"l": "v"}},
        "subsets": [{
            "addresses": [{"ip": "10.1.2.3", "hostname": "h", "nodeName": "n1", "targetRef": target_ref()}],
            "notReadyAddresses": [{"ip": "fd00::9"}],
            "ports": [{"name": "http", "port": 80}],
        }],
    });
    let common = [
        ("namespace", "shop"),
        ("endpoints_name", "web"),
        ("endpoints_label_l", "v"),
        ("endpoints_labelpresent_l", "true"),
        ("service_name", "web"),
        ("service_label_tier", "front"),
        ("service_labelpresent_tier", "true"),
    ];
    let port = [("endpoint_port_name", "http"), ("endpoint_port_protocol", "TCP")];
    let container =
        [("pod_container_name", "app"), ("pod_container_id", ""), ("pod_container_image", "app:1"), ("pod_container_init", "false")];
    let first = [
        ("__address__", "10.1.2.3:80"),
        ("endpoint_ready", "true"),
        ("endpoint_hostname", "h"),
        ("endpoint_node_name", "n1"),
        ("endpoint_address_target_kind", "Pod"),
        ("endpoint_address_target_name", "web"),
        ("pod_container_port_name", "http"),
        ("pod_container_port_number", "80"),
        ("pod_container_port_protocol", "TCP"),
    ];
    let second = [("__address__", "[fd00::9]:80"), ("endpoint_ready", "false")];
    let unnamed = [
        ("__address__", "10.1.2.3:9090"),
        ("pod_container_port_name", "metrics"),
        ("pod_container_port_number", "9090"),
        ("pod_container_port_protocol", "TCP"),
    ];
    let others = [backend(), service(json!({"type": "ClusterIP"})), node(), namespace()];
    check(
        of.clone(),
        &others,
        NOTHING,
        &[
            &[&common[..], &port, &first, &WEB[1..], &container].concat(),
            &[&common[..], &port, &second].concat(),
            &[&common[..], &unnamed, &WEB[1..], &container].concat(),
        ],
    );
    let with_node: &[(&str, &str)] = &[("node_label_zone", "a"), ("namespace_label_team", "blue")];
    check_some(of.clone(), &others, ALL, &[with_node, &[("node_label_zone", ""), ("namespace_label_team", "blue")], with_node]);
    check_some(of, &[], ALL, &[&[("endpoint_ready", "true"), ("pod_name", ""), ("service_name", "")], &[("endpoint_ready", "false")]]);
}

#[test]
fn an_endpoint_that_is_a_node_carries_its_labels() {
    let of = json!({
        "kind": "Endpoints",
        "metadata": {"name": "kubelet", "namespace": "kube-system"},
        "subsets": [{"addresses": [{"ip": "192.168.0.1", "targetRef": {"kind": "Node", "name": "n1"}}], "ports": [{"port": 10250}]}],
    });
    check_some(of, &[node()], ALL, &[&[("endpoint_address_target_kind", "Node"), ("node_label_zone", "a")]]);
}

#[test]
fn endpointslices_join_their_service_node_and_pod() {
    let of = json!({
        "kind": "EndpointSlice",
        "metadata": {"name": "web-x7k", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": ["10.1.2.3", "10.1.2.4"],
                "conditions": {"ready": true, "serving": true, "terminating": false},
                "hostname": "h", "nodeName": "n1", "zone": "z", "targetRef": target_ref(),
                "deprecatedTopology": {"kubernetes.io/hostname": "n1"},
            },
            {"addresses": ["10.1.2.5"], "conditions": {}},
        ],
        "ports": [{"name": "http", "port": 80, "protocol": "TCP", "appProtocol": "h2c"}],
    });
    let common = [
        ("namespace", "shop"),
        ("endpointslice_name", "web-x7k"),
        ("endpointslice_address_type", "IPv4"),
        ("endpointslice_label_kubernetes_io_service_name", "web"),
        ("endpointslice_labelpresent_kubernetes_io_service_name", "true"),
        ("service_name", "web"),
        ("service_label_tier", "front"),
        ("service_labelpresent_tier", "true"),
    ];
    let port = [
        ("endpointslice_port", "80"),
        ("endpointslice_port_name", "http"),
        ("endpointslice_port_protocol", "TCP"),
        ("endpointslice_port_app_protocol", "h2c"),
    ];
    let endpoint = [
        ("endpointslice_endpoint_conditions_ready", "true"),
        ("endpointslice_endpoint_conditions_serving", "true"),
        ("endpointslice_endpoint_conditions_terminating", "false"),
        ("endpointslice_endpoint_hostname", "h"),
        ("endpointslice_endpoint_node_name", "n1"),
        ("endpointslice_endpoint_zone", "z"),
        ("endpointslice_endpoint_topology_kubernetes_io_hostname", "n1"),
        ("endpointslice_endpoint_topology_present_kubernetes_io_hostname", "true"),
        ("endpointslice_address_target_kind", "Pod"),
        ("endpointslice_address_target_name", "web"),
    ];
    let container =
        [("pod_container_name", "app"), ("pod_container_id", ""), ("pod_container_image", "app:1"), ("pod_container_init", "false")];
    let named = [("pod_container_port_name", "http"), ("pod_container_port_number", "80"), ("pod_container_port_protocol", "TCP")];
    let unnamed = [
        ("__address__", "10.1.2.3:9090"),
        ("pod_container_port_name", "metrics"),
        ("pod_container_port_number", "9090"),
        ("pod_container_port_protocol", "TCP"),
    ];
    let pod = [&WEB[1..], &container].concat();
    let others = [backend(), service(json!({"type": "ClusterIP"})), node()];
    check(
        of.clone(),
        &others,
        NOTHING,
        &[
            &[&common[..], &port, &endpoint, &pod, &named, &[("__address__", "10.1.2.3:80")]].concat(),
            &[&common[..], &port, &endpoint, &pod, &named, &[("__address__", "10.1.2.4:80")]].concat(),
            &[&common[..], &port, &[("__address__", "10.1.2.5:80")]].concat(),
            &[&common[..], &unnamed, &pod].concat(),
        ],
    );
    check_some(
        of,
        &others,
        ALL,
        &[&[("node_label_zone", "a")], &[("node_label_zone", "a")], &[("node_label_zone", "")], &[("node_label_zone", "a")]],
    );
}

#[test]
fn a_slice_may_lack_ports_and_their_numbers() {
    let slice = |endpoints: Value, ports: Value| json!({"kind": "EndpointSlice", "metadata": {"name": "s", "namespace": "shop"}, "addressType": "FQDN", "endpoints": endpoints, "ports": ports});
    let endpoints = json!([{"addresses": ["db.example.org"]}]);
    check_some(slice(endpoints.clone(), json!([{}])), &[], NOTHING, &[&[("__address__", "db.example.org"), ("endpointslice_port", "")]]);
    check(slice(endpoints, Value::Null), &[], NOTHING, &[]);
    check(slice(Value::Null, json!([{"port": 1}])), &[], NOTHING, &[]);
}

#[test]
fn an_object_depends_on_those_that_its_targets_carry_labels_of() {
    let (_, pod) = object(pod("web", json!({"name": "app"})));
    let (_, endpoints) = object(json!({
        "kind": "Endpoints", "metadata": {"name": "web", "namespace": "shop"},
        "subsets": [{"addresses": [{"ip": "1", "nodeName": "n1", "targetRef": target_ref()}]}],
    }));
    let (_, slice) = object(json!({
        "kind": "EndpointSlice", "metadata": {"name": "x", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
        "endpoints": [{"addresses": ["1"], "nodeName": "n1", "targetRef": target_ref()}],
    }));
    let cases = [
        (&pod, Kind::Node, "n1", true),
        (&pod, Kind::Node, "n2", false),
        (&pod, Kind::Namespace, "shop", true),
        (&endpoints, Kind::Service, "web", true),
        (&endpoints, Kind::Service, "x", false),
        (&endpoints, Kind::Pod, "web", true),
        (&endpoints, Kind::Pod, "x", false),
        (&endpoints, Kind::Node, "n1", true),
        (&endpoints, Kind::Node, "n2", false),
        (&slice, Kind::Service, "web", true),
        (&slice, Kind::Service, "x", false),
        (&slice, Kind::Pod, "web", true),
        (&slice, Kind::Pod, "y", false),
        (&slice, Kind::Node, "n1", true),
        (&slice, Kind::Node, "n2", false),
    ];
    for (object, kind, name, want) in cases {
        assert_eq!(depends(object, &Key::new(kind, "shop", name)), want, "{kind:?} {name}");
    }
}
