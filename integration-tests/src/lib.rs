//! Runs the real `skald` binary, for tests: starts servers on free ports with directories of their own, talks to them, kills them.
//!
//! Everything here panics when it fails; nothing outside tests uses it. The binary is the one that was built beside the running
//! test: `cargo test --workspace --all-targets` builds both.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "real processes, files, sockets and times are what this crate is for, and its failures are those of a test"
)]

mod agent;
mod answer;
mod client;
mod command_line;
pub mod differential;
mod entries;
mod fault_proxy;
mod files;
pub mod golden;
pub mod load;
mod server;
mod tail;

pub use agent::Agent;
pub use answer::Answer;
pub use client::{Client, form};
use command_line::start_skald_in;
pub use command_line::{Ran, Running, run_skald, start_skald};
pub use entries::{entries, push_body, strings, vector_values};
pub use fault_proxy::{Exchange, Fault, FaultProxy};
pub use files::{files_below, flip_byte, only_file_below};
pub use server::{Server, until};
pub use tail::{Forwarder, Frame, Tail, Tailed, tailed};

use std::path::PathBuf;

/// A configuration in which no rate stands in the way and old entries are taken.
pub const GENEROUS: &str = "\
limits_config:
  ingestion_rate_mb: 1000
  ingestion_burst_size_mb: 1000
  per_stream_rate_limit: 1GB
  per_stream_rate_limit_burst: 1GB
  reject_old_samples: false
";

/// The `skald` binary of this build.
pub fn skald_binary() -> PathBuf {
    binary("skald")
}

/// Any binary of this build.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // Tests lie in `deps`, the binaries in the folder above.
    let found = test.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("no {name} binary beside {}: build it with `cargo build --bin {name}`", test.display()))
}

/// Nanoseconds since 1970.
pub fn now_ns() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64
}
