//! The real clock, randomness, threads, disk and network.

mod clock;
mod cpu;
mod disk;
mod network;
mod random;
mod spawner;

pub use clock::SystemClock;
pub use cpu::CrossbeamPool;
pub use disk::StdDisk;
pub use network::TokioNetwork;
pub use random::OsRandom;
pub use spawner::TokioSpawner;

use crate::Metrics;
use skald_model::seam::Seams;
use std::io;
use std::sync::Arc;

/// The real seams. Must be called within a tokio runtime, on which tasks and blocking jobs then run.
///
/// `cpu_threads` 0 is one thread for each core.
///
/// # Errors
/// The system gives no randomness or no threads.
pub fn seams(cpu_threads: usize, metrics: &Metrics) -> io::Result<Seams> {
    let threads = if cpu_threads == 0 { std::thread::available_parallelism().map_or(1, usize::from) } else { cpu_threads };
    Ok(Seams {
        clock: Arc::new(SystemClock::new()),
        random: Arc::new(OsRandom::new()?),
        spawner: Arc::new(TokioSpawner::new(metrics)),
        cpu: Arc::new(CrossbeamPool::new(threads, metrics)?),
        disk: Arc::new(StdDisk),
        network: Arc::new(TokioNetwork),
    })
}
