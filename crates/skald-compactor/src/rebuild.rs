//! Indexes and manifests from the data objects alone, and whether they agree.

use crate::build::{build_anew, is_lasting, open};
use crate::{BuildError, Built};
use bytes::Bytes;
use skald_index::{Index, IndexedStream, Reference};
use skald_model::seam::CpuPool;
use skald_model::{ErrorKind, Labels};
use skald_runtime::chain;
use skald_store::manifest::{Content, LoadError, NamedFile, PublishError, Writer, list_table, load_table, publish};
use skald_store::{Catalog, DataObject, IndexName, ObjectStore, Origin, Publisher, ReadError, StoreError, TableId};
use std::collections::HashSet;
use std::sync::Arc;

/// What a table was found to hold, and what it was given.
#[derive(Debug, Default)]
pub struct Rebuilt {
    /// Data objects that are live.
    pub objects: usize,
    /// Streams in them.
    pub streams: usize,
    /// Rows in them.
    pub rows: u64,
    /// Names of objects whose rows another object took over.
    pub replaced: Vec<String>,
    /// Names of objects that cannot be read, and why. They stay live.
    pub damaged: Vec<(String, String)>,
    /// Names of files that are not ours.
    pub foreign: Vec<String>,
    /// Number of the manifest that was published; none where there was nothing to say.
    pub manifest: Option<u64>,
}

/// Why a table was not rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The store did not list it.
    #[error("look at the table")]
    Load(#[from] LoadError),
    /// The store did not give an object.
    #[error("read a data object")]
    Read(#[source] ReadError),
    /// The index was not built.
    #[error("build the index")]
    Build(#[from] BuildError),
    /// The index was not stored.
    #[error("put the index")]
    Put(#[source] StoreError),
    /// The manifest was not published.
    #[error("publish the manifest")]
    Publish(#[from] PublishError),
}

impl RebuildError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Load(source) => source.kind(),
            Self::Read(source) => source.kind(),
            Self::Build(source) => source.kind(),
            Self::Put(source) => source.kind(),
            Self::Publish(source) => source.kind(),
        }
    }
}

/// Looks into tables of a store that no other process uses.
pub struct Inspector {
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    /// A catalogue over it.
    pub catalog: Catalog,
    /// In whose name manifests are put.
    pub publisher: Publisher,
    /// Where footers and indexes are taken apart.
    pub pool: Arc<dyn CpuPool>,
}

/// A table's objects as their footers say.
struct Found {
    live: Vec<Arc<DataObject>>,
    rows: u64,
    replaced: Vec<Arc<DataObject>>,
    damaged: Vec<(Arc<DataObject>, String)>,
}

impl Inspector {
    /// Tables with files in the store.
    pub fn tables(&self) -> Vec<TableId> {
        let of_tenant = |tenant: skald_model::TenantId| {
            let days = self.catalog.days(&tenant).into_iter();
            days.map(move |(day, _)| TableId { tenant: tenant.clone(), day }).collect::<Vec<_>>()
        };
        self.catalog.tenants().into_iter().flat_map(of_tenant).collect()
    }

    /// Builds index and manifest of a table anew, from its data objects alone. An object is live unless another that can be read says that it took its
    /// rows over. One that is damaged stays live, and is left out of the index.
    ///
    /// # Errors
    /// When the store fails. What was published until then stands, and doing it again is safe.
    pub async fn rebuild(&self, table: &TableId) -> Result<Rebuilt, RebuildError> {
        let store = self.store.as_ref();
        let listing = list_table(store, table).await?;
        let objects = listing.incoming.iter().chain(&listing.merged);
        let found = self.look_into(table, objects.map(|(name, meta)| DataObject::detached(name.clone(), meta.size)).collect()).await?;
        let newest = listing.manifests.last_key_value().map_or(0, |(number, _)| *number);
        let path = |object: &Arc<DataObject>| object.path.clone();
        let mut rebuilt = Rebuilt {
            objects: found.live.len(),
            rows: found.rows,
            replaced: found.replaced.iter().map(path).collect(),
            damaged: found.damaged.iter().map(|(object, why)| (object.path.clone(), why.clone())).collect(),
            foreign: listing.foreign,
            ..Rebuilt::default()
        };
        let live = found.live.iter().chain(found.damaged.iter().map(|(object, _)| object));
        let named = live.map(|object| NamedFile { name: object.path.clone(), size: object.size });
        let is_incoming = |object: &&Arc<DataObject>| matches!(object.name.origin, Origin::Incoming { .. });
        let mut content = Content {
            objects: named.collect(),
            absorbed: found.replaced.iter().filter(is_incoming).map(path).collect(),
            ..Content::default()
        };
        if !found.live.is_empty() {
            let Built { bytes, streams, .. } = build_anew(&self.catalog, table, found.live, self.pool.as_ref()).await?;
            let name = IndexName { table: table.clone(), id: self.publisher.random.next_id() }.to_string();
            content.index = vec![NamedFile { name: name.clone(), size: bytes.len() as u64 }];
            rebuilt.streams = streams;
            store.put_if_absent(&name, bytes).await.map_err(RebuildError::Put)?;
        }
        if newest > 0 || !content.objects.is_empty() {
            let writer = Writer::draw(self.publisher.disk, self.publisher.random.as_ref());
            rebuilt.manifest = Some(publish(store, table, newest, content, writer).await?.number);
        }
        Ok(rebuilt)
    }

    async fn look_into(&self, table: &TableId, objects: Vec<Arc<DataObject>>) -> Result<Found, RebuildError> {
        let mut found = Found { live: Vec::new(), rows: 0, replaced: Vec::new(), damaged: Vec::new() };
        let (mut readable, mut replaced) = (Vec::new(), HashSet::new());
        for object in objects {
            match self.catalog.streams_of(&object, self.pool.as_ref()).await {
                Ok((footer, _)) if footer.info.tenant != table.tenant || footer.info.day != table.day => {
                    let why = format!("it is of table '{}/{}'", footer.info.tenant, footer.info.day);
                    found.damaged.push((object, why));
                }
                Ok((footer, _)) => {
                    let own = object.path.clone();
                    replaced.extend(footer.info.replaces.into_iter().filter(|name| *name != own));
                    readable.push((object, footer.summary.digest.count));
                }
                Err(error) if is_lasting(&error) => found.damaged.push((object, chain(&error))),
                Err(error) => return Err(RebuildError::Read(error)),
            }
        }
        for (object, rows) in readable {
            if replaced.contains(&object.path) {
                found.replaced.push(object);
            } else {
                found.rows += rows;
                found.live.push(object);
            }
        }
        let (gone, damaged) = found.damaged.into_iter().partition(|(object, _)| replaced.contains(&object.path));
        found.damaged = damaged;
        found.replaced.extend(gone.into_iter().map(|(object, _): (_, String)| object));
        Ok(found)
    }

    /// What is wrong with the manifest and the index of a table: whether they can be read, the objects exist as they are named, and the index says what
    /// the footers of the objects say. Objects themselves are not read through.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn check(&self, table: &TableId) -> Result<Vec<String>, RebuildError> {
        let files = match load_table(self.store.as_ref(), table).await {
            Ok(files) => files,
            Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(vec![chain(&error)]),
            Err(error) => return Err(error.into()),
        };
        let Some(manifest) = files.manifest else { return Ok(Vec::new()) };
        let listed = |name: &str| {
            let objects = files.listing.incoming.iter().chain(&files.listing.merged).map(|(_, meta)| meta);
            objects.chain(&files.listing.index).find(|meta| meta.name == name).map(|meta| meta.size)
        };
        let mut bad = Vec::new();
        for file in manifest.content.objects.iter().chain(&manifest.content.index) {
            match listed(&file.name) {
                Some(size) if size == file.size => {}
                Some(size) => bad.push(format!("{}: it has {size} bytes, manifest {} names {}", file.name, manifest.number, file.size)),
                None => bad.push(format!("{}: manifest {} names it, and it is not there", file.name, manifest.number)),
            }
        }
        for index in manifest.content.index.iter().filter(|index| listed(&index.name) == Some(index.size)) {
            match self.store.get_range(&index.name, 0..index.size).await {
                Ok(bytes) => bad.extend(self.compare(table, &index.name, bytes, &files.listing).await?),
                Err(error) => bad.push(format!("{}: {}", index.name, chain(&error))),
            }
        }
        Ok(bad)
    }

    /// Whether an index says of each of its objects what the footer does.
    async fn compare(
        &self,
        table: &TableId,
        name: &str,
        bytes: Bytes,
        listing: &skald_store::manifest::Listing,
    ) -> Result<Vec<String>, RebuildError> {
        let wrong = |what: String| vec![format!("{name}: {what}")];
        let stored = match open(table, &bytes) {
            Ok(index) => index,
            Err(error) => return Ok(wrong(chain(&error))),
        };
        let covered: HashSet<&str> = stored.objects().iter().map(String::as_str).collect();
        let objects = listing.incoming.iter().chain(&listing.merged).filter(|(_, meta)| covered.contains(meta.name.as_str()));
        let objects: Vec<_> = objects.map(|(name, meta)| DataObject::detached(name.clone(), meta.size)).collect();
        if objects.len() < covered.len() {
            return Ok(wrong(format!("{} objects that it covers are not there", covered.len() - objects.len())));
        }
        let anew = build_anew(&self.catalog, table, objects, self.pool.as_ref()).await?;
        if !anew.unreadable.is_empty() {
            // These are named by themselves; what the index says of them cannot be compared.
            return Ok(Vec::new());
        }
        let footers = open(table, &anew.bytes)?;
        let (mut stored_streams, mut footer_streams) = (Streams::of(&stored, &bytes), Streams::of(&footers, &anew.bytes));
        loop {
            match (stored_streams.next(), footer_streams.next()) {
                (None, None) => return Ok(Vec::new()),
                (Some(Err(error)), _) | (_, Some(Err(error))) => return Ok(wrong(error)),
                (Some(Ok(stored)), Some(Ok(footer))) if stored == footer => {}
                (Some(Ok((labels, _))), _) | (None, Some(Ok((labels, _)))) => {
                    return Ok(wrong(format!("what it says of stream {labels} is not what the footers say")));
                }
            }
        }
    }
}

/// All streams of an index file, with their references by object name.
struct Streams<'a> {
    index: &'a Index,
    bytes: &'a Bytes,
    blocks: std::vec::IntoIter<skald_index::RowBlock>,
    waiting: std::vec::IntoIter<IndexedStream>,
}

impl<'a> Streams<'a> {
    fn of(index: &'a Index, bytes: &'a Bytes) -> Self {
        let blocks = index.row_blocks(&index.select_all()).into_iter();
        Streams { index, bytes, blocks, waiting: Vec::new().into_iter() }
    }
}

type ByName<'a> = (Labels, Vec<(&'a str, Reference)>);

impl<'a> Iterator for Streams<'a> {
    type Item = Result<ByName<'a>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(stream) = self.waiting.next() {
                let name = |reference: &Reference| self.index.objects()[reference.object as usize].as_str();
                let named = stream.references.into_iter().map(|reference| (name(&reference), Reference { object: 0, ..reference }));
                let mut named: Vec<_> = named.collect();
                named.sort_by_key(|(name, _)| *name);
                return Some(Ok((stream.labels, named)));
            }
            let block = self.blocks.next()?;
            let stored = self.bytes.get(block.range.start as usize..block.range.end as usize).unwrap_or_default();
            match self.index.streams(&block, stored, &self.index.select_all()) {
                Ok(streams) => self.waiting = streams.into_iter(),
                Err(error) => return Some(Err(chain(&error))),
            }
        }
    }
}
