use crate::long_labels::LongLabels;
use crate::rows::BlockBuilder;
use crate::terms::TermsBuilder;
use crate::wire::{put_signed, put_text, put_varint};
use crate::{BuildError, Layout, Reference};
use bytes::Bytes;
use skald_model::{Labels, Timestamp};
use std::collections::HashSet;

/// Most streams of an index.
const STREAMS_MAX: u32 = 1 << 30;
/// Most objects that an index can refer to.
const OBJECTS_MAX: usize = 1 << 24;

/// Writes an index file, on the caller's thread and in memory: it holds the file, and about 100 bytes more for each stream.
pub struct IndexWriter {
    objects: Vec<String>,
    streams: u32,
    span: (i64, i64),
    last: Option<Labels>,
    block: BlockBuilder,
    /// What the file begins with: the row blocks.
    out: Vec<u8>,
    row_table: Vec<u8>,
    long: LongLabels,
    terms: TermsBuilder,
    sorted: Vec<Reference>,
}

impl IndexWriter {
    /// Begins an index over these objects, to which references give numbers in this order.
    ///
    /// # Errors
    /// When an object is named twice.
    pub fn new(objects: Vec<String>) -> Result<Self, BuildError> {
        if objects.len() > OBJECTS_MAX {
            return Err(BuildError::TooLarge { what: "objects", max: OBJECTS_MAX as u64 });
        }
        let mut names = HashSet::with_capacity(objects.len());
        if let Some(name) = objects.iter().find(|name| !names.insert(name.as_str())) {
            return Err(BuildError::ObjectTwice { name: name.clone() });
        }
        Ok(IndexWriter {
            objects,
            streams: 0,
            span: (i64::MAX, i64::MIN),
            last: None,
            block: BlockBuilder::default(),
            out: Vec::new(),
            row_table: Vec::new(),
            long: LongLabels::default(),
            terms: TermsBuilder::new()?,
            sorted: Vec::new(),
        })
    }

    /// Adds a stream, whose labels come after those of the stream before, with its references in any order.
    ///
    /// # Errors
    /// When streams are not in order, or references make no sense. The writer is of no use then.
    pub fn add(&mut self, labels: &Labels, references: &[Reference]) -> Result<(), BuildError> {
        if self.last.as_ref().is_some_and(|last| last >= labels) {
            return Err(BuildError::StreamOrder { labels: labels.clone() });
        }
        if self.streams == STREAMS_MAX {
            return Err(BuildError::TooLarge { what: "streams", max: u64::from(STREAMS_MAX) });
        }
        let (min_time, max_time) = self.check(labels, references)?;
        self.sorted.clear();
        self.sorted.extend_from_slice(references);
        self.sorted.sort_by_key(|reference| reference.object);
        if let Some(twice) = self.sorted.windows(2).find(|pair| pair[0].object == pair[1].object) {
            return Err(BuildError::ReferenceTwice { labels: labels.clone(), object: self.objects[twice[0].object as usize].clone() });
        }
        self.terms.add(labels, min_time, max_time)?;
        self.long.add(self.streams, labels)?;
        self.block.push(labels, &self.sorted);
        self.streams += 1;
        self.span = (self.span.0.min(min_time.0), self.span.1.max(max_time.0));
        self.last = Some(labels.clone());
        if self.block.is_full() {
            self.end_block();
        }
        Ok(())
    }

    /// Earliest and latest time of the references.
    fn check(&self, labels: &Labels, references: &[Reference]) -> Result<(Timestamp, Timestamp), BuildError> {
        for Reference { object, min_time, max_time, .. } in references {
            if *object as usize >= self.objects.len() {
                return Err(BuildError::UnknownObject { labels: labels.clone(), object: *object, objects: self.objects.len() });
            }
            if min_time > max_time {
                return Err(BuildError::TimeOrder { labels: labels.clone() });
            }
        }
        let min = references.iter().map(|reference| reference.min_time).min();
        let max = references.iter().map(|reference| reference.max_time).max();
        min.zip(max).ok_or_else(|| BuildError::NoReference { labels: labels.clone() })
    }

    fn end_block(&mut self) {
        let start = self.out.len();
        self.block.finish(&mut self.out);
        put_varint(&mut self.row_table, (self.out.len() - start) as u64);
        self.row_table.extend_from_slice(&crc32fast::hash(&self.out[start..]).to_le_bytes());
    }

    /// Ends the file and gives all of it.
    ///
    /// # Errors
    /// When a part is larger than the format can say.
    pub fn finish(mut self) -> Result<Bytes, BuildError> {
        if !self.block.is_empty() {
            self.end_block();
        }
        let mut info = Vec::new();
        put_varint(&mut info, u64::from(self.streams));
        put_signed(&mut info, self.span.0);
        put_signed(&mut info, self.span.1);
        put_varint(&mut info, self.objects.len() as u64);
        self.objects.iter().for_each(|name| put_text(&mut info, name));
        let [term, idx, fast, fieldnorm, pos, meta] = self.terms.finish()?;
        let parts = [info, self.row_table, self.long.encode(), term, idx, fast, fieldnorm, pos, meta];
        let too_large = BuildError::TooLarge { what: "bytes of one part", max: u64::from(u32::MAX) };
        let layout = Layout::new(self.out.len() as u64, &parts).ok_or(too_large)?;
        self.out.reserve_exact(parts.iter().map(Vec::len).sum::<usize>() + Layout::TAIL_LEN);
        parts.iter().for_each(|part| self.out.extend_from_slice(part));
        self.out.extend_from_slice(&layout.encode());
        Ok(self.out.into())
    }
}

impl std::fmt::Debug for IndexWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IndexWriter").field("streams", &self.streams).field("objects", &self.objects.len()).finish_non_exhaustive()
    }
}
