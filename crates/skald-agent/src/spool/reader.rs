use super::group::{Group, StoredBatch};
use super::log::{LogReader, Place, READS_MAX};
use super::shared::Shared;
use super::state::Held;
use bytes::Bytes;
use parking_lot::Mutex;
use skald_model::ErrorKind;
use skald_model::seam::run_blocking;
use skald_pipeline::Text;
use skald_runtime::chain;
use skald_wal::WalError;
use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use tracing::{error, warn};

/// Pause after a failed read.
const RETRY: Duration = Duration::from_secs(1);

/// Gives one client the batches that it has not had acknowledged, in the order in which they were cut.
pub struct SpoolReader {
    shared: Arc<Shared>,
    client: Arc<str>,
    pub(super) log: Arc<Mutex<LogReader>>,
    /// The last group that was read.
    pub(super) read: u64,
    waiting: VecDeque<Batch>,
    /// Keeps the payloads of the batches last given in memory.
    current: Option<Arc<Group>>,
}

/// A batch for one client.
///
/// It does not hold its payload: many may be waited with. One that is dropped without [`Batch::ack`] comes again after the next start.
pub struct Batch {
    shared: Arc<Shared>,
    client: Arc<str>,
    number: u64,
    index: u32,
    tenant: Option<Text>,
    entries: u64,
    line_bytes: u64,
    group: Weak<Group>,
    place: Arc<OnceLock<Place>>,
    failures: AtomicU32,
}

/// Why the payload of a batch cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// The disk failed; another try may help.
    #[error("read the spool")]
    Unreadable(#[source] WalError),
    /// It is lost: damaged on the disk, or unreadable again and again. Acknowledge the batch and count its entries as lost.
    #[error("group {0} of the spool is damaged or cannot be read")]
    Lost(u64),
    /// The process is stopping.
    #[error("the spool is stopped")]
    Stopped,
}

impl PayloadError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unreadable(_) | Self::Stopped => ErrorKind::Unavailable,
            Self::Lost(_) => ErrorKind::Corrupt,
        }
    }
}

impl SpoolReader {
    pub(crate) fn new(shared: Arc<Shared>, client: &str) -> Self {
        let mut state = shared.state.lock();
        let acks = state.acks(client);
        acks.rewind();
        let read = acks.watermark();
        drop(state);
        let log = Arc::new(Mutex::new(LogReader::new(shared.wal.clone())));
        SpoolReader { shared, client: client.into(), log, read, waiting: VecDeque::new(), current: None }
    }

    /// The next batch; waits for one. A caller may stop waiting at any time and ask again.
    pub async fn next(&mut self) -> Batch {
        loop {
            if let Some(batch) = self.waiting.pop_front() {
                return batch;
            }
            let held = self.next_group().await;
            self.begin(held);
        }
    }

    async fn next_group(&self) -> Held {
        let Shared { state, published, clock, .. } = &*self.shared;
        let from = self.read + 1;
        let mut published = published.subscribe();
        loop {
            published.mark_unchanged();
            // Looked up here first: what is in memory costs no way to another thread.
            let (held, is_published) = {
                let state = state.lock();
                (state.held(from), state.published() >= from)
            };
            let found = match held {
                Some(held) => return held,
                None if is_published => self.find(from).await,
                None => Ok(None),
            };
            match found {
                Ok(Some(held)) => return held,
                Ok(None) => drop(published.changed().await),
                Err(error) => {
                    warn!(client = %self.client, error = chain(&error), "spool cannot be read, trying again");
                    clock.sleep(RETRY).await;
                }
            }
        }
    }

    async fn find(&self, from: u64) -> Result<Option<Held>, WalError> {
        let (shared, log) = (self.shared.clone(), self.log.clone());
        // Without a result the process ends.
        run_blocking(&*self.shared.spawner, move || shared.group_from(&mut log.lock(), from)).await.unwrap_or(Ok(None))
    }

    fn begin(&mut self, held: Held) {
        let group = &held.group;
        if group.previous > self.read {
            error!(client = %self.client, after = self.read, until = group.previous, "groups of the spool are lost");
        }
        let mut state = self.shared.state.lock();
        if group.previous > self.read {
            state.skip_after(self.read);
        }
        state.acks(&self.client).begin(group.number, group.batches.len() as u32, group.cut_at.0);
        if group.batches.is_empty() {
            state.advance();
            self.shared.show_floor(&state);
        }
        drop(state);
        self.waiting = group.batches.iter().zip(0..).map(|(batch, index)| self.batch(&held, batch, index)).collect();
        self.read = group.number;
        self.current = Some(held.group);
    }

    fn batch(&self, held: &Held, batch: &StoredBatch, index: u32) -> Batch {
        Batch {
            shared: self.shared.clone(),
            client: self.client.clone(),
            number: held.group.number,
            index,
            tenant: batch.tenant.clone(),
            entries: batch.entries,
            line_bytes: batch.line_bytes,
            group: Arc::downgrade(&held.group),
            place: held.place.clone(),
            failures: AtomicU32::new(0),
        }
    }
}

impl Batch {
    /// Number of its group; ascends.
    pub fn group(&self) -> u64 {
        self.number
    }

    /// Tenant that its entries named themselves.
    pub fn tenant(&self) -> Option<&Text> {
        self.tenant.as_ref()
    }

    /// Number of entries.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Bytes of lines and metadata.
    pub fn line_bytes(&self) -> u64 {
        self.line_bytes
    }

    /// The body of its push, snappy-compressed and without labels of the client.
    ///
    /// # Errors
    /// See [`PayloadError`].
    pub async fn payload(&self) -> Result<Bytes, PayloadError> {
        let held = || self.shared.state.lock().held(self.number).map(|held| held.group);
        if let Some(group) = self.group.upgrade().or_else(held) {
            return Ok(group.batches[self.index as usize].payload.clone());
        }
        // A group that is in no log stays in memory until all clients have it.
        let Some(place) = self.place.get().copied() else { return Err(self.lost()) };
        let (shared, number, index) = (self.shared.clone(), self.number, self.index as usize);
        let read = run_blocking(&*self.shared.spawner, move || shared.payload_at(place, number, index)).await;
        match read.map_err(|_| PayloadError::Stopped)? {
            Ok(Some(payload)) => Ok(payload),
            Ok(None) => Err(self.lost()),
            Err(_) if self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= READS_MAX => Err(self.lost()),
            Err(error) => Err(PayloadError::Unreadable(error)),
        }
    }

    fn lost(&self) -> PayloadError {
        self.shared.state.lock().skip_after(self.number - 1);
        PayloadError::Lost(self.number)
    }

    /// The client has it, or it was refused for good. Batches may be acknowledged in any order, and more than once.
    pub fn ack(&self) {
        self.shared.ack(&self.client, self.number, self.index);
    }
}

impl fmt::Debug for SpoolReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpoolReader").field("client", &self.client).field("read", &self.read).finish_non_exhaustive()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, number, index, tenant, entries, .. } = self;
        f.debug_struct("Batch")
            .field("client", client)
            .field("group", number)
            .field("index", index)
            .field("tenant", tenant)
            .field("entries", entries)
            .finish_non_exhaustive()
    }
}
