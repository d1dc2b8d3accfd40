//! Lines that container runtimes have cut in pieces.

use crate::stage::Work;
use crate::{LabelSet, Mark};
use jiff::civil::DateTime;
use jiff::tz::Offset;
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

/// Reads the time of a line, which is as RFC 3339 says. In UTC, as all runtimes write it, that takes few instructions.
pub(super) fn read_time(text: &str) -> Option<Timestamp> {
    let time = utc_time(text.as_bytes()).or_else(|| text.parse().ok())?;
    i64::try_from(time.as_nanosecond()).ok().map(Timestamp)
}

/// Reads `2006-01-02T15:04:05.999999999Z`, with a fraction of one to nine digits or none.
fn utc_time(text: &[u8]) -> Option<jiff::Timestamp> {
    let (seconds, rest) = text.split_at_checked(19)?;
    let fraction = rest.strip_suffix(b"Z")?;
    let [y @ .., b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', n1, n2, b':', s1, s2] = seconds else { return None };
    let two = |tens: &u8, ones: &u8| number(&[*tens, *ones]).map(|number| number as i8);
    let nanos = match fraction {
        [] => 0,
        [b'.', digits @ ..] if (1..=9).contains(&digits.len()) => number(digits)? * 10_i32.pow(9 - digits.len() as u32),
        _ => return None,
    };
    let time = DateTime::new(number(y)? as i16, two(m1, m2)?, two(d1, d2)?, two(h1, h2)?, two(n1, n2)?, two(s1, s2)?, nanos).ok()?;
    Offset::UTC.to_timestamp(time).ok()
}

/// Reads up to nine digits.
fn number(digits: &[u8]) -> Option<i32> {
    digits.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i32::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Entry;

    #[test]
    fn times_are_read_to_the_nanosecond() {
        for (text, want) in [
            ("1970-01-01T00:00:01.000000001Z", Some(1_000_000_001)),
            ("1970-01-01T01:00:01.5+01:00", Some(1_500_000_000)),
            ("1969-12-31T23:59:59Z", Some(-1_000_000_000)),
            ("2024-02-29T23:59:59.12Z", Some(1_709_251_199_120_000_000)),
            ("0001-01-01T00:00:00Z", None),
            ("2023-02-29T00:00:00Z", None),
            ("2024-05-06T24:00:00Z", None),
            ("2024-05-06T07:08:09.Z", None),
            ("2024-05-06T07:08:0xZ", None),
            ("yesterday", None),
        ] {
            assert_eq!(read_time(text).map(|time| time.0), want, "{text}");
        }
    }

    proptest::proptest! {
        #![proptest_config(skald_testkit::property(500))]

        #[test]
        fn the_short_way_reads_what_the_long_one_does(nanos: i64, digits in 0..10_usize) {
            let time = jiff::Timestamp::from_nanosecond(i128::from(nanos)).expect("64 bits of nanoseconds are a time");
            let text = format!("{time:.digits$}");
            let short = utc_time(text.as_bytes()).unwrap_or_else(|| panic!("{text} is a time"));
            proptest::prop_assert_eq!(Some(short), text.parse().ok());
        }
    }

    #[test]
    fn the_lowest_mark_of_all_pieces_counts() {
        let work = |mark| {
            Work::new(Entry { labels: LabelSet::new(), timestamp: Timestamp(0), line: "x".to_owned(), metadata: Vec::new() }, Mark(mark))
        };
        let mut partials = Partials::new(10, usize::MAX);
        for (mark, oldest) in [(5, 5), (3, 3), (4, 3)] {
            partials.add(work(mark), &mut Vec::new());
            assert_eq!(partials.oldest(), Some(Mark(oldest)));
        }
        assert_eq!(partials.complete(work(2)).mark, Mark(2));
        partials.add(work(1), &mut Vec::new());
        assert_eq!(partials.complete(work(2)).mark, Mark(1));
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
