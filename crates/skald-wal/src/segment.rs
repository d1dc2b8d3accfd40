//! Reading one segment.

use crate::WalError;
use crate::error::Context;
use crate::format::{MARKER, RECORD_HEADER_LEN, RecordHeader, SEGMENT_HEADER_LEN, SegmentHeader, SegmentId, VERSION};
use bytes::Bytes;
use skald_model::seam::{Disk, DiskFile};
use std::path::{Path, PathBuf};

/// Bytes that are read at a time.
const WINDOW_LEN: u64 = 256 << 10;

/// The header of a segment; `None` when it is torn or damaged.
pub(crate) fn read_header(file: &dyn DiskFile, path: &Path) -> Result<Option<SegmentHeader>, WalError> {
    if file.len().context("read", path)? < SEGMENT_HEADER_LEN as u64 {
        return Ok(None);
    }
    let mut bytes = [0; SEGMENT_HEADER_LEN];
    file.read_exact_at(0, &mut bytes).context("read", path)?;
    match SegmentHeader::decode(&bytes) {
        Some(header) if header.version != VERSION => Err(WalError::UnsupportedVersion { path: path.to_owned(), version: header.version }),
        header => Ok(header),
    }
}

/// What a segment holds next.
pub(crate) enum Step {
    /// A record. Before it lay damaged bytes, from this offset on, if any.
    Record { offset: u64, sequence: u64, body: Bytes, damaged_from: Option<u64> },
    /// No further record; this many bytes at the end are none.
    End { tail_len: u64 },
}

/// Walks through the records of one segment.
pub(crate) struct SegmentReader {
    pub(crate) id: SegmentId,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    len: u64,
    /// Where the next record should begin.
    offset: u64,
    /// Where the damage began that `offset` has not yet left.
    damaged_from: Option<u64>,
    window: Vec<u8>,
    window_start: u64,
}

impl SegmentReader {
    /// Opens a segment. With it comes the sequence number of its first record; `None` when the header is torn or damaged.
    pub(crate) fn open(disk: &dyn Disk, path: PathBuf, id: SegmentId) -> Result<(Self, Option<u64>), WalError> {
        let file = disk.open(&path).context("open", &path)?;
        let len = file.len().context("read", &path)?;
        let header = read_header(&*file, &path)?;
        let (offset, damaged_from) = if header.is_some() { (SEGMENT_HEADER_LEN as u64, None) } else { (0, Some(0)) };
        let reader = SegmentReader { id, path, file, len, offset, damaged_from, window: Vec::new(), window_start: 0 };
        Ok((reader, header.map(|header| header.first_sequence)))
    }

    /// The next intact record. After an error the next call tries the same place again.
    pub(crate) fn step(&mut self) -> Result<Step, WalError> {
        loop {
            let offset = self.offset;
            let Some(header) = self.header_at(offset)? else {
                if self.len - offset < RECORD_HEADER_LEN as u64 {
                    return Ok(self.end());
                }
                let next = self.find_header(offset + 1)?;
                self.skip_to(next);
                continue;
            };
            let end = offset + header.record_len();
            if end > self.len {
                // An intact header says how long the record is: the file ends inside of it.
                self.skip_to(self.len);
                return Ok(self.end());
            }
            let body = self.body_at(offset + RECORD_HEADER_LEN as u64, u64::from(header.body_len))?;
            if crc32fast::hash(&body) != header.body_crc {
                self.skip_to(end);
                continue;
            }
            self.offset = end;
            return Ok(Step::Record { offset, sequence: header.sequence, body, damaged_from: self.damaged_from.take() });
        }
    }

    /// Like [`SegmentReader::step`], of a segment that may have grown since the last call. What is torn now may be whole later: at the end the same
    /// place is tried again.
    pub(crate) fn step_appended(&mut self) -> Result<Step, WalError> {
        self.len = self.file.len().context("read", &self.path)?;
        if self.damaged_from == Some(0) && self.offset == 0 && read_header(&*self.file, &self.path)?.is_some() {
            // The header was not there yet when the segment was opened.
            (self.offset, self.damaged_from) = (SEGMENT_HEADER_LEN as u64, None);
        }
        let before = (self.offset, self.damaged_from);
        let step = self.step();
        if !matches!(step, Ok(Step::Record { .. })) {
            (self.offset, self.damaged_from) = before;
        }
        step
    }

    /// Sequence number and body of the intact record that begins at `offset`, if one does.
    pub(crate) fn record_at(disk: &dyn Disk, path: PathBuf, id: SegmentId, offset: u64) -> Result<Option<(u64, Bytes)>, WalError> {
        let file = disk.open(&path).context("open", &path)?;
        let len = file.len().context("read", &path)?;
        if len.saturating_sub(offset) < RECORD_HEADER_LEN as u64 {
            return Ok(None);
        }
        let mut header = [0; RECORD_HEADER_LEN];
        file.read_exact_at(offset, &mut header).context("read", &path)?;
        let Some(header) = RecordHeader::decode(&header, &id, offset).filter(|header| header.record_len() <= len - offset) else {
            return Ok(None);
        };
        let mut body = vec![0; header.body_len as usize];
        file.read_exact_at(offset + RECORD_HEADER_LEN as u64, &mut body).context("read", &path)?;
        Ok((crc32fast::hash(&body) == header.body_crc).then(|| (header.sequence, body.into())))
    }

    fn skip_to(&mut self, offset: u64) {
        self.damaged_from.get_or_insert(self.offset);
        self.offset = offset;
    }

    fn end(&self) -> Step {
        Step::End { tail_len: self.len - self.damaged_from.unwrap_or(self.offset) }
    }

    fn header_at(&mut self, offset: u64) -> Result<Option<RecordHeader>, WalError> {
        let id = self.id;
        let bytes = self.window_at(offset, RECORD_HEADER_LEN)?;
        Ok(bytes.first_chunk().and_then(|bytes| RecordHeader::decode(bytes, &id, offset)))
    }

    /// Offset of the first intact header at or after `from`, or the end of the segment.
    fn find_header(&mut self, mut from: u64) -> Result<u64, WalError> {
        while self.len.saturating_sub(from) >= RECORD_HEADER_LEN as u64 {
            let window = self.window_at(from, RECORD_HEADER_LEN)?;
            match memchr::memmem::find(window, &MARKER) {
                None => from += (window.len() - (MARKER.len() - 1)) as u64,
                Some(at) => {
                    from += at as u64;
                    if self.header_at(from)?.is_some() {
                        return Ok(from);
                    }
                    from += 1;
                }
            }
        }
        Ok(self.len)
    }

    /// `len` bytes that are known to lie in the segment.
    fn body_at(&mut self, offset: u64, len: u64) -> Result<Bytes, WalError> {
        if len <= WINDOW_LEN / 2 {
            let window = self.window_at(offset, len as usize)?;
            return Ok(Bytes::copy_from_slice(&window[..len as usize]));
        }
        let mut body = vec![0; len as usize];
        self.file.read_exact_at(offset, &mut body).context("read", &self.path)?;
        Ok(body.into())
    }

    /// The bytes from `offset` on: at least `len` of them, unless the segment ends before.
    fn window_at(&mut self, offset: u64, len: usize) -> Result<&[u8], WalError> {
        let wanted_end = (offset + len as u64).min(self.len);
        if offset < self.window_start || wanted_end > self.window_start + self.window.len() as u64 {
            let window_len = WINDOW_LEN.min(self.len.saturating_sub(offset)) as usize;
            // Empty until it is filled, so that a failed read leaves nothing that looks read.
            let mut window = std::mem::take(&mut self.window);
            window.resize(window_len, 0);
            self.file.read_exact_at(offset, &mut window).context("read", &self.path)?;
            (self.window, self.window_start) = (window, offset);
        }
        Ok(&self.window[(offset - self.window_start) as usize..])
    }
}
