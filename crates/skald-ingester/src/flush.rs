//! From sealed memtables to data objects.

use crate::memtable::Memtable;
use crate::metrics::Metrics;
use crate::service::{SealedMemtable, Shared};
use skald_block::{EncodeError, EncodedObject, MergeError, ObjectInfo, ObjectWriter, WriterOptions, merge_rows};
use skald_model::seam::{Seams, run_blocking, run_on_pool};
use skald_model::{Day, DiskId, Rows, TenantId, Timestamp};
use skald_runtime::chain;
use skald_store::{Catalog, ObjectName, PublishError, TableId};
use skald_wal::Wal;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tracing::{info, warn};

/// Retention class of entries: all of a tenant's entries are kept equally long.
const CLASS: &str = "default";
/// Waiting times between attempts of a flush that fails.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Bytes of memtable that one part of a replayed generation holds.
const PART_BYTES_MAX: u64 = 96 << 20;
/// Sealed parts that replay leaves in memory before it waits for the flusher.
const REPLAYED_PARTS_MAX: usize = 2;

/// Writes sealed memtables out, oldest first, one at a time.
pub(crate) struct Flusher {
    shared: Arc<Shared>,
    wal: Arc<Wal>,
    catalog: Arc<Catalog>,
    disk_id: DiskId,
    seams: Seams,
    metrics: Metrics,
    flushed: Notify,
}

/// Why a memtable could not be flushed.
#[derive(Debug, thiserror::Error)]
enum FlushError {
    #[error("encode a data object of {tenant} for {day}")]
    Encode {
        tenant: TenantId,
        day: Day,
        #[source]
        source: EncodeFailure,
    },
    #[error("publish a data object")]
    Publish(#[source] PublishError),
    #[error("flushing was stopped")]
    Stopped,
}

/// Why rows could not be made a data object.
#[derive(Debug, thiserror::Error)]
enum EncodeFailure {
    #[error("sort the rows")]
    Merge(#[source] MergeError),
    #[error("write the object")]
    Write(#[source] EncodeError),
}

impl Flusher {
    pub(crate) fn new(shared: Arc<Shared>, wal: Arc<Wal>, catalog: Arc<Catalog>, disk_id: DiskId, seams: Seams, metrics: Metrics) -> Self {
        Flusher { shared, wal, catalog, disk_id, seams, metrics, flushed: Notify::new() }
    }

    pub(crate) fn start(self: Arc<Self>) {
        let spawner = self.seams.spawner.clone();
        spawner.spawn("ingester-flush", Box::pin(async move { self.run().await }));
    }

    async fn run(&self) {
        let mut backoff = BACKOFF.0;
        loop {
            let Some(sealed) = self.shared.oldest_sealed() else {
                self.shared.wait_for_sealed().await;
                continue;
            };
            match self.flush(&sealed).await {
                Ok(()) => {
                    self.remove_wal(&sealed).await;
                    self.shared.remove_oldest_sealed();
                    self.flushed.notify_waiters();
                    backoff = BACKOFF.0;
                }
                Err(error) => {
                    self.metrics.flush_failures.inc();
                    warn!(generation = %sealed.memtable.at().generation, error = chain(&error), "flush failed, keeping memtable and log");
                    self.seams.clock.sleep(backoff).await;
                    backoff = (backoff * 2).min(BACKOFF.1);
                }
            }
        }
    }

    /// Writes every data object of a memtable. Doing it again after a crash writes the same objects, which then are there already.
    async fn flush(&self, sealed: &SealedMemtable) -> Result<(), FlushError> {
        let started = self.seams.clock.monotonic();
        let memtable = &sealed.memtable;
        let (mut objects, mut bytes) = (0, 0);
        for tenant in memtable.tenants() {
            for day in memtable.days(&tenant) {
                bytes += self.flush_object(memtable, &tenant, day).await?;
                objects += 1;
            }
        }
        let elapsed = self.seams.clock.monotonic() - started;
        self.metrics.flush_seconds.observe(elapsed.as_secs_f64());
        info!(generation = %memtable.at().generation, rows = memtable.rows(), objects, bytes, ?elapsed, "flushed a generation");
        Ok(())
    }

    async fn flush_object(&self, memtable: &Arc<Memtable>, tenant: &TenantId, day: Day) -> Result<u64, FlushError> {
        let name = ObjectName::incoming(TableId { tenant: tenant.clone(), day }, self.disk_id, memtable.at(), CLASS);
        let (memtable, owner, disk_id) = (memtable.clone(), tenant.clone(), self.disk_id);
        let encode = move || encode(&memtable, &owner, day, disk_id);
        let encoded = run_on_pool(self.seams.cpu.as_ref(), encode).await.map_err(|_| FlushError::Stopped)?;
        let (object, duplicates) = encoded.map_err(|source| FlushError::Encode { tenant: tenant.clone(), day, source })?;
        let bytes = object.bytes.len() as u64;
        self.catalog.publish(name, object).await.map_err(FlushError::Publish)?;
        self.metrics.objects_flushed.inc();
        self.metrics.flushed_bytes.inc_by(bytes);
        self.metrics.flush_duplicates.inc_by(duplicates);
        Ok(bytes)
    }

    /// The rows are in data objects: a log that stays by mistake is replayed and flushed to the same objects at the next start.
    async fn remove_wal(&self, sealed: &SealedMemtable) {
        if !sealed.last_part {
            return;
        }
        let (generation, wal) = (sealed.memtable.at().generation, self.wal.clone());
        let removed = run_blocking(self.seams.spawner.as_ref(), move || wal.remove_generation(generation)).await;
        if let Ok(Err(error)) = removed {
            warn!(%generation, error = chain(&error), "cannot remove the write-ahead log of a flushed generation");
        }
    }

    /// Waits until nothing sealed is left.
    pub(crate) async fn wait_until_empty(&self) {
        self.wait_until(0).await;
    }

    /// Waits until replay may fill another part.
    pub(crate) async fn wait_until_room(&self) {
        self.wait_until(REPLAYED_PARTS_MAX - 1).await;
    }

    async fn wait_until(&self, sealed_len: usize) {
        loop {
            let flushed = self.flushed.notified();
            tokio::pin!(flushed);
            flushed.as_mut().enable();
            if self.shared.sealed_len() <= sealed_len {
                return;
            }
            flushed.await;
        }
    }

    /// Bytes of memtable that one part of a replayed generation may hold.
    pub(crate) fn part_bytes_max(&self) -> u64 {
        PART_BYTES_MAX.min(self.metrics.memory_bytes_limit.get() as u64 / 2).max(1)
    }
}

/// One tenant's rows of one day as a data object, and how many repeated entries were left out.
fn encode(memtable: &Memtable, tenant: &TenantId, day: Day, disk: DiskId) -> Result<(EncodedObject, u64), EncodeFailure> {
    let at = memtable.at();
    let info = ObjectInfo {
        tenant: tenant.clone(),
        day,
        class: CLASS.to_owned(),
        disk,
        generation: at.generation,
        part: at.part,
        replaces: Vec::new(),
    };
    let mut writer = ObjectWriter::new(info, WriterOptions::default()).map_err(EncodeFailure::Write)?;
    let mut duplicates = 0;
    for stream in memtable.streams(tenant) {
        let chunks: Vec<&Rows> = stream.chunks.iter().map(|chunk| chunk.as_ref()).filter(|chunk| touches(chunk, day)).collect();
        if chunks.is_empty() {
            continue;
        }
        let merged = merge_rows(&chunks).map_err(EncodeFailure::Merge)?;
        let of_day = rows_of_day(&merged.rows, day);
        if of_day.is_empty() {
            continue;
        }
        let (rows, dropped) =
            if of_day.len() == merged.rows.len() { (merged.rows, merged.duplicates) } else { (merged.rows.slice(of_day), 0) };
        duplicates += dropped as u64;
        writer.add_stream(&stream.labels, &rows).map_err(EncodeFailure::Write)?;
    }
    Ok((writer.finish().map_err(EncodeFailure::Write)?, duplicates))
}

fn touches(chunk: &Rows, day: Day) -> bool {
    chunk.time_span().is_some_and(|(min, max)| Day::of(min) <= day && day <= Day::of(max))
}

/// The rows of `day` in rows sorted by time.
fn rows_of_day(rows: &Rows, day: Day) -> std::ops::Range<usize> {
    let times = rows.timestamps();
    let start = times.partition_point(|at| Day::of(Timestamp(*at)) < day);
    let end = times.partition_point(|at| Day::of(Timestamp(*at)) <= day);
    start..end
}
