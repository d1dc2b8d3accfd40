//! From what the WAL holds at start to sealed memtables.

use crate::memtable::Memtable;
use crate::service::Ingester;
use crate::stream::StreamRegistry;
use skald_config::Config;
use skald_model::seam::{Seams, run_blocking};
use skald_model::{DiskId, ErrorKind, Generation, GenerationPart};
use skald_wal::{Replay, ReplayReport, SealedGeneration, Wal, WalConfig, WalError};
use std::sync::Arc;
use std::time::Duration;
use tracing::{info, warn};

/// Largest WAL record: a push of the largest accepted size, normalised.
pub(crate) const RECORD_BYTES_MAX: u32 = 1 << 30;

/// Why the WAL could not be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The directory cannot be used, or a segment cannot be read.
    #[error("recover the write-ahead log")]
    Wal(#[source] WalError),
    /// The process is stopping.
    #[error("recovery was stopped")]
    Stopped,
}

impl RecoveryError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Wal(error) => error.kind(),
            Self::Stopped => ErrorKind::Unavailable,
        }
    }
}

pub(crate) fn open_wal(
    seams: &Seams,
    config: &Config,
    disk_id: DiskId,
    used: Option<Generation>,
) -> Result<(Wal, Vec<SealedGeneration>), RecoveryError> {
    let wal_config = WalConfig { segment_size: config.ingester.wal.segment_size.0, record_size_max: RECORD_BYTES_MAX };
    let (wal, found) = Wal::open(seams.disk.clone(), &config.wal_dir(), disk_id, wal_config).map_err(RecoveryError::Wal)?;
    if let Some(used) = used {
        wal.skip_past(used).map_err(RecoveryError::Wal)?;
    }
    Ok((wal, found))
}

/// What replay found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Generations read.
    pub generations: usize,
    /// Entries read.
    pub rows: u64,
    /// Records that could not be read, or are known to be missing.
    pub lost_records: u64,
}

impl Ingester {
    /// Replays `found` generation by generation into sealed memtables, waiting for the flusher whenever memory is used up, and then opens
    /// for pushes and selects. A record that cannot be read is left out, named in the log and counted.
    ///
    /// # Errors
    /// When a segment cannot be read from the disk at all.
    pub async fn recover(&self, found: Vec<SealedGeneration>) -> Result<Recovered, RecoveryError> {
        let mut recovered = Recovered { generations: found.len(), ..Recovered::default() };
        let mut registry = StreamRegistry::default();
        for generation in found {
            self.replay(&generation, &mut registry, &mut recovered).await?;
        }
        self.start(registry);
        info!(
            generations = recovered.generations,
            rows = recovered.rows,
            lost_records = recovered.lost_records,
            "the write-ahead log is replayed"
        );
        Ok(recovered)
    }

    /// Replays one generation, in several parts when it does not fit into the memory of one.
    async fn replay(
        &self,
        generation: &SealedGeneration,
        registry: &mut StreamRegistry,
        recovered: &mut Recovered,
    ) -> Result<(), RecoveryError> {
        let mut replay = generation.replay();
        for part in 0.. {
            self.flusher().wait_until_room().await;
            let at = GenerationPart { generation: generation.generation(), part };
            let memtable = Arc::new(Memtable::recovered(at, self.seams().clock.monotonic()));
            let (filled, limit) = (memtable.clone(), self.flusher().part_bytes_max());
            let work = move || fill(&filled, &mut replay, limit).map(|done| (done, replay));
            let (done, rest) = run_blocking(self.seams().spawner.as_ref(), work).await.map_err(|_| RecoveryError::Stopped)??;
            replay = rest;
            recovered.rows += memtable.rows();
            note_streams(&memtable, registry, self.seams().clock.monotonic());
            self.shared().add_sealed(memtable, done.is_some());
            if let Some(undecodable) = done {
                self.report(generation, replay.report(), undecodable, recovered);
                return Ok(());
            }
        }
        Ok(())
    }

    fn report(&self, generation: &SealedGeneration, report: &ReplayReport, undecodable: u64, recovered: &mut Recovered) {
        let lost = report.missing_records.max(report.corrupt_ranges) + undecodable;
        recovered.lost_records += lost;
        self.metrics().wal_replayed_records.inc_by(report.records);
        self.metrics().wal_lost_records.inc_by(lost);
        let generation = generation.generation();
        if lost > 0 {
            warn!(%generation, lost, corrupt_bytes = report.corrupt_bytes, first = ?report.corrupt.first(), "records of the write-ahead log are lost");
        }
        if report.torn_tail_bytes > 0 {
            info!(%generation, bytes = report.torn_tail_bytes, "left out the torn end of the write-ahead log");
        }
    }
}

/// Takes over the newest timestamp of each stream, so that the out-of-order window is where it was.
fn note_streams(memtable: &Memtable, registry: &mut StreamRegistry, now: Duration) {
    for tenant in memtable.tenants() {
        for stream in memtable.streams(&tenant) {
            if let Some(newest) = stream.chunks.iter().filter_map(|chunk| chunk.time_span()).map(|(_, max)| max).max() {
                registry.appended(&tenant, &stream.labels, newest, now);
            }
        }
    }
}

/// Reads records into `memtable` until it holds `limit` bytes (`None`) or the log ends (how many records could not be decoded).
fn fill(memtable: &Memtable, replay: &mut Replay, limit: u64) -> Result<Option<u64>, RecoveryError> {
    let mut undecodable = 0;
    while memtable.bytes() < limit {
        let Some(record) = replay.next_record().map_err(RecoveryError::Wal)? else { return Ok(Some(undecodable)) };
        match skald_proto::decode_frame(record.body) {
            Ok((tenant, streams)) => streams.into_iter().for_each(|(labels, rows)| memtable.append(&tenant, &labels, Arc::new(rows))),
            Err(error) => {
                undecodable += 1;
                warn!(position = %record.position, %error, "a record of the write-ahead log does not decode");
            }
        }
    }
    Ok(None)
}
