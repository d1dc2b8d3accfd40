use crate::column;
use crate::directory::{BLOCK_CELLS_MAX, BlockEntry, ColumnEntry, FrameEntry, LEVEL_SLOTS, OTHER_LEVEL, Run};
use crate::extent::{Extent, Packer};
use crate::filter::FilterBuilder;
use crate::merge::line_span;
use crate::packed::pack;
use crate::wire::put_varint;
use crate::{BLOCK_ROWS_MAX, EncodeError, Part};
use skald_model::{Column, ColumnsBuilder, Level, PresentColumns, Rows, Timestamp};
use std::ops::Range;

/// Metadata bytes of a block, unless one row alone has more.
const BLOCK_METADATA_BYTES: usize = 4 << 20;

/// What the metadata of rows weigh, worked out once for all that is cut from them.
pub(crate) struct RowWeights {
    /// Bytes of each row's values; empty without metadata.
    metadata_bytes: Vec<u32>,
    present: PresentColumns,
    /// By column the number of the piece that last had a value in it.
    seen: Vec<u32>,
    pieces: u32,
}

impl RowWeights {
    pub(crate) fn new(rows: &Rows) -> Self {
        let mut metadata_bytes: Vec<u32> = Vec::new();
        for column in rows.columns() {
            metadata_bytes.resize(rows.len(), 0);
            for (row, value) in column.present(0..rows.len()) {
                metadata_bytes[row] = metadata_bytes[row].saturating_add(value.len() as u32);
            }
        }
        RowWeights { metadata_bytes, present: PresentColumns::new(rows), seen: vec![0; rows.columns().len()], pieces: 0 }
    }

    /// Bytes of the values of a row.
    pub(crate) fn metadata_bytes(&self, row: usize) -> usize {
        self.metadata_bytes.get(row).map_or(0, |bytes| *bytes as usize)
    }
}

/// A stretch of rows that fits into one block, and what it weighs.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) rows: Range<usize>,
    line_bytes: usize,
    metadata_bytes: usize,
    /// Places of the columns that may have a value in it.
    columns: Vec<u32>,
}

/// The rows of a block that is not yet written.
#[derive(Default)]
pub(crate) struct BlockBuilder {
    runs: Vec<Run>,
    timestamps: Vec<i64>,
    line_ends: Vec<u32>,
    lines: Vec<u8>,
    columns: ColumnsBuilder,
    metadata_bytes: usize,
}

impl BlockBuilder {
    pub(crate) fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    pub(crate) fn line_bytes(&self) -> usize {
        self.lines.len()
    }

    /// The first rows of `span` that still fit, up to `block_bytes` of lines.
    /// Empty when the block is full; into an empty block at least one row fits.
    pub(crate) fn cut_piece(&self, rows: &Rows, weights: &mut RowWeights, span: Range<usize>, block_bytes: usize) -> Piece {
        weights.pieces += 1;
        let piece = weights.pieces;
        let mut columns = weights.present.dense().to_vec();
        let (start, mut end, mut line_bytes, mut metadata_bytes) = (span.start, span.start, 0, 0);
        while end < span.end {
            let (line, values) = (rows.line(end).len(), weights.metadata_bytes(end));
            let known = columns.len();
            columns.extend(weights.present.sparse(end).iter().filter(|at| weights.seen[**at as usize] != piece));
            let block_rows = self.timestamps.len() + (end - start) + 1;
            let full = block_rows > BLOCK_ROWS_MAX
                || block_rows * (self.columns.len() + columns.len()) > BLOCK_CELLS_MAX
                || self.lines.len() + line_bytes + line > block_bytes
                || self.metadata_bytes + metadata_bytes + values > BLOCK_METADATA_BYTES;
            if full && (end > start || !self.is_empty()) {
                columns.truncate(known);
                break;
            }
            columns[known..].iter().for_each(|at| weights.seen[*at as usize] = piece);
            line_bytes += line;
            metadata_bytes += values;
            end += 1;
        }
        columns.sort_unstable();
        Piece { rows: start..end, line_bytes, metadata_bytes, columns }
    }

    /// Appends rows of the stream that the block ends with, or of one that comes after it.
    pub(crate) fn append(&mut self, stream: u32, rows: &Rows, piece: &Piece) {
        let span = &piece.rows;
        let first_row = self.timestamps.len();
        let bytes = line_span(rows, span);
        let shift = (self.lines.len() as u32).wrapping_sub(bytes.start as u32);
        self.timestamps.extend_from_slice(&rows.timestamps()[span.clone()]);
        self.line_ends.extend(rows.line_ends()[span.clone()].iter().map(|end| end.wrapping_add(shift)));
        self.lines.extend_from_slice(&rows.line_bytes()[bytes]);
        self.metadata_bytes += piece.metadata_bytes;
        let (mut derived_values, mut metadata_bytes) = (0, 0);
        for column in piece.columns.iter().map(|at| &rows.columns()[*at as usize]) {
            let (values, bytes) = weigh_column(column, span);
            if values > 0 {
                if column.is_derived() {
                    derived_values += values;
                } else {
                    metadata_bytes += bytes;
                }
                self.columns.column(column.name(), column.is_derived()).extend(first_row, column, span.clone());
            }
        }
        self.add_run(Run {
            stream,
            first_row: first_row as u32,
            rows: span.len() as u32,
            line_bytes: piece.line_bytes as u32,
            min_time: Timestamp(self.timestamps[first_row]),
            max_time: Timestamp(*self.timestamps.last().expect("a piece has a row")),
            levels: count_levels(rows, span),
            derived_values,
            metadata_bytes,
        });
    }

    /// Rows of one stream are one run, in however many pieces they came.
    fn add_run(&mut self, run: Run) {
        match self.runs.last_mut().filter(|last| last.stream == run.stream) {
            Some(last) => {
                last.rows += run.rows;
                last.line_bytes += run.line_bytes;
                last.max_time = run.max_time;
                last.levels.iter_mut().zip(run.levels).for_each(|(sum, rows)| *sum += rows);
                last.derived_values += run.derived_values;
                last.metadata_bytes += run.metadata_bytes;
            }
            None => self.runs.push(run),
        }
    }

    /// Writes the block to the end of `out` and its grams to `filters`; the builder is empty then.
    pub(crate) fn write(&mut self, number: u32, frame_bytes: usize, sink: &mut Sink<'_>) -> Result<BlockEntry, EncodeError> {
        let block = std::mem::take(self);
        let rows = block.timestamps.len();
        let mut scratch = Vec::new();
        put_timestamps(&mut scratch, &block.runs, &block.timestamps);
        let timestamps = sink.append(&scratch, Part::Timestamps { block: number }, "timestamps")?;
        scratch.clear();
        pack(&mut scratch, &lengths(&block.line_ends));
        let line_lengths = sink.append(&scratch, Part::LineLengths { block: number }, "line lengths")?;
        let frames = sink.append_frames(&block.lines, &block.line_ends, number, frame_bytes)?;
        sink.filters.add_lines(&block.lines, &block.line_ends);
        let mut columns = Vec::with_capacity(block.columns.len());
        let mut ordered = block.columns.finish(rows);
        ordered.sort_by(|one, two| (one.name(), one.is_derived()).cmp(&(two.name(), two.is_derived())));
        for column in &ordered {
            column::encode(column, &mut scratch);
            let part = Part::Column { block: number, column: columns.len() as u32 };
            let extent = sink.append(&scratch, part, "metadata")?;
            columns.push(ColumnEntry { name: column.name().clone(), derived: column.is_derived(), extent });
            sink.filters.add_column(column);
        }
        sink.filters.close_block();
        let line_bytes = block.lines.len() as u32;
        let entry = BlockEntry { number, rows: rows as u32, line_bytes, runs: block.runs, timestamps, line_lengths, frames, columns };
        // Room for lines is kept for the next block.
        self.lines = block.lines;
        self.lines.clear();
        Ok(entry)
    }
}

/// Where blocks are written to.
pub(crate) struct Sink<'a> {
    pub(crate) out: &'a mut Vec<u8>,
    pub(crate) packer: &'a mut Packer,
    pub(crate) filters: &'a mut FilterBuilder,
}

impl Sink<'_> {
    fn append(&mut self, raw: &[u8], part: Part, what: &'static str) -> Result<Extent, EncodeError> {
        self.packer.append(self.out, raw, part, what)
    }

    /// Cuts lines into about equal frames of up to `frame_bytes`; a longer line has one of its own.
    fn append_frames(&mut self, lines: &[u8], ends: &[u32], block: u32, frame_bytes: usize) -> Result<Vec<FrameEntry>, EncodeError> {
        let count = lines.len().div_ceil(frame_bytes).max(1);
        let target = lines.len().div_ceil(count);
        let (mut frames, mut first_row, mut line_start): (Vec<FrameEntry>, usize, usize) = (Vec::new(), 0, 0);
        while first_row < ends.len() {
            // The row that reaches the target ends the frame; what is left at the end of a block goes to its last frame.
            let reach = if frames.len() + 1 == count { lines.len() } else { line_start + target };
            let rows = ends[first_row..].partition_point(|end| (*end as usize) < reach) + 1;
            let rows = if reach == lines.len() { ends.len() - first_row } else { rows.min(ends.len() - first_row) };
            let line_end = ends[first_row + rows - 1] as usize;
            let part = Part::Lines { block, frame: frames.len() as u32 };
            let extent = self.append(&lines[line_start..line_end], part, "lines")?;
            frames.push(FrameEntry { first_row: first_row as u32, rows: rows as u32, line_start: line_start as u32, extent });
            first_row += rows;
            line_start = line_end;
        }
        Ok(frames)
    }
}

fn lengths(ends: &[u32]) -> Vec<u64> {
    let mut last = 0;
    ends.iter().map(|end| u64::from(end - std::mem::replace(&mut last, *end))).collect()
}

/// Steps from row to row, 0 for the first of a run, all divided by what divides them all.
fn put_timestamps(out: &mut Vec<u8>, runs: &[Run], timestamps: &[i64]) {
    let mut steps = Vec::with_capacity(timestamps.len());
    for run in runs {
        let times = &timestamps[run.row_range()];
        steps.push(0);
        steps.extend(times.windows(2).map(|two| two[1].wrapping_sub(two[0]) as u64));
    }
    let unit = steps.iter().fold(0, |unit, step| divisor(unit, *step)).max(1);
    if unit > 1 {
        steps.iter_mut().for_each(|step| *step /= unit);
    }
    put_varint(out, unit);
    pack(out, &steps);
}

fn divisor(mut one: u64, mut two: u64) -> u64 {
    if one == 1 {
        return 1;
    }
    while two != 0 {
        (one, two) = (two, one % two);
    }
    one
}

/// Values in a stretch of a column, and the bytes of these and of its name for each.
fn weigh_column(column: &Column, span: &Range<usize>) -> (u32, u64) {
    let (values, bytes) =
        column.present(span.clone()).fold((0u32, 0), |(values, bytes), (_, value)| (values + 1, bytes + value.len() as u64));
    (values, bytes + u64::from(values) * column.name().len() as u64)
}

/// Derived values in a stretch of rows, and bytes of pushed ones and their names.
pub(crate) fn weigh_metadata(rows: &Rows, span: &Range<usize>) -> (u32, u64) {
    rows.columns().iter().fold((0, 0), |(derived, pushed), column| {
        let (values, bytes) = weigh_column(column, span);
        if column.is_derived() { (derived + values, pushed) } else { (derived, pushed + bytes) }
    })
}

/// Rows per level, by the value of `detected_level`, pushed or derived.
pub(crate) fn count_levels(rows: &Rows, span: &Range<usize>) -> [u32; LEVEL_SLOTS] {
    let columns: Vec<&Column> = rows.columns().iter().filter(|column| **column.name() == *Level::METADATA_NAME).collect();
    let mut levels = [0; LEVEL_SLOTS];
    let (mut last, mut slot): (&[u8], usize) = (b"", OTHER_LEVEL);
    for row in span.clone() {
        let value = columns.iter().map(|column| column.value(row)).find(|value| !value.is_empty()).unwrap_or_default();
        if value != last {
            (last, slot) = (value, Level::from_normalised(value).map_or(OTHER_LEVEL, |level| level as usize));
        }
        levels[slot] += 1;
    }
    levels
}
