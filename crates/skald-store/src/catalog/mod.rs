//! Which data objects are live, and their footers.

mod manifests;
mod metrics;
mod object;
mod read;
mod refresh;
mod removal;
mod slot;
mod swap;
mod table;
#[cfg(test)]
mod tests;

pub use manifests::{Publisher, TableError};
pub use metrics::Metrics;
pub use object::{DataObject, OpenObject, ReadError};
pub use removal::TidyError;
pub use slot::Uncovered;
pub(crate) use swap::covers;
pub use table::Table;

use crate::manifest::Listing;
use crate::table_index::Shelf;
use crate::{ObjectName, ObjectStore, StoreError, TableFile, TableId};
use futures::future::join_all;
use manifests::LOADS_MAX;
use parking_lot::{Mutex, RwLock};
use quick_cache::sync::Cache;
use read::{FooterPart, FooterWeight, PageWeight};
use removal::Removal;
use skald_block::{EncodedObject, FilterPage, ObjectSummary, Section};
use skald_model::seam::Clock;
use skald_model::{Day, DiskId, ErrorKind, Generation, TenantId, TimeRange, Timestamp};
use slot::Slot;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use swap::Taken;
use tokio::sync::Semaphore;
use tracing::warn;

/// Names tried for an object whose first name another object has.
const ATTEMPTS_MAX: u32 = 16;

/// The live data objects of this process: listed at start, then kept true by its own flushes, publications and removals.
///
/// The listing at start reads nothing. The newest manifest of a table is read when the table is first asked for.
pub struct Catalog {
    store: Arc<dyn ObjectStore>,
    clock: Arc<dyn Clock>,
    live: RwLock<BTreeMap<TenantId, BTreeMap<Day, Slot>>>,
    /// No longer live, and still in the store: a reader may hold them.
    retired: Mutex<Vec<Arc<DataObject>>>,
    /// Tables that were taken away, and are not gone from the store.
    leaving: Mutex<Vec<Removal>>,
    /// Bounds the manifests that are read at a time.
    loads: Semaphore,
    indexes: Arc<Shelf>,
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
    /// Bytes of open index files.
    pub indexes: u64,
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
    /// Lists the store, and reads nothing. Files whose names are not ours are left alone and logged.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub async fn open(store: Arc<dyn ObjectStore>, clock: Arc<dyn Clock>, sizes: CacheSizes, metrics: Metrics) -> Result<Self, StoreError> {
        let catalog = Catalog {
            indexes: Shelf::new(store.clone(), sizes.indexes, metrics.index.clone()),
            store,
            clock,
            live: RwLock::default(),
            retired: Mutex::default(),
            leaving: Mutex::default(),
            loads: Semaphore::new(LOADS_MAX),
            footers: Cache::with_weighter(1024, sizes.footers, FooterWeight),
            pages: Cache::with_weighter(4096, sizes.pages, PageWeight),
            next_id: AtomicU64::new(0),
            removals: AtomicU64::new(0),
            metrics,
        };
        let mut tables: BTreeMap<TableId, Listing> = BTreeMap::new();
        for meta in catalog.store.list("").await? {
            if meta.name.starts_with('~') {
                continue; // Who owns the store, and what was tried out on it.
            }
            match meta.name.parse::<TableFile>() {
                Ok(file) => tables.entry(file.table().clone()).or_default().add(file, meta),
                Err(_) => warn!(name = meta.name, "left alone a file that is neither data object, index file nor manifest"),
            };
        }
        let mut live = catalog.live.write();
        for (id, listing) in tables {
            let slot = Slot::listed(id.clone(), listing, || catalog.next_id());
            catalog.metrics.objects.inc_by(slot.table.objects.len() as i64);
            catalog.metrics.bytes.inc_by(slot.table.bytes() as i64);
            live.entry(id.tenant).or_default().insert(id.day, slot);
        }
        drop(live);
        Ok(catalog)
    }

    fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    fn add(&self, name: ObjectName, size: u64) {
        let id = name.table.clone();
        self.change_slot(&id, |slot| {
            if slot.table.objects.iter().all(|known| known.name != name) {
                slot.add(self.count_in(name, size));
            }
        });
    }

    /// A new live object, counted.
    fn count_in(&self, name: ObjectName, size: u64) -> Arc<DataObject> {
        self.metrics.objects.inc();
        self.metrics.bytes.inc_by(size as i64);
        Arc::new(DataObject::new(self.next_id(), name, size))
    }

    /// Counts objects that are no longer live, and lets go of what is kept of them.
    fn count_out(&self, gone: &[Arc<DataObject>]) {
        for object in gone {
            self.forget(object);
            self.removals.fetch_add(1, Ordering::Release);
            self.metrics.objects.dec();
            self.metrics.bytes.dec_by(object.size as i64);
        }
    }

    /// Changes a table in one step: readers have it as it was, or as it is then.
    fn change<T>(&self, id: &TableId, change: impl FnOnce(&mut Table) -> T) -> T {
        self.change_slot(id, |slot| change(Arc::make_mut(&mut slot.table)))
    }

    /// Changes what is known of a table. One of which nothing is left is forgotten.
    fn change_slot<T>(&self, id: &TableId, change: impl FnOnce(&mut Slot) -> T) -> T {
        let mut live = self.live.write();
        let days = live.entry(id.tenant.clone()).or_default();
        let slot = days.entry(id.day).or_insert_with(|| Slot::new(id.clone()));
        let changed = change(slot);
        if slot.is_empty() {
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

    /// The tables of a tenant that may have entries in `range`, oldest day first, all as they are at one instant. Manifests that were not read yet are
    /// read first.
    pub async fn tables(&self, tenant: &TenantId, range: TimeRange) -> Vec<Arc<Table>> {
        if range.is_empty() {
            return Vec::new();
        }
        let days = Day::of(range.start)..=Day::of(Timestamp(range.end.0 - 1));
        let unread: Vec<TableId> = {
            let live = self.live.read();
            let slots = live.get(tenant).into_iter().flat_map(|known| known.range(days.clone()));
            slots.filter(|(_, slot)| self.needs_reading(slot)).map(|(_, slot)| slot.table.id.clone()).collect()
        };
        join_all(unread.iter().map(|id| self.read_manifest(id))).await;
        let live = self.live.read();
        let slots = live.get(tenant).into_iter().flat_map(|known| known.range(days.clone()));
        let tables = slots.map(|(_, slot)| &slot.table);
        tables.filter(|table| !table.objects.is_empty() || table.problem.is_some()).cloned().collect()
    }

    /// Live objects of a tenant that may have entries in `range`, oldest day first, in the order in which they became live.
    pub async fn objects(&self, tenant: &TenantId, range: TimeRange) -> Vec<Arc<DataObject>> {
        self.tables(tenant, range).await.iter().flat_map(|table| table.objects.iter().cloned()).collect()
    }

    /// Tenants with files in the store.
    pub fn tenants(&self) -> Vec<TenantId> {
        self.live.read().keys().cloned().collect()
    }

    /// Highest generation that any object of a disk was flushed from.
    pub fn last_generation(&self, disk: DiskId) -> Option<Generation> {
        let live = self.live.read();
        let slots = live.values().flat_map(BTreeMap::values);
        let absorbed = slots.clone().flat_map(|slot| &slot.files.others).filter_map(|name| name.parse::<ObjectName>().ok());
        let absorbed = absorbed.filter_map(|name| name.last_generation(disk)).max();
        let objects = slots.flat_map(|slot| &slot.table.objects);
        objects.filter_map(|object| object.name.last_generation(disk)).max().max(absorbed)
    }

    /// Days of a tenant with files in the store, oldest first, and the bytes of their live objects as far as they are known.
    pub fn days(&self, tenant: &TenantId) -> Vec<(Day, u64)> {
        let live = self.live.read();
        let Some(days) = live.get(tenant) else { return Vec::new() };
        let leaving = self.leaving.lock();
        let is_there = |slot: &Slot| !slot.table.objects.is_empty() || leaving.iter().all(|removal| removal.table != slot.table.id);
        days.iter().filter(|(_, slot)| is_there(slot)).map(|(day, slot)| (*day, slot.table.bytes())).collect()
    }

    /// Tables with live objects that are stored and that no index covers, as far as that is known without reading: those that the newest manifest does
    /// not name; all where the index is damaged; those that are newer than a manifest that was not read. Tables with a problem are left out.
    pub fn uncovered(&self) -> Vec<(TableId, Uncovered)> {
        let live = self.live.read();
        let slots = live.values().flat_map(BTreeMap::values);
        let uncovered = slots.map(|slot| (slot.table.id.clone(), self.uncovered_in(slot)));
        uncovered.filter(|(_, uncovered)| uncovered.objects > 0).collect()
    }

    /// The same of one table.
    pub fn uncovered_of(&self, id: &TableId) -> Uncovered {
        let live = self.live.read();
        live.get(&id.tenant).and_then(|days| days.get(&id.day)).map(|slot| self.uncovered_in(slot)).unwrap_or_default()
    }

    fn uncovered_in(&self, slot: &Slot) -> Uncovered {
        slot.uncovered(|object| self.is_stored(object))
    }

    /// Whether an object is where it stays, so that a manifest may name it. In front of a remote store one is not, until it was uploaded.
    pub fn is_stored(&self, object: &DataObject) -> bool {
        self.store.is_stored(&object.path)
    }

    /// How often objects were removed, for those who keep something of each.
    pub fn removals(&self) -> u64 {
        self.removals.load(Ordering::Acquire)
    }

    /// Numbers of all live objects.
    pub fn object_ids(&self) -> HashSet<u64> {
        self.live.read().values().flat_map(BTreeMap::values).flat_map(|slot| &slot.table.objects).map(|object| object.id).collect()
    }

    /// Makes the object `name`, which is in the store, live in place of `old`, in one step. `false` when one of these is no longer live: then nothing
    /// changed, and nobody needs the new one.
    pub fn replace(&self, old: &[Arc<DataObject>], name: ObjectName, size: u64) -> bool {
        let ids: HashSet<u64> = old.iter().map(|object| object.id).collect();
        let is_old = |object: &Arc<DataObject>| ids.contains(&object.id);
        let new = Arc::new(DataObject::new(self.next_id(), name, size));
        let replaced = self.change(&new.name.table, |table| {
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
}

fn folder(path: &str) -> String {
    path.rsplit_once('/').map(|(folder, _)| format!("{folder}/")).unwrap_or_default()
}
