use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes at the beginning of a file that tell it from others.
pub(crate) const HEAD_BYTES: usize = 1024;

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

impl Fingerprint {
    /// Of a file that begins with `head`.
    pub(crate) fn of(head: &[u8]) -> Self {
        let head = &head[..head.len().min(HEAD_BYTES)];
        if head.is_empty() { Fingerprint::default() } else { Fingerprint { len: head.len() as u32, hash: xxh3_64(head) } }
    }

    /// Whether a file that begins with `head` may be the one that this was made of. True for any file when it was empty.
    pub(crate) fn matches(&self, head: &[u8]) -> bool {
        head.get(..self.len as usize).is_some_and(|head| Self::of(head) == *self)
    }
}

/// The first bytes of a file.
pub(crate) struct Head {
    bytes: [u8; HEAD_BYTES],
    len: usize,
}

impl Head {
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let mut head = Head { bytes: [0; HEAD_BYTES], len: 0 };
        head.len = read_at(file, &mut head.bytes, 0)?;
        Ok(head)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Fills `buffer` with what stands at `offset`; fewer bytes only at the end of the file.
pub(crate) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
