mod builder;
mod present;
#[cfg(test)]
mod tests;

pub use builder::{ColumnBuilder, ColumnsBuilder};
pub use present::{Present, PresentColumns};

use std::ops::Range;
use std::sync::Arc;

/// A column keeps the numbers of the rows with a value, rather than a bound for every row, when less than one row in so many has one.
const SPARSE_BELOW: usize = 8;

/// What an allocation costs beside its bytes, about; it counts where columns have a value or two.
const ALLOCATION_BYTES: usize = 16;

/// One metadata name over a number of rows. A row without the name has the empty value.
///
/// Columns with few distinct values keep each value once and a number per row ([`Column::dictionary`]). Columns with few values
/// keep nothing for the other rows, so that memory is proportional to the values that are present. Columns are equal when their
/// values are, however they are kept.
#[derive(Debug, Clone)]
pub struct Column {
    name: Arc<str>,
    derived: bool,
    values: Values,
}

#[derive(Debug, Clone)]
enum Values {
    Plain { ends: Vec<u32>, bytes: Vec<u8> },
    Dictionary { ids: Vec<u32>, ends: Vec<u32>, bytes: Vec<u8> },
    Sparse(Sparse),
}

/// Values of few of `len` rows: value `i` is that of row `rows[i]`, ends at `ends[i]` in `bytes`, and is not empty.
#[derive(Debug, Clone)]
struct Sparse {
    len: usize,
    rows: Vec<u32>,
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

impl Column {
    /// A column of one value a row; value `i` ends at `ends[i]` in `bytes`.
    ///
    /// `derived` marks what the server found out by itself (such as `detected_level`); it is no part of an entry's identity.
    /// Panics when `ends` decrease or pass the length of `bytes`.
    pub fn plain(name: Arc<str>, derived: bool, ends: Vec<u32>, bytes: Vec<u8>) -> Self {
        assert_ends(&ends, bytes.len());
        let present = present::count(&ends, 0);
        let values = if is_few(present, ends.len()) {
            let len = ends.len();
            let (rows, ends) = builder::present_ends(&ends, present);
            Values::Sparse(Sparse { len, rows, ends, bytes })
        } else {
            Values::Plain { ends, bytes }
        };
        Column { name, derived, values }
    }

    /// A column of numbers into a dictionary; word `i` ends at `ends[i]` in `bytes`.
    ///
    /// Panics when an id has no word, or `ends` decrease or pass the length of `bytes`.
    pub fn dictionary_of(name: Arc<str>, derived: bool, ids: Vec<u32>, ends: Vec<u32>, bytes: Vec<u8>) -> Self {
        assert_ends(&ends, bytes.len());
        assert!(ids.iter().all(|id| (*id as usize) < ends.len()), "every id has a word");
        Column { name, derived, values: Values::Dictionary { ids, ends, bytes } }
    }

    /// Metadata name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether the server derived these values at push; they are then no part of an entry's identity.
    pub fn is_derived(&self) -> bool {
        self.derived
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match &self.values {
            Values::Plain { ends, .. } => ends.len(),
            Values::Dictionary { ids, .. } => ids.len(),
            Values::Sparse(sparse) => sparse.len,
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Value in `row`, empty when the row has none. Panics when `row` is past the end.
    ///
    /// Cost: constant, but a binary search where few rows have a value; [`Column::present`] is the way to see many.
    #[inline]
    pub fn value(&self, row: usize) -> &[u8] {
        match &self.values {
            Values::Plain { ends, bytes } => word(ends, bytes, row),
            Values::Dictionary { ids, ends, bytes } => word(ends, bytes, ids[row] as usize),
            Values::Sparse(sparse) => sparse.value(row),
        }
    }

    /// The rows of `range` that have a value, in order, with their values. Panics when the range passes the rows.
    ///
    /// Cost: proportional to the range, but to the values in it where few rows have one.
    pub fn present(&self, range: Range<usize>) -> Present<'_> {
        Present::new(&self.values, range)
    }

    /// All values end to end, for a column that keeps them so.
    pub fn value_bytes(&self) -> Option<&[u8]> {
        match &self.values {
            Values::Plain { ends, bytes } | Values::Sparse(Sparse { ends, bytes, .. }) => {
                Some(&bytes[..start_of(ends, ends.len()) as usize])
            }
            Values::Dictionary { .. } => None,
        }
    }

    /// Number of rows with a value.
    pub fn present_len(&self) -> usize {
        match &self.values {
            Values::Plain { ends, .. } => present::count(ends, 0),
            Values::Dictionary { .. } => self.present(0..self.len()).count(),
            Values::Sparse(sparse) => sparse.rows.len(),
        }
    }

    /// The number of each row's word, and the words by number, for a column that keeps each value once.
    pub fn dictionary(&self) -> Option<(&[u32], Vec<&[u8]>)> {
        match &self.values {
            Values::Plain { .. } | Values::Sparse(_) => None,
            Values::Dictionary { ids, ends, bytes } => Some((ids, (0..ends.len()).map(|i| word(ends, bytes, i)).collect())),
        }
    }

    /// Bytes held by the name, the values and their bounds, and about what their allocations cost beside.
    pub fn heap_bytes(&self) -> usize {
        let values = match &self.values {
            Values::Plain { ends, bytes } => 4 * ends.capacity() + bytes.capacity(),
            Values::Dictionary { ids, ends, bytes } => 4 * (ids.capacity() + ends.capacity()) + bytes.capacity(),
            Values::Sparse(sparse) => 4 * (sparse.rows.capacity() + sparse.ends.capacity()) + sparse.bytes.capacity(),
        };
        4 * ALLOCATION_BYTES + self.name.len() + values
    }
}

impl PartialEq for Column {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.derived, self.len()) == (&other.name, other.derived, other.len())
            && self.present(0..self.len()).eq(other.present(0..other.len()))
    }
}

impl Eq for Column {}

impl Sparse {
    fn value(&self, row: usize) -> &[u8] {
        assert!(row < self.len, "row {row} of a column of {} rows", self.len);
        let found = self.rows.binary_search_by(|present| (*present as usize).cmp(&row));
        found.map_or(&[], |at| word(&self.ends, &self.bytes, at))
    }
}

/// Whether so few of `rows` rows have a value that their numbers are kept.
fn is_few(present: usize, rows: usize) -> bool {
    present * SPARSE_BELOW < rows
}

fn assert_ends(ends: &[u32], len: usize) {
    assert!(ends.is_sorted() && ends.last().is_none_or(|end| *end as usize <= len), "value ends ascend within the bytes");
}

/// Where value `i` begins.
#[inline]
fn start_of(ends: &[u32], i: usize) -> u32 {
    if i == 0 { 0 } else { ends[i - 1] }
}

#[inline]
fn word<'a>(ends: &[u32], bytes: &'a [u8], i: usize) -> &'a [u8] {
    &bytes[start_of(ends, i) as usize..ends[i] as usize]
}
