//! Label sets made before.

use crate::{LabelSet, Text};
use rustc_hash::FxHasher;
use std::borrow::Cow;
use std::hash::{Hash, Hasher};

/// Results that are kept.
const SLOTS: usize = 16;

/// Remembers what one stage of one instance made of which label set with which values.
///
/// Most lines of a source end in one of a few label sets. Finding it again saves the copy, and gives the same set in memory, which those who come
/// after recognize without comparing texts.
#[derive(Debug, Clone, Default)]
pub(crate) struct LabelMemo {
    slots: Vec<Slot>,
    /// The one that goes next when there are enough.
    next: usize,
}

#[derive(Debug, Clone)]
struct Slot {
    hash: u64,
    input: LabelSet,
    values: Vec<(Text, Text)>,
    output: LabelSet,
}

impl LabelMemo {
    /// Sets labels.
    pub(crate) fn set<'a>(&mut self, labels: &mut LabelSet, values: impl Iterator<Item = (&'a Text, Cow<'a, str>)> + Clone) {
        self.change(labels, values, |labels, values| {
            for (name, value) in values {
                if labels.get_text(name) != Some(value) {
                    labels.set(Text::clone(name), Text::clone(value));
                }
            }
        });
    }

    /// Changes `labels` in a way that follows from them and from `values` alone.
    pub(crate) fn change<'a>(
        &mut self,
        labels: &mut LabelSet,
        values: impl Iterator<Item = (&'a Text, Cow<'a, str>)> + Clone,
        change: impl FnOnce(&mut LabelSet, &[(Text, Text)]),
    ) {
        let mut hasher = FxHasher::default();
        labels.address().hash(&mut hasher);
        values.clone().for_each(|(_, value)| value.hash(&mut hasher));
        let hash = hasher.finish();
        if let Some(known) = self.slots.iter().find(|slot| slot.hash == hash && slot.is_of(labels, values.clone())) {
            *labels = known.output.clone();
            return;
        }
        let values: Vec<(Text, Text)> = values.map(|(name, value)| (Text::clone(name), Text::from(value))).collect();
        let input = labels.clone();
        change(labels, &values);
        self.keep(Slot { hash, input, values, output: labels.clone() });
    }

    fn keep(&mut self, slot: Slot) {
        if self.slots.len() < SLOTS {
            self.slots.push(slot);
            return;
        }
        self.slots[self.next] = slot;
        self.next = (self.next + 1) % SLOTS;
    }
}

impl Slot {
    fn is_of<'a>(&self, labels: &LabelSet, mut values: impl Iterator<Item = (&'a Text, Cow<'a, str>)>) -> bool {
        let mut known = self.values.iter();
        self.input.is_same(labels)
            && values.all(|(name, value)| known.next().is_some_and(|known| known.0 == *name && *known.1 == *value))
            && known.next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(memo: &mut LabelMemo, input: &LabelSet, name: &str, value: &str) -> LabelSet {
        let (mut labels, name) = (input.clone(), Text::from(name));
        memo.set(&mut labels, std::iter::once((&name, Cow::Borrowed(value))));
        labels
    }

    #[test]
    fn the_same_change_of_the_same_set_gives_the_same_set() {
        let mut memo = LabelMemo::default();
        let base: LabelSet = [("a", "1")].into_iter().collect();
        let first = set(&mut memo, &base, "b", "x");
        assert_eq!(first.to_string(), r#"{a="1", b="x"}"#);
        assert!(set(&mut memo, &base, "b", "x").is_same(&first));
        assert_eq!(set(&mut memo, &base, "b", "y").to_string(), r#"{a="1", b="y"}"#);
        assert_eq!(set(&mut memo, &base, "c", "x").to_string(), r#"{a="1", c="x"}"#);
        assert_eq!(set(&mut memo, &first, "b", "y").to_string(), r#"{a="1", b="y"}"#);
        assert_eq!(base.to_string(), r#"{a="1"}"#);
    }

    #[test]
    fn any_number_of_changes_is_right_and_few_are_kept() {
        let mut memo = LabelMemo::default();
        let base: LabelSet = [("a", "1")].into_iter().collect();
        for at in 0..1000 {
            assert_eq!(set(&mut memo, &base, "b", &at.to_string()).get("b"), Some(at.to_string().as_str()));
        }
        assert_eq!(memo.slots.len(), SLOTS);
    }

    #[test]
    fn values_that_are_left_out_make_a_difference() {
        let mut memo = LabelMemo::default();
        let base = LabelSet::new();
        let names: [Text; 2] = ["a".into(), "b".into()];
        let mut all = base.clone();
        memo.set(&mut all, names.iter().map(|name| (name, Cow::Borrowed(""))));
        let mut one = base.clone();
        memo.set(&mut one, names.iter().take(1).map(|name| (name, Cow::Borrowed(""))));
        assert_eq!((all.len(), one.len()), (2, 1));
    }
}
