use crate::{Column, ColumnBuilder, ColumnsBuilder, PresentColumns, Timestamp};
use std::ops::Range;

/// Entries of one stream as columns: timestamps, lines end to end, and one column per metadata name.
///
/// Rows keep the order in which they were added. Lines are bytes; they are text in practice. An entry's identity is its timestamp, line and the
/// columns that are not derived.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    timestamps: Vec<i64>,
    line_ends: Vec<u32>,
    lines: Vec<u8>,
    columns: Vec<Column>,
}

/// Why columns do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowsError {
    /// A column has another number of rows than there are timestamps.
    #[error("column '{name}' has {found} rows where {want} are expected")]
    Length {
        /// The column, or `line`.
        name: String,
        /// Its rows.
        found: usize,
        /// Number of timestamps.
        want: usize,
    },
    /// Bounds of lines decrease, or do not end where the bytes end.
    #[error("line bounds do not match {0} bytes of lines")]
    Bounds(usize),
}

impl Rows {
    /// Joins columns that come from elsewhere; line `i` ends at `line_ends[i]` in `lines`.
    ///
    /// # Errors
    /// When lengths or bounds do not fit.
    pub fn from_columns(timestamps: Vec<i64>, line_ends: Vec<u32>, lines: Vec<u8>, columns: Vec<Column>) -> Result<Self, RowsError> {
        let want = timestamps.len();
        let lengths = columns.iter().map(|c| (c.name().as_ref(), c.len())).chain([("line", line_ends.len())]);
        for (name, found) in lengths {
            if found != want {
                return Err(RowsError::Length { name: name.to_owned(), found, want });
            }
        }
        if !line_ends.is_sorted() || line_ends.last().map_or(0, |end| *end as usize) != lines.len() {
            return Err(RowsError::Bounds(lines.len()));
        }
        Ok(Rows { timestamps, line_ends, lines, columns })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Nanoseconds since 1970 of each row.
    pub fn timestamps(&self) -> &[i64] {
        &self.timestamps
    }

    /// End of each line in [`Rows::line_bytes`].
    pub fn line_ends(&self) -> &[u32] {
        &self.line_ends
    }

    /// All lines, one after the other, nothing between them.
    pub fn line_bytes(&self) -> &[u8] {
        &self.lines
    }

    /// Line of `row`. Panics when `row` is past the end.
    #[inline]
    pub fn line(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.line_ends[row - 1] as usize };
        &self.lines[start..self.line_ends[row] as usize]
    }

    /// Metadata columns. A name may come twice, once pushed and once derived; a row then has a value in at most one of the two.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Earliest and latest timestamp, `None` without rows.
    pub fn time_span(&self) -> Option<(Timestamp, Timestamp)> {
        let min = self.timestamps.iter().min()?;
        let max = self.timestamps.iter().max()?;
        Some((Timestamp(*min), Timestamp(*max)))
    }

    /// Whether timestamps never decrease.
    pub fn is_sorted(&self) -> bool {
        self.timestamps.is_sorted()
    }

    /// Bytes of lines, and of metadata names and values where present: what limits and rates call the size of entries, derived columns left out.
    pub fn pushed_bytes(&self) -> usize {
        self.lines.len() + self.pushed_values().map(|(_, bytes)| bytes).sum::<usize>()
    }

    /// [`Rows::pushed_bytes`] of each row.
    pub fn pushed_bytes_by_row(&self) -> Vec<usize> {
        let mut sizes: Vec<usize> = (0..self.len()).map(|row| self.line(row).len()).collect();
        self.pushed_values().for_each(|(row, bytes)| sizes[row] += bytes);
        sizes
    }

    /// Row and size, name included, of each pushed value.
    fn pushed_values(&self) -> impl Iterator<Item = (usize, usize)> {
        let pushed = self.columns.iter().filter(|column| !column.is_derived());
        pushed.flat_map(|column| column.present(0..column.len()).map(|(row, value)| (row, value.len() + column.name().len())))
    }

    /// Bytes of memory held.
    pub fn heap_bytes(&self) -> usize {
        8 * self.timestamps.capacity()
            + 4 * self.line_ends.capacity()
            + self.lines.capacity()
            + self.columns.iter().map(|c| c.heap_bytes() + std::mem::size_of::<Column>()).sum::<usize>()
    }

    /// The rows numbered in `order`, in that order; a number may come more than once.
    pub fn gather(&self, order: &[u32]) -> Rows {
        let present = PresentColumns::new(self);
        let mut builder = RowsBuilder::with_capacity(order.len(), 0);
        let mut columns = vec![ColumnBuilder::default(); self.columns.len()];
        for (new, row) in order.iter().enumerate() {
            builder.push(Timestamp(self.timestamps[*row as usize]), self.line(*row as usize));
            present.values(&self.columns, *row as usize).for_each(|(at, value)| columns[at].set(new, value));
        }
        let used = self.columns.iter().zip(columns).filter(|(_, builder)| !builder.is_empty());
        let columns = used.map(|(column, builder)| builder.finish(column.name().clone(), column.is_derived(), order.len())).collect();
        Rows { columns, ..builder.finish() }
    }

    /// The rows of `parts`, one part after the other.
    ///
    /// Panics when the lines together pass 4 GiB.
    pub fn concat(parts: &[&Rows]) -> Rows {
        let (rows, bytes) = parts.iter().fold((0, 0), |(r, b), part| (r + part.len(), b + part.lines.len()));
        let mut builder = RowsBuilder::with_capacity(rows, bytes);
        for part in parts {
            builder.extend(part, 0..part.len());
        }
        builder.finish()
    }

    /// The rows numbered `range`.
    pub fn slice(&self, range: Range<usize>) -> Rows {
        let mut builder = RowsBuilder::with_capacity(range.len(), 0);
        builder.extend(self, range);
        builder.finish()
    }

    /// Whether `row` here and `other_row` there are one entry: same timestamp, line and pushed metadata.
    pub fn same_entry(&self, row: usize, other: &Rows, other_row: usize) -> bool {
        self.timestamps[row] == other.timestamps[other_row]
            && self.line(row) == other.line(other_row)
            && same_metadata(&self.columns, row, &other.columns, other_row)
    }
}

/// Whether two rows have equal pushed metadata, in columns of any order.
fn same_metadata(one: &[Column], row: usize, two: &[Column], other_row: usize) -> bool {
    fn present(columns: &[Column], row: usize) -> impl Iterator<Item = (&str, &[u8])> + Clone {
        columns.iter().filter(|c| !c.is_derived()).map(move |c| (c.name().as_ref(), c.value(row))).filter(|(_, v)| !v.is_empty())
    }
    same_pairs(present(one, row), present(two, other_row))
}

/// Whether there are the same pairs on both sides, each name once, in any order.
pub fn same_pairs<'a>(
    one: impl Iterator<Item = (&'a str, &'a [u8])> + Clone,
    two: impl Iterator<Item = (&'a str, &'a [u8])> + Clone,
) -> bool {
    one.clone().eq(two.clone())
        || one.clone().count() == two.clone().count() && one.clone().all(|pair| two.clone().any(|other| other == pair))
}

/// Collects rows one by one.
#[derive(Debug, Clone, Default)]
pub struct RowsBuilder {
    timestamps: Vec<i64>,
    line_ends: Vec<u32>,
    lines: Vec<u8>,
    columns: ColumnsBuilder,
}

impl RowsBuilder {
    /// Room for `rows` rows with `line_bytes` bytes of lines.
    pub fn with_capacity(rows: usize, line_bytes: usize) -> Self {
        RowsBuilder {
            timestamps: Vec::with_capacity(rows),
            line_ends: Vec::with_capacity(rows),
            lines: Vec::with_capacity(line_bytes),
            columns: ColumnsBuilder::default(),
        }
    }

    /// Begins a row. Its metadata follow by [`RowsBuilder::set_metadata`].
    pub fn push(&mut self, timestamp: Timestamp, line: &[u8]) {
        self.timestamps.push(timestamp.0);
        self.lines.extend_from_slice(line);
        self.line_ends.push(u32::try_from(self.lines.len()).expect("a batch of rows holds less than 4 GiB of lines"));
    }

    /// Sets metadata of the row begun last; each name once a row (once pushed, once derived). An empty value is none.
    pub fn set_metadata(&mut self, name: &str, value: &[u8], derived: bool) {
        if value.is_empty() {
            return;
        }
        let row = self.timestamps.len() - 1;
        self.columns.column_named(name, derived).set(row, value);
    }

    /// Appends one row of `rows`.
    pub fn push_from(&mut self, rows: &Rows, row: usize) {
        self.push(Timestamp(rows.timestamps[row]), rows.line(row));
        let new = self.timestamps.len() - 1;
        for column in &rows.columns {
            let value = column.value(row);
            if !value.is_empty() {
                self.columns.column(column.name(), column.is_derived()).set(new, value);
            }
        }
    }

    /// Appends rows `range` of `rows`, column by column.
    pub fn extend(&mut self, rows: &Rows, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        let first_row = self.timestamps.len();
        self.timestamps.extend_from_slice(&rows.timestamps[range.clone()]);
        let start = if range.start == 0 { 0 } else { rows.line_ends[range.start - 1] };
        let end = rows.line_ends[range.end - 1];
        let base = u32::try_from(self.lines.len()).expect("a batch of rows holds less than 4 GiB of lines");
        assert!(base.checked_add(end - start).is_some(), "a batch of rows holds less than 4 GiB of lines");
        self.line_ends.extend(rows.line_ends[range.clone()].iter().map(|line_end| line_end - start + base));
        self.lines.extend_from_slice(&rows.lines[start as usize..end as usize]);
        for column in &rows.columns {
            if column.present(range.clone()).next().is_some() {
                self.columns.column(column.name(), column.is_derived()).extend(first_row, column, range.clone());
            }
        }
    }

    /// Number of rows so far.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether no row was pushed.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// The rows.
    pub fn finish(self) -> Rows {
        let rows = self.timestamps.len();
        let columns = self.columns.finish(rows);
        Rows { timestamps: self.timestamps, line_ends: self.line_ends, lines: self.lines, columns }
    }
}

#[cfg(test)]
mod tests;
