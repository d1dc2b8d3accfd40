//! Lines that container runtimes have cut in pieces.

use crate::stage::Work;
use crate::{LabelSet, Mark};
use skald_model::Timestamp;

/// Bytes of pieces that one source may hold. A line that grows beyond goes out in parts.
const PENDING_BYTES_MAX: usize = 4 << 20;

/// Pieces of lines whose last piece has not come, one line per label set.
pub(super) struct Partials {
    /// The first piece of each, with the text of all so far; in the order in which they began.
    pending: Vec<Work>,
    bytes: usize,
    lines_max: usize,
    /// Bytes of a line that are kept; the rest is cut.
    line_bytes_max: usize,
}

impl Partials {
    pub(super) fn new(lines_max: usize, line_bytes_max: usize) -> Self {
        Partials { pending: Vec::new(), bytes: 0, lines_max, line_bytes_max }
    }

    /// Keeps a piece that is not the last. When there are too many lines or bytes, all go out as they are.
    pub(super) fn add(&mut self, mut work: Work, released: &mut Vec<Work>) {
        match self.place(&work.entry.labels) {
            Some(at) => {
                let first = &mut self.pending[at];
                first.mark = first.mark.min(work.mark);
                let line = &mut first.entry.line;
                let before = line.len();
                append(line, &work.entry.line, self.line_bytes_max);
                self.bytes += line.len() - before;
            }
            None => {
                if self.pending.len() >= self.lines_max {
                    self.flush(released);
                }
                let line = &mut work.entry.line;
                line.truncate(line.floor_char_boundary(self.line_bytes_max));
                self.bytes += line.len();
                self.pending.push(work);
            }
        }
        if self.bytes > PENDING_BYTES_MAX {
            self.flush(released);
        }
    }

    /// Puts the pieces before a last one in front of it.
    pub(super) fn complete(&mut self, mut last: Work) -> Work {
        if self.pending.is_empty() {
            return last;
        }
        if let Some(at) = self.place(&last.entry.labels) {
            let first = self.pending.remove(at);
            self.bytes -= first.entry.line.len();
            let mut line = first.entry.line;
            append(&mut line, &last.entry.line, self.line_bytes_max);
            last.entry.line = line;
            last.mark = last.mark.min(first.mark);
        }
        last
    }

    pub(super) fn flush(&mut self, released: &mut Vec<Work>) {
        released.append(&mut self.pending);
        self.bytes = 0;
    }

    pub(super) fn oldest(&self) -> Option<Mark> {
        self.pending.iter().map(|work| work.mark).min()
    }

    fn place(&self, labels: &LabelSet) -> Option<usize> {
        self.pending.iter().position(|work| work.entry.labels.is_same(labels) || work.entry.labels == *labels)
    }
}

/// Appends what fits.
fn append(line: &mut String, piece: &str, most: usize) {
    let room = most.saturating_sub(line.len());
    line.push_str(if piece.len() <= room { piece } else { &piece[..piece.floor_char_boundary(room)] });
}

/// Reads the time of a line: RFC 3339 with a fraction of any length.
pub(super) fn read_time(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_the_nanosecond() {
        for (text, want) in [
            ("1970-01-01T00:00:01.000000001Z", Some(1_000_000_001)),
            ("1970-01-01T01:00:01.5+01:00", Some(1_500_000_000)),
            ("1969-12-31T23:59:59Z", Some(-1_000_000_000)),
            ("0001-01-01T00:00:00Z", None),
            ("yesterday", None),
        ] {
            assert_eq!(read_time(text).map(|time| time.0), want, "{text}");
        }
    }

    #[test]
    fn a_piece_is_cut_between_characters() {
        let mut line = "ab".to_owned();
        append(&mut line, "cäö", 6);
        assert_eq!(line, "abcä");
        append(&mut line, "x", 5);
        assert_eq!(line, "abcä");
    }
}
