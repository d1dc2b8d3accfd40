//! The blocking part of the local store.

use crate::name::{TMP, check_name, is_own};
use crate::{ObjectMeta, StoreError};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use quick_cache::unsync::Cache;
use skald_model::seam::{Disk, DiskFile};
use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Files kept open for reading.
const OPEN_FILES_MAX: usize = 256;
/// Folders remembered as durable; beyond it they are synced once more.
const DURABLE_FOLDERS_MAX: usize = 10_000;

pub(super) struct Files {
    disk: Arc<dyn Disk>,
    objects: PathBuf,
    tmp: PathBuf,
    next_tmp: AtomicU64,
    open: Mutex<OpenFiles>,
    /// Folders that survive a power cut. Held for reading while a file moves into its folder, for writing while an empty folder goes.
    durable: RwLock<Mutex<HashSet<PathBuf>>>,
}

struct OpenFiles {
    cache: Cache<String, Arc<OpenFile>>,
    /// Counts replaced and removed names, so that a file opened before such a change is not kept after it.
    changes: u64,
}

struct OpenFile {
    file: Box<dyn DiskFile>,
    len: u64,
}

impl Files {
    pub(super) fn open(disk: Arc<dyn Disk>, root: &Path) -> io::Result<Self> {
        disk.create_dir_all(root)?;
        found(disk.remove_dir_all(&root.join(TMP)))?;
        let files = Self::inspect(disk, root);
        files.tidy(&files.objects)?;
        files.disk.create_dir_all_synced(&files.objects)?;
        files.disk.create_dir_all(&files.tmp)?;
        Ok(files)
    }

    /// As they are; for reading.
    pub(super) fn inspect(disk: Arc<dyn Disk>, root: &Path) -> Self {
        Files {
            disk,
            objects: root.to_owned(),
            tmp: root.join(TMP),
            next_tmp: AtomicU64::new(0),
            open: Mutex::new(OpenFiles { cache: Cache::new(OPEN_FILES_MAX), changes: 0 }),
            durable: RwLock::default(),
        }
    }

    /// Writes a file beside the objects, syncs it, and moves it to its name.
    pub(super) fn put(&self, name: &str, bytes: &[u8], replace: bool) -> Result<(), StoreError> {
        let io = |source| StoreError::Io { operation: "put", name: name.to_owned(), source };
        let tmp = self.tmp.join(self.next_tmp.fetch_add(1, Ordering::Relaxed).to_string());
        let moved = self.write(&tmp, bytes).map_err(io).and_then(|()| self.place(&tmp, name, replace));
        if moved.is_err() {
            // What cannot be removed now is removed at the next start.
            let _ = self.disk.remove_file(&tmp);
        }
        moved
    }

    fn write(&self, tmp: &Path, bytes: &[u8]) -> io::Result<()> {
        let file = self.disk.create_new(tmp)?;
        file.append(bytes)?;
        file.sync()
    }

    fn place(&self, tmp: &Path, name: &str, replace: bool) -> Result<(), StoreError> {
        let path = self.objects.join(name);
        let io = |source| StoreError::Io { operation: "put", name: name.to_owned(), source };
        for _ in 0..2 {
            match self.rename(tmp, &path, replace) {
                Ok(()) => {
                    self.forget_open(name);
                    return Ok(());
                }
                Err(error) if is_clash(&error) || error.kind() == io::ErrorKind::AlreadyExists => {
                    if self.disk.list(&path).is_err() {
                        return Err(match error.kind() {
                            io::ErrorKind::AlreadyExists if !replace => StoreError::AlreadyExists(name.to_owned()),
                            _ => StoreError::InvalidName(name.to_owned()),
                        });
                    }
                    // A folder has the name. Unless it holds an object, it is only what deleted ones left behind.
                    let mut durable = self.durable.write();
                    durable.get_mut().clear();
                    if !self.tidy(&path).map_err(io)? {
                        break;
                    }
                }
                Err(error) => return Err(io(error)),
            }
        }
        Err(StoreError::InvalidName(name.to_owned()))
    }

    /// Moves a file to its name and makes the name durable. One that is taken is durable, too, before that is said: the process that put it may have
    /// died, or be about to.
    fn rename(&self, tmp: &Path, path: &Path, replace: bool) -> io::Result<()> {
        let folder = path.parent().expect("objects lie below the root");
        let durable = self.durable.read();
        self.make_folder(folder, &durable)?;
        let renamed = if replace { self.disk.rename(tmp, path) } else { self.disk.rename_new(tmp, path) };
        match &renamed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => durable.lock().clear(),
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {}
            _ => self.disk.sync_dir(folder)?,
        }
        renamed
    }

    fn make_folder(&self, folder: &Path, durable: &Mutex<HashSet<PathBuf>>) -> io::Result<()> {
        if folder == self.objects || durable.lock().contains(folder) {
            return Ok(());
        }
        let in_the_way =
            |error: io::Error| if error.kind() == io::ErrorKind::AlreadyExists { io::ErrorKind::NotADirectory.into() } else { error };
        self.disk.create_dir_all(folder).map_err(in_the_way)?;
        for parent in folder.ancestors().skip(1) {
            self.disk.sync_dir(parent)?;
            if parent == self.objects {
                break;
            }
        }
        let mut durable = durable.lock();
        if durable.len() >= DURABLE_FOLDERS_MAX {
            durable.clear();
        }
        durable.insert(folder.to_owned());
        Ok(())
    }

    pub(super) fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => StoreError::NotFound(name.to_owned()),
            _ => StoreError::Io { operation: "read", name: name.to_owned(), source },
        };
        let open = self.open_file(name).map_err(failed)?;
        if range.start > range.end || range.end > open.len {
            return Err(StoreError::OutOfRange { name: name.to_owned(), end: range.end });
        }
        let mut bytes = vec![0; (range.end - range.start) as usize];
        open.file.read_exact_at(range.start, &mut bytes).map_err(failed)?;
        Ok(bytes.into())
    }

    fn open_file(&self, name: &str) -> io::Result<Arc<OpenFile>> {
        let changes = {
            let open = self.open.lock();
            if let Some(file) = open.cache.get(name) {
                return Ok(file.clone());
            }
            open.changes
        };
        let file = self.disk.open(&self.objects.join(name))?;
        let file = Arc::new(OpenFile { len: file.len()?, file });
        self.keep_open(name, &file, changes);
        Ok(file)
    }

    /// Keeps a file for the next read, unless names changed since there were `changes`: it may be one that was replaced.
    fn keep_open(&self, name: &str, file: &Arc<OpenFile>, changes: u64) {
        let mut open = self.open.lock();
        if open.changes == changes {
            open.cache.insert(name.to_owned(), file.clone());
        }
    }

    fn forget_open(&self, name: &str) {
        let mut open = self.open.lock();
        open.changes += 1;
        open.cache.remove(name);
    }

    pub(super) fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StoreError> {
        let (mut objects, mut folders) = (Vec::new(), vec![prefix.to_owned()]);
        while let Some(folder) = folders.pop() {
            let io = |source| StoreError::Io { operation: "list", name: folder.clone(), source };
            // A folder may go, or turn out to be an object, at any time.
            let entries = self.disk.list(&self.objects.join(folder.trim_end_matches('/')));
            let first_inner = folders.len();
            for entry in found(entries).map_err(io)?.unwrap_or_default() {
                let name = format!("{folder}{}", entry.name);
                match entry.is_dir {
                    true if folder.is_empty() && is_own(&name) => {}
                    true => folders.push(name + "/"),
                    false if check_name(&name).is_ok() => objects.push(ObjectMeta { name, size: entry.len, modified: entry.modified }),
                    false => {}
                }
            }
            // The last is taken next: folders are looked at in the order of their names.
            folders[first_inner..].reverse();
        }
        objects.sort();
        Ok(objects)
    }

    pub(super) fn delete(&self, name: &str) -> Result<(), StoreError> {
        let io = |source| StoreError::Io { operation: "delete", name: name.to_owned(), source };
        let path = self.objects.join(name);
        found(self.disk.remove_file(&path)).map_err(io)?;
        self.forget_open(name);
        // Also when it was gone: it may have been removed by a process that died before it synced.
        let folder = path.parent().expect("objects lie below the root");
        found(self.disk.sync_dir(folder)).map_err(io).map(|_| ())
    }

    /// Removes a folder that holds no files at any depth, and such folders inside of it. Makes the names durable that stay: a process that died may
    /// have put or removed them without. Whether the folder is gone.
    fn tidy(&self, folder: &Path) -> io::Result<bool> {
        let mut empty = true;
        for entry in self.disk.list(folder)? {
            // The root of a volume has a folder of the file system's own.
            if folder == self.objects && entry.name == "lost+found" {
                empty = false;
                continue;
            }
            empty &= entry.is_dir && self.tidy(&folder.join(entry.name))?;
        }
        if empty {
            self.disk.remove_dir_all(folder)?
        } else {
            self.disk.sync_dir(folder)?
        }
        Ok(empty)
    }
}

/// Whether a path runs into a file where it needs a folder, or the other way round.
fn is_clash(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory | io::ErrorKind::DirectoryNotEmpty)
}

/// `None` when there is no file or folder of that name.
fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound || is_clash(&error) => Ok(None),
        result => result.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skald_testkit::SimDisk;

    #[test]
    fn a_file_opened_before_it_was_replaced_is_not_kept_after() {
        let files = Files::open(SimDisk::new(), Path::new("root")).unwrap();
        files.put("a", b"old", true).unwrap();
        let (old, changes) = (files.open_file("a").unwrap(), files.open.lock().changes);
        files.put("a", b"new", true).unwrap();
        files.keep_open("a", &old, changes);
        assert_eq!(files.get_range("a", 0..3).unwrap(), "new");
    }
}
