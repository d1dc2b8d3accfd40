use super::*;
use proptest::prelude::*;
use skald_model::Labels;

const WINDOW: Duration = Duration::from_millis(100);

fn entry(at: i64, id: u128) -> TailEntry {
    TailEntry { at: Timestamp(at), id: EntryId(id), labels: Labels::empty(), json: Box::default() }
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn ids(entries: &[TailEntry]) -> Vec<u128> {
    entries.iter().map(|entry| entry.id.0).collect()
}

#[test]
fn an_entry_waits_for_earlier_ones_as_long_as_the_window() {
    let mut merger = Merger::new(WINDOW, std::iter::empty());
    assert_eq!(merger.next_due(), None);
    merger.offer(entry(20, 2), millis(0));
    assert_eq!((merger.next_due(), ids(&merger.take_due(millis(99)))), (Some(WINDOW), vec![]));
    merger.offer(entry(10, 1), millis(99));
    merger.offer(entry(30, 3), millis(99));
    assert_eq!(ids(&merger.take_due(millis(100))), [1, 2]);
    assert_eq!(ids(&merger.take_due(millis(199))), [3]);
    assert_eq!(merger.next_due(), None);
}

#[test]
fn an_entry_that_is_too_late_still_comes() {
    let mut merger = Merger::new(WINDOW, std::iter::empty());
    merger.offer(entry(20, 2), millis(0));
    assert_eq!(ids(&merger.take_due(millis(100))), [2]);
    merger.offer(entry(10, 1), millis(150));
    assert_eq!(ids(&merger.take_due(millis(250))), [1]);
}

#[test]
fn entries_of_one_time_keep_the_order_of_arrival() {
    let mut merger = Merger::new(Duration::ZERO, std::iter::empty());
    [5, 4, 3].into_iter().for_each(|id| merger.offer(entry(1, id), millis(0)));
    assert_eq!(ids(&merger.take_due(millis(0))), [5, 4, 3]);
}

#[test]
fn what_the_history_held_does_not_come_again() {
    let mut merger = Merger::new(Duration::ZERO, [EntryId(1), EntryId(2)].into_iter());
    [1, 2, 3, 3].into_iter().for_each(|id| merger.offer(entry(1, id), millis(0)));
    assert_eq!(ids(&merger.take_due(millis(0))), [3]);
}

#[test]
fn the_window_and_the_memory_of_ids_are_bounded_and_nothing_is_lost() {
    let bounds = Bounds { held: 10, held_bytes: usize::MAX, remembered: 20 };
    let mut merger = Merger::bounded(Duration::from_secs(3600), std::iter::empty(), bounds);
    let mut taken = Vec::new();
    for id in 0..1000 {
        merger.offer(entry(id as i64, id), millis(0));
        taken.extend(merger.take_due(millis(0)));
        assert!(merger.held.len() <= 10 && merger.recent.len() <= 20 && merger.recent_order.len() <= 20);
    }
    taken.extend(merger.take_due(Duration::from_secs(3600)));
    assert_eq!(ids(&taken), (0..1000).collect::<Vec<_>>());
    assert!(merger.due.is_empty() && merger.held_bytes == 0);
    let bounds = Bounds { held: usize::MAX, held_bytes: 10 * entry(0, 0).heap_bytes(), remembered: 20 };
    let mut merger = Merger::bounded(WINDOW, std::iter::empty(), bounds);
    (0..1000).for_each(|id| merger.offer(entry(0, id), millis(0)));
    assert_eq!((merger.take_due(millis(0)).len(), merger.held.len()), (990, 10));
}

/// One copy of an entry that reaches the merger: when, and which.
type Arrival = (u64, u128);

/// Three replicas that carry the same entries, each late by its own amounts, some of them with gaps; every entry is on one at least.
fn replicas() -> impl Strategy<Value = Vec<Arrival>> {
    let copies = prop::collection::vec(((0u64..100), (0u64..100), (0u64..100), 1u8..8), 1..200);
    copies.prop_map(|entries| {
        let mut arrivals = Vec::new();
        for (id, (one, two, three, present)) in entries.into_iter().enumerate() {
            let delays = [one, two, three].into_iter().enumerate().filter(|(replica, _)| present & (1 << replica) != 0);
            arrivals.extend(delays.map(|(_, delay)| (id as u64 * 7 + delay, id as u128)));
        }
        arrivals.sort();
        arrivals
    })
}

proptest! {
    #![proptest_config(skald_testkit::property(128))]

    #[test]
    fn replicas_out_of_step_give_each_entry_once_and_in_order(arrivals in replicas()) {
        let mut merger = Merger::new(WINDOW, std::iter::empty());
        let mut taken = Vec::new();
        let end = arrivals.last().map_or(0, |(at, _)| at + 101);
        let mut arrivals = arrivals.into_iter().peekable();
        let mut all = FxHashSet::default();
        for now in 0..=end {
            while let Some((_, id)) = arrivals.next_if(|(at, _)| *at == now) {
                all.insert(id);
                // Entry n is of time 7n: delays stay below the window, so order can be kept whole.
                merger.offer(entry(id as i64 * 7, id), millis(now));
            }
            let due = merger.next_due();
            let ready = merger.take_due(millis(now));
            prop_assert!(ready.is_empty() || due.is_some_and(|due| due <= millis(now)));
            taken.extend(ready);
        }
        let mut want: Vec<u128> = all.into_iter().collect();
        want.sort();
        prop_assert_eq!(ids(&taken), want);
    }
}
