use std::path::PathBuf;
use std::sync::Arc;

/// One file as one target reads it. Random when the file is first seen, and kept over restarts with its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u64);

/// How far a file has been read, and how to know it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePosition {
    /// Which reading this is.
    pub id: FileId,
    /// Key of the target that reads it.
    pub target_key: Arc<str>,
    /// Where it was last seen.
    pub path: PathBuf,
    /// Device that holds it.
    pub device: u64,
    /// Inode on that device.
    pub inode: u64,
    /// Hash of its first bytes.
    pub fingerprint: Fingerprint,
    /// The next unread byte; of a compressed file the number of lines read.
    pub offset: u64,
    /// Whether the file is compressed, and `offset` counts lines.
    pub compressed: bool,
}

/// xxh3 of the first `len` bytes of a file, at most 1,024.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fingerprint {
    /// Bytes that were hashed; 0 for a file that was empty.
    pub len: u32,
    /// The hash.
    pub hash: u64,
}
