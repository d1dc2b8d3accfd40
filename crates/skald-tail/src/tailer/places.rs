//! Which file is at which path.

use super::{Closed, Lines, OpenedFile, THOROUGH_PERIOD, Tailer};
use crate::known::{Begin, Sought};
use crate::position::{FileId, FilePosition, Fingerprint, Head};
use crate::reading::{Content, Place, Reading};
use crate::siblings;
use crate::target::Target;
use crate::walk::Found;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// A file that was not written for so long gives its descriptor to others when these are short.
const IDLE: Duration = Duration::from_secs(60);

/// Paths that could not be opened, remembered at most.
const UNOPENED_MAX: usize = 1024;

impl Tailer {
    /// Looks at all directories.
    pub(super) fn scan(&mut self, lines: &mut dyn Lines) {
        let now = self.turns.now;
        let thorough = now >= self.thorough_due;
        if thorough {
            self.thorough_due = now + THOROUGH_PERIOD;
        }
        self.last_scan = now;
        self.scans = self.scans.wrapping_add(1);
        let found = self.tree.scan(&self.targets, &mut self.watcher);
        let period = if self.tree.is_all_watched() { self.config.sync_period.max(THOROUGH_PERIOD) } else { self.config.sync_period };
        self.scan_due = now + period;
        for found in found {
            self.found(found, thorough, lines);
        }
        let unseen: Vec<Arc<Path>> = self
            .readings
            .values()
            .filter(|reading| reading.is_at() && reading.seen != self.scans)
            .map(|reading| reading.path.clone())
            .collect();
        for path in unseen {
            self.recheck(&path);
        }
        self.watch_readings();
        self.close_idle();
        for key in std::mem::take(&mut self.unsearched) {
            self.search(&key, lines);
        }
    }

    /// A pattern found a file.
    pub(super) fn found(&mut self, found: Found, thorough: bool, lines: &mut dyn Lines) {
        let Some(target) = self.targets.get(found.target as usize).cloned() else { return };
        for id in self.paths.get(&found.path).into_iter().flatten() {
            let Some(reading) = self.readings.get_mut(id) else { continue };
            if reading.target.number == target.number && found.inode == Some(reading.inode) && !thorough {
                reading.seen = self.scans;
                return;
            }
        }
        let Ok(meta) = fs::metadata(&found.path) else { return };
        if !meta.is_file() {
            return;
        }
        match self.by_identity.get(&(target.number, meta.dev(), meta.ino())) {
            Some(id) => self.found_known(*id, &found.path, &meta),
            None => {
                // A file that has the path in this reading's place comes later than this.
                self.recheck(&found.path);
                self.found_new(&target, found.path, &meta, lines);
            }
        }
    }

    /// Looks at a single path for all targets.
    pub(super) fn found_at(&mut self, path: &Arc<Path>, lines: &mut dyn Lines) {
        for index in 0..self.targets.len() {
            if self.targets[index].wants(path) {
                self.found(Found { target: index as u32, path: path.clone(), inode: None }, false, lines);
            }
        }
    }

    /// A file that is being read was found: where it was, renamed, or under a second name.
    fn found_known(&mut self, id: FileId, path: &Arc<Path>, meta: &Metadata) {
        let Some(reading) = self.readings.get_mut(&id) else { return };
        reading.seen = self.scans;
        if reading.has_changed(meta) {
            self.enqueue(id);
        }
        let Some(reading) = self.readings.get(&id) else { return };
        let is_here = |path: &Path| fs::metadata(path).is_ok_and(|meta| (meta.dev(), meta.ino()) == (reading.device, reading.inode));
        if reading.is_at() && (reading.path == *path || is_here(&reading.path)) {
            return;
        }
        self.leave_paths(id);
        self.take_place(id, path.clone());
    }

    fn found_new(&mut self, target: &Arc<Target>, path: Arc<Path>, meta: &Metadata, lines: &mut dyn Lines) {
        let unwanted = self.unwanted.get(&(meta.dev(), meta.ino())).into_iter().flatten().filter_map(|id| self.readings.get(id));
        let Some(old) = unwanted.min_by_key(|reading| reading.target.key != target.key).map(|reading| reading.id) else {
            self.begin(target, path, Start::Known, lines);
            return;
        };
        let Some(reading) = self.readings.get_mut(&old) else { return };
        let same_unit = reading.is_compressed() == target.decompression.is_some();
        if reading.target.key == target.key && same_unit {
            self.by_identity.remove(&reading.identity());
            reading.target = target.clone();
            self.by_identity.insert(reading.identity(), old);
            self.forget_unwanted(old);
            self.take_place(old, path);
            return;
        }
        let start = if same_unit { Start::At(reading.offset) } else { Start::At(0) };
        self.close(old, Closed::HandedOver, lines);
        self.begin(target, path, start, lines);
    }

    /// Puts a reading at a path.
    fn take_place(&mut self, id: FileId, path: Arc<Path>) {
        let real = fs::canonicalize(&path).ok().filter(|real| **real != *path).map(Arc::from);
        let directory = real.as_ref().unwrap_or(&path).parent().unwrap_or(Path::new("/")).to_owned();
        let watched = self.tree.watch_files(&directory, &mut self.watcher);
        let Some(reading) = self.readings.get_mut(&id) else { return };
        reading.place = Place::At;
        reading.seen = self.scans;
        reading.polled = !watched;
        reading.path = path;
        reading.real = real;
        for path in [Some(&reading.path), reading.real.as_ref()].into_iter().flatten() {
            self.paths.entry(path.clone()).or_insert_with(|| Vec::with_capacity(1)).push(id);
        }
        if !watched {
            self.polled.push(id);
        }
        self.enqueue(id);
    }

    /// Whether readings at `path` have changed: those whose file is no longer there leave it, those whose file grew are read.
    pub(super) fn recheck(&mut self, path: &Path) -> bool {
        let mut changed = false;
        for id in self.paths.get(path).cloned().unwrap_or_default() {
            let Some(reading) = self.readings.get_mut(&id) else { continue };
            match fs::metadata(&reading.path) {
                Ok(meta) if (meta.dev(), meta.ino()) == (reading.device, reading.inode) => {
                    if reading.has_changed(&meta) {
                        changed = true;
                        self.enqueue(id);
                    }
                }
                _ => {
                    changed = true;
                    self.leave_place(id);
                }
            }
        }
        changed
    }

    /// The file of a reading is no longer at its path.
    pub(super) fn leave_place(&mut self, id: FileId) {
        self.leave_paths(id);
        if let Some(reading) = self.readings.get_mut(&id) {
            reading.place = Place::Gone { since: self.turns.now };
            self.turns.stats.rotations += 1;
            self.moved.push(id);
            self.polled.push(id);
            self.enqueue(id);
        }
    }

    /// Starts to read the file at `path`.
    pub(super) fn begin(&mut self, target: &Arc<Target>, path: Arc<Path>, start: Start, lines: &mut dyn Lines) {
        let opened = siblings::open(&path).and_then(|(file, meta)| Ok((Head::of(&file)?, file, meta)));
        let (head, file, meta) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.turns.stats.failures += 1;
                if self.unopened.len() < UNOPENED_MAX && self.unopened.insert(path.clone()) {
                    warn!(path = %path.display(), %error, "cannot open a file");
                }
                return;
            }
        };
        self.unopened.remove(&path);
        let begin = match start {
            Start::At(offset) => Begin::At(offset),
            Start::Known => self.known.take(&Sought {
                key: &target.key,
                path: &path,
                device: meta.dev(),
                inode: meta.ino(),
                head: head.bytes(),
                compressed: target.decompression.is_some(),
            }),
        };
        let mut reading = self.reading_of(target, &path, &meta, head.bytes(), begin);
        if !reading.is_compressed() && self.turns.descriptors() < self.config.descriptors() {
            reading.content = self.turns.hold(file);
        }
        let id = self.insert(reading, lines);
        self.take_place(id, path);
    }

    fn reading_of(&self, target: &Arc<Target>, path: &Arc<Path>, meta: &Metadata, head: &[u8], begin: Begin) -> Reading {
        let compressed = target.decompression.is_some();
        let (id, offset) = match begin {
            Begin::Resume(position) if compressed || position.offset <= meta.len() => (position.id, position.offset),
            Begin::At(offset) if compressed || offset <= meta.len() => (self.new_id(), offset),
            _ => (self.new_id(), 0),
        };
        let mut reading = Reading::new(target.clone(), id, path.clone(), meta);
        reading.fingerprint = Fingerprint::of(head);
        reading.coding = target.coding.of_file(if compressed { &[] } else { head }).0;
        reading.start_at(offset, self.turns.now);
        reading
    }

    /// Makes a reading known, and tells of it.
    pub(super) fn insert(&mut self, reading: Reading, lines: &mut dyn Lines) -> FileId {
        let id = reading.id;
        lines.opened(&OpenedFile {
            id,
            target_key: &reading.target.key,
            path: &reading.path,
            offset: reading.offset,
            size: reading.size,
            compressed: reading.is_compressed(),
            resumed: reading.offset > 0,
            position: &reading.position(),
        });
        self.by_identity.insert(reading.identity(), id);
        self.readings.insert(id, Box::new(reading));
        id
    }

    /// An id that none has yet.
    pub(super) fn new_id(&self) -> FileId {
        loop {
            let id = FileId(self.random.next_u64());
            if !self.readings.contains_key(&id) {
                return id;
            }
        }
    }

    /// The scan forgot the directories that only symbolic links lead to.
    fn watch_readings(&mut self) {
        for reading in self.readings.values_mut().filter(|reading| reading.is_at()) {
            let directory = reading.real_path().parent().unwrap_or(Path::new("/"));
            let polled = !self.tree.watch_files(directory, &mut self.watcher);
            if polled && !reading.polled {
                self.polled.push(reading.id);
            }
            reading.polled = polled;
        }
    }

    /// Closes what was not written for long, when descriptors are short.
    fn close_idle(&mut self) {
        if self.turns.descriptors() < self.config.descriptors() {
            return;
        }
        let now = self.turns.now;
        for reading in self.readings.values_mut() {
            if reading.is_at() && !reading.queued && reading.active + IDLE <= now && matches!(reading.content, Content::Plain(_)) {
                reading.content = Content::Closed;
            }
        }
    }
}

/// Where the reading of a file begins.
pub(super) enum Start {
    /// Where known positions say.
    Known,
    At(u64),
}

impl Reading {
    /// As the position of an earlier process says, at no path.
    pub(super) fn of_position(target: Arc<Target>, position: &FilePosition, now: Duration) -> Self {
        let mut reading = Reading::at_path(target, position.id, position.path.as_path().into());
        (reading.device, reading.inode) = (position.device, position.inode);
        reading.fingerprint = position.fingerprint;
        reading.real = Some(siblings::real_path(&position.path).into()).filter(|real: &Arc<Path>| *real != reading.path);
        reading.place = Place::Gone { since: now };
        reading.start_at(position.offset, now);
        reading
    }
}
