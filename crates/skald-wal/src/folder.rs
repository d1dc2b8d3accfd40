//! Names of files and folders, and which of them are ours.

use crate::WalError;
use crate::error::Context;
use crate::format::SegmentId;
use crate::segment::read_header;
use skald_model::seam::{DirEntry, Disk};
use skald_model::{DiskId, Generation};
use std::io;
use std::path::{Path, PathBuf};

/// The folder of a generation.
pub(crate) fn generation_dir(dir: &Path, generation: Generation) -> PathBuf {
    dir.join(generation.to_string())
}

/// Where the folder of a generation goes while it is removed.
pub(crate) fn removed_dir(dir: &Path, generation: Generation) -> PathBuf {
    dir.join(format!("{generation}.removed"))
}

/// The file of a segment.
pub(crate) fn segment_path(generation_dir: &Path, segment: u64) -> PathBuf {
    generation_dir.join(segment_name(segment))
}

fn segment_name(segment: u64) -> String {
    format!("{segment:06}.wal")
}

pub(crate) fn parse_generation(name: &str) -> Option<Generation> {
    let generation = Generation(name.parse().ok()?);
    (generation.to_string() == name).then_some(generation)
}

pub(crate) fn parse_removed(name: &str) -> Option<Generation> {
    parse_generation(name.strip_suffix(".removed")?)
}

pub(crate) fn parse_segment(name: &str) -> Option<u64> {
    let segment = name.strip_suffix(".wal")?.parse().ok()?;
    (segment_name(segment) == name).then_some(segment)
}

/// What lies in the folder of a generation.
#[derive(Default)]
pub(crate) struct Contents {
    /// Number and length of our segments, in order.
    pub(crate) segments: Vec<(u64, u64)>,
    /// What is not ours.
    pub(crate) foreign: Vec<PathBuf>,
}

impl Contents {
    /// Lists a folder and looks at the header of each segment.
    pub(crate) fn list(disk: &dyn Disk, folder: &Path, disk_id: DiskId, generation: Generation) -> Result<Contents, WalError> {
        let mut contents = Contents::default();
        for entry in disk.list(folder).context("list", folder)? {
            match our_segment(disk, folder, &entry, disk_id, generation)? {
                Some(segment) => contents.segments.push((segment, entry.len)),
                None => contents.foreign.push(folder.join(&entry.name)),
            }
        }
        contents.segments.sort_unstable();
        Ok(contents)
    }

    /// Makes durable what a process left that died before it synced, so that what replay finds once it finds again.
    pub(crate) fn sync(&self, disk: &dyn Disk, folder: &Path) -> Result<(), WalError> {
        for (segment, _) in &self.segments {
            let path = segment_path(folder, *segment);
            disk.open(&path).and_then(|file| file.sync()).context("sync", &path)?;
        }
        disk.sync_dir(folder).context("sync", folder)
    }

    /// Bytes of all segments.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().map(|(_, len)| len).sum()
    }
}

/// The number of a segment that is ours. A damaged header does not make it another's: its records prove themselves.
fn our_segment(disk: &dyn Disk, folder: &Path, entry: &DirEntry, disk_id: DiskId, generation: Generation) -> Result<Option<u64>, WalError> {
    let Some(segment) = parse_segment(&entry.name).filter(|_| !entry.is_dir) else { return Ok(None) };
    let path = folder.join(&entry.name);
    let file = disk.open(&path).context("open", &path)?;
    let header = read_header(&*file, &path)?;
    let id = SegmentId { disk: disk_id, generation, segment };
    Ok(header.is_none_or(|header| header.id == id).then_some(segment))
}

/// Removes the folder of a removed generation, or our part of it. Gives what is not ours.
pub(crate) fn finish_removal(disk: &dyn Disk, dir: &Path, disk_id: DiskId, generation: Generation) -> Result<Vec<PathBuf>, WalError> {
    let folder = removed_dir(dir, generation);
    let contents = match Contents::list(disk, &folder, disk_id, generation) {
        Err(WalError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed?,
    };
    // Unless the new name of the folder is durable, a power cut could bring it back under its old one, with segments missing.
    disk.sync_dir(dir).context("sync", dir)?;
    if contents.foreign.is_empty() {
        disk.remove_dir_all(&folder).context("remove", &folder)?;
    } else {
        for (segment, _) in contents.segments {
            let path = segment_path(&folder, segment);
            disk.remove_file(&path).context("remove", &path)?;
        }
    }
    Ok(contents.foreign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_we_would_write_are_ours() {
        assert_eq!(parse_generation("0000000012"), Some(Generation(12)));
        assert_eq!(parse_removed("0000000012.removed"), Some(Generation(12)));
        assert_eq!(parse_segment("000003.wal"), Some(3));
        assert_eq!(parse_segment("1000000.wal"), Some(1_000_000));
        for name in ["12", "+000000012", "00000000012", "0000000012.removed", "0000000012 ", "lost+found", ""] {
            assert_eq!(parse_generation(name), None, "{name:?}");
        }
        for name in ["3.wal", "000003.wal.tmp", "0000003.wal", "000003", ".wal", "00000x.wal"] {
            assert_eq!(parse_segment(name), None, "{name:?}");
        }
    }
}
