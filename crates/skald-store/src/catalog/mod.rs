//! Which data objects are live, and their footers.

mod metrics;
mod object;
mod read;
mod swap;
mod table;

pub use metrics::Metrics;
pub use object::{DataObject, OpenObject, ReadError};
pub(crate) use swap::covers;
pub use table::Table;

use crate::{ObjectName, ObjectStore, StoreError, TableId};
use parking_lot::{Mutex, RwLock};
use quick_cache::sync::Cache;
use read::{FooterPart, FooterWeight, PageWeight};
use skald_block::{EncodedObject, FilterPage, ObjectSummary, Section};
use skald_model::{Day, DiskId, ErrorKind, Generation, TenantId, TimeRange, Timestamp};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use swap::Taken;
use tracing::warn;

/// Names tried for an object whose first name another object has.
const ATTEMPTS_MAX: u32 = 16;

/// The live data objects of this process: listed at start, then kept true by its own flushes and removals.
pub struct Catalog {
    store: Arc<dyn ObjectStore>,
    live: RwLock<BTreeMap<TenantId, BTreeMap<Day, Arc<Table>>>>,
    /// No longer live, and still in the store: a reader may hold them.
    retired: Mutex<Vec<Arc<DataObject>>>,
    footers: Cache<(u64, Section), FooterPart, FooterWeight>,
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
            retired: Mutex::default(),
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
                Ok(name) => catalog.add(name, meta.size),
                Err(_) => warn!(name = meta.name, "left alone a file that is not a data object"),
            };
        }
        Ok(catalog)
    }

    fn add(&self, name: ObjectName, size: u64) {
        let id = name.table.clone();
        let object = Arc::new(DataObject::new(self.next_id.fetch_add(1, Ordering::Relaxed), name, size));
        self.change(&id, |table| {
            if table.objects.iter().all(|known| known.name != object.name) {
                self.metrics.objects.inc();
                self.metrics.bytes.inc_by(size as i64);
                table.objects.push(object);
            }
        });
    }

    /// Changes a table in one step: readers have it as it was, or as it is then. A table without objects is forgotten.
    fn change<T>(&self, id: &TableId, change: impl FnOnce(&mut Table) -> T) -> T {
        let mut live = self.live.write();
        let days = live.entry(id.tenant.clone()).or_default();
        let table = days.entry(id.day).or_insert_with(|| Arc::new(Table::new(id.clone())));
        let changed = change(Arc::make_mut(table));
        if table.objects.is_empty() {
            days.remove(&id.day);
        }
        if days.is_empty() {
            live.remove(&id.tenant);
        }
        changed
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
            match self.taken(&name).await? {
                Some(Taken::Live(live)) if self.has_digest(&live, &object.summary).await? => return Ok(()),
                Some(_) => {
                    name = name.next_attempt();
                    continue;
                }
                None => {}
            }
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
        let probe = DataObject::new(u64::MAX, name.clone(), size);
        let holds = self.has_digest(&probe, summary).await?;
        if holds {
            self.add(name.clone(), size);
        }
        Ok(holds)
    }

    /// Whether a stored object has the rows that `summary` counts. A damaged one has not.
    async fn has_digest(&self, object: &DataObject, summary: &ObjectSummary) -> Result<bool, PublishError> {
        match self.load_footer(object).await {
            Ok(footer) => Ok(footer.summary.digest == summary.digest),
            Err(ReadError::Damaged { .. }) => Ok(false),
            Err(error) => Err(PublishError::Compare(error)),
        }
    }

    /// The tables of a tenant that may have entries in `range`, oldest day first, each as it is at one instant.
    pub fn tables(&self, tenant: &TenantId, range: TimeRange) -> Vec<Arc<Table>> {
        if range.is_empty() {
            return Vec::new();
        }
        let live = self.live.read();
        let Some(days) = live.get(tenant) else { return Vec::new() };
        let last = Day::of(Timestamp(range.end.0 - 1));
        days.range(Day::of(range.start)..=last).map(|(_, table)| table.clone()).collect()
    }

    /// Live objects of a tenant that may have entries in `range`, oldest day first, in the order in which they became live.
    pub fn objects(&self, tenant: &TenantId, range: TimeRange) -> Vec<Arc<DataObject>> {
        self.tables(tenant, range).iter().flat_map(|table| table.objects.iter().cloned()).collect()
    }

    /// Tenants with live objects.
    pub fn tenants(&self) -> Vec<TenantId> {
        self.live.read().keys().cloned().collect()
    }

    /// Highest generation that any live object of a disk was flushed from.
    pub fn last_generation(&self, disk: DiskId) -> Option<Generation> {
        let live = self.live.read();
        let names = live.values().flat_map(BTreeMap::values).flat_map(|table| &table.objects).map(|object| &object.name);
        names.filter_map(|name| name.last_generation(disk)).max()
    }

    /// Days of a tenant with live objects, oldest first, and their bytes.
    pub fn days(&self, tenant: &TenantId) -> Vec<(Day, u64)> {
        let live = self.live.read();
        live.get(tenant).map(|days| days.iter().map(|(day, table)| (*day, table.bytes())).collect()).unwrap_or_default()
    }

    /// How often objects were removed, for those who keep something of each.
    pub fn removals(&self) -> u64 {
        self.removals.load(Ordering::Acquire)
    }

    /// Numbers of all live objects.
    pub fn object_ids(&self) -> HashSet<u64> {
        self.live.read().values().flat_map(BTreeMap::values).flat_map(|table| &table.objects).map(|object| object.id).collect()
    }

    /// Makes the object `name`, which is in the store, live in place of `old`, in one step. `false` when one of these is no longer live: then nothing
    /// changed, and nobody needs the new one.
    pub fn replace(&self, old: &[Arc<DataObject>], name: ObjectName, size: u64) -> bool {
        let new = Arc::new(DataObject::new(self.next_id.fetch_add(1, Ordering::Relaxed), name, size));
        let replaced = self.change(&new.name.table, |table| {
            let is_old = |object: &Arc<DataObject>| old.iter().any(|old| old.id == object.id);
            if table.objects.iter().filter(|object| is_old(object)).count() < old.len() {
                return false;
            }
            // Where the first of them stood: older rows come first.
            let at = table.objects.iter().position(is_old).unwrap_or(table.objects.len());
            table.objects.insert(at, new.clone());
            table.objects.retain(|object| !is_old(object));
            true
        });
        if replaced {
            self.metrics.objects.inc();
            self.metrics.bytes.inc_by(size as i64);
            self.retire(old.to_vec());
        }
        replaced
    }

    /// Removes all objects of a tenant's day for new readers, and gives their bytes. [`Catalog::sweep`] then takes them out of the store.
    pub fn remove_day(&self, tenant: &TenantId, day: Day) -> u64 {
        let id = TableId { tenant: tenant.clone(), day };
        let gone = self.change(&id, |table| std::mem::take(&mut table.objects));
        let bytes = gone.iter().map(|object| object.size).sum();
        self.retire(gone);
        bytes
    }

    /// Takes over objects that were just taken out of their table.
    fn retire(&self, gone: Vec<Arc<DataObject>>) {
        for object in &gone {
            self.forget(object);
            self.removals.fetch_add(1, Ordering::Release);
            self.metrics.objects.dec();
            self.metrics.bytes.dec_by(object.size as i64);
        }
        self.retired.lock().extend(gone);
        self.metrics.retired.set(self.retired.lock().len() as i64);
    }

    /// Deletes the objects that are no longer live and that no reader holds any more. Those that readers still hold go at a later call.
    ///
    /// # Errors
    /// When the store fails; what was not deleted is tried again at the next call.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        let mut free: Vec<(u64, String)> = {
            let retired = self.retired.lock();
            // A footer that was opened while its object was retired came into the cache after it was taken out.
            retired.iter().for_each(|object| self.forget(object));
            let unheld = retired.iter().filter(|object| Arc::strong_count(object) == 1);
            unheld.map(|object| (object.id, object.path.clone())).collect()
        };
        // What lies on the local disk alone can go while the store is away.
        free.sort_by_key(|(_, path)| self.store.is_stored(path));
        for (id, path) in free {
            self.store.delete(&path).await?;
            let mut retired = self.retired.lock();
            retired.retain(|object| object.id != id);
            self.metrics.retired.set(retired.len() as i64);
        }
        Ok(())
    }
}

fn folder(path: &str) -> String {
    path.rsplit_once('/').map(|(folder, _)| format!("{folder}/")).unwrap_or_default()
}
