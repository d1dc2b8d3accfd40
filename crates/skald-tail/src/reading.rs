//! One file as one target reads it.

mod packed;
mod plain;

use crate::coding::Coding;
use crate::known::STRONG_BYTES;
use crate::position::{FileId, FilePosition, Fingerprint, Head};
use crate::siblings;
use crate::tailer::{Lines, Stats};
use crate::target::{Format, Target};
use crate::unpack::Unpacker;
use skald_model::Timestamp;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of one file that are handed out in one turn.
pub(crate) const PIECE_BYTES: usize = 256 << 10;

pub(crate) struct Reading {
    pub target: Arc<Target>,
    pub id: FileId,
    /// Where it was last seen, as the target's pattern found it.
    pub path: Arc<Path>,
    /// Where symbolic links lead from there.
    pub real: Option<Arc<Path>>,
    pub device: u64,
    pub inode: u64,
    pub fingerprint: Fingerprint,
    pub coding: Coding,
    /// The next unread byte, or the number of lines of a compressed file.
    pub offset: u64,
    /// No line ends before this place, so it need not be looked at again.
    scanned: u64,
    /// Bytes of the file when it was last looked at.
    pub size: u64,
    /// When it was written, in nanoseconds, as last looked at from outside.
    modified: i64,
    pub lines: u64,
    pub content: Content,
    pub place: Place,
    /// When something was last read.
    pub active: Duration,
    /// Until when no line is wanted.
    pub not_before: Duration,
    pub queued: bool,
    /// The scan that found it last.
    pub seen: u32,
    /// Nobody reports changes of it.
    pub polled: bool,
    /// An earlier reading of it handed out what stands before `offset`, and what is left was compressed since.
    pub packed_as: Option<Box<(Arc<Path>, Format)>>,
}

/// What stands between the reading and its bytes.
pub(crate) enum Content {
    /// Nothing: it is opened when needed.
    Closed,
    Plain(Open),
    /// With a share in the number of such.
    Unpacking(Box<Unpacker>, Arc<()>),
    /// A compressed file, read to its end.
    Unpacked,
}

/// An open file.
pub(crate) struct Open {
    pub file: File,
    /// A share in the number of open files.
    _held: Arc<()>,
}

/// Whether the path leads to the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    At,
    /// It does not, since then.
    Gone {
        since: Duration,
    },
    /// No target wants the file any more, since then.
    Unwanted {
        since: Duration,
    },
}

/// What all turns share.
pub(crate) struct Turns {
    pub buffer: Vec<u8>,
    pub line_bytes_max: usize,
    pub stats: Stats,
    pub now: Duration,
    pub wall: Timestamp,
    open: Arc<()>,
    unpacking: Arc<()>,
}

impl Turns {
    pub(crate) fn new(line_bytes_max: usize) -> Self {
        Turns {
            buffer: Vec::new(),
            // Whole code units of any encoding.
            line_bytes_max: line_bytes_max.max(16) & !3,
            stats: Stats::default(),
            now: Duration::ZERO,
            wall: Timestamp(0),
            open: Arc::default(),
            unpacking: Arc::default(),
        }
    }

    /// Files held open, but those that are being decompressed.
    pub(crate) fn descriptors(&self) -> usize {
        Arc::strong_count(&self.open) - 1
    }

    /// Keeps a file open.
    pub(crate) fn hold(&self, file: File) -> Content {
        Content::Plain(Open { file, _held: self.open.clone() })
    }
}

/// How a turn ended.
#[derive(Debug)]
pub(crate) enum Turn {
    /// More can be read at once.
    More,
    /// Everything there is was handed out.
    End,
    /// A line was not taken.
    NoRoom,
    /// No line is wanted for so long.
    Pause(Duration),
    /// The path's file has other content now: it was truncated, or its inode belongs to a new file.
    Replaced,
    /// It is not where it was.
    Missing,
    Failed(io::Error),
}

impl Reading {
    /// Of the file that `meta` describes, from its beginning.
    pub(crate) fn new(target: Arc<Target>, id: FileId, path: Arc<Path>, meta: &Metadata) -> Self {
        let mut reading = Self::at_path(target, id, path);
        (reading.device, reading.inode, reading.size) = (meta.dev(), meta.ino(), meta.len());
        reading
    }

    /// Of a file that is not known yet.
    pub(crate) fn at_path(target: Arc<Target>, id: FileId, path: Arc<Path>) -> Self {
        Reading {
            coding: target.coding,
            target,
            id,
            path,
            real: None,
            device: 0,
            inode: 0,
            fingerprint: Fingerprint::default(),
            offset: 0,
            scanned: 0,
            size: 0,
            modified: 0,
            lines: 0,
            content: Content::Closed,
            place: Place::At,
            active: Duration::ZERO,
            not_before: Duration::ZERO,
            queued: false,
            seen: 0,
            polled: false,
            packed_as: None,
        }
    }

    /// Reading goes on at `offset`.
    pub(crate) fn start_at(&mut self, offset: u64, now: Duration) {
        self.offset = offset;
        self.scanned = offset;
        self.active = now;
    }

    pub(crate) fn is_compressed(&self) -> bool {
        self.target.decompression.is_some()
    }

    pub(crate) fn is_at(&self) -> bool {
        self.place == Place::At
    }

    pub(crate) fn identity(&self) -> (u32, u64, u64) {
        (self.target.number, self.device, self.inode)
    }

    pub(crate) fn position(&self) -> FilePosition {
        FilePosition {
            id: self.id,
            target_key: self.target.key.clone(),
            path: self.path.to_path_buf(),
            device: self.device,
            inode: self.inode,
            fingerprint: self.fingerprint,
            offset: self.offset,
            compressed: self.is_compressed(),
        }
    }

    /// Whether the file was written since this was last asked, or is not as long as it was when it was read.
    pub(crate) fn has_changed(&mut self, meta: &Metadata) -> bool {
        let modified = meta.mtime().wrapping_mul(1_000_000_000).wrapping_add(meta.mtime_nsec());
        std::mem::replace(&mut self.modified, modified) != modified || self.size != meta.len()
    }

    /// Where its directory entry really is.
    pub(crate) fn real_path(&self) -> &Path {
        self.real.as_deref().unwrap_or(&self.path)
    }

    /// Hands out a piece of what is unread; with `rest` also a last line without its end.
    pub(crate) fn turn(&mut self, rest: bool, turns: &mut Turns, lines: &mut dyn Lines) -> Turn {
        let turn = match (&self.packed_as, self.target.decompression) {
            (None, None) => self.plain_turn(rest, turns, lines),
            (Some(packed), _) => {
                let (path, format) = (packed.0.clone(), packed.1);
                self.packed_turn(&path, format, turns, lines)
            }
            (None, Some(how)) => match self.initial_delay(how.initial_delay, turns) {
                Some(wait) => Ok(Turn::Pause(wait)),
                None => self.packed_turn(&self.path.clone(), how.format, turns, lines),
            },
        };
        turn.unwrap_or_else(|error| if error.kind() == io::ErrorKind::NotFound { Turn::Missing } else { Turn::Failed(error) })
    }

    /// Whether a plain file still begins with what was read from it; what it gained is taken into the fingerprint.
    fn check_head(&mut self, file: &File) -> io::Result<bool> {
        let head = Head::of(file)?;
        if !self.fingerprint.matches(head.bytes()) {
            return Ok(false);
        }
        if head.bytes().len() > self.fingerprint.len as usize {
            self.fingerprint = Fingerprint::of(head.bytes());
        }
        Ok(true)
    }

    /// Takes in the fingerprint of a file that was nearly empty when it was last read.
    pub(crate) fn note_head(&mut self) {
        if self.fingerprint.len < STRONG_BYTES && matches!(self.content, Content::Plain(_)) {
            let content = std::mem::replace(&mut self.content, Content::Closed);
            if let Content::Plain(open) = &content {
                // What fails here fails again when the file is read.
                let _ = self.check_head(&open.file);
            }
            self.content = content;
        }
    }

    /// Opens what is at the path, if that is still the file.
    fn open_own(&mut self) -> io::Result<Option<File>> {
        let (file, meta) = siblings::open(&self.path)?;
        if (meta.dev(), meta.ino()) != (self.device, self.inode) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.size = meta.len();
        Ok(self.check_head(&file)?.then_some(file))
    }
}
