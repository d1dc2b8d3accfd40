//! Configuration: defaults ← YAML file ← `SKALD_…` environment ← flags.

mod limits;
mod size;

pub use limits::{Limits, ShardStreams, TenantLimits};
pub use size::ByteSize;
