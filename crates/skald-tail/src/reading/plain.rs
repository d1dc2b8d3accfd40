//! Files as they are: read at an offset into a buffer that all files share.

use super::{Content, PIECE_BYTES, Reading, Turn, Turns};
use crate::position::read_at;
use crate::split::{Handed, hand_out, hand_out_whole};
use crate::tailer::{Flow, Lines};
use std::fs::File;
use std::io;

/// What is in the buffer.
struct Loaded {
    /// Place of its first byte in the file.
    from: u64,
    len: usize,
    /// There may be more behind it.
    full: bool,
}

impl Reading {
    pub(super) fn plain_turn(&mut self, rest: bool, turns: &mut Turns, lines: &mut dyn Lines) -> io::Result<Turn> {
        if matches!(self.content, Content::Closed) {
            let Some(file) = self.open_own()? else { return Ok(Turn::Replaced) };
            self.content = turns.hold(file);
        }
        let Content::Plain(open) = std::mem::replace(&mut self.content, Content::Closed) else { return Ok(Turn::End) };
        let turn = self.read_plain(&open.file, rest, turns, lines);
        self.content = Content::Plain(open);
        turn
    }

    fn read_plain(&mut self, file: &File, rest: bool, turns: &mut Turns, lines: &mut dyn Lines) -> io::Result<Turn> {
        let mut buffer = std::mem::take(&mut turns.buffer);
        let turn = self.read_into(file, &mut buffer, rest, turns, lines);
        turns.buffer = if buffer.len() > PIECE_BYTES { Vec::new() } else { buffer };
        turn
    }

    fn read_into(&mut self, file: &File, buffer: &mut Vec<u8>, rest: bool, turns: &mut Turns, lines: &mut dyn Lines) -> io::Result<Turn> {
        let loaded = self.load(file, buffer, turns.line_bytes_max, rest)?;
        // After the bytes, so that they are the file's own: had it been truncated and filled again before, its head would tell.
        if !self.check_head(file)? {
            return Ok(Turn::Replaced);
        }
        self.size = if loaded.len == 0 || loaded.full { file.metadata()?.len() } else { loaded.from + loaded.len as u64 };
        if loaded.len == 0 {
            self.scanned = self.scanned.min(self.size);
            return Ok(if self.size < self.offset { Turn::Replaced } else { Turn::End });
        }
        if loaded.from > self.offset {
            self.scan_to(self.size);
            return Ok(Turn::End);
        }
        let handed = self.hand_out(&buffer[..loaded.len], loaded.full, rest, turns, lines);
        Ok(match handed.flow {
            Flow::NoRoom => Turn::NoRoom,
            Flow::Pause(wait) => Turn::Pause(wait),
            Flow::Go if loaded.full => Turn::More,
            Flow::Go => Turn::End,
        })
    }

    /// Loads what is unread: up to a piece, and more only until a line of it ends or is too long.
    ///
    /// When it is known that no line ends in the much before `scanned`, what follows is looked at first, and is all that is loaded when no line ends in it either: a line that grows slowly
    /// is not loaded again and again.
    fn load(&mut self, file: &File, buffer: &mut Vec<u8>, line_bytes_max: usize, rest: bool) -> io::Result<Loaded> {
        let piece = PIECE_BYTES.min(line_bytes_max);
        if buffer.len() < piece {
            buffer.resize(piece, 0);
        }
        let known = self.scanned.saturating_sub(self.offset);
        if known >= PIECE_BYTES as u64 / 4 && !rest {
            let len = read_at(file, &mut buffer[..piece], self.scanned)?;
            if len < piece && known + (len as u64) < line_bytes_max as u64 && self.coding.line_end(&buffer[..len]).is_none() {
                return Ok(Loaded { from: self.scanned, len, full: false });
            }
        }
        let (mut len, mut want) = (0, piece);
        loop {
            let count = read_at(file, &mut buffer[len..want], self.offset + len as u64)?;
            let ends = self.coding.line_end(&buffer[len - len % self.coding.width()..len + count]).is_some();
            len += count;
            if len < want || want == line_bytes_max || ends {
                return Ok(Loaded { from: self.offset, len, full: len == want });
            }
            want = (want * 2).min(line_bytes_max);
            buffer.resize(want, 0);
        }
    }

    fn hand_out(&mut self, bytes: &[u8], full: bool, rest: bool, turns: &mut Turns, lines: &mut dyn Lines) -> Handed {
        let (coding, mark) = if self.offset == 0 { self.target.coding.of_file(bytes) } else { (self.coding, 0) };
        self.coding = coding;
        let (id, offset, bytes) = (self.id, self.offset + mark as u64, &bytes[mark..]);
        let mut line = |start: usize, text: &str| lines.line(id, offset + start as u64, text);
        let mut handed = hand_out(bytes, coding, &mut line);
        let whole = handed.flow == Flow::Go && if full { handed.bytes == 0 && bytes.len() + mark >= turns.line_bytes_max } else { rest };
        if whole && handed.bytes < bytes.len() {
            let left = &bytes[handed.bytes..];
            let piece = if full { coding.cut(left, turns.line_bytes_max) } else { left.len() };
            let last = hand_out_whole(&left[..piece], coding, &mut |start, text| line(handed.bytes + start, text));
            turns.stats.long_line_pieces += u64::from(full && last.lines > 0);
            handed = handed.and(last);
        }
        if handed.bytes > 0 {
            self.offset = offset + handed.bytes as u64;
        }
        self.scan_to(if full || handed.flow == Flow::NoRoom { self.offset } else { self.size });
        self.count(&handed, turns);
        handed
    }

    /// No line ends before `place`, nor within the code unit that it cuts.
    fn scan_to(&mut self, place: u64) {
        self.scanned = place - (place - self.offset) % self.coding.width() as u64;
    }

    /// Adds to the counts.
    pub(super) fn count(&mut self, handed: &Handed, turns: &mut Turns) {
        if handed.bytes > 0 {
            self.active = turns.now;
        }
        self.lines += handed.lines;
        turns.stats.lines += handed.lines;
        turns.stats.bytes += handed.bytes as u64;
        turns.stats.lines_replaced += handed.replaced;
        turns.stats.nul_bytes += handed.nuls;
    }
}
