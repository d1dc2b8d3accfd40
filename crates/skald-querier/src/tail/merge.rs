//! Joins what several ingesters send: each entry once, in order within a short window. Pure.

use super::entry::{EntryId, TailEntry};
use rustc_hash::FxHashSet;
use skald_model::Timestamp;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

/// Entries that wait for earlier ones at most; over it the earliest do not wait any longer.
const HELD_MAX: usize = 16 << 10;
/// Their bytes at most.
const HELD_BYTES_MAX: usize = 16 << 20;
/// Entries that are remembered so that they do not come again, beside those of the history.
const REMEMBERED_MAX: usize = 64 << 10;

/// Holds entries for a while so that earlier ones can still come, and drops those that came before.
pub(super) struct Merger {
    window: Duration,
    bounds: Bounds,
    /// The earliest on top.
    held: BinaryHeap<Reverse<Held>>,
    held_bytes: usize,
    /// When each entry has waited long enough, in order of arrival. Some may have gone before.
    due: VecDeque<(Duration, Place)>,
    arrived: u64,
    history: FxHashSet<EntryId>,
    recent: FxHashSet<EntryId>,
    /// What is in `recent`, oldest first.
    recent_order: VecDeque<EntryId>,
}

struct Bounds {
    held: usize,
    held_bytes: usize,
    remembered: usize,
}

/// Where an entry stands in the order: by time, then by arrival.
type Place = (Timestamp, u64);

struct Held {
    place: Place,
    entry: TailEntry,
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl Eq for Held {}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Held {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.place.cmp(&other.place)
    }
}

impl Merger {
    /// Holds entries for `window`; those with an id in `history` came already.
    pub(super) fn new(window: Duration, history: impl Iterator<Item = EntryId>) -> Self {
        Self::bounded(window, history, Bounds { held: HELD_MAX, held_bytes: HELD_BYTES_MAX, remembered: REMEMBERED_MAX })
    }

    fn bounded(window: Duration, history: impl Iterator<Item = EntryId>, bounds: Bounds) -> Self {
        Merger {
            window,
            bounds,
            held: BinaryHeap::new(),
            held_bytes: 0,
            due: VecDeque::new(),
            arrived: 0,
            history: history.collect(),
            recent: FxHashSet::default(),
            recent_order: VecDeque::new(),
        }
    }

    /// Takes an entry that arrived at `now` of the monotonic clock, unless it came before.
    pub(super) fn offer(&mut self, entry: TailEntry, now: Duration) {
        if self.history.contains(&entry.id) || !self.recent.insert(entry.id) {
            return;
        }
        self.recent_order.push_back(entry.id);
        if self.recent_order.len() > self.bounds.remembered
            && let Some(forgotten) = self.recent_order.pop_front()
        {
            self.recent.remove(&forgotten);
        }
        let place = (entry.at, self.arrived);
        self.arrived += 1;
        self.due.push_back((now + self.window, place));
        self.held_bytes += entry.heap_bytes();
        self.held.push(Reverse(Held { place, entry }));
    }

    /// When there is something to take at the latest.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.due.front().filter(|_| !self.held.is_empty()).map(|(at, _)| *at)
    }

    /// The entries that have waited long enough at `now`, those before them, and those that are too many to wait; in order.
    pub(super) fn take_due(&mut self, now: Duration) -> Vec<TailEntry> {
        let (mut taken, mut last) = (Vec::new(), None);
        while let Some((_, place)) = self.due.pop_front_if(|(at, _)| *at <= now) {
            last = last.max(Some(place));
        }
        loop {
            let is_over = self.held.len() > self.bounds.held || self.held_bytes > self.bounds.held_bytes;
            let Some(Reverse(first)) = self.held.peek() else { break };
            if !is_over && Some(first.place) > last {
                break;
            }
            if let Some(Reverse(held)) = self.held.pop() {
                self.held_bytes -= held.entry.heap_bytes();
                taken.push(held.entry);
            }
        }
        if self.held.is_empty() {
            self.due.clear();
        }
        taken
    }
}

#[cfg(test)]
mod tests;
