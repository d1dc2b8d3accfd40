use skald_model::{Column, Labels, Rows};
use std::borrow::Cow;
use std::ops::Range;

/// A run of rows of one stream, as columns that somebody else holds.
///
/// Row `i` of the batch is row `column_offset + i` of each column.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// Labels of the stream.
    pub labels: &'a Labels,
    /// Nanoseconds since 1970 of each row; their number is the number of rows.
    pub timestamps: &'a [i64],
    /// Lines, where [`Needs::lines`](super::Needs::lines) asks for them.
    pub lines: Option<Lines<'a>>,
    /// Structured metadata; a row without a name has the empty value.
    pub columns: &'a [Column],
    /// Row of the columns that is the batch's first.
    pub column_offset: usize,
}

/// Lines of a batch, end to end.
#[derive(Debug, Clone, Copy)]
pub struct Lines<'a> {
    /// All lines, nothing between them. May be empty where only lengths are needed.
    pub bytes: &'a [u8],
    /// Where the first line begins.
    pub start: u32,
    /// End of each line; as many as there are rows, ascending.
    pub ends: &'a [u32],
}

impl<'a> Lines<'a> {
    /// Where line `row` begins.
    #[inline]
    pub fn start_of(&self, row: usize) -> usize {
        if row == 0 { self.start as usize } else { self.ends[row - 1] as usize }
    }

    /// Line `row`.
    #[inline]
    pub fn line(&self, row: usize) -> &'a [u8] {
        &self.bytes[self.start_of(row)..self.ends[row] as usize]
    }

    /// Length of line `row`.
    #[inline]
    pub fn line_len(&self, row: usize) -> usize {
        self.ends[row] as usize - self.start_of(row)
    }

    /// Bytes of the lines `rows`.
    #[inline]
    pub fn byte_len(&self, rows: Range<usize>) -> usize {
        if rows.is_empty() { 0 } else { self.ends[rows.end - 1] as usize - self.start_of(rows.start) }
    }
}

impl<'a> Batch<'a> {
    /// All of `rows`.
    pub fn new(labels: &'a Labels, rows: &'a Rows) -> Self {
        let lines = Lines { bytes: rows.line_bytes(), start: 0, ends: rows.line_ends() };
        Batch { labels, timestamps: rows.timestamps(), lines: Some(lines), columns: rows.columns(), column_offset: 0 }
    }

    /// Some consecutive rows of this batch.
    pub fn slice(&self, rows: Range<usize>) -> Batch<'a> {
        let lines = self.lines.map(|lines| Lines {
            bytes: lines.bytes,
            start: if rows.start == 0 { lines.start } else { lines.ends[rows.start - 1] },
            ends: &lines.ends[rows.clone()],
        });
        let column_offset = self.column_offset + rows.start;
        Batch { timestamps: &self.timestamps[rows], lines, column_offset, ..*self }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Line of `row`, empty without lines or where only their lengths are known.
    #[inline]
    pub(crate) fn line(&self, row: usize) -> &'a [u8] {
        self.lines.filter(|lines| !lines.bytes.is_empty()).map_or(&[][..], |lines| lines.line(row))
    }
}

/// Which rows of a batch are still in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Every row.
    All,
    /// These rows, ascending, each once.
    Rows(Vec<u32>),
}

impl Selection {
    /// Number of rows, in a batch of `len` rows.
    pub fn len(&self, len: usize) -> usize {
        match self {
            Selection::All => len,
            Selection::Rows(rows) => rows.len(),
        }
    }

    /// Whether no row of a batch of `len` rows is in.
    pub fn is_empty(&self, len: usize) -> bool {
        self.len(len) == 0
    }

    /// The rows, ascending.
    pub fn iter(&self, len: usize) -> impl DoubleEndedIterator<Item = usize> + '_ {
        let (all, some) = match self {
            Selection::All => (0..len, &[][..]),
            Selection::Rows(rows) => (0..0, rows.as_slice()),
        };
        all.chain(some.iter().map(|row| *row as usize))
    }

    /// Maximal runs of consecutive rows, ascending.
    pub(crate) fn runs(&self, len: usize) -> impl Iterator<Item = Range<usize>> + '_ {
        let mut at = 0;
        std::iter::from_fn(move || match self {
            Selection::All => (at == 0 && len > 0).then(|| {
                at = 1;
                0..len
            }),
            Selection::Rows(rows) => {
                let first = *rows.get(at)? as usize;
                let mut count = 1;
                while rows.get(at + count).is_some_and(|row| *row as usize == first + count) {
                    count += 1;
                }
                at += count;
                Some(first..first + count)
            }
        })
    }

    /// The rows for which `keep` holds.
    pub(crate) fn filter(&self, len: usize, mut keep: impl FnMut(usize) -> bool) -> Selection {
        Selection::Rows(self.iter(len).filter(|row| keep(*row)).map(|row| row as u32).collect())
    }
}

/// What a batch cost and gave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Rows looked at.
    pub rows: u64,
    /// Rows that passed the pipeline.
    pub matched: u64,
    /// Bytes of lines searched or parsed.
    pub line_bytes: u64,
}

impl Stats {
    /// Adds what another batch cost and gave.
    pub fn add(&mut self, other: Stats) {
        self.rows += other.rows;
        self.matched += other.matched;
        self.line_bytes += other.line_bytes;
    }
}

/// Bytes as text; what is not UTF-8 becomes U+FFFD.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_known_length_and_unknown_bytes_are_empty() {
        let labels = Labels::from_pairs([("a", "b")]).expect("one label");
        let lines = Lines { bytes: &[], start: 3, ends: &[5, 9] };
        let batch = Batch { labels: &labels, timestamps: &[1, 2], lines: Some(lines), columns: &[], column_offset: 0 };
        assert_eq!((batch.line(1), lines.line_len(1)), (&[][..], 4));
    }
}
