//! Columns of blocks: read from the store, checked and decoded.

use crate::budget::{BudgetError, Held};
use crate::work::Work;
use bytes::Bytes;
use skald_block::{BlockEntry, Decoder, Extent, FormatError, FrameEntry, Part};
use skald_logql::exec::{LineNeed, Needs};
use skald_model::{Column, Rows};
use skald_store::{Catalog, OpenObject, ReadError};
use std::ops::Range;
use std::sync::Arc;

/// Parts that stand closer than this are read at once, with what lies between.
const GAP_MAX: u64 = 16 * 1024;

/// Bytes of the parts of one block that a query needs. They, and what is decoded of them, are counted until it is dropped.
pub(crate) struct RawBlock {
    parts: Vec<(u64, Bytes)>,
    /// Bytes read.
    pub(crate) bytes: u64,
    _held: Held,
}

/// Decoded columns of one block; what was not asked for is empty.
pub(crate) struct BlockColumns {
    pub(crate) timestamps: Vec<i64>,
    pub(crate) line_ends: Vec<u32>,
    pub(crate) frames: Vec<(FrameEntry, Vec<u8>)>,
    pub(crate) columns: Vec<Column>,
}

/// Which frames of lines to read: those that hold some of these rows of the block.
pub(crate) struct FramesOf<'a>(pub(crate) &'a [Range<usize>]);

impl FramesOf<'_> {
    fn wants(&self, needs: &Needs, frame: &FrameEntry) -> bool {
        let of_frame = frame.row_range();
        needs.lines == LineNeed::Bytes && self.0.iter().any(|rows| rows.start < of_frame.end && of_frame.start < rows.end)
    }

    /// Bytes of a frame up to the last of the rows. `line_ends` are those of the block.
    pub(crate) fn bytes_of(&self, frame: &FrameEntry, line_ends: &[u32]) -> usize {
        let of_frame = frame.row_range();
        let ends = self.0.iter().filter(|rows| rows.start < of_frame.end && of_frame.start < rows.end);
        let last = ends.map(|rows| rows.end.min(of_frame.end)).max();
        last.map_or(0, |end| (line_ends[end - 1] - frame.line_start) as usize)
    }
}

/// Which parts of a block a query needs.
pub(crate) fn extents_needed<'a>(block: &'a BlockEntry, needs: &Needs, frames: &FramesOf<'_>) -> Vec<&'a Extent> {
    let mut extents = vec![&block.timestamps];
    if needs.lines != LineNeed::None {
        extents.push(&block.line_lengths);
    }
    extents.extend(block.frames.iter().filter(|frame| frames.wants(needs, frame)).map(|frame| &frame.extent));
    extents.extend(block.columns.iter().filter(|column| needs.columns.contains(&column.name)).map(|column| &column.extent));
    extents
}

/// What is to be read of a block: parts, neighbours at once.
pub(crate) struct Fetch {
    extents: Vec<Extent>,
    ranges: Vec<Range<u64>>,
    bytes: u64,
    held: Held,
}

impl Fetch {
    /// Takes the memory for parts of a block as they are stored and as they are decoded.
    pub(crate) fn new(work: &Work, block: &BlockEntry, extents: &[&Extent]) -> Result<Self, BudgetError> {
        let mut ranges: Vec<Range<u64>> = extents.iter().map(|extent| extent.range()).collect();
        ranges.sort_by_key(|range| range.start);
        let mut joined: Vec<Range<u64>> = Vec::new();
        for range in ranges {
            match joined.last_mut() {
                Some(last) if range.start <= last.end + GAP_MAX => last.end = last.end.max(range.end),
                _ => joined.push(range),
            }
        }
        let bytes = joined.iter().map(|range| range.end - range.start).sum();
        let decoded: u64 = extents.iter().map(|extent| decoded_bytes(extent, block)).sum();
        let held = work.budget().hold(bytes + decoded)?;
        Ok(Fetch { extents: extents.iter().map(|extent| **extent).collect(), ranges: joined, bytes, held })
    }

    /// Reads.
    pub(crate) async fn read(self, catalog: &Catalog, open: &OpenObject) -> Result<RawBlock, ReadError> {
        let Fetch { extents, ranges, bytes, held } = self;
        let starts: Vec<u64> = ranges.iter().map(|range| range.start).collect();
        let at = |read: &[Bytes]| starts.iter().copied().zip(read.iter().cloned()).collect::<Vec<_>>();
        let are_whole = |read: &[Bytes]| {
            let parts = at(read);
            extents.iter().all(|extent| extent.check(part(&parts, extent)).is_ok())
        };
        let read = catalog.read_checked(&open.object, ranges, are_whole).await?;
        Ok(RawBlock { parts: at(&read), bytes, _held: held })
    }
}

/// What a part decodes to at most, about: its bytes once more where they are unpacked first, and numbers for each row.
fn decoded_bytes(extent: &Extent, block: &BlockEntry) -> u64 {
    let (raw, rows) = (u64::from(extent.raw_len), u64::from(block.rows));
    match extent.part {
        Part::Lines { .. } => raw,
        Part::Timestamps { .. } => raw + 8 * rows,
        _ => 2 * raw + 4 * rows,
    }
}

impl RawBlock {
    fn part(&self, extent: &Extent) -> &[u8] {
        part(&self.parts, extent)
    }

    /// Decodes what was read of `block`.
    pub(crate) fn decode(
        &self,
        decoder: &mut Decoder,
        block: &BlockEntry,
        needs: &Needs,
        frames: &FramesOf<'_>,
    ) -> Result<BlockColumns, FormatError> {
        let timestamps = decoder.timestamps(block, self.part(&block.timestamps))?;
        let line_ends = match needs.lines {
            LineNeed::None => Vec::new(),
            LineNeed::Lengths | LineNeed::Bytes => decoder.line_ends(block, self.part(&block.line_lengths))?,
        };
        let wanted = block.frames.iter().filter(|frame| frames.wants(needs, frame));
        let mut lines = |frame: &FrameEntry| self.decode_frame(decoder, frame, frames.bytes_of(frame, &line_ends));
        let frames = wanted.map(|frame| Ok((*frame, lines(frame)?))).collect::<Result<_, _>>()?;
        let columns = block.columns.iter().filter(|column| needs.columns.contains(&column.name));
        let columns = columns.map(|column| decoder.column(block, column, self.part(&column.extent))).collect::<Result<_, _>>()?;
        Ok(BlockColumns { timestamps, line_ends, frames, columns })
    }

    /// Decodes the first `len` bytes of a frame of lines, or some more.
    pub(crate) fn decode_frame(&self, decoder: &mut Decoder, frame: &FrameEntry, len: usize) -> Result<Vec<u8>, FormatError> {
        decoder.frame_start(frame, self.part(&frame.extent), len)
    }
}

/// The bytes of a part among those that were read.
fn part<'a>(parts: &'a [(u64, Bytes)], extent: &Extent) -> &'a [u8] {
    let range = extent.range();
    let holds = |start: u64, bytes: &Bytes| start <= range.start && range.end <= start + bytes.len() as u64;
    let found = parts.iter().find(|(start, bytes)| holds(*start, bytes));
    found.map_or(&[], |(start, bytes)| &bytes[(range.start - start) as usize..(range.end - start) as usize])
}

impl BlockColumns {
    /// Ends of the lines of `frame`, counted from its first byte.
    pub(crate) fn frame_line_ends(&self, frame: &FrameEntry) -> Vec<u32> {
        self.line_ends[frame.row_range()].iter().map(|end| end - frame.line_start).collect()
    }

    /// The rows `range` of the block, all columns; only where all columns and the frames of these rows were decoded.
    pub(crate) fn rows(&self, range: Range<usize>) -> Rows {
        let mut builder = skald_model::RowsBuilder::default();
        for (frame, bytes) in &self.frames {
            let ends = self.frame_line_ends(frame);
            for row in frame.row_range().filter(|row| range.contains(row)) {
                let i = row - frame.first_row as usize;
                let start = if i == 0 { 0 } else { ends[i - 1] as usize };
                builder.push(skald_model::Timestamp(self.timestamps[row]), &bytes[start..ends[i] as usize]);
                for column in &self.columns {
                    builder.set_metadata(column.name(), column.value(row), column.is_derived());
                }
            }
        }
        builder.finish()
    }
}

/// A block as queries ask for it.
#[derive(Clone)]
pub(crate) struct BlockRef {
    pub(crate) open: Arc<OpenObject>,
    pub(crate) number: u32,
}

impl BlockRef {
    pub(crate) fn entry(&self) -> &BlockEntry {
        &self.open.footer.blocks[self.number as usize]
    }

    pub(crate) fn damaged(&self, source: FormatError) -> ReadError {
        ReadError::Damaged { path: self.open.object.path.clone(), source }
    }
}
