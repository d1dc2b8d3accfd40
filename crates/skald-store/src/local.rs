mod files;

#[cfg(test)]
mod tests;

use crate::name::{check_name, check_prefix};
use crate::{ObjectMeta, ObjectStore, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use files::Files;
use skald_model::seam::{Disk, Spawner, run_blocking};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// Objects as files of a local disk.
///
/// `<root>/<name>` holds an object, `<root>/~tmp` what is being put. One process uses a root at a time; the caller holds the lock on it. A name
/// cannot be an object and a folder of objects at once. Work runs on the spawner's blocking threads, and goes on when its caller stops waiting.
pub struct LocalStore {
    files: Arc<Files>,
    spawner: Arc<dyn Spawner>,
}

impl LocalStore {
    /// File in a root that a process may lock; no object can have its name.
    pub const LOCK: &str = crate::name::LOCK;

    /// Opens the store in `root`, which is made when missing; removes what puts left behind that a crash cut short, and empty folders. Blocks.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn open(disk: Arc<dyn Disk>, spawner: Arc<dyn Spawner>, root: &Path) -> Result<Self, StoreError> {
        let io = |source| StoreError::Io { operation: "open the store of", name: root.display().to_string(), source };
        let files = Files::open(disk, root).map_err(io)?;
        Ok(LocalStore { files: Arc::new(files), spawner })
    }

    /// The store in `root` as it is, for reading: nothing is made or removed.
    pub fn inspect(disk: Arc<dyn Disk>, spawner: Arc<dyn Spawner>, root: &Path) -> Self {
        LocalStore { files: Arc::new(Files::inspect(disk, root)), spawner }
    }

    /// As [`ObjectStore::get_range`], on the caller's thread, which may wait for the disk.
    pub(crate) fn get_range_blocking(&self, name: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        check_name(name)?;
        self.files.get_range(name, range)
    }

    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        name: &str,
        work: impl FnOnce(&Files, &str) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (files, object) = (self.files.clone(), name.to_owned());
        let stopped = |stopped| StoreError::Io { operation, name: name.to_owned(), source: io::Error::other(stopped) };
        run_blocking(&*self.spawner, move || work(&files, &object)).await.map_err(stopped)?
    }
}

#[async_trait]
impl ObjectStore for LocalStore {
    async fn put(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        check_name(name)?;
        self.run("put", name, move |files, name| files.put(name, &bytes, true)).await
    }

    async fn put_if_absent(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        check_name(name)?;
        self.run("put", name, move |files, name| files.put(name, &bytes, false)).await
    }

    async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        check_name(name)?;
        self.run("read", name, move |files, name| files.get_range(name, range)).await
    }

    async fn get_ranges(&self, name: &str, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>, StoreError> {
        check_name(name)?;
        self.run("read", name, move |files, name| ranges.into_iter().map(|range| files.get_range(name, range)).collect()).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StoreError> {
        check_prefix(prefix)?;
        self.run("list", prefix, |files, prefix| files.list(prefix)).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        check_name(name)?;
        self.run("delete", name, |files, name| files.delete(name)).await
    }
}
