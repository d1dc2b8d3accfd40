use crate::directory::{self, BlockEntry, Run};
use crate::extent::{Extent, Unpacker};
use crate::filter::{FilterIndex, FilterShape};
use crate::info::{self, ObjectInfo, ObjectSummary};
use crate::streams::{Lists, StreamTable};
use crate::trailer::{MAGIC, Section, Trailer};
use crate::{FormatError, Part};
use std::borrow::Cow;

/// What stands in the footer of an object: all that is needed to find rows in it.
#[derive(Debug, Clone)]
pub struct Footer {
    /// Who wrote it, and for what.
    pub info: ObjectInfo,
    /// What it holds.
    pub summary: ObjectSummary,
    /// Its streams.
    pub streams: StreamTable,
    /// Its blocks.
    pub blocks: Vec<BlockEntry>,
    /// Its filters; damage to their description costs only them.
    pub filters: Result<FilterIndex, FormatError>,
    /// Per stream, numbers into `run_refs`.
    runs: Lists,
    run_refs: Vec<RunRef>,
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
    /// # Errors
    /// When info, stream table or directory are damaged or do not fit together.
    pub fn parse(trailer: &Trailer, bytes: &[u8]) -> Result<Self, FormatError> {
        let mut unpacker = Unpacker::new();
        let mut open = |section| open(trailer, section, bytes, &mut unpacker);
        let (info, streams, directory, filters) =
            (open(Section::Info), open(Section::Streams), open(Section::Directory), open(Section::Filters));
        let (info, summary) = info::parse(trailer.section(Section::Info).reader(&info?))?;
        let streams = StreamTable::parse(trailer.section(Section::Streams).reader(&streams?))?;
        let extent = trailer.section(Section::Directory);
        let times = (summary.min_time, summary.max_time);
        let blocks = directory::parse(extent.reader(&directory?), MAGIC.len() as u64, times)?;
        let body_end = check_blocks(extent, &blocks, &streams, &summary)?;
        let filters = filters.and_then(|raw| parse_filters(trailer, &raw, body_end, blocks.len()));
        let run_refs: Vec<RunRef> =
            blocks.iter().flat_map(|block| (0..block.runs.len() as u32).map(|run| RunRef { block: block.number, run })).collect();
        let found = blocks.iter().flat_map(|block| block.runs.iter()).enumerate().map(|(i, run)| (run.stream, i as u32));
        let runs = Lists::group(streams.len(), found);
        Ok(Footer { info, summary, streams, blocks, filters, runs, run_refs })
    }

    /// The runs of a stream, in time order. Panics when there is no such stream.
    pub fn runs_of(&self, stream: u32) -> impl ExactSizeIterator<Item = (RunRef, &Run)> {
        self.runs.get(stream as usize).iter().map(|i| {
            let at = self.run_refs[*i as usize];
            (at, self.run(at))
        })
    }

    /// A run. Panics when the reference is of another object.
    pub fn run(&self, at: RunRef) -> &Run {
        &self.blocks[at.block as usize].runs[at.run as usize]
    }

    /// Bytes of memory held, about.
    pub fn heap_bytes(&self) -> usize {
        let columns: usize =
            self.blocks.iter().map(|block| block.frames.len() * size_of::<crate::FrameEntry>() + block.columns.len() * 56).sum();
        let replaces: usize = self.info.replaces.iter().map(|name| name.len() + 24).sum();
        self.streams.heap_bytes()
            + self.run_refs.len() * (size_of::<Run>() + 16)
            + self.blocks.len() * size_of::<BlockEntry>()
            + columns
            + replaces
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
    if shape.blocks as usize != blocks || shape.offset != body_end || shape.end() != trailer.footer_range().start {
        return Err(extent.malformed("filters do not stand between body and footer"));
    }
    Ok(FilterIndex::new(shape))
}

/// Checks that blocks, streams and summary agree; gives the end of the last block.
fn check_blocks(extent: &Extent, blocks: &[BlockEntry], streams: &StreamTable, summary: &ObjectSummary) -> Result<u64, FormatError> {
    debug_assert_eq!(extent.part, Part::Directory);
    let mut last_seen = vec![None; streams.len()];
    for run in blocks.iter().flat_map(|block| &block.runs) {
        let Some(last) = last_seen.get_mut(run.stream as usize) else {
            return Err(extent.malformed("a run is of an unknown stream"));
        };
        if last.is_some_and(|last| last > run.min_time) {
            return Err(extent.malformed("runs of a stream are not in time order"));
        }
        *last = Some(run.max_time);
    }
    let rows: u64 = blocks.iter().map(|block| u64::from(block.rows)).sum();
    let line_bytes: u64 = blocks.iter().map(|block| u64::from(block.line_bytes)).sum();
    let span = blocks.iter().map(BlockEntry::time_span).reduce(|one, two| (one.0.min(two.0), one.1.max(two.1)));
    if rows != summary.digest.count || line_bytes != summary.line_bytes || span != Some((summary.min_time, summary.max_time)) {
        return Err(extent.malformed("blocks do not add up to the object"));
    }
    Ok(blocks.last().map_or(MAGIC.len() as u64, |block| block.range().end))
}

#[cfg(test)]
mod tests;
