use std::sync::Arc;

/// One metadata name over a number of rows. A row without the name has the empty value.
///
/// Columns with few distinct values keep each value once and a number per row ([`Column::dictionary`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    name: Arc<str>,
    derived: bool,
    values: Values,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Values {
    Plain { ends: Vec<u32>, bytes: Vec<u8> },
    Dictionary { ids: Vec<u32>, ends: Vec<u32>, bytes: Vec<u8> },
}

impl Column {
    /// A column of one value a row; value `i` ends at `ends[i]` in `bytes`.
    ///
    /// `derived` marks what the server found out by itself (such as `detected_level`); it is no part of an entry's identity.
    /// Panics when `ends` decrease or pass the length of `bytes`.
    pub fn plain(name: Arc<str>, derived: bool, ends: Vec<u32>, bytes: Vec<u8>) -> Self {
        assert_ends(&ends, bytes.len());
        Column { name, derived, values: Values::Plain { ends, bytes } }
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
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Value in `row`, empty when the row has none. Panics when `row` is past the end.
    #[inline]
    pub fn value(&self, row: usize) -> &[u8] {
        match &self.values {
            Values::Plain { ends, bytes } => word(ends, bytes, row),
            Values::Dictionary { ids, ends, bytes } => word(ends, bytes, ids[row] as usize),
        }
    }

    /// The number of each row's word, and the words by number, for a column that keeps each value once.
    pub fn dictionary(&self) -> Option<(&[u32], Vec<&[u8]>)> {
        match &self.values {
            Values::Plain { .. } => None,
            Values::Dictionary { ids, ends, bytes } => Some((ids, (0..ends.len()).map(|i| word(ends, bytes, i)).collect())),
        }
    }

    /// Bytes held by values and their bounds.
    pub fn heap_bytes(&self) -> usize {
        match &self.values {
            Values::Plain { ends, bytes } => 4 * ends.capacity() + bytes.capacity(),
            Values::Dictionary { ids, ends, bytes } => 4 * (ids.capacity() + ends.capacity()) + bytes.capacity(),
        }
    }
}

fn assert_ends(ends: &[u32], len: usize) {
    assert!(ends.is_sorted() && ends.last().is_none_or(|end| *end as usize <= len), "value ends ascend within the bytes");
}

#[inline]
fn word<'a>(ends: &[u32], bytes: &'a [u8], i: usize) -> &'a [u8] {
    let start = if i == 0 { 0 } else { ends[i - 1] as usize };
    &bytes[start..ends[i] as usize]
}

/// Collects the values of one column row by row; rows left out are empty.
#[derive(Debug, Clone, Default)]
pub struct ColumnBuilder {
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

impl ColumnBuilder {
    /// Sets the value of `row`, leaving empty what lies between the last row set and `row`.
    ///
    /// Rows come in ascending order, each once.
    pub fn set(&mut self, row: usize, value: &[u8]) {
        debug_assert!(row >= self.ends.len(), "rows come in ascending order, each once");
        self.pad(row);
        self.bytes.extend_from_slice(value);
        self.ends.push(self.bytes.len() as u32);
    }

    /// Number of rows so far.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether no row was set.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn pad(&mut self, rows: usize) {
        self.ends.resize(rows, self.bytes.len() as u32);
    }

    /// The column over `rows` rows.
    pub fn finish(mut self, name: Arc<str>, derived: bool, rows: usize) -> Column {
        self.pad(rows);
        Column::plain(name, derived, self.ends, self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_left_out_are_empty() {
        let mut builder = ColumnBuilder::default();
        builder.set(1, b"one");
        builder.set(3, b"three");
        let column = builder.finish("n".into(), false, 5);
        let values: Vec<_> = (0..5).map(|row| column.value(row)).collect();
        assert_eq!(values, [&b""[..], b"one", b"", b"three", b""]);
    }

    #[test]
    fn dictionary_and_plain_answer_alike() {
        let column = Column::dictionary_of("n".into(), true, vec![1, 0, 1], vec![0, 2], b"ab".to_vec());
        assert_eq!((column.value(0), column.value(1), column.value(2)), (&b"ab"[..], &b""[..], &b"ab"[..]));
        let (ids, words) = column.dictionary().expect("made as one");
        assert_eq!((ids, words), (&[1, 0, 1][..], vec![&b""[..], b"ab"]));
    }
}
