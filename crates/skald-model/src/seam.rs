//! Everything by which a process touches the world, as traits: the real ones live in `skald-runtime`, the simulated ones in `skald-testkit`.

use crate::Timestamp;
use async_trait::async_trait;
use futures::channel::oneshot;
use futures::future::BoxFuture;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Time.
pub trait Clock: Send + Sync + 'static {
    /// Wall clock.
    fn now(&self) -> Timestamp;
    /// Time since some fixed instant; never goes back.
    fn monotonic(&self) -> Duration;
    /// Completes after `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// Randomness, also the source of ids.
pub trait Random: Send + Sync + 'static {
    /// 64 uniform bits.
    fn next_u64(&self) -> u64;

    /// A new 128-bit id.
    fn next_id(&self) -> u128 {
        u128::from(self.next_u64()) << 64 | u128::from(self.next_u64())
    }
}

/// A closure that runs once, elsewhere.
pub type Job = Box<dyn FnOnce() + Send + 'static>;

/// Starts background work. Tasks stop when the process does, or earlier by their own means.
pub trait Spawner: Send + Sync + 'static {
    /// Runs an asynchronous task.
    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>);
    /// Runs a job that blocks on the disk, on a bounded pool of threads for that.
    fn spawn_blocking(&self, job: Job);
    /// Runs a job on a thread of its own, for as long as it likes.
    fn spawn_thread(&self, name: &'static str, job: Job);
}

/// A bounded number of threads for work that needs the processor: compression, search, sorting.
pub trait CpuPool: Send + Sync + 'static {
    /// Queues a job. Callers bound how many of theirs are queued at a time.
    fn submit(&self, job: Job);
    /// Number of threads.
    fn threads(&self) -> usize;
}

/// Runs `work` on `pool` and gives its result. Dropping the future does not stop work that runs already.
///
/// # Errors
/// [`Stopped`] when the pool dropped the job, or the job panicked.
pub async fn run_on_pool<T: Send + 'static>(pool: &dyn CpuPool, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Stopped> {
    let (done, wait) = oneshot::channel();
    pool.submit(Box::new(move || {
        if !done.is_canceled() {
            let _ = done.send(work());
        }
    }));
    wait.await.map_err(|_| Stopped)
}

/// Runs `work` on the threads that may block on the disk.
///
/// # Errors
/// [`Stopped`] when the spawner dropped the job, or the job panicked.
pub async fn run_blocking<T: Send + 'static>(spawner: &dyn Spawner, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Stopped> {
    let (done, wait) = oneshot::channel();
    spawner.spawn_blocking(Box::new(move || {
        let _ = done.send(work());
    }));
    wait.await.map_err(|_| Stopped)
}

/// The work was dropped before it had a result: its pool stopped, or it panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("background work stopped before it was done")]
pub struct Stopped;

/// What a directory holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// File name, without the directory.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Bytes, 0 for a directory.
    pub len: u64,
    /// When it was last written, by the clock of the file system.
    pub modified: Timestamp,
}

/// Room on the file system that holds a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes in all.
    pub total: u64,
    /// Bytes that may still be written.
    pub free: u64,
}

/// A file system. Calls block; what is not synced may be lost by a power cut, as on a POSIX system:
/// the bytes of a file until [`DiskFile::sync`], and the names in a directory until [`Disk::sync_dir`].
pub trait Disk: Send + Sync + 'static {
    /// Makes a directory and its parents; no error when it is there.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Makes a new empty file for appending and reading. `AlreadyExists` when there is one.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Like [`Disk::create_new`], of a file that only its owner may read, where the system knows such a thing.
    fn create_new_private(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.create_new(path)
    }
    /// Opens a file for reading. `IsADirectory` for a directory.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Renames a file or directory, replacing a file that has the name `to`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Renames a file, atomically failing with `AlreadyExists` when `to` is there.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory and all it holds.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// What a directory holds, sorted by name.
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>>;
    /// Takes an exclusive lock on a file (made if need be) until the guard is dropped. `WouldBlock` when another process has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>>;
    /// Room on the file system that holds `path`.
    fn space(&self, path: &Path) -> io::Result<Space>;

    /// Makes a directory and its parents so that they survive a power cut, also those that a process made which died before it synced them.
    fn create_dir_all_synced(&self, path: &Path) -> io::Result<()> {
        self.create_dir_all(path)?;
        for (steps_up, dir) in path.ancestors().skip(1).enumerate() {
            let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
            match self.sync_dir(dir) {
                // Above our own directories there may be some that we may not open; those we did not make.
                Err(error) if steps_up > 0 && error.kind() == io::ErrorKind::PermissionDenied => break,
                synced => synced?,
            }
        }
        Ok(())
    }

    /// Reads a whole file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.open(path)?;
        let mut bytes = vec![0; file.len()? as usize];
        file.read_exact_at(0, &mut bytes)?;
        Ok(bytes)
    }
}

/// An open file.
pub trait DiskFile: Send + Sync {
    /// Writes all of `bytes` at the end. After an error some of them may have been written.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;
    /// Makes everything appended durable. After an error nothing is known of what was not durable before.
    fn sync(&self) -> io::Result<()>;
    /// Bytes in the file.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file holds nothing.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Fills `buf` from `offset` on. `UnexpectedEof` when the file ends before.
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;
}

/// Bytes in both directions.
pub trait Connection: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}

impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Connection for T {}

/// The network.
#[async_trait]
pub trait Network: Send + Sync + 'static {
    /// Begins to accept connections at `address`; port 0 picks a free one.
    async fn listen(&self, address: SocketAddr) -> io::Result<Box<dyn Listener>>;
    /// Connects to `host:port`.
    async fn connect(&self, address: &str) -> io::Result<Box<dyn Connection>>;
}

/// Accepts connections.
#[async_trait]
pub trait Listener: Send + Sync + 'static {
    /// The next connection and who makes it.
    async fn accept(&self) -> io::Result<(Box<dyn Connection>, SocketAddr)>;
    /// Where it listens.
    fn local_address(&self) -> io::Result<SocketAddr>;
}

/// The seams that most parts take, together.
#[derive(Clone)]
pub struct Seams {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness and ids.
    pub random: Arc<dyn Random>,
    /// Background work.
    pub spawner: Arc<dyn Spawner>,
    /// Processor work.
    pub cpu: Arc<dyn CpuPool>,
    /// Files.
    pub disk: Arc<dyn Disk>,
    /// Sockets.
    pub network: Arc<dyn Network>,
}
