use crate::{LabelSet, Text};
use skald_model::Timestamp;
use std::time::Duration;

/// A line on its way from a source to a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Labels of the stream, with those that begin with `__` while they are still needed.
    pub labels: LabelSet,
    /// When the line was read, until a stage knows better.
    pub timestamp: Timestamp,
    /// The line, without its end.
    pub line: String,
    /// Structured metadata, in order of addition, each name once.
    pub metadata: Vec<(Text, Text)>,
}

/// Where in its source a line begins. Ascends within one source; what it counts (bytes, lines, entries) is the source's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mark(pub u64);

/// The time at which lines are processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// By the wall clock.
    pub wall: Timestamp,
    /// Since some fixed instant; never goes back.
    pub monotonic: Duration,
}
