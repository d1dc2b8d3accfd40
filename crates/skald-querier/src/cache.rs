//! States of objects that other queries can use again.
//!
//! A data object never changes, so neither does what a leaf counts over it: the next query of the same [fragment](RangeLeaf::fragment) takes it
//! from here. Memory is always counted anew, and so is an object of which this query may not count every row: what repeats an entry depends
//! on all other sources, and a block that cannot be read now may be readable later.

use crate::caller::Caller;
use crate::gather::Sources;
use crate::metrics::Metrics;
use crate::stats::CacheStats;
use parking_lot::RwLock;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use skald_logql::exec::{PartialState, RangeLeaf};
use skald_model::{TenantId, Timestamp};
use skald_store::{Catalog, DataObject};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which part of the cache one entry may take at most.
const ENTRY_SHARE: u64 = 16;
/// Bytes of an entry beside its state and fragment, about.
const ENTRY_OVERHEAD: u64 = 128;

/// Partial states by what they count, bounded in bytes: what was not used for long goes first.
pub(crate) struct ResultCache {
    entries: Cache<Key, Arc<PartialState>, Weight>,
    /// Largest entry; larger ones would push out too many others.
    entry_max: u64,
    /// How often the deletes of a tenant changed.
    deletes: RwLock<HashMap<TenantId, u64>>,
    /// How many removals of objects the entries reflect.
    removals: AtomicU64,
    metrics: Metrics,
}

/// What a state counts. An object's number is of one tenant, and never used again in this process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    object: u64,
    deletes: u64,
    /// Whether streams carry the name of their tenant.
    is_named: bool,
    fragment: Arc<str>,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Key, Arc<PartialState>> for Weight {
    fn weight(&self, key: &Key, state: &Arc<PartialState>) -> u64 {
        // Keys of one query share the fragment; each counts it, since others of them may be gone.
        state.heap_bytes() as u64 + key.fragment.len() as u64 + ENTRY_OVERHEAD
    }
}

impl ResultCache {
    /// Holds up to `size` bytes; with none it keeps nothing.
    pub(crate) fn new(size: u64, metrics: Metrics) -> Self {
        let entries = Cache::with_weighter(1024, size, Weight);
        let entry_max = (size / ENTRY_SHARE).min(entries.shard_capacity());
        metrics.result_cache_limit.set(size as i64);
        ResultCache { entries, entry_max, deletes: RwLock::default(), removals: AtomicU64::new(0), metrics }
    }

    /// Counts what is deleted from a tenant's objects: what was kept before is not found again.
    pub(crate) fn deletes_changed(&self, tenant: &TenantId) {
        *self.deletes.write().entry(tenant.clone()).or_default() += 1;
    }

    /// Lets go of states of objects that are gone. Nobody asks for them again, but they would keep others out.
    fn follow(&self, catalog: &Catalog) {
        let removals = catalog.removals();
        if self.removals.swap(removals, Ordering::Relaxed) != removals {
            let live = catalog.object_ids();
            self.entries.retain(|key, _| live.contains(&key.object));
            self.metrics.result_cache_bytes.set(self.entries.weight() as i64);
        }
    }
}

/// What a query may take from the cache and keep in it, for one of its leaves.
pub(crate) struct Shelf {
    cache: Arc<ResultCache>,
    fragment: Arc<str>,
    is_named: bool,
    /// By tenant, as they were when the query began.
    deletes: HashMap<TenantId, u64>,
    /// Whether the leaf has one window only: then it can use the states of whole objects only.
    whole_only: bool,
    stored: AtomicU64,
    stored_bytes: AtomicU64,
}

/// What is known of an object before it is counted.
pub(crate) enum Known {
    /// Its state.
    Found(Arc<PartialState>),
    /// Its state can be kept once all of its rows, which are between these times, are counted.
    Wanted(Timestamp, Timestamp),
    /// It counts for this query alone.
    Alone,
}

impl Shelf {
    /// `None` where nothing of the leaf may be kept, or the caller wants none of it.
    pub(crate) fn of(cache: &Arc<ResultCache>, catalog: &Catalog, caller: &Caller, leaf: &RangeLeaf) -> Option<Self> {
        let fragment = leaf.fragment().filter(|_| cache.entry_max > 0 && caller.takes_cached())?.clone();
        cache.follow(catalog);
        let known = cache.deletes.read();
        let deletes = caller.tenants().iter().filter_map(|tenant| Some((tenant.clone(), *known.get(tenant)?))).collect();
        drop(known);
        let (is_named, whole_only) = (caller.tenants().len() > 1, leaf.has_one_window());
        let (stored, stored_bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        Some(Shelf { cache: cache.clone(), fragment, is_named, deletes, whole_only, stored, stored_bytes })
    }

    fn key(&self, object: &DataObject) -> Key {
        let deletes = self.deletes.get(&object.name.table.tenant).copied().unwrap_or_default();
        Key { object: object.id(), deletes, is_named: self.is_named, fragment: self.fragment.clone() }
    }

    /// What is known of each object of `sources`, in their order.
    pub(crate) fn look_up(&self, sources: &Sources) -> (Vec<Known>, CacheStats) {
        let mut stats = CacheStats { requests: 1, ..CacheStats::default() };
        let known = spans(sources).into_iter().zip(&sources.objects).enumerate().map(|(number, (span, open))| {
            let is_outside = sources.outside.contains(&number);
            let Some((min, max)) = span.filter(|_| !sources.damaged.contains(&number)).filter(|_| !is_outside || !self.whole_only) else {
                return Known::Alone;
            };
            stats.requested += 1;
            match self.cache.entries.get(&self.key(&open.object)) {
                Some(state) => {
                    stats.found += 1;
                    stats.received_bytes += state.heap_bytes() as u64;
                    Known::Found(state)
                }
                None if is_outside => Known::Alone,
                None => Known::Wanted(min, max),
            }
        });
        let known = known.collect();
        self.cache.metrics.result_cache_hits.inc_by(stats.found);
        self.cache.metrics.result_cache_misses.inc_by(stats.requested - stats.found);
        (known, stats)
    }

    /// Keeps the state of an object, unless it is too large.
    pub(crate) fn keep(&self, object: &DataObject, state: Arc<PartialState>) {
        let (key, bytes) = (self.key(object), state.heap_bytes() as u64);
        if Weight.weight(&key, &state) <= self.cache.entry_max {
            self.cache.entries.insert(key, state);
            self.cache.metrics.result_cache_bytes.set(self.cache.entries.weight() as i64);
            self.stored.fetch_add(1, Ordering::Relaxed);
            self.stored_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// What was kept so far.
    pub(crate) fn kept(&self) -> CacheStats {
        let (stored, stored_bytes) = (self.stored.load(Ordering::Relaxed), self.stored_bytes.load(Ordering::Relaxed));
        CacheStats { stored, stored_bytes, ..CacheStats::default() }
    }
}

/// Earliest and latest row of each object; none without rows, or where some of them repeat entries of other sources.
fn spans(sources: &Sources) -> Vec<Option<(Timestamp, Timestamp)>> {
    let mut spans = vec![None; sources.objects.len()];
    let mut repeats = vec![false; sources.objects.len()];
    for run in sources.streams.iter().flat_map(|stream| &stream.runs) {
        let Some(object) = run.place.object() else { continue };
        repeats[object] |= run.keep.is_some();
        let (min, max) = spans[object].unwrap_or((run.min, run.max));
        spans[object] = Some((min.min(run.min), max.max(run.max)));
    }
    spans.into_iter().zip(repeats).map(|(span, repeats)| span.filter(|_| !repeats)).collect()
}

#[cfg(test)]
mod tests;
