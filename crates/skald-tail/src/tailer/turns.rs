//! Reading: a bounded piece of each file, in turn.

use super::{Closed, Lines, Tailer};
use crate::position::FileId;
use crate::reading::{Content, Place, Turn};
use std::time::Duration;
use tracing::warn;

/// Bytes after which a round ends though more could be read, so that changes of files are not left waiting.
const ROUND_BYTES: u64 = 8 << 20;

/// How long a file is left alone that could not be read.
const FAILURE_PAUSE: Duration = Duration::from_secs(5);

impl Tailer {
    pub(super) fn read(&mut self, lines: &mut dyn Lines) {
        self.stalled = false;
        let end = self.turns.stats.bytes + ROUND_BYTES;
        for _ in 0..self.ready.len() {
            let Some(id) = self.ready.pop_front() else { break };
            if !self.turn(id, lines) {
                self.stalled = true;
                self.note_heads();
                break;
            }
            if self.turns.stats.bytes >= end {
                break;
            }
        }
    }

    /// Files that have to wait are known by their first bytes all the same, so that a truncation is seen and a copy is found.
    fn note_heads(&mut self) {
        for id in &self.ready {
            if let Some(reading) = self.readings.get_mut(id) {
                reading.note_head();
            }
        }
    }

    /// False: there is no room for lines.
    fn turn(&mut self, id: FileId, lines: &mut dyn Lines) -> bool {
        let Some(turn) = self.hand_out(id, false, lines) else { return true };
        match turn {
            Turn::More => self.enqueue(id),
            Turn::End => return self.at_end(id, lines),
            Turn::NoRoom => return self.no_room(id),
            Turn::Pause(wait) => self.pause(id, wait),
            Turn::Replaced => self.replaced(id, lines),
            Turn::Missing => self.missing(id, lines),
            Turn::Failed(error) => {
                self.turns.stats.failures += 1;
                if let Some(reading) = self.readings.get(&id) {
                    warn!(path = %reading.path.display(), %error, "cannot read a file");
                }
                self.pause(id, FAILURE_PAUSE);
            }
        }
        true
    }

    fn hand_out(&mut self, id: FileId, rest: bool, lines: &mut dyn Lines) -> Option<Turn> {
        let reading = self.readings.get_mut(&id)?;
        reading.queued = false;
        let before = reading.offset;
        let turn = reading.turn(rest, &mut self.turns, lines);
        if reading.offset != before {
            lines.caught_up(id, &reading.position());
        }
        Some(turn)
    }

    fn no_room(&mut self, id: FileId) -> bool {
        if let Some(reading) = self.readings.get_mut(&id) {
            reading.queued = true;
            self.ready.push_front(id);
        }
        false
    }

    fn pause(&mut self, id: FileId, wait: Duration) {
        if let Some(reading) = self.readings.get_mut(&id) {
            reading.not_before = self.turns.now + wait;
            self.enqueue(id);
        }
    }

    /// Lets go of a file that is at its end and has no path, when nothing was added for long enough. False: there is no room for its last line.
    fn at_end(&mut self, id: FileId, lines: &mut dyn Lines) -> bool {
        let open = self.turns.descriptors();
        let Some(reading) = self.readings.get_mut(&id) else { return true };
        let (since, why) = match reading.place {
            Place::At => {
                if open > self.config.descriptors() && matches!(reading.content, Content::Plain(_)) {
                    reading.content = Content::Closed;
                }
                return true;
            }
            Place::Gone { since } => (since, Closed::Finished),
            Place::Unwanted { since } => (since, Closed::TargetGone),
        };
        if self.turns.now < since.max(reading.active) + self.config.drain_idle {
            return true;
        }
        match self.hand_out(id, true, lines) {
            Some(Turn::NoRoom) => return self.no_room(id),
            // More may have come in this moment.
            Some(Turn::More) => self.enqueue(id),
            _ => self.close(id, why, lines),
        }
        true
    }

    /// A file was not where it was when it was to be opened.
    fn missing(&mut self, id: FileId, lines: &mut dyn Lines) {
        let Some(reading) = self.readings.get(&id) else { return };
        if reading.is_at() {
            self.leave_place(id);
        } else if !self.find_again(id) {
            self.turns.stats.lost += 1;
            self.close(id, Closed::Lost, lines);
        } else {
            self.enqueue(id);
        }
    }
}
