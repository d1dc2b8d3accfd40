use crate::intake::PositionUpdate;
use skald_tail::{FileId, FilePosition};
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How far all sources have been read, as of one group of the spool.
///
/// Positions of a group mean *what comes before is in this or an earlier group*. So once a group is lost, those of later ones say nothing any more, and the
/// fold stands still ([`Fold::is_held`]) until a group says that the sources began again from where it stands.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fold {
    /// Groups up to this one were taken in.
    pub(crate) number: u64,
    /// Whether positions of groups are not taken in, as a group before them is lost.
    pub(crate) held: bool,
    pub(crate) files: BTreeMap<FileId, KnownFile>,
    /// Whole keys of the positions file (`cursor-…`) and values.
    pub(crate) cursors: BTreeMap<String, String>,
    /// Offsets of files that nobody has looked at since they were read from a positions file.
    pub(crate) plain: BTreeMap<PathBuf, u64>,
    /// Keys of targets: thousands of files share a few.
    pub(super) keys: HashSet<Arc<str>>,
}

/// A file and when its position was told last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownFile {
    pub(crate) position: FilePosition,
    /// The group that told it; 0 for one that was read from the disk.
    pub(crate) told: u64,
}

/// What a fold takes of a group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Updates<'a> {
    pub(crate) number: u64,
    pub(crate) previous: u64,
    pub(crate) resumes: bool,
    pub(crate) positions: &'a [PositionUpdate],
}

impl Fold {
    /// Takes in the next group. Gives how many are lost before it.
    pub(crate) fn apply(&mut self, group: Updates<'_>) -> u64 {
        if group.number <= self.number {
            return 0;
        }
        let lost = group.previous.saturating_sub(self.number);
        self.held = (self.held || lost > 0) && !group.resumes;
        if !self.held {
            group.positions.iter().for_each(|update| self.update(update, group.number));
        }
        self.number = group.number;
        lost
    }

    /// Puts a file there as it was read from the disk.
    pub(crate) fn insert(&mut self, position: FilePosition, told: u64) {
        let mut position = position;
        position.target_key = self.shared_key(position.target_key);
        self.plain.remove(&position.path);
        self.files.insert(position.id, KnownFile { position, told });
    }

    /// Forgets the files that `other`, an earlier copy of this fold, has forgotten since.
    pub(crate) fn forget_as(&mut self, other: &Fold) {
        self.plain.retain(|path, _| other.plain.contains_key(path));
        self.files.retain(|id, file| file.told > 0 || other.files.contains_key(id));
    }

    fn update(&mut self, update: &PositionUpdate, number: u64) {
        match update {
            PositionUpdate::File(position) => self.insert(position.clone(), number),
            PositionUpdate::FileDone(id) => drop(self.files.remove(id)),
            PositionUpdate::Cursor { key, value } => drop(self.cursors.insert(format!("{CURSOR}{key}"), value.clone())),
        }
    }

    fn shared_key(&mut self, key: Arc<str>) -> Arc<str> {
        if let Some(known) = self.keys.get(&key) {
            return known.clone();
        }
        self.keys.insert(key.clone());
        key
    }

    /// Path and offset of each file, as the positions file has one line for a path: of several files under one path the one told last; of several
    /// readings of one file the one that is furthest behind.
    pub(crate) fn offsets(&self) -> BTreeMap<&Path, u64> {
        let mut newest: BTreeMap<&Path, &KnownFile> = BTreeMap::new();
        for file in self.files.values() {
            let place = newest.entry(&file.position.path).or_insert(file);
            let same = (place.position.device, place.position.inode) == (file.position.device, file.position.inode);
            let wins = if same { file.position.offset < place.position.offset } else { file.told > place.told };
            if wins {
                *place = file;
            }
        }
        let plain = self.plain.iter().map(|(path, offset)| (path.as_path(), *offset));
        plain.chain(newest.into_iter().map(|(path, file)| (path, file.position.offset))).collect()
    }
}

/// Begins the keys of positions that are no files'.
pub(crate) const CURSOR: &str = "cursor-";
