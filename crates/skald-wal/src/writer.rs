use crate::error::Context;
use crate::folder::{generation_dir, segment_path};
use crate::format::{BODY_LEN_MAX, RECORD_HEADER_LEN, RecordHeader, SEGMENT_HEADER_LEN, SegmentHeader, SegmentId, VERSION};
use crate::wal::Shared;
use crate::{Position, WalError};
use skald_model::Generation;
use skald_model::seam::DiskFile;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Records are gathered up to this size before a write. A larger body is written from where it lies.
const WRITE_SIZE: usize = 1 << 20;

/// Appends to one generation. To seal the generation, drop its writer.
pub struct GenerationWriter {
    shared: Arc<Shared>,
    generation: Generation,
    folder: PathBuf,
    segment: Option<OpenSegment>,
    next_segment: u64,
    /// Records acknowledged, which is also the sequence number of the next.
    records: u64,
    bytes: u64,
    last: Option<Position>,
    buffer: Vec<u8>,
}

/// A segment on which no write or sync has failed.
struct OpenSegment {
    id: SegmentId,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    len: u64,
    /// Whether a group on it was acknowledged, so that its name is durable.
    acknowledged: bool,
}

impl GenerationWriter {
    pub(crate) fn new(shared: Arc<Shared>, generation: Generation) -> Self {
        let folder = generation_dir(&shared.dir, generation);
        GenerationWriter {
            shared,
            generation,
            folder,
            segment: None,
            next_segment: 0,
            records: 0,
            bytes: 0,
            last: None,
            buffer: Vec::new(),
        }
    }

    /// Number of the generation.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Bytes on the disk.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Records acknowledged.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Where the last acknowledged record lies.
    pub fn last_position(&self) -> Option<Position> {
        self.last
    }

    /// Appends a group of records and returns once all are durable: as few writes as possible, then one sync. The group lies in one segment.
    ///
    /// # Errors
    /// [`WalError::RecordTooLarge`]: nothing was written. Any other error: nothing of the group is acknowledged, though replay may find some of it.
    /// The segment is then given up, for after a failed write or sync nothing is known of its end; what was acknowledged on it before stays, and the
    /// next call begins a new segment.
    pub fn append<R: AsRef<[u8]>>(&mut self, group: &[R]) -> Result<(), WalError> {
        if group.is_empty() {
            return Ok(());
        }
        let group_len = self.check(group)?;
        self.segment.take_if(|segment| segment.acknowledged && segment.len + group_len > self.shared.config.segment_size);
        let mut segment = match self.segment.take() {
            Some(segment) => segment,
            None => self.begin_segment()?,
        };
        let len_before = segment.len;
        let written = self.write_group(&mut segment, group);
        match written {
            Ok(()) => {
                self.records += group.len() as u64;
                self.add_bytes(segment.len - len_before);
                let last_len = group.last().map_or(0, |body| RECORD_HEADER_LEN + body.as_ref().len()) as u64;
                self.last = Some(Position { segment: segment.id.segment, offset: segment.len - last_len });
                segment.acknowledged = true;
                self.segment = Some(segment);
            }
            Err(_) => self.give_up(segment, len_before),
        }
        self.buffer.clear();
        written
    }

    /// Bytes that the group takes with its headers.
    fn check<R: AsRef<[u8]>>(&self, group: &[R]) -> Result<u64, WalError> {
        let max = self.shared.config.record_size_max.min(BODY_LEN_MAX);
        let mut group_len = 0;
        for body in group {
            let len = body.as_ref().len();
            if len > max as usize {
                return Err(WalError::RecordTooLarge { len, max });
            }
            group_len += (RECORD_HEADER_LEN + len) as u64;
        }
        Ok(group_len)
    }

    fn begin_segment(&mut self) -> Result<OpenSegment, WalError> {
        let id = SegmentId { disk: self.shared.disk_id, generation: self.generation, segment: self.next_segment };
        // A number is not tried again: what a failed attempt left behind may come back after a power cut.
        self.next_segment += 1;
        let path = segment_path(&self.folder, id.segment);
        let file = self.shared.disk.create_new(&path).context("create", &path)?;
        Ok(OpenSegment { id, path, file, len: 0, acknowledged: false })
    }

    fn write_group<R: AsRef<[u8]>>(&mut self, segment: &mut OpenSegment, group: &[R]) -> Result<(), WalError> {
        if segment.len == 0 {
            self.buffer.reserve(SEGMENT_HEADER_LEN);
            self.buffer.extend_from_slice(&SegmentHeader { version: VERSION, id: segment.id, first_sequence: self.records }.encode());
        }
        for (sequence, body) in (self.records..).zip(group) {
            let body = body.as_ref();
            let header = RecordHeader::of(body, body.len() as u32, sequence);
            let offset = segment.len + self.buffer.len() as u64;
            self.buffer.extend_from_slice(&header.encode(&segment.id, offset));
            if body.len() < WRITE_SIZE {
                self.buffer.extend_from_slice(body);
            }
            if self.buffer.len() >= WRITE_SIZE || body.len() >= WRITE_SIZE {
                segment.write(&self.buffer)?;
                self.buffer.clear();
            }
            if body.len() >= WRITE_SIZE {
                segment.write(body)?;
            }
        }
        if !self.buffer.is_empty() {
            segment.write(&self.buffer)?;
        }
        segment.file.sync().context("sync", &segment.path)?;
        if !segment.acknowledged {
            self.shared.disk.sync_dir(&self.folder).context("sync", &self.folder)?;
        }
        Ok(())
    }

    /// Counts what a failed group left on the segment. One that holds nothing acknowledged is removed, so that a disk which stays full does not fill
    /// with beginnings of segments; if that fails, replay copes.
    fn give_up(&mut self, segment: OpenSegment, len_before: u64) {
        let OpenSegment { path, file, len, acknowledged, .. } = segment;
        let len = file.len().unwrap_or(len);
        drop(file);
        if acknowledged || self.shared.disk.remove_file(&path).is_err() {
            self.add_bytes(len.saturating_sub(len_before));
        }
    }

    fn add_bytes(&mut self, bytes: u64) {
        self.bytes += bytes;
        if let Some(used) = self.shared.usage.lock().get_mut(&self.generation) {
            *used += bytes;
        }
    }
}

impl OpenSegment {
    fn write(&mut self, bytes: &[u8]) -> Result<(), WalError> {
        self.file.append(bytes).context("append to", &self.path)?;
        self.len += bytes.len() as u64;
        Ok(())
    }
}

impl fmt::Debug for GenerationWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { generation, records, bytes, .. } = self;
        f.debug_struct("GenerationWriter")
            .field("generation", generation)
            .field("records", records)
            .field("bytes", bytes)
            .finish_non_exhaustive()
    }
}
