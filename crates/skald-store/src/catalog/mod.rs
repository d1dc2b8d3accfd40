//! Which data objects are live, and their footers.

mod metrics;
mod object;
mod read;

pub use metrics::Metrics;
pub use object::{DataObject, OpenObject, ReadError};

use crate::{ObjectName, ObjectStore, StoreError};
use parking_lot::RwLock;
use quick_cache::sync::Cache;
use read::{FooterWeight, PageWeight};
use skald_block::{EncodedObject, FilterPage, ObjectSummary};
use skald_model::{Day, DiskId, ErrorKind, Generation, TenantId, TimeRange, Timestamp};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tracing::warn;

/// Names tried for an object whose first name another object has.
const ATTEMPTS_MAX: u32 = 16;

/// The live data objects of this process: listed at start, then kept true by its own flushes and removals.
pub struct Catalog {
    store: Arc<dyn ObjectStore>,
    live: RwLock<BTreeMap<TenantId, BTreeMap<Day, Vec<Arc<DataObject>>>>>,
    footers: Cache<u64, Arc<OpenObject>, FooterWeight>,
    pages: Cache<(u64, u32), FilterPage, PageWeight>,
    next_id: AtomicU64,
    removals: AtomicU64,
    metrics: Metrics,
}

/// Sizes of the catalogue's caches.
#[derive(Debug, Clone, Copy)]
pub struct CacheSizes {
    /// Bytes of footers.
    pub footers: u64,
    /// Bytes of filter pages.
    pub pages: u64,
}

/// Why a data object could not be made live.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The store did not take it.
    #[error("put data object '{path}'")]
    Store {
        /// Its name.
        path: String,
        /// Cause.
        #[source]
        source: StoreError,
    },
    /// An object of this name is there and cannot be compared.
    #[error("compare with the object that has the name already")]
    Compare(#[source] ReadError),
    /// Every name tried is taken by another object.
    #[error("'{0}' and its successors are taken by other objects")]
    NamesTaken(String),
}

impl PublishError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store { source, .. } => source.kind(),
            Self::Compare(source) => source.kind(),
            Self::NamesTaken(_) => ErrorKind::Internal,
        }
    }
}

impl Catalog {
    /// Lists the store. Objects whose names are not ours are left alone and logged.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub async fn open(store: Arc<dyn ObjectStore>, sizes: CacheSizes, metrics: Metrics) -> Result<Self, StoreError> {
        let catalog = Catalog {
            store,
            live: RwLock::default(),
            footers: Cache::with_weighter(1024, sizes.footers, FooterWeight),
            pages: Cache::with_weighter(4096, sizes.pages, PageWeight),
            next_id: AtomicU64::new(0),
            removals: AtomicU64::new(0),
            metrics,
        };
        for meta in catalog.store.list("").await? {
            if meta.name.starts_with('~') {
                continue; // Who owns the store, and what was tried out on it.
            }
            match meta.name.parse::<ObjectName>() {
                Ok(name) => drop(catalog.add(name, meta.size)),
                Err(_) => warn!(name = meta.name, "left alone a file that is not a data object"),
            };
        }
        Ok(catalog)
    }

    fn add(&self, name: ObjectName, size: u64) -> Arc<DataObject> {
        let object = Arc::new(DataObject { id: self.next_id.fetch_add(1, Ordering::Relaxed), path: name.to_string(), name, size });
        let mut live = self.live.write();
        let of_day = live.entry(object.name.table.tenant.clone()).or_default().entry(object.name.table.day).or_default();
        if let Some(known) = of_day.iter().find(|known| known.name == object.name) {
            return known.clone();
        }
        of_day.push(object.clone());
        self.metrics.objects.inc();
        self.metrics.bytes.inc_by(size as i64);
        object
    }

    /// Puts an object under `name` and makes it live. When the name is taken by an object with the same rows, that one is the object;
    /// when it is taken by another, the next name is tried.
    ///
    /// # Errors
    /// When the store fails; calling again is safe.
    pub async fn publish(&self, mut name: ObjectName, object: EncodedObject) -> Result<(), PublishError> {
        let bytes = object.bytes;
        let first = name.to_string();
        for _ in 0..ATTEMPTS_MAX {
            let path = name.to_string();
            match self.store.put_if_absent(&path, bytes.clone()).await {
                Ok(()) => {
                    self.add(name, bytes.len() as u64);
                    return Ok(());
                }
                Err(StoreError::AlreadyExists(_)) if self.holds(&name, &object.summary).await? => return Ok(()),
                Err(StoreError::AlreadyExists(_)) => name = name.next_attempt(),
                Err(source) => return Err(PublishError::Store { path, source }),
            }
        }
        Err(PublishError::NamesTaken(first))
    }

    /// Whether the stored object of this name has the rows that `summary` counts; it is live then. A damaged one has not.
    async fn holds(&self, name: &ObjectName, summary: &ObjectSummary) -> Result<bool, PublishError> {
        let path = name.to_string();
        let size = match self.store.list(&folder(&path)).await {
            Ok(metas) => metas.into_iter().find(|meta| meta.name == path).map(|meta| meta.size),
            Err(source) => return Err(PublishError::Store { path, source }),
        };
        let Some(size) = size else { return Ok(false) };
        let probe = DataObject { id: u64::MAX, name: name.clone(), path, size };
        match self.load_footer(&probe).await {
            Ok(footer) if footer.summary.digest == summary.digest => {
                self.add(name.clone(), size);
                Ok(true)
            }
            Ok(_) | Err(ReadError::Damaged { .. }) => Ok(false),
            Err(error) => Err(PublishError::Compare(error)),
        }
    }

    /// Live objects of a tenant that may have entries in `range`, oldest day first, in the order in which they became live.
    pub fn objects(&self, tenant: &TenantId, range: TimeRange) -> Vec<Arc<DataObject>> {
        if range.is_empty() {
            return Vec::new();
        }
        let live = self.live.read();
        let Some(days) = live.get(tenant) else { return Vec::new() };
        let last = Day::of(Timestamp(range.end.0 - 1));
        days.range(Day::of(range.start)..=last).flat_map(|(_, objects)| objects.iter().cloned()).collect()
    }

    /// Tenants with live objects.
    pub fn tenants(&self) -> Vec<TenantId> {
        self.live.read().keys().cloned().collect()
    }

    /// Highest generation that any live object of a disk was flushed from.
    pub fn last_generation(&self, disk: DiskId) -> Option<Generation> {
        let live = self.live.read();
        let names = live.values().flat_map(BTreeMap::values).flatten().map(|object| &object.name);
        names.filter_map(|name| name.last_generation(disk)).max()
    }

    /// Days of a tenant with live objects, oldest first, and their bytes.
    pub fn days(&self, tenant: &TenantId) -> Vec<(Day, u64)> {
        let live = self.live.read();
        let bytes = |objects: &Vec<Arc<DataObject>>| objects.iter().map(|object| object.size).sum();
        live.get(tenant).map(|days| days.iter().map(|(day, objects)| (*day, bytes(objects))).collect()).unwrap_or_default()
    }

    /// How often objects were removed, for those who keep something of each.
    pub fn removals(&self) -> u64 {
        self.removals.load(Ordering::Acquire)
    }

    /// Numbers of all live objects.
    pub fn object_ids(&self) -> HashSet<u64> {
        self.live.read().values().flat_map(BTreeMap::values).flatten().map(|object| object.id).collect()
    }

    /// Removes all objects of a tenant's day: readers stop seeing them first, then the store lets go of them.
    ///
    /// # Errors
    /// When the store fails; what was not removed is live again.
    pub async fn remove_day(&self, tenant: &TenantId, day: Day) -> Result<u64, StoreError> {
        let gone = self.live.write().get_mut(tenant).and_then(|days| days.remove(&day)).unwrap_or_default();
        let mut bytes = 0;
        for (i, object) in gone.iter().enumerate() {
            if let Err(error) = self.store.delete(&object.path).await {
                let mut live = self.live.write();
                live.entry(tenant.clone()).or_default().entry(day).or_default().extend(gone[i..].iter().cloned());
                return Err(error);
            }
            self.footers.remove(&object.id);
            self.removals.fetch_add(1, Ordering::Release);
            self.metrics.objects.dec();
            self.metrics.bytes.dec_by(object.size as i64);
            bytes += object.size;
        }
        let mut live = self.live.write();
        if live.get(tenant).is_some_and(BTreeMap::is_empty) {
            live.remove(tenant);
        }
        Ok(bytes)
    }
}

fn folder(path: &str) -> String {
    path.rsplit_once('/').map(|(folder, _)| format!("{folder}/")).unwrap_or_default()
}
