//! The write-ahead log: segments on a local disk, one fsync for a group of records, and replay.
//!
//! It knows bytes, not logs. Records belong to a generation, the unit that is sealed, flushed and removed as a whole; each generation is a folder
//! of segments (`<dir>/<generation>/<segment>.wal`). Every byte is described in `docs/formats/wal.md`.
//!
//! Promises:
//! - A record whose [`GenerationWriter::append`] returned `Ok` is found by replay after a kill or a power cut.
//! - The number of a generation is never used twice, not even when all generations are gone.
//! - A torn or corrupt record costs only itself; [`ReplayReport`] names what was lost.
//! - [`Wal::remove_generation`] leaves a generation that can be replayed, or none.
//! - What was not written by this log is reported, and neither read nor removed.
//!
//! All calls block on the disk. Threads, the grouping of pushes and the lock on the data directory are the caller's.

mod error;
mod folder;
mod follow;
mod format;
mod number;
mod replay;
mod segment;
mod wal;
mod writer;

#[cfg(test)]
mod tests;

pub use error::WalError;
pub use follow::Follower;
pub use replay::{CorruptRange, Position, Record, Replay, ReplayReport};
pub use wal::{SealedGeneration, Wal, WalConfig};
pub use writer::GenerationWriter;
