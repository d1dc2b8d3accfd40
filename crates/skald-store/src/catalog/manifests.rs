//! Manifests of tables: read when a table is first needed, published when its index was built.

use super::slot::{Current, Fresh, ManifestState, Slot, stored_files};
use super::swap::covers;
use super::{Catalog, DataObject, Table};
use crate::chain::chain;
use crate::manifest::{self, Content, LISTINGS_MAX, LoadError, Manifest, NamedFile, Writer};
use crate::{IndexName, ObjectName, StoreError, TableId, TableIndex};
use bytes::Bytes;
use skald_model::seam::Random;
use skald_model::{DiskId, ErrorKind};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// Manifests that are read at a time.
pub(super) const LOADS_MAX: usize = 16;
/// Time before a manifest that could not be read is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(30);

/// In whose name manifests are put.
#[derive(Clone)]
pub struct Publisher {
    /// Disk of the process.
    pub disk: DiskId,
    /// Source of ids.
    pub random: Arc<dyn Random>,
}

/// Why an index, or the removal of a table, was not published.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The index file was not stored.
    #[error("put index file '{path}'")]
    PutIndex {
        /// Whole name.
        path: String,
        /// Cause.
        #[source]
        source: StoreError,
    },
    /// The manifest was not published.
    #[error("publish a manifest of table '{table}'")]
    Publish {
        /// Which.
        table: TableId,
        /// Cause.
        #[source]
        source: Box<manifest::PublishError>,
    },
    /// What the table consists of is not known.
    #[error("the manifest of table '{0}' is not known")]
    Unknown(TableId),
}

impl TableError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::PutIndex { source, .. } => source.kind(),
            Self::Publish { source, .. } => source.kind(),
            Self::Unknown(_) => ErrorKind::Unavailable,
        }
    }
}

impl Catalog {
    /// The table, with its newest manifest read. `None` when it has nothing.
    pub async fn table(&self, id: &TableId) -> Option<Arc<Table>> {
        self.read_manifest(id).await;
        self.live.read().get(&id.tenant)?.get(&id.day).map(|slot| slot.table.clone())
    }

    pub(super) fn needs_reading(&self, slot: &Slot) -> bool {
        slot.needs_reading(self.clock.monotonic(), RETRY_PAUSE)
    }

    /// Reads the newest manifest of a table, unless it is known or failed a short time ago. Of several that want it one reads, the others wait.
    pub(super) async fn read_manifest(&self, id: &TableId) {
        let Some(turn) = self.turn_to_read(id) else { return };
        let _turn = turn.lock().await;
        if self.turn_to_read(id).is_none() {
            return;
        }
        let _place = self.loads.acquire().await;
        match self.load(id).await {
            Ok(manifest) => {
                self.metrics.manifests_read.inc();
                self.follow(id, manifest.as_ref());
            }
            Err(error) => {
                self.metrics.manifest_failures.inc();
                warn!(table = %id, error = chain(&error), "cannot read the manifest of a table, its merged objects are missing from answers");
                self.change_slot(id, |slot| {
                    slot.manifest = ManifestState::Failed(self.clock.monotonic());
                    Arc::make_mut(&mut slot.table).problem = Some(Arc::new(error));
                });
            }
        }
    }

    fn turn_to_read(&self, id: &TableId) -> Option<Arc<tokio::sync::Mutex<()>>> {
        let live = self.live.read();
        let slot = live.get(&id.tenant)?.get(&id.day)?;
        self.needs_reading(slot).then(|| slot.turn.clone())
    }

    /// The newest manifest: the one that is remembered, else that of a new listing.
    async fn load(&self, id: &TableId) -> Result<Option<Manifest>, LoadError> {
        let mut newest = {
            let live = self.live.read();
            let slot = live.get(&id.tenant).and_then(|days| days.get(&id.day));
            slot.and_then(|slot| slot.files.manifests.last_key_value().map(|(number, size)| (*number, *size)))
        };
        for _ in 0..LISTINGS_MAX {
            if newest.is_none() {
                let files = stored_files(&manifest::list_table(self.store.as_ref(), id).await?);
                newest = files.manifests.last_key_value().map(|(number, size)| (*number, *size));
                self.change_slot(id, |slot| slot.files = files);
            }
            let Some((number, size)) = newest.take() else { return Ok(None) };
            match manifest::read_manifest(self.store.as_ref(), id, number, size).await {
                Err(LoadError::Read { source: StoreError::NotFound(_), .. }) => {}
                read => return read.map(Some),
            }
        }
        Err(LoadError::Vanishing(id.clone()))
    }

    /// Makes live what a manifest says, in one step. Incoming objects are those of the start and of this process's own flushes: a listing would show also
    /// what it has let go of.
    fn follow(&self, id: &TableId, manifest: Option<&Manifest>) {
        let none = Content::default();
        let content = manifest.map_or(&none, |manifest| &manifest.content);
        let gone = self.change_slot(id, |slot| {
            slot.manifest = ManifestState::Known(manifest.map(Current::from).unwrap_or_default());
            let table = Arc::make_mut(&mut slot.table);
            table.problem = None;
            table.index = content.index.last().map(|file| self.table_index(file));
            let absorbed: HashSet<&str> = content.absorbed.iter().map(String::as_str).collect();
            let mut named: HashMap<&str, u64> = content.objects.iter().map(|file| (file.name.as_str(), file.size)).collect();
            let mut gone = Vec::new();
            table.objects.retain(|object| {
                let is_named = named.remove(object.path.as_str()).is_some();
                object.set_named(is_named);
                let is_live = is_named || !absorbed.contains(object.path.as_str());
                if !is_live {
                    gone.push(object.clone());
                }
                is_live
            });
            // Also those that were not listed: that one is missing must show when it is read.
            let beside = content.objects.iter().filter(|file| named.contains_key(file.name.as_str()));
            let beside = beside.filter_map(|file| Some((file.name.parse::<ObjectName>().ok()?, file.size)));
            // One that was joined with others on its way to the store was named while its folder was the store.
            let beside = beside.filter(|(name, _)| !table.objects.iter().any(|joined| covers(&joined.name, name)));
            let merged = beside.map(|(name, size)| self.count_in(name, size));
            let merged: Vec<_> = merged.inspect(|object| object.set_named(true)).collect();
            table.objects.splice(0..0, merged);
            slot.files.others.extend(gone.iter().map(|object| object.path.clone()));
            gone
        });
        self.count_out(&gone);
    }

    pub(super) fn table_index(&self, file: &NamedFile) -> Arc<TableIndex> {
        Arc::new(TableIndex::new(self.indexes.clone(), file.name.clone(), file.size))
    }

    /// Puts `index`, which covers what it could of `considered`, under a new name, and publishes a manifest that names it and these objects beside
    /// those that were named before. Readers have the new index when this returns.
    ///
    /// # Errors
    /// See [`TableError`]. The table is as it was then, and its manifest is read anew before the next one is published.
    pub async fn publish_index(
        &self,
        id: &TableId,
        considered: &[Arc<DataObject>],
        index: Bytes,
        by: &Publisher,
    ) -> Result<u64, TableError> {
        let path = IndexName { table: id.clone(), id: by.random.next_id() }.to_string();
        let file = NamedFile { name: path.clone(), size: index.len() as u64 };
        // Remembered first: what is not named in the end is looked for and removed.
        self.change_slot(id, |slot| slot.files.others.insert(path.clone()));
        self.store.put_if_absent(&path, index).await.map_err(|source| TableError::PutIndex { path, source })?;
        let turn = self.change_slot(id, |slot| slot.turn.clone());
        let _turn = turn.lock().await;
        let ids: HashSet<u64> = considered.iter().map(|object| object.id).collect();
        let is_named = |object: &DataObject| self.is_stored(object) && (object.is_named() || ids.contains(&object.id));
        let (current, objects) = self
            .change_slot(id, |slot| match &slot.manifest {
                ManifestState::Known(current) => {
                    let named = slot.table.objects.iter().filter(|object| is_named(object));
                    Some((current.clone(), named.cloned().collect::<Vec<_>>()))
                }
                ManifestState::Unread(_) | ManifestState::Failed(_) => None,
            })
            .ok_or_else(|| TableError::Unknown(id.clone()))?;
        let content = Content {
            objects: objects.iter().map(|object| NamedFile { name: object.path.clone(), size: object.size }).collect(),
            index: vec![file.clone()],
            absorbed: current.absorbed,
            removed: current.removed,
        };
        let manifest = self.publish_manifest(id, current.number, content, by).await?;
        self.change_slot(id, |slot| {
            objects.iter().for_each(|object| object.set_named(true));
            slot.manifest = ManifestState::Known(Current::from(&manifest));
            Arc::make_mut(&mut slot.table).index = Some(self.table_index(&file));
        });
        Ok(manifest.number)
    }

    /// Publishes a manifest; the turn of the table is the caller's. When that fails, what is newest is not known any more.
    pub(super) async fn publish_manifest(
        &self,
        id: &TableId,
        previous: u64,
        content: Content,
        by: &Publisher,
    ) -> Result<Manifest, TableError> {
        let writer = Writer::draw(by.disk, by.random.as_ref());
        match manifest::publish(self.store.as_ref(), id, previous, content, writer).await {
            Ok(manifest) => {
                let size = manifest.encode(id).map_or(0, |bytes| bytes.len() as u64);
                self.change_slot(id, |slot| slot.files.manifests.insert(manifest.number, size));
                Ok(manifest)
            }
            Err(source) => {
                self.change_slot(id, |slot| {
                    // Without a number to read, the table is listed again.
                    slot.files.manifests.clear();
                    slot.manifest = ManifestState::Unread(Fresh { objects: slot.table.objects.len(), bytes: slot.table.bytes() });
                });
                Err(TableError::Publish { table: id.clone(), source: Box::new(source) })
            }
        }
    }
}
