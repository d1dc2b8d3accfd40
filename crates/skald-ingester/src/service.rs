//! The ingester as its callers see it: push, select, seal, stop.

use crate::commit::{Command, Committer, PendingPush, PendingStream, Settings, encode_record, pending_streams};
use crate::flush::Flusher;
use crate::memtable::Memtable;
use crate::metrics::{Metrics, Reason};
use crate::recovery::{self, RECORD_BYTES_MAX, RecoveryError};
use crate::stream::StreamRegistry;
use crate::tail::Tails;
use async_trait::async_trait;
use crossbeam::channel::{Receiver, Sender, TrySendError};
use futures::channel::oneshot;
use parking_lot::{Condvar, Mutex, RwLock};
use prometheus_client::metrics::gauge::Gauge;
use skald_config::{Config, TenantLimits};
use skald_model::seam::{Disk, Seams, run_on_pool};
use skald_model::{DiskId, ErrorKind, Generation, TenantId};
use skald_rpc::{PushBatch, PushError, Refusal, SelectError, SelectRequest, Selected, TailError, TailRequest, TailStream};
use skald_store::Catalog;
use skald_wal::SealedGeneration;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Pushes that may wait for the commit thread.
const QUEUE_LEN_MAX: usize = 4096;
/// Time between looks for room in the queue of the commit thread.
const QUEUE_WAIT: Duration = Duration::from_millis(10);
/// How often ages and free space are looked at.
const TICK: Duration = Duration::from_secs(1);
/// Data objects that one generation may become: tenants times UTC days.
const OBJECTS_MAX: u64 = 4096;

/// What an ingester is made of.
pub struct Parts {
    /// Clock, disk and the like.
    pub seams: Seams,
    /// Effective configuration.
    pub config: Arc<Config>,
    /// Limits by tenant.
    pub limits: Arc<dyn TenantLimits>,
    /// Where data objects go, and which are live.
    pub catalog: Arc<Catalog>,
    /// Identity of the data directory.
    pub disk_id: DiskId,
    /// Metrics, registered.
    pub metrics: Metrics,
    /// Told why when the ingester cannot go on; the process should stop, so that the log is replayed.
    pub on_failure: OnFailure,
}

/// Takes the reason of a failure that a part cannot recover from.
pub type OnFailure = Arc<dyn Fn(&'static str) + Send + Sync>;

/// One ingester. Cheap to clone.
#[derive(Clone)]
pub struct Ingester {
    inner: Arc<Inner>,
}

struct Inner {
    disk_id: DiskId,
    shared: Arc<Shared>,
    tails: Arc<Tails>,
    commands: Sender<Command>,
    flusher: Arc<Flusher>,
    seams: Seams,
    metrics: Metrics,
    queue_bytes: Arc<AtomicUsize>,
    queue_bytes_max: usize,
    state: Mutex<State>,
    /// Until replay is through.
    committer: Mutex<Option<(Committer, Receiver<Command>)>>,
    on_failure: OnFailure,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Replaying,
    Running,
    Stopping,
}

impl Ingester {
    /// Opens the WAL and starts the commit thread and the flusher. Pushes and selects are refused until [`Ingester::recover`] is through.
    ///
    /// # Errors
    /// When the WAL directory cannot be used.
    pub fn open(parts: Parts) -> Result<(Self, Vec<SealedGeneration>), RecoveryError> {
        let Parts { seams, config, limits, catalog, disk_id, metrics, on_failure } = parts;
        let (wal, found) = recovery::open_wal(&seams, &config, disk_id, catalog.last_generation(disk_id))?;
        let wal = Arc::new(wal);
        let settings = settings(&config);
        metrics.memory_bytes_limit.set(settings.memory_budget as i64);
        let shared = Arc::new(Shared::new(seams.disk.clone(), metrics.clone()));
        let tails = Arc::new(Tails::new(metrics.clone()));
        let (commands, inbox) = crossbeam::channel::bounded(QUEUE_LEN_MAX);
        let flusher = Arc::new(Flusher::new(shared.clone(), wal.clone(), catalog, disk_id, seams.clone(), metrics.clone()));
        flusher.clone().start();
        let committer = Committer {
            shared: shared.clone(),
            tails: tails.clone(),
            wal,
            limits,
            clock: seams.clock.clone(),
            random: seams.random.clone(),
            metrics: metrics.clone(),
            registry: StreamRegistry::default(),
            writer: None,
            closed: None,
            last_sweep: seams.clock.monotonic(),
            waited_for_room: false,
            settings: settings.clone(),
        };
        let queue_bytes_max = (settings.memory_budget / 2) as usize;
        let inner = Inner {
            disk_id,
            shared,
            tails,
            commands,
            flusher,
            metrics,
            queue_bytes: Arc::default(),
            queue_bytes_max,
            seams,
            state: Mutex::new(State::Replaying),
            committer: Mutex::new(Some((committer, inbox))),
            on_failure,
        };
        Ok((Ingester { inner: Arc::new(inner) }, found))
    }

    /// Starts the commit thread with what replay knows of the streams, and opens for pushes and selects.
    pub(crate) fn start(&self, registry: StreamRegistry) {
        let Some((mut committer, inbox)) = self.inner.committer.lock().take() else { return };
        committer.registry = registry;
        let alarm = PanicAlarm(self.inner.on_failure.clone());
        let run = move || {
            let _alarm = alarm;
            committer.run(&inbox);
        };
        self.inner.seams.spawner.spawn_thread("ingester-commit", Box::new(run));
        self.start_ticking();
        let mut state = self.inner.state.lock();
        if *state == State::Replaying {
            *state = State::Running;
        }
    }

    fn start_ticking(&self) {
        let (clock, commands) = (self.inner.seams.clock.clone(), self.inner.commands.clone());
        let task = async move {
            loop {
                clock.sleep(TICK).await;
                if let Err(TrySendError::Disconnected(_)) = commands.try_send(Command::Tick) {
                    return;
                }
            }
        };
        self.inner.seams.spawner.spawn("ingester-tick", Box::pin(task));
    }

    /// Seals what is open and waits until all that was sealed stands in data objects.
    pub async fn flush(&self, reason: &'static str) {
        let (done, wait) = oneshot::channel();
        if self.queue(Command::Seal { reason, done }).await {
            let _ = wait.await;
        }
        self.inner.flusher.wait_until_empty().await;
    }

    /// Takes no more pushes, seals, and flushes; what is not flushed when the caller stops waiting stays in the WAL.
    pub async fn stop(&self) {
        let before = std::mem::replace(&mut *self.inner.state.lock(), State::Stopping);
        if before == State::Replaying {
            return;
        }
        let (done, wait) = oneshot::channel();
        if self.queue(Command::Stop { done }).await {
            let _ = wait.await;
        }
        self.inner.tails.close();
        self.inner.flusher.wait_until_empty().await;
    }

    /// The oldest generation whose log is still there and that is, or is about to be, flushed from memory; `None` when all is flushed. Only tells once
    /// [`Ingester::recover`] is through.
    pub fn oldest_in_log(&self) -> Option<Generation> {
        self.inner.shared.memtables().first().map(|memtable| memtable.at().generation)
    }

    /// Queues a command behind the pushes that wait; false when the commit thread has ended.
    async fn queue(&self, mut command: Command) -> bool {
        loop {
            match self.inner.commands.try_send(command) {
                Ok(()) => return true,
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(back)) => command = back,
            }
            self.inner.seams.clock.sleep(QUEUE_WAIT).await;
        }
    }

    fn check_running(&self) -> Result<(), String> {
        match *self.inner.state.lock() {
            State::Running => Ok(()),
            State::Replaying => Err("Ingester not ready: replaying the write-ahead log".to_owned()),
            State::Stopping => Err("Ingester is shutting down".to_owned()),
        }
    }

    fn reserve(&self, bytes: usize) -> Result<Reservation, PushError> {
        let before = self.inner.queue_bytes.fetch_add(bytes, Ordering::Relaxed);
        let gauge = self.inner.metrics.queue_bytes.clone();
        gauge.inc_by(bytes as i64);
        let reservation = Reservation { total: self.inner.queue_bytes.clone(), gauge, bytes };
        if before > 0 && before + bytes > self.inner.queue_bytes_max {
            return Err(PushError::Unavailable("too many bytes wait to be written".to_owned()));
        }
        Ok(reservation)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    pub(crate) fn flusher(&self) -> &Arc<Flusher> {
        &self.inner.flusher
    }

    pub(crate) fn seams(&self) -> &Seams {
        &self.inner.seams
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }
}

fn settings(config: &Config) -> Settings {
    let ingester = &config.ingester;
    let memory_budget = ingester.memory_budget.0.max(1 << 20);
    Settings {
        target_bytes: ingester.generation.target_size.0.min(memory_budget / 3).max(1),
        max_age: ingester.generation.max_age,
        max_sealed: ingester.generation.max_sealed.max(1),
        memory_budget,
        wal_bytes_max: ingester.wal.max_size.0,
        free_space_floor: config.storage.free_space_floor.0,
        written_dirs: vec![config.storage.data_dir.clone(), config.wal_dir(), config.objects_dir()],
        objects_max: OBJECTS_MAX,
    }
}

#[async_trait]
impl skald_rpc::Ingester for Ingester {
    async fn push(&self, tenant: &TenantId, batch: PushBatch) -> Result<(), PushError> {
        self.check_running().map_err(PushError::Unavailable)?;
        let (streams, refusals) = pending_streams(batch.streams);
        for refusal in &refusals {
            self.inner.metrics.refused.get_or_create(&Reason { reason: refusal.reason }).inc_by(refusal.entries as u64);
        }
        if streams.is_empty() {
            return if refusals.is_empty() { Ok(()) } else { Err(PushError::Refused(refusals)) };
        }
        let record = encode_record(tenant, &streams);
        if record.len() > RECORD_BYTES_MAX as usize {
            return Err(too_large(&streams, record.len()));
        }
        let reservation = self.reserve(record.len())?;
        let (reply, wait) = oneshot::channel();
        let push = PendingPush { tenant: tenant.clone(), streams, refusals, record, reply, reservation };
        match self.inner.commands.try_send(Command::Push(push)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(PushError::Unavailable("too many pushes wait to be written".to_owned())),
            Err(TrySendError::Disconnected(_)) => return Err(PushError::Unavailable("Ingester is shutting down".to_owned())),
        }
        wait.await.unwrap_or_else(|_| Err(PushError::Unavailable("Ingester is shutting down".to_owned())))
    }

    async fn select(&self, tenant: &TenantId, request: SelectRequest) -> Result<Selected, SelectError> {
        if *self.inner.state.lock() == State::Replaying {
            return Err(SelectError::Unavailable("Ingester not ready: replaying the write-ahead log".to_owned()));
        }
        let (memtables, tenant) = (self.inner.shared.memtables(), tenant.clone());
        let generations = memtables.iter().filter(|memtable| memtable.covers_objects()).map(|memtable| memtable.at()).collect();
        let select = move || {
            let mut streams = Vec::new();
            memtables.iter().for_each(|memtable| memtable.select(&tenant, &request, &mut streams));
            streams
        };
        let selected = run_on_pool(self.inner.seams.cpu.as_ref(), select).await;
        let streams = selected.map_err(|stopped| SelectError::Unavailable(stopped.to_string()))?;
        Ok(Selected { disk: self.inner.disk_id, generations, streams })
    }

    async fn tail(&self, tenant: &TenantId, request: TailRequest) -> Result<TailStream, TailError> {
        self.check_running().map_err(TailError::Unavailable)?;
        let stream = self.inner.tails.subscribe(tenant, request.matcher);
        stream.ok_or_else(|| TailError::Unavailable("Ingester is shutting down".to_owned()))
    }
}

/// Raises the alarm when the commit thread ends by a panic: without it every push would be refused for as long as the process runs.
struct PanicAlarm(OnFailure);

impl Drop for PanicAlarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.0)("the commit thread of the ingester panicked");
        }
    }
}

/// Refuses a push that no WAL record can hold.
fn too_large(streams: &[PendingStream], bytes: usize) -> PushError {
    let message = format!("push of {bytes} bytes is larger than {RECORD_BYTES_MAX} bytes");
    let entries = streams.iter().map(|stream| stream.rows.len()).sum();
    PushError::Refused(vec![Refusal { kind: ErrorKind::TooLarge, reason: "request_body_too_large", message, entries, bytes }])
}

/// Bytes of a push that count as waiting until this is dropped.
pub(crate) struct Reservation {
    total: Arc<AtomicUsize>,
    gauge: Gauge,
    bytes: usize,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
        self.gauge.dec_by(self.bytes as i64);
    }
}

/// The memtables, shared by the commit thread that fills them, the flusher that empties them, and readers.
pub(crate) struct Shared {
    memtables: RwLock<Memtables>,
    sealed_bytes: AtomicU64,
    low_on_space: AtomicBool,
    sealed: Notify,
    room_lock: Mutex<()>,
    room: Condvar,
    disk: Arc<dyn Disk>,
    metrics: Metrics,
}

#[derive(Default)]
struct Memtables {
    open: Option<Arc<Memtable>>,
    /// Oldest first.
    sealed: Vec<SealedMemtable>,
}

/// A memtable that takes no more rows.
#[derive(Clone)]
pub(crate) struct SealedMemtable {
    pub(crate) memtable: Arc<Memtable>,
    /// Whether the generation's WAL may go once this is flushed.
    pub(crate) last_part: bool,
}

impl Shared {
    fn new(disk: Arc<dyn Disk>, metrics: Metrics) -> Self {
        Shared {
            memtables: RwLock::default(),
            sealed_bytes: AtomicU64::new(0),
            low_on_space: AtomicBool::new(false),
            sealed: Notify::new(),
            room_lock: Mutex::new(()),
            room: Condvar::new(),
            disk,
            metrics,
        }
    }

    /// Every memtable, oldest first.
    pub(crate) fn memtables(&self) -> Vec<Arc<Memtable>> {
        let memtables = self.memtables.read();
        memtables.sealed.iter().map(|sealed| &sealed.memtable).chain(&memtables.open).cloned().collect()
    }

    pub(crate) fn open_memtable(&self) -> Option<Arc<Memtable>> {
        self.memtables.read().open.clone()
    }

    pub(crate) fn open(&self, memtable: Arc<Memtable>) {
        self.memtables.write().open = Some(memtable);
    }

    /// Seals what is open; its number of rows.
    pub(crate) fn seal(&self) -> u64 {
        // One lock for both: a reader in between would see the rows nowhere.
        let mut memtables = self.memtables.write();
        let Some(memtable) = memtables.open.take() else { return 0 };
        let rows = memtable.rows();
        self.push_sealed(&mut memtables, SealedMemtable { memtable, last_part: true });
        rows
    }

    pub(crate) fn add_sealed(&self, memtable: Arc<Memtable>, last_part: bool) {
        self.push_sealed(&mut self.memtables.write(), SealedMemtable { memtable, last_part });
    }

    fn push_sealed(&self, memtables: &mut Memtables, sealed: SealedMemtable) {
        self.sealed_bytes.fetch_add(sealed.memtable.bytes(), Ordering::Relaxed);
        memtables.sealed.push(sealed);
        self.metrics.sealed_generations.set(memtables.sealed.len() as i64);
        self.sealed.notify_one();
    }

    pub(crate) fn oldest_sealed(&self) -> Option<SealedMemtable> {
        self.memtables.read().sealed.first().cloned()
    }

    /// Lets go of the oldest sealed memtable.
    pub(crate) fn remove_oldest_sealed(&self) {
        let mut memtables = self.memtables.write();
        let gone = memtables.sealed.remove(0);
        self.sealed_bytes.fetch_sub(gone.memtable.bytes(), Ordering::Relaxed);
        self.metrics.sealed_generations.set(memtables.sealed.len() as i64);
        drop(memtables);
        // For the gauge that it sets.
        self.memory_bytes();
        let _guard = self.room_lock.lock();
        self.room.notify_all();
    }

    /// Blocks until a memtable was let go of, or `timeout` passed.
    pub(crate) fn wait_for_room(&self, has_room: impl Fn() -> bool, timeout: Duration) {
        let mut guard = self.room_lock.lock();
        self.room.wait_while_for(&mut guard, |()| !has_room(), timeout);
    }

    /// Waits until something was sealed.
    pub(crate) async fn wait_for_sealed(&self) {
        self.sealed.notified().await;
    }

    pub(crate) fn sealed_len(&self) -> usize {
        self.memtables.read().sealed.len()
    }

    /// Bytes that memtables hold.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let open = self.memtables.read().open.as_ref().map_or(0, |memtable| memtable.bytes());
        let bytes = open + self.sealed_bytes.load(Ordering::Relaxed);
        self.metrics.memory_bytes.set(bytes as i64);
        bytes
    }

    pub(crate) fn is_low_on_space(&self) -> bool {
        self.low_on_space.load(Ordering::Relaxed)
    }

    pub(crate) fn note_space(&self, settings: &Settings) {
        let free = settings.written_dirs.iter().filter_map(|dir| self.disk.space(dir).ok()).map(|space| space.free).min();
        if let Some(free) = free {
            self.metrics.free_bytes.set(free as i64);
        }
        self.low_on_space.store(free.is_some_and(|free| free < settings.free_space_floor), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_panic_raises_the_alarm() {
        let raised = Arc::new(AtomicU64::new(0));
        let alarm = || {
            let raised = raised.clone();
            PanicAlarm(Arc::new(move |_| {
                raised.fetch_add(1, Ordering::Relaxed);
            }))
        };
        drop(alarm());
        assert_eq!(raised.load(Ordering::Relaxed), 0);
        let held = alarm();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _held = held;
            panic!("as a bug would");
        }));
        assert!(panicked.is_err());
        assert_eq!(raised.load(Ordering::Relaxed), 1);
    }
}
