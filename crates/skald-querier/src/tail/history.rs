//! The past of a tail: the newest entries of its query.

use super::entry::{EntryId, Renderer, TailEntry};
use crate::read::State;
use skald_logql::exec::{Batch, EvalError, Scratch, Selection, Stats};
use skald_logql::plan::Direction;
use skald_model::{TimeRange, Timestamp};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Keeps the newest entries, as many as the plan of the renderer asks for.
pub(super) struct History {
    renderer: Arc<Renderer>,
    range: TimeRange,
    limit: usize,
    /// The oldest on top.
    kept: BinaryHeap<Reverse<Ranked>>,
    bytes: usize,
    scratch: Scratch,
}

/// An entry and its place: time, stream, then place in the source.
struct Ranked {
    rank: (Timestamp, u64, (u64, u64)),
    entry: TailEntry,
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank.cmp(&other.rank)
    }
}

impl History {
    pub(super) fn new(renderer: Arc<Renderer>) -> Self {
        let (range, limit) = (renderer.plan.range(), renderer.plan.limit());
        History { renderer, range, limit, kept: BinaryHeap::new(), bytes: 0, scratch: Scratch::default() }
    }

    /// Adds what another history of the same plan kept.
    pub(super) fn merge(&mut self, other: History) {
        other.kept.into_iter().for_each(|Reverse(ranked)| self.push(ranked));
    }

    /// The entries, oldest first.
    pub(super) fn finish(self) -> Vec<TailEntry> {
        // The order of the heap is reversed: the newest come first out of it.
        let mut entries: Vec<TailEntry> = self.kept.into_sorted_vec().into_iter().map(|Reverse(ranked)| ranked.entry).collect();
        entries.reverse();
        entries
    }

    fn has_no_place(&self, rank: &(Timestamp, u64, (u64, u64))) -> bool {
        self.kept.len() >= self.limit && self.kept.peek().is_none_or(|Reverse(oldest)| oldest.rank >= *rank)
    }

    fn push(&mut self, ranked: Ranked) {
        if self.has_no_place(&ranked.rank) {
            return;
        }
        self.bytes += ranked.entry.heap_bytes();
        self.kept.push(Reverse(ranked));
        if self.kept.len() > self.limit
            && let Some(Reverse(gone)) = self.kept.pop()
        {
            self.bytes -= gone.entry.heap_bytes();
        }
    }

    /// Once there are enough entries: the time of the oldest.
    fn horizon(&self) -> Option<Timestamp> {
        self.kept.peek().filter(|_| self.kept.len() >= self.limit).map(|Reverse(oldest)| oldest.rank.0)
    }
}

impl State for History {
    fn add(&mut self, batch: &Batch<'_>, selection: &Selection, order: (u64, u64)) -> Result<Stats, EvalError> {
        let (renderer, mut scratch) = (self.renderer.clone(), std::mem::take(&mut self.scratch));
        let (range, horizon) = (self.range, self.horizon());
        let useful = |row: &usize| {
            let at = Timestamp(batch.timestamps[*row]);
            range.contains(at) && horizon.is_none_or(|horizon| at >= horizon)
        };
        let rows = selection.iter(batch.len()).filter(useful).map(|row| row as u32).collect();
        let (sorted, stream) = (batch.timestamps.is_sorted(), batch.labels.fingerprint().0);
        let stats = renderer.plan.pipeline().run(batch, &Selection::Rows(rows), Direction::Backward, &mut scratch, &mut |entry| {
            let rank = (entry.timestamp, stream, (order.0, order.1 + entry.row as u64));
            if !self.has_no_place(&rank) {
                self.push(Ranked { rank, entry: renderer.entry(batch, entry) });
            } else if sorted {
                // All that follows is older still.
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        self.scratch = scratch;
        Ok(stats)
    }

    fn heap_bytes(&self) -> usize {
        self.bytes
    }

    fn is_settled(&self, _min: Timestamp, max: Timestamp) -> bool {
        self.horizon().is_some_and(|horizon| max < horizon)
    }
}

/// What a history says about repeats.
pub(super) fn ids(entries: &[TailEntry]) -> impl Iterator<Item = EntryId> {
    entries.iter().map(|entry| entry.id)
}
