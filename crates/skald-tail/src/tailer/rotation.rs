//! Files that left their path or lost their content: finding the rest, and what came and went in between.

use super::places::Start;
use super::{Closed, Lines, Tailer};
use crate::known::{Begin, STRONG_BYTES, Sought};
use crate::position::{FileId, Fingerprint, HEAD_BYTES, Head};
use crate::reading::{Content, Place, Reading};
use crate::siblings::{self, Sibling};
use crate::target::Target;
use crate::unpack::Unpacker;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

impl Tailer {
    /// Looks where the files went that left their paths in this round.
    pub(super) fn follow_moved(&mut self, lines: &mut dyn Lines) {
        for id in std::mem::take(&mut self.moved) {
            let Some(reading) = self.readings.get(&id) else { continue };
            if reading.is_at() {
                continue;
            }
            if matches!(reading.content, Content::Closed) && !self.find_again(id) {
                self.turns.stats.lost += 1;
                self.close(id, Closed::Lost, lines);
            } else {
                self.begin_between(id, lines);
            }
        }
    }

    /// Looks for the known files of a target that no pattern found.
    pub(super) fn search(&mut self, key: &str, lines: &mut dyn Lines) {
        let Some(target) = self.targets.iter().find(|target| *target.key == *key).cloned() else { return };
        let mut found = Vec::new();
        for position in self.known.take_rest(key) {
            let unread = !self.by_identity.contains_key(&(target.number, position.device, position.inode));
            let unreadable = unread && fs::metadata(&position.path).is_ok_and(|meta| meta.ino() == position.inode);
            if unreadable || self.readings.contains_key(&position.id) {
                self.known.keep(position);
                continue;
            }
            let mut reading = Reading::of_position(target.clone(), &position, self.turns.now);
            if self.locate(&mut reading) {
                let id = self.insert(reading, lines);
                self.read_first(id);
                found.push(id);
            } else {
                self.turns.stats.lost += 1;
                lines.closed(position.id, &position, Closed::Lost);
            }
        }
        // Only now: what came after one of them may be another of them, and is not new.
        for id in found {
            self.begin_between(id, lines);
        }
    }

    /// The content of a file was replaced. What was not read of it may stand in a copy beside it; what the path holds is new.
    pub(super) fn replaced(&mut self, id: FileId, lines: &mut dyn Lines) {
        self.turns.stats.truncations += 1;
        let Some(reading) = self.readings.get_mut(&id) else { return };
        reading.content = Content::Closed;
        let (target, path, is_at) = (reading.target.clone(), reading.path.clone(), reading.is_at());
        if is_at && reading.fingerprint.len >= STRONG_BYTES && self.find_copy(id) {
            self.leave_paths(id);
            if let Some(reading) = self.readings.get_mut(&id) {
                reading.place = Place::Gone { since: self.turns.now };
            }
            self.read_first(id);
        } else {
            self.close(id, Closed::Truncated, lines);
        }
        if is_at {
            self.begin(&target, path, Start::At(0), lines);
        }
    }

    /// Finds the file of a reading under another name. False: it is nowhere.
    pub(super) fn find_again(&mut self, id: FileId) -> bool {
        self.relocate(id, Self::locate)
    }

    fn find_copy(&mut self, id: FileId) -> bool {
        self.relocate(id, |tailer, reading| {
            let path = reading.real_path().to_owned();
            let found = tailer.adopt_rotated(reading, &path);
            tailer.turns.stats.found_again += u64::from(found);
            found
        })
    }

    /// Lets `locate` change where a reading reads.
    fn relocate(&mut self, id: FileId, locate: impl FnOnce(&mut Self, &mut Reading) -> bool) -> bool {
        let Some(mut reading) = self.readings.remove(&id) else { return false };
        let before = reading.identity();
        let found = locate(self, &mut reading);
        if before != reading.identity() {
            if self.by_identity.get(&before) == Some(&id) {
                self.by_identity.remove(&before);
            }
            self.by_identity.insert(reading.identity(), id);
        }
        self.readings.insert(id, reading);
        found
    }

    /// Opens the file of a reading in the directory it was in: by its inode, else by its content, which may have been copied or compressed.
    fn locate(&mut self, reading: &mut Reading) -> bool {
        let path = reading.real_path().to_owned();
        let own = siblings::by_inode(&path, reading.inode).is_some_and(|found| self.adopt(reading, &found).unwrap_or(false));
        let found = own || (!reading.is_compressed() && self.adopt_rotated(reading, &path));
        self.turns.stats.found_again += u64::from(found);
        found
    }

    fn adopt_rotated(&self, reading: &mut Reading, path: &Path) -> bool {
        let mut rotated = siblings::rotated(path);
        rotated.retain(|sibling| !self.is_read(&reading.target, sibling));
        let Some(sibling) = siblings::by_content(&rotated, reading.fingerprint, reading.offset) else { return false };
        match sibling.format {
            None => self.adopt(reading, &sibling.path).unwrap_or(false),
            Some(format) => {
                // The inode that it had may be another file's by now.
                (reading.device, reading.inode) = (sibling.device, sibling.inode);
                reading.packed_as = Some(Box::new((sibling.path.as_path().into(), format)));
                true
            }
        }
    }

    /// Reads on at another path, if that has the content of the reading's file.
    fn adopt(&self, reading: &mut Reading, path: &Path) -> io::Result<bool> {
        let (file, meta) = siblings::open(path)?;
        let head = Head::of(&file)?;
        let short = !reading.is_compressed() && meta.len() < reading.offset;
        let other = (reading.target.number, meta.dev(), meta.ino());
        let taken = self.by_identity.get(&other).is_some_and(|id| *id != reading.id);
        if short || taken || !reading.fingerprint.matches(head.bytes()) {
            return Ok(false);
        }
        (reading.device, reading.inode, reading.size) = (meta.dev(), meta.ino(), meta.len());
        if reading.is_compressed() {
            reading.path = path.into();
        } else {
            reading.coding = reading.target.coding.of_file(head.bytes()).0;
            reading.content = self.turns.hold(file);
        }
        Ok(true)
    }

    /// Whether the target reads the sibling anyway.
    fn is_read(&self, target: &Target, sibling: &Sibling) -> bool {
        target.wants(&sibling.path) || self.by_identity.contains_key(&(target.number, sibling.device, sibling.inode))
    }

    /// Begins to read the files that had the path of a reading after its own, and were rotated away before anyone looked.
    fn begin_between(&mut self, id: FileId, lines: &mut dyn Lines) {
        let Some(reading) = self.readings.get(&id) else { return };
        let Some(own) = content_meta(reading) else { return };
        let (target, path, fingerprint, packed) =
            (reading.target.clone(), reading.path.clone(), reading.fingerprint, reading.packed_as.is_some());
        let mut between = siblings::rotated(reading.real_path());
        between.retain(|sibling| {
            sibling.inode != own.ino()
                && !self.is_read(&target, sibling)
                && is_younger(sibling, &own, packed)
                && !is_copy(sibling, fingerprint)
        });
        if between.is_empty() {
            return;
        }
        for sibling in between {
            // The newest comes first, and each goes before those already in the queue.
            if let Some(reading) = self.rotated_reading(&target, &path, &sibling) {
                let id = self.insert(reading, lines);
                self.read_first(id);
            }
        }
        if let Some(reading) = self.readings.get_mut(&id) {
            reading.queued = true;
            self.ready.retain(|other| *other != id);
            self.ready.push_front(id);
        }
    }

    fn rotated_reading(&mut self, target: &Arc<Target>, path: &Arc<Path>, sibling: &Sibling) -> Option<Reading> {
        let (file, meta) = siblings::open(&sibling.path).ok()?;
        let head = match sibling.format {
            None => Head::of(&file).ok()?.bytes().to_vec(),
            Some(format) => Unpacker::head(siblings::open(&sibling.path).ok()?.0, format, HEAD_BYTES).ok()?,
        };
        let sought = Sought { key: &target.key, path, device: meta.dev(), inode: meta.ino(), head: &head, compressed: false };
        let (id, offset) = match self.known.take(&sought) {
            Begin::Resume(position) => (position.id, position.offset),
            _ => (self.new_id(), 0),
        };
        let mut reading = Reading::new(target.clone(), id, path.clone(), &meta);
        reading.place = Place::Gone { since: self.turns.now };
        reading.fingerprint = Fingerprint::of(&head);
        reading.coding = target.coding.of_file(&head).0;
        reading.start_at(offset, self.turns.now);
        match sibling.format {
            None => reading.content = self.turns.hold(file),
            Some(format) => reading.packed_as = Some(Box::new((sibling.path.as_path().into(), format))),
        }
        Some(reading)
    }

    /// A rotated file is read before what is newer.
    fn read_first(&mut self, id: FileId) {
        self.polled.push(id);
        if let Some(reading) = self.readings.get_mut(&id)
            && !reading.queued
        {
            reading.queued = true;
            self.ready.push_front(id);
        }
    }
}

fn content_meta(reading: &Reading) -> Option<Metadata> {
    match (&reading.content, &reading.packed_as) {
        (Content::Plain(open), _) => open.file.metadata().ok(),
        (_, Some(packed)) => fs::metadata(&packed.0).ok(),
        _ => None,
    }
}

/// Whether a rotated file was written after the one of `own`, and did not exist before it. (A compressed one came to be only when it was compressed, which says nothing.)
fn is_younger(sibling: &Sibling, own: &Metadata, own_packed: bool) -> bool {
    let (born, own_born) = (sibling.created, own.created().ok());
    let born_before = !own_packed && sibling.format.is_none() && matches!((born, own_born), (Some(born), Some(own)) if born < own);
    own.modified().is_ok_and(|own| sibling.modified >= own) && !born_before
}

/// Whether a rotated file is a copy of the one with `fingerprint`, as far as that can be told.
fn is_copy(sibling: &Sibling, fingerprint: Fingerprint) -> bool {
    let telling = if sibling.format.is_some() { 1 } else { STRONG_BYTES };
    fingerprint.len >= telling && siblings::begins_with(sibling, fingerprint)
}
