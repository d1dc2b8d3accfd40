//! Following files that others write: which exist, which is which, what is new in them.
//!
//! The crate knows files and lines, nothing of labels or servers. A file is itself by device, inode and a fingerprint of its first bytes, not by its path, so it is
//! followed through renames, and its path may hold another file a moment later.
//!
//! A [`Tailer`] is driven by one thread: [`Tailer::round`] looks at what changed and hands out a bounded piece of each file that has unread bytes, in turn;
//! [`Tailer::wait`] sleeps until more may be there. What it promises:
//!
//! - A line that was readable is handed out, in the order of its file. After a restart with the positions that were reported, none is missing.
//! - A file that left its path (renamed, deleted, replaced) stays open until it is read to its end and nothing was added to it for a while.
//! - What stands before a reported position was handed out; the bytes of a line without its end stay behind the position.
//! - Memory is bounded by the longest line and by the number of files, not by what is unread.
//!
//! Code map: `glob` and `walk` find files, `watch` learns of changes (inotify), `reading` and `split` turn bytes into lines, `unpack` reads compressed files, `siblings` finds
//! where a file went that is no longer at its path, `known` has the positions of an earlier process, `tailer` joins them.
#![allow(
    clippy::disallowed_methods,
    reason = "files, directories and inotify of the real system are what this crate is about; its tests use temporary directories"
)]

mod coding;
mod config;
mod glob;
mod known;
mod position;
mod reading;
mod siblings;
mod split;
mod tailer;
mod target;
mod unpack;
mod walk;
mod watch;

pub use config::TailConfig;
pub use position::{FileId, FilePosition, Fingerprint};
pub use tailer::{Closed, FileStatus, Flow, Lines, Next, OpenedFile, Stats, Tailer};
pub use target::{Decompression, FileTarget, Format, TargetError};
pub use watch::Waker;
