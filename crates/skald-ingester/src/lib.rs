//! The ingester: keeps acknowledged entries durable and readable until they stand in data objects.
//!
//! It owns the write-ahead log, the memtables of the generations that are not flushed, and what is known of each stream.
//! It promises that a push is acknowledged only after its WAL record is fsynced, that acknowledged entries are in its `select`'s
//! answer or in a data object at every instant, and that a crash at any point loses nothing acknowledged and repeats nothing.
//!
//! Data moves in one direction: `service` encodes a push and queues it; the one commit thread (`commit`) decides the out-of-order window,
//! writes a group of records with one fsync, appends the rows to the open memtable and only then replies; it also seals. Since one thread does
//! all four, a sealed memtable holds exactly the rows of its WAL records: no push can be between the two. The flusher (`flush`) writes the data
//! objects of sealed memtables, publishes them in the catalogue, removes the WAL directory, and lets go of the memtable last.
//! `tail` hands rows to those who follow streams, once they are durable and readable.
//! `recovery` turns what the WAL holds at start into sealed memtables.

mod commit;
mod flush;
mod http;
mod memtable;
mod metrics;
mod recovery;
mod service;
mod stream;
mod tail;

pub use http::AfterFlush;
pub use metrics::Metrics;
pub use recovery::RecoveryError;
pub use service::{Ingester, OnFailure, Parts};
