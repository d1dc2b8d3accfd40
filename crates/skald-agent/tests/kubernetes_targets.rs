//! From the pods that an API server lists to the files that `-kubernetes` reads, and their labels.
#![allow(clippy::disallowed_methods, reason = "a test has real sockets")]

use std::sync::Arc;

use axum::Json;
use axum::extract::RawQuery;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use skald_agent::config::{Flags, SourceConfig, load};
use skald_agent::discovery::{Rules, TargetFailures, TargetTable};
use skald_discovery::{Discovery, KubernetesDiscovery, KubernetesSeams, Update};
use skald_pipeline::Relabel;
use skald_runtime::{OsRandom, StdDisk, SystemClock};

/// A pod of node `n1` with one container, and an init container that has run.
fn pod(name: &str, metadata: Value) -> Value {
    let mut pod = json!({
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-of-{name}"), "resourceVersion": "1"},
        "spec": {"nodeName": "n1", "initContainers": [{"name": "prepare"}], "containers": [{"name": "main", "ports": [{"containerPort": 80}, {"containerPort": 81}]}]},
        "status": {"phase": "Running", "podIP": "10.0.0.1"},
    });
    for (key, value) in metadata.as_object().expect("a map") {
        pod["metadata"][key] = value.clone();
    }
    pod
}

fn owned_by(kind: &str, name: &str) -> Value {
    json!([{"apiVersion": "v1", "kind": kind, "name": name, "uid": "1", "controller": true}])
}

/// An API server that lists these pods, to those who ask for the node's, and never tells anything else.
async fn serve(pods: Vec<Value>) -> String {
    let answer = move |RawQuery(query): RawQuery| {
        let pods = pods.clone();
        async move {
            let query = query.unwrap_or_default();
            if query.contains("watch=true") {
                std::future::pending::<()>().await;
            }
            assert!(query.contains("fieldSelector=spec.nodeName%3Dn1"), "{query}");
            Json(json!({"metadata": {"resourceVersion": "1"}, "items": pods})).into_response() as Response
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().route("/api/v1/pods", axum::routing::get(answer))).await });
    format!("http://{address}")
}

/// What the built-in configuration reads of these pods: path and labels.
async fn read_of(pods: Vec<Value>) -> Vec<(String, String)> {
    let flags = ["-kubernetes", "-client.url=http://127.0.0.1:3100/loki/api/v1/push"].map(str::to_owned);
    let flags = Flags::parse(flags).expect("flags");
    let loaded = load(&flags, &StdDisk, &|_| None).expect("the built-in configuration");
    let [job] = &loaded.config.scrape_configs[..] else { panic!("one scrape config") };
    let SourceConfig::Files(discovery) = &job.source else { panic!("files") };
    let mut kubernetes = discovery.kubernetes_sd_configs[0].clone();
    kubernetes.api_server = Some(serve(pods).await);

    let seams = KubernetesSeams {
        clock: Arc::new(SystemClock::new()),
        random: Arc::new(OsRandom::new().expect("randomness")),
        disk: Arc::new(StdDisk),
    };
    let mut discovery = KubernetesDiscovery::connect(&kubernetes, "n1", seams, Arc::default()).await.expect("a discovery");
    let relabel = Arc::new(Relabel::new(&job.relabel_configs).expect("rules"));
    let rules = Rules { job: job.job_name.clone(), relabel, hostname: "n1".to_owned(), encoding: None, decompression: None };
    let mut table = TargetTable::new(rules, TargetFailures::default());
    while let Update::Group(group) = discovery.next().await {
        table.replace(&group.source, group.targets.into_iter().map(|labels| labels.into_iter().collect()).collect());
    }
    let mut read: Vec<(String, String)> = table.read().iter().map(|found| (found.file.path.clone(), found.labels.to_string())).collect();
    read.sort();
    read
}

#[track_caller]
fn check(got: &[(String, String)], want: &[(&str, &str)]) {
    let got: Vec<(&str, &str)> = got.iter().map(|(path, labels)| (path.as_str(), labels.as_str())).collect();
    assert_eq!(got, want);
}

#[tokio::test]
async fn pods_are_read_by_their_containers_under_the_name_of_what_runs_them() {
    let pods = vec![
        pod("web-6d4cf56db6-x2k9p", json!({"ownerReferences": owned_by("ReplicaSet", "web-6d4cf56db6")})),
        pod("db-0", json!({"labels": {"app": "db", "instance": "main"}, "ownerReferences": owned_by("StatefulSet", "postgres")})),
        pod("helm-1", json!({"labels": {"app": "x", "app.kubernetes.io/name": "cart", "app.kubernetes.io/component": "api"}})),
        pod("bare", json!({})),
    ];
    let line = |pod: &str, container: &str, app: &str, more: &str| {
        let path = format!("/var/log/pods/*uid-of-{pod}/{container}/*.log");
        let mut labels = vec![
            format!("app=\"{app}\""),
            format!("container=\"{container}\""),
            format!("job=\"shop/{app}\""),
            "namespace=\"shop\"".to_owned(),
            "node_name=\"n1\"".to_owned(),
            format!("pod=\"{pod}\""),
        ];
        labels.extend(Some(more.to_owned()).filter(|more| !more.is_empty()));
        labels.sort();
        (path, format!("{{{}}}", labels.join(", ")))
    };
    let cases = [
        ("bare", "bare", ""),
        ("db-0", "db", "instance=\"main\""),
        ("helm-1", "cart", "component=\"api\""),
        ("web-6d4cf56db6-x2k9p", "web", ""),
    ];
    let want: Vec<(String, String)> =
        cases.into_iter().flat_map(|(pod, app, more)| ["main", "prepare"].map(|container| line(pod, container, app, more))).collect();
    let want: Vec<(&str, &str)> = want.iter().map(|(path, labels)| (path.as_str(), labels.as_str())).collect();
    check(&read_of(pods).await, &want);
}

#[tokio::test]
async fn static_pods_are_read_by_the_hash_of_their_file() {
    let annotations = json!({"kubernetes.io/config.hash": "cafe", "kubernetes.io/config.source": "file"});
    let got = read_of(vec![pod("etcd-n1", json!({"annotations": annotations, "ownerReferences": owned_by("Node", "n1")}))]).await;
    let paths: Vec<&str> = got.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["/var/log/pods/*cafe/main/*.log", "/var/log/pods/*cafe/prepare/*.log"]);
    assert!(got[0].1.contains("app=\"n1\""), "{}", got[0].1);
}
