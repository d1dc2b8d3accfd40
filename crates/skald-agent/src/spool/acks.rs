use std::collections::{BTreeMap, BTreeSet};

/// What one client has had acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acks {
    /// The last group that was begun.
    begun: u64,
    /// Batches of begun groups that are not acknowledged.
    open: BTreeMap<u64, OpenAcks>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct OpenAcks {
    batches: BTreeSet<u32>,
    cut_at: i64,
}

impl Acks {
    /// A client that has groups up to `watermark`.
    pub(crate) fn at(watermark: u64) -> Self {
        Acks { begun: watermark, open: BTreeMap::new() }
    }

    /// The client has this group and all before it.
    pub(crate) fn watermark(&self) -> u64 {
        self.open.keys().next().map_or(self.begun, |first| first - 1)
    }

    /// The group is about to be sent; groups that were left out before it are lost, and not waited for.
    pub(crate) fn begin(&mut self, group: u64, batches: u32, cut_at: i64) {
        self.begun = self.begun.max(group);
        if batches > 0 {
            self.open.insert(group, OpenAcks { batches: (0..batches).collect(), cut_at });
        }
    }

    /// A batch has arrived, or was refused for good. Of a batch that is not open it changes nothing.
    pub(crate) fn ack(&mut self, group: u64, batch: u32) {
        let Some(open) = self.open.get_mut(&group) else { return };
        open.batches.remove(&batch);
        if open.batches.is_empty() {
            self.open.remove(&group);
        }
    }

    /// Forgets what was begun and not acknowledged: it will be read again.
    pub(crate) fn rewind(&mut self) {
        *self = Acks::at(self.watermark());
    }

    /// When the oldest group was cut that was begun and is not acknowledged.
    pub(crate) fn oldest_cut_at(&self) -> Option<i64> {
        self.open.values().next().map(|open| open.cut_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watermark_passes_a_group_when_all_of_it_and_all_before_is_acknowledged() {
        let mut acks = Acks::at(4);
        acks.begin(5, 2, 50);
        acks.begin(6, 1, 60);
        acks.begin(7, 0, 70);
        assert_eq!((acks.watermark(), acks.oldest_cut_at()), (4, Some(50)));
        for ((group, batch), want) in [((6, 0), 4), ((5, 1), 4), ((5, 1), 4), ((9, 0), 4), ((5, 0), 7), ((5, 0), 7)] {
            acks.ack(group, batch);
            assert_eq!(acks.watermark(), want, "after batch {batch} of group {group}");
        }
        assert_eq!(acks.oldest_cut_at(), None);
    }

    #[test]
    fn what_was_begun_and_not_acknowledged_is_forgotten_by_a_rewind() {
        let mut acks = Acks::at(0);
        acks.begin(1, 1, 0);
        acks.begin(2, 1, 0);
        acks.begin(3, 1, 0);
        acks.ack(1, 0);
        acks.ack(3, 0);
        acks.rewind();
        assert_eq!(acks, Acks::at(1));
    }
}
