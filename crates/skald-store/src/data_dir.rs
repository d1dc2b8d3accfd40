use skald_model::seam::{Disk, DiskFile, Random};
use skald_model::{DiskId, ErrorKind};
use std::io;
use std::path::{Path, PathBuf};

/// Layout of the data directory that this program writes and reads.
const FORMAT: u32 = 1;
const IDENTITY: &str = "skald";
const LOCK: &str = "lock";
const FRESH: &str = "skald.new";
/// What a directory without identity may hold: a first start may have been cut short, a volume has a folder of its file system's, and objects
/// may have been restored alone.
const OURS: [&str; 6] = [LOCK, FRESH, "objects", "cache", "wal", "lost+found"];

/// A data directory, held exclusively by this process until dropped.
pub struct DataDir {
    path: PathBuf,
    disk_id: DiskId,
    _lock: Box<dyn Send + Sync>,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process has it.
    #[error("the data directory '{0}' is in use by another process")]
    InUse(PathBuf),
    /// It holds files that are not ours.
    #[error("'{path}' is not a data directory and not empty: it holds '{found}'")]
    Foreign {
        /// Where it is.
        path: PathBuf,
        /// A name in it.
        found: String,
    },
    /// A later version wrote it.
    #[error("the data directory '{path}' has format {found}, this version knows formats up to {FORMAT}")]
    Newer {
        /// Where it is.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Its identity file is not ours or damaged.
    #[error("'{0}' does not name the format and identity of a data directory")]
    Damaged(PathBuf),
    /// The disk failed.
    #[error("{operation} '{path}'")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// Where.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
}

impl DataDirError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InUse(_) | Self::Io { .. } => ErrorKind::Unavailable,
            Self::Newer { .. } => ErrorKind::NotImplemented,
            Self::Foreign { .. } => ErrorKind::InvalidInput,
            Self::Damaged(_) => ErrorKind::Corrupt,
        }
    }
}

impl DataDir {
    /// Locks `path`, made if need be, and reads its identity; a new directory gets a fresh one.
    ///
    /// # Errors
    /// See [`DataDirError`].
    pub fn open(disk: &dyn Disk, path: &Path, random: &dyn Random) -> Result<Self, DataDirError> {
        let io = |operation, path: &Path| {
            let path = path.to_owned();
            move |source| DataDirError::Io { operation, path, source }
        };
        disk.create_dir_all(path).map_err(io("make directory", path))?;
        let entries = disk.list(path).map_err(io("list", path))?;
        let is_ours = entries.iter().any(|entry| entry.name == IDENTITY);
        if let Some(found) = entries.into_iter().find(|entry| !is_ours && !OURS.contains(&entry.name.as_str())) {
            return Err(DataDirError::Foreign { path: path.to_owned(), found: found.name });
        }
        let lock = disk.lock(&path.join(LOCK)).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => DataDirError::InUse(path.to_owned()),
            _ => DataDirError::Io { operation: "lock", path: path.to_owned(), source },
        })?;
        let file = path.join(IDENTITY);
        let disk_id = match disk.read(&file) {
            Ok(bytes) => parse(&bytes, path, &file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let disk_id = DiskId(random.next_id());
                write(disk, path, &file, disk_id).map_err(io("write", &file))?;
                disk_id
            }
            Err(error) => return Err(io("read", &file)(error)),
        };
        Ok(DataDir { path: path.to_owned(), disk_id, _lock: lock })
    }

    /// Identity of the directory.
    pub fn disk_id(&self) -> DiskId {
        self.disk_id
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The identity appears whole or not at all: a crash must not leave a directory that nobody can open.
fn write(disk: &dyn Disk, path: &Path, file: &Path, disk_id: DiskId) -> io::Result<()> {
    let fresh = path.join(FRESH);
    match disk.remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let new: Box<dyn DiskFile> = disk.create_new(&fresh)?;
    new.append(format!("format {FORMAT}\ndisk {disk_id}\n").as_bytes())?;
    new.sync()?;
    disk.rename(&fresh, file)?;
    disk.sync_dir(path)
}

fn parse(bytes: &[u8], path: &Path, file: &Path) -> Result<DiskId, DataDirError> {
    let damaged = || DataDirError::Damaged(file.to_owned());
    let text = std::str::from_utf8(bytes).map_err(|_| damaged())?;
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    let found: u32 = value("format").and_then(|format| format.parse().ok()).ok_or_else(damaged)?;
    if found > FORMAT {
        return Err(DataDirError::Newer { path: path.to_owned(), found });
    }
    value("disk").and_then(|disk| disk.parse().ok()).ok_or_else(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use skald_testkit::{SeededRandom, SimDisk};

    #[test]
    fn an_identity_is_drawn_once_and_the_directory_is_held() {
        let (disk, path) = (SimDisk::new(), Path::new("/data"));
        let held = DataDir::open(disk.as_ref(), path, &SeededRandom::new(1)).expect("a new directory");
        assert!(matches!(DataDir::open(disk.as_ref(), path, &SeededRandom::new(2)), Err(DataDirError::InUse(_))));
        let first = held.disk_id();
        drop(held);
        let again = DataDir::open(disk.as_ref(), path, &SeededRandom::new(3)).expect("it was let go of");
        assert_eq!(again.disk_id(), first);
    }

    #[test]
    fn folders_of_others_newer_formats_and_damage_are_refused() {
        let open = |name: &str, bytes: &[u8]| {
            let disk = SimDisk::new();
            disk.create_dir_all(Path::new("/data")).expect("a folder");
            disk.plant(&Path::new("/data").join(name), bytes);
            DataDir::open(disk.as_ref(), Path::new("/data"), &SeededRandom::new(1)).err().map(|error| error.kind())
        };
        assert_eq!(open("passwd", b"root"), Some(ErrorKind::InvalidInput));
        assert_eq!(open("skald", b"format 2\ndisk 0\n"), Some(ErrorKind::NotImplemented));
        assert_eq!(open("skald", b"junk"), Some(ErrorKind::Corrupt));
        assert_eq!(open("lock", b""), None);
    }
}
