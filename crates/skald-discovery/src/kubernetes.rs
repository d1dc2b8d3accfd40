//! Targets from the objects of a Kubernetes cluster.
//!
//! A discovery watches the objects of its role, and those whose labels their targets carry, and tells one group for each object of the role
//! (source `pod/namespace/name`) when its targets change. `objects` knows what is known and what it makes, `roles` turns one object into targets, and
//! `watch` follows the API server: list, watch, resume where a watch broke off, list again where the server has forgotten that place.
//!
//! Of each object only what labels are made of is kept. Nothing is told of an object before everything that it is joined with has been listed once.

mod client;
mod labels;
mod object;
mod objects;
mod request;
mod roles;
mod watch;

#[cfg(test)]
mod test_server;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{BoxStream, SelectAll};
use k8s_openapi::NamespaceResourceScope;
use kube::runtime::watcher;
use kube::{Api, Client};
use skald_model::seam::{Clock, Disk, Random};

pub use client::KubernetesError;

use crate::config::{AttachMetadata, KubernetesSdConfig, Role};
use crate::{Discovery, DiscoveryStats, Update};
use client::Connection;
use object::{EndpointSlice, Endpoints, Ingress, Kind, Namespace, Node, Observed, Pod, Service};
use objects::{Change, Cluster, Scope};
use watch::Ground;

/// Objects of a page of a list.
const PAGE: u32 = 100;

/// What a discovery touches the world by.
#[derive(Clone)]
pub struct KubernetesSeams {
    /// Pauses between attempts.
    pub clock: Arc<dyn Clock>,
    /// Spreads these pauses.
    pub random: Arc<dyn Random>,
    /// Files with tokens and certificates.
    pub disk: Arc<dyn Disk>,
}

/// Targets from one item of `kubernetes_sd_configs`.
pub struct KubernetesDiscovery {
    cluster: Cluster,
    changes: SelectAll<BoxStream<'static, (usize, Change)>>,
    stats: Arc<DiscoveryStats>,
}

impl KubernetesDiscovery {
    /// Prepares to ask the API server; the first request is sent by [`Discovery::next`].
    ///
    /// Role `pod` sees the pods of node `hostname` alone, if that is not empty.
    ///
    /// # Errors
    /// [`KubernetesError`] when the configuration cannot be used or names files that cannot be read. A server that does not answer is no error here.
    pub async fn connect(
        config: &KubernetesSdConfig,
        hostname: &str,
        seams: KubernetesSeams,
        stats: Arc<DiscoveryStats>,
    ) -> Result<Self, KubernetesError> {
        let connection = client::connect(config, seams.clock.clone(), seams.disk).await?;
        let ground = Ground { clock: seams.clock, random: seams.random, stats: stats.clone() };
        let role = kind_of(config.role);
        let scopes = scopes(config, &connection.own_namespace);
        let selectors = Selectors { config, node: Some(hostname).filter(|node| role == Kind::Pod && !node.is_empty()) };
        let changes = scopes.iter().enumerate().map(|(number, scope)| follow(number, scope, &selectors, &connection, &ground)).collect();
        Ok(KubernetesDiscovery { cluster: Cluster::new(role, config.attach_metadata, scopes), changes, stats })
    }
}

#[async_trait]
impl Discovery for KubernetesDiscovery {
    async fn next(&mut self) -> Update {
        loop {
            if let Some(update) = self.cluster.next_update() {
                if matches!(update, Update::Group(_)) {
                    self.stats.count_update();
                }
                return update;
            }
            match self.changes.next().await {
                Some((watch, change)) => self.cluster.apply(watch, change),
                None => std::future::pending().await,
            }
        }
    }
}

fn kind_of(role: Role) -> Kind {
    match role {
        Role::Node => Kind::Node,
        Role::Service => Kind::Service,
        Role::Pod => Kind::Pod,
        Role::Endpoints => Kind::Endpoints,
        Role::EndpointSlice => Kind::EndpointSlice,
        Role::Ingress => Kind::Ingress,
    }
}

/// Everything that is watched: the kinds that a role needs, each in the namespaces that are asked for.
fn scopes(config: &KubernetesSdConfig, own_namespace: &str) -> Vec<Scope> {
    let mut namespaces = config.namespaces.names.clone();
    if config.namespaces.own_namespace {
        namespaces.push(own_namespace.to_owned());
    }
    namespaces.sort();
    namespaces.dedup();
    let each_namespace = || match namespaces.is_empty() {
        true => vec![None],
        false => namespaces.iter().cloned().map(Some).collect(),
    };
    let scope = |kind: Kind| match kind {
        Kind::Node => vec![Scope { kind, namespace: None }],
        _ => each_namespace().into_iter().map(|namespace| Scope { kind, namespace }).collect(),
    };
    kinds(config.role, config.attach_metadata).into_iter().flat_map(scope).collect()
}

fn kinds(role: Role, attach: AttachMetadata) -> Vec<Kind> {
    let mut kinds = vec![kind_of(role)];
    if matches!(role, Role::Endpoints | Role::EndpointSlice) {
        kinds.extend([Kind::Service, Kind::Pod]);
    }
    if attach.node && matches!(role, Role::Pod | Role::Endpoints | Role::EndpointSlice) {
        kinds.push(Kind::Node);
    }
    if attach.namespace && role != Role::Node {
        kinds.push(Kind::Namespace);
    }
    kinds
}

/// Which objects of each kind are asked for.
struct Selectors<'a> {
    config: &'a KubernetesSdConfig,
    /// The one node that matters.
    node: Option<&'a str>,
}

impl Selectors<'_> {
    fn watcher_config(&self, scope: &Scope) -> watcher::Config {
        let selector = self.config.selectors.iter().find(|selector| kind_of(selector.role) == scope.kind);
        let own = match (scope.kind, self.node, &scope.namespace) {
            (Kind::Pod, Some(node), _) => Some(format!("spec.nodeName={node}")),
            (Kind::Node, Some(node), _) => Some(format!("metadata.name={node}")),
            (Kind::Namespace, _, Some(name)) => Some(format!("metadata.name={name}")),
            _ => None,
        };
        let fields: Vec<&str> = selector
            .and_then(|selector| selector.field.as_deref())
            .into_iter()
            .chain(own.as_deref())
            .filter(|text| !text.is_empty())
            .collect();
        let mut config = watcher::Config { field_selector: (!fields.is_empty()).then(|| fields.join(",")), ..watcher::Config::default() };
        config.label_selector = selector.and_then(|selector| selector.label.clone()).filter(|text| !text.is_empty());
        match own {
            // Few objects, for which the server has an index in its cache; a list by pages would go through all there are in its database.
            Some(_) => {
                config.list_semantic = watcher::ListSemantic::Any;
                config.page_size = None;
            }
            None => config.page_size = Some(PAGE),
        }
        config
    }
}

/// Begins to watch.
fn follow(
    number: usize,
    scope: &Scope,
    selectors: &Selectors<'_>,
    connection: &Connection,
    ground: &Ground,
) -> BoxStream<'static, (usize, Change)> {
    let (client, config, ground) = (connection.client.clone(), selectors.watcher_config(scope), ground.clone());
    let namespace = scope.namespace.as_deref();
    match scope.kind {
        Kind::Node => watch::changes::<Node>(number, Api::all(client), config, ground),
        Kind::Namespace => watch::changes::<Namespace>(number, Api::all(client), config, ground),
        Kind::Pod => watch::changes::<Pod>(number, api(client, namespace), config, ground),
        Kind::Service => watch::changes::<Service>(number, api(client, namespace), config, ground),
        Kind::Endpoints => watch::changes::<Endpoints>(number, api(client, namespace), config, ground),
        Kind::EndpointSlice => watch::changes::<EndpointSlice>(number, api(client, namespace), config, ground),
        Kind::Ingress => watch::changes::<Ingress>(number, api(client, namespace), config, ground),
    }
}

fn api<K: Observed + kube::Resource<Scope = NamespaceResourceScope>>(client: Client, namespace: Option<&str>) -> Api<K> {
    match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    }
}
