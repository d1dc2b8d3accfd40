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
mod tests;
