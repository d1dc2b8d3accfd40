//! Compressed files: read from their beginning, once.

use super::{Content, PIECE_BYTES, Reading, Turn, Turns};
use crate::siblings;
use crate::split::{Handed, hand_out, hand_out_whole};
use crate::tailer::{Flow, Lines};
use crate::target::Format;
use crate::unpack::Unpacker;
use skald_model::Timestamp;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// Compressed files that are open at a time; each may need megabytes.
const UNPACKING_MAX: usize = 2;

/// When a file is looked at again that has to wait for others.
const TURN_WAIT: Duration = Duration::from_millis(100);

impl Reading {
    /// How long a file has to wait because it was written a moment ago.
    pub(super) fn initial_delay(&self, delay: Duration, turns: &Turns) -> Option<Duration> {
        if delay.is_zero() || !matches!(self.content, Content::Closed) {
            return None;
        }
        let written = std::fs::metadata(&self.path).and_then(|meta| meta.modified()).ok()?;
        let written = written.duration_since(std::time::UNIX_EPOCH).ok()?;
        let ready = Timestamp(written.as_nanos() as i64).plus(delay);
        // By a clock that was set back it may seem written in the future.
        let wait = Duration::from_nanos(u64::try_from(ready.0.saturating_sub(turns.wall.0)).unwrap_or(0)).min(delay);
        (!wait.is_zero()).then_some(wait)
    }

    pub(super) fn packed_turn(&mut self, path: &Path, format: Format, turns: &mut Turns, lines: &mut dyn Lines) -> io::Result<Turn> {
        if matches!(self.content, Content::Unpacked) {
            if std::fs::metadata(path)?.len() == self.size {
                return Ok(Turn::End);
            }
            self.content = Content::Closed;
        }
        if matches!(self.content, Content::Closed) {
            if Arc::strong_count(&turns.unpacking) > UNPACKING_MAX {
                return Ok(Turn::Pause(TURN_WAIT));
            }
            if self.packed_as.is_none() && self.open_own()?.is_none() {
                return Ok(Turn::Replaced);
            }
            let (file, meta) = siblings::open(path)?;
            self.size = meta.len();
            self.content = Content::Unpacking(Box::new(Unpacker::new(file, format)?), turns.unpacking.clone());
        }
        let Content::Unpacking(mut unpacker, held) = std::mem::replace(&mut self.content, Content::Unpacked) else { return Ok(Turn::End) };
        let turn = self.unpack(&mut unpacker, turns, lines);
        if !matches!(turn, Turn::End) {
            self.content = Content::Unpacking(unpacker, held);
        }
        Ok(turn)
    }

    /// Hands out a piece. A damaged file ends where the damage begins; it is read on when it changes.
    fn unpack(&mut self, unpacker: &mut Unpacker, turns: &mut Turns, lines: &mut dyn Lines) -> Turn {
        if self.packed_as.is_some() && unpacker.start < self.offset {
            return Self::pass_over(unpacker, self.offset);
        }
        let mut whole = true;
        let mut want = PIECE_BYTES.min(turns.line_bytes_max);
        loop {
            if let Err(error) = unpacker.fill(want) {
                whole = false;
                turns.stats.unreadable += 1;
                warn!(path = %self.path.display(), %error, "cannot decompress the rest of a file");
            }
            if unpacker.ended || want == turns.line_bytes_max || self.coding.line_end(&unpacker.pending).is_some() {
                break;
            }
            want = (want * 2).min(turns.line_bytes_max);
        }
        let handed = self.hand_out_unpacked(unpacker, whole, turns, lines);
        unpacker.consume(handed.bytes);
        match handed.flow {
            Flow::NoRoom => Turn::NoRoom,
            Flow::Pause(wait) => Turn::Pause(wait),
            Flow::Go if unpacker.ended => Turn::End,
            Flow::Go => Turn::More,
        }
    }

    /// Gets a piece nearer to the byte where an earlier reading ended.
    fn pass_over(unpacker: &mut Unpacker, offset: u64) -> Turn {
        let filled = unpacker.fill(PIECE_BYTES);
        let over = unpacker.pending.len().min((offset - unpacker.start) as usize);
        unpacker.consume(over);
        // Damaged, or shorter than it was.
        if filled.is_err() || (over == 0 && unpacker.ended) { Turn::End } else { Turn::More }
    }

    fn hand_out_unpacked(&mut self, unpacker: &mut Unpacker, whole: bool, turns: &mut Turns, lines: &mut dyn Lines) -> Handed {
        let (coding, mark) = if unpacker.start == 0 { self.target.coding.of_file(&unpacker.pending) } else { (self.coding, 0) };
        self.coding = coding;
        unpacker.consume(mark);
        let (id, start, pending) = (self.id, unpacker.start, &unpacker.pending[..]);
        let (by_bytes, done, mut number) = (self.packed_as.is_some(), self.offset, unpacker.lines);
        let mut line = |at: usize, text: &str| {
            let place = if by_bytes { start + at as u64 } else { number };
            let flow = if place < done { Flow::Go } else { lines.line(id, place, text) };
            number += u64::from(flow != Flow::NoRoom);
            flow
        };
        let mut handed = hand_out(pending, coding, &mut line);
        let left = &pending[handed.bytes..];
        let too_long = handed.bytes == 0 && left.len() >= turns.line_bytes_max;
        if handed.flow == Flow::Go && !left.is_empty() && (too_long || (unpacker.ended && whole)) {
            let piece = if unpacker.ended { left.len() } else { coding.cut(left, turns.line_bytes_max) };
            let base = handed.bytes;
            handed = handed.and(hand_out_whole(&left[..piece], coding, &mut |at, text| line(base + at, text)));
            turns.stats.long_line_pieces += u64::from(too_long);
        }
        unpacker.lines = number;
        self.offset = done.max(if by_bytes { start + handed.bytes as u64 } else { number });
        if !by_bytes {
            handed.lines = self.offset - done;
        }
        self.count(&handed, turns);
        handed
    }
}
