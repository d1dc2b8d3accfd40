use crate::block::{BlockBuilder, RowWeights, Sink};
use crate::directory::{self, BlockEntry};
use crate::extent::Packer;
use crate::filter::FilterBuilder;
use crate::info::{self, ObjectInfo, ObjectSummary};
use crate::trailer::{MAGIC, Section, Trailer};
use crate::{BLOCK_LINE_BYTES, EncodeError, Part, ROW_BYTES_MAX, RowDigest, RowHasher, streams};
use bytes::Bytes;
use skald_model::{Day, Labels, Rows, Timestamp};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// How an object is written. Readers need not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterOptions {
    /// zstd level. Higher is smaller and slower.
    pub level: i32,
    /// Raw line bytes of a block, at most [`BLOCK_LINE_BYTES`]. Smaller skips more precisely and costs directory and filters.
    pub block_bytes: usize,
    /// Raw line bytes of a frame. Smaller reads less for a few lines and compresses worse.
    pub frame_bytes: usize,
}

impl Default for WriterOptions {
    fn default() -> Self {
        WriterOptions { level: 1, block_bytes: BLOCK_LINE_BYTES, frame_bytes: 512 << 10 }
    }
}

/// A finished object.
#[derive(Debug, Clone)]
pub struct EncodedObject {
    /// The whole object.
    pub bytes: Bytes,
    /// What it holds.
    pub summary: ObjectSummary,
    /// Streams in it.
    pub stream_count: usize,
    /// Blocks in it.
    pub block_count: usize,
}

/// Writes one data object, stream by stream. Equal input gives equal bytes.
///
/// Beside the output it holds one block, and 32 KiB of filter per finished block.
pub struct ObjectWriter {
    info: ObjectInfo,
    options: WriterOptions,
    hasher: RowHasher,
    packer: Packer,
    filters: FilterBuilder,
    out: Vec<u8>,
    streams: Vec<Labels>,
    /// Time of the last row of the last stream.
    last_time: i64,
    blocks: Vec<BlockEntry>,
    names: BTreeSet<(Arc<str>, bool)>,
    digest: RowDigest,
    /// The block that is being filled.
    open: BlockBuilder,
}

impl ObjectWriter {
    /// Begins an object. Options beyond what the format allows are brought into its bounds.
    ///
    /// # Errors
    /// When a text or list in `info` is too long, or the compression level is unknown.
    pub fn new(info: ObjectInfo, options: WriterOptions) -> Result<Self, EncodeError> {
        info.validate()?;
        let block_bytes = options.block_bytes.clamp(1, BLOCK_LINE_BYTES);
        let frame_bytes = options.frame_bytes.clamp(1, BLOCK_LINE_BYTES);
        Ok(ObjectWriter {
            hasher: RowHasher::new(&info.tenant),
            packer: Packer::new(options.level)?,
            filters: FilterBuilder::default(),
            out: MAGIC.to_vec(),
            streams: Vec::new(),
            last_time: i64::MIN,
            blocks: Vec::new(),
            names: BTreeSet::new(),
            digest: RowDigest::default(),
            open: BlockBuilder::default(),
            options: WriterOptions { block_bytes, frame_bytes, ..options },
            info,
        })
    }

    /// Adds all rows of a stream, sorted by time; streams come in ascending label order. A stream without rows is left out.
    ///
    /// # Errors
    /// When streams or rows are out of order, a column comes twice, a row is of another day or too large. Nothing of the stream was added then, unless the
    /// error is [`EncodeError::Compress`]; the object is of no use after that.
    pub fn add_stream(&mut self, labels: &Labels, rows: &Rows) -> Result<(), EncodeError> {
        if self.streams.last() == Some(labels) {
            return Err(EncodeError::StreamOrder { labels: labels.clone() });
        }
        self.add_rows(labels, rows)
    }

    /// As [`ObjectWriter::add_stream`], but further rows of the stream that was added last are taken too. However a stream is cut, the object is the
    /// same, unless blocks end for having very many metadata names: names that two pieces of a block share are counted twice.
    ///
    /// # Errors
    /// As [`ObjectWriter::add_stream`]; also when rows begin before the last row of the stream.
    pub fn add_rows(&mut self, labels: &Labels, rows: &Rows) -> Result<(), EncodeError> {
        check_columns(labels, rows)?;
        self.add_span(labels, rows, &mut RowWeights::new(rows), 0..rows.len())
    }

    /// Adds some rows of a stream; no column comes twice.
    pub(crate) fn add_span(
        &mut self,
        labels: &Labels,
        rows: &Rows,
        weights: &mut RowWeights,
        span: Range<usize>,
    ) -> Result<(), EncodeError> {
        self.check(labels, rows, weights, &span)?;
        let Some(last) = rows.timestamps()[span.clone()].last() else { return Ok(()) };
        self.last_time = *last;
        if self.streams.last() != Some(labels) {
            self.begin_stream(labels)?;
        }
        self.digest = self.digest.plus(self.hasher.digest(labels, rows, span.clone()));
        let number = self.streams.len() as u32 - 1;
        let mut left = span;
        while !left.is_empty() {
            let piece = self.open.cut_piece(rows, weights, left.clone(), self.options.block_bytes);
            if piece.rows.is_empty() {
                self.write_block()?;
                continue;
            }
            left.start = piece.rows.end;
            self.open.append(number, rows, &piece);
        }
        Ok(())
    }

    fn begin_stream(&mut self, labels: &Labels) -> Result<(), EncodeError> {
        if self.streams.len() >= u32::MAX as usize {
            return Err(EncodeError::ObjectTooLarge { what: "streams" });
        }
        self.streams.push(labels.clone());
        // A stream rather begins a block than ends one that is nearly full.
        if !self.open.is_empty() && self.open.line_bytes() >= self.options.block_bytes / 8 * 7 {
            self.write_block()?;
        }
        Ok(())
    }

    fn check(&self, labels: &Labels, rows: &Rows, weights: &RowWeights, span: &Range<usize>) -> Result<(), EncodeError> {
        if self.streams.last().is_some_and(|last| last > labels) {
            return Err(EncodeError::StreamOrder { labels: labels.clone() });
        }
        let times = &rows.timestamps()[span.clone()];
        let not_before = if self.streams.last() == Some(labels) { self.last_time } else { i64::MIN };
        if !times.is_sorted() || times.first().is_some_and(|first| *first < not_before) {
            return Err(EncodeError::RowOrder { labels: labels.clone() });
        }
        let ends = [times.first(), times.last()];
        let day = self.info.day;
        if let Some(at) = ends.into_iter().flatten().map(|at| Timestamp(*at)).find(|at| Day::of(*at) != day) {
            return Err(EncodeError::OutsideDay { labels: labels.clone(), at, day });
        }
        let too_large = |row: usize, what, bytes| {
            let at = Timestamp(rows.timestamps()[row]);
            Err(EncodeError::RowTooLarge { labels: labels.clone(), at, what, bytes, max: ROW_BYTES_MAX })
        };
        if let Some(row) = span.clone().find(|row| rows.line(*row).len() > ROW_BYTES_MAX) {
            return too_large(row, "line", rows.line(row).len());
        }
        match span.clone().find(|row| weights.metadata_bytes(*row) > ROW_BYTES_MAX) {
            Some(row) => too_large(row, "metadata", weights.metadata_bytes(row)),
            None => Ok(()),
        }
    }

    fn write_block(&mut self) -> Result<(), EncodeError> {
        let number = u32::try_from(self.blocks.len()).map_err(|_| EncodeError::ObjectTooLarge { what: "blocks" })?;
        let mut sink = Sink { out: &mut self.out, packer: &mut self.packer, filters: &mut self.filters };
        let entry = self.open.write(number, self.options.frame_bytes, &mut sink)?;
        for column in &entry.columns {
            if !self.names.contains(&(column.name.clone(), column.derived)) {
                self.names.insert((column.name.clone(), column.derived));
            }
        }
        self.blocks.push(entry);
        Ok(())
    }

    /// Bytes of the object so far: finished blocks, without the one that is being filled.
    pub fn output_len(&self) -> usize {
        self.out.len()
    }

    /// Writes what is left, the filters and the footer.
    ///
    /// # Errors
    /// [`EncodeError::Empty`] without any row; or when a section passes what the format can hold.
    pub fn finish(mut self) -> Result<EncodedObject, EncodeError> {
        if !self.open.is_empty() {
            self.write_block()?;
        }
        let span = self.blocks.iter().map(BlockEntry::time_span).reduce(|one, two| (one.0.min(two.0), one.1.max(two.1)));
        let (min_time, max_time) = span.ok_or(EncodeError::Empty)?;
        let line_bytes = self.blocks.iter().map(|block| u64::from(block.line_bytes)).sum();
        let summary = ObjectSummary { digest: self.digest, min_time, max_time, line_bytes };
        let filters = self.filters.finish(&mut self.out);
        let names: Vec<_> = self.names.into_iter().collect();
        let sections = [
            streams::encode(&self.streams),
            info::encode(&self.info, &summary),
            directory::encode(&self.blocks, &names, min_time),
            filters.encode(),
        ];
        let mut append = |section: Section, part| self.packer.append(&mut self.out, &sections[section as usize], part, "footer bytes");
        let trailer = Trailer::new([
            append(Section::Streams, Part::Streams)?,
            append(Section::Info, Part::Info)?,
            append(Section::Directory, Part::Directory)?,
            append(Section::Filters, Part::Filters)?,
        ]);
        self.out.extend_from_slice(&trailer.encode());
        Ok(EncodedObject { bytes: self.out.into(), summary, stream_count: self.streams.len(), block_count: self.blocks.len() })
    }
}

fn check_columns(labels: &Labels, rows: &Rows) -> Result<(), EncodeError> {
    let mut names: Vec<_> = rows.columns().iter().map(|column| (column.name(), column.is_derived())).collect();
    names.sort_unstable();
    match names.windows(2).find(|two| two[0] == two[1]) {
        Some(twice) => Err(EncodeError::ColumnTwice { labels: labels.clone(), name: twice[0].0.to_string() }),
        None => Ok(()),
    }
}
