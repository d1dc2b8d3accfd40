use crate::position::{FileId, FilePosition};
use crate::reading::Reading;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Takes the lines of all files. Calls come from [`Tailer::round`](crate::Tailer::round) only.
pub trait Lines {
    /// A file was found, before its first line.
    fn opened(&mut self, file: &OpenedFile<'_>);

    /// One line without its end (`\n`; a `\r` before it stays). `start` is the place of its first byte, or its number in a compressed file, counted from 0. What was no
    /// character is replaced.
    fn line(&mut self, file: FileId, start: u64, line: &str) -> Flow;

    /// After a run of lines of one file: everything before `position.offset` was handed out.
    fn caught_up(&mut self, file: FileId, position: &FilePosition);

    /// No more will come of this reading. Also called for a known position whose file was not found, without [`Lines::opened`].
    fn closed(&mut self, file: FileId, position: &FilePosition, why: Closed);
}

/// What becomes of the lines that follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// The line was taken.
    Go,
    /// The line was taken; the file's next one is wanted only after so long.
    Pause(Duration),
    /// The line was not taken. It is handed out again in a later round, and no other before: soon, or at once when woken.
    NoRoom,
}

/// Why a file is not read any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// It left its path, was read to its end, and nothing was added for a while. Forget the position.
    Finished,
    /// Its content was replaced; what the path holds now is another reading. Forget the position.
    Truncated,
    /// Another target reads on where this one was. Forget the position.
    HandedOver,
    /// Its target went. The position stays valid: a target of the same key may come again.
    TargetGone,
    /// It could not be found again. Forget the position.
    Lost,
}

impl Closed {
    /// Whether the position is of no more use.
    pub fn is_final(self) -> bool {
        match self {
            Closed::Finished | Closed::Truncated | Closed::HandedOver | Closed::Lost => true,
            Closed::TargetGone => false,
        }
    }
}

/// When to call [`Tailer::round`](crate::Tailer::round) again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// At once: there is more to read.
    Now,
    /// At this monotonic time, or when [`Tailer::wait`](crate::Tailer::wait) returns.
    At(Duration),
}

/// A file that is about to be read.
#[derive(Debug)]
pub struct OpenedFile<'a> {
    /// Which reading it is.
    pub id: FileId,
    /// Key of the target that reads it.
    pub target_key: &'a Arc<str>,
    /// The path as the target's pattern found it; symbolic links are not resolved. Of a rotated file the path that it had before.
    pub path: &'a Path,
    /// Where reading begins; in lines when compressed.
    pub offset: u64,
    /// Bytes of the file.
    pub size: u64,
    /// Whether it is decompressed by its target's wish.
    pub compressed: bool,
    /// Whether a known position is gone on from.
    pub resumed: bool,
    /// To be kept from now on, so that a restart finds the file again even if it is rotated before anything of it was read.
    pub position: &'a FilePosition,
}

/// A look at a file that is being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStatus {
    /// Which reading it is.
    pub id: FileId,
    /// Key of the target that reads it.
    pub target_key: Arc<str>,
    /// Where it is, or was before it went.
    pub path: PathBuf,
    /// Bytes when last looked at.
    pub size: u64,
    /// The next unread byte; lines when compressed.
    pub offset: u64,
    /// Lines handed out by this process.
    pub lines: u64,
    /// Whether it is decompressed by its target's wish.
    pub compressed: bool,
    /// Whether it is no longer at its path, or its target went, and it is only read to its end.
    pub gone: bool,
}

impl FileStatus {
    pub(super) fn of(reading: &Reading) -> Self {
        FileStatus {
            id: reading.id,
            target_key: reading.target.key.clone(),
            path: reading.path.to_path_buf(),
            size: reading.size,
            offset: reading.offset,
            lines: reading.lines,
            compressed: reading.is_compressed(),
            gone: !reading.is_at(),
        }
    }
}

/// Counts since the start of the process, and gauges.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Gauge: files being read.
    pub files: usize,
    /// Gauge: those that are no longer at their path.
    pub files_gone: usize,
    /// Gauge: files held open.
    pub descriptors: usize,
    /// Gauge: directories whose changes the system reports.
    pub watches: usize,
    /// Gauge: files that are polled.
    pub polled: usize,
    /// Lines handed out.
    pub lines: u64,
    /// Bytes of these, decompressed, with the ends of lines.
    pub bytes: u64,
    /// Lines with bytes that are no characters in their encoding; these were replaced.
    pub lines_replaced: u64,
    /// Pieces of lines longer than allowed.
    pub long_line_pieces: u64,
    /// NUL bytes before lines, left out.
    pub nul_bytes: u64,
    /// Files whose path came to hold another one, or none.
    pub rotations: u64,
    /// Files whose content was replaced.
    pub truncations: u64,
    /// Files whose rest was found under another name: after a restart, or in the copy of a truncated one.
    pub found_again: u64,
    /// Files, or their rests, that could not be found again.
    pub lost: u64,
    /// Failures to open or read a file.
    pub failures: u64,
    /// Compressed files that are damaged or incomplete.
    pub unreadable: u64,
    /// Times that the system lost reports of changes, and everything was looked at.
    pub overflows: u64,
}
