use super::group::Group;
use super::log::Chunk;
use crate::positions::{Fold, Loaded, Updates};
use skald_runtime::chain;
use skald_wal::{SealedGeneration, WalError};
use std::collections::VecDeque;
use tracing::{info, warn};

/// What the log holds at start.
pub(crate) struct Recovery {
    /// Positions as of the last time they were written.
    pub(crate) base: Fold,
    /// Positions at the end of the log.
    pub(crate) end: Fold,
    pub(crate) chunks: VecDeque<Chunk>,
    /// The last group.
    pub(crate) logged: u64,
    /// Groups that are missing.
    pub(crate) lost: u64,
}

impl Recovery {
    /// Reads all chunks, oldest first.
    pub(crate) fn run(loaded: &Loaded, sealed: &[SealedGeneration]) -> Result<Self, WalError> {
        let fold = &loaded.fold;
        let mut recovery = Recovery { base: fold.clone(), end: fold.clone(), chunks: VecDeque::new(), logged: 0, lost: 0 };
        sealed.iter().try_for_each(|sealed| recovery.read(sealed))?;
        Ok(recovery)
    }

    fn read(&mut self, sealed: &SealedGeneration) -> Result<(), WalError> {
        let (generation, mut replay) = (sealed.generation(), sealed.replay());
        while let Some(record) = replay.next_record()? {
            match Group::decode(record.body) {
                Ok(group) => self.add(&group, Chunk { generation, last: group.number }),
                Err(error) => warn!(%generation, position = %record.position, error = chain(&error), "record of the spool cannot be read"),
            }
        }
        let report = replay.report();
        for range in &report.corrupt {
            warn!(%generation, segment = range.segment, offset = range.offset, bytes = range.len, "part of the spool is damaged");
        }
        if report.torn_tail_bytes > 0 {
            info!(%generation, bytes = report.torn_tail_bytes, "last record of the spool was not finished");
        }
        Ok(())
    }

    fn add(&mut self, group: &Group, place: Chunk) {
        let Group { number, previous, resumes, ref positions, .. } = *group;
        self.lost += self.end.apply(Updates { number, previous, resumes, positions });
        self.logged = self.logged.max(number);
        match self.chunks.back_mut().filter(|chunk| chunk.generation == place.generation) {
            Some(chunk) => chunk.last = chunk.last.max(number),
            None => self.chunks.push_back(place),
        }
    }
}
