use skald_model::{DiskId, ErrorKind};
use std::io;
use std::path::{Path, PathBuf};

/// Why the log could not do it.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// The disk failed or is full.
    #[error("{operation} '{}'", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// File or folder.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// A record passes the limit; nothing of its group was written.
    #[error("record of {len} bytes is larger than {max} bytes")]
    RecordTooLarge {
        /// Its bytes.
        len: usize,
        /// Bytes that a record may have.
        max: u32,
    },
    /// The file with the number of the next generation is damaged or gone, so that a number could be used twice.
    #[error("number of the next generation cannot be read from '{}'; restore it, or begin with a new data directory", path.display())]
    NextGenerationDamaged {
        /// The file.
        path: PathBuf,
    },
    /// The log was written with another data directory.
    #[error("'{}' belongs to disk {found}, not to {expected}", path.display())]
    WrongDisk {
        /// The file.
        path: PathBuf,
        /// Disk that it names.
        found: DiskId,
        /// Disk of this data directory.
        expected: DiskId,
    },
    /// The log was written by a newer release.
    #[error("'{}' has format version {version}, which this release does not know", path.display())]
    UnsupportedVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
}

impl WalError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } => ErrorKind::Unavailable,
            Self::RecordTooLarge { .. } => ErrorKind::TooLarge,
            Self::NextGenerationDamaged { .. } => ErrorKind::Corrupt,
            Self::WrongDisk { .. } => ErrorKind::InvalidInput,
            Self::UnsupportedVersion { .. } => ErrorKind::NotImplemented,
        }
    }
}

/// Names the operation and the path of a failed disk call.
pub(crate) trait Context<T> {
    fn context(self, operation: &'static str, path: &Path) -> Result<T, WalError>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, operation: &'static str, path: &Path) -> Result<T, WalError> {
        self.map_err(|source| WalError::Io { operation, path: path.to_owned(), source })
    }
}
