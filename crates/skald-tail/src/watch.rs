//! Learning of changes from the system: one inotify instance for all directories.

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// After the first change more are let come for this long, so that many small writes cost one round.
const GATHER: Duration = Duration::from_millis(50);

/// File systems on which others may write without this system knowing: NFS, SMB (three), FUSE, 9P, Ceph.
const SHARED_FILE_SYSTEMS: [u64; 7] = [0x6969, 0x517b, 0xfe53_4d42, 0xff53_4d42, 0x6573_5546, 0x0102_1997, 0x00c3_6400];

/// Something changed in a watched directory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub watch: i32,
    pub what: Change,
    pub name: OsString,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Bytes were written to the file of that name.
    Written,
    /// The name came, went, or leads elsewhere.
    Name,
    /// The directory itself was moved or removed.
    Directory,
    /// Changes were lost.
    Overflow,
}

/// The inotify instance, and the means to wait.
pub(crate) struct Watcher {
    inotify: Option<OwnedFd>,
    wake: Arc<OwnedFd>,
    buffer: Box<[MaybeUninit<u8>]>,
    warned: bool,
    /// Whether the last round left nothing to do, so that changes may gather.
    pub calm: bool,
}

/// Ends the wait of a tailer early, from any thread.
#[derive(Debug, Clone)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    /// The running or next [`Tailer::wait`](crate::Tailer::wait) returns at once.
    pub fn wake(&self) {
        // It fails only when the counter is full, and then the waiter is awake.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}

impl Watcher {
    pub(crate) fn new(enabled: bool) -> io::Result<Self> {
        let wake = rustix::event::eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        let mut watcher = Watcher { inotify: None, wake: Arc::new(wake), buffer: Box::default(), warned: false, calm: true };
        if enabled {
            match inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC) {
                Ok(descriptor) => {
                    watcher.inotify = Some(descriptor);
                    watcher.buffer = vec![MaybeUninit::uninit(); 16 << 10].into();
                }
                Err(error) => warn!(%error, "no inotify instance, polling files instead; raise sysctl fs.inotify.max_user_instances"),
            }
        }
        Ok(watcher)
    }

    pub(crate) fn waker(&self) -> Waker {
        Waker(self.wake.clone())
    }

    /// Asks for changes of the names in `directory`, and of the files when `written`. None: it has to be polled.
    pub(crate) fn watch(&mut self, directory: &Path, written: bool) -> Option<i32> {
        let inotify = self.inotify.as_ref()?;
        if is_shared(directory) {
            return None;
        }
        let names = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVED_FROM | WatchFlags::MOVED_TO;
        let own = WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF | WatchFlags::ONLYDIR | WatchFlags::EXCL_UNLINK | WatchFlags::MASK_ADD;
        let written = if written { WatchFlags::MODIFY } else { WatchFlags::empty() };
        match inotify::add_watch(inotify, directory, names | own | written) {
            Ok(watch) => Some(watch),
            Err(Errno::NOSPC | Errno::NOMEM) if !self.warned => {
                self.warned = true;
                warn!(directory = %directory.display(), "no inotify watch left, polling files instead; raise sysctl fs.inotify.max_user_watches");
                None
            }
            Err(_) => None,
        }
    }

    pub(crate) fn unwatch(&self, watch: i32) {
        if let Some(inotify) = &self.inotify {
            // It fails when the directory is gone, and the watch with it.
            let _ = inotify::remove_watch(inotify, watch);
        }
    }

    /// What has changed since the last call. The system holds 16,384 changes by default, and says so when there were more.
    pub(crate) fn events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        let Some(inotify) = &self.inotify else { return events };
        let mut reader = inotify::Reader::new(inotify, &mut self.buffer);
        loop {
            match reader.next() {
                Ok(event) => {
                    let what = Change::of(event.events());
                    let name = event.file_name().map_or(OsStr::new(""), |name| OsStr::from_bytes(name.to_bytes()));
                    let known =
                        events.last().is_some_and(|last: &Event| last.watch == event.wd() && last.what == what && last.name == name);
                    if !known {
                        events.push(Event { watch: event.wd(), what, name: name.to_owned() });
                    }
                }
                Err(Errno::INTR) => {}
                Err(_) => return events,
            }
        }
    }

    /// Sleeps for `at_most`, until something changes, or until woken.
    pub(crate) fn wait(&self, at_most: Duration) {
        let gather = if self.calm { GATHER.min(at_most) } else { Duration::ZERO };
        if !gather.is_zero() && self.poll(gather, false) {
            return;
        }
        self.poll(at_most - gather, true);
    }

    /// Whether it was woken.
    fn poll(&self, at_most: Duration, changes: bool) -> bool {
        let timeout = Timespec { tv_sec: at_most.as_secs() as i64, tv_nsec: i64::from(at_most.subsec_nanos()) };
        let mut sources = vec![PollFd::new(&self.wake, PollFlags::IN)];
        if let (true, Some(inotify)) = (changes, &self.inotify) {
            sources.push(PollFd::new(inotify, PollFlags::IN));
        }
        // An interrupted wait is a short one, and the caller goes round again.
        let _ = rustix::event::poll(&mut sources, Some(&timeout));
        let woken = !sources[0].revents().is_empty();
        if woken {
            let _ = rustix::io::read(&self.wake, &mut [0_u8; 8]);
        }
        woken
    }
}

impl Change {
    fn of(flags: ReadFlags) -> Self {
        if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            Change::Overflow
        } else if flags.intersects(ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT | ReadFlags::IGNORED) {
            Change::Directory
        } else if flags.contains(ReadFlags::MODIFY) {
            Change::Written
        } else {
            Change::Name
        }
    }
}

fn is_shared(directory: &Path) -> bool {
    rustix::fs::statfs(directory).is_ok_and(|system| SHARED_FILE_SYSTEMS.contains(&(system.f_type as u64 & 0xffff_ffff)))
}
