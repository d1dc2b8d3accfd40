//! The index file of a table, read from the store: its core once, rows by range.

mod select;
#[cfg(test)]
mod tests;

pub use select::{IndexSelection, RowRead};

use crate::chain::chain;
use crate::{DataObject, ObjectStore, StoreError};
use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use skald_index::{FormatError, Index, Layout, QueryError};
use skald_model::seam::{CpuPool, Stopped, run_on_pool};
use skald_model::{ErrorKind, Timestamp};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::Mutex as AsyncMutex;
use tracing::warn;

/// Bytes read at first from a file's end: the cores of most indexes fit.
const TAIL_BYTES: u64 = 64 * 1024;

/// The index file that a table's manifest names. What it says holds for the objects that it covers, and for no others.
pub struct TableIndex {
    id: u64,
    name: String,
    size: u64,
    shelf: Arc<Shelf>,
    /// Held by the one who opens it.
    opening: AsyncMutex<()>,
    damaged: AtomicBool,
}

/// Where open index files are kept, within a bound.
pub(crate) struct Shelf {
    store: Arc<dyn ObjectStore>,
    open: Cache<u64, Arc<OpenIndex>, OpenWeight>,
    next_id: AtomicU64,
    metrics: IndexMetrics,
}

/// Metrics of index files.
#[derive(Clone, Default)]
pub(crate) struct IndexMetrics {
    bytes: Gauge,
    hits: Counter,
    misses: Counter,
    damaged: Counter,
    row_bytes: Counter,
}

/// Why an index did not answer. The table can be read by the footers of its objects then.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The store did not give the bytes.
    #[error("read index file '{name}'")]
    Store {
        /// Its name.
        name: String,
        /// Cause.
        #[source]
        source: StoreError,
    },
    /// The bytes are not what was written.
    #[error("index file '{name}' is damaged")]
    Damaged {
        /// Its name.
        name: String,
        /// Cause.
        #[source]
        source: FormatError,
    },
    /// It was found to be damaged before.
    #[error("index file '{0}' is known to be damaged")]
    KnownDamaged(String),
    /// The question is wrong.
    #[error("ask index file '{name}'")]
    Question {
        /// Its name.
        name: String,
        /// Cause.
        #[source]
        source: QueryError,
    },
    /// It was not taken apart: the process stops, or a fault of ours.
    #[error("index file '{0}' was not read to its end")]
    Stopped(String),
}

impl IndexError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store { source, .. } => source.kind(),
            Self::Damaged { .. } | Self::KnownDamaged(_) => ErrorKind::Corrupt,
            Self::Question { source, .. } => source.kind(),
            Self::Stopped(_) => ErrorKind::Internal,
        }
    }
}

impl IndexMetrics {
    pub(crate) fn register(&self, registry: &mut Registry, limit: u64) {
        let bytes_limit = Gauge::<i64>::default();
        bytes_limit.set(limit as i64);
        registry.register("index_cache_bytes", "Bytes of index files in the cache", self.bytes.clone());
        registry.register("index_cache_bytes_limit", "Bytes of index files that the cache may hold", bytes_limit);
        registry.register("index_cache_hits", "Index files found in the cache", self.hits.clone());
        registry.register("index_cache_misses", "Index files opened from the store", self.misses.clone());
        registry.register("index_damaged", "Index files found to be damaged, whose tables were read without them", self.damaged.clone());
        registry.register("index_row_bytes", "Bytes of rows read from index files", self.row_bytes.clone());
    }
}

impl Shelf {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, bytes: u64, metrics: IndexMetrics) -> Arc<Self> {
        Arc::new(Shelf { store, open: Cache::with_weighter(256, bytes, OpenWeight), next_id: AtomicU64::new(0), metrics })
    }
}

#[derive(Clone)]
struct OpenWeight;

impl Weighter<u64, Arc<OpenIndex>> for OpenWeight {
    fn weight(&self, _id: &u64, open: &Arc<OpenIndex>) -> u64 {
        open.heap_bytes() as u64
    }
}

impl TableIndex {
    pub(crate) fn new(shelf: Arc<Shelf>, name: String, size: u64) -> Self {
        let id = shelf.next_id.fetch_add(1, Ordering::Relaxed);
        TableIndex { id, name, size, shelf, opening: AsyncMutex::default(), damaged: AtomicBool::new(false) }
    }

    /// Name in the store.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether it was found to be damaged. It answers nothing from then on.
    pub fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// The index, from the cache if it is there; else its core is read, by one who wants it while the others wait, and taken apart on `pool`.
    ///
    /// # Errors
    /// When the store does not give it, or it is damaged: the first time, the log says so.
    pub async fn open(self: &Arc<Self>, pool: &dyn CpuPool) -> Result<Arc<OpenIndex>, IndexError> {
        let kept = || self.shelf.open.get(&self.id);
        if let Some(open) = kept() {
            self.shelf.metrics.hits.inc();
            return Ok(open);
        }
        let _turn = self.opening.lock().await;
        if self.is_damaged() {
            return Err(IndexError::KnownDamaged(self.name.clone()));
        }
        if let Some(open) = kept() {
            self.shelf.metrics.hits.inc();
            return Ok(open);
        }
        self.shelf.metrics.misses.inc();
        let (layout, core) = self.read_core().await?;
        let parsed = run_on_pool(pool, move || Index::open(&layout, core)).await;
        let index = parsed.map_err(|Stopped| self.stopped())?.map_err(|source| self.found_damaged(source))?;
        let open = Arc::new(OpenIndex::new(self.clone(), index));
        self.shelf.open.insert(self.id, open.clone());
        self.shelf.metrics.bytes.set(self.shelf.open.weight() as i64);
        Ok(open)
    }

    /// Lets go of what is kept of it. Who has it open goes on with that.
    pub(crate) fn forget(&self) {
        self.shelf.open.remove(&self.id);
        self.shelf.metrics.bytes.set(self.shelf.open.weight() as i64);
    }

    async fn read_core(&self) -> Result<(Layout, Bytes), IndexError> {
        let tail_start = self.size.saturating_sub(TAIL_BYTES.max(Layout::TAIL_LEN as u64));
        let tail = self.read(tail_start..self.size).await?;
        let layout = Layout::parse(&tail, self.size).map_err(|source| self.found_damaged(source))?;
        let core = layout.core();
        if core.start >= tail_start {
            let core = (core.start - tail_start) as usize..(core.end - tail_start) as usize;
            return Ok((layout, tail.slice(core)));
        }
        let core = self.read(core).await?;
        Ok((layout, core))
    }

    async fn read(&self, range: std::ops::Range<u64>) -> Result<Bytes, IndexError> {
        let failed = |source| IndexError::Store { name: self.name.clone(), source };
        let bytes = self.shelf.store.get_range(&self.name, range.clone()).await.map_err(failed)?;
        if bytes.len() as u64 != range.end - range.start {
            let source = std::io::ErrorKind::UnexpectedEof.into();
            return Err(failed(StoreError::Io { operation: "read", name: self.name.clone(), source }));
        }
        Ok(bytes)
    }

    /// The whole file, for merging it with others.
    ///
    /// # Errors
    /// When the store does not give it.
    pub async fn read_all(&self) -> Result<Bytes, IndexError> {
        self.read(0..self.size).await
    }

    fn found_damaged(&self, source: FormatError) -> IndexError {
        let error = IndexError::Damaged { name: self.name.clone(), source };
        if !self.damaged.swap(true, Ordering::Relaxed) {
            self.shelf.metrics.damaged.inc();
            warn!(
                error = chain(&error),
                "the index of a table is damaged, it is read by the footers of its objects until the index is built anew"
            );
        }
        error
    }

    fn stopped(&self) -> IndexError {
        IndexError::Stopped(self.name.clone())
    }
}

impl std::fmt::Debug for TableIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableIndex").field("name", &self.name).field("size", &self.size).finish_non_exhaustive()
    }
}

/// An index file with its core at hand.
pub struct OpenIndex {
    of: Arc<TableIndex>,
    index: Index,
    numbers: HashMap<String, u32>,
}

impl OpenIndex {
    fn new(of: Arc<TableIndex>, index: Index) -> Self {
        let numbers = (0..).zip(index.objects()).map(|(number, name)| (name.clone(), number)).collect();
        OpenIndex { of, index, numbers }
    }

    /// The file.
    pub fn file(&self) -> &Arc<TableIndex> {
        &self.of
    }

    /// Names of the objects that it covers; references give numbers to these.
    pub fn objects(&self) -> &[String] {
        self.index.objects()
    }

    /// Number of an object that it covers.
    pub fn number_of(&self, object: &DataObject) -> Option<u32> {
        self.numbers.get(&object.path).copied()
    }

    /// Whether it knows all streams of an object. Rows of one that it does not cover are found by the footer.
    pub fn covers(&self, object: &DataObject) -> bool {
        self.numbers.contains_key(&object.path)
    }

    /// Number of streams.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is no stream.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Earliest and latest time of all rows.
    pub fn time_span(&self) -> Option<(Timestamp, Timestamp)> {
        self.index.time_span()
    }

    /// Bytes of memory held, about.
    pub fn heap_bytes(&self) -> usize {
        let numbers: usize = self.numbers.keys().map(|name| name.len() + 48).sum();
        self.index.heap_bytes() + numbers
    }
}
