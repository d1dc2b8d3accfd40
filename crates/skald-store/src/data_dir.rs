use skald_model::seam::{Disk, DiskFile, Random};
use skald_model::{DiskId, ErrorKind};
use std::io;
use std::path::{Path, PathBuf};

/// Layout of the data directory that this program writes and reads.
const FORMAT: u32 = 1;
const IDENTITY: &str = "skald";
const LOCK: &str = "lock";

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
    let fresh = path.join("skald.new");
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
