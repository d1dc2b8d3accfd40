use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use skald_testkit::{SeededRandom, SimDisk};

use super::test_server::{Answer, Asked, FastClock, TestServer, event, list, refusal, status};
use super::*;
use crate::config::{Authorization, InvalidKubernetesSd, Selector};

const PODS: &str = "/api/v1/pods";
const SERVICES: &str = "/api/v1/services";

fn pod(name: &str, version: u32) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "resourceVersion": version.to_string()},
        "spec": {"nodeName": "n1", "containers": [{"name": "app"}]},
        // The address changes with the version, so that each version has targets of its own.
        "status": {"podIP": format!("10.0.0.{version}")},
    })
}

fn service(name: &str, version: u32) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "shop", "resourceVersion": version.to_string()},
        "spec": {"type": "ClusterIP", "clusterIP": "10.0.0.1", "ports": [{"port": version}]},
    })
}

fn bookmark(version: u32) -> Value {
    event("BOOKMARK", json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"resourceVersion": version.to_string()}}))
}

/// A discovery under test, and what it counts.
struct Subject {
    discovery: KubernetesDiscovery,
    stats: Arc<DiscoveryStats>,
    disk: Arc<SimDisk>,
}

impl Subject {
    async fn new(config: KubernetesSdConfig) -> Self {
        let (stats, disk) = (Arc::new(DiscoveryStats::default()), SimDisk::new());
        let seams = KubernetesSeams { clock: FastClock::start(), random: Arc::new(SeededRandom::new(1)), disk: disk.clone() };
        let discovery = KubernetesDiscovery::connect(&config, "n1", seams, stats.clone()).await.expect("a discovery");
        Subject { discovery, stats, disk }
    }

    /// The next updates are these, in any order: `+source` for a group, `-source` for one without targets, `synced`.
    #[track_caller]
    fn tells(&mut self, want: &[&str]) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        let mut want: Vec<String> = want.iter().map(|text| text.to_string()).collect();
        want.sort();
        async move {
            let mut got = Vec::new();
            for _ in 0..want.len() {
                got.push(self.next().await);
            }
            got.sort();
            assert_eq!(got, want, "{caller}");
        }
    }

    #[allow(clippy::disallowed_methods, reason = "a test that hangs shall end")]
    async fn next(&mut self) -> String {
        match tokio::time::timeout(Duration::from_secs(30), self.discovery.next()).await.expect("an update") {
            Update::Group(group) if group.targets.is_empty() => format!("-{}", group.source),
            Update::Group(group) => format!("+{}", group.source),
            Update::Synced => "synced".to_owned(),
        }
    }
}

fn config(role: Role, server: &TestServer) -> KubernetesSdConfig {
    KubernetesSdConfig { api_server: Some(server.url()), ..KubernetesSdConfig::new(role) }
}

async fn pods_of(server: &TestServer) -> Subject {
    Subject::new(config(Role::Pod, server)).await
}

/// Versions at which watches began.
fn watched_from(server: &TestServer) -> Vec<String> {
    server.asked().iter().filter(|asked| asked.is_watch()).map(|asked| asked.parameter("resourceVersion").to_owned()).collect()
}

fn lists(server: &TestServer) -> Vec<Asked> {
    server.asked().into_iter().filter(|asked| !asked.is_watch()).collect()
}

#[tokio::test]
async fn a_list_comes_in_pages_and_the_watch_goes_on_from_it() {
    let server = TestServer::start().await;
    server.on_list(SERVICES, [list("11", "next", [service("one", 1)]), list("12", "", [service("two", 2)])]);
    server.on_watch(SERVICES, [Answer::Open(vec![event("ADDED", service("three", 13))])]);
    let mut subject = Subject::new(config(Role::Service, &server)).await;
    subject.tells(&["+service/shop/one", "+service/shop/two", "synced"]).await;
    subject.tells(&["+service/shop/three"]).await;

    let pages: Vec<(String, String)> =
        lists(&server).iter().map(|asked| (asked.parameter("limit").to_owned(), asked.parameter("continue").to_owned())).collect();
    assert_eq!(pages, [("100".to_owned(), String::new()), ("100".to_owned(), "next".to_owned())]);
    assert_eq!(watched_from(&server), ["12"]);
    assert_eq!(server.asked()[2].parameter("allowWatchBookmarks"), "true");
    assert_eq!((subject.stats.updates(), subject.stats.failures()), (3, 0));
}

#[tokio::test]
async fn pods_are_those_of_the_own_node_from_the_servers_cache() {
    let server = TestServer::start().await;
    server.on_list(PODS, [list("1", "", [])]);
    let selectors = vec![Selector { role: Role::Pod, label: Some("app=web".into()), field: Some("status.phase=Running".into()) }];
    let mut subject = Subject::new(KubernetesSdConfig { selectors, ..config(Role::Pod, &server) }).await;
    subject.tells(&["synced"]).await;
    let asked = &server.asked()[0];
    let parameters = ["fieldSelector", "labelSelector", "resourceVersion", "limit"].map(|name| asked.parameter(name));
    assert_eq!(parameters, ["status.phase=Running,spec.nodeName=n1", "app=web", "0", ""]);
}

#[tokio::test]
async fn events_change_what_was_listed() {
    let server = TestServer::start().await;
    server.on_list(PODS, [list("2", "", [pod("one", 1), pod("two", 2)])]);
    server.on_watch(
        PODS,
        [Answer::Open(vec![event("MODIFIED", pod("one", 3)), event("DELETED", pod("two", 4)), event("ADDED", pod("three", 5))])],
    );
    let mut subject = pods_of(&server).await;
    subject.tells(&["+pod/shop/one", "+pod/shop/two", "synced"]).await;
    subject.tells(&["+pod/shop/one", "-pod/shop/two", "+pod/shop/three"]).await;
}

#[tokio::test]
async fn a_watch_that_ends_goes_on_where_it_was() {
    let server = TestServer::start().await;
    server.on_list(PODS, [list("1", "", [])]);
    server.on_watch(
        PODS,
        [
            Answer::Closed(vec![event("ADDED", pod("one", 5))]),
            Answer::Closed(vec![bookmark(9)]),
            Answer::Open(vec![event("ADDED", pod("two", 10))]),
        ],
    );
    let mut subject = pods_of(&server).await;
    subject.tells(&["synced", "+pod/shop/one", "+pod/shop/two"]).await;
    assert_eq!(watched_from(&server), ["1", "5", "9"]);
    assert_eq!(lists(&server).len(), 1);
    assert_eq!(subject.stats.failures(), 0);
}

#[tokio::test]
async fn a_connection_that_breaks_within_a_line_loses_no_event() {
    let server = TestServer::start().await;
    server.on_list(PODS, [list("1", "", [])]);
    server.on_watch(
        PODS,
        [
            Answer::Broken(vec![event("ADDED", pod("one", 5))], r#"{"type":"ADDED","object":{"metadata":{"name":"tw"#),
            Answer::Open(vec![event("ADDED", pod("two", 6))]),
        ],
    );
    let mut subject = pods_of(&server).await;
    subject.tells(&["synced", "+pod/shop/one", "+pod/shop/two"]).await;
    assert_eq!(watched_from(&server), ["1", "5"]);
    assert_eq!(lists(&server).len(), 1);
}

#[tokio::test]
async fn a_version_that_is_forgotten_leads_to_a_new_list() {
    let as_event = Answer::Open(vec![event("ERROR", status(410))]);
    for gone in [as_event, refusal(410)] {
        let server = TestServer::start().await;
        server.on_list(PODS, [list("2", "", [pod("one", 1), pod("two", 2)]), list("30", "", [pod("two", 2), pod("three", 30)])]);
        server.on_watch(PODS, [gone]);
        let mut subject = pods_of(&server).await;
        subject.tells(&["+pod/shop/one", "+pod/shop/two", "synced"]).await;
        subject.tells(&["-pod/shop/one", "+pod/shop/three"]).await;
        assert_eq!(lists(&server).len(), 2);
        assert_eq!(subject.stats.failures(), 1);
    }
}

#[tokio::test]
async fn a_server_that_refuses_is_asked_again() {
    let server = TestServer::start().await;
    server.on_list(PODS, [refusal(429), refusal(500), refusal(503), list("1", "", [pod("one", 1)])]);
    server.on_watch(PODS, [refusal(429), refusal(500), Answer::Open(vec![event("ADDED", pod("two", 2))])]);
    let mut subject = pods_of(&server).await;
    subject.tells(&["+pod/shop/one", "synced", "+pod/shop/two"]).await;
    assert_eq!(subject.stats.failures(), 5);
    assert_eq!(watched_from(&server), ["1", "1", "1"]);
    assert_eq!(lists(&server).len(), 4);
}

#[tokio::test]
async fn a_place_that_the_server_always_refuses_is_given_up() {
    let server = TestServer::start().await;
    server.on_list(PODS, [list("9", "", [pod("one", 1)]), list("2", "", [pod("two", 2)])]);
    server.on_watch(PODS, std::iter::repeat_with(|| refusal(504)).take(5));
    let mut subject = pods_of(&server).await;
    subject.tells(&["+pod/shop/one", "synced"]).await;
    subject.tells(&["-pod/shop/one", "+pod/shop/two"]).await;
    assert_eq!(subject.stats.failures(), 5);
}

#[tokio::test]
async fn a_token_file_that_is_written_anew_is_read_anew() {
    let server = TestServer::start().await;
    server.require_token("new");
    server.on_list(PODS, [list("1", "", [pod("one", 1)])]);
    let authorization = Some(Authorization { credentials_file: Some("/token".into()), ..Authorization::default() });
    let mut subject = Subject::new(KubernetesSdConfig { authorization, ..config(Role::Pod, &server) }).await;
    subject.disk.plant("/token".as_ref(), b"old");
    let (disk, stats) = (subject.disk.clone(), subject.stats.clone());
    let rotate = async {
        while stats.failures() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(server.asked(), []);
        disk.plant("/token".as_ref(), b"new\n");
    };
    futures::join!(subject.tells(&["+pod/shop/one", "synced"]), rotate);
}

#[tokio::test]
async fn a_list_without_an_answer_is_asked_for_again() {
    let server = TestServer::start().await;
    server.on_list(PODS, [Answer::Silence, list("1", "", [pod("one", 1)])]);
    let mut subject = pods_of(&server).await;
    subject.tells(&["+pod/shop/one", "synced"]).await;
    assert_eq!(subject.stats.failures(), 1);
}

#[tokio::test]
async fn what_is_not_an_object_costs_only_itself() {
    let server = TestServer::start().await;
    server.on_list(PODS, [list("1", "", [])]);
    server.on_watch(PODS, [Answer::Open(vec![event("ADDED", json!({"metadata": 5})), json!("?"), event("ADDED", pod("one", 3))])]);
    let mut subject = pods_of(&server).await;
    subject.tells(&["synced", "+pod/shop/one"]).await;
    assert_eq!(subject.stats.failures(), 2);
}

#[tokio::test]
async fn a_namespace_that_may_not_be_seen_holds_no_other_up() {
    let server = TestServer::start().await;
    server.on_list("/api/v1/namespaces/secret/pods", std::iter::repeat_with(|| refusal(403)).take(3));
    server.on_list("/api/v1/namespaces/shop/pods", [list("1", "", [pod("one", 1)])]);
    let namespaces = crate::config::Namespaces { names: vec!["secret".into(), "shop".into(), "shop".into()], own_namespace: false };
    let mut subject = Subject::new(KubernetesSdConfig { namespaces, ..config(Role::Pod, &server) }).await;
    subject.tells(&["+pod/shop/one"]).await;
    server.on_list("/api/v1/namespaces/secret/pods", [list("1", "", [])]);
    subject.tells(&["synced"]).await;
    assert_eq!(lists(&server).iter().filter(|asked| asked.path.contains("shop")).count(), 1);
}

#[tokio::test]
async fn attached_objects_are_asked_for_as_narrowly_as_the_pods() {
    let server = TestServer::start().await;
    server.on_list("/api/v1/namespaces/shop/pods", [list("1", "", [pod("one", 1)])]);
    server
        .on_list("/api/v1/nodes", [list("1", "", [json!({"metadata": {"name": "n1", "labels": {"zone": "a"}, "resourceVersion": "1"}})])]);
    server.on_list(
        "/api/v1/namespaces",
        [list("1", "", [json!({"metadata": {"name": "shop", "labels": {"team": "b"}, "resourceVersion": "1"}})])],
    );
    let config = KubernetesSdConfig {
        namespaces: crate::config::Namespaces { names: vec!["shop".into()], own_namespace: false },
        attach_metadata: AttachMetadata { node: true, namespace: true, ..AttachMetadata::default() },
        ..config(Role::Pod, &server)
    };
    let mut subject = Subject::new(config).await;
    let Update::Group(group) = subject.discovery.next().await else { panic!("a group comes first") };
    for (name, value) in [("__meta_kubernetes_node_label_zone", "a"), ("__meta_kubernetes_namespace_label_team", "b")] {
        assert!(group.targets[0].contains(&(name.to_owned(), value.to_owned())), "{group:?}");
    }
    subject.tells(&["synced"]).await;
    let mut fields: Vec<(String, String)> =
        lists(&server).iter().map(|asked| (asked.path.clone(), asked.parameter("fieldSelector").to_owned())).collect();
    fields.sort();
    let want = [
        ("/api/v1/namespaces", "metadata.name=shop"),
        ("/api/v1/namespaces/shop/pods", "spec.nodeName=n1"),
        ("/api/v1/nodes", "metadata.name=n1"),
    ];
    assert_eq!(fields, want.map(|(path, selector)| (path.to_owned(), selector.to_owned())));
}

#[tokio::test]
async fn a_configuration_that_cannot_be_used_is_refused() {
    async fn refused(yaml: &str) -> KubernetesError {
        let config: KubernetesSdConfig = serde_saphyr::from_str(yaml).expect("a configuration");
        let disk = SimDisk::new();
        disk.plant("/empty".as_ref(), b"no certificate");
        let seams = KubernetesSeams { clock: FastClock::start(), random: Arc::new(SeededRandom::new(1)), disk };
        KubernetesDiscovery::connect(&config, "n1", seams, Arc::default()).await.err().expect(yaml)
    }
    assert!(matches!(refused("role: pod").await, KubernetesError::InCluster(_)));
    let invalid = refused("role: pod\napi_server: http://a\nproxy_url: http://p\nbasic_auth: {}").await;
    let KubernetesError::Invalid { problems } = &invalid else { panic!("{invalid}") };
    assert_eq!(problems, &[InvalidKubernetesSd::NoUser, InvalidKubernetesSd::NotSupported { key: "proxy_url" }]);
    assert!(invalid.to_string().contains("; "), "{invalid}");
    assert!(matches!(refused("role: pod\nkubeconfig_file: /missing").await, KubernetesError::Kubeconfig { .. }));
    assert!(matches!(refused("role: pod\napi_server: https://a\ntls_config: {ca_file: /missing}").await, KubernetesError::Read { .. }));
    assert!(matches!(refused("role: pod\napi_server: https://a\ntls_config: {ca_file: /empty}").await, KubernetesError::NoCertificates));
    assert!(matches!(
        refused("role: pod\napi_server: http://a\nhttp_headers: {'a b': {values: [x]}}").await,
        KubernetesError::Header { .. }
    ));
}
