//! The configuration that promtail's chart comes with, on the pods that an API tells of.

use crate::common::{client, server};
use integration_tests::{Agent, until};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

/// A Kubernetes API with one list of pods and one watch, each event of which a test sends.
struct Api {
    port: u16,
    events: std::sync::mpsc::Sender<Value>,
}

impl Api {
    fn start(pods: Vec<Value>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, (events, watched)) = (listener.local_addr().unwrap().port(), channel());
        let watched = Arc::new(Mutex::new(watched));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (pods, watched) = (pods.clone(), Arc::clone(&watched));
                std::thread::spawn(move || serve(stream, &pods, &watched));
            }
        });
        Api { port, events }
    }
}

/// Answers the requests of one connection; a watch keeps it.
fn serve(mut stream: TcpStream, pods: &[Value], watched: &Mutex<Receiver<Value>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            match reader.read_line(&mut line) {
                Ok(0) | Err(_) => return,
                Ok(2) => break,
                Ok(_) => head.push(line),
            }
        }
        let target = head[0].split(' ').nth(1).unwrap().to_owned();
        assert!(target.starts_with("/api/v1/pods?"), "{target}");
        assert!(target.contains("fieldSelector=spec.nodeName%3Dnode-1"), "{target}");
        if target.contains("watch=true") {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
            while let Ok(event) = watched.lock().unwrap().recv() {
                let line = format!("{event}\n");
                stream.write_all(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes()).unwrap();
            }
            return;
        }
        let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "100"}, "items": pods}).to_string();
        stream
            .write_all(
                format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{list}", list.len()).as_bytes(),
            )
            .unwrap();
    }
}

fn pod(name: &str, uid: &str, labels: Value) -> Value {
    let owner = name.rsplit_once('-').unwrap().0;
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "name": name, "namespace": "shop", "uid": uid, "resourceVersion": "99", "labels": labels,
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": "r", "controller": true}],
        },
        "spec": {"nodeName": "node-1", "containers": [{"name": "main", "image": "shop:1", "ports": [{"containerPort": 80}]}]},
        "status": {"podIP": "10.0.0.7", "hostIP": "10.0.0.1", "phase": "Running"},
    })
}

/// The rules of that configuration, over another folder than `/var/log/pods`.
const SCRAPE: &str = r#"
limits_config:
tracing: {enabled: false}
target_config: {sync_period: 200ms}
scrape_configs:
  - job_name: kubernetes-pods
    pipeline_stages:
      - cri: {}
    kubernetes_sd_configs:
      - role: pod
        api_server: http://127.0.0.1:PORT
    relabel_configs:
      - {action: replace, source_labels: [__meta_kubernetes_pod_controller_name], regex: '([0-9a-z-.]+?)(-[0-9a-f]{8,10})?', target_label: __tmp_controller_name}
      - action: replace
        source_labels: [__meta_kubernetes_pod_label_app_kubernetes_io_name, __meta_kubernetes_pod_label_app, __tmp_controller_name, __meta_kubernetes_pod_name]
        regex: ^;*([^;]+)(;.*)?$
        target_label: app
      - {action: replace, source_labels: [__meta_kubernetes_pod_label_app_kubernetes_io_component, __meta_kubernetes_pod_label_component], regex: '^;*([^;]+)(;.*)?$', target_label: component}
      - {action: replace, source_labels: [__meta_kubernetes_pod_node_name], target_label: node_name}
      - {action: replace, source_labels: [__meta_kubernetes_namespace], target_label: namespace}
      - {action: replace, replacement: $1, separator: /, source_labels: [namespace, app], target_label: job}
      - {action: replace, source_labels: [__meta_kubernetes_pod_name], target_label: pod}
      - {action: replace, source_labels: [__meta_kubernetes_pod_container_name], target_label: container}
      - {action: replace, replacement: FOLDER/pods/*$1/*.log, separator: /, source_labels: [__meta_kubernetes_pod_uid, __meta_kubernetes_pod_container_name], target_label: __path__}
"#;

/// Writes lines as a container runtime does; gives what is to be stored.
fn container_log(agent: &Agent, pod: &str, uid: &str, count: usize) -> BTreeSet<String> {
    let folder = agent.path().join(format!("pods/shop_{pod}_{uid}/main"));
    std::fs::create_dir_all(&folder).unwrap();
    let (mut text, mut lines) = (String::new(), BTreeSet::new());
    for i in 0..count {
        let at = format!("2026-01-02T03:04:05.{i:09}Z");
        let line = format!("{pod} line {i}");
        // Every third line is too long for the runtime's buffer and comes in two pieces.
        match line.split_at_checked(line.len() / 2).filter(|_| i % 3 == 0) {
            Some((one, two)) => text.push_str(&format!("{at} stdout P {one}\n{at} stdout F {two}\n")),
            None => text.push_str(&format!("{at} stdout F {line}\n")),
        }
        lines.insert(line);
    }
    std::fs::write(folder.join("0.log"), text).unwrap();
    lines
}

#[test]
fn the_default_configuration_of_promtails_chart_ships_the_pods_of_its_node() {
    let server = server();
    let api = Api::start(vec![pod("cart-7d9f8b6c5d-x2x4z", "uid-1", json!({"component": "front"}))]);
    let config = format!("{}{}", client(&server), SCRAPE.replace("PORT", &api.port.to_string()));
    let mut agent = Agent::stopped(&config).variable("HOSTNAME", "node-1");
    let first = container_log(&agent, "cart-7d9f8b6c5d-x2x4z", "uid-1", 300);
    agent.restart();
    let query = "{app=\"cart\", component=\"front\", container=\"main\", job=\"shop/cart\", namespace=\"shop\", node_name=\"node-1\", pod=\"cart-7d9f8b6c5d-x2x4z\", stream=\"stdout\"}";
    let count = |query: &str| server.total(&format!("sum(count_over_time({query}[1000d]))"));
    until("the first pod's lines", || (count(query) == first.len() as f64).then_some(()));

    let second = container_log(&agent, "pay-5c6d7e8f9a-q1w2e", "uid-2", 100);
    let added = pod("pay-5c6d7e8f9a-q1w2e", "uid-2", json!({"app.kubernetes.io/name": "payments"}));
    api.events.send(json!({"type": "ADDED", "object": added})).unwrap();
    until("the second pod's lines", || (count("{job=\"shop/payments\"}") == second.len() as f64).then_some(()));
    assert_eq!(count("{namespace=\"shop\"}"), (first.len() + second.len()) as f64);
    let labels = server.get("/loki/api/v1/labels?start=1767225600&end=1767398400").json();
    let labels = integration_tests::strings(&labels["data"]);
    assert_eq!(
        labels.iter().filter(|name| *name != "service_name").collect::<Vec<_>>(),
        ["app", "component", "container", "filename", "job", "namespace", "node_name", "pod", "stream"]
    );
    until("ready", || (agent.get("/ready").status == 200).then_some(()));
}
