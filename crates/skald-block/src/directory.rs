use crate::wire::{Reader, put_bytes, put_varint};
use crate::{BLOCK_ROWS_MAX, Extent, FormatError, PART_RAW_MAX, Part};
use skald_model::Timestamp;
use std::ops::Range;
use std::sync::Arc;

/// Slots of per-level counts: one per [`skald_model::Level`], then [`OTHER_LEVEL`].
pub const LEVEL_SLOTS: usize = 9;
/// Slot of rows whose `detected_level` is absent or another text.
pub const OTHER_LEVEL: usize = 8;

/// Metadata columns of one block share this many cells, so that rows times names stay bounded.
pub(crate) const BLOCK_CELLS_MAX: usize = 1 << 22;
/// More metadata bytes than a run can have: as many cells, each with the longest name there can be.
const METADATA_BYTES_MAX: usize = BLOCK_CELLS_MAX * PART_RAW_MAX * 2;

/// Fewest bytes of a run in the directory.
const RUN_BYTES_MIN: usize = 7;

/// One block: its runs and where each of its columns stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockEntry {
    /// Number in the object.
    pub number: u32,
    /// Rows.
    pub rows: u32,
    /// Raw bytes of all lines.
    pub line_bytes: u32,
    /// One per stream, in stream order; numbers of streams follow each other.
    pub runs: Vec<Run>,
    /// Times of all rows.
    pub timestamps: Extent,
    /// Lengths of all lines.
    pub line_lengths: Extent,
    /// Lines, in pieces.
    pub frames: Vec<FrameEntry>,
    /// Metadata.
    pub columns: Vec<ColumnEntry>,
}

/// The rows of one stream in one block, sorted by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Number of the stream.
    pub stream: u32,
    /// First row in the block.
    pub first_row: u32,
    /// Rows.
    pub rows: u32,
    /// Raw bytes of their lines.
    pub line_bytes: u32,
    /// Time of the first row.
    pub min_time: Timestamp,
    /// Time of the last row.
    pub max_time: Timestamp,
    /// Rows per level.
    pub levels: [u32; LEVEL_SLOTS],
    /// Values that the server derived.
    pub derived_values: u32,
    /// Bytes of the names and values of pushed metadata: of the name once for each row that has a value.
    pub metadata_bytes: u64,
}

/// A compressed piece of a block's lines, cut between rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameEntry {
    /// First row in the block.
    pub first_row: u32,
    /// Rows.
    pub rows: u32,
    /// Where its bytes begin among the lines of the block; [`crate::Decoder::line_ends`] count from the block's first line.
    pub line_start: u32,
    /// Where it stands.
    pub extent: Extent,
}

/// A metadata column of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnEntry {
    /// Metadata name.
    pub name: Arc<str>,
    /// Whether the server derived the values.
    pub derived: bool,
    /// Where it stands.
    pub extent: Extent,
}

/// What a derived value counts in volumes: Loki keeps it as two numbers of 4 bytes, and dashboards compare.
pub const DERIVED_VALUE_BYTES: u64 = 8;

impl Run {
    /// Bytes of its metadata as volumes count them: what was pushed, and so many for each derived value.
    pub fn metadata_volume(&self) -> u64 {
        self.metadata_bytes + DERIVED_VALUE_BYTES * u64::from(self.derived_values)
    }

    /// Its rows in the block.
    pub fn row_range(&self) -> Range<usize> {
        self.first_row as usize..(self.first_row + self.rows) as usize
    }
}

impl FrameEntry {
    /// Its rows in the block.
    pub fn row_range(&self) -> Range<usize> {
        self.first_row as usize..(self.first_row + self.rows) as usize
    }
}

impl BlockEntry {
    /// Every stored part, in the order in which they stand.
    pub fn extents(&self) -> impl Iterator<Item = &Extent> {
        let fixed = [&self.timestamps, &self.line_lengths];
        fixed.into_iter().chain(self.frames.iter().map(|frame| &frame.extent)).chain(self.columns.iter().map(|column| &column.extent))
    }

    /// Where the block stands in the object.
    pub fn range(&self) -> Range<u64> {
        let end = self.extents().last().map_or(self.timestamps.offset, |extent| extent.range().end);
        self.timestamps.offset..end
    }

    /// Earliest and latest row.
    pub fn time_span(&self) -> (Timestamp, Timestamp) {
        let min = self.runs.iter().map(|run| run.min_time).min().unwrap_or_default();
        (min, self.runs.iter().map(|run| run.max_time).max().unwrap_or_default())
    }

    /// The run of a stream, if the block has one.
    pub fn run_of(&self, stream: u32) -> Option<&Run> {
        self.place_of(stream).map(|at| &self.runs[at])
    }

    /// Place of the run of a stream, if the block has one.
    pub(crate) fn place_of(&self, stream: u32) -> Option<usize> {
        let first = self.runs.first()?.stream;
        stream.checked_sub(first).map(|at| at as usize).filter(|at| *at < self.runs.len())
    }

    /// The column of a metadata name. A name may come twice, once pushed and once derived.
    pub fn columns_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a ColumnEntry> {
        self.columns.iter().filter(move |column| *column.name == *name)
    }
}

/// Encodes the directory of blocks that stand one after the other. `names` are those of their columns, ascending.
pub(crate) fn encode(blocks: &[BlockEntry], names: &[(Arc<str>, bool)], min_time: Timestamp) -> Vec<u8> {
    let mut out = Vec::new();
    let numbers: rustc_hash::FxHashMap<(&str, bool), usize> =
        names.iter().enumerate().map(|(i, (name, derived))| ((name.as_ref(), *derived), i)).collect();
    put_varint(&mut out, names.len() as u64);
    for (name, derived) in names {
        put_bytes(&mut out, name.as_bytes());
        out.push(u8::from(*derived));
    }
    put_varint(&mut out, blocks.len() as u64);
    let mut last = None;
    for block in blocks {
        let first = block.runs.first().map(|run| run.stream);
        out.push(u8::from(first == last));
        last = block.runs.last().map(|run| run.stream);
        put_varint(&mut out, block.runs.len() as u64);
        block.runs.iter().for_each(|run| encode_run(&mut out, run, min_time));
        block.timestamps.put(&mut out);
        block.line_lengths.put(&mut out);
        put_varint(&mut out, block.frames.len() as u64);
        for frame in &block.frames {
            put_varint(&mut out, u64::from(frame.rows));
            frame.extent.put(&mut out);
        }
        put_varint(&mut out, block.columns.len() as u64);
        for column in &block.columns {
            put_varint(&mut out, numbers[&(column.name.as_ref(), column.derived)] as u64);
            column.extent.put(&mut out);
        }
    }
    out
}

fn encode_run(out: &mut Vec<u8>, run: &Run, min_time: Timestamp) {
    put_varint(out, u64::from(run.rows));
    put_varint(out, u64::from(run.line_bytes));
    put_varint(out, run.min_time.0.wrapping_sub(min_time.0) as u64);
    put_varint(out, run.max_time.0.wrapping_sub(run.min_time.0) as u64);
    let mask = (0..LEVEL_SLOTS).filter(|slot| run.levels[*slot] > 0).fold(0u64, |mask, slot| mask | 1 << slot);
    put_varint(out, mask);
    // The last slot of the mask has what is left of the rows.
    let last = mask.ilog2() as usize;
    run.levels[..last].iter().filter(|rows| **rows > 0).for_each(|rows| put_varint(out, u64::from(*rows)));
    put_varint(out, u64::from(run.derived_values));
    put_varint(out, run.metadata_bytes);
}

/// Reads the directory of an object whose first block begins at `body` and whose entries lie between two times.
pub(crate) fn parse(mut reader: Reader<'_>, body: u64, times: (Timestamp, Timestamp)) -> Result<Vec<BlockEntry>, FormatError> {
    let mut names: Vec<(Arc<str>, bool)> = Vec::new();
    for _ in 0..reader.count()? {
        let name: (Arc<str>, bool) = (reader.text()?.into(), reader.u8()? != 0);
        if names.last().is_some_and(|last| *last >= name) {
            return Err(reader.malformed("metadata names are not in order"));
        }
        names.push(name);
    }
    let (mut blocks, mut offset): (Vec<BlockEntry>, u64) = (Vec::new(), body);
    for number in 0..reader.count()? {
        let last = blocks.last().and_then(|block| block.runs.last());
        let runs = parse_runs(&mut reader, last, times)?;
        blocks.push(parse_block(&mut reader, number as u32, runs, &names, &mut offset)?);
    }
    reader.finish()?;
    Ok(blocks)
}

/// The runs of a block; `last` is the last one of the block before. Streams follow each other without a gap, so that their numbers need not be said.
fn parse_runs(reader: &mut Reader<'_>, last: Option<&Run>, times: (Timestamp, Timestamp)) -> Result<Vec<Run>, FormatError> {
    let goes_on = match (reader.u8()?, last) {
        (0, _) => None,
        (1, Some(last)) => Some(last),
        _ => return Err(reader.malformed("a block goes on with no stream")),
    };
    let first = goes_on.map_or_else(|| last.map_or(0, |last| last.stream + 1), |last| last.stream);
    let count = reader.count()?.min(BLOCK_ROWS_MAX + 1);
    let (mut runs, mut rows): (Vec<Run>, u32) = (Vec::with_capacity(count.min(reader.rest().len() / RUN_BYTES_MIN)), 0);
    for i in 0..count {
        let stream = first.checked_add(i as u32).filter(|stream| *stream < u32::MAX);
        let stream = stream.ok_or_else(|| reader.malformed("a stream number is out of range"))?;
        let run = parse_run(reader, stream, rows, times)?;
        rows += run.rows;
        if rows as usize > BLOCK_ROWS_MAX {
            return Err(reader.malformed("a block has too many rows"));
        }
        runs.push(run);
    }
    match (goes_on, runs.first()) {
        (_, None) => Err(reader.malformed("a block has no row")),
        (Some(last), Some(first)) if first.min_time < last.max_time => Err(reader.malformed("runs of a stream are not in time order")),
        _ => Ok(runs),
    }
}

fn parse_block(
    reader: &mut Reader<'_>,
    number: u32,
    runs: Vec<Run>,
    names: &[(Arc<str>, bool)],
    offset: &mut u64,
) -> Result<BlockEntry, FormatError> {
    let rows = runs.iter().map(|run| run.rows).sum();
    let line_bytes: u64 = runs.iter().map(|run| u64::from(run.line_bytes)).sum();
    if line_bytes > PART_RAW_MAX as u64 {
        return Err(reader.malformed("a block has too many bytes"));
    }
    let line_bytes = line_bytes as u32;
    let timestamps = Extent::take(reader, Part::Timestamps { block: number }, offset)?;
    let line_lengths = Extent::take(reader, Part::LineLengths { block: number }, offset)?;
    let frames = parse_frames(reader, number, offset, rows, line_bytes)?;
    let columns = parse_columns(reader, number, offset, rows, names)?;
    Ok(BlockEntry { number, rows, line_bytes, runs, timestamps, line_lengths, frames, columns })
}

fn parse_run(reader: &mut Reader<'_>, stream: u32, first_row: u32, times: (Timestamp, Timestamp)) -> Result<Run, FormatError> {
    let rows = reader.at_most(BLOCK_ROWS_MAX, "a run has too many rows")? as u32;
    let line_bytes = reader.at_most(PART_RAW_MAX, "a run has too many bytes")? as u32;
    let min_time = later(reader, times.0)?;
    let max_time = later(reader, min_time)?;
    if max_time > times.1 {
        return Err(reader.malformed("a run is later than its object"));
    }
    let mask = reader.at_most((1 << LEVEL_SLOTS) - 1, "a run has unknown levels")?;
    if mask == 0 || rows == 0 {
        return Err(reader.malformed("a run has no rows or no levels"));
    }
    let (mut levels, mut left, last) = ([0; LEVEL_SLOTS], rows, mask.ilog2() as usize);
    for slot in (0..last).filter(|slot| mask >> slot & 1 == 1) {
        levels[slot] = reader.at_most(left as usize, "levels of a run have more rows than the run")? as u32;
        left -= levels[slot];
    }
    levels[last] = left;
    let derived_values = reader.at_most(BLOCK_CELLS_MAX, "a run has too many derived values")? as u32;
    let metadata_bytes = reader.at_most(METADATA_BYTES_MAX, "a run has too many bytes of metadata")? as u64;
    Ok(Run { stream, first_row, rows, line_bytes, min_time, max_time, levels, derived_values, metadata_bytes })
}

fn later(reader: &mut Reader<'_>, than: Timestamp) -> Result<Timestamp, FormatError> {
    let by = reader.varint()?;
    than.0.checked_add_unsigned(by).map(Timestamp).ok_or_else(|| reader.malformed("a time is out of range"))
}

fn parse_frames(reader: &mut Reader<'_>, block: u32, offset: &mut u64, rows: u32, line_bytes: u32) -> Result<Vec<FrameEntry>, FormatError> {
    let (mut frames, mut first_row, mut line_start) = (Vec::new(), 0, 0);
    for number in 0..reader.count()? {
        let rows = reader.at_most((rows - first_row) as usize, "frames have more rows than their block")? as u32;
        let extent = Extent::take(reader, Part::Lines { block, frame: number as u32 }, offset)?;
        if extent.raw_len > line_bytes - line_start {
            return Err(reader.malformed("frames have more bytes than their block"));
        }
        frames.push(FrameEntry { first_row, rows, line_start, extent });
        first_row += rows;
        line_start += extent.raw_len;
    }
    if first_row != rows || line_start != line_bytes {
        return Err(reader.malformed("frames do not cover their block"));
    }
    Ok(frames)
}

fn parse_columns(
    reader: &mut Reader<'_>,
    block: u32,
    offset: &mut u64,
    rows: u32,
    names: &[(Arc<str>, bool)],
) -> Result<Vec<ColumnEntry>, FormatError> {
    let (mut columns, mut last) = (Vec::new(), None);
    let count = reader.count()?;
    if count > names.len() || rows > 1 && count * rows as usize > BLOCK_CELLS_MAX {
        return Err(reader.malformed("a block has too many columns"));
    }
    for number in 0..count {
        let at = reader.at_most(names.len() - 1, "a column has an unknown name")?;
        if last.replace(at).is_some_and(|last| last >= at) {
            return Err(reader.malformed("columns of a block are not in order"));
        }
        let (name, derived) = names[at].clone();
        let extent = Extent::take(reader, Part::Column { block, column: number as u32 }, offset)?;
        columns.push(ColumnEntry { name, derived, extent });
    }
    Ok(columns)
}
