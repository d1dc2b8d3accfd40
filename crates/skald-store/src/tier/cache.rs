use super::{TierMetrics, TierSettings};
use crate::{LocalStore, ObjectMeta, ObjectName, ObjectStore, StoreError};
use bytes::Bytes;
use parking_lot::Mutex;
use skald_model::seam::Disk;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use tracing::debug;

/// Largest cache that nobody asked for.
const DEFAULT_SIZE_MAX: u64 = 50 << 30;

/// Whole objects on the local disk. What was used least recently goes first; after a start that is what was written first.
pub(super) struct FileCache {
    files: LocalStore,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    limit: u64,
    /// Free space that the cache leaves to others.
    keep_free: u64,
    state: Mutex<State>,
    metrics: TierMetrics,
}

#[derive(Default)]
struct State {
    entries: HashMap<String, Entry>,
    /// Names by when they were used.
    order: BTreeMap<u64, String>,
    uses: u64,
    /// Of all entries, also of those that are being written.
    bytes: u64,
}

struct Entry {
    size: u64,
    /// Place in the order; `None` while it is being written.
    used: Option<u64>,
}

impl State {
    fn touch(&mut self, name: &str) -> bool {
        let next = self.uses;
        let Some(Entry { used: Some(used), .. }) = self.entries.get_mut(name) else { return false };
        self.order.remove(used);
        *used = next;
        self.uses += 1;
        self.order.insert(next, name.to_owned());
        true
    }

    /// An object that was written can be read from now on.
    fn finish(&mut self, name: &str) {
        let next = self.uses;
        if let Some(entry) = self.entries.get_mut(name) {
            entry.used = Some(next);
            self.uses += 1;
            self.order.insert(next, name.to_owned());
        }
    }

    fn remove(&mut self, name: &str) -> bool {
        let Some(entry) = self.entries.remove(name) else { return false };
        entry.used.into_iter().for_each(|used| drop(self.order.remove(&used)));
        self.bytes -= entry.size;
        true
    }

    /// Takes out what was used least recently until `excess` bytes are freed.
    fn give_way(&mut self, excess: u64) -> Vec<String> {
        let (mut gone, mut freed) = (Vec::new(), 0);
        while freed < excess {
            let Some((_, name)) = self.order.pop_first() else { break };
            freed += self.entries.get(&name).map_or(0, |entry| entry.size);
            self.remove(&name);
            gone.push(name);
        }
        gone
    }
}

impl FileCache {
    /// Takes over what an earlier process left, as far as it fits.
    pub(super) async fn open(
        files: LocalStore,
        disk: Arc<dyn Disk>,
        settings: &TierSettings,
        metrics: TierMetrics,
    ) -> Result<Self, StoreError> {
        let dir = settings.cache_dir.clone();
        let quarter = || disk.space(&dir).map_or(DEFAULT_SIZE_MAX, |space| (space.total / 4).min(DEFAULT_SIZE_MAX));
        let limit = settings.cache_size.unwrap_or_else(quarter);
        let keep_free = settings.free_space_floor.saturating_add(settings.free_space_floor / 4);
        metrics.cache_limit.set(limit as i64);
        let mut found = files.list("").await?;
        found.sort_by_key(|meta| meta.modified);
        let cache = FileCache { files, disk, dir, limit, keep_free, state: Mutex::default(), metrics };
        for ObjectMeta { name, size, .. } in found {
            if name.parse::<ObjectName>().is_err() {
                cache.files.delete(&name).await?;
                continue;
            }
            let mut state = cache.state.lock();
            state.entries.insert(name.clone(), Entry { size, used: None });
            state.bytes += size;
            state.finish(&name);
        }
        cache.make_room(0).await;
        Ok(cache)
    }

    /// `None` when the object is not here, or cannot be read any more.
    pub(super) async fn get_ranges(&self, name: &str, ranges: &[Range<u64>]) -> Option<Vec<Bytes>> {
        if !self.state.lock().touch(name) {
            self.metrics.cache_misses.inc();
            return None;
        }
        match self.files.get_ranges(name, ranges.to_vec()).await {
            Ok(parts) => {
                self.metrics.cache_hits.inc();
                Some(parts)
            }
            Err(error) => {
                debug!(name, %error, "cannot read a cached object, reading the stored one");
                self.metrics.cache_misses.inc();
                self.remove(name).await;
                None
            }
        }
    }

    /// Whether an object is here, or on its way.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.state.lock().entries.contains_key(name)
    }

    /// Keeps an object, if there is room for it. Others give way to it where the cache is full, and where the disk is.
    pub(super) async fn insert(&self, name: &str, bytes: Bytes) {
        let size = bytes.len() as u64;
        if size > self.limit || self.knows(name) {
            return;
        }
        self.make_room(size).await;
        if self.missing_space(size) > 0 {
            return;
        }
        {
            let mut state = self.state.lock();
            state.bytes += size;
            if let Some(other) = state.entries.insert(name.to_owned(), Entry { size, used: None }) {
                // Another was quicker; its file is the same.
                state.bytes -= size;
                state.entries.insert(name.to_owned(), other);
                return;
            }
        }
        let put = self.files.put(name, bytes).await;
        let mut state = self.state.lock();
        match put {
            Ok(()) => state.finish(name),
            Err(error) => {
                debug!(name, %error, "cannot keep an object in the cache");
                state.remove(name);
            }
        }
        self.metrics.cache_bytes.set(state.bytes as i64);
    }

    pub(super) async fn remove(&self, name: &str) {
        if self.state.lock().remove(name) {
            self.delete(&[name.to_owned()]).await;
        }
    }

    /// Makes room for `size` bytes more, in the cache and on the disk.
    pub(super) async fn make_room(&self, size: u64) {
        let missing = self.missing_space(size);
        let gone = {
            let mut state = self.state.lock();
            let excess = (state.bytes.saturating_add(size)).saturating_sub(self.limit).max(missing);
            state.give_way(excess)
        };
        self.metrics.evictions.inc_by(gone.len() as u64);
        self.delete(&gone).await;
    }

    /// Bytes that free space lacks, if `size` more are to be written.
    fn missing_space(&self, size: u64) -> u64 {
        let wanted = self.keep_free.saturating_add(size);
        self.disk.space(&self.dir).map_or(0, |space| wanted.saturating_sub(space.free))
    }

    async fn delete(&self, names: &[String]) {
        for name in names {
            // What stays is found at the next start.
            if let Err(error) = self.files.delete(name).await {
                debug!(name, %error, "cannot remove a cached object");
            }
        }
        self.metrics.cache_bytes.set(self.state.lock().bytes as i64);
    }
}
