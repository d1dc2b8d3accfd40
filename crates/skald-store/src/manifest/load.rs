//! Reading what is live in a table.

use super::text::BYTES_MAX;
use super::{Content, Manifest, ManifestError, NamedFile};
use crate::{ManifestName, ObjectMeta, ObjectName, ObjectStore, Origin, StoreError, TableFile, TableId};
use skald_model::ErrorKind;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Listings of a table whose newest manifest is gone when it is read. Each of them means that a whole grace went by in between.
pub(crate) const LISTINGS_MAX: u32 = 5;

/// The files of a table, by what they are.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Flushed objects.
    pub incoming: Vec<(ObjectName, ObjectMeta)>,
    /// Merged objects.
    pub merged: Vec<(ObjectName, ObjectMeta)>,
    /// Index files.
    pub index: Vec<ObjectMeta>,
    /// Manifests by number.
    pub manifests: BTreeMap<u64, ObjectMeta>,
    /// Names that are not ours.
    pub foreign: Vec<String>,
}

/// A table as the store has it.
#[derive(Debug, Clone)]
pub struct TableFiles {
    /// All that is there.
    pub listing: Listing,
    /// The newest manifest.
    pub manifest: Option<Manifest>,
}

/// Why a table could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The store did not list it.
    #[error("list table '{table}'")]
    List {
        /// Which.
        table: TableId,
        /// Cause.
        #[source]
        source: StoreError,
    },
    /// The store did not give its manifest.
    #[error("read manifest '{path}'")]
    Read {
        /// Whole name.
        path: String,
        /// Cause.
        #[source]
        source: StoreError,
    },
    /// Its manifest is not what was written.
    #[error("manifest '{path}' is damaged")]
    Damaged {
        /// Whole name.
        path: String,
        /// Cause.
        #[source]
        source: ManifestError,
    },
    /// The newest manifest was gone whenever it was read.
    #[error("the newest manifest of table '{0}' was gone each time that it was read")]
    Vanishing(TableId),
}

impl LoadError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::List { source, .. } | Self::Read { source, .. } => source.kind(),
            Self::Damaged { source, .. } => source.kind(),
            Self::Vanishing(_) => ErrorKind::Unavailable,
        }
    }
}

impl Listing {
    /// Sorts a listing of one table.
    pub fn of(metas: Vec<ObjectMeta>) -> Self {
        let mut listing = Listing::default();
        for meta in metas {
            match meta.name.parse() {
                Ok(file) => listing.add(file, meta),
                Err(_) => listing.foreign.push(meta.name),
            }
        }
        listing
    }

    /// Adds a file of the table under its name.
    pub(crate) fn add(&mut self, file: TableFile, meta: ObjectMeta) {
        match file {
            TableFile::Object(name) => match name.origin {
                Origin::Incoming { .. } => self.incoming.push((name, meta)),
                Origin::Merged { .. } => self.merged.push((name, meta)),
            },
            TableFile::Index(_) => self.index.push(meta),
            TableFile::Manifest(name) => drop(self.manifests.insert(name.number, meta)),
        }
    }
}

impl TableFiles {
    /// Live objects and their sizes: incoming ones in name order, then those that the manifest names beside them.
    pub fn live(&self) -> Vec<(ObjectName, u64)> {
        let incoming = self.listing.incoming.iter().map(|(name, meta)| (name.clone(), meta.size));
        match &self.manifest {
            Some(manifest) => live(incoming, &manifest.content),
            None => incoming.collect(),
        }
    }
}

/// `(incoming − absorbed − objects) ∪ objects`, incoming ones first.
pub(crate) fn live(incoming: impl Iterator<Item = (ObjectName, u64)>, content: &Content) -> Vec<(ObjectName, u64)> {
    let absorbed: HashSet<&str> = content.absorbed.iter().map(String::as_str).collect();
    let mut named: HashMap<&str, &NamedFile> = content.objects.iter().map(|file| (file.name.as_str(), file)).collect();
    let mut live = Vec::new();
    for (name, size) in incoming {
        let path = name.to_string();
        match named.remove(path.as_str()) {
            Some(file) => live.push((name, file.size)),
            None if absorbed.contains(path.as_str()) => {}
            None => live.push((name, size)),
        }
    }
    // Also those that nobody listed: that one is missing must show when it is read.
    let beside = content.objects.iter().filter(|file| named.contains_key(file.name.as_str()));
    live.extend(beside.filter_map(|file| Some((file.name.parse().ok()?, file.size))));
    live
}

/// Lists a table. Incoming objects are looked at before manifests are: a listing goes through the names in order, page by page, and `incoming` comes
/// before `manifest`.
///
/// # Errors
/// When the store fails.
pub async fn list_table(store: &dyn ObjectStore, table: &TableId) -> Result<Listing, LoadError> {
    let listed = store.list(&format!("{table}/")).await;
    listed.map(Listing::of).map_err(|source| LoadError::List { table: table.clone(), source })
}

/// Lists a table, and then reads its newest manifest.
///
/// In this order nothing is lost while objects are merged: who takes an incoming object away has published the manifest that names what it became
/// before. So either the object is in the listing, or the manifest that is read afterwards makes up for it. A manifest that goes between
/// the listing and the reading has a successor, so the table is listed again.
///
/// # Errors
/// See [`LoadError`].
pub async fn load_table(store: &dyn ObjectStore, table: &TableId) -> Result<TableFiles, LoadError> {
    for _ in 0..LISTINGS_MAX {
        let listing = list_table(store, table).await?;
        let Some((number, meta)) = listing.manifests.last_key_value() else { return Ok(TableFiles { listing, manifest: None }) };
        match read_manifest(store, table, *number, meta.size).await {
            Ok(manifest) => return Ok(TableFiles { listing, manifest: Some(manifest) }),
            Err(LoadError::Read { source: StoreError::NotFound(_), .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(LoadError::Vanishing(table.clone()))
}

/// Reads one manifest.
///
/// # Errors
/// See [`LoadError`].
pub async fn read_manifest(store: &dyn ObjectStore, table: &TableId, number: u64, size: u64) -> Result<Manifest, LoadError> {
    let path = ManifestName { table: table.clone(), number }.to_string();
    if size > BYTES_MAX {
        return Err(LoadError::Damaged { path, source: ManifestError::TooLarge(size) });
    }
    match store.get_range(&path, 0..size).await {
        Ok(bytes) => Manifest::parse(table, number, &bytes).map_err(|source| LoadError::Damaged { path, source }),
        Err(source) => Err(LoadError::Read { path, source }),
    }
}
