//! Putting the next manifest.

use super::load::read_manifest;
use super::{Content, Listing, LoadError, Manifest, ManifestError, Writer};
use crate::{ManifestName, ObjectStore, StoreError, TableId};
use skald_model::ErrorKind;

/// Why a manifest was not published. Unless it says that another one stands, a put that was cut short may still come into force: who publishes again
/// reads the table first.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Another manifest has the number, or a higher one.
    #[error("manifest {newest} of table '{table}' was published in between")]
    Outrun {
        /// Which.
        table: TableId,
        /// The newest.
        newest: u64,
    },
    /// The store did not take it.
    #[error("put manifest '{path}'")]
    Put {
        /// Whole name.
        path: String,
        /// Cause.
        #[source]
        source: StoreError,
    },
    /// Whether it stands could not be found out.
    #[error("find out whether manifest '{path}' stands")]
    Unclear {
        /// Whole name.
        path: String,
        /// Cause.
        #[source]
        source: Box<LoadError>,
    },
    /// It cannot be written.
    #[error("manifest '{path}' cannot be written")]
    Invalid {
        /// Whole name.
        path: String,
        /// Cause.
        #[source]
        source: ManifestError,
    },
}

impl PublishError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Outrun { .. } => ErrorKind::Unavailable,
            Self::Put { source, .. } => source.kind(),
            Self::Unclear { source, .. } => source.kind(),
            Self::Invalid { source, .. } => source.kind(),
        }
    }
}

/// Puts `content` as the manifest behind `previous` (0 when there is none), and gives it once it is known to be the newest.
///
/// `writer` is drawn for this call. A put of which it is not known whether it happened, or that finds the number taken, is settled by the writer
/// that stands there. A number above it means that the caller knew an old table: whatever it put is not in force.
///
/// # Errors
/// See [`PublishError`].
pub async fn publish(
    store: &dyn ObjectStore,
    table: &TableId,
    previous: u64,
    content: Content,
    writer: Writer,
) -> Result<Manifest, PublishError> {
    let manifest = Manifest { number: previous + 1, previous, writer, content };
    let path = ManifestName { table: table.clone(), number: manifest.number }.to_string();
    let bytes = manifest.encode(table).map_err(|source| PublishError::Invalid { path: path.clone(), source })?;
    let put = store.put_if_absent(&path, bytes).await;
    let unclear = |source| PublishError::Unclear { path: path.clone(), source: Box::new(source) };
    let folder = format!("{table}/manifest/");
    let listed = store.list(&folder).await.map_err(|source| unclear(LoadError::List { table: table.clone(), source }))?;
    let manifests = Listing::of(listed).manifests;
    let newest = manifests.last_key_value().map_or(0, |(newest, _)| *newest);
    if newest > manifest.number {
        return Err(PublishError::Outrun { table: table.clone(), newest });
    }
    let Err(source) = put else { return Ok(manifest) };
    let Some(meta) = manifests.get(&manifest.number) else { return Err(PublishError::Put { path, source }) };
    match read_manifest(store, table, manifest.number, meta.size).await {
        Ok(found) if found.writer == writer => Ok(manifest),
        Ok(_) | Err(LoadError::Damaged { .. }) => Err(PublishError::Outrun { table: table.clone(), newest }),
        Err(error) => Err(unclear(error)),
    }
}
