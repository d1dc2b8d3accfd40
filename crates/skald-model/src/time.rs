use std::fmt;
use std::time::Duration;

/// Nanoseconds since 1970-01-01T00:00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Earliest time that can be said.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// Latest time that can be said.
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// From whole seconds, saturating.
    pub fn from_secs(secs: i64) -> Self {
        Timestamp(secs.saturating_mul(1_000_000_000))
    }

    /// This time less `by`, saturating.
    pub fn minus(self, by: Duration) -> Self {
        Timestamp(self.0.saturating_sub(nanos(by)))
    }

    /// This time plus `by`, saturating.
    pub fn plus(self, by: Duration) -> Self {
        Timestamp(self.0.saturating_add(nanos(by)))
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A span of time, `start` inclusive, `end` exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// First instant inside.
    pub start: Timestamp,
    /// First instant after.
    pub end: Timestamp,
}

impl TimeRange {
    /// All of time but its last nanosecond.
    pub const ALL: TimeRange = TimeRange { start: Timestamp::MIN, end: Timestamp::MAX };

    /// The range `[start, end)`.
    pub fn new(start: Timestamp, end: Timestamp) -> Self {
        TimeRange { start, end }
    }

    /// Whether `at` is inside.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }

    /// Whether any instant of the closed span `[min, max]` is inside.
    pub fn overlaps(&self, min: Timestamp, max: Timestamp) -> bool {
        self.start <= max && min < self.end
    }

    /// Whether all of the closed span `[min, max]` is inside.
    pub fn covers(&self, min: Timestamp, max: Timestamp) -> bool {
        self.start <= min && max < self.end
    }

    /// Whether no instant is inside.
    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }
}
