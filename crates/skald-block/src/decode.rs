use crate::directory::{BlockEntry, ColumnEntry, FrameEntry};
use crate::extent::{Extent, Unpacker};
use crate::packed::unpack;
use crate::{FormatError, column};
use skald_model::{Column, Rows};

/// Opens stored columns. Holds a decompression context, so one decoder should open many.
///
/// Every function takes exactly the bytes of the extent in the directory, checks them against it first, and allocates no more than the
/// directory says they hold.
pub struct Decoder {
    unpacker: Unpacker,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder::new()
    }
}

impl Decoder {
    /// A decoder.
    pub fn new() -> Self {
        Decoder { unpacker: Unpacker::new() }
    }

    /// Times of all rows of a block, from the bytes of [`BlockEntry::timestamps`].
    ///
    /// # Errors
    /// When they are not what was written.
    pub fn timestamps(&mut self, block: &BlockEntry, stored: &[u8]) -> Result<Vec<i64>, FormatError> {
        let extent = &block.timestamps;
        let raw = extent.open(stored, &mut self.unpacker)?;
        let mut reader = extent.reader(&raw);
        let unit = reader.varint()?;
        let mut times = Vec::with_capacity(block.rows as usize);
        unpack(&mut reader, block.rows as usize, |steps| times.push(steps as i64))?;
        reader.finish()?;
        for run in &block.runs {
            // Before the first row of a run stands the run's earliest time, so its step is 0.
            if times[run.first_row as usize] != 0 {
                return Err(extent.malformed("times do not begin where the directory says"));
            }
            let mut at = run.min_time.0;
            for time in &mut times[run.row_range()] {
                at = at.wrapping_add((*time as u64).wrapping_mul(unit) as i64);
                *time = at;
            }
            if at != run.max_time.0 {
                return Err(extent.malformed("times do not end where the directory says"));
            }
        }
        Ok(times)
    }

    /// End of each line of a block, counted from the block's first line, from the bytes of [`BlockEntry::line_lengths`].
    ///
    /// # Errors
    /// When they are not what was written.
    pub fn line_ends(&mut self, block: &BlockEntry, stored: &[u8]) -> Result<Vec<u32>, FormatError> {
        let extent = &block.line_lengths;
        let raw = extent.open(stored, &mut self.unpacker)?;
        let mut reader = extent.reader(&raw);
        let (mut ends, mut end) = (Vec::with_capacity(block.rows as usize), 0u64);
        unpack(&mut reader, block.rows as usize, |len| {
            end = end.saturating_add(len);
            ends.push(end as u32);
        })?;
        reader.finish()?;
        let start_of = |row: u32| if row == 0 { 0 } else { ends[row as usize - 1] };
        if end != u64::from(block.line_bytes) || block.frames.iter().any(|frame| start_of(frame.first_row) != frame.line_start) {
            return Err(extent.malformed("lines do not end where the directory says"));
        }
        Ok(ends)
    }

    /// Lines of a frame, end to end, from the bytes of its extent.
    ///
    /// # Errors
    /// When they are not what was written.
    pub fn frame(&mut self, frame: &FrameEntry, stored: &[u8]) -> Result<Vec<u8>, FormatError> {
        Ok(frame.extent.open(stored, &mut self.unpacker)?.into_owned())
    }

    /// The first `len` bytes of the lines of a frame, or some more. Costs less than [`Decoder::frame`] the less is asked for.
    ///
    /// # Errors
    /// When the bytes are not what was written.
    pub fn frame_start(&mut self, frame: &FrameEntry, stored: &[u8], len: usize) -> Result<Vec<u8>, FormatError> {
        Ok(frame.extent.open_start(stored, len, &mut self.unpacker)?.into_owned())
    }

    /// A metadata column of a block, from the bytes of its extent.
    ///
    /// # Errors
    /// When they are not what was written.
    pub fn column(&mut self, block: &BlockEntry, column: &ColumnEntry, stored: &[u8]) -> Result<Column, FormatError> {
        let raw = column.extent.open(stored, &mut self.unpacker)?;
        column::decode(column.extent.reader(&raw), block.rows as usize, column.name.clone(), column.derived)
    }

    /// All rows of a block, from the bytes of [`BlockEntry::range`].
    ///
    /// # Errors
    /// When any part is not what was written.
    pub fn block(&mut self, block: &BlockEntry, stored: &[u8]) -> Result<Rows, FormatError> {
        let bytes = |extent: &Extent| part_of(block, extent, stored);
        let timestamps = self.timestamps(block, bytes(&block.timestamps))?;
        let line_ends = self.line_ends(block, bytes(&block.line_lengths))?;
        let mut lines = Vec::with_capacity(block.line_bytes as usize);
        for frame in &block.frames {
            lines.extend_from_slice(&frame.extent.open(bytes(&frame.extent), &mut self.unpacker)?);
        }
        let columns = block.columns.iter().map(|column| self.column(block, column, bytes(&column.extent))).collect::<Result<_, _>>()?;
        Rows::from_columns(timestamps, line_ends, lines, columns).map_err(|_| block.timestamps.malformed("columns do not fit together"))
    }
}

/// The bytes of a part among those of its block; what is missing shows when the part is checked.
fn part_of<'a>(block: &BlockEntry, extent: &Extent, stored: &'a [u8]) -> &'a [u8] {
    let start = (extent.offset - block.range().start) as usize;
    let rest = stored.get(start..).unwrap_or_default();
    &rest[..rest.len().min(extent.stored_len as usize)]
}
