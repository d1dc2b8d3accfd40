//! What is known of each container of one engine.

use super::frames::Stream;
use super::labels::STREAM_LABEL;
use super::place::Place;
use crate::sink::SinkParts;
use crate::source::TargetStatus;
use parking_lot::Mutex;
use skald_pipeline::LabelSet;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Most targets that are shown of those not read.
const DROPPED_SHOWN_MAX: usize = 100;

/// Labels of the lines of one container.
#[derive(Debug, Clone, Default)]
pub(super) struct Labels {
    /// Before relabeling.
    pub(super) discovered: LabelSet,
    /// Behind it, by stream; `None` where it drops them.
    streams: [Option<LabelSet>; 2],
}

impl Labels {
    /// Those of the first target of which relabeling keeps anything, for a line is to be read once; else of the first.
    pub(super) fn choose(targets: Vec<LabelSet>, sink: &SinkParts) -> Self {
        let mut all = targets.into_iter().map(|target| Labels::of(target, sink)).peekable();
        let first = all.peek().cloned().unwrap_or_default();
        all.find(|labels| labels.is_kept()).unwrap_or(first)
    }

    fn of(discovered: LabelSet, sink: &SinkParts) -> Self {
        let streams = Stream::BOTH.map(|stream| {
            let mut labels = discovered.clone();
            labels.set(STREAM_LABEL, stream.name());
            sink.labels_of(labels)
        });
        Labels { discovered, streams }
    }

    /// Labels of a line of `stream`, unless it is dropped.
    pub(super) fn of_stream(&self, stream: Stream) -> Option<LabelSet> {
        self.streams[stream as usize].clone()
    }

    fn is_kept(&self) -> bool {
        self.streams.iter().any(Option::is_some)
    }
}

/// A container that is or was read, or that relabeling drops.
struct Known {
    labels: Arc<Labels>,
    place: Place,
    reading: Reading,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// A task reads it.
    Now {
        /// Whether it has started once more meanwhile.
        again: bool,
    },
    /// There is more than what was read, or may be.
    Due,
    /// It had ended, and was read to its end.
    Ended,
}

/// What a task needs to read a container.
pub(super) struct Assignment {
    pub(super) id: String,
    pub(super) labels: Arc<Labels>,
    pub(super) place: Place,
}

/// All containers of one engine. A cheap handle.
#[derive(Clone, Default)]
pub(super) struct Board(Arc<Mutex<BTreeMap<String, Known>>>);

impl Board {
    /// Takes in a container that was listed; gives what is to be done, when it is to be read and nobody does.
    pub(super) fn see(&self, id: &str, labels: Labels, is_running: bool, start: impl FnOnce() -> Place) -> Option<Assignment> {
        let mut board = self.0.lock();
        let known = board.entry(id.to_owned()).or_insert_with(|| Known { labels: Arc::default(), place: start(), reading: Reading::Due });
        known.labels = Arc::new(labels);
        let is_due = match known.reading {
            Reading::Now { .. } => false,
            Reading::Due => true,
            Reading::Ended => is_running,
        };
        if !is_due || !known.labels.is_kept() {
            return None;
        }
        known.reading = Reading::Now { again: false };
        Some(Assignment { id: id.to_owned(), labels: Arc::clone(&known.labels), place: known.place.clone() })
    }

    /// Containers that nobody reads and that are not listed: they may be gone, or not pass the filters for now.
    pub(super) fn unlisted(&self, listed: &HashSet<&str>) -> Vec<String> {
        let board = self.0.lock();
        let idle = board.iter().filter(|(_, known)| !matches!(known.reading, Reading::Now { .. }));
        idle.map(|(id, _)| id.clone()).filter(|id| !listed.contains(id.as_str())).collect()
    }

    /// A container is no more.
    pub(super) fn forget(&self, id: &str) {
        self.0.lock().remove(id);
    }

    /// A container has started: it may have ended again before it is listed.
    pub(super) fn started(&self, id: &str) {
        if let Some(known) = self.0.lock().get_mut(id) {
            known.restart();
        }
    }

    /// Any container may have started.
    pub(super) fn any_started(&self) {
        self.0.lock().values_mut().for_each(Known::restart);
    }

    /// The labels of a container as of now.
    pub(super) fn labels(&self, id: &str) -> Option<Arc<Labels>> {
        self.0.lock().get(id).map(|known| Arc::clone(&known.labels))
    }

    /// A container was read up to here.
    pub(super) fn read_to(&self, id: &str, place: &Place) {
        if let Some(known) = self.0.lock().get_mut(id) {
            known.place.clone_from(place);
        }
    }

    /// Nobody reads a container any more.
    pub(super) fn ended(&self, id: &str) {
        if let Some(known) = self.0.lock().get_mut(id) {
            let again = known.reading == Reading::Now { again: true };
            known.reading = if again { Reading::Due } else { Reading::Ended };
        }
    }

    /// What is read, and what relabeling drops.
    pub(super) fn show(&self, host: &str, active: &mut Vec<TargetStatus>, dropped: &mut Vec<TargetStatus>) {
        for (id, known) in &*self.0.lock() {
            let labels = &known.labels;
            let kept = labels.streams.iter().flatten().next().cloned().unwrap_or_default();
            let mut details = vec![("engine".to_owned(), host.to_owned()), ("container".to_owned(), id.clone())];
            details.extend(known.place.seconds().map(|seconds| ("last line".to_owned(), seconds.to_string())));
            let mut target = TargetStatus { discovered: labels.discovered.clone(), labels: kept, reason: String::new(), details };
            if !labels.is_kept() {
                "dropped by relabel_configs".clone_into(&mut target.reason);
            } else if known.reading == Reading::Ended {
                "ended, and read to its end".clone_into(&mut target.reason);
            }
            if target.reason.is_empty() {
                active.push(target);
            } else if dropped.len() < DROPPED_SHOWN_MAX {
                dropped.push(target);
            }
        }
    }
}

impl Known {
    fn restart(&mut self) {
        self.reading = match self.reading {
            Reading::Now { .. } => Reading::Now { again: true },
            Reading::Due | Reading::Ended => Reading::Due,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::fake::{FakeIntake, parts};
    use skald_model::Timestamp;
    use skald_testkit::SimClock;

    fn labels(names: &[&str], rules: &str) -> Labels {
        let sink = parts(&FakeIntake::with_room(1), SimClock::new(Timestamp(0)), "[]", rules);
        Labels::choose(names.iter().map(|name| [("net", *name)].into_iter().collect()).collect(), &sink)
    }

    #[test]
    fn a_container_that_starts_once_more_while_its_end_is_read_is_read_again() {
        let board = Board::default();
        let see = |is_running| board.see("a", labels(&["n"], "[]"), is_running, Place::default).is_some();
        assert!(see(true) && !see(true));
        board.started("a");
        board.ended("a");
        assert!(see(false) && !see(false));
        board.ended("a");
        assert!(!see(false) && see(true));
    }

    #[test]
    fn of_several_targets_the_first_that_is_kept_counts() {
        let rules = r#"[{"source_labels": ["net"], "regex": "b|c", "action": "keep"}]"#;
        let chosen = |names: &[&str]| {
            let labels = labels(names, rules);
            (labels.is_kept(), labels.discovered.get("net").unwrap().to_owned())
        };
        assert_eq!(chosen(&["a", "b", "c"]), (true, "b".to_owned()));
        assert_eq!(chosen(&["x", "y"]), (false, "x".to_owned()));
    }
}
