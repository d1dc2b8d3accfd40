//! All files of a process, in rounds.

mod api;
mod changes;
mod places;
mod rotation;
mod turns;

pub use api::{Closed, FileStatus, Flow, Lines, Next, OpenedFile, Stats};

use crate::config::TailConfig;
use crate::known::Known;
use crate::position::{FileId, FilePosition};
use crate::reading::{Content, Place, Reading, Turns};
use crate::target::{FileTarget, Target};
use crate::walk::Tree;
use crate::watch::{Waker, Watcher};
use rustc_hash::{FxHashMap, FxHashSet};
use skald_model::Timestamp;
use skald_model::seam::Random;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// Directories are not all looked at more often than this, whatever happens to them.
const SCAN_PAUSE: Duration = Duration::from_millis(500);

/// Time between two looks at each file, whether or not a change of it was reported.
const THOROUGH_PERIOD: Duration = Duration::from_secs(60);

/// Time between two looks at whether files still exist that no target reads.
const FORGET_PERIOD: Duration = Duration::from_secs(600);

/// When a line is offered again that was not taken, unless woken earlier.
const RETRY: Duration = Duration::from_millis(250);

/// Follows the files of all targets. Owned by one thread; nothing happens but in its calls.
pub struct Tailer {
    config: TailConfig,
    random: Arc<dyn Random>,
    targets: Vec<Arc<Target>>,
    next_number: u32,
    tree: Tree,
    watcher: Watcher,
    readings: FxHashMap<FileId, Box<Reading>>,
    /// Target, device, inode.
    by_identity: FxHashMap<(u32, u64, u64), FileId>,
    /// Readings of files that are at their path, by that path and by where symbolic links lead from it.
    paths: FxHashMap<Arc<Path>, Vec<FileId>>,
    /// Readings of targets that went, by device and inode: another target may want the file.
    unwanted: FxHashMap<(u64, u64), Vec<FileId>>,
    known: Known,
    /// Keys of targets whose known files were not all looked for yet.
    unsearched: Vec<Arc<str>>,
    ready: VecDeque<FileId>,
    paused: Vec<FileId>,
    /// Readings that are polled: their changes are not reported, or they have no path any more.
    polled: Vec<FileId>,
    /// Readings whose file just left its path.
    moved: Vec<FileId>,
    turns: Turns,
    stalled: bool,
    scans: u32,
    last_scan: Duration,
    scan_due: Duration,
    thorough_due: Duration,
    /// None before the first round.
    forget_due: Option<Duration>,
    poll_due: Duration,
    poll_period: Duration,
    /// Paths that could not be opened, said once.
    unopened: FxHashSet<Arc<Path>>,
}

impl Tailer {
    /// Knows the positions that an earlier process reported, and those that promtail left; follows nothing yet.
    ///
    /// # Errors
    /// The system gives no descriptor to be woken by. Without inotify, files are polled.
    pub fn new(config: TailConfig, random: Arc<dyn Random>, known: Vec<FilePosition>, plain: HashMap<PathBuf, u64>) -> io::Result<Tailer> {
        Ok(Tailer {
            watcher: Watcher::new(config.inotify)?,
            turns: Turns::new(config.line_bytes_max),
            poll_period: config.poll_min,
            random,
            targets: Vec::new(),
            next_number: 0,
            tree: Tree::default(),
            readings: FxHashMap::default(),
            by_identity: FxHashMap::default(),
            paths: FxHashMap::default(),
            unwanted: FxHashMap::default(),
            known: Known::new(known, plain),
            unsearched: Vec::new(),
            ready: VecDeque::new(),
            paused: Vec::new(),
            polled: Vec::new(),
            moved: Vec::new(),
            stalled: false,
            scans: 0,
            last_scan: Duration::ZERO,
            scan_due: Duration::ZERO,
            thorough_due: Duration::ZERO,
            forget_due: None,
            poll_due: Duration::ZERO,
            unopened: FxHashSet::default(),
            config,
        })
    }

    /// Replaces the targets; the next round looks for their files. Those of the same key go on undisturbed. Files of a target that went are read to their end, unless another one of
    /// the new ones wants them, and goes on where the old one was. A target that fails [`FileTarget::check`] is left out.
    pub fn set_targets(&mut self, targets: Vec<FileTarget>) {
        let mut old: FxHashMap<Arc<str>, Arc<Target>> = self.targets.drain(..).map(|target| (target.key.clone(), target)).collect();
        let mut keys = FxHashSet::default();
        for target in targets {
            if !keys.insert(target.key.clone()) {
                continue;
            }
            match Target::new(&target, self.next_number) {
                Ok(new) => {
                    self.next_number += 1;
                    let same = old.get(&target.key).is_some_and(|old| old.coding == new.coding && old.decompression == new.decompression);
                    let kept = if same { old.remove(&target.key) } else { None };
                    if kept.is_none() {
                        self.unsearched.push(target.key.clone());
                    }
                    self.targets.push(kept.unwrap_or_else(|| Arc::new(new)));
                }
                Err(error) => warn!(target = %target.path, %error, "cannot read the files of a target"),
            }
        }
        let numbers: FxHashSet<u32> = self.targets.iter().map(|target| target.number).collect();
        let gone: Vec<FileId> =
            self.readings.values().filter(|reading| !numbers.contains(&reading.target.number)).map(|reading| reading.id).collect();
        gone.into_iter().for_each(|id| self.unwant(id));
        self.scan_soon();
    }

    /// One round: what changed, the directories when due, a bounded piece of each file with unread bytes. Says when to call again.
    /// `now` is monotonic; `wall` is compared with the times of files.
    pub fn round(&mut self, now: Duration, wall: Timestamp, lines: &mut dyn Lines) -> Next {
        self.turns.now = now;
        self.turns.wall = wall;
        self.take_events(lines);
        if now >= self.scan_due {
            self.scan(lines);
        }
        if now >= self.poll_due {
            self.poll(lines);
        }
        self.follow_moved(lines);
        if now >= *self.forget_due.get_or_insert(now + FORGET_PERIOD) {
            self.forget(lines);
        }
        self.end_pauses();
        self.read(lines);
        self.follow_moved(lines);
        let next = self.next();
        self.watcher.calm = next != Next::Now;
        next
    }

    /// Waits until a file may have changed, for `at_most`, or until woken. Lets changes gather for up to 50 ms, so that many small ones cost one round.
    pub fn wait(&mut self, at_most: Duration) {
        self.watcher.wait(at_most);
    }

    /// Something that ends [`Tailer::wait`] from another thread.
    pub fn waker(&self) -> Waker {
        self.watcher.waker()
    }

    /// The files that are being read, in no order.
    pub fn files(&self) -> Vec<FileStatus> {
        self.readings.values().map(|reading| FileStatus::of(reading)).collect()
    }

    /// Counts since the start, and what is held now.
    pub fn stats(&self) -> Stats {
        Stats {
            files: self.readings.len(),
            files_gone: self.readings.values().filter(|reading| !reading.is_at()).count(),
            descriptors: self.turns.descriptors(),
            watches: self.tree.watches(),
            polled: self.polled.len(),
            ..self.turns.stats
        }
    }

    fn next(&self) -> Next {
        let now = self.turns.now;
        if !self.stalled && !self.ready.is_empty() {
            return Next::Now;
        }
        let poll = (!self.polled.is_empty()).then_some(self.poll_due);
        let pause = self.paused.iter().filter_map(|id| Some(self.readings.get(id)?.not_before)).min();
        let retry = self.stalled.then_some(now + RETRY);
        Next::At([poll, pause, retry].into_iter().flatten().fold(self.scan_due, Duration::min))
    }

    /// Gives up positions of files that no target reads and that do not exist.
    fn forget(&mut self, lines: &mut dyn Lines) {
        self.forget_due = Some(self.turns.now + FORGET_PERIOD);
        let keys: FxHashSet<&str> = self.targets.iter().map(|target| &*target.key).collect();
        let gone = |position: &FilePosition| {
            !keys.contains(&*position.target_key)
                && position.path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        };
        for position in self.known.take_where(gone) {
            lines.closed(position.id, &position, Closed::Lost);
        }
    }

    /// The target of a reading went.
    fn unwant(&mut self, id: FileId) {
        self.leave_paths(id);
        if let Some(reading) = self.readings.get_mut(&id)
            && !matches!(reading.place, Place::Unwanted { .. })
        {
            reading.place = Place::Unwanted { since: self.turns.now };
            self.unwanted.entry((reading.device, reading.inode)).or_default().push(id);
            self.polled.push(id);
            self.enqueue(id);
        }
    }

    /// Lets go of a reading.
    fn close(&mut self, id: FileId, why: Closed, lines: &mut dyn Lines) {
        self.leave_paths(id);
        self.forget_unwanted(id);
        let Some(reading) = self.readings.remove(&id) else { return };
        if self.by_identity.get(&reading.identity()) == Some(&id) {
            self.by_identity.remove(&reading.identity());
        }
        let position = reading.position();
        lines.closed(id, &position, why);
        match why {
            Closed::TargetGone => self.known.keep(position),
            Closed::Finished if exists(&reading.content) => self.known.keep_done(position),
            Closed::Finished | Closed::Truncated | Closed::HandedOver | Closed::Lost => {}
        }
    }

    fn forget_unwanted(&mut self, id: FileId) {
        self.unwanted.retain(|_, ids| {
            ids.retain(|other| *other != id);
            !ids.is_empty()
        });
    }

    fn leave_paths(&mut self, id: FileId) {
        let Some(reading) = self.readings.get(&id) else { return };
        for path in [Some(&reading.path), reading.real.as_ref()].into_iter().flatten() {
            if let Some(ids) = self.paths.get_mut(path) {
                ids.retain(|other| *other != id);
                if ids.is_empty() {
                    self.paths.remove(path);
                }
            }
        }
    }
}

/// Whether a file that was let go of still has a name.
fn exists(content: &Content) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    matches!(content, Content::Plain(open) if open.file.metadata().is_ok_and(|meta| meta.nlink() > 0))
}

#[cfg(test)]
mod tests;
