//! The local disk in front of a remote store: the queue of what is to be uploaded, and a cache of whole objects.
//!
//! - **Queue**, `<data_dir>/objects`: what a flush publishes is durable here, and read from here until it stands in the remote store. It is the folder
//!   in which objects lie without a remote store, so that a data directory which had none uploads itself.
//! - **Cache**, `<data_dir>/cache`: whole objects, as many as fit. May be emptied at any time.
//!
//! A read takes the queue, then the cache, then the remote store. An object of which as many bytes were read remotely as it has (each request counting some) is fetched whole: never
//! more than twice the bytes that the best choice in hindsight would have read.

mod cache;
mod fill;
mod metrics;
mod queue;
#[cfg(test)]
mod tests;

pub use metrics::TierMetrics;
pub use queue::Queued;
pub(crate) use queue::{age, folder_of};

use crate::name::check_prefix;
use crate::{LocalStore, ObjectMeta, ObjectName, ObjectStore, Origin, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use cache::FileCache;
use fill::Reads;
use metrics::Place;
use queue::Queue;
use skald_model::seam::Seams;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// A remote store with queue and cache before it. A cheap handle.
#[derive(Clone)]
pub struct Tier(Arc<Inner>);

struct Inner {
    queue: Queue,
    cache: FileCache,
    remote: Arc<dyn ObjectStore>,
    reads: Reads,
    seams: Seams,
    metrics: TierMetrics,
}

/// Where a tier keeps its files, and how many.
#[derive(Debug, Clone)]
pub struct TierSettings {
    /// Folder of the queue.
    pub queue_dir: PathBuf,
    /// Folder of the cache.
    pub cache_dir: PathBuf,
    /// Most bytes of the cache; `None` is a quarter of its disk, at most 50 GiB.
    pub cache_size: Option<u64>,
    /// Free space below which pushes are refused. The cache gives way a quarter of it earlier.
    pub free_space_floor: u64,
    /// Most bytes of objects that are being fetched for the cache at a time; a larger object is not fetched whole.
    pub fill_memory: u64,
}

impl Tier {
    /// Opens queue and cache; blocks a little on the disk. The remote store is not asked. The caller holds the lock on both folders.
    ///
    /// Index files and manifests in the queue's folder are from a time without a remote store, tell of that folder, and are removed.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn open(
        remote: Arc<dyn ObjectStore>,
        settings: &TierSettings,
        seams: Seams,
        metrics: TierMetrics,
    ) -> Result<Self, StoreError> {
        let open = |dir| LocalStore::open(seams.disk.clone(), seams.spawner.clone(), dir);
        let queue = Queue::open(open(&settings.queue_dir)?, metrics.clone()).await?;
        let cache = FileCache::open(open(&settings.cache_dir)?, seams.disk.clone(), settings, metrics.clone()).await?;
        let reads = Reads::new(settings.fill_memory);
        Ok(Tier(Arc::new(Inner { queue, cache, remote, reads, seams, metrics })))
    }

    /// What waits to be uploaded, in order of names.
    pub fn queued(&self) -> Vec<Queued> {
        self.0.queue.all()
    }

    /// Brings the metrics of the queue up to date, and takes from the cache what keeps free space from its floor.
    pub async fn tend(&self) {
        self.0.queue.observe(self.0.seams.clock.now());
        self.0.cache.make_room(0).await;
    }

    pub(crate) fn remote(&self) -> &dyn ObjectStore {
        self.0.remote.as_ref()
    }

    pub(crate) fn queue_files(&self) -> &Arc<LocalStore> {
        self.0.queue.files()
    }

    /// Completes when something came into the queue since the last call.
    pub(crate) async fn wait_for_queued(&self) {
        self.0.queue.wait().await;
    }

    /// Puts bytes into the queue, though they are not those of a flush.
    pub(crate) async fn requeue(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.0.queue.put_if_absent(name, bytes, self.0.seams.clock.now()).await
    }

    /// Keeps a whole object that is in the remote store. One that cannot be kept is not.
    pub(crate) async fn keep(&self, name: &str, bytes: Bytes) {
        self.0.cache.insert(name, bytes).await;
    }

    /// Says that the remote store may hold `name`, whatever its answer was: a removal takes it from there, too.
    pub(crate) fn note_unclear(&self, name: &str, unclear: bool) {
        self.0.queue.note_unclear(name, unclear);
    }

    /// Takes an object out of the queue. What has its rows is live, in the remote store.
    pub(crate) async fn dequeue(&self, name: &str) -> Result<(), StoreError> {
        self.0.queue.let_go(name).await
    }

    /// Reads from queue or cache; `None` when neither has it.
    async fn get_near(&self, name: &str, ranges: &[Range<u64>]) -> Option<Result<Vec<Bytes>, StoreError>> {
        let inner = &self.0;
        if inner.queue.holds(name) {
            match inner.queue.files().get_ranges(name, ranges.to_vec()).await {
                // It was uploaded just now.
                Err(StoreError::NotFound(_)) => {}
                read => return Some(inner.metrics.served(Place::Queue, read)),
            }
        }
        let cached = inner.cache.get_ranges(name, ranges).await?;
        Some(inner.metrics.served(Place::Cache, Ok(cached)))
    }

    /// Counts what was read remotely of an object, and fetches it whole when it is time to.
    fn note_remote_read(&self, name: &str, bytes: u64, requests: u64) {
        let Some(size) = self.0.reads.note(name, bytes, requests) else { return };
        let tier = self.clone();
        let name = name.to_owned();
        self.0.seams.spawner.spawn("cache-fill", Box::pin(async move { tier.fill(name, size).await }));
    }
}

#[async_trait]
impl ObjectStore for Tier {
    async fn put(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.0.remote.put(name, bytes).await
    }

    async fn put_if_absent(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        if !is_queueable(name) {
            return self.0.remote.put_if_absent(name, bytes).await;
        }
        self.0.cache.make_room(bytes.len() as u64).await;
        self.0.queue.put_if_absent(name, bytes, self.0.seams.clock.now()).await
    }

    async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let parts = self.get_near(name, std::slice::from_ref(&range)).await;
        if let Some(parts) = parts {
            return parts.map(|mut parts| parts.pop().unwrap_or_default());
        }
        let read = self.0.metrics.served(Place::Remote, self.0.remote.get_range(name, range).await.map(|bytes| vec![bytes]))?;
        let bytes = read.into_iter().next().unwrap_or_default();
        self.note_remote_read(name, bytes.len() as u64, 1);
        Ok(bytes)
    }

    async fn get_ranges(&self, name: &str, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>, StoreError> {
        if let Some(parts) = self.get_near(name, &ranges).await {
            return parts;
        }
        let requests = 1 + ranges.windows(2).filter(|pair| pair[0].end != pair[1].start).count() as u64;
        let read = self.0.metrics.served(Place::Remote, self.0.remote.get_ranges(name, ranges).await)?;
        self.note_remote_read(name, read.iter().map(|part| part.len() as u64).sum(), requests);
        Ok(read)
    }

    /// Names of queue and remote store. A name in both is there once, as the remote store has it.
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StoreError> {
        check_prefix(prefix)?;
        // The queue first: what is uploaded in between is in both listings, and not in none.
        let mut queued = self.0.queue.list(prefix);
        let mut all = self.0.remote.list(prefix).await?;
        queued.retain(|meta| all.binary_search_by(|known| known.name.cmp(&meta.name)).is_err());
        all.append(&mut queued);
        all.sort();
        Ok(all)
    }

    /// Of a queued object the queue's file goes, and what an upload of unclear end may have left; else the object goes from cache and remote store.
    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let inner = &self.0;
        match inner.queue.unclear(name) {
            Some(false) => inner.queue.delete(name).await,
            Some(true) => {
                inner.remote.delete(name).await?;
                inner.queue.delete(name).await
            }
            None => {
                inner.cache.remove(name).await;
                inner.remote.delete(name).await
            }
        }
    }

    fn note_size(&self, name: &str, size: u64) {
        self.0.reads.note_size(name, size);
    }

    fn may_read_copy(&self, name: &str) -> bool {
        !self.0.queue.holds(name)
    }

    async fn forget_copy(&self, name: &str) {
        self.0.cache.remove(name).await;
    }

    fn is_stored(&self, name: &str) -> bool {
        !self.0.queue.holds(name)
    }
}

/// Whether an object goes to the queue first: all that ingesters flush does.
fn is_queueable(name: &str) -> bool {
    name.parse::<ObjectName>().is_ok_and(|name| matches!(name.origin, Origin::Incoming { .. }))
}
