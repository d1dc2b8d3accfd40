use crate::error::Context;
use crate::folder::{generation_dir, parse_segment, segment_path};
use crate::format::SegmentId;
use crate::segment::{SegmentReader, Step};
use crate::wal::Shared;
use crate::{Position, Record, WalError};
use skald_model::Generation;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Reads the records of a generation from the first on, also of one that is being written to. Holds one record at a time.
///
/// It gives what lies in the files: a record whose append is under way, or has failed, may be among it, and one that was appended again after a failure
/// comes twice. Whoever follows tells by what is in the records. It finds no damage to report, and passes over it; [`crate::Replay`] names it.
pub struct Follower {
    shared: Arc<Shared>,
    generation: Generation,
    folder: PathBuf,
    /// The segment to be opened next is this one or a later one.
    next_segment: u64,
    reader: Option<SegmentReader>,
}

impl Follower {
    pub(crate) fn new(shared: Arc<Shared>, generation: Generation) -> Self {
        let folder = generation_dir(&shared.dir, generation);
        Follower { shared, generation, folder, next_segment: 0, reader: None }
    }

    /// Number of the generation.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The next intact record; `None` when there is none now. A later call finds what was appended since.
    ///
    /// # Errors
    /// When the disk cannot be read. The next call tries the same place again.
    pub fn next_record(&mut self) -> Result<Option<Record>, WalError> {
        loop {
            if let Some(record) = self.next_in_segment()? {
                return Ok(Some(record));
            }
            // Looked up after the segment's end was seen: a later segment means that nothing comes to this one any more, but something may have come
            // before the later one was begun.
            let Some(next) = self.later_segment()? else { return Ok(None) };
            if let Some(record) = self.next_in_segment()? {
                return Ok(Some(record));
            }
            self.open(next)?;
        }
    }

    fn next_in_segment(&mut self) -> Result<Option<Record>, WalError> {
        let Some(reader) = &mut self.reader else { return Ok(None) };
        let segment = reader.id.segment;
        Ok(match reader.step_appended()? {
            Step::Record { offset, sequence, body, .. } => Some(Record { position: Position { segment, offset }, sequence, body }),
            Step::End { .. } => None,
        })
    }

    /// The lowest number of a segment that was not opened yet.
    fn later_segment(&self) -> Result<Option<u64>, WalError> {
        let entries = match self.shared.disk.list(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            listed => listed.context("list", &self.folder)?,
        };
        let numbers = entries.iter().filter(|entry| !entry.is_dir).filter_map(|entry| parse_segment(&entry.name));
        Ok(numbers.filter(|segment| *segment >= self.next_segment).min())
    }

    fn open(&mut self, segment: u64) -> Result<(), WalError> {
        let id = SegmentId { disk: self.shared.disk_id, generation: self.generation, segment };
        let (reader, _) = SegmentReader::open(&*self.shared.disk, segment_path(&self.folder, segment), id)?;
        self.reader = Some(reader);
        self.next_segment = segment + 1;
        Ok(())
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { generation, next_segment, .. } = self;
        f.debug_struct("Follower").field("generation", generation).field("next_segment", next_segment).finish_non_exhaustive()
    }
}

/// The intact record at `position`; `None` when none begins there.
pub(crate) fn record_at(shared: &Shared, generation: Generation, position: Position) -> Result<Option<Record>, WalError> {
    let Position { segment, offset } = position;
    let path = segment_path(&generation_dir(&shared.dir, generation), segment);
    let id = SegmentId { disk: shared.disk_id, generation, segment };
    let read = SegmentReader::record_at(&*shared.disk, path, id, offset)?;
    Ok(read.map(|(sequence, body)| Record { position, sequence, body }))
}
