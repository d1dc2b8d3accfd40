//! What is known of the cluster, and which targets this makes. Pure: changes go in, updates come out.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::object::{Key, Kind, Object};
use super::roles::{self, View};
use crate::config::AttachMetadata;
use crate::{TargetGroup, Update};

/// The objects that are known.
#[derive(Debug, Default)]
pub(super) struct Objects(BTreeMap<Key, Object>);

impl Objects {
    pub(super) fn get(&self, key: &Key) -> Option<&Object> {
        self.0.get(key)
    }

    /// All of a kind, or those of them in one namespace.
    fn of_kind<'a>(&'a self, kind: Kind, namespace: Option<&'a str>) -> impl Iterator<Item = (&'a Key, &'a Object)> {
        let from = Key::new(kind, namespace.unwrap_or_default(), "");
        self.0.range(from..).take_while(move |(key, _)| key.kind == kind && namespace.is_none_or(|namespace| key.namespace == namespace))
    }
}

impl FromIterator<(Key, Object)> for Objects {
    fn from_iter<I: IntoIterator<Item = (Key, Object)>>(objects: I) -> Self {
        Objects(objects.into_iter().collect())
    }
}

/// What a watch looks at: all objects of a kind, or those of one namespace. (For the kind `Namespace`: the one of that name.)
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) kind: Kind,
    pub(super) namespace: Option<String>,
}

/// What a watch tells.
#[derive(Debug)]
pub(super) enum Change {
    /// A new list begins. What was known stays until it ends.
    ListBegins,
    /// An object of the list.
    Listed(Key, Object),
    /// The list ends: what was not in it is gone.
    ListEnds,
    /// There is a new object, or a new version of one.
    Set(Key, Object),
    /// An object is gone.
    Gone(Key),
}

/// The state of a discovery: objects, and what has been told of them.
#[derive(Debug)]
pub(super) struct Cluster {
    role: Kind,
    attach: AttachMetadata,
    objects: Objects,
    watches: Vec<Watch>,
    /// Objects of the role whose targets may differ from what was told.
    dirty: BTreeSet<Key>,
    /// Digest of the group that was last told of each object that has targets.
    told: BTreeMap<Key, u64>,
    told_synced: bool,
}

#[derive(Debug)]
struct Watch {
    scope: Scope,
    /// Its first list has ended.
    complete: bool,
    /// What the list that is under way has held so far.
    listed: BTreeSet<Key>,
}

impl Watch {
    fn new(scope: Scope) -> Self {
        Watch { scope, complete: false, listed: BTreeSet::new() }
    }

    /// The namespace whose objects it tells of alone.
    fn namespace(&self) -> Option<&str> {
        self.scope.namespace.as_deref()
    }
}

impl Cluster {
    /// Nothing is known yet. Changes are told by the place of their watch in `scopes`.
    pub(super) fn new(role: Kind, attach: AttachMetadata, scopes: impl IntoIterator<Item = Scope>) -> Self {
        Cluster {
            role,
            attach,
            objects: Objects::default(),
            watches: scopes.into_iter().map(Watch::new).collect(),
            dirty: BTreeSet::new(),
            told: BTreeMap::new(),
            told_synced: false,
        }
    }

    /// Takes in what a watch told.
    pub(super) fn apply(&mut self, watch: usize, change: Change) {
        match change {
            Change::ListBegins => self.watches[watch].listed.clear(),
            Change::Listed(key, object) => {
                self.watches[watch].listed.insert(key.clone());
                self.set(key, object);
            }
            Change::ListEnds => self.end_list(watch),
            Change::Set(key, object) => self.set(key, object),
            Change::Gone(key) => self.remove(key),
        }
    }

    /// The next thing to tell, if there is any.
    pub(super) fn next_update(&mut self) -> Option<Update> {
        while let Some(key) = self.dirty.pop_first() {
            let view = View { objects: &self.objects, attach: self.attach };
            let targets = self.objects.get(&key).map(|object| roles::targets(object, view)).unwrap_or_default();
            let told = match targets.is_empty() {
                true => self.told.remove(&key).is_none(),
                false => {
                    let digest = digest(&targets);
                    self.told.insert(key.clone(), digest) == Some(digest)
                }
            };
            if !told {
                return Some(Update::Group(TargetGroup { source: key.source(), targets }));
            }
        }
        let synced = !self.told_synced && self.watches.iter().all(|watch| watch.complete);
        self.told_synced |= synced;
        synced.then_some(Update::Synced)
    }

    fn set(&mut self, key: Key, object: Object) {
        self.objects.0.insert(key.clone(), object);
        self.touch(key);
    }

    fn remove(&mut self, key: Key) {
        self.objects.0.remove(&key);
        self.touch(key);
    }

    fn end_list(&mut self, watch: usize) {
        let watch = &mut self.watches[watch];
        let listed = std::mem::take(&mut watch.listed);
        let first = !std::mem::replace(&mut watch.complete, true);
        let scope = watch.scope.clone();
        let gone: Vec<Key> = match (scope.kind, &scope.namespace) {
            (Kind::Namespace, Some(name)) => vec![Key::new(Kind::Namespace, "", name)],
            (kind, namespace) => self.objects.of_kind(kind, namespace.as_deref()).map(|(key, _)| key.clone()).collect(),
        };
        for key in gone.into_iter().filter(|key| !listed.contains(key)) {
            self.remove(key);
        }
        if first {
            self.touch_all_ready();
        }
    }

    /// Notes whose targets may change with the object of `key`.
    fn touch(&mut self, key: Key) {
        if key.kind == self.role {
            if self.ready(&key.namespace) {
                self.dirty.insert(key);
            }
            return;
        }
        let namespace = match key.kind {
            Kind::Node => None,
            Kind::Namespace => Some(key.name.as_str()),
            _ => Some(key.namespace.as_str()),
        };
        let touched = self.objects.of_kind(self.role, namespace).filter(|(_, object)| roles::depends(object, &key));
        let touched: Vec<Key> = touched.map(|(key, _)| key.clone()).filter(|key| self.ready(&key.namespace)).collect();
        self.dirty.extend(touched);
    }

    fn touch_all_ready(&mut self) {
        let ready = self.objects.of_kind(self.role, None).map(|(key, _)| key).filter(|key| self.ready(&key.namespace));
        let ready: Vec<Key> = ready.cloned().collect();
        self.dirty.extend(ready);
    }

    /// Whether all that objects of this namespace are joined with is known. Until then nothing is told of them: a target that lacks labels is another target.
    fn ready(&self, namespace: &str) -> bool {
        let joined = self.watches.iter().filter(|watch| watch.scope.kind != self.role);
        joined.filter(|watch| watch.namespace().is_none_or(|own| own == namespace)).all(|watch| watch.complete)
    }
}

fn digest(targets: &[crate::LabelSet]) -> u64 {
    let mut hasher = DefaultHasher::new();
    targets.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
