use serde_json::{Value, json};

use super::*;
use crate::kubernetes::object::{EndpointSlice, Node, Observed, Pod, Service};

fn read<K: Observed>(json: Value) -> (Key, Object) {
    let object: K = serde_json::from_value(json).expect("an object");
    (object.key(), object.into_object())
}

fn pod(namespace: &str, name: &str, ip: &str) -> (Key, Object) {
    read::<Pod>(json!({
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"nodeName": "n1", "containers": [{"name": "c"}]},
        "status": {"podIP": ip},
    }))
}

fn node(zone: &str) -> (Key, Object) {
    read::<Node>(json!({"metadata": {"name": "n1", "labels": {"zone": zone}}}))
}

fn set((key, object): (Key, Object)) -> Change {
    Change::Set(key, object)
}

fn listed((key, object): (Key, Object)) -> Change {
    Change::Listed(key, object)
}

fn gone((key, _): (Key, Object)) -> Change {
    Change::Gone(key)
}

fn scope(kind: Kind, namespace: Option<&str>) -> Scope {
    Scope { kind, namespace: namespace.map(str::to_owned) }
}

fn pods() -> Cluster {
    Cluster::new(Kind::Pod, AttachMetadata::default(), [scope(Kind::Pod, None)])
}

/// Everything there is to tell: `+source` for a group, `-source` for one without targets, `synced`.
fn told(cluster: &mut Cluster) -> Vec<String> {
    std::iter::from_fn(|| cluster.next_update())
        .map(|update| match update {
            Update::Group(group) if group.targets.is_empty() => format!("-{}", group.source),
            Update::Group(group) => format!("+{}", group.source),
            Update::Synced => "synced".to_owned(),
        })
        .collect()
}

#[track_caller]
fn check(cluster: &mut Cluster, changes: impl IntoIterator<Item = (usize, Change)>, want: &[&str]) {
    for (watch, change) in changes {
        cluster.apply(watch, change);
    }
    assert_eq!(told(cluster), want);
}

#[test]
fn an_object_is_told_when_its_targets_change_and_only_then() {
    let mut cluster = pods();
    check(&mut cluster, [(0, Change::ListBegins), (0, listed(pod("a", "one", "1"))), (0, listed(pod("a", "two", "")))], &["+pod/a/one"]);
    check(&mut cluster, [(0, Change::ListEnds)], &["synced"]);
    check(&mut cluster, [(0, set(pod("a", "one", "1")))], &[]);
    check(&mut cluster, [(0, set(pod("a", "one", "2")))], &["+pod/a/one"]);
    check(&mut cluster, [(0, set(pod("a", "two", "3")))], &["+pod/a/two"]);
    check(&mut cluster, [(0, set(pod("a", "two", "")))], &["-pod/a/two"]);
    check(&mut cluster, [(0, gone(pod("a", "two", ""))), (0, gone(pod("a", "one", "2")))], &["-pod/a/one"]);
    check(&mut cluster, [(0, gone(pod("a", "one", "2")))], &[]);
}

#[test]
fn what_changes_faster_than_it_is_asked_for_is_told_once() {
    let mut cluster = pods();
    check(&mut cluster, [(0, set(pod("a", "one", "1"))), (0, set(pod("a", "one", "2"))), (0, set(pod("a", "one", "3")))], &["+pod/a/one"]);
    check(&mut cluster, [(0, gone(pod("a", "one", "3"))), (0, set(pod("a", "one", "3")))], &[]);
}

#[test]
fn a_new_list_takes_away_what_it_does_not_hold_once_it_ends() {
    let mut cluster = pods();
    let first = [(0, Change::ListBegins), (0, listed(pod("a", "one", "1"))), (0, listed(pod("b", "two", "2"))), (0, Change::ListEnds)];
    check(&mut cluster, first, &["+pod/a/one", "+pod/b/two", "synced"]);
    check(
        &mut cluster,
        [(0, Change::ListBegins), (0, listed(pod("b", "two", "2"))), (0, listed(pod("b", "three", "3")))],
        &["+pod/b/three"],
    );
    check(&mut cluster, [(0, Change::ListEnds)], &["-pod/a/one"]);
    // A list that broke off says nothing of what it did not come to.
    check(
        &mut cluster,
        [(0, Change::ListBegins), (0, listed(pod("b", "two", "2"))), (0, Change::ListBegins), (0, listed(pod("b", "three", "3")))],
        &[],
    );
    check(&mut cluster, [(0, Change::ListEnds)], &["-pod/b/two"]);
}

#[test]
fn a_list_of_one_namespace_says_nothing_of_another() {
    let mut cluster = Cluster::new(Kind::Pod, AttachMetadata::default(), [scope(Kind::Pod, Some("a")), scope(Kind::Pod, Some("b"))]);
    check(&mut cluster, [(1, Change::ListBegins), (1, listed(pod("b", "two", "2"))), (1, Change::ListEnds)], &["+pod/b/two"]);
    check(&mut cluster, [(0, Change::ListBegins), (0, Change::ListEnds)], &["synced"]);
    check(&mut cluster, [(1, Change::ListBegins), (1, Change::ListEnds)], &["-pod/b/two"]);
}

#[test]
fn nothing_is_told_before_all_that_it_is_joined_with_was_listed() {
    let attach = AttachMetadata { node: true, ..AttachMetadata::default() };
    let mut cluster = Cluster::new(Kind::Pod, attach, [scope(Kind::Pod, None), scope(Kind::Node, None)]);
    check(&mut cluster, [(0, Change::ListBegins), (0, listed(pod("a", "one", "1"))), (0, Change::ListEnds)], &[]);
    check(&mut cluster, [(1, Change::ListBegins), (1, listed(node("x")))], &[]);
    check(&mut cluster, [(1, Change::ListEnds)], &["+pod/a/one", "synced"]);
    check(&mut cluster, [(1, set(node("y")))], &["+pod/a/one"]);
    check(&mut cluster, [(1, set(node("y")))], &[]);
    // A list that is read again holds nothing up.
    check(&mut cluster, [(1, Change::ListBegins), (0, set(pod("a", "two", "2")))], &["+pod/a/two"]);
    check(&mut cluster, [(1, Change::ListEnds)], &["+pod/a/one", "+pod/a/two"]);
}

#[test]
fn one_namespace_does_not_wait_for_another() {
    let attach = AttachMetadata { namespace: true, ..AttachMetadata::default() };
    let scopes = [Kind::Pod, Kind::Namespace].into_iter().flat_map(|kind| ["a", "b"].map(|namespace| scope(kind, Some(namespace))));
    let mut cluster = Cluster::new(Kind::Pod, attach, scopes);
    check(
        &mut cluster,
        [(0, listed(pod("a", "one", "1"))), (1, listed(pod("b", "two", "2"))), (0, Change::ListEnds), (1, Change::ListEnds)],
        &[],
    );
    check(&mut cluster, [(2, Change::ListBegins), (2, Change::ListEnds)], &["+pod/a/one"]);
    check(&mut cluster, [(3, Change::ListBegins), (3, Change::ListEnds)], &["+pod/b/two", "synced"]);
}

#[test]
fn a_slice_is_told_anew_when_its_pod_or_service_changes() {
    let slice = read::<EndpointSlice>(json!({
        "metadata": {"name": "web-1", "namespace": "a", "labels": {"kubernetes.io/service-name": "web"}},
        "endpoints": [{"addresses": ["1"], "targetRef": {"kind": "Pod", "name": "one"}}],
        "ports": [{"port": 80}],
    }));
    let service = |tier: &str| read::<Service>(json!({"metadata": {"name": "web", "namespace": "a", "labels": {"tier": tier}}}));
    let kinds = [Kind::EndpointSlice, Kind::Service, Kind::Pod];
    let mut cluster = Cluster::new(Kind::EndpointSlice, AttachMetadata::default(), kinds.map(|kind| scope(kind, None)));
    let lists = (0..3).flat_map(|watch| [(watch, Change::ListBegins), (watch, Change::ListEnds)]);
    check(&mut cluster, lists, &["synced"]);
    check(&mut cluster, [(0, set(slice))], &["+endpointslice/a/web-1"]);
    check(&mut cluster, [(2, set(pod("a", "one", "1")))], &["+endpointslice/a/web-1"]);
    check(&mut cluster, [(2, set(pod("a", "other", "1"))), (2, set(pod("b", "one", "1")))], &[]);
    check(&mut cluster, [(1, set(service("front")))], &["+endpointslice/a/web-1"]);
    check(&mut cluster, [(1, set(service("back")))], &["+endpointslice/a/web-1"]);
    check(&mut cluster, [(1, gone(service("back"))), (2, gone(pod("a", "one", "1")))], &["+endpointslice/a/web-1"]);
}
