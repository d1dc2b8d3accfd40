//! Groups in the write-ahead log: a chunk is a generation of it.

use super::group::Group;
use skald_model::Generation;
use skald_runtime::chain;
use skald_wal::{Follower, GenerationWriter, Position, Wal, WalError};
use std::sync::Arc;
use tracing::{error, warn};

/// Reads of one place that may fail in a row before what lies there counts as lost: a bad sector must not stop everything behind it.
pub(crate) const READS_MAX: u32 = 5;

/// Where a group lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) generation: Generation,
    pub(crate) position: Position,
}

/// A generation of the log that holds groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) generation: Generation,
    /// Its last group.
    pub(crate) last: u64,
}

/// Appends groups, and removes chunks.
pub(crate) struct LogWriter {
    wal: Arc<Wal>,
    /// Bytes at which a chunk ends.
    chunk_size: u64,
    writer: Option<GenerationWriter>,
}

impl LogWriter {
    pub(crate) fn new(wal: Arc<Wal>, chunk_size: u64) -> Self {
        LogWriter { wal, chunk_size, writer: None }
    }

    /// Appends the record of a group and returns when it is durable.
    pub(crate) fn append(&mut self, body: &[u8]) -> Result<Place, WalError> {
        self.writer.take_if(|writer| writer.bytes() >= self.chunk_size);
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(self.wal.begin_generation()?),
        };
        writer.append(&[body])?;
        let position = writer.last_position().expect("a record was appended");
        Ok(Place { generation: writer.generation(), position })
    }

    /// Removes a chunk, also the one that is being written: the next group begins another.
    pub(crate) fn remove(&mut self, generation: Generation) -> Result<(), WalError> {
        self.writer.take_if(|writer| writer.generation() == generation);
        self.wal.remove_generation(generation)
    }

    /// Whether the chunk takes no more groups.
    pub(crate) fn is_full(&self, generation: Generation) -> bool {
        self.writer.as_ref().is_none_or(|writer| writer.generation() != generation || writer.bytes() >= self.chunk_size)
    }
}

/// Reads groups in ascending order.
pub(crate) struct LogReader {
    wal: Arc<Wal>,
    follower: Option<Follower>,
    /// The last group that was read: it is asked for again when a caller has stopped waiting for it, or may not have it yet.
    seen: Option<(Arc<Group>, Place)>,
    /// Reads that failed in a row.
    failures: u32,
    /// Up to here the log cannot be read.
    given_up: Option<Generation>,
}

impl LogReader {
    pub(crate) fn new(wal: Arc<Wal>) -> Self {
        LogReader { wal, follower: None, seen: None, failures: 0, given_up: None }
    }

    /// The first group with this number or a higher one. `from` does not descend from call to call; `chunks` are those that may hold it, oldest first.
    pub(crate) fn next(&mut self, from: u64, chunks: &[Chunk]) -> Result<Option<(Arc<Group>, Place)>, WalError> {
        if let Some(seen) = &self.seen
            && seen.0.number >= from
        {
            return Ok(Some(seen.clone()));
        }
        let given_up = self.given_up;
        for chunk in chunks.iter().filter(|chunk| given_up.is_none_or(|given_up| chunk.generation > given_up)) {
            match self.next_in(chunk.generation, from) {
                Ok(None) => {}
                Ok(Some(found)) => {
                    self.failures = 0;
                    return Ok(Some(self.seen.insert(found).clone()));
                }
                Err(error) if self.failures + 1 < READS_MAX => {
                    self.failures += 1;
                    return Err(error);
                }
                Err(error) => {
                    error!(generation = %chunk.generation, error = chain(&error), "chunk of the spool cannot be read, going on behind it");
                    self.failures = 0;
                    self.given_up = Some(chunk.generation);
                }
            }
        }
        Ok(None)
    }

    fn next_in(&mut self, generation: Generation, from: u64) -> Result<Option<(Arc<Group>, Place)>, WalError> {
        let follower = match self.follower.take().filter(|follower| follower.generation() == generation) {
            Some(follower) => self.follower.insert(follower),
            None => self.follower.insert(self.wal.follow(generation)),
        };
        while let Some(record) = follower.next_record()? {
            let place = Place { generation, position: record.position };
            match Group::decode(record.body) {
                Err(error) => warn!(%generation, position = %record.position, error = chain(&error), "record of the spool cannot be read"),
                Ok(group) if group.number < from => {}
                Ok(group) => return Ok(Some((Arc::new(group), place))),
            }
        }
        Ok(None)
    }
}
