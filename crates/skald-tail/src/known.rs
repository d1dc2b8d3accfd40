//! Positions of files that are not being read: from an earlier process, of targets that went, of files that were done.

use crate::position::{FilePosition, HEAD_BYTES};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};

/// Files that were read to their end and still exist somewhere, remembered at most.
const DONE_MAX: usize = 4096;

/// Fewer bytes do not tell a file from others by themselves.
pub(crate) const STRONG_BYTES: u32 = 64;

/// What is known of files before they are opened.
#[derive(Default)]
pub(crate) struct Known {
    /// Files to be read on, by inode.
    open: FxHashMap<u64, Vec<FilePosition>>,
    /// Paths of these at the start of the process: their plain positions say nothing new.
    paths: FxHashSet<PathBuf>,
    /// Promtail's positions.
    plain: HashMap<PathBuf, u64>,
    done: VecDeque<FilePosition>,
}

/// A file that was found, as far as positions are concerned.
pub(crate) struct Sought<'a> {
    pub key: &'a str,
    pub path: &'a Path,
    pub device: u64,
    pub inode: u64,
    pub head: &'a [u8],
    pub compressed: bool,
}

/// Where reading begins.
pub(crate) enum Begin {
    /// This very reading goes on.
    Resume(FilePosition),
    /// Another one began it: at its offset.
    At(u64),
    /// Nobody did.
    New,
}

impl Known {
    pub(crate) fn new(positions: Vec<FilePosition>, plain: HashMap<PathBuf, u64>) -> Self {
        let mut known = Known { plain, ..Known::default() };
        for position in positions {
            known.paths.insert(position.path.clone());
            known.keep(position);
        }
        known
    }

    /// Remembers a position of a file that may be read on.
    pub(crate) fn keep(&mut self, position: FilePosition) {
        self.open.entry(position.inode).or_default().push(position);
    }

    /// Remembers that a file was read, in case it is found again while the process runs.
    pub(crate) fn keep_done(&mut self, position: FilePosition) {
        if self.done.len() == DONE_MAX {
            self.done.pop_front();
        }
        self.done.push_back(position);
    }

    /// What is known of a file, which is then forgotten here.
    pub(crate) fn take(&mut self, sought: &Sought<'_>) -> Begin {
        if let Some(at) = self.done.iter().position(|position| sought.is_own(position))
            && let Some(position) = self.done.remove(at)
        {
            return Begin::Resume(position);
        }
        if let Some(positions) = self.open.get_mut(&sought.inode) {
            if let Some(at) = positions.iter().position(|position| sought.is_own(position)) {
                return Begin::Resume(positions.swap_remove(at));
            }
            // The labels of its target have changed, or another target reads it too.
            if let Some(other) = positions.iter().find(|position| sought.is_same_file(position)) {
                return Begin::At(other.offset);
            }
        }
        match self.plain.remove(sought.path) {
            Some(offset) if !self.paths.contains(sought.path) => Begin::At(offset),
            _ => Begin::New,
        }
    }

    /// Takes what is known of a target's files, and was not taken.
    pub(crate) fn take_rest(&mut self, key: &str) -> Vec<FilePosition> {
        self.take_where(|position| &*position.target_key == key)
    }

    /// Takes what `leave` says of files to be read on.
    pub(crate) fn take_where(&mut self, mut leave: impl FnMut(&FilePosition) -> bool) -> Vec<FilePosition> {
        let mut taken = Vec::new();
        self.open.retain(|_, positions| {
            taken.extend(positions.extract_if(.., |position| leave(position)));
            !positions.is_empty()
        });
        taken.sort_by_key(|position| position.id);
        taken
    }
}

impl Sought<'_> {
    fn is_own(&self, position: &FilePosition) -> bool {
        *position.target_key == *self.key && self.is_same_file(position)
    }

    /// By inode and content. The device is no proof against it: its number may be another after a boot.
    fn is_same_file(&self, position: &FilePosition) -> bool {
        let here = position.device == self.device || position.path == self.path;
        debug_assert!(position.fingerprint.len as usize <= HEAD_BYTES);
        position.inode == self.inode
            && position.compressed == self.compressed
            && position.fingerprint.matches(self.head)
            && (here || position.fingerprint.len >= STRONG_BYTES)
    }
}

#[cfg(test)]
mod tests;
