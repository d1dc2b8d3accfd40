//! Configuration: defaults ← YAML file ← `SKALD_…` environment ← flags.

mod limits;
mod size;

pub use limits::{Limits, ShardStreams};
pub use size::ByteSize;
