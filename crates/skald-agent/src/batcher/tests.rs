use super::*;
use crate::spool::testing::decode_group;
use parking_lot::Mutex as Lock;
use skald_model::Timestamp;
use skald_pipeline::{LabelSet, Text};
use skald_testkit::SimClock;

/// Remembers what it was told.
#[derive(Default)]
struct Told(Lock<Vec<(&'static str, Option<String>, &'static str, u64, u64)>>);

impl Losses for Told {
    fn dropped(&self, tenant: Option<&str>, reason: DropReason, entries: u64, bytes: u64) {
        self.0.lock().push(("dropped", tenant.map(str::to_owned), reason.as_str(), entries, bytes));
    }

    fn mutated(&self, tenant: Option<&str>, reason: DropReason, entries: u64, bytes: u64) {
        self.0.lock().push(("mutated", tenant.map(str::to_owned), reason.as_str(), entries, bytes));
    }
}

struct Parts {
    batcher: Batcher,
    clock: Arc<SimClock>,
    told: Arc<Told>,
}

fn parts(limits: BatchLimits) -> Parts {
    let (clock, told) = (SimClock::new(Timestamp(0)), Arc::new(Told::default()));
    Parts { batcher: Batcher::new(limits, 1, told.clone(), clock.clone()), clock, told }
}

fn entry(labels: &[(&str, &str)], line: &str) -> Entry {
    let labels: LabelSet = labels.iter().copied().collect();
    Entry { labels, timestamp: Timestamp(1), line: line.to_owned(), metadata: Vec::new() }
}

impl Parts {
    fn offer(&self, entries: &[&Entry]) -> Result<Ticket, NoRoom> {
        self.batcher.offer(&mut entries.iter().map(|entry| (*entry).clone()).collect(), None)
    }

    /// The group that is due, as text: of each batch its tenant, and of each stream its labels and lines.
    fn take(&self) -> Option<Vec<String>> {
        let (_, group) = self.batcher.next_group().now_or_never()?;
        Some(decode_group(&group))
    }
}

fn limits() -> BatchLimits {
    BatchLimits { batch_size: 10, ..BatchLimits::default() }
}

#[test]
fn batches_of_all_tenants_are_cut_together_when_the_oldest_entry_is_old_enough() {
    let parts = parts(limits());
    let [a, b] = [entry(&[("app", "a")], "one"), entry(&[("__tenant_id__", "t"), ("app", "b")], "two")];
    assert_eq!(parts.offer(&[&a]), Ok(Ticket(1)));
    parts.clock.advance(Duration::from_millis(600));
    assert_eq!(parts.offer(&[&b, &a]), Ok(Ticket(1)));
    parts.clock.advance(Duration::from_millis(399));
    assert_eq!(parts.take(), None);
    parts.clock.advance(Duration::from_millis(1));
    assert_eq!(parts.take().unwrap(), [r#"- {app="a"} one one"#, r#"t {app="b"} two"#]);
    parts.clock.advance(Duration::from_secs(9));
    assert_eq!(parts.take(), None, "nothing is no group");
}

#[test]
fn a_batch_does_not_pass_its_size() {
    let parts = parts(limits());
    let [six, five] = [entry(&[("app", "a")], "sixsix"), entry(&[("app", "a")], "five5")];
    assert_eq!(parts.offer(&[&six]), Ok(Ticket(1)));
    assert_eq!(parts.offer(&[&five]), Ok(Ticket(2)), "cut before it");
    assert_eq!(parts.take().unwrap(), [r#"- {app="a"} sixsix"#]);
    assert_eq!(parts.take(), None, "the rest is neither full nor old");
    assert_eq!(parts.offer(&[&five]), Ok(Ticket(2)));
    assert_eq!(parts.take().unwrap(), [r#"- {app="a"} five5 five5"#], "full to the last byte");
    // What comes in one offer stays in one group, in batches of the size.
    parts.offer(&[&six, &six, &entry(&[("app", "a")], "longer than a batch"), &six]).unwrap();
    assert_eq!(
        parts.take().unwrap(),
        [r#"- {app="a"} sixsix"#, r#"- {app="a"} sixsix"#, r#"- {app="a"} longer than a batch"#, r#"- {app="a"} sixsix"#]
    );
}

#[test]
fn metadata_counts_as_bytes_of_a_batch() {
    let parts = parts(limits());
    let metadata: Vec<(Text, Text)> = vec![("abc".into(), "defg".into())];
    let entry = Entry { metadata, ..entry(&[("app", "a")], "one") };
    parts.offer(&[&entry]).unwrap();
    assert_eq!(parts.take().unwrap(), [r#"- {app="a"} one+abc=defg"#]);
}

#[test]
fn there_is_no_room_while_a_full_group_waits_to_be_taken() {
    let parts = parts(limits());
    let eight = entry(&[("app", "a")], "12345678");
    assert!(parts.batcher.room().now_or_never().is_some());
    parts.offer(&[&eight]).unwrap();
    parts.offer(&[&eight]).unwrap();
    let mut refused = vec![eight.clone()];
    assert_eq!(parts.batcher.offer(&mut refused, None), Err(NoRoom));
    assert_eq!(refused.len(), 1, "nothing was taken");
    let mut room = parts.batcher.room();
    assert!((&mut room).now_or_never().is_none());
    parts.take().unwrap();
    assert!(room.now_or_never().is_some());
    assert_eq!(parts.offer(&[&eight]), Ok(Ticket(3)));
    parts.batcher.set_blocked(true);
    parts.take().unwrap();
    assert_eq!(parts.offer(&[&entry(&[("app", "a")], "x")]), Err(NoRoom), "the spool is full");
    assert!(parts.batcher.room().now_or_never().is_none());
    parts.batcher.set_blocked(false);
    assert!(parts.batcher.room().now_or_never().is_some());
}

#[test]
fn who_waits_for_the_disk_has_the_group_cut_at_once() {
    let parts = parts(limits());
    let first = parts.offer(&[&entry(&[("app", "a")], "one")]).unwrap();
    assert_eq!(parts.take(), None);
    let mut durable = parts.batcher.durable(first);
    assert!((&mut durable).now_or_never().is_none());
    assert!(parts.take().is_some());
    let second = parts.offer(&[&entry(&[("app", "a")], "two")]).unwrap();
    assert_eq!(parts.take(), None, "nobody has asked for this one");
    parts.batcher.set_durable(1);
    assert!(durable.now_or_never().is_some());
    assert!(parts.batcher.durable(second).now_or_never().is_none());
}

#[test]
fn an_offer_of_which_nothing_is_left_waits_for_what_came_before() {
    let parts = parts(BatchLimits { max_line_size: 3, ..limits() });
    assert_eq!(parts.offer(&[&entry(&[("app", "a")], "too long")]), Ok(Ticket(0)));
    assert!(parts.batcher.durable(Ticket(0)).now_or_never().is_some());
}

#[test]
fn lines_that_are_too_long_are_dropped_or_cut() {
    let long =
        [entry(&[("app", "a")], "123456789"), entry(&[("__tenant_id__", "t"), ("app", "a")], "12345ä89"), entry(&[("app", "a")], "123456")];
    let parts = parts(BatchLimits { max_line_size: 6, batch_size: 100, ..BatchLimits::default() });
    parts.offer(&long.each_ref()).unwrap();
    parts.clock.advance(Duration::from_secs(1));
    assert_eq!(parts.take().unwrap(), [r#"- {app="a"} 123456"#]);
    assert_eq!(*parts.told.0.lock(), [("dropped", None, "line_too_long", 1, 9), ("dropped", Some("t".into()), "line_too_long", 1, 9)]);

    parts.told.0.lock().clear();
    parts
        .batcher
        .set_limits(BatchLimits { max_line_size: 6, truncate_lines: true, batch_size: 100, ..BatchLimits::default() }, parts.told.clone());
    parts.offer(&long.each_ref()).unwrap();
    parts.clock.advance(Duration::from_secs(1));
    assert_eq!(parts.take().unwrap(), [r#"- {app="a"} 123456 123456"#, r#"t {app="a"} 12345"#], "no character is cut in two");
    assert_eq!(*parts.told.0.lock(), [("mutated", None, "line_too_long", 1, 3), ("mutated", Some("t".into()), "line_too_long", 1, 4)]);
}

#[test]
fn streams_beyond_the_limit_are_dropped_and_the_others_go_on() {
    let parts = parts(BatchLimits { max_streams: 2, batch_size: 100, ..BatchLimits::default() });
    let of = |app: &str| entry(&[("app", app)], app);
    let elsewhere = entry(&[("__tenant_id__", "t"), ("app", "c")], "c");
    parts.offer(&[&of("a"), &of("b"), &of("c"), &of("a"), &elsewhere, &of("b")]).unwrap();
    parts.clock.advance(Duration::from_secs(1));
    assert_eq!(parts.take().unwrap(), [r#"- {app="a"} a a"#, r#"- {app="b"} b b"#, r#"t {app="c"} c"#]);
    assert_eq!(*parts.told.0.lock(), [("dropped", None, "stream_limited", 1, 1)]);
    parts.offer(&[&of("c")]).unwrap();
    parts.clock.advance(Duration::from_secs(1));
    assert_eq!(parts.take().unwrap(), [r#"- {app="c"} c"#], "the next batch counts anew");
}

#[test]
fn labels_that_are_ours_are_not_sent_and_do_not_make_streams() {
    let parts = parts(limits());
    parts
        .offer(&[&entry(&[("__path__", "/a"), ("app", "a")], "1"), &entry(&[("__path__", "/b"), ("app", "a"), ("__tenant_id__", "")], "2")])
        .unwrap();
    parts.clock.advance(Duration::from_secs(1));
    assert_eq!(parts.take().unwrap(), [r#"- {app="a"} 1 2"#]);
}

#[test]
fn many_small_things_are_cut_by_what_they_cost() {
    // Streams with long labels, and lines without a byte: little in bytes of lines, much in memory.
    let parts = parts(BatchLimits { batch_size: 10_000, ..BatchLimits::default() });
    let value = "v".repeat(500);
    let streams = (0..500).find(|number| {
        parts.offer(&[&entry(&[("app", &format!("{value}{number}"))], "")]).unwrap();
        parts.take().is_some()
    });
    assert!(streams.is_some_and(|streams| (100..200).contains(&streams)), "cut after {streams:?}");
    let empty = entry(&[("app", "a")], "");
    let empty = [&empty; 100];
    let hundreds = (0..500).find(|_| {
        parts.offer(&empty).unwrap();
        parts.take().is_some()
    });
    assert!(hundreds.is_some_and(|hundreds| (100..200).contains(&hundreds)), "cut after {hundreds:?} hundred entries");
}
