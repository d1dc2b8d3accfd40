//! A table as the catalogue keeps it.

use super::{DataObject, Table};
use crate::TableId;
use crate::manifest::{Listing, Manifest};
use skald_model::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex as AsyncMutex;

/// How much older than the newest manifest an object may be that it does not name: the time that building an index takes.
const BUILDING_MAX: Duration = Duration::from_secs(3600);

pub(super) struct Slot {
    /// What readers get.
    pub(super) table: Arc<Table>,
    pub(super) manifest: ManifestState,
    pub(super) files: StoredFiles,
    /// Held by the one who reads or publishes its manifest.
    pub(super) turn: Arc<AsyncMutex<()>>,
}

/// What is known of the newest manifest.
pub(super) enum ManifestState {
    /// It is in the store and nobody needed it yet.
    Unread(Fresh),
    /// It was read or published here; or there is none.
    Known(Current),
    /// It could not be read at this time of the monotonic clock.
    Failed(Duration),
}

/// Live objects of a table that its index does not cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Uncovered {
    /// How many.
    pub objects: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Whether these are all, since the index is damaged.
    pub is_damaged: bool,
}

/// Objects that are too new to be named in a manifest that is not read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fresh {
    pub(super) objects: usize,
    pub(super) bytes: u64,
}

impl Fresh {
    pub(super) fn add(&mut self, size: u64) {
        self.objects += 1;
        self.bytes += size;
    }
}

/// What the next manifest takes over from the newest one.
#[derive(Debug, Clone, Default)]
pub(super) struct Current {
    pub(super) number: u64,
    pub(super) absorbed: Vec<String>,
    pub(super) removed: Vec<String>,
}

/// Files of the table beside its live incoming objects.
#[derive(Debug, Default)]
pub(super) struct StoredFiles {
    /// Sizes by number.
    pub(super) manifests: BTreeMap<u64, u64>,
    /// Index files, merged objects, and incoming objects that were absorbed.
    pub(super) others: BTreeSet<String>,
}

impl StoredFiles {
    pub(super) fn is_empty(&self) -> bool {
        self.manifests.is_empty() && self.others.is_empty()
    }

    pub(super) fn newest(&self) -> u64 {
        self.manifests.last_key_value().map_or(0, |(number, _)| *number)
    }
}

impl From<&Manifest> for Current {
    fn from(manifest: &Manifest) -> Self {
        let content = &manifest.content;
        Current { number: manifest.number, absorbed: content.absorbed.clone(), removed: content.removed.clone() }
    }
}

impl Slot {
    /// A table of which nothing is known.
    pub(super) fn new(id: TableId) -> Self {
        Slot {
            table: Arc::new(Table::new(id)),
            manifest: ManifestState::Known(Current::default()),
            files: StoredFiles::default(),
            turn: Arc::default(),
        }
    }

    /// A table as it was listed; `number` gives the next number of an object.
    pub(super) fn listed(id: TableId, listing: Listing, mut number: impl FnMut() -> u64) -> Self {
        let mut slot = Slot::new(id);
        slot.files = stored_files(&listing);
        if let Some(newest) = listing.manifests.values().next_back() {
            let is_fresh = |modified: Timestamp| modified.plus(BUILDING_MAX) > newest.modified;
            let mut fresh = Fresh::default();
            listing.incoming.iter().filter(|(_, meta)| is_fresh(meta.modified)).for_each(|(_, meta)| fresh.add(meta.size));
            slot.manifest = ManifestState::Unread(fresh);
        }
        let objects = listing.incoming.into_iter().map(|(name, meta)| Arc::new(DataObject::new(number(), name, meta.size)));
        Arc::make_mut(&mut slot.table).objects = objects.collect();
        slot
    }

    /// Makes a new object live.
    pub(super) fn add(&mut self, object: Arc<DataObject>) {
        if let ManifestState::Unread(fresh) = &mut self.manifest {
            fresh.add(object.size);
        }
        Arc::make_mut(&mut self.table).objects.push(object);
    }

    /// What the index does not cover.
    pub(super) fn uncovered(&self, is_stored: impl Fn(&DataObject) -> bool) -> Uncovered {
        match &self.manifest {
            ManifestState::Failed(_) => Uncovered::default(),
            ManifestState::Unread(fresh) => Uncovered { objects: fresh.objects, bytes: fresh.bytes, is_damaged: false },
            ManifestState::Known(_) => {
                let is_damaged = self.table.index.as_ref().is_some_and(|index| index.is_damaged());
                let uncovered = self.table.objects.iter().filter(|object| is_stored(object) && (is_damaged || !object.is_named()));
                let (objects, bytes) = uncovered.fold((0, 0), |(objects, bytes), object| (objects + 1, bytes + object.size));
                Uncovered { objects, bytes, is_damaged }
            }
        }
    }

    /// Whether nothing is left of it.
    pub(super) fn is_empty(&self) -> bool {
        self.table.objects.is_empty() && self.files.is_empty()
    }

    /// Whether its manifest is to be read before readers get it, at this time of the monotonic clock.
    pub(super) fn needs_reading(&self, now: Duration, pause: Duration) -> bool {
        match self.manifest {
            ManifestState::Unread(_) => true,
            ManifestState::Known(_) => false,
            ManifestState::Failed(at) => now.saturating_sub(at) >= pause,
        }
    }
}

/// Files beside incoming objects.
pub(super) fn stored_files(listing: &Listing) -> StoredFiles {
    let merged = listing.merged.iter().map(|(_, meta)| meta);
    StoredFiles {
        manifests: listing.manifests.iter().map(|(number, meta)| (*number, meta.size)).collect(),
        others: merged.chain(&listing.index).map(|meta| meta.name.clone()).collect(),
    }
}
