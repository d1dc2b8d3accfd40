use super::{FILE_COUNT, FILES, SEGMENT};
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tantivy::Directory;
use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{DirectoryLock, FileHandle, Lock, OwnedBytes, WatchCallback, WatchHandle, WritePtr};

/// The files of one index, in memory, for reading.
#[derive(Clone)]
pub(super) struct Files(pub(super) [OwnedBytes; FILE_COUNT]);

impl Files {
    fn get(&self, path: &Path) -> Result<&OwnedBytes, OpenReadError> {
        let place = match path.to_str() {
            Some("meta.json") => Some(FILES.len()),
            Some(name) => name.strip_prefix(&SEGMENT.replace('-', "")).and_then(|rest| rest.strip_prefix('.')).and_then(place),
            None => None,
        };
        place.map(|place| &self.0[place]).ok_or_else(|| OpenReadError::FileDoesNotExist(path.to_owned()))
    }
}

/// The document store is opened with every segment and never looked into: any sound file stands in for it.
fn place(extension: &str) -> Option<usize> {
    FILES.iter().position(|known| *known == if extension == "store" { "pos" } else { extension })
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Files")
    }
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "an index file is never changed")
}

impl Directory for Files {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        Ok(Arc::new(self.get(path)?.clone()))
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        Ok(self.get(path).is_ok())
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        Ok(self.get(path)?.to_vec())
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        Err(DeleteError::IoError { io_error: Arc::new(read_only()), filepath: path.to_owned() })
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        Err(OpenWriteError::wrap_io_error(read_only(), path.to_owned()))
    }

    fn atomic_write(&self, _: &Path, _: &[u8]) -> io::Result<()> {
        Err(read_only())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn acquire_lock(&self, _: &Lock) -> Result<DirectoryLock, LockError> {
        Err(LockError::wrap_io_error(read_only()))
    }

    /// Nothing ever changes, so nobody is ever called.
    fn watch(&self, _: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(WatchHandle::empty())
    }
}
