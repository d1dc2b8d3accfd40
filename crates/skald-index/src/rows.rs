use crate::wire::{Reader, put_signed, put_text, put_varint};
use crate::{BLOCK_STREAMS, FormatError, Part};
use skald_model::{Labels, Timestamp};

/// One stream of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedStream {
    /// Its labels. They ascend from stream to stream.
    pub labels: Labels,
    /// Where its rows are, by ascending object number; an object comes once.
    pub references: Vec<Reference>,
}

/// Rows of a stream in one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reference {
    /// The object: its place in [`Index::objects`](crate::Index::objects).
    pub object: u32,
    /// Number of the stream in that object's stream table.
    pub stream: u32,
    /// Time of the earliest row.
    pub min_time: Timestamp,
    /// Time of the latest row.
    pub max_time: Timestamp,
    /// Number of rows.
    pub rows: u64,
    /// Raw bytes of their lines.
    pub line_bytes: u64,
    /// Bytes of their metadata, as volumes count them: of what was pushed, and some for what was derived.
    pub metadata_bytes: u64,
}

/// LZ4 makes of a byte no more than this many.
const LZ4_RATIO_MAX: usize = 255;
/// A reference takes this many bytes at least.
const REFERENCE_LEN_MIN: usize = 7;

/// Collects the streams of a row block.
#[derive(Default)]
pub(crate) struct BlockBuilder {
    streams: u32,
    /// Of each stream: length of its labels, length of its references, labels.
    labels: Vec<u8>,
    /// Of each stream: how many references it has, and where they end in `references`.
    pending: Vec<(usize, Labels)>,
    references: Vec<Reference>,
}

impl BlockBuilder {
    pub(crate) fn is_full(&self) -> bool {
        self.streams == BLOCK_STREAMS
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.streams == 0
    }

    /// Adds a stream; its references ascend by object.
    pub(crate) fn push(&mut self, labels: &Labels, references: &[Reference]) {
        self.streams += 1;
        self.references.extend_from_slice(references);
        self.pending.push((self.references.len(), labels.clone()));
    }

    /// Appends the block to `out` and begins the next.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        let base = self.references.iter().map(|reference| reference.min_time.0).min().unwrap_or(0);
        let (mut references, mut pairs, mut start) = (Vec::new(), Vec::new(), 0);
        self.labels.clear();
        for (end, labels) in self.pending.drain(..) {
            pairs.clear();
            put_labels(&mut pairs, &labels);
            let before = references.len();
            put_references(&mut references, base, &self.references[start..end]);
            put_varint(&mut self.labels, pairs.len() as u64);
            put_varint(&mut self.labels, (references.len() - before) as u64);
            self.labels.extend_from_slice(&pairs);
            start = end;
        }
        let packed = lz4_flex::block::compress(&self.labels);
        put_signed(out, base);
        put_varint(out, self.labels.len() as u64);
        put_varint(out, packed.len() as u64);
        out.extend_from_slice(&packed);
        out.extend_from_slice(&references);
        self.references.clear();
        self.streams = 0;
    }
}

/// Reads the streams of a block that `wanted` has a bit for, the first in the lowest bit. The block's checksum was verified.
pub(crate) fn read_block(
    number: u32,
    bytes: &[u8],
    wanted: u32,
    objects: usize,
    mut each: impl FnMut(IndexedStream),
) -> Result<(), FormatError> {
    let part = Part::Rows(number);
    let mut reader = Reader::new(bytes, part);
    let base = reader.signed()?;
    let raw_len = reader.varint()?;
    let packed = reader.bytes()?;
    if raw_len > (packed.len() * LZ4_RATIO_MAX) as u64 {
        return Err(reader.malformed("its labels cannot have that length"));
    }
    let raw = lz4_flex::block::decompress(packed, raw_len as usize).map_err(|_| reader.malformed("its labels are no LZ4 block"))?;
    let mut labels = Reader::new(&raw, part);
    for place in 0..BLOCK_STREAMS {
        let (pairs_len, references_len) = (labels.varint()?, labels.varint()?);
        let pairs = labels.take(usize::try_from(pairs_len).unwrap_or(usize::MAX))?;
        let references = reader.take(usize::try_from(references_len).unwrap_or(usize::MAX))?;
        if wanted >> place & 1 == 1 {
            let references = read_references(Reader::new(references, part), base, objects)?;
            each(IndexedStream { labels: read_labels(Reader::new(pairs, part))?, references });
        }
        if wanted.checked_shr(place + 1).unwrap_or(0) == 0 {
            return Ok(());
        }
    }
    Ok(())
}

fn put_labels(out: &mut Vec<u8>, labels: &Labels) {
    put_varint(out, labels.len() as u64);
    for (name, value) in labels.iter() {
        put_text(out, name);
        put_text(out, value);
    }
}

fn read_labels(mut reader: Reader<'_>) -> Result<Labels, FormatError> {
    let mut pairs = Vec::with_capacity(reader.count(2)?);
    for _ in 0..pairs.capacity() {
        let (name, value) = (reader.text()?, reader.text()?);
        if value.is_empty() || pairs.last().is_some_and(|(before, _)| *before >= name) {
            return Err(reader.malformed("labels are not in order, or empty"));
        }
        pairs.push((name, value));
    }
    let labels = Labels::from_sorted(pairs.into_iter()).map_err(|_| reader.malformed("labels are too large"))?;
    reader.finish()?;
    Ok(labels)
}

/// Times are small numbers where references follow each other in time, as objects that were flushed one after the other do.
fn put_references(out: &mut Vec<u8>, base: i64, references: &[Reference]) {
    put_varint(out, references.len() as u64);
    let (mut next_object, mut stream, mut time) = (0, 0, base);
    for reference in references {
        put_varint(out, u64::from(reference.object - next_object));
        put_signed(out, i64::from(reference.stream) - stream);
        put_signed(out, reference.min_time.0.wrapping_sub(time));
        put_varint(out, reference.max_time.0.wrapping_sub(reference.min_time.0) as u64);
        put_varint(out, reference.rows);
        put_varint(out, reference.line_bytes);
        put_varint(out, reference.metadata_bytes);
        (next_object, stream, time) = (reference.object + 1, i64::from(reference.stream), reference.max_time.0);
    }
}

fn read_references(mut reader: Reader<'_>, base: i64, objects: usize) -> Result<Vec<Reference>, FormatError> {
    let mut references = Vec::with_capacity(reader.count(REFERENCE_LEN_MIN)?);
    let (mut next_object, mut stream, mut time) = (0u64, 0i64, base);
    for _ in 0..references.capacity() {
        let object = next_object.saturating_add(reader.varint()?);
        if object >= objects as u64 {
            return Err(reader.malformed("it refers to an unknown object"));
        }
        stream = stream.wrapping_add(reader.signed()?);
        let number = u32::try_from(stream).map_err(|_| reader.malformed("a stream number is out of range"))?;
        let min_time = time.wrapping_add(reader.signed()?);
        let max_time = min_time.wrapping_add(reader.varint()? as i64);
        if max_time < min_time {
            return Err(reader.malformed("a reference ends before it begins"));
        }
        references.push(Reference {
            object: object as u32,
            stream: number,
            min_time: Timestamp(min_time),
            max_time: Timestamp(max_time),
            rows: reader.varint()?,
            line_bytes: reader.varint()?,
            metadata_bytes: reader.varint()?,
        });
        (next_object, time) = (object + 1, max_time);
    }
    reader.finish()?;
    Ok(references)
}

#[cfg(test)]
mod tests;
