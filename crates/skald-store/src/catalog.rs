//! Which data objects are live, and their footers.

use crate::{ObjectName, ObjectStore, StoreError};
use bytes::Bytes;
use parking_lot::RwLock;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use skald_block::{EncodedObject, FilterIndex, FilterPage, Footer, FormatError, ObjectSummary, Trailer};
use skald_model::seam::{CpuPool, Stopped, run_on_pool};
use skald_model::{Day, DiskId, ErrorKind, Generation, Labels, TenantId, TimeRange, Timestamp};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tracing::warn;

/// Names tried for an object whose first name another object has.
const ATTEMPTS_MAX: u32 = 16;
/// Bytes read at first from an object's end: most footers fit.
const TAIL_BYTES: u64 = 64 * 1024;

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

/// A live data object.
#[derive(Debug)]
pub struct DataObject {
    id: u64,
    /// What its name says.
    pub name: ObjectName,
    /// Name in the store.
    pub path: String,
    /// Bytes.
    pub size: u64,
}

impl DataObject {
    /// Number of the object in this process.
    pub fn id(&self) -> u64 {
        self.id
    }
}

/// A data object with its footer at hand.
pub struct OpenObject {
    /// The object.
    pub object: Arc<DataObject>,
    /// Its footer.
    pub footer: Footer,
    /// Labels of its streams, by stream number.
    pub labels: Vec<Labels>,
}

impl OpenObject {
    /// Bytes of memory held, about.
    pub fn heap_bytes(&self) -> usize {
        let labels: usize = self.labels.iter().map(|labels| labels.text_len() + 16 * labels.len() + 64).sum();
        self.footer.heap_bytes() + labels
    }
}

/// Sizes of the catalogue's caches.
#[derive(Debug, Clone, Copy)]
pub struct CacheSizes {
    /// Bytes of footers.
    pub footers: u64,
    /// Bytes of filter pages.
    pub pages: u64,
}

/// Why a part of a data object could not be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// The store did not give the bytes.
    #[error("read data object '{path}'")]
    Store {
        /// Its name.
        path: String,
        /// Cause.
        #[source]
        source: Arc<StoreError>,
    },
    /// Its footer was not taken apart: the process stops, or a fault of ours.
    #[error("the footer of data object '{path}' was not read to its end")]
    Stopped {
        /// Its name.
        path: String,
    },
    /// The bytes are not what was written.
    #[error("data object '{path}' is damaged")]
    Damaged {
        /// Its name.
        path: String,
        /// Cause.
        #[source]
        source: FormatError,
    },
}

impl ReadError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store { source, .. } => source.kind(),
            Self::Stopped { .. } => ErrorKind::Internal,
            Self::Damaged { .. } => ErrorKind::Corrupt,
        }
    }
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
        let of_day = live.entry(object.name.tenant.clone()).or_default().entry(object.name.day).or_default();
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
        while name.attempt < ATTEMPTS_MAX {
            let path = name.to_string();
            match self.store.put_if_absent(&path, bytes.clone()).await {
                Ok(()) => {
                    self.add(name, bytes.len() as u64);
                    return Ok(());
                }
                Err(StoreError::AlreadyExists(_)) if self.holds(&name, &object.summary).await? => return Ok(()),
                Err(StoreError::AlreadyExists(_)) => name.attempt += 1,
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
        names.filter(|name| name.disk == disk).map(|name| name.at.generation).max()
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

    /// The object with its footer, from the cache if it is there; else the footer is taken apart on `pool`.
    ///
    /// # Errors
    /// When the store does not give it, or it is damaged.
    pub async fn open_object(&self, object: &Arc<DataObject>, pool: &dyn CpuPool) -> Result<Arc<OpenObject>, ReadError> {
        if let Some(open) = self.footers.get(&object.id) {
            self.metrics.footer_hits.inc();
            return Ok(open);
        }
        self.metrics.footer_misses.inc();
        let (trailer, bytes) = self.read_footer(object).await?;
        let of_object = object.clone();
        let parse = move || {
            let footer = parse_footer(&of_object, &trailer, &bytes)?;
            let labels = (0..footer.streams.len() as u32).map(|stream| footer.streams.labels(stream)).collect();
            Ok(Arc::new(OpenObject { object: of_object, footer, labels }))
        };
        let stopped = |Stopped| ReadError::Stopped { path: object.path.clone() };
        let open = run_on_pool(pool, parse).await.map_err(stopped)??;
        self.footers.insert(object.id, open.clone());
        self.metrics.footer_bytes.set(self.footers.weight() as i64);
        Ok(open)
    }

    async fn load_footer(&self, object: &DataObject) -> Result<Footer, ReadError> {
        let (trailer, bytes) = self.read_footer(object).await?;
        parse_footer(object, &trailer, &bytes)
    }

    async fn read_footer(&self, object: &DataObject) -> Result<(Trailer, Bytes), ReadError> {
        let damaged = |source| ReadError::Damaged { path: object.path.clone(), source };
        let tail_start = object.size.saturating_sub(TAIL_BYTES.max(Trailer::LEN as u64));
        let tail = self.read(object, tail_start..object.size).await?;
        let trailer = Trailer::parse(&tail, object.size).map_err(damaged)?;
        let range = trailer.footer_range();
        let footer = if range.start >= tail_start {
            tail.slice((range.start - tail_start) as usize..(range.end - tail_start) as usize)
        } else {
            self.read(object, range).await?
        };
        Ok((trailer, footer))
    }

    /// Bytes of an object.
    ///
    /// # Errors
    /// When the store does not give them.
    pub async fn read(&self, object: &DataObject, range: Range<u64>) -> Result<Bytes, ReadError> {
        let read = self.store.get_range(&object.path, range).await;
        read.map_err(|source| ReadError::Store { path: object.path.clone(), source: Arc::new(source) })
    }

    /// Several ranges of an object's bytes at once.
    ///
    /// # Errors
    /// When the store does not give them.
    pub async fn read_ranges(&self, object: &DataObject, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>, ReadError> {
        let read = self.store.get_ranges(&object.path, ranges).await;
        read.map_err(|source| ReadError::Store { path: object.path.clone(), source: Arc::new(source) })
    }

    /// Pages of an object's filters by number, from the cache where they are there.
    ///
    /// # Errors
    /// When the store does not give one, or it is damaged.
    pub async fn filter_pages(
        &self,
        open: &OpenObject,
        filters: &FilterIndex,
        numbers: &[u32],
    ) -> Result<HashMap<u32, FilterPage>, ReadError> {
        let object = &open.object;
        let cached = |number: &u32| self.pages.get(&(object.id, *number)).map(|page| (*number, page));
        let mut pages: HashMap<u32, FilterPage> = numbers.iter().filter_map(cached).collect();
        let missing: Vec<u32> = numbers.iter().copied().filter(|number| !pages.contains_key(number)).collect();
        if !missing.is_empty() {
            let ranges = missing.iter().map(|number| filters.page_range(*number)).collect();
            for (number, bytes) in missing.into_iter().zip(self.read_ranges(object, ranges).await?) {
                let damaged = |source| ReadError::Damaged { path: object.path.clone(), source };
                let page = filters.parse_page(number, &bytes).map_err(damaged)?;
                self.pages.insert((object.id, number), page.clone());
                pages.insert(number, page);
            }
            self.metrics.page_bytes.set(self.pages.weight() as i64);
        }
        Ok(pages)
    }
}

fn parse_footer(object: &DataObject, trailer: &Trailer, bytes: &[u8]) -> Result<Footer, ReadError> {
    Footer::parse(trailer, bytes).map_err(|source| ReadError::Damaged { path: object.path.clone(), source })
}

fn folder(path: &str) -> String {
    path.rsplit_once('/').map(|(folder, _)| format!("{folder}/")).unwrap_or_default()
}

#[derive(Clone)]
struct FooterWeight;

impl Weighter<u64, Arc<OpenObject>> for FooterWeight {
    fn weight(&self, _id: &u64, open: &Arc<OpenObject>) -> u64 {
        open.heap_bytes() as u64
    }
}

#[derive(Clone)]
struct PageWeight;

impl Weighter<(u64, u32), FilterPage> for PageWeight {
    fn weight(&self, _key: &(u64, u32), page: &FilterPage) -> u64 {
        page.heap_bytes() as u64 + 64
    }
}

/// Every metric of the catalogue.
pub struct Metrics {
    objects: Gauge,
    bytes: Gauge,
    footer_bytes: Gauge,
    footer_hits: Counter,
    footer_misses: Counter,
    page_bytes: Gauge,
}

impl Metrics {
    /// Makes the metrics and registers them.
    pub fn register(registry: &mut Registry, sizes: CacheSizes) -> Self {
        let metrics = Metrics {
            objects: Gauge::default(),
            bytes: Gauge::default(),
            footer_bytes: Gauge::default(),
            footer_hits: Counter::default(),
            footer_misses: Counter::default(),
            page_bytes: Gauge::default(),
        };
        let (footer_limit, page_limit) = (Gauge::<i64>::default(), Gauge::<i64>::default());
        footer_limit.set(sizes.footers as i64);
        page_limit.set(sizes.pages as i64);
        let registry = registry.sub_registry_with_prefix("store");
        registry.register("objects", "Live data objects", metrics.objects.clone());
        registry.register("object_bytes", "Bytes of live data objects", metrics.bytes.clone());
        registry.register("footer_cache_bytes", "Bytes of footers in the cache", metrics.footer_bytes.clone());
        registry.register("footer_cache_bytes_limit", "Bytes of footers that the cache may hold", footer_limit);
        registry.register("footer_cache_hits", "Footers found in the cache", metrics.footer_hits.clone());
        registry.register("footer_cache_misses", "Footers read from the store", metrics.footer_misses.clone());
        registry.register("filter_cache_bytes", "Bytes of filter pages in the cache", metrics.page_bytes.clone());
        registry.register("filter_cache_bytes_limit", "Bytes of filter pages that the cache may hold", page_limit);
        metrics
    }
}
