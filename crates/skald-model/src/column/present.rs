use super::{Column, Values, start_of, word};
use crate::Rows;
use std::ops::Range;

/// Rows of a column that have a value, and their values; see [`Column::present`].
#[derive(Debug, Clone)]
pub struct Present<'a>(Form<'a>);

#[derive(Debug, Clone)]
enum Form<'a> {
    /// The next row, and where its value begins.
    Plain {
        row: usize,
        start: u32,
        ends: std::slice::Iter<'a, u32>,
        bytes: &'a [u8],
    },
    Dictionary {
        row: usize,
        ids: std::slice::Iter<'a, u32>,
        ends: &'a [u32],
        bytes: &'a [u8],
    },
    /// Where the next value begins.
    Sparse {
        start: u32,
        rows: std::slice::Iter<'a, u32>,
        ends: std::slice::Iter<'a, u32>,
        bytes: &'a [u8],
    },
}

impl<'a> Present<'a> {
    pub(super) fn new(values: &'a Values, range: Range<usize>) -> Self {
        Present(match values {
            Values::Plain { ends, bytes } => {
                let start = if range.is_empty() { 0 } else { start_of(ends, range.start) };
                Form::Plain { row: range.start, start, ends: ends[range].iter(), bytes }
            }
            Values::Dictionary { ids, ends, bytes } => Form::Dictionary { row: range.start, ids: ids[range].iter(), ends, bytes },
            Values::Sparse(sparse) => {
                assert!(range.end <= sparse.len, "rows to {} of a column of {} rows", range.end, sparse.len);
                let place = |row: usize| sparse.rows.partition_point(|present| (*present as usize) < row);
                let places = if range.is_empty() { 0..0 } else { place(range.start)..place(range.end) };
                let start = if places.is_empty() { 0 } else { start_of(&sparse.ends, places.start) };
                Form::Sparse { start, rows: sparse.rows[places.clone()].iter(), ends: sparse.ends[places].iter(), bytes: &sparse.bytes }
            }
        })
    }
}

impl<'a> Iterator for Present<'a> {
    type Item = (usize, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Form::Plain { row, start, ends, bytes } => {
                for end in ends {
                    let (at, from) = (*row, *start);
                    (*row, *start) = (at + 1, *end);
                    if from != *end {
                        return Some((at, &bytes[from as usize..*end as usize]));
                    }
                }
                None
            }
            Form::Dictionary { row, ids, ends, bytes } => {
                for id in ids {
                    let (at, value) = (*row, word(ends, bytes, *id as usize));
                    *row += 1;
                    if !value.is_empty() {
                        return Some((at, value));
                    }
                }
                None
            }
            Form::Sparse { start, rows, ends, bytes } => {
                let (row, end) = (rows.next()?, ends.next()?);
                let from = std::mem::replace(start, *end);
                Some((*row as usize, &bytes[from as usize..*end as usize]))
            }
        }
    }
}

/// Number of values that are not empty, where the first begins at `start`.
pub(super) fn count(ends: &[u32], start: u32) -> usize {
    let first = ends.first().is_some_and(|end| *end != start);
    usize::from(first) + ends.windows(2).filter(|two| two[0] != two[1]).count()
}

/// Which columns have a value in which row: looking through the columns of every row costs rows × names, this the values that are present.
///
/// Cost: four bytes per row, and per value in columns where few rows have one; nothing without such columns.
#[derive(Debug, Clone, Default)]
pub struct PresentColumns {
    /// Columns in which many rows have a value, to be looked at for every row.
    dense: Vec<u32>,
    /// Where the row's columns end in `sparse`.
    ends: Vec<u32>,
    sparse: Vec<u32>,
}

impl PresentColumns {
    /// Of all rows. Panics when there are 4 Gi values or more.
    pub fn new(rows: &Rows) -> Self {
        let is_sparse = |at: &u32| matches!(rows.columns()[*at as usize].values, Values::Sparse(_));
        let (sparse_columns, dense): (Vec<u32>, Vec<u32>) = (0..rows.columns().len() as u32).partition(is_sparse);
        if sparse_columns.is_empty() {
            return PresentColumns { dense, ..PresentColumns::default() };
        }
        let present = |at: &u32| rows.columns()[*at as usize].present(0..rows.len());
        let mut ends = vec![0u32; rows.len() + 1];
        sparse_columns.iter().flat_map(present).for_each(|(row, _)| ends[row + 1] += 1);
        let total = ends.iter_mut().fold(0u32, |sum, count| {
            *count = sum.checked_add(*count).expect("a batch of rows has less than 4 Gi values");
            *count
        });
        // Each row's end begins at its start, and moves behind every column that is added.
        ends.pop();
        let mut sparse = vec![0; total as usize];
        for column in &sparse_columns {
            for (row, _) in present(column) {
                sparse[ends[row] as usize] = *column;
                ends[row] += 1;
            }
        }
        PresentColumns { dense, ends, sparse }
    }

    /// Places of the columns in which many rows have a value; a row may have none there.
    pub fn dense(&self) -> &[u32] {
        &self.dense
    }

    /// Places of the other columns that have a value in `row`, ascending.
    #[inline]
    pub fn sparse(&self, row: usize) -> &[u32] {
        if self.ends.is_empty() { &[] } else { &self.sparse[start_of(&self.ends, row) as usize..self.ends[row] as usize] }
    }

    /// Columns of `columns`, those that this was made of, which have a value in `row`: their places and the values.
    pub fn values<'a>(&'a self, columns: &'a [Column], row: usize) -> impl Iterator<Item = (usize, &'a [u8])> + Clone {
        let places = self.dense.iter().chain(self.sparse(row)).map(|at| *at as usize);
        places.map(move |at| (at, columns[at].value(row))).filter(|(_, value)| !value.is_empty())
    }
}
