//! The file that keeps the number of the next generation.

use crate::WalError;
use crate::error::Context;
use crate::format::{NUMBER_FILE_LEN, NextGeneration, VERSION};
use skald_model::seam::Disk;
use skald_model::{DiskId, Generation};
use std::io;
use std::path::{Path, PathBuf};

/// Its name, and that of its successor while it is written.
pub(crate) const NUMBER_FILE: &str = "next-generation";
pub(crate) const NUMBER_FILE_NEW: &str = "next-generation.tmp";

/// The number to use next; `None` without the file.
pub(crate) fn read_next(disk: &dyn Disk, dir: &Path, disk_id: DiskId) -> Result<Option<Generation>, WalError> {
    let path = dir.join(NUMBER_FILE);
    let file = match disk.open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.context("open", &path)?,
    };
    let len = file.len().context("read", &path)?.min(NUMBER_FILE_LEN as u64);
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(0, &mut bytes).context("read", &path)?;
    check(NextGeneration::decode(&bytes), path, disk_id).map(Some)
}

fn check(found: Option<NextGeneration>, path: PathBuf, disk_id: DiskId) -> Result<Generation, WalError> {
    match found {
        None => Err(WalError::NextGenerationDamaged { path }),
        Some(number) if number.version != VERSION => Err(WalError::UnsupportedVersion { path, version: number.version }),
        Some(number) if number.disk != disk_id => Err(WalError::WrongDisk { path, found: number.disk, expected: disk_id }),
        Some(number) => Ok(number.next),
    }
}

/// Makes `next` durable as the number to use next. After an error the old or the new number stands.
pub(crate) fn write_next(disk: &dyn Disk, dir: &Path, disk_id: DiskId, next: Generation) -> Result<(), WalError> {
    let (path, new) = (dir.join(NUMBER_FILE), dir.join(NUMBER_FILE_NEW));
    match disk.remove_file(&new) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        removed => removed.context("remove", &new)?,
    }
    let file = disk.create_new(&new).context("create", &new)?;
    file.append(&NextGeneration { version: VERSION, disk: disk_id, next }.encode()).context("write", &new)?;
    file.sync().context("sync", &new)?;
    disk.rename(&new, &path).context("replace", &path)?;
    disk.sync_dir(dir).context("sync", dir)
}
