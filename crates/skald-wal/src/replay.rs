use crate::SealedGeneration;
use crate::WalError;
use crate::folder::{generation_dir, segment_path};
use crate::format::SegmentId;
use crate::segment::{SegmentReader, Step};
use bytes::Bytes;
use std::fmt;
use std::ops::Range;

/// Corrupt ranges that a report names; the rest is counted.
const CORRUPT_LEN_MAX: usize = 100;
/// Gaps that may still turn out to be none.
const GAPS_LEN_MAX: usize = 1000;

/// Streams the records of a sealed generation, in the order in which they were appended. Holds one record at a time.
pub struct Replay {
    sealed: SealedGeneration,
    /// Segments not opened yet: an index into those of `sealed`.
    next_segment: usize,
    reader: Option<SegmentReader>,
    sequences: Sequences,
    report: ReplayReport,
}

/// One intact record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it lies. No other record of the generation has this position.
    pub position: Position,
    /// Its number in the generation, from 0. Two records have the same number when the first was never acknowledged.
    pub sequence: u64,
    /// What was appended.
    pub body: Bytes,
}

/// A place in a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Number of the segment.
    pub segment: u64,
    /// Bytes from its beginning.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {} offset {}", self.segment, self.offset)
    }
}

/// What replay found, and what it did not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// Segments read to their end.
    pub segments: u64,
    /// Records found.
    pub records: u64,
    /// Bytes of their bodies.
    pub body_bytes: u64,
    /// Bytes after the last record of each segment. A crash in the middle of an append leaves them, and they were not acknowledged.
    pub torn_tail_bytes: u64,
    /// Damaged bytes that intact records follow: the first 100 places.
    pub corrupt: Vec<CorruptRange>,
    /// Number of such places.
    pub corrupt_ranges: u64,
    /// Bytes in such places.
    pub corrupt_bytes: u64,
    /// Records that were appended before others which were found, and were not found themselves. At the end of a generation replay cannot tell a
    /// record that was lost from one that was never finished: those are among the torn bytes.
    pub missing_records: u64,
}

impl ReplayReport {
    /// Whether nothing is known to be lost. A torn tail is no loss.
    pub fn is_clean(&self) -> bool {
        self.corrupt_ranges == 0 && self.missing_records == 0
    }
}

/// Damaged bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CorruptRange {
    /// Number of the segment.
    pub segment: u64,
    /// Bytes from its beginning.
    pub offset: u64,
    /// Bytes to the next intact record.
    pub len: u64,
}

impl Replay {
    pub(crate) fn new(sealed: &SealedGeneration) -> Self {
        Replay { sealed: sealed.clone(), next_segment: 0, reader: None, sequences: Sequences::default(), report: ReplayReport::default() }
    }

    /// The next intact record; `None` at the end. What is torn or corrupt is skipped and goes into the report.
    ///
    /// # Errors
    /// When the disk cannot be read. The next call tries the same place again.
    pub fn next_record(&mut self) -> Result<Option<Record>, WalError> {
        loop {
            let Some(reader) = &mut self.reader else {
                if !self.open_next()? {
                    self.report.missing_records += self.sequences.finish();
                    return Ok(None);
                }
                continue;
            };
            let segment = reader.id.segment;
            match reader.step()? {
                Step::Record { offset, sequence, body, damaged_from } => {
                    self.report.add_record(segment, offset, body.len(), damaged_from);
                    self.report.missing_records += self.sequences.record(sequence);
                    return Ok(Some(Record { position: Position { segment, offset }, sequence, body }));
                }
                Step::End { tail_len } => {
                    self.report.segments += 1;
                    self.report.torn_tail_bytes += tail_len;
                    self.reader = None;
                }
            }
        }
    }

    /// What was found so far; complete once [`Replay::next_record`] has given `None`.
    pub fn report(&self) -> &ReplayReport {
        &self.report
    }

    fn open_next(&mut self) -> Result<bool, WalError> {
        let SealedGeneration { shared, generation, segments, .. } = &self.sealed;
        let Some(segment) = segments.get(self.next_segment).copied() else { return Ok(false) };
        let path = segment_path(&generation_dir(&shared.dir, *generation), segment);
        let id = SegmentId { disk: shared.disk_id, generation: *generation, segment };
        let (reader, first_sequence) = SegmentReader::open(&*shared.disk, path, id)?;
        if let Some(first) = first_sequence {
            self.report.missing_records += self.sequences.segment(first);
        }
        self.reader = Some(reader);
        self.next_segment += 1;
        Ok(true)
    }
}

impl ReplayReport {
    fn add_record(&mut self, segment: u64, offset: u64, body_len: usize, damaged_from: Option<u64>) {
        self.records += 1;
        self.body_bytes += body_len as u64;
        if let Some(start) = damaged_from {
            let range = CorruptRange { segment, offset: start, len: offset - start };
            self.corrupt_ranges += 1;
            self.corrupt_bytes += range.len;
            if self.corrupt.len() < CORRUPT_LEN_MAX {
                self.corrupt.push(range);
            }
        }
    }
}

/// Finds the numbers that are missing.
///
/// Sequence numbers count acknowledged records, so those of a failed append come again on the next segment: a segment's first number says how many
/// were acknowledged before it, and takes back gaps at or after it.
#[derive(Default)]
struct Sequences {
    expected: u64,
    gaps: Vec<Range<u64>>,
}

impl Sequences {
    /// A segment begins at `first`. Gives how many numbers before it are missing for sure.
    fn segment(&mut self, first: u64) -> u64 {
        let before: u64 = self.gaps.drain(..).map(|gap| gap.end.min(first).saturating_sub(gap.start)).sum();
        let since = first.saturating_sub(self.expected);
        self.expected = first;
        before + since
    }

    /// A record was found. Gives how many numbers are counted as missing, as there are too many gaps to remember.
    fn record(&mut self, sequence: u64) -> u64 {
        if sequence > self.expected {
            self.gaps.push(self.expected..sequence);
        }
        self.expected = self.expected.max(sequence.saturating_add(1));
        if self.gaps.len() > GAPS_LEN_MAX { self.finish() } else { 0 }
    }

    fn finish(&mut self) -> u64 {
        self.gaps.drain(..).map(|gap| gap.end - gap.start).sum()
    }
}
