//! The commit thread: the one writer of WAL and memtables.

use crate::memtable::Memtable;
use crate::metrics::{Metrics, Reason};
use crate::service::{Reservation, Shared};
use crate::stream::StreamRegistry;
use crate::tail::Tails;
use crossbeam::channel::Receiver;
use futures::channel::oneshot;
use skald_block::ROW_BYTES_MAX;
use skald_config::TenantLimits;
use skald_model::seam::{Clock, Random};
use skald_model::{ErrorKind, GenerationPart, Labels, Rows, TenantId};
use skald_rpc::{PushError, Refusal, StreamRows};
use skald_wal::{GenerationWriter, Wal, WalError};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tracing::{error, info, warn};

/// Bytes of records that one fsync covers at most, beside the one that passes the bound.
const GROUP_BYTES_MAX: usize = 8 << 20;
/// Pushes that one fsync covers at most.
const GROUP_LEN_MAX: usize = 1024;
/// How long to wait between attempts to begin a generation after one failed.
const REOPEN_AFTER: Duration = Duration::from_secs(1);
/// How long pushes are held back for the flusher to make room before they are refused.
const ROOM_WAIT: Duration = Duration::from_secs(5);
/// How often idle streams are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// What the commit thread is told to do.
pub(crate) enum Command {
    /// Make a push durable.
    Push(PendingPush),
    /// Seal what is open, then reply.
    Seal { reason: &'static str, done: oneshot::Sender<()> },
    /// Look at ages, free space and idle streams.
    Tick,
    /// Seal what is open, reply, and end.
    Stop { done: oneshot::Sender<()> },
}

/// A push on its way into the WAL.
pub(crate) struct PendingPush {
    pub(crate) tenant: TenantId,
    pub(crate) streams: Vec<PendingStream>,
    /// What was refused of it before it was queued.
    pub(crate) refusals: Vec<Refusal>,
    /// The WAL record of all of `streams`.
    pub(crate) record: Vec<u8>,
    pub(crate) reply: oneshot::Sender<Result<(), PushError>>,
    pub(crate) reservation: Reservation,
}

/// Entries of one stream on their way.
pub(crate) struct PendingStream {
    pub(crate) labels: Labels,
    pub(crate) rows: Arc<Rows>,
    /// As limits count them.
    pub(crate) bytes: usize,
}

/// State of the commit thread.
pub(crate) struct Committer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) tails: Arc<Tails>,
    pub(crate) wal: Arc<Wal>,
    pub(crate) limits: Arc<dyn TenantLimits>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) metrics: Metrics,
    pub(crate) registry: StreamRegistry,
    pub(crate) writer: Option<GenerationWriter>,
    pub(crate) settings: Settings,
    /// When a generation could not be begun last, and why.
    pub(crate) closed: Option<(Duration, String)>,
    pub(crate) last_sweep: Duration,
    pub(crate) waited_for_room: bool,
}

/// When to seal, and when to refuse.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) target_bytes: u64,
    pub(crate) max_age: Duration,
    pub(crate) max_sealed: usize,
    pub(crate) memory_budget: u64,
    pub(crate) wal_bytes_max: u64,
    pub(crate) free_space_floor: u64,
    /// Directories whose disks must have room.
    pub(crate) written_dirs: Vec<PathBuf>,
    pub(crate) objects_max: u64,
}

impl Committer {
    /// Serves `commands` until told to stop or all senders are gone.
    pub(crate) fn run(mut self, commands: &Receiver<Command>) {
        // The first push is not to find out later than the first tick that there is no room.
        self.shared.note_space(&self.settings);
        let mut group = Vec::new();
        while let Ok(first) = commands.recv() {
            let mut next = Some(first);
            while let Some(command) = next.take() {
                match command {
                    Command::Push(push) => {
                        next = collect_group(push, commands, &mut group);
                        self.commit(std::mem::take(&mut group));
                    }
                    Command::Seal { reason, done } => {
                        self.seal(reason);
                        let _ = done.send(());
                    }
                    Command::Tick => self.tick(),
                    Command::Stop { done } => {
                        self.seal("shutdown");
                        let _ = done.send(());
                        return;
                    }
                }
            }
        }
    }

    fn commit(&mut self, group: Vec<PendingPush>) {
        if let Err(why) = self.ready_to_write() {
            group.into_iter().for_each(|push| reply(push, Err(PushError::Unavailable(why.clone()))));
            return;
        }
        let admitted: Vec<(PendingPush, Vec<Refusal>)> = group.into_iter().filter_map(|push| self.admit(push)).collect();
        if admitted.is_empty() {
            return;
        }
        let writer = self.writer.as_mut().expect("ready_to_write opened it");
        let started = self.clock.monotonic();
        let records: Vec<&[u8]> = admitted.iter().map(|(push, _)| push.record.as_slice()).collect();
        let written = writer.append(&records);
        self.metrics.wal_commit_seconds.observe((self.clock.monotonic() - started).as_secs_f64());
        self.metrics.wal_commit_records.observe(records.len() as f64);
        match written {
            Ok(()) => admitted.into_iter().for_each(|(push, refusals)| self.append(push, refusals)),
            Err(error) => self.fail(admitted, error),
        }
        self.seal_if_due();
    }

    /// Makes durable rows readable, and acknowledges them.
    fn append(&mut self, push: PendingPush, refusals: Vec<Refusal>) {
        let now = self.clock.monotonic();
        let memtable = self.shared.open_memtable().expect("a generation that is written to has its memtable");
        for stream in &push.streams {
            let Some((_, newest)) = stream.rows.time_span() else { continue };
            self.registry.appended(&push.tenant, &stream.labels, newest, now);
            memtable.append(&push.tenant, &stream.labels, stream.rows.clone());
            self.metrics.appended_rows.inc_by(stream.rows.len() as u64);
            self.metrics.appended_bytes.inc_by(stream.bytes as u64);
        }
        self.tails.publish(&push.tenant, &push.streams);
        let result = if refusals.is_empty() { Ok(()) } else { Err(PushError::Refused(refusals)) };
        reply(push, result);
    }

    /// A write or fsync failed: nothing of the group is acknowledged, and what memory holds of this generation is flushed at once,
    /// since its log may be on a disk that no longer keeps its word.
    fn fail(&mut self, group: Vec<(PendingPush, Vec<Refusal>)>, error: WalError) {
        self.metrics.wal_failures.inc();
        error!(error = %error, "write-ahead log failed, sealing the generation");
        let full = is_storage_full(&error);
        let error: Arc<dyn std::error::Error + Send + Sync> = Arc::new(error);
        for (push, _) in group {
            let result = if full {
                PushError::Unavailable("no space left for the write-ahead log".to_owned())
            } else {
                PushError::Wal(error.clone())
            };
            reply(push, Err(result));
        }
        self.seal("wal_failed");
    }

    /// Applies window and limits; replies at once to a push of which nothing is left.
    fn admit(&mut self, mut push: PendingPush) -> Option<(PendingPush, Vec<Refusal>)> {
        let (limits, now) = (self.limits.limits(&push.tenant), self.clock.monotonic());
        let (mut refusals, mut changed) = (std::mem::take(&mut push.refusals), false);
        for stream in &mut push.streams {
            let admission = self.registry.admit(&push.tenant, &stream.labels, &stream.rows, stream.bytes, &limits, now);
            if let Some(keep) = admission.keep {
                stream.rows = Arc::new(stream.rows.gather(&keep));
                stream.bytes = stream.rows.pushed_bytes();
                changed = true;
            }
            for refusal in admission.refusals {
                self.metrics.refused.get_or_create(&Reason { reason: refusal.reason }).inc_by(refusal.entries as u64);
                refusals.push(refusal);
            }
        }
        if changed {
            push.streams.retain(|stream| !stream.rows.is_empty());
            if push.streams.is_empty() {
                reply(push, Err(PushError::Refused(refusals)));
                return None;
            }
            push.record = encode_record(&push.tenant, &push.streams);
        }
        Some((push, refusals))
    }

    /// Sees to it that there is a generation to write to, or says why pushes cannot be taken.
    fn ready_to_write(&mut self) -> Result<(), String> {
        if self.shared.is_low_on_space() {
            return Err("free space on the data directory's disk is below the floor".to_owned());
        }
        if !self.has_room() && !self.waited_for_room {
            self.shared.wait_for_room(|| self.has_room(), ROOM_WAIT);
            // Those that come next were waiting all the while: without room they are refused at once.
            self.waited_for_room = true;
        }
        if !self.has_room() {
            return Err("flushing is behind: the memory of the ingester is used up".to_owned());
        }
        self.waited_for_room = false;
        if self.wal.bytes() >= self.settings.wal_bytes_max {
            return Err("flushing is behind: the write-ahead log has reached its largest size".to_owned());
        }
        if self.writer.is_some() {
            return Ok(());
        }
        let now = self.clock.monotonic();
        if let Some((at, why)) = &self.closed
            && now.saturating_sub(*at) < REOPEN_AFTER
        {
            return Err(why.clone());
        }
        self.begin_generation(now)
    }

    fn has_room(&self) -> bool {
        self.shared.sealed_len() < self.settings.max_sealed && self.shared.memory_bytes() < self.settings.memory_budget
    }

    fn begin_generation(&mut self, now: Duration) -> Result<(), String> {
        match self.wal.begin_generation() {
            Ok(writer) => {
                let at = GenerationPart { generation: writer.generation(), part: 0 };
                self.shared.open(Arc::new(Memtable::new(at, now)));
                self.writer = Some(writer);
                self.closed = None;
                Ok(())
            }
            Err(error) => {
                self.metrics.wal_failures.inc();
                error!(error = %error, "cannot begin a generation, the ingester is read-only");
                let why =
                    if is_storage_full(&error) { "no space left for the write-ahead log" } else { "the write-ahead log cannot be written" };
                self.closed = Some((now, why.to_owned()));
                Err(why.to_owned())
            }
        }
    }

    fn seal_if_due(&mut self) {
        let Some(memtable) = self.shared.open_memtable() else { return };
        let age = self.clock.monotonic().saturating_sub(memtable.opened());
        let used = Used { memory: self.shared.memory_bytes(), wal: self.wal.bytes(), sealed_len: self.shared.sealed_len() };
        if let Some(reason) = seal_reason(&memtable, age, &used, &self.settings) {
            self.seal(reason);
        }
    }

    /// Closes the open generation to appends and hands it to the flusher.
    fn seal(&mut self, reason: &'static str) {
        let Some(writer) = self.writer.take() else { return };
        let generation = writer.generation();
        drop(writer);
        let rows = self.shared.seal();
        self.metrics.seals.get_or_create(&Reason { reason }).inc();
        info!(%generation, reason, rows, "sealed a generation");
    }

    fn tick(&mut self) {
        self.seal_if_due();
        let now = self.clock.monotonic();
        if now.saturating_sub(self.last_sweep) >= SWEEP_EVERY {
            // A little jitter keeps the ingesters of a cluster from sweeping at one instant.
            self.last_sweep = now + Duration::from_millis(self.random.next_u64() % 1000);
            self.registry.sweep(now);
        }
        let (known, active) = self.registry.counts();
        self.metrics.memory_streams.set(known as i64);
        self.metrics.active_streams.set(active as i64);
        self.metrics.wal_bytes.set(self.wal.bytes() as i64);
        self.shared.note_space(&self.settings);
    }
}

/// Takes what waits behind `first`, up to the bounds of a group; the command that ended it, if it was no push.
fn collect_group(first: PendingPush, commands: &Receiver<Command>, group: &mut Vec<PendingPush>) -> Option<Command> {
    let mut bytes = first.record.len();
    group.push(first);
    while bytes < GROUP_BYTES_MAX && group.len() < GROUP_LEN_MAX {
        match commands.try_recv() {
            Ok(Command::Push(push)) => {
                bytes += push.record.len();
                group.push(push);
            }
            Ok(other) => return Some(other),
            Err(_) => break,
        }
    }
    None
}

/// What all generations together take.
struct Used {
    memory: u64,
    wal: u64,
    sealed_len: usize,
}

/// Why an open memtable should be sealed now, if it should. Pure.
fn seal_reason(memtable: &Memtable, age: Duration, used: &Used, settings: &Settings) -> Option<&'static str> {
    if memtable.is_empty() {
        return None;
    }
    if memtable.bytes() >= settings.target_bytes {
        return Some("size");
    }
    if age >= settings.max_age {
        return Some("age");
    }
    if memtable.objects() >= settings.objects_max {
        return Some("objects");
    }
    if used.sealed_len > 0 {
        return None;
    }
    if used.memory >= settings.memory_budget / 2 {
        return Some("memory");
    }
    // The log repeats the labels in every record: of small pushes it takes many times what memory does.
    (used.wal >= settings.wal_bytes_max / 2).then_some("wal")
}

/// The WAL record of a push.
pub(crate) fn encode_record(tenant: &TenantId, streams: &[PendingStream]) -> Vec<u8> {
    let streams: Vec<(Labels, &Rows)> = streams.iter().map(|stream| (stream.labels.clone(), stream.rows.as_ref())).collect();
    skald_proto::encode_frame(tenant, &streams)
}

/// The streams of a batch, each with its size, and why entries are left out.
pub(crate) fn pending_streams(streams: Vec<StreamRows>) -> (Vec<PendingStream>, Vec<Refusal>) {
    let (mut pending, mut refusals) = (Vec::new(), Vec::new());
    for StreamRows { labels, mut rows } in streams {
        if let Some((kept, refusal)) = without_oversized(&labels, &rows) {
            rows = kept;
            refusals.push(refusal);
        }
        if !rows.is_empty() {
            pending.push(PendingStream { bytes: rows.pushed_bytes(), labels, rows: Arc::new(rows) });
        }
    }
    (pending, refusals)
}

/// Leaves out entries that no data object can hold: once in the log, one of them would keep its generation from ever being flushed.
fn without_oversized(labels: &Labels, rows: &Rows) -> Option<(Rows, Refusal)> {
    if rows.heap_bytes() <= ROW_BYTES_MAX {
        return None;
    }
    let mut metadata = vec![0; rows.len()];
    for column in rows.columns() {
        column.present(0..rows.len()).for_each(|(row, value)| metadata[row] += value.len());
    }
    let fits = |row: &u32| rows.line(*row as usize).len().max(metadata[*row as usize]) <= ROW_BYTES_MAX;
    let (keep, oversized): (Vec<u32>, Vec<u32>) = (0..rows.len() as u32).partition(fits);
    if oversized.is_empty() {
        return None;
    }
    let entries = oversized.len();
    let message = format!("{entries} entries of stream {labels} have a line or metadata of more than {ROW_BYTES_MAX} bytes");
    let bytes = rows.gather(&oversized).pushed_bytes();
    Some((rows.gather(&keep), Refusal { kind: ErrorKind::InvalidInput, reason: "line_too_long", message, entries, bytes }))
}

fn reply(push: PendingPush, result: Result<(), PushError>) {
    drop(push.reservation);
    if push.reply.send(result).is_err() {
        warn!(tenant = %push.tenant, "the pusher left before its acknowledgement");
    }
}

fn is_storage_full(error: &WalError) -> bool {
    matches!(error, WalError::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull)
}

#[cfg(test)]
mod tests {
    use super::*;
    use skald_model::Generation;

    #[track_caller]
    fn check(used: Used, want: Option<&'static str>) {
        let memtable = Memtable::new(GenerationPart { generation: Generation(1), part: 0 }, Duration::ZERO);
        let labels = Labels::from_pairs([("app", "a")]).expect("one name");
        memtable.append(&TenantId::parse("t").expect("valid"), &labels, Arc::new(skald_testkit::rows(&[(1, "line")])));
        let settings = Settings {
            target_bytes: 1 << 20,
            max_age: Duration::from_secs(60),
            max_sealed: 4,
            memory_budget: 100,
            wal_bytes_max: 1000,
            free_space_floor: 0,
            written_dirs: Vec::new(),
            objects_max: 10,
        };
        assert_eq!(seal_reason(&memtable, Duration::ZERO, &used, &settings), want);
    }

    #[test]
    fn a_generation_is_sealed_before_memory_or_log_are_used_up_unless_one_is_being_flushed() {
        check(Used { memory: 49, wal: 499, sealed_len: 0 }, None);
        check(Used { memory: 50, wal: 0, sealed_len: 0 }, Some("memory"));
        check(Used { memory: 0, wal: 500, sealed_len: 0 }, Some("wal"));
        check(Used { memory: 50, wal: 500, sealed_len: 1 }, None);
    }
}
