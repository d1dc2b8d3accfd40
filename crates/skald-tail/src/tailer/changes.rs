//! What changed: reported by the system, or found by polling.

use super::{Lines, SCAN_PAUSE, Tailer};
use crate::position::FileId;
use crate::watch::Change;
use rustc_hash::FxHashSet;
use std::time::Duration;

impl Tailer {
    /// Takes in what the system reported.
    pub(super) fn take_events(&mut self, lines: &mut dyn Lines) {
        let mut names = FxHashSet::default();
        for event in self.watcher.events() {
            match event.what {
                Change::Written => {
                    for path in self.tree.paths(event.watch, &event.name).collect::<Vec<_>>() {
                        self.paths.get(&*path).cloned().into_iter().flatten().for_each(|id| self.enqueue(id));
                    }
                }
                Change::Name => {
                    names.insert((event.watch, event.name));
                }
                Change::Directory => {
                    if self.tree.is_watched(event.watch) {
                        self.scan_soon();
                    }
                }
                Change::Overflow => {
                    self.turns.stats.overflows += 1;
                    self.thorough_due = Duration::ZERO;
                    self.scan_soon();
                }
            }
        }
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort();
        for (watch, name) in &names {
            for path in self.tree.paths(*watch, name).collect::<Vec<_>>() {
                self.recheck(&path);
            }
        }
        for (watch, name) in &names {
            let (found, awaited) = self.tree.appeared(*watch, name, &self.targets, &mut self.watcher);
            if awaited {
                self.scan_soon();
            }
            found.into_iter().for_each(|found| self.found(found, false, lines));
        }
    }

    /// All directories are to be looked at, but not at once again and again.
    pub(super) fn scan_soon(&mut self) {
        self.scan_due = self.scan_due.min(self.turns.now.max(self.last_scan + SCAN_PAUSE));
    }

    /// A file may have unread bytes.
    pub(super) fn enqueue(&mut self, id: FileId) {
        if let Some(reading) = self.readings.get_mut(&id)
            && !reading.queued
        {
            reading.queued = true;
            if reading.not_before > self.turns.now { self.paused.push(id) } else { self.ready.push_back(id) }
        }
    }

    pub(super) fn end_pauses(&mut self) {
        let now = self.turns.now;
        let (ended, waiting) = std::mem::take(&mut self.paused)
            .into_iter()
            .partition(|id| self.readings.get(id).is_none_or(|reading| reading.not_before <= now));
        self.paused = waiting;
        self.ready.extend(ended);
    }

    /// Looks at what is not reported.
    pub(super) fn poll(&mut self, lines: &mut dyn Lines) {
        let mut changed = false;
        let mut polled = std::mem::take(&mut self.polled);
        polled.sort_unstable();
        polled.dedup();
        polled.retain(|id| {
            let Some(reading) = self.readings.get(id) else { return false };
            if !reading.is_at() {
                self.enqueue(*id);
                return true;
            }
            let polled = reading.polled;
            if polled && !reading.queued {
                let path = reading.path.clone();
                changed |= self.recheck(&path);
            }
            polled
        });
        self.polled.extend(polled);
        if !self.moved.is_empty() {
            // A file left its path: another one may be there.
            for path in self.moved.iter().filter_map(|id| Some(self.readings.get(id)?.path.clone())).collect::<Vec<_>>() {
                self.found_at(&path, lines);
            }
        }
        self.poll_period =
            if changed { self.config.poll_min } else { (self.poll_period * 2).min(self.config.poll_max).max(self.config.poll_min) };
        self.poll_due = self.turns.now + self.poll_period;
    }
}
