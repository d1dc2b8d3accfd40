use super::clock::timestamp;
use skald_model::Timestamp;
use skald_model::seam::{DirEntry, Disk, DiskFile, Space};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Files of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct StdDisk;

struct StdFile(File);

/// Unlocks by being dropped: the lock ends with the file.
struct Lock {
    _file: File,
}

#[allow(clippy::disallowed_methods, reason = "this is the real disk")]
impl Disk for StdDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).append(true).create_new(true).open(path)?;
        Ok(Box::new(StdFile(file)))
    }

    fn create_new_private(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(path)?;
        Ok(Box::new(StdFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = File::open(path)?;
        // The system opens a folder as it opens a file, and refuses only to read it.
        if file.metadata()?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(Box::new(StdFile(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        // A second name for the same file: the one way to fail when the name is taken that every file system has.
        fs::hard_link(from, to)?;
        fs::remove_file(from)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                // Removed since the directory was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_dir = metadata.is_dir();
            // A file system without such times has files that are as old as can be.
            let modified = metadata.modified().map_or(Timestamp(0), timestamp);
            found.push(DirEntry { name, is_dir, len: if is_dir { 0 } else { metadata.len() }, modified });
        }
        found.sort();
        Ok(found)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(Lock { _file: file })),
            Err(TryLockError::WouldBlock) => Err(io::Error::new(io::ErrorKind::WouldBlock, "another process has the lock")),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let found = rustix::fs::statvfs(path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Space { total: bytes(found.f_blocks), free: bytes(found.f_bavail) })
    }
}

impl DiskFile for StdFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.0).write_all(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        // Data and the length, which is all of the metadata that reading needs.
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(disk: &StdDisk, path: &Path) -> Vec<String> {
        disk.list(path).expect("the directory is there").into_iter().map(|entry| entry.name).collect()
    }

    #[test]
    fn files_are_appended_read_and_listed() {
        let dir = tempfile::tempdir().expect("a directory for the test");
        let (disk, path) = (StdDisk, dir.path().join("a/b"));
        disk.create_dir_all(&path).expect("new directories");
        let file = disk.create_new(&path.join("f")).expect("a new file");
        assert!(file.is_empty().expect("it is open"));
        file.append(b"one").and_then(|()| file.append(b"two")).and_then(|()| file.sync()).expect("room on the disk");
        disk.sync_dir(&path).expect("a directory can be synced");
        let mut bytes = [0; 3];
        disk.open(&path.join("f")).expect("it is there").read_exact_at(2, &mut bytes).expect("it is long enough");
        assert_eq!(&bytes, b"etw");
        assert_eq!(file.read_exact_at(4, &mut bytes).expect_err("it ends before").kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(disk.read(&path.join("f")).expect("it is there"), b"onetwo");
        let again = disk.create_new(&path.join("f")).err().expect("the name is taken");
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        let entries = disk.list(&dir.path().join("a")).expect("the directory is there");
        assert_eq!(entries.iter().map(|entry| (entry.name.as_str(), entry.is_dir, entry.len)).collect::<Vec<_>>(), [("b", true, 0)]);
        assert!(entries[0].modified > Timestamp(0), "files have times");
        disk.remove_dir_all(&dir.path().join("a")).expect("it is there");
        assert_eq!(disk.list(&path).expect_err("it was removed").kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn rename_replaces_and_rename_new_does_not() {
        let dir = tempfile::tempdir().expect("a directory for the test");
        let (disk, at) = (StdDisk, |name: &str| dir.path().join(name));
        for name in ["x", "y", "z"] {
            disk.create_new(&at(name)).and_then(|file| file.append(name.as_bytes())).expect("a new file");
        }
        let taken = disk.rename_new(&at("x"), &at("y")).expect_err("the name is taken");
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        disk.rename(&at("x"), &at("y")).expect("it replaces");
        disk.rename_new(&at("z"), &at("w")).expect("the name is free");
        assert_eq!(names(&disk, dir.path()), ["w", "y"]);
        assert_eq!(disk.read(&at("y")).expect("it is there"), b"x");
        disk.remove_file(&at("y")).expect("it is there");
        assert_eq!(names(&disk, dir.path()), ["w"]);
    }

    #[test]
    fn a_lock_is_held_by_one_until_it_is_dropped() {
        let dir = tempfile::tempdir().expect("a directory for the test");
        let path = dir.path().join("lock");
        let held = StdDisk.lock(&path).expect("nobody has it");
        assert_eq!(StdDisk.lock(&path).err().expect("it is held").kind(), io::ErrorKind::WouldBlock);
        drop(held);
        assert!(StdDisk.lock(&path).is_ok());
    }

    #[test]
    fn space_is_that_of_the_file_system() {
        let space = StdDisk.space(Path::new("/")).expect("there is a root");
        assert!(space.total > 0 && space.free <= space.total);
    }
}
