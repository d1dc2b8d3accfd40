//! Everything that is to be sent, on disk until every client has had it acknowledged.
//!
//! A group (what one cut of the batcher took, with the positions of its sources) is one record of a write-ahead log. It is written and synced before any
//! client is given it. Each client has a [`SpoolReader`]; what all have acknowledged moves the positions, and once these are written the log forgets it.
//! A spool that is full takes no more. A spool that cannot be written keeps one group in memory at a time, and sends it from there.

mod acks;
mod group;
mod keeper;
mod log;
mod metrics;
mod private_disk;
mod reader;
mod recovery;
mod shared;
mod state;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod writer;

use crate::batcher::{BatchLimits, Batcher, Losses};
use crate::positions::{PositionsConfig, PositionsError, PositionsStore, StartPositions};
use futures::FutureExt;
use keeper::{Need, keep_positions};
use log::{LogReader, LogWriter};
use metrics::SpoolCollector;
use parking_lot::Mutex;
use private_disk::PrivateDisk;
use prometheus_client::registry::Registry;
pub use reader::{Batch, PayloadError, SpoolReader};
use recovery::Recovery;
use shared::{Keeper, Shared};
use skald_model::seam::{Disk, Seams, run_blocking};
use skald_model::{DiskId, ErrorKind};
use skald_wal::{SealedGeneration, Wal, WalConfig, WalError};
use state::State;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::sync::watch;
use tracing::{info, warn};
use writer::write_groups;

/// Every spool has the same: its log is not mixed with another's.
const DISK_ID: DiskId = DiskId(u128::from_be_bytes(*b"skald-agentspool"));
/// Bytes of a chunk, the unit in which the log forgets.
const CHUNK_SIZE_MAX: u64 = 16 << 20;
/// At least so many chunks make a full spool.
const CHUNKS_MIN: u64 = 8;
/// Bytes of one record. A group is far smaller, unless a single offer was huge.
const RECORD_SIZE_MAX: u32 = 1 << 30;

/// Where the spool lies and how large it may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolConfig {
    /// Its directory, for it alone.
    pub dir: PathBuf,
    /// Bytes that it may have on disk. More makes the agent keep what syslog and pushes bring through a longer outage; files wait where they are.
    pub max_size: u64,
}

/// The spool of one process. Cheap to clone.
#[derive(Clone)]
pub struct Spool(Arc<Shared>);

/// Why the spool cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another process has it.
    #[error("the spool '{}' is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The disk failed.
    #[error("open the spool '{}'", path.display())]
    Io {
        /// Its directory.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// Its log cannot be read.
    #[error("read the log of the spool")]
    Log(#[source] WalError),
    /// The positions cannot be read.
    #[error("read positions")]
    Positions(#[source] PositionsError),
    /// The process is stopping.
    #[error("the spool is stopped")]
    Stopped,
}

impl SpoolError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InUse(_) | Self::Io { .. } | Self::Stopped => ErrorKind::Unavailable,
            Self::Log(error) => error.kind(),
            Self::Positions(error) => error.kind(),
        }
    }
}

/// What a spool is made of.
pub struct SpoolParts<'a> {
    /// Where and how large.
    pub config: SpoolConfig,
    /// Where positions are kept.
    pub positions: PositionsConfig,
    /// How batches are cut.
    pub limits: BatchLimits,
    /// Is told what limits take away.
    pub losses: Arc<dyn Losses>,
    /// Names of all clients, which stay the same from start to start. A new name begins with what the spool holds; one that is gone is forgotten.
    pub clients: &'a [String],
    /// Disk, clock, spawner.
    pub seams: &'a Seams,
}

impl Spool {
    /// Opens the spool and reads what it holds; metrics go to `registry`. Blocks on the disk.
    ///
    /// # Errors
    /// See [`SpoolError`].
    pub fn open(parts: SpoolParts<'_>, registry: &mut Registry) -> Result<Spool, SpoolError> {
        let SpoolParts { config, positions, limits, losses, clients, seams } = parts;
        let disk: Arc<dyn Disk> = Arc::new(PrivateDisk(seams.disk.clone()));
        let lock = lock(&*disk, &config)?;
        let chunk_size = (config.max_size / CHUNKS_MIN).min(CHUNK_SIZE_MAX);
        let wal_config = WalConfig { segment_size: chunk_size, record_size_max: RECORD_SIZE_MAX };
        let (wal, sealed) = Wal::open(disk.clone(), &config.dir.join("log"), DISK_ID, wal_config).map_err(SpoolError::Log)?;
        let wal = Arc::new(wal);

        let mut store = PositionsStore::new(positions, disk, seams.clock.clone());
        let loaded = store.load().map_err(SpoolError::Positions)?;
        let mut found = Recovery::run(&loaded, &sealed).map_err(SpoolError::Log)?;
        let last = loaded.clients.values().copied().chain([found.logged, found.base.number]).max().unwrap_or_default();
        info!(groups_until = last, delivered_until = found.base.number, bytes = wal.bytes(), "spool is open");

        remove_done(&wal, &sealed, &mut found);
        let mut state = State::new(found.base, found.chunks, found.logged, last);
        state.add_lost(found.lost);
        state.set_clients(clients, &loaded.clients);
        let floor = state.floor();
        let shared = Arc::new(Shared {
            batcher: Batcher::new(limits, last + 1, losses, seams.clock.clone()),
            state: Mutex::new(state),
            log: Mutex::new(LogWriter::new(wal.clone(), chunk_size)),
            keeper: Mutex::new(Keeper { store, reader: LogReader::new(wal.clone()), saved: None, recovered: Some(found.end) }),
            wal,
            size_max: config.max_size,
            clock: seams.clock.clone(),
            spawner: seams.spawner.clone(),
            published: watch::Sender::new(last),
            floor: watch::Sender::new(floor),
            stopping: watch::Sender::new(false),
            write_failures: AtomicU64::new(0),
            save_failures: AtomicU64::new(0),
            _lock: lock,
        });
        registry.register_collector(Box::new(SpoolCollector(Arc::downgrade(&shared))));
        Ok(Spool(shared))
    }

    /// Begins to write groups and to keep positions.
    pub fn start(&self) {
        let Shared { spawner, .. } = &*self.0;
        spawner.spawn("spool writer", write_groups(self.0.clone()).boxed());
        spawner.spawn("positions", keep_positions(self.0.clone()).boxed());
    }

    /// Takes what sources read.
    pub fn intake(&self) -> Batcher {
        self.0.batcher.clone()
    }

    /// Where sources begin, at start or when all of them begin again; none may offer meanwhile.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn start_positions(&self) -> Result<StartPositions, SpoolError> {
        let shared = self.0.clone();
        let found = run_blocking(&*self.0.spawner, move || shared.start_positions()).await;
        found.map_err(|_| SpoolError::Stopped)?.map_err(SpoolError::Log)
    }

    /// From now on these are all clients; their readers are made anew.
    pub fn set_clients(&self, clients: &[String]) {
        let mut state = self.0.state.lock();
        state.set_clients(clients, &BTreeMap::new());
        self.0.show_floor(&state);
    }

    /// Gives `client` what it has not had acknowledged. A client has one reader at a time.
    pub fn reader(&self, client: &str) -> SpoolReader {
        SpoolReader::new(self.0.clone(), client)
    }

    /// Waits until every client has all that was offered so far.
    pub async fn drained(&self) {
        self.0.batcher.flush().await;
        let (published, mut floor) = (*self.0.published.borrow(), self.0.floor.subscribe());
        let _ = floor.wait_for(|floor| *floor >= published).await;
    }

    /// Writes what was offered and the positions. Waits for nobody else, but for the disk: bound it in time. After it nothing is written.
    pub async fn stop(&self) {
        self.0.batcher.flush().await;
        self.abort().await;
    }

    /// Writes the positions and gives up what is not written: files are read again from there.
    pub async fn abort(&self) {
        self.0.stopping.send_replace(true);
        self.0.keep(Need::Sync).await;
    }
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool").field("wal", &self.0.wal).finish_non_exhaustive()
    }
}

fn lock(disk: &dyn Disk, config: &SpoolConfig) -> Result<Box<dyn Send + Sync>, SpoolError> {
    let path = &config.dir;
    disk.create_dir_all(path).map_err(|source| SpoolError::Io { path: path.clone(), source })?;
    disk.lock(&path.join("lock")).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => SpoolError::InUse(path.clone()),
        _ => SpoolError::Io { path: path.clone(), source },
    })
}

/// Removes what held nothing, or what all clients have. If it fails it is tried again at the next start.
fn remove_done(wal: &Wal, sealed: &[SealedGeneration], found: &mut Recovery) {
    let delivered = found.base.number;
    found.chunks.retain(|chunk| chunk.last > delivered);
    for generation in sealed.iter().map(SealedGeneration::generation) {
        if !found.chunks.iter().any(|chunk| chunk.generation == generation)
            && let Err(error) = wal.remove_generation(generation)
        {
            warn!(%generation, error = skald_runtime::chain(&error), "chunk of the spool cannot be removed");
        }
    }
}
