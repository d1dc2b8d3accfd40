mod tree;

#[cfg(test)]
mod tests;

use crate::SeededRandom;
use parking_lot::Mutex;
use skald_model::Timestamp;
use skald_model::seam::{Clock, DirEntry, Disk, DiskFile, Space};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tree::{Inode, Tree};

/// A file system in memory that can lose power, fail and run full.
///
/// What is not synced may be lost by [`SimDisk::power_cut`]; which part of it is, a seed decides. Handles and locks from before a power cut or a
/// kill are dead. May be used from several threads.
pub struct SimDisk(Arc<Mutex<State>>);

/// A kind of disk operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Op {
    /// A directory and its parents made.
    CreateDir,
    /// A file made, or a lock taken.
    Create,
    /// Bytes appended.
    Append,
    /// A file synced.
    Sync,
    /// A rename of either kind.
    Rename,
    /// A file or directory removed.
    Remove,
    /// A directory synced.
    SyncDir,
    /// Bytes read, a file opened, a directory listed.
    Read,
}

struct State {
    tree: Tree,
    /// What dates the files; without it all are of 1970.
    clock: Option<Arc<dyn Clock>>,
    /// Which life of the process this is; handles of earlier ones are dead.
    life: u64,
    locked: BTreeSet<Inode>,
    counts: BTreeMap<Op, u64>,
    faults: Faults,
    /// Bytes that the disk holds, if it can run full.
    capacity: Option<u64>,
    /// What is said of the room at a path that tests let lie on a disk of its own.
    free_at: BTreeMap<PathBuf, u64>,
}

#[derive(Default)]
struct Faults {
    /// Counts at which an operation fails.
    fail_at: BTreeSet<(Op, u64)>,
    /// Number of the changing operation at which the power goes.
    cut_at: Option<u64>,
    short_write: Option<usize>,
}

/// What a disk that cannot run full says of its size.
const TOTAL: u64 = 1 << 40;

impl SimDisk {
    /// An empty disk. Its files have no dates.
    pub fn new() -> Arc<Self> {
        Self::dated(None)
    }

    /// An empty disk whose files are dated by `clock`.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Arc<Self> {
        Self::dated(Some(clock))
    }

    fn dated(clock: Option<Arc<dyn Clock>>) -> Arc<Self> {
        Arc::new(SimDisk(Arc::new(Mutex::new(State {
            tree: Tree::new(),
            clock,
            life: 0,
            locked: BTreeSet::new(),
            counts: BTreeMap::new(),
            faults: Faults::default(),
            capacity: None,
            free_at: BTreeMap::new(),
        }))))
    }

    /// The machine stops and starts: of all that is not synced only a part that `seed` decides is left. Faults are cleared.
    pub fn power_cut(&self, seed: u64) {
        let mut state = self.0.lock();
        state.tree.power_cut(&SeededRandom::new(seed));
        state.next_life();
    }

    /// The process dies and starts again: all that was written is there. Faults are cleared.
    pub fn kill(&self) {
        self.0.lock().next_life();
    }

    /// The `nth` operation of this kind from now on (1 is the next) fails, once, without effect. After a failed sync no later sync of that file
    /// makes durable what was not.
    pub fn fail_nth(&self, op: Op, nth: u64) {
        let mut state = self.0.lock();
        let at = state.count(op) + nth;
        state.faults.fail_at.insert((op, at));
    }

    /// The power goes at the `nth` changing operation from now on (1 is the next): that one may have its effect, it and all later ones fail.
    /// [`SimDisk::power_cut`] then brings the machine back; [`SimDisk::kill`] makes it the end of the process alone.
    pub fn cut_power_at(&self, nth: u64) {
        let mut state = self.0.lock();
        state.faults.cut_at = Some(state.operations() + nth);
    }

    /// The next append keeps at most `keep` bytes and fails.
    pub fn short_write(&self, keep: usize) {
        self.0.lock().faults.short_write = Some(keep);
    }

    /// Leaves room for this many bytes; an append that needs more keeps what fits and fails with `StorageFull`.
    pub fn set_free(&self, bytes: u64) {
        let mut state = self.0.lock();
        state.capacity = Some(state.tree.used().saturating_add(bytes));
    }

    /// From now on says that so much room is left at exactly this path.
    pub fn say_free_at(&self, path: &Path, bytes: u64) {
        self.0.lock().free_at.insert(path.to_owned(), bytes);
    }

    /// Flips one bit (0 to 7) of a stored byte. Panics when there is no such byte.
    pub fn flip_bit(&self, path: &Path, offset: u64, bit: u8) {
        let mut state = self.0.lock();
        let inode = state.tree.find(path).expect("the file is there");
        state.tree.file_mut(inode).expect("it is a file").bytes[offset as usize] ^= 1 << bit;
    }

    /// Cuts a file down to `len` bytes. Panics when there is no such file.
    pub fn truncate(&self, path: &Path, len: u64) {
        let mut state = self.0.lock();
        let inode = state.tree.find(path).expect("the file is there");
        let file = state.tree.file_mut(inode).expect("it is a file");
        file.bytes.truncate(len as usize);
        file.synced = file.synced.min(file.bytes.len());
    }

    /// Puts a durable file there, with its directories, whole; replaces one.
    pub fn plant(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.0.lock();
        if let Some(parent) = path.parent() {
            state.tree.create_dir_all(parent).expect("the directory can be made");
        }
        let (inode, modified) =
            (state.tree.find(path).or_else(|_| state.tree.create_file(path)).expect("the file can be made"), state.now());
        let file = state.tree.file_mut(inode).expect("it is a file");
        *file = tree::File { bytes: bytes.to_vec(), synced: bytes.len(), sync_failed: false, modified };
        for dir in path.ancestors().skip(1) {
            state.tree.sync_dir(dir).expect("the directory is there");
        }
    }

    /// Changing operations so far, failed ones too.
    pub fn operations(&self) -> u64 {
        self.0.lock().operations()
    }

    /// Operations of one kind so far, failed ones too.
    pub fn count(&self, op: Op) -> u64 {
        self.0.lock().count(op)
    }
}

impl State {
    fn operations(&self) -> u64 {
        self.counts.iter().filter(|(op, _)| **op != Op::Read).map(|(_, count)| count).sum()
    }

    fn count(&self, op: Op) -> u64 {
        self.counts.get(&op).copied().unwrap_or(0)
    }

    fn next_life(&mut self) {
        self.tree.forget_nameless();
        self.life += 1;
        self.locked.clear();
        self.faults = Faults::default();
        self.capacity = None;
    }

    fn now(&self) -> Timestamp {
        self.clock.as_ref().map_or(Timestamp(0), |clock| clock.now())
    }

    fn create_file(&mut self, path: &Path) -> io::Result<Inode> {
        let (inode, now) = (self.tree.create_file(path)?, self.now());
        self.tree.file_mut(inode)?.modified = now;
        Ok(inode)
    }

    fn is_cut(&self) -> bool {
        self.faults.cut_at.is_some_and(|cut_at| self.operations() >= cut_at)
    }

    /// Counts an operation and does it unless a fault says otherwise. At the moment of the power cut `change` happens, and is not reported.
    fn perform<T>(&mut self, op: Op, change: impl FnOnce(&mut Self) -> io::Result<T>) -> io::Result<T> {
        *self.counts.entry(op).or_default() += 1;
        if self.is_cut() {
            // A sync in progress has made nothing durable for sure; the seed of the power cut decides.
            if self.faults.cut_at == Some(self.operations()) && !matches!(op, Op::Read | Op::Sync | Op::SyncDir) {
                let _ = change(self);
            }
            return Err(io::Error::other("simulated power cut"));
        }
        if self.faults.fail_at.remove(&(op, self.count(op))) {
            return Err(io::Error::other("simulated fault"));
        }
        change(self)
    }

    fn append(&mut self, inode: Inode, bytes: &[u8]) -> io::Result<()> {
        let free = self.capacity.map_or(usize::MAX, |capacity| capacity.saturating_sub(self.tree.used()) as usize);
        let short = self.faults.short_write.take().unwrap_or(usize::MAX);
        let kept = bytes.len().min(free).min(short);
        let now = self.now();
        let file = self.tree.file_mut(inode)?;
        file.bytes.extend_from_slice(&bytes[..kept]);
        file.modified = now;
        if bytes.len() > free {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if short < usize::MAX { Err(io::Error::other("simulated short write")) } else { Ok(()) }
    }
}

impl Disk for SimDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.lock().perform(Op::CreateDir, |state| state.tree.create_dir_all(path))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.0.lock();
        let inode = state.perform(Op::Create, |state| state.create_file(path))?;
        Ok(Box::new(SimFile { state: self.0.clone(), inode, life: state.life, writable: true }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.0.lock();
        let inode = state.perform(Op::Read, |state| {
            let inode = state.tree.find(path)?;
            state.tree.file(inode).map(|_| inode)
        })?;
        Ok(Box::new(SimFile { state: self.0.clone(), inode, life: state.life, writable: false }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.lock().perform(Op::Rename, |state| state.tree.rename(from, to, true))
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.lock().perform(Op::Rename, |state| state.tree.rename(from, to, false))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.lock().perform(Op::Remove, |state| state.tree.remove_file(path))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.lock().perform(Op::Remove, |state| state.tree.remove_dir_all(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.lock().perform(Op::SyncDir, |state| state.tree.sync_dir(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.0.lock().perform(Op::Read, |state| state.tree.list(path))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let mut state = self.0.lock();
        let inode = state.perform(Op::Create, |state| state.tree.find(path).or_else(|_| state.tree.create_file(path)))?;
        if !state.locked.insert(inode) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(LockGuard { state: self.0.clone(), inode, life: state.life }))
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let state = self.0.lock();
        let total = state.capacity.unwrap_or(TOTAL);
        let free = state.free_at.get(path).copied();
        Ok(Space { total, free: free.unwrap_or_else(|| total.saturating_sub(state.tree.used())) })
    }
}

struct SimFile {
    state: Arc<Mutex<State>>,
    inode: Inode,
    life: u64,
    writable: bool,
}

impl SimFile {
    fn perform<T>(&self, op: Op, change: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.lock();
        if state.life != self.life {
            return Err(io::Error::other("file handle of a process that is no more"));
        }
        state.perform(op, change)
    }
}

impl DiskFile for SimFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.perform(Op::Append, |state| state.append(self.inode, bytes))
    }

    fn sync(&self) -> io::Result<()> {
        let synced = self.perform(Op::Sync, |state| {
            let file = state.tree.file_mut(self.inode)?;
            if !file.sync_failed {
                file.synced = file.bytes.len();
            }
            Ok(())
        });
        let mut state = self.state.lock();
        // A sync that the end of the process cut short has not failed: the system knows what is still to be written.
        if synced.is_err()
            && !state.is_cut()
            && let Ok(file) = state.tree.file_mut(self.inode)
        {
            file.sync_failed = true;
        }
        synced
    }

    fn len(&self) -> io::Result<u64> {
        self.perform(Op::Read, |state| Ok(state.tree.file(self.inode)?.bytes.len() as u64))
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.perform(Op::Read, |state| {
            let bytes = &state.tree.file(self.inode)?.bytes;
            let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
            let range = start..start.checked_add(buf.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            buf.copy_from_slice(bytes.get(range).ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }
}

struct LockGuard {
    state: Arc<Mutex<State>>,
    inode: Inode,
    life: u64,
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        if state.life == self.life {
            state.locked.remove(&self.inode);
        }
    }
}
