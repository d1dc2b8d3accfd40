//! Which files the patterns of all targets find: each directory is looked at once for all of them, and watched.

use crate::glob::Part;
use crate::target::Target;
use crate::watch::Watcher;
use rustc_hash::{FxHashMap, FxHashSet};
use std::cell::OnceCell;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirEntry, Metadata};
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Directories below a `**` are followed this far.
const DEPTH_MAX: usize = 64;

/// A target waits in a directory for a name that matches a part of its pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Interest {
    /// Index in the list of targets.
    target: u32,
    branch: u16,
    part: u16,
}

struct Directory {
    path: Arc<Path>,
    interests: Vec<Interest>,
    /// Names that, when they come, are directories on the way to the first of a pattern.
    awaited: Vec<OsString>,
    watch: Option<i32>,
    /// Whether files in it are read.
    files: bool,
}

/// A file that a target's pattern found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Index in the list of targets.
    pub target: u32,
    pub path: Arc<Path>,
    /// As the directory has it; none for what may be a symbolic link.
    pub inode: Option<u64>,
}

/// The directories that the patterns lead through.
#[derive(Default)]
pub(crate) struct Tree {
    directories: Vec<Directory>,
    by_path: FxHashMap<Arc<Path>, usize>,
    by_watch: FxHashMap<i32, Vec<usize>>,
    /// A pattern begins behind a symbolic link, which may come to lead elsewhere without a report.
    linked: bool,
}

/// A name in a directory, looked at no closer than needed.
struct Entry {
    path: PathBuf,
    name: OsString,
    /// From the listing, unless it is a symbolic link.
    plain: Option<(Kind, u64)>,
    followed: OnceCell<Option<Kind>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Directory,
    Other,
}

impl Tree {
    /// Looks at all directories anew.
    pub(crate) fn scan(&mut self, targets: &[Arc<Target>], watcher: &mut Watcher) -> Vec<Found> {
        let old: Vec<i32> = std::mem::take(self).by_watch.into_keys().collect();
        let mut walk = Walk { tree: self, targets, watcher, found: Vec::new(), pending: Vec::new() };
        for (index, target) in targets.iter().enumerate() {
            walk.begin(index as u32, target);
        }
        walk.run();
        let found = walk.found;
        for watch in old {
            if !self.by_watch.contains_key(&watch) {
                watcher.unwatch(watch);
            }
        }
        found
    }

    /// What a name that came into a watched directory means to the targets; also whether a scan is needed.
    pub(crate) fn appeared(&mut self, watch: i32, name: &OsStr, targets: &[Arc<Target>], watcher: &mut Watcher) -> (Vec<Found>, bool) {
        let mut walk = Walk { tree: self, targets, watcher, found: Vec::new(), pending: Vec::new() };
        let mut awaited = false;
        for index in walk.tree.by_watch.get(&watch).cloned().unwrap_or_default() {
            let directory = &walk.tree.directories[index];
            awaited |= directory.awaited.iter().any(|one| one == name);
            let (entry, interests) = (Entry::named(&directory.path, name), directory.interests.clone());
            walk.entry(&entry, &interests);
        }
        walk.run();
        (walk.found, awaited)
    }

    /// The paths that `name` in a watched directory has.
    pub(crate) fn paths(&self, watch: i32, name: &OsStr) -> impl Iterator<Item = PathBuf> {
        self.by_watch.get(&watch).into_iter().flatten().map(move |index| self.directories[*index].path.join(name))
    }

    /// Has changes of the files in `directory` reported though no pattern leads there; false: they have to be polled.
    pub(crate) fn watch_files(&mut self, directory: &Path, watcher: &mut Watcher) -> bool {
        let index = self.directory(directory);
        if !self.directories[index].files {
            self.directories[index].files = true;
            self.watch(index, watcher);
        }
        self.directories[index].watch.is_some()
    }

    /// Whether `watch` is one of these directories.
    pub(crate) fn is_watched(&self, watch: i32) -> bool {
        self.by_watch.contains_key(&watch)
    }

    /// Whether every change of what the patterns find is reported.
    pub(crate) fn is_all_watched(&self) -> bool {
        !self.linked && self.directories.iter().all(|directory| directory.watch.is_some())
    }

    /// Directories that are watched.
    pub(crate) fn watches(&self) -> usize {
        self.by_watch.len()
    }

    fn directory(&mut self, path: &Path) -> usize {
        if let Some(index) = self.by_path.get(path) {
            return *index;
        }
        let path: Arc<Path> = path.into();
        self.by_path.insert(path.clone(), self.directories.len());
        self.directories.push(Directory { path, interests: Vec::new(), awaited: Vec::new(), watch: None, files: false });
        self.directories.len() - 1
    }

    fn watch(&mut self, index: usize, watcher: &mut Watcher) {
        let directory = &mut self.directories[index];
        let watch = watcher.watch(&directory.path, directory.files);
        let before = std::mem::replace(&mut directory.watch, watch);
        if before == watch {
            return;
        }
        if let Some(before) = before
            && let Some(same) = self.by_watch.get_mut(&before)
        {
            same.retain(|other| *other != index);
        }
        if let Some(watch) = watch {
            self.by_watch.entry(watch).or_insert_with(|| Vec::with_capacity(1)).push(index);
        }
    }
}

/// One look at directories, all or some.
struct Walk<'a> {
    tree: &'a mut Tree,
    targets: &'a [Arc<Target>],
    watcher: &'a mut Watcher,
    found: Vec<Found>,
    /// Directories to be looked at, with the interests that are new there.
    pending: Vec<(usize, Vec<Interest>)>,
}

impl Walk<'_> {
    fn begin(&mut self, index: u32, target: &Target) {
        let pattern = &target.pattern;
        if pattern.has_wildcards() && fs::metadata(&pattern.path).is_ok_and(|meta| meta.is_file()) {
            self.found.push(Found { target: index, path: pattern.path.as_path().into(), inode: None });
        }
        for (number, branch) in pattern.branches.iter().enumerate() {
            if branch.base.is_dir() {
                let entered = self.tree.by_path.contains_key(&*branch.base);
                self.tree.linked |= !entered && fs::canonicalize(&branch.base).is_ok_and(|real| real != branch.base);
                self.enter(&branch.base, &[Interest { target: index, branch: number as u16, part: 0 }]);
            } else {
                self.wait_for(&branch.base);
            }
        }
    }

    /// Watches the last directory that exists on the way to `missing`.
    fn wait_for(&mut self, missing: &Path) {
        let mut missing = missing;
        while let (Some(parent), Some(name)) = (missing.parent(), missing.file_name()) {
            if parent.is_dir() {
                let index = self.tree.directory(parent);
                let awaited = &mut self.tree.directories[index].awaited;
                if !awaited.iter().any(|one| one == name) {
                    awaited.push(name.to_owned());
                }
                self.tree.watch(index, self.watcher);
                return;
            }
            missing = parent;
        }
    }

    /// Adds interests to a directory, to be followed by [`Walk::run`].
    fn enter(&mut self, path: &Path, interests: &[Interest]) {
        let index = self.tree.directory(path);
        let directory = &mut self.tree.directories[index];
        let (mut new, mut files) = (Vec::new(), false);
        let mut open: Vec<Interest> = interests.to_vec();
        while let Some(interest) = open.pop() {
            if directory.interests.contains(&interest) {
                continue;
            }
            let parts = &self.targets[interest.target as usize].pattern.branches[interest.branch as usize].parts;
            let last = interest.part as usize + 1 == parts.len();
            files |= last;
            if !last && matches!(parts[interest.part as usize], Part::Any) {
                open.push(Interest { part: interest.part + 1, ..interest });
            }
            directory.interests.push(interest);
            new.push(interest);
        }
        if !new.is_empty() {
            directory.files |= files;
            // Before the listing, so that nothing comes unseen between the two.
            self.tree.watch(index, self.watcher);
            self.pending.push((index, new));
        }
    }

    fn run(&mut self) {
        while let Some((index, interests)) = self.pending.pop() {
            let path = self.tree.directories[index].path.clone();
            let (named, open): (Vec<_>, Vec<_>) =
                interests.into_iter().partition(|interest| matches!(self.part(*interest), Part::Literal(_)));
            self.named(&path, named);
            if open.is_empty() {
                continue;
            }
            // What cannot be listed now is tried again at the next scan.
            for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
                self.entry(&Entry::listed(&entry), &open);
            }
        }
    }

    /// Interests in one name need no listing.
    fn named(&mut self, path: &Path, interests: Vec<Interest>) {
        let mut by_name: FxHashMap<OsString, Vec<Interest>> = FxHashMap::default();
        for interest in interests {
            if let Part::Literal(name) = self.part(interest) {
                let name = name.clone();
                by_name.entry(name).or_default().push(interest);
            }
        }
        for (name, interests) in by_name {
            self.entry(&Entry::named(path, &name), &interests);
        }
    }

    fn part(&self, interest: Interest) -> &Part {
        &self.targets[interest.target as usize].pattern.branches[interest.branch as usize].parts[interest.part as usize]
    }

    fn entry(&mut self, entry: &Entry, interests: &[Interest]) {
        let mut below: FxHashSet<Interest> = FxHashSet::default();
        for interest in interests {
            let target = &self.targets[interest.target as usize];
            let parts = &target.pattern.branches[interest.branch as usize].parts;
            let part = &parts[interest.part as usize];
            if !part.matches(&entry.name) {
                continue;
            }
            let last = interest.part as usize + 1 == parts.len();
            match entry.kind() {
                Some(Kind::File) if last && !target.excludes(&entry.path) => {
                    let inode = entry.plain.map(|(_, inode)| inode);
                    self.found.push(Found { target: interest.target, path: entry.path.as_path().into(), inode });
                }
                Some(Kind::Directory) if !last || matches!(part, Part::Any) => {
                    let stays = matches!(part, Part::Any);
                    if !stays || entry.may_be_entered() {
                        below.insert(if stays { *interest } else { Interest { part: interest.part + 1, ..*interest } });
                    }
                }
                _ => {}
            }
        }
        if !below.is_empty() {
            self.enter(&entry.path, &below.into_iter().collect::<Vec<_>>());
        }
    }
}

impl Entry {
    fn listed(entry: &DirEntry) -> Self {
        let plain = entry.file_type().ok().filter(|kind| !kind.is_symlink());
        let kind = |kind: fs::FileType| {
            if kind.is_dir() {
                Kind::Directory
            } else if kind.is_file() {
                Kind::File
            } else {
                Kind::Other
            }
        };
        Entry {
            path: entry.path(),
            name: entry.file_name(),
            plain: plain.map(|plain| (kind(plain), entry.ino())),
            followed: OnceCell::new(),
        }
    }

    fn named(directory: &Path, name: &OsStr) -> Self {
        Entry { path: directory.join(name), name: name.to_owned(), plain: None, followed: OnceCell::new() }
    }

    fn kind(&self) -> Option<Kind> {
        let followed = || {
            fs::metadata(&self.path).ok().map(|meta| {
                if meta.is_dir() {
                    Kind::Directory
                } else if meta.is_file() {
                    Kind::File
                } else {
                    Kind::Other
                }
            })
        };
        self.plain.map(|(kind, _)| kind).or_else(|| *self.followed.get_or_init(followed))
    }

    /// Whether going down from here ends: not by a link to where the way came from.
    fn may_be_entered(&self) -> bool {
        if self.path.components().count() > DEPTH_MAX {
            return false;
        }
        let identity = |meta: Metadata| (meta.dev(), meta.ino());
        let is_link = fs::symlink_metadata(&self.path).is_ok_and(|meta| meta.is_symlink());
        let own = || fs::metadata(&self.path).ok().map(identity);
        self.plain.is_some() || !is_link || !self.path.ancestors().skip(1).any(|above| fs::metadata(above).ok().map(identity) == own())
    }
}

#[cfg(test)]
mod tests;
