//! Taking tables away, and files that nobody needs any more.

use super::slot::{Current, ManifestState, Slot, stored_files};
use super::{Catalog, DataObject, Publisher, TableError};
use crate::manifest::{self, Content, LoadError};
use crate::{ManifestName, StoreError, TableId, TableIndex};
use skald_model::seam::Random;
use skald_model::{Day, TenantId, Timestamp};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

/// A table that was taken away, and what of it is still in the store.
pub(super) struct Removal {
    pub(super) table: TableId,
    /// Data objects that readers may hold; they go first.
    objects: HashSet<u64>,
    /// Index that readers may hold.
    index: Option<Arc<TableIndex>>,
    /// Files in the order in which they go: index files and what else there is, manifests from the oldest to the newest.
    files: Vec<String>,
}

impl Catalog {
    /// Removes all objects of a tenant's day for new readers, and gives their bytes. [`Catalog::sweep`] then takes them out of the store.
    ///
    /// A manifest is published first that absorbs every object, so that the day is gone whatever of it a crash leaves in the store. Then go, at
    /// sweeps, the objects, the index files, and the manifests, that one as the last: as long as anything of the day exists, so does what says that it is
    /// not live. What a crash leaves is listed at the next start and removed by calling this again.
    ///
    /// # Errors
    /// When the manifest is not published; the day is as it was.
    pub async fn remove_day(&self, tenant: &TenantId, day: Day, by: &Publisher) -> Result<u64, TableError> {
        let id = TableId { tenant: tenant.clone(), day };
        let (turn, is_lost) = {
            let live = self.live.read();
            let Some(slot) = live.get(tenant).and_then(|days| days.get(&day)) else { return Ok(0) };
            (slot.turn.clone(), slot.files.manifests.is_empty() && !matches!(slot.manifest, ManifestState::Known(_)))
        };
        if is_lost {
            self.read_manifest(&id).await;
        }
        let _turn = turn.lock().await;
        let (previous, content, objects) = self.change_slot(&id, |slot| {
            let objects = slot.table.objects.clone();
            // What the newest manifest absorbs may still be there; it is among the other files then.
            let left = objects.iter().map(|object| &object.path).chain(&slot.files.others).filter(|path| path.contains("/incoming/"));
            let mut absorbed: BTreeSet<String> = left.cloned().collect();
            if let ManifestState::Known(current) = &slot.manifest {
                // Readers may still hold what an earlier removal took away.
                absorbed.extend(current.absorbed.iter().cloned());
            }
            let content = Content { absorbed: absorbed.into_iter().collect(), ..Content::default() };
            (slot.files.newest(), content, objects)
        });
        let manifest = self.publish_manifest(&id, previous, content, by).await?;
        let ids: HashSet<u64> = objects.iter().map(|object| object.id).collect();
        let (removal, gone) = self.change_slot(&id, |slot| {
            slot.manifest = ManifestState::Known(Current::from(&manifest));
            let table = Arc::make_mut(&mut slot.table);
            // What an upload swapped meanwhile was retired by it.
            let (gone, stays): (Vec<_>, Vec<_>) = table.objects.drain(..).partition(|object| ids.contains(&object.id));
            table.objects = stays;
            table.problem = None;
            let manifests = slot.files.manifests.keys().map(|number| ManifestName { table: id.clone(), number: *number }.to_string());
            let files = slot.files.others.iter().cloned().chain(manifests).collect();
            (Removal { table: id.clone(), objects: ids.clone(), index: table.index.take(), files }, gone)
        });
        let bytes = gone.iter().map(|object| object.size).sum();
        drop(objects);
        self.retire(gone);
        self.leaving.lock().push(removal);
        Ok(bytes)
    }

    /// Takes over objects that were just taken out of their table.
    pub(super) fn retire(&self, gone: Vec<Arc<DataObject>>) {
        self.count_out(&gone);
        self.retired.lock().extend(gone);
        self.metrics.retired.set(self.retired.lock().len() as i64);
    }

    /// Deletes the objects that are no longer live and that no reader holds any more, and what else there was of tables that were taken away. What readers
    /// still hold goes at a later call.
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
        self.finish_removals().await
    }

    /// Removes index files and manifests of tables whose objects are gone.
    async fn finish_removals(&self) -> Result<(), StoreError> {
        let held: HashSet<u64> = self.retired.lock().iter().map(|object| object.id).collect();
        let is_free = |removal: &mut Removal| {
            // The cache is no reader.
            removal.index.iter().for_each(|index| index.forget());
            removal.objects.is_disjoint(&held) && removal.index.as_ref().is_none_or(|index| Arc::strong_count(index) == 1)
        };
        let free: Vec<Removal> = self.leaving.lock().extract_if(.., is_free).collect();
        let mut free = free.into_iter();
        while let Some(removal) = free.next() {
            if let Err(error) = self.delete_files(&removal.table, &removal.files).await {
                let mut leaving = self.leaving.lock();
                leaving.push(removal);
                leaving.extend(free);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Deletes files of a table in this order, and forgets them.
    async fn delete_files(&self, id: &TableId, files: &[String]) -> Result<(), StoreError> {
        for name in files {
            self.store.delete(name).await?;
        }
        self.change_slot(id, |slot| {
            let gone: HashSet<&str> = files.iter().map(String::as_str).collect();
            slot.files.others.retain(|name| !gone.contains(name.as_str()));
            slot.files
                .manifests
                .retain(|number, _| !gone.contains(ManifestName { table: id.clone(), number: *number }.to_string().as_str()));
            if let ManifestState::Known(current) = &mut slot.manifest
                && !slot.files.manifests.contains_key(&current.number)
            {
                *current = Current::default();
            }
        });
        Ok(())
    }

    /// Tables that may have files which nobody needs: more manifests than one, or files beside the live objects and the index.
    pub fn untidy_tables(&self) -> Vec<TableId> {
        let live = self.live.read();
        let slots = live.values().flat_map(|days| days.values());
        let is_untidy = |slot: &&Slot| {
            let indexes = match slot.manifest {
                ManifestState::Known(_) => usize::from(slot.table.index.is_some()),
                ManifestState::Unread(_) | ManifestState::Failed(_) => 1,
            };
            slot.files.manifests.len() > 1 || slot.files.others.len() > indexes
        };
        let untidy = slots.filter(is_untidy);
        untidy.map(|slot| slot.table.id.clone()).collect()
    }

    /// Deletes the files of a table that nobody needs any more, and gives how many these were. `now` is the time by the clock of the store,
    /// see [`Catalog::store_now`].
    ///
    /// # Errors
    /// When the store fails, or a manifest that is kept cannot be read: what it names is not known then, and nothing is deleted.
    pub async fn tidy(&self, id: &TableId, now: Timestamp) -> Result<usize, TidyError> {
        let turn = self.change_slot(id, |slot| slot.turn.clone());
        let _turn = turn.lock().await;
        let listing = manifest::list_table(self.store.as_ref(), id).await?;
        let mut kept = Vec::new();
        for number in manifest::kept(&listing, now) {
            let size = listing.manifests[&number].size;
            kept.push(manifest::read_manifest(self.store.as_ref(), id, number, size).await?);
        }
        let mut garbage = manifest::garbage(&listing, &kept, now);
        // Readers may hold these; sweeps delete them.
        let retired: HashSet<String> = self.retired.lock().iter().map(|object| object.path.clone()).collect();
        garbage.retain(|name| !retired.contains(name));
        self.change_slot(id, |slot| {
            slot.files = stored_files(&listing);
            // Whatever the listing says, what readers are given stays.
            let live: HashSet<&str> = slot.table.objects.iter().map(|object| object.path.as_str()).collect();
            garbage.retain(|name| !live.contains(name.as_str()));
            if let ManifestState::Known(current) = &slot.manifest {
                let absorbed: HashSet<&str> = current.absorbed.iter().map(String::as_str).collect();
                let is_left = |name: &str| absorbed.contains(name) && !live.contains(name);
                slot.files.others.extend(listing.incoming.iter().map(|(_, meta)| &meta.name).filter(|name| is_left(name)).cloned());
            }
        });
        self.delete_files(id, &garbage).await.map_err(TidyError::Delete)?;
        Ok(garbage.len())
    }

    /// What time it is by the clock that dates objects.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn store_now(&self, random: &dyn Random) -> Result<Timestamp, StoreError> {
        manifest::store_now(self.store.as_ref(), random).await
    }
}

/// Why files that nobody needs were not deleted.
#[derive(Debug, thiserror::Error)]
pub enum TidyError {
    /// What is needed is not known.
    #[error("find out which files are needed")]
    Load(#[from] LoadError),
    /// The store did not delete one.
    #[error("delete a file that nobody needs")]
    Delete(#[source] StoreError),
}

impl TidyError {
    /// What the caller can do about it.
    pub fn kind(&self) -> skald_model::ErrorKind {
        match self {
            Self::Load(source) => source.kind(),
            Self::Delete(source) => source.kind(),
        }
    }
}
