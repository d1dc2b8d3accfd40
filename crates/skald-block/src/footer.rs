use crate::directory::{self, BlockEntry, Run};
use crate::extent::{Extent, Unpacker};
use crate::filter::{FilterIndex, FilterShape};
use crate::info::{self, ObjectInfo, ObjectSummary};
use crate::streams::StreamTable;
use crate::trailer::{MAGIC, Section, Trailer};
use crate::{FormatError, Part};
use std::borrow::Cow;

/// What stands in the footer of an object: all that is needed to find rows in it by the numbers of their streams.
#[derive(Debug, Clone)]
pub struct Footer {
    /// Who wrote it, and for what.
    pub info: ObjectInfo,
    /// What it holds.
    pub summary: ObjectSummary,
    /// Streams in it, numbered from 0.
    pub stream_count: u32,
    /// Where the table of their labels stands; see [`Footer::open_streams`].
    pub streams: Extent,
    /// Its blocks.
    pub blocks: Vec<BlockEntry>,
    /// Its filters; damage to their description costs only them.
    pub filters: Result<FilterIndex, FormatError>,
}

/// Names a run: a block, and the place in its list of runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunRef {
    /// Number of the block.
    pub block: u32,
    /// Place of the run in the block.
    pub run: u32,
}

impl Footer {
    /// Reads the footer from the bytes of [`Trailer::footer_range`].
    ///
    /// Cost: a pass over the directory, and 80 bytes of memory per run; nothing per stream.
    ///
    /// # Errors
    /// When info or directory are damaged or do not fit together.
    pub fn parse(trailer: &Trailer, bytes: &[u8]) -> Result<Self, FormatError> {
        let mut unpacker = Unpacker::new();
        let mut open = |section| open(trailer, section, bytes, &mut unpacker);
        let (info, directory, filters) = (open(Section::Info), open(Section::Directory), open(Section::Filters));
        let (info, summary) = info::parse(trailer.section(Section::Info).reader(&info?))?;
        let extent = trailer.section(Section::Directory);
        let times = (summary.min_time, summary.max_time);
        let blocks = directory::parse(extent.reader(&directory?), MAGIC.len() as u64, times)?;
        check_sums(extent, &blocks, &summary)?;
        let body_end = blocks.last().map_or(MAGIC.len() as u64, |block| block.range().end);
        let filters = filters.and_then(|raw| parse_filters(trailer, &raw, body_end, blocks.len()));
        let stream_count = blocks.last().and_then(|block| block.runs.last()).map_or(0, |run| run.stream + 1);
        Ok(Footer { info, summary, stream_count, streams: *trailer.section(Section::Streams), blocks, filters })
    }

    /// Reads the labels of the streams from the bytes of [`Footer::streams`]. Readers that know the numbers of their streams need none.
    ///
    /// # Errors
    /// When the table is damaged or is not that of this directory.
    pub fn open_streams(&self, stored: &[u8]) -> Result<StreamTable, FormatError> {
        let raw = self.streams.open(stored, &mut Unpacker::new())?;
        let streams = StreamTable::parse(self.streams.reader(&raw))?;
        if streams.len() != self.stream_count as usize {
            return Err(self.streams.malformed("it has another number of streams than the directory"));
        }
        Ok(streams)
    }

    /// The runs of a stream, in time order; none when there is no such stream. Cost: two binary searches among the blocks.
    pub fn runs_of(&self, stream: u32) -> impl ExactSizeIterator<Item = (RunRef, &Run)> {
        // Streams are in order and without a gap, so those of a stream stand in blocks that follow each other.
        let first = self.blocks.partition_point(|block| block.runs.last().is_some_and(|run| run.stream < stream));
        let end = self.blocks.partition_point(|block| block.runs.first().is_some_and(|run| run.stream <= stream));
        self.blocks[first..end.max(first)].iter().map(move |block| {
            let place = block.place_of(stream).expect("its streams reach from before the stream to behind it");
            (RunRef { block: block.number, run: place as u32 }, &block.runs[place])
        })
    }

    /// A run. Panics when the reference is of another object.
    pub fn run(&self, at: RunRef) -> &Run {
        &self.blocks[at.block as usize].runs[at.run as usize]
    }

    /// Bytes of memory held, about.
    pub fn heap_bytes(&self) -> usize {
        let of_block = |block: &BlockEntry| {
            size_of::<BlockEntry>()
                + block.runs.capacity() * size_of::<Run>()
                + block.frames.capacity() * size_of::<crate::FrameEntry>()
                + block.columns.capacity() * size_of::<crate::ColumnEntry>()
        };
        let replaces: usize = self.info.replaces.iter().map(|name| name.len() + 24).sum();
        self.blocks.iter().map(of_block).sum::<usize>() + replaces
    }
}

/// Raw bytes of a section, from the bytes of the whole footer.
fn open<'a>(trailer: &Trailer, section: Section, footer: &'a [u8], unpacker: &mut Unpacker) -> Result<Cow<'a, [u8]>, FormatError> {
    let extent = trailer.section(section);
    let start = (extent.offset - trailer.footer_range().start) as usize;
    let stored = footer.get(start..).unwrap_or_default();
    extent.open(&stored[..stored.len().min(extent.stored_len as usize)], unpacker)
}

fn parse_filters(trailer: &Trailer, raw: &[u8], body_end: u64, blocks: usize) -> Result<FilterIndex, FormatError> {
    let extent = trailer.section(Section::Filters);
    let shape = FilterShape::parse(extent.reader(raw))?;
    if shape.blocks as usize != blocks || shape.offset != body_end || shape.end() != trailer.section(Section::Streams).offset {
        return Err(extent.malformed("filters do not stand between body and stream table"));
    }
    Ok(FilterIndex::new(shape))
}

/// Checks that blocks and summary agree.
fn check_sums(extent: &Extent, blocks: &[BlockEntry], summary: &ObjectSummary) -> Result<(), FormatError> {
    debug_assert_eq!(extent.part, Part::Directory);
    let rows: u64 = blocks.iter().map(|block| u64::from(block.rows)).sum();
    let line_bytes: u64 = blocks.iter().map(|block| u64::from(block.line_bytes)).sum();
    let span = blocks.iter().map(BlockEntry::time_span).reduce(|one, two| (one.0.min(two.0), one.1.max(two.1)));
    if rows != summary.digest.count || line_bytes != summary.line_bytes || span != Some((summary.min_time, summary.max_time)) {
        return Err(extent.malformed("blocks do not add up to the object"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
