use super::{Column, SPARSE_BELOW, Sparse, Values, is_few, present, start_of};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Collects the values of one column row by row; rows left out are empty.
///
/// Memory is proportional to the values set.
#[derive(Debug, Clone, Default)]
pub struct ColumnBuilder {
    /// Numbers of the rows with a value, once they are few.
    rows: Option<Vec<u32>>,
    /// Ends of the values of `rows`; of all rows so far without it.
    ends: Vec<u32>,
    bytes: Vec<u8>,
    present: usize,
}

impl ColumnBuilder {
    /// Sets the value of `row`, leaving empty what lies between the last row set and `row`. An empty value is none.
    ///
    /// Rows come in ascending order, each once. Panics when there are 4 Gi rows or bytes of values.
    #[inline]
    pub fn set(&mut self, row: usize, value: &[u8]) {
        if value.is_empty() {
            return;
        }
        self.reach(row);
        self.bytes.extend_from_slice(value);
        self.ends.push(u32::try_from(self.bytes.len()).expect("a column holds less than 4 GiB of values"));
        self.present += 1;
        if let Some(rows) = &mut self.rows {
            rows.push(u32::try_from(row).expect("a column has less than 4 Gi rows"));
        }
    }

    /// Sets rows from `first_row` on to the values of rows `range` of `column`.
    pub fn extend(&mut self, first_row: usize, column: &Column, range: Range<usize>) {
        if range.len() == 1 {
            return self.set(first_row, column.value(range.start));
        }
        if let Values::Plain { ends, bytes } = &column.values
            && !range.is_empty()
        {
            let start = start_of(ends, range.start);
            let ends = &ends[range.clone()];
            let present = present::count(ends, start);
            if present == 0 {
                return;
            }
            self.reach(first_row);
            if self.rows.is_none() {
                let end = ends.last().copied().unwrap_or(start);
                let base = u32::try_from(self.bytes.len()).expect("a column holds less than 4 GiB of values");
                assert!(base.checked_add(end - start).is_some(), "a column holds less than 4 GiB of values");
                self.ends.extend(ends.iter().map(|end| end - start + base));
                self.bytes.extend_from_slice(&bytes[start as usize..end as usize]);
                self.present += present;
                return;
            }
        }
        column.present(range.clone()).for_each(|(row, value)| self.set(first_row + row - range.start, value));
    }

    /// Whether no value was set.
    pub fn is_empty(&self) -> bool {
        self.present == 0
    }

    /// Fills up to `row`, or begins to keep the numbers of rows where that would cost more than a few ends per value.
    #[inline]
    fn reach(&mut self, row: usize) {
        debug_assert!(
            match &self.rows {
                Some(rows) => rows.last().is_none_or(|last| (*last as usize) < row),
                None => self.ends.len() <= row || present::count(&self.ends[row..], start_of(&self.ends, row)) == 0,
            },
            "rows come in ascending order, each once"
        );
        if self.rows.is_some() {
            return;
        }
        if row < SPARSE_BELOW * (self.present + 1) {
            self.ends.resize(row, self.bytes.len() as u32);
        } else {
            let (rows, ends) = present_ends(&self.ends, self.present);
            (self.rows, self.ends) = (Some(rows), ends);
        }
    }

    /// The column over `rows` rows.
    pub fn finish(self, name: Arc<str>, derived: bool, rows: usize) -> Column {
        let ColumnBuilder { rows: numbers, mut ends, mut bytes, present } = self;
        let values = if is_few(present, rows) {
            let (mut numbers, mut ends) = match numbers {
                Some(numbers) => (numbers, ends),
                None => present_ends(&ends, present),
            };
            numbers.shrink_to_fit();
            ends.shrink_to_fit();
            bytes.shrink_to_fit();
            Values::Sparse(Sparse { len: rows, rows: numbers, ends, bytes })
        } else {
            if let Some(numbers) = numbers {
                ends = all_ends(&numbers, &ends, rows);
            }
            ends.resize(rows, bytes.len() as u32);
            Values::Plain { ends, bytes }
        };
        Column { name, derived, values }
    }
}

/// Ends of the values of all rows up to the last with a value, from those of the rows `present`.
fn all_ends(present: &[u32], ends: &[u32], rows: usize) -> Vec<u32> {
    let (mut all, mut start) = (Vec::with_capacity(rows), 0);
    for (row, end) in present.iter().zip(ends) {
        all.resize(*row as usize, start);
        all.push(*end);
        start = *end;
    }
    all
}

/// Rows with a value, and the ends of their values, from the ends of all; `present` of them are not empty.
pub(super) fn present_ends(all: &[u32], present: usize) -> (Vec<u32>, Vec<u32>) {
    let (mut rows, mut ends, mut start) = (Vec::with_capacity(present), Vec::with_capacity(present), 0);
    for (row, end) in all.iter().enumerate() {
        if std::mem::replace(&mut start, *end) != *end {
            rows.push(u32::try_from(row).expect("a column has less than 4 Gi rows"));
            ends.push(*end);
        }
    }
    (rows, ends)
}

/// Collects columns by name, pushed and derived ones apart.
#[derive(Debug, Clone, Default)]
pub struct ColumnsBuilder {
    list: Vec<(Arc<str>, bool, ColumnBuilder)>,
    /// Places of pushed and of derived names.
    places: [BTreeMap<Arc<str>, usize>; 2],
    /// The place after the one asked for last: columns usually come in the same order again.
    next: usize,
}

impl ColumnsBuilder {
    /// Number of columns.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is no column.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The column of a name, made if need be.
    pub fn column(&mut self, name: &Arc<str>, derived: bool) -> &mut ColumnBuilder {
        let at = self.find(name, derived).unwrap_or_else(|| self.add(name.clone(), derived));
        &mut self.list[at].2
    }

    /// The column of a name that may be new as text.
    pub fn column_named(&mut self, name: &str, derived: bool) -> &mut ColumnBuilder {
        let at = self.find(name, derived).unwrap_or_else(|| self.add(name.into(), derived));
        &mut self.list[at].2
    }

    fn find(&mut self, name: &str, derived: bool) -> Option<usize> {
        let is_it = |at: usize| self.list.get(at).is_some_and(|(known, of, _)| **known == *name && *of == derived);
        let guess = [self.next, 0].into_iter().find(|at| is_it(*at));
        let at = guess.or_else(|| self.places[usize::from(derived)].get(name).copied())?;
        self.next = at + 1;
        Some(at)
    }

    fn add(&mut self, name: Arc<str>, derived: bool) -> usize {
        let at = self.list.len();
        self.places[usize::from(derived)].insert(name.clone(), at);
        self.list.push((name, derived, ColumnBuilder::default()));
        self.next = at + 1;
        at
    }

    /// The columns that have a value, over `rows` rows, in the order in which they were made.
    pub fn finish(self, rows: usize) -> Vec<Column> {
        let used = self.list.into_iter().filter(|(_, _, builder)| !builder.is_empty());
        used.map(|(name, derived, builder)| builder.finish(name, derived, rows)).collect()
    }
}
