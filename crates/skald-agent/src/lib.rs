//! The log collector: reads files, the journal, syslog, pushes and containers as a promtail configuration says, and delivers each line to a Loki-compatible server.
//!
//! Lines go through the stages of their scrape config into the intake, which cuts batches; a batch stands in the spool on disk before it is sent, and positions move
//! when every client has had it acknowledged.

pub mod app;
pub mod batcher;
pub mod config;
pub mod delivery;
pub mod discovery;
pub mod files;
pub mod http;
pub mod intake;
pub mod limit;
pub mod positions;
pub mod sink;
pub mod source;
pub mod sources;
pub mod spool;
