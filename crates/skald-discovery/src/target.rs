//! What discovery yields.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

/// Labels of one target: names and values, each name once.
pub type LabelSet = Vec<(String, String)>;

/// The targets that one thing stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetGroup {
    /// What the targets come from: a number of the configuration's lists, a file, an object (`pod/namespace/name`). Unique within its discovery.
    pub source: String,
    /// Labels of each target, those of the group among them. None: there is nothing (any more).
    pub targets: Vec<LabelSet>,
}

/// What a [`Discovery`] tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// Replaces the group of the same source. A group without targets takes it away.
    Group(TargetGroup),
    /// All that was there at the start has been told. Comes once.
    Synced,
}

/// A source of targets.
#[async_trait]
pub trait Discovery: Send {
    /// Waits for the next update. It never ends and never fails: errors are logged, counted and followed by another attempt.
    /// An update is not lost when the caller stops waiting.
    async fn next(&mut self) -> Update;
}

/// What a discovery counts, for the caller's metrics. Shared with it.
#[derive(Debug, Default)]
pub struct DiscoveryStats {
    updates: AtomicU64,
    failures: AtomicU64,
}

impl DiscoveryStats {
    /// Groups told so far, those that took targets away among them.
    pub fn updates(&self) -> u64 {
        self.updates.load(Ordering::Relaxed)
    }

    /// Failed attempts to learn of targets: requests that failed, files that could not be read.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(crate) fn count_update(&self) {
        self.updates.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }
}
