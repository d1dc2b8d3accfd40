//! Where a file went that is no longer at its path: rotated names beside it, also compressed.

use crate::position::{Fingerprint, Head};
use crate::target::Format;
use crate::unpack::Unpacker;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Compressed files that are looked into for one lost file; the newest first.
const UNPACKED_MAX: usize = 16;

/// A file beside another.
#[derive(Debug)]
pub(crate) struct Sibling {
    pub path: PathBuf,
    pub device: u64,
    pub inode: u64,
    pub size: u64,
    pub modified: SystemTime,
    /// When it came to be, where the file system knows.
    pub created: Option<SystemTime>,
    /// How it is compressed, by its name.
    pub format: Option<Format>,
}

/// Opens a file for reading, and nothing that is none. Does not wait for the writer of a pipe.
pub(crate) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let file = fs::OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)?;
    let meta = file.metadata()?;
    if meta.is_file() { Ok((file, meta)) } else { Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")) }
}

/// The directory that really holds what is, or was, at `path`, and the name there.
pub(crate) fn real_path(path: &Path) -> PathBuf {
    if let Ok(real) = fs::canonicalize(path) {
        return real;
    }
    match fs::read_link(path) {
        Ok(target) => path.parent().unwrap_or(Path::new("/")).join(target),
        Err(_) => path.to_owned(),
    }
}

/// The file in the directory of `path` that has `inode`, under whichever name.
pub(crate) fn by_inode(path: &Path, inode: u64) -> Option<PathBuf> {
    let entries = fs::read_dir(path.parent()?).ok()?;
    entries.flatten().find(|entry| entry.ino() == inode && entry.file_type().is_ok_and(|kind| kind.is_file())).map(|entry| entry.path())
}

/// Rotated files of `path`, the one written last first.
pub(crate) fn rotated(path: &Path) -> Vec<Sibling> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else { return Vec::new() };
    let mut siblings = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let Some(format) = entry.file_name().to_str().and_then(|other| rotated_name(name, other)) else { continue };
        let Ok(meta) = entry.metadata() else { continue };
        if let (true, Ok(modified)) = (meta.is_file(), meta.modified()) {
            siblings.push(Sibling {
                path: entry.path(),
                device: meta.dev(),
                inode: meta.ino(),
                size: meta.len(),
                modified,
                created: meta.created().ok(),
                format,
            });
        }
    }
    siblings.sort_by(|a, b| b.modified.cmp(&a.modified).then_with(|| a.path.cmp(&b.path)));
    siblings
}

/// Among `siblings` the newest that begins with the bytes of `fingerprint` and is longer than `offset`, as far as that can be told.
pub(crate) fn by_content(siblings: &[Sibling], fingerprint: Fingerprint, offset: u64) -> Option<&Sibling> {
    if fingerprint.len == 0 {
        return None;
    }
    let mut unpacked = 0;
    siblings.iter().find(|sibling| {
        unpacked += usize::from(sibling.format.is_some());
        let long_enough = sibling.format.is_some() || sibling.size >= offset;
        long_enough && unpacked <= UNPACKED_MAX && begins_with(sibling, fingerprint)
    })
}

/// Whether the file, or what it holds compressed, begins with the bytes of `fingerprint`.
pub(crate) fn begins_with(sibling: &Sibling, fingerprint: Fingerprint) -> bool {
    let Ok((file, _)) = open(&sibling.path) else { return false };
    match sibling.format {
        None => Head::of(&file).is_ok_and(|head| fingerprint.matches(head.bytes())),
        Some(format) => Unpacker::head(file, format, fingerprint.len as usize).is_ok_and(|head| fingerprint.matches(&head)),
    }
}

/// Whether `other` is what a rotation makes of `name`, and how that is compressed: `app.log.1`, `app.log-20240131.gz`, `app-20240131.log`, `app.log.old`.
fn rotated_name(name: &str, other: &str) -> Option<Option<Format>> {
    let endings = [(".gz", Format::Gzip), (".zst", Format::Zstd), (".bz2", Format::Bzip2), (".lz4", Format::Lz4)];
    let packed = endings.iter().find_map(|(ending, format)| Some((other.strip_suffix(ending)?, *format)));
    let (bare, format) = packed.map_or((other, None), |(bare, format)| (bare, Some(format)));
    let after = bare.strip_prefix(name);
    let inside = || {
        let (stem, extension) = name.rsplit_once('.')?;
        bare.strip_prefix(stem)?.strip_suffix(extension)?.strip_suffix('.')
    };
    let is_rotated = match after.or_else(inside) {
        Some("") => format.is_some(),
        Some(middle) => matches!(middle, ".old" | ".bak") || is_count_or_date(middle),
        None => false,
    };
    is_rotated.then_some(format)
}

fn is_count_or_date(text: &str) -> bool {
    text.starts_with(['.', '-', '_'])
        && text.contains(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_digit() || ".-_:+TZ".contains(c))
}

#[cfg(test)]
mod tests;
