use crate::layout::PARTS;
use crate::long_labels::LongLabels;
use crate::rows::read_block;
use crate::select::Labelled;
use crate::terms::{FILE_COUNT, Terms};
use crate::wire::Reader;
use crate::{BLOCK_STREAMS, FormatError, IndexedStream, LabelValues, Layout, Matcher, Part, QueryError, Question, Selection};
use bytes::Bytes;
use skald_model::{TimeRange, Timestamp};
use std::ops::Range;
use tantivy::directory::OwnedBytes;

/// An open index: everything of a file but its rows, in memory.
pub struct Index {
    objects: Vec<String>,
    /// Earliest and latest time of all rows; reversed when there are none.
    span: (i64, i64),
    blocks: Vec<StoredBlock>,
    long: LongLabels,
    terms: Terms,
    core_len: usize,
}

/// Where a row block ends, and its checksum.
struct StoredBlock {
    end: u64,
    crc: u32,
}

/// A piece of the file that has labels and references of up to 32 neighbouring streams.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RowBlock {
    /// Its number, from 0.
    pub number: u32,
    /// Where it stands in the file. Blocks stand one after the other.
    pub range: Range<u64>,
}

impl Index {
    /// Opens the core of a file: the bytes that [`Layout::core`] names. All of its checksums are verified first, then nothing is decoded but object names and
    /// places of rows. `core` is taken over without a copy if it shares its memory with nobody.
    ///
    /// # Errors
    /// When anything of the core is damaged.
    pub fn open(layout: &Layout, core: Bytes) -> Result<Self, FormatError> {
        let parts = layout.verify(&core)?;
        let core_len = core.len();
        let info = Info::parse(&core[parts[0].clone()])?;
        let blocks = parse_row_table(&core[parts[1].clone()], info.streams, layout.core().start)?;
        let long = LongLabels::parse(&core[parts[2].clone()], info.streams)?;
        let core = OwnedBytes::new(Vec::from(core));
        let files: [OwnedBytes; FILE_COUNT] = std::array::from_fn(|i| core.slice(parts[PARTS.len() - FILE_COUNT + i].clone()));
        let terms = Terms::open(files)?;
        if terms.streams() != info.streams {
            return Err(FormatError::Terms("they have another number of streams".into()));
        }
        Ok(Index { objects: info.objects, span: info.span, blocks, long, terms, core_len })
    }

    /// Names of the objects that the streams refer to.
    pub fn objects(&self) -> &[String] {
        &self.objects
    }

    /// Number of streams.
    pub fn len(&self) -> usize {
        self.terms.streams() as usize
    }

    /// Whether there is no stream.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Earliest and latest time of all rows that the streams refer to; nothing if there is no stream.
    pub fn time_span(&self) -> Option<(Timestamp, Timestamp)> {
        (self.span.0 <= self.span.1).then_some((Timestamp(self.span.0), Timestamp(self.span.1)))
    }

    /// Bytes of memory held, about.
    pub fn heap_bytes(&self) -> usize {
        const OF_TANTIVY: usize = 6 << 10;
        let objects: usize = self.objects.iter().map(|name| name.capacity() + size_of::<String>()).sum();
        self.core_len + objects + self.blocks.capacity() * size_of::<StoredBlock>() + self.long.heap_bytes() + OF_TANTIVY
    }

    fn labelled(&self) -> Labelled<'_> {
        Labelled { terms: &self.terms, long: &self.long }
    }

    /// All streams.
    pub fn select_all(&self) -> Selection {
        Selection::all(self.terms.streams())
    }

    /// The streams for which all matchers hold and whose span of time, from the earliest to the latest row of any object, reaches into `range`.
    /// A stream may have no row in the range nevertheless: its references tell.
    ///
    /// # Errors
    /// [`QueryError::Pattern`] and [`QueryError::PatternTooLarge`] for what is wrong with the question.
    pub fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<Selection, QueryError> {
        Ok(self.ask(&Question::new(matchers)?, range)?)
    }

    /// [`Index::select`] for matchers that are compiled already.
    ///
    /// # Errors
    /// When the dictionary is damaged in a way that checksums do not show.
    pub fn ask(&self, question: &Question, range: TimeRange) -> Result<Selection, FormatError> {
        self.labelled().select(question, range, self.span)
    }

    /// Names of the labels that the streams of the selection have, or any stream; ascending.
    ///
    /// # Errors
    /// When the dictionary is damaged in a way that checksums do not show.
    pub fn label_names(&self, selection: Option<&Selection>) -> Result<Vec<String>, QueryError> {
        Ok(self.labelled().names(selection)?)
    }

    /// Values that the streams of the selection have for a label name, or any stream.
    ///
    /// # Errors
    /// When the dictionary is damaged in a way that checksums do not show.
    pub fn label_values(&self, name: &str, selection: Option<&Selection>) -> Result<LabelValues, QueryError> {
        Ok(self.labelled().values(name, selection)?)
    }

    /// The row blocks that have streams of the selection, ascending. Neighbours touch, so that they can be read together.
    pub fn row_blocks(&self, selection: &Selection) -> Vec<RowBlock> {
        let wanted = (0..self.blocks.len() as u32).filter(|block| selection.block(*block) != 0);
        wanted.map(|block| self.row_block(block)).collect()
    }

    fn row_block(&self, number: u32) -> RowBlock {
        let start = if number == 0 { 0 } else { self.blocks[number as usize - 1].end };
        RowBlock { number, range: start..self.blocks[number as usize].end }
    }

    /// The streams of the selection that stand in a row block, by ascending labels. `bytes` are those of the file at the block's range.
    ///
    /// # Errors
    /// When the bytes are not those that were written.
    pub fn streams(&self, block: &RowBlock, bytes: &[u8], selection: &Selection) -> Result<Vec<IndexedStream>, FormatError> {
        let part = Part::Rows(block.number);
        let stored = self.blocks.get(block.number as usize).ok_or(FormatError::Malformed { part, what: "there is no such block" })?;
        let want = self.row_block(block.number).range;
        if bytes.len() as u64 != want.end - want.start {
            return Err(FormatError::Length { found: bytes.len() as u64, want: want.end - want.start });
        }
        let computed = crc32fast::hash(bytes);
        if computed != stored.crc {
            return Err(FormatError::Checksum { part, stored: stored.crc, computed });
        }
        let wanted = selection.block(block.number);
        let mut streams = Vec::with_capacity(wanted.count_ones() as usize);
        read_block(block.number, bytes, wanted, self.objects.len(), |stream| streams.push(stream))?;
        Ok(streams)
    }
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("streams", &self.len()).field("objects", &self.objects.len()).finish_non_exhaustive()
    }
}

/// Counts, times and object names.
pub(crate) struct Info {
    pub(crate) streams: u32,
    pub(crate) span: (i64, i64),
    pub(crate) objects: Vec<String>,
}

impl Info {
    fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes, Part::Info);
        let streams = reader.small("there are too many streams")?;
        let span = (reader.signed()?, reader.signed()?);
        if (span.0 <= span.1) != (streams > 0) {
            return Err(reader.malformed("its times are reversed"));
        }
        let mut objects = Vec::with_capacity(reader.count(1)?);
        for _ in 0..objects.capacity() {
            objects.push(reader.text()?.to_owned());
        }
        reader.finish()?;
        Ok(Info { streams, span, objects })
    }
}

/// The blocks fill all that is before the core.
fn parse_row_table(bytes: &[u8], streams: u32, core_start: u64) -> Result<Vec<StoredBlock>, FormatError> {
    let mut reader = Reader::new(bytes, Part::RowTable);
    let mut blocks = Vec::with_capacity((streams.div_ceil(BLOCK_STREAMS) as usize).min(bytes.len()));
    let mut end = 0u64;
    for _ in 0..streams.div_ceil(BLOCK_STREAMS) {
        end = end.saturating_add(reader.varint()?);
        blocks.push(StoredBlock { end, crc: reader.u32()? });
    }
    if end != core_start {
        return Err(reader.malformed("the row blocks do not end where the core begins"));
    }
    reader.finish()?;
    Ok(blocks)
}
