use crate::digest::metadata_hashes;
use rustc_hash::FxHashMap;
use skald_model::{Column, ColumnBuilder, ErrorKind, PresentColumns, Rows, same_pairs};
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// Rows of one stream, sorted by time, then arrival, each entry once.
#[derive(Debug, Clone)]
pub struct Merged {
    /// The rows.
    pub rows: Rows,
    /// How many rows were left out because an earlier one is the same entry.
    pub duplicates: usize,
}

/// Why chunks were not merged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// Lines, values or rows pass what one batch can hold.
    #[error("chunks hold {0} bytes or rows, one batch holds less than 4 GiB")]
    TooLarge(u64),
}

impl MergeError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::TooLarge(_) => ErrorKind::TooLarge,
        }
    }
}

/// Runs of equal timestamps up to this long are compared pair by pair, longer ones by hash.
const PAIRWISE_MAX: usize = 8;

/// Sorts the rows of one stream, given in chunks in arrival order, by time and then arrival, and drops every row that is
/// the same entry as an earlier one.
///
/// Cost: one copy of the rows; chunks that are sorted and follow each other in time are neither compared nor hashed, and only rows of
/// equal timestamps are ever looked at for duplicates.
///
/// # Errors
/// When all chunks together pass what a batch of rows can hold.
pub fn merge_rows(chunks: &[&Rows]) -> Result<Merged, MergeError> {
    let bytes: u64 = chunks.iter().map(|chunk| (chunk.heap_bytes() + chunk.len()) as u64).sum();
    let lines: u64 = chunks.iter().map(|chunk| chunk.line_bytes().len() as u64).sum();
    if bytes - lines >= u64::from(u32::MAX) || lines >= u64::from(u32::MAX) {
        return Err(MergeError::TooLarge(bytes));
    }
    let order = order(chunks);
    let keep = unique(chunks, &order);
    let duplicates = keep.iter().filter(|keep| !**keep).count();
    let spans = spans(&order, &keep);
    Ok(Merged { rows: copy(chunks, &spans, order.len() - duplicates), duplicates })
}

/// A copy of some rows, such as one run of a decoded block. Panics when the range passes the rows.
pub fn slice_rows(rows: &Rows, range: Range<usize>) -> Rows {
    rows.slice(range)
}

/// A row: its time, chunk and number in the chunk.
#[derive(Clone, Copy)]
struct Place {
    at: i64,
    chunk: u32,
    row: u32,
}

fn order(chunks: &[&Rows]) -> Vec<Place> {
    let mut order = Vec::with_capacity(chunks.iter().map(|chunk| chunk.len()).sum());
    for (number, chunk) in chunks.iter().enumerate() {
        let places = chunk.timestamps().iter().enumerate();
        order.extend(places.map(|(row, at)| Place { at: *at, chunk: number as u32, row: row as u32 }));
    }
    // Stable, and linear on what is sorted already.
    order.sort_by_key(|place| place.at);
    order
}

/// Which places to keep.
fn unique(chunks: &[&Rows], order: &[Place]) -> Vec<bool> {
    let chunks: Vec<Chunk<'_>> = chunks.iter().map(|rows| Chunk::new(rows)).collect();
    let mut keep = vec![true; order.len()];
    let mut start = 0;
    for run in order.chunk_by(|one, two| one.at == two.at) {
        let keep = &mut keep[start..start + run.len()];
        match run.len() {
            1 => {}
            len if len <= PAIRWISE_MAX => drop_pairwise(&chunks, run, keep),
            _ => drop_by_hash(&chunks, run, keep),
        }
        start += run.len();
    }
    keep
}

/// A chunk, with what comparing its entries takes, worked out when one is first compared.
struct Chunk<'a> {
    rows: &'a Rows,
    present: OnceCell<PresentColumns>,
    hashes: OnceCell<Vec<u64>>,
}

impl<'a> Chunk<'a> {
    fn new(rows: &'a Rows) -> Self {
        Chunk { rows, present: OnceCell::new(), hashes: OnceCell::new() }
    }

    /// The pushed metadata of a row.
    fn metadata(&self, row: usize) -> impl Iterator<Item = (&str, &[u8])> + Clone {
        let columns = self.rows.columns();
        let present = self.present.get_or_init(|| PresentColumns::new(self.rows));
        let values = present.values(columns, row).filter(|(at, _)| !columns[*at].is_derived());
        values.map(|(at, value)| (columns[at].name().as_ref(), value))
    }

    /// Equal for equal entries of one time.
    fn identity(&self, row: usize) -> u64 {
        let metadata = self.hashes.get_or_init(|| metadata_hashes(self.rows, 0..self.rows.len()));
        xxh3_64(self.rows.line(row)) ^ metadata.get(row).copied().unwrap_or(0)
    }
}

/// Whether entries of one time are the same.
fn same(chunks: &[Chunk<'_>], one: Place, two: Place) -> bool {
    let (one_chunk, two_chunk) = (&chunks[one.chunk as usize], &chunks[two.chunk as usize]);
    let (one, two) = (one.row as usize, two.row as usize);
    one_chunk.rows.line(one) == two_chunk.rows.line(two) && same_pairs(one_chunk.metadata(one), two_chunk.metadata(two))
}

fn drop_pairwise(chunks: &[Chunk<'_>], run: &[Place], keep: &mut [bool]) {
    for late in 1..run.len() {
        keep[late] = !(0..late).any(|early| keep[early] && same(chunks, run[early], run[late]));
    }
}

fn drop_by_hash(chunks: &[Chunk<'_>], run: &[Place], keep: &mut [bool]) {
    let mut firsts: FxHashMap<u64, Vec<Place>> = FxHashMap::default();
    for (place, keep) in run.iter().zip(keep) {
        let firsts = firsts.entry(chunks[place.chunk as usize].identity(place.row as usize)).or_default();
        *keep = !firsts.iter().any(|first| same(chunks, *first, *place));
        if *keep {
            firsts.push(*place);
        }
    }
}

/// Rows to keep, as stretches of neighbours of one chunk.
fn spans(order: &[Place], keep: &[bool]) -> Vec<(u32, Range<usize>)> {
    let mut spans: Vec<(u32, Range<usize>)> = Vec::new();
    for (place, _) in order.iter().zip(keep).filter(|(_, keep)| **keep) {
        let row = place.row as usize;
        match spans.last_mut() {
            Some((chunk, span)) if *chunk == place.chunk && span.end == row => span.end += 1,
            _ => spans.push((place.chunk, row..row + 1)),
        }
    }
    spans
}

fn copy(chunks: &[&Rows], spans: &[(u32, Range<usize>)], rows: usize) -> Rows {
    let line_bytes = spans.iter().map(|(chunk, span)| line_span(chunks[*chunk as usize], span).len()).sum();
    let (mut timestamps, mut ends, mut lines) = (Vec::with_capacity(rows), Vec::with_capacity(rows), Vec::with_capacity(line_bytes));
    for (chunk, span) in spans {
        let chunk = chunks[*chunk as usize];
        let bytes = line_span(chunk, span);
        let shift = (lines.len() as u32).wrapping_sub(bytes.start as u32);
        timestamps.extend_from_slice(&chunk.timestamps()[span.clone()]);
        ends.extend(chunk.line_ends()[span.clone()].iter().map(|end| end.wrapping_add(shift)));
        lines.extend_from_slice(&chunk.line_bytes()[bytes]);
    }
    Rows::from_columns(timestamps, ends, lines, copy_columns(chunks, spans, rows)).expect("every span was copied to every column")
}

/// Bytes of the lines of a stretch of rows.
pub(crate) fn line_span(rows: &Rows, span: &Range<usize>) -> Range<usize> {
    let end_of = |row: usize| if row == 0 { 0 } else { rows.line_ends()[row - 1] as usize };
    end_of(span.start)..end_of(span.end)
}

/// A column of the merged rows, and the columns of chunks that it is copied from, by chunk.
struct Target<'a> {
    name: &'a Arc<str>,
    derived: bool,
    parts: Vec<(u32, &'a Column)>,
}

fn targets<'a>(chunks: &[&'a Rows]) -> Vec<Target<'a>> {
    let mut places: BTreeMap<(&str, bool), usize> = BTreeMap::new();
    let mut targets: Vec<Target<'a>> = Vec::new();
    for (number, chunk) in chunks.iter().enumerate() {
        for column in chunk.columns() {
            let at = *places.entry((column.name(), column.is_derived())).or_insert_with(|| {
                targets.push(Target { name: column.name(), derived: column.is_derived(), parts: Vec::new() });
                targets.len() - 1
            });
            targets[at].parts.push((number as u32, column));
        }
    }
    targets
}

/// For each row of each chunk, its number among the rows that stay.
fn new_rows(chunks: &[&Rows], spans: &[(u32, Range<usize>)]) -> Vec<Vec<u32>> {
    let mut new_rows: Vec<Vec<u32>> = chunks.iter().map(|chunk| vec![GONE; chunk.len()]).collect();
    let mut next = 0;
    for (chunk, span) in spans {
        for new_row in &mut new_rows[*chunk as usize][span.clone()] {
            *new_row = next;
            next += 1;
        }
    }
    new_rows
}

/// New row of a row that is left out.
const GONE: u32 = u32::MAX;

/// Cost: proportional to the rows, and to the values that are present.
fn copy_columns(chunks: &[&Rows], spans: &[(u32, Range<usize>)], rows: usize) -> Vec<Column> {
    let moved = OnceCell::new();
    let all_rows: usize = chunks.iter().map(|chunk| chunk.len()).sum();
    let columns = targets(chunks).into_iter().filter_map(|target| {
        let present: usize = target.parts.iter().map(|(_, column)| column.present_len()).sum();
        let builder = if present < all_rows / FEW {
            copy_few(&target, present, moved.get_or_init(|| new_rows(chunks, spans)))
        } else {
            copy_many(&target, chunks.len(), spans)
        };
        (!builder.is_empty()).then(|| builder.finish(target.name.clone(), target.derived, rows))
    });
    columns.collect()
}

/// Columns with a value in fewer rows than one in so many are copied value by value, not row by row.
const FEW: usize = 8;

fn copy_many(target: &Target<'_>, chunks: usize, spans: &[(u32, Range<usize>)]) -> ColumnBuilder {
    let mut of_chunk: Vec<Option<&Column>> = vec![None; chunks];
    target.parts.iter().for_each(|(chunk, column)| of_chunk[*chunk as usize] = Some(column));
    let (mut builder, mut start) = (ColumnBuilder::default(), 0);
    for (chunk, span) in spans {
        if let Some(column) = of_chunk[*chunk as usize] {
            builder.extend(start, column, span.clone());
        }
        start += span.len();
    }
    builder
}

fn copy_few(target: &Target<'_>, present: usize, new_rows: &[Vec<u32>]) -> ColumnBuilder {
    let mut values: Vec<(u32, &[u8])> = Vec::with_capacity(present);
    for (chunk, column) in &target.parts {
        let new_rows = &new_rows[*chunk as usize];
        let moved = column.present(0..column.len()).map(|(row, value)| (new_rows[row], value));
        values.extend(moved.filter(|(new_row, _)| *new_row != GONE));
    }
    values.sort_unstable_by_key(|(new_row, _)| *new_row);
    let mut builder = ColumnBuilder::default();
    values.iter().for_each(|(new_row, value)| builder.set(*new_row as usize, value));
    builder
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use skald_model::{RowsBuilder, Timestamp};

    fn rows(entries: &[(i64, &str, &str)]) -> Rows {
        let mut builder = RowsBuilder::default();
        for (at, line, trace) in entries {
            builder.push(Timestamp(*at), line.as_bytes());
            builder.set_metadata("trace", trace.as_bytes(), false);
        }
        builder.finish()
    }

    #[track_caller]
    fn check(chunks: &[&[(i64, &str, &str)]], want: &[(i64, &str, &str)]) {
        let chunks: Vec<Rows> = chunks.iter().map(|chunk| rows(chunk)).collect();
        let merged = merge_rows(&chunks.iter().collect::<Vec<_>>()).expect("small");
        assert_eq!(merged.rows, rows(want));
        assert_eq!(merged.duplicates, chunks.iter().map(|c| c.len()).sum::<usize>() - want.len());
    }

    #[test]
    fn sorts_by_time_then_arrival() {
        check(&[], &[]);
        check(&[&[(1, "a", ""), (2, "b", "x")], &[(2, "c", ""), (3, "d", "")]], &[(1, "a", ""), (2, "b", "x"), (2, "c", ""), (3, "d", "")]);
        check(&[&[(5, "z", ""), (1, "b", "")], &[(1, "a", "")]], &[(1, "b", ""), (1, "a", ""), (5, "z", "")]);
    }

    #[test]
    fn of_equal_entries_the_first_stays() {
        check(&[&[(1, "a", ""), (1, "b", "")], &[(1, "a", ""), (2, "a", "")]], &[(1, "a", ""), (1, "b", ""), (2, "a", "")]);
        check(&[&[(1, "a", "x")], &[(1, "a", "y"), (1, "a", "x")]], &[(1, "a", "x"), (1, "a", "y")]);
    }

    #[test]
    fn a_long_run_of_one_timestamp_is_not_compared_pair_by_pair() {
        let mut builder = RowsBuilder::default();
        for i in 0..100_000 {
            builder.push(Timestamp(7), format!("line {}", i % 50_000).as_bytes());
        }
        let merged = merge_rows(&[&builder.finish()]).expect("fits");
        assert_eq!((merged.rows.len(), merged.duplicates), (50_000, 50_000));
    }

    #[test]
    fn many_names_cost_what_is_present() {
        let (rows, names, chunks) = (200_000u32, 1000, 10);
        let mut builders = vec![RowsBuilder::default(); chunks as usize];
        for row in 0..rows {
            let builder = &mut builders[(row.wrapping_mul(2_654_435_761) >> 8) as usize % chunks as usize];
            builder.push(Timestamp(i64::from(row / 3)), b"line");
            builder.set_metadata(&format!("name{}", row % names), &row.to_le_bytes(), false);
        }
        let chunks: Vec<Rows> = builders.into_iter().map(RowsBuilder::finish).collect();
        let merged = merge_rows(&chunks.iter().collect::<Vec<_>>()).expect("fits");
        assert_eq!((merged.rows.len(), merged.rows.columns().len(), merged.duplicates), (rows as usize, names as usize, 0));
        assert!(merged.rows.is_sorted());
        let mut values = vec![false; rows as usize];
        for column in merged.rows.columns() {
            for (row, value) in column.present(0..column.len()) {
                let pushed = u32::from_le_bytes(value.try_into().expect("four bytes"));
                assert_eq!(merged.rows.timestamps()[row], i64::from(pushed / 3));
                assert_eq!(**column.name(), format!("name{}", pushed % names));
                values[pushed as usize] = true;
            }
        }
        assert!(values.iter().all(|found| *found));
        let held = merged.rows.heap_bytes();
        assert!(held < 50 * rows as usize, "{held} bytes");
    }

    #[test]
    fn a_slice_has_the_rows_of_its_range() {
        let all = [(1, "a", "x"), (2, "bb", ""), (3, "", "z"), (4, "c", "")];
        for (start, end) in [(0, 4), (1, 3), (2, 2), (3, 4)] {
            assert_eq!(slice_rows(&rows(&all), start..end), rows(&all[start..end]));
        }
    }

    /// Rows of which each has at most one of many names.
    fn rows_of_names(entries: &[(i64, Option<u8>)]) -> Rows {
        let mut builder = RowsBuilder::default();
        for (at, name) in entries {
            builder.push(Timestamp(*at), b"x");
            if let Some(name) = name {
                builder.set_metadata(&format!("name{name}"), b"v", *name == 7);
            }
        }
        builder.finish()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        #[test]
        fn rows_of_many_names_agree_with_the_naive_way(
            chunks in proptest::collection::vec(proptest::collection::vec((0i64..40, proptest::option::of(0u8..60)), 0..60), 0..5),
        ) {
            let all: Vec<(i64, Option<u8>)> = chunks.concat();
            // Name 7 is derived: it does not tell entries apart.
            let identity = |entry: &(i64, Option<u8>)| (entry.0, entry.1.filter(|name| *name != 7));
            let mut want: Vec<(i64, Option<u8>)> = Vec::new();
            all.iter().for_each(|entry| if !want.iter().any(|known| identity(known) == identity(entry)) { want.push(*entry) });
            want.sort_by_key(|entry| entry.0);
            let chunks: Vec<Rows> = chunks.iter().map(|chunk| rows_of_names(chunk)).collect();
            let merged = merge_rows(&chunks.iter().collect::<Vec<_>>()).expect("small");
            prop_assert_eq!(merged.duplicates, all.len() - want.len());
            let want = rows_of_names(&want);
            prop_assert_eq!(merged.rows.timestamps(), want.timestamps());
            let by_name = |rows: &Rows| {
                let mut columns = rows.columns().to_vec();
                columns.sort_by(|one, two| one.name().cmp(two.name()));
                columns
            };
            prop_assert_eq!(by_name(&merged.rows), by_name(&want));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        #[test]
        fn agrees_with_the_naive_way(entries in proptest::collection::vec((0i64..6, 0u8..4, 0u8..3), 0..60), cut in 0usize..60) {
            let entries: Vec<_> = entries.iter().map(|(at, line, trace)| (*at, ["", "a", "bb", "c"][*line as usize], ["", "x", "y"][*trace as usize])).collect();
            let (one, two) = entries.split_at(cut.min(entries.len()));
            let mut want: Vec<(i64, &str, &str)> = Vec::new();
            entries.iter().for_each(|entry| if !want.contains(entry) { want.push(*entry) });
            want.sort_by_key(|entry| entry.0);
            let merged = merge_rows(&[&rows(one), &rows(two)]).expect("small");
            prop_assert_eq!(merged.rows.len(), want.len());
            for (row, (at, line, trace)) in want.iter().enumerate() {
                prop_assert!(merged.rows.same_entry(row, &rows(&[(*at, line, trace)]), 0));
            }
        }
    }
}
