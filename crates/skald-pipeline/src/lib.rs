//! What an agent does to a line between reading and sending: relabeling of targets and entries, and the stages of `pipeline_stages`.
//!
//! The crate is pure: time, randomness and bytes are arguments. A [`Pipeline`] is compiled once from its stages and shared; each source of lines (a file,
//! a connection) runs its own [`Instance`], which holds what stages keep between lines: fragments of a long line, an unfinished multi-line entry, the last
//! good timestamp. An instance says how far back the oldest line reaches that it still holds ([`Instance::oldest_held`]), so that a position never moves
//! past a line that has not come out yet.

mod chain;
mod counters;
mod entry;
mod error;
mod extracted;
mod labels;
mod memo;
mod metrics;
mod pipeline;
mod relabel;
mod stage;
mod stages;

pub use counters::{Counter, Counters};
pub use entry::{Entry, Mark, Now};
pub use error::{PipelineError, StageError};
pub use labels::{LabelSet, Text};
pub use metrics::{CustomMetrics, Family, Sample};
pub use pipeline::{Inspected, Inspector, Instance, Pipeline, PipelineContext};
pub use relabel::{Relabel, RelabelConfig, RelabelError, RuleError};
pub use stages::StageConfig;

#[cfg(test)]
mod tests;
