use crate::error::Context;
use crate::folder::{Contents, finish_removal, generation_dir, parse_generation, parse_removed, removed_dir};
use crate::follow::{Follower, record_at};
use crate::number::{NUMBER_FILE, NUMBER_FILE_NEW, read_next, write_next};
use crate::{GenerationWriter, Position, Record, Replay, WalError};
use parking_lot::Mutex;
use skald_model::seam::Disk;
use skald_model::{DiskId, Generation};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files and folders of others that are listed at most.
const FOREIGN_LEN_MAX: usize = 100;
const FIRST_GENERATION: Generation = Generation(1);

/// Sizes of segments and records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalConfig {
    /// Bytes at which a segment ends. A target: a group of records is not split, and one that is larger has a segment of its own.
    pub segment_size: u64,
    /// Bytes that a record may have. What is in the log is read whatever its size.
    pub record_size_max: u32,
}

impl Default for WalConfig {
    fn default() -> Self {
        WalConfig { segment_size: 16 << 20, record_size_max: 64 << 20 }
    }
}

/// The write-ahead log of one data directory.
pub struct Wal {
    shared: Arc<Shared>,
    next: Mutex<Generation>,
    foreign: Vec<PathBuf>,
}

/// What the log, its writers and its sealed generations have in common.
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) disk_id: DiskId,
    pub(crate) config: WalConfig,
    /// Bytes of each generation on the disk.
    pub(crate) usage: Mutex<BTreeMap<Generation, u64>>,
}

impl Wal {
    /// Opens the log in `dir`, which is made when missing; finishes removals that a crash cut short. Gives the generations found, oldest first; what is
    /// in them, acknowledged or not, is durable now.
    ///
    /// The caller holds the lock on the data directory.
    ///
    /// # Errors
    /// When the disk fails, when the log is of another disk or a newer release, and when the number of the next generation is not known.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, disk_id: DiskId, config: WalConfig) -> Result<(Wal, Vec<SealedGeneration>), WalError> {
        disk.create_dir_all_synced(dir).context("create", dir)?;
        let found = Found::list(&*disk, dir, disk_id)?;
        let next = next_number(&*disk, dir, disk_id, found.last)?;
        let usage = found.sealed.iter().map(|(generation, contents)| (*generation, contents.bytes())).collect();
        let shared = Arc::new(Shared { disk, dir: dir.to_owned(), disk_id, config, usage: Mutex::new(usage) });
        let seal = |(generation, contents)| SealedGeneration::new(shared.clone(), generation, contents);
        let sealed = found.sealed.into_iter().map(seal).collect();
        Ok((Wal { shared, next: Mutex::new(next), foreign: found.foreign }, sealed))
    }

    /// Begins the next generation. Its number is durable before its folder is made; a call that fails may use up a number.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn begin_generation(&self) -> Result<GenerationWriter, WalError> {
        let Shared { disk, dir, disk_id, .. } = &*self.shared;
        let mut next = self.next.lock();
        let generation = *next;
        let following = following(dir, generation)?;
        write_next(&**disk, dir, *disk_id, following)?;
        *next = following;
        drop(next);
        let folder = generation_dir(dir, generation);
        disk.create_dir_all(&folder).context("create", &folder)?;
        disk.sync_dir(dir).context("sync", dir)?;
        self.shared.usage.lock().insert(generation, 0);
        Ok(GenerationWriter::new(self.shared.clone(), generation))
    }

    /// Reads the records of a generation that is on the disk, also while it is written to.
    pub fn follow(&self, generation: Generation) -> Follower {
        Follower::new(self.shared.clone(), generation)
    }

    /// The intact record at a position that a writer or a reader of the generation gave; `None` when none is there any more.
    ///
    /// # Errors
    /// When the disk fails, or the segment is gone.
    pub fn record_at(&self, generation: Generation, position: Position) -> Result<Option<Record>, WalError> {
        record_at(&self.shared, generation, position)
    }

    /// Sees to it that no later generation has the number `used` or a lower one: for numbers that are known to be taken from elsewhere, such as by
    /// data objects of this disk whose WAL a backup does not have.
    ///
    /// # Errors
    /// When there is no number after `used`.
    pub fn skip_past(&self, used: Generation) -> Result<(), WalError> {
        let mut next = self.next.lock();
        *next = following(&self.shared.dir, used)?.max(*next);
        Ok(())
    }

    /// Removes a generation, whose writer is dropped; no error when it is gone already. After a failure or a crash the generation is whole or gone
    /// for replay, and what is left of its files goes with the next call or at the next start.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn remove_generation(&self, generation: Generation) -> Result<(), WalError> {
        let Shared { disk, dir, disk_id, usage, .. } = &*self.shared;
        let folder = generation_dir(dir, generation);
        match disk.rename(&folder, &removed_dir(dir, generation)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed.context("rename", &folder)?,
        }
        finish_removal(&**disk, dir, *disk_id, generation)?;
        usage.lock().remove(&generation);
        Ok(())
    }

    /// Bytes of all generations on the disk.
    pub fn bytes(&self) -> u64 {
        self.shared.usage.lock().values().sum()
    }

    /// Bytes of each generation on the disk, oldest first: those found at open, those begun since, less those removed.
    pub fn generations(&self) -> Vec<(Generation, u64)> {
        self.shared.usage.lock().iter().map(|(generation, bytes)| (*generation, *bytes)).collect()
    }

    /// Files and folders in the log's directory that the log did not write, the first 100 that were met at open. They are left alone.
    pub fn foreign(&self) -> &[PathBuf] {
        &self.foreign
    }
}

impl fmt::Debug for Wal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wal").field("dir", &self.shared.dir).field("generations", &self.generations()).finish_non_exhaustive()
    }
}

fn following(dir: &Path, generation: Generation) -> Result<Generation, WalError> {
    let next = generation.0.checked_add(1).map(Generation);
    next.ok_or_else(|| WalError::NextGenerationDamaged { path: dir.join(NUMBER_FILE) })
}

/// The number to use next, made durable where there was none. A log with generations, or traces of them, must have the file.
fn next_number(disk: &dyn Disk, dir: &Path, disk_id: DiskId, last: Option<Generation>) -> Result<Generation, WalError> {
    match (read_next(disk, dir, disk_id)?, last) {
        (None, None) => write_next(disk, dir, disk_id, FIRST_GENERATION).map(|()| FIRST_GENERATION),
        (None, Some(_)) => Err(WalError::NextGenerationDamaged { path: dir.join(NUMBER_FILE) }),
        (Some(next), None) => Ok(next),
        (Some(next), Some(last)) => Ok(next.max(following(dir, last)?)),
    }
}

/// What the log's directory holds.
#[derive(Default)]
struct Found {
    sealed: Vec<(Generation, Contents)>,
    /// Highest number among folders, removed ones too.
    last: Option<Generation>,
    foreign: Vec<PathBuf>,
}

impl Found {
    fn list(disk: &dyn Disk, dir: &Path, disk_id: DiskId) -> Result<Found, WalError> {
        let mut found = Found::default();
        for entry in disk.list(dir).context("list", dir)? {
            let folder_name = Some(entry.name.as_str()).filter(|_| entry.is_dir);
            if let Some(generation) = folder_name.and_then(parse_generation) {
                let folder = generation_dir(dir, generation);
                let mut contents = Contents::list(disk, &folder, disk_id, generation)?;
                contents.sync(disk, &folder)?;
                found.add_foreign(std::mem::take(&mut contents.foreign));
                found.last = found.last.max(Some(generation));
                found.sealed.push((generation, contents));
            } else if let Some(generation) = folder_name.and_then(parse_removed) {
                found.add_foreign(finish_removal(disk, dir, disk_id, generation)?);
                found.last = found.last.max(Some(generation));
            } else if entry.is_dir || ![NUMBER_FILE, NUMBER_FILE_NEW].contains(&entry.name.as_str()) {
                found.add_foreign(vec![dir.join(&entry.name)]);
            }
        }
        disk.sync_dir(dir).context("sync", dir)?;
        found.sealed.sort_by_key(|(generation, _)| *generation);
        Ok(found)
    }

    fn add_foreign(&mut self, paths: Vec<PathBuf>) {
        let room = FOREIGN_LEN_MAX - self.foreign.len();
        self.foreign.extend(paths.into_iter().take(room));
    }
}

/// A generation that was there when the log was opened. Nothing is appended to it any more.
#[derive(Clone)]
pub struct SealedGeneration {
    pub(crate) shared: Arc<Shared>,
    pub(crate) generation: Generation,
    /// Numbers of its segments, in order.
    pub(crate) segments: Arc<[u64]>,
    bytes: u64,
}

impl SealedGeneration {
    fn new(shared: Arc<Shared>, generation: Generation, contents: Contents) -> Self {
        let bytes = contents.bytes();
        SealedGeneration { shared, generation, segments: contents.segments.into_iter().map(|(segment, _)| segment).collect(), bytes }
    }

    /// Its number.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Bytes on the disk.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads its records from the first on. Nothing is read before [`Replay::next_record`].
    pub fn replay(&self) -> Replay {
        Replay::new(self)
    }
}

impl fmt::Debug for SealedGeneration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { generation, segments, bytes, .. } = self;
        f.debug_struct("SealedGeneration").field("generation", generation).field("segments", segments).field("bytes", bytes).finish()
    }
}
