use crate::LabelSet;
use quick_cache::UnitWeighter;
use quick_cache::unsync::Cache;
use skald_model::Timestamp;

/// Label sets whose last timestamp is known.
const KNOWN_MAX: u64 = 10_000;
/// Those that room is made for at once: one source rarely has more.
const KNOWN_FIRST: usize = 8;

/// The last timestamp of each label set that a source had.
#[derive(Debug, Default)]
pub(super) struct LastTimes {
    /// Of the entry before; most sources have one label set.
    current: Option<(LabelSet, Timestamp)>,
    /// Made when a second label set comes.
    others: Option<Cache<LabelSet, Timestamp>>,
}

/// A new source knows nothing.
impl Clone for LastTimes {
    fn clone(&self) -> Self {
        LastTimes::default()
    }
}

impl LastTimes {
    /// The timestamp that was read; where none was, the last one of the label set and a nanosecond, if there is one.
    pub(super) fn good_or_next(&mut self, labels: &LabelSet, read: Option<Timestamp>) -> Option<Timestamp> {
        self.switch_to(labels);
        match (read, &mut self.current) {
            (Some(read), Some((_, last))) => *last = read,
            (Some(read), none) => *none = Some((labels.clone(), read)),
            (None, Some((_, last))) => *last = Timestamp(last.0.saturating_add(1)),
            (None, None) => {}
        }
        self.current.as_ref().map(|(_, last)| *last)
    }

    /// Makes what is known of `labels` current, be it nothing.
    fn switch_to(&mut self, labels: &LabelSet) {
        let same = |(known, _): &(LabelSet, Timestamp)| known.is_same(labels) || known == labels;
        if self.current.as_ref().is_some_and(same) {
            return;
        }
        let known = self.others.as_mut().and_then(|others| others.remove(labels));
        if let Some((old, last)) = std::mem::replace(&mut self.current, known) {
            let others = self.others.get_or_insert_with(|| Cache::with_weighter(KNOWN_FIRST, KNOWN_MAX, UnitWeighter));
            others.insert(old, last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_label_sets_is_bounded() {
        let labels = |at: i64| [("app", at.to_string())].into_iter().collect::<LabelSet>();
        let mut last = LastTimes::default();
        for at in 0..20_000 {
            assert_eq!(last.good_or_next(&labels(at), Some(Timestamp(at * 10))), Some(Timestamp(at * 10)));
        }
        let known = (0..20_000).filter(|at| last.good_or_next(&labels(*at), None).is_some()).count();
        assert!((5_000..=10_001).contains(&known), "{known}");
    }
}
