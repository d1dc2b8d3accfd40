//! When to fetch an object whole: rent or buy.

use super::Tier;
use crate::ObjectName;
use parking_lot::Mutex;
use quick_cache::unsync::Cache;
use skald_block::Trailer;
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tracing::{debug, warn};

/// Objects of which it is known how much was read.
const OBJECTS_MAX: usize = 64 * 1024;
/// Objects that are being fetched or wait for it; others are thought of again when they are read again.
const FILLS_MAX: usize = 64;
/// What a request counts beside its bytes: about the bytes that come in the time it takes. Of a small object an eighth of its size.
const REQUEST_COST: u64 = 256 * 1024;
/// What a permit stands for.
const UNIT: u64 = 64 * 1024;

/// How much of which objects was read remotely.
pub(super) struct Reads {
    objects: Mutex<Cache<String, Read>>,
    filling: Mutex<HashSet<String>>,
    memory: Arc<Semaphore>,
    memory_max: u64,
}

#[derive(Clone, Copy)]
struct Read {
    size: u64,
    /// Bytes read, and what the requests for them count.
    bytes: u64,
}

impl Reads {
    pub(super) fn new(memory_max: u64) -> Self {
        let permits = memory_max.div_ceil(UNIT).min(Semaphore::MAX_PERMITS as u64).min(u64::from(u32::MAX));
        Reads {
            objects: Mutex::new(Cache::new(OBJECTS_MAX)),
            filling: Mutex::default(),
            memory: Arc::new(Semaphore::new(permits as usize)),
            memory_max: permits * UNIT,
        }
    }

    /// Only objects of a known size are ever fetched.
    pub(super) fn note_size(&self, name: &str, size: u64) {
        let mut objects = self.objects.lock();
        if objects.peek(name).is_none() {
            objects.insert(name.to_owned(), Read { size, bytes: 0 });
        }
    }

    /// Counts what was read remotely. The object's size when it is time to fetch it; the caller then does so, and nobody else.
    pub(super) fn note(&self, name: &str, bytes: u64, requests: u64) -> Option<u64> {
        let size = {
            let mut objects = self.objects.lock();
            let mut read = objects.get_mut(name)?;
            let cost = bytes.saturating_add(requests.saturating_mul(REQUEST_COST.min(read.size / 8)));
            read.bytes = read.bytes.saturating_add(cost);
            if read.bytes < read.size || read.size > self.memory_max {
                return None;
            }
            read.bytes = 0;
            read.size
        };
        let mut filling = self.filling.lock();
        (filling.len() < FILLS_MAX && filling.insert(name.to_owned())).then_some(size)
    }
}

impl Tier {
    /// Fetches an object whole and keeps it once its size and its end prove to be those of a data object.
    pub(super) async fn fill(&self, name: String, size: u64) {
        if name.parse::<ObjectName>().is_ok() && !self.0.cache.knows(&name) {
            self.fetch(&name, size).await;
        }
        self.0.reads.filling.lock().remove(&name);
    }

    async fn fetch(&self, name: &str, size: u64) {
        let reads = &self.0.reads;
        let permits = u32::try_from(size.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let Ok(_held) = reads.memory.acquire_many(permits).await else { return };
        let bytes = match self.0.remote.get_range(name, 0..size).await {
            Ok(bytes) => bytes,
            Err(error) => {
                debug!(name, %error, "cannot fetch an object for the cache");
                self.0.metrics.fill_failures.inc();
                return;
            }
        };
        let tail = bytes.len().saturating_sub(Trailer::LEN);
        let is_whole = bytes.len() as u64 == size && Trailer::parse(&bytes[tail..], size).is_ok();
        if !is_whole {
            warn!(name, size, "an object that was fetched for the cache is damaged");
            self.0.metrics.fill_failures.inc();
            return;
        }
        self.0.cache.insert(name, bytes).await;
        self.0.metrics.fills.inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_count_too() {
        let reads = Reads::new(1 << 20);
        reads.note_size("a", 800);
        assert_eq!(reads.note("a", 0, 7), None);
        assert_eq!(reads.note("a", 0, 1), Some(800));
        let large = 8 * REQUEST_COST * 10;
        let reads = Reads::new(large);
        reads.note_size("b", large);
        assert_eq!(reads.note("b", 0, 79), None);
        assert_eq!(reads.note("b", 0, 1), Some(large));
    }

    #[test]
    fn an_object_is_fetched_once_as_many_bytes_were_read_as_it_has() {
        let reads = Reads::new(1 << 20);
        assert_eq!(reads.note("a", 1000, 0), None, "nobody said how large it is");
        reads.note_size("a", 100);
        reads.note_size("a", 100);
        assert_eq!(reads.note("a", 60, 0), None);
        assert_eq!(reads.note("a", 39, 0), None);
        assert_eq!(reads.note("a", 1, 0), Some(100));
        assert_eq!(reads.note("a", 100, 0), None, "it is being fetched");
        reads.filling.lock().remove("a");
        assert_eq!(reads.note("a", 100, 0), Some(100), "it did not come to stay");
    }

    #[test]
    fn an_object_that_is_too_large_for_the_memory_is_never_fetched() {
        let reads = Reads::new(1 << 20);
        reads.note_size("a", (1 << 20) + 1);
        assert_eq!(reads.note("a", 10 << 20, 0), None);
    }
}
