use super::fake::{FakeIntake, parts};
use super::*;
use futures::FutureExt;
use skald_testkit::SimClock;

const MULTILINE: &str = r#"[{"multiline": {"firstline": "^\\S", "max_wait_time": "3s"}}]"#;

struct World {
    intake: Arc<FakeIntake>,
    clock: Arc<SimClock>,
    sink: EntrySink,
}

fn world(room: usize, stages: &str, rules: &str) -> World {
    let (intake, clock) = (FakeIntake::with_room(room), SimClock::new(Timestamp::from_secs(1000)));
    let sink = EntrySink::new(&parts(&intake, clock.clone(), stages, rules));
    World { intake, clock, sink }
}

fn labels(pairs: &[(&str, &str)]) -> LabelSet {
    pairs.iter().copied().collect()
}

impl World {
    /// Pushes a line with its number as cursor.
    fn push(&mut self, line: &str, cursor: u32) -> impl Future<Output = Option<Ticket>> {
        self.sink.push(labels(&[("a", "1")]), Timestamp(7), line.to_owned(), Vec::new(), Some(("k", cursor.to_string())))
    }
}

#[test]
fn an_entry_is_relabeled_and_loses_its_inner_labels() {
    let rules = r#"[{"source_labels": ["__host"], "target_label": "host"}, {"source_labels": ["host"], "regex": "bad", "action": "drop"}]"#;
    let mut world = world(9, "[]", rules);
    let from = |host: &str| labels(&[("__host", host), ("__tenant_id__", "t"), ("__x", "y")]);
    for host in ["good", "bad"] {
        world.sink.push(from(host), Timestamp(7), "x".into(), Vec::new(), None).now_or_never().unwrap();
    }
    assert_eq!(world.intake.lines(), [r#"{__tenant_id__="t", host="good"} x"#]);
}

#[test]
fn a_dropped_entry_moves_the_cursor_nevertheless() {
    let mut world = world(9, "[]", r#"[{"action": "drop", "source_labels": ["a"], "regex": "1"}]"#);
    assert!(world.push("x", 1).now_or_never().unwrap().is_some());
    assert!(world.intake.lines().is_empty());
    assert_eq!(world.intake.cursors(), ["k=1"]);
}

#[test]
fn an_entry_waits_for_room_and_comes_once() {
    let mut world = world(0, "[]", "[]");
    let intake = Arc::clone(&world.intake);
    let mut push = Box::pin(world.push("x", 1));
    assert!((&mut push).now_or_never().is_none());
    assert_eq!((intake.len(), intake.cursors().len()), (0, 0));
    intake.make_room(1);
    assert!((&mut push).now_or_never().unwrap().is_some());
    assert_eq!((intake.len(), intake.cursors()), (1, vec!["k=1".to_owned()]));
}

#[test]
fn who_stops_waiting_has_handed_over() {
    let mut world = world(0, "[]", "[]");
    assert!(world.push("x", 1).now_or_never().is_none());
    world.intake.make_room(2);
    assert!(world.push("y", 2).now_or_never().is_some());
    assert_eq!(world.intake.lines(), [r#"{a="1"} x"#, r#"{a="1"} y"#]);
    assert_eq!(world.intake.cursors(), ["k=2"]);
}

#[test]
fn who_cannot_wait_learns_that_there_is_no_room() {
    let mut world = world(1, "[]", "[]");
    let offer = |world: &mut World, line: &str| world.sink.try_push(labels(&[("a", "1")]), Timestamp(7), line.into(), Vec::new(), None);
    assert!(matches!(offer(&mut world, "x"), Ok(Some(_))));
    // It passed the stages, so it stays, and the next is refused.
    assert_eq!(offer(&mut world, "y"), Ok(None));
    assert_eq!(offer(&mut world, "z"), Err(NoRoom));
    world.intake.make_room(2);
    assert!(matches!(offer(&mut world, "w"), Ok(Some(_))));
    let lines = world.intake.take().into_iter().map(|entry| entry.line).collect::<Vec<_>>();
    assert_eq!(lines, ["x", "y", "w"]);
}

#[test]
fn a_cursor_waits_for_the_entries_before_it() {
    let mut world = world(9, MULTILINE, "[]");
    assert_eq!(world.push("one", 1).now_or_never(), Some(None));
    assert_eq!(world.push(" more", 2).now_or_never(), Some(None));
    assert!(world.intake.cursors().is_empty());
    world.push("two", 3).now_or_never().unwrap().unwrap();
    assert_eq!((world.intake.len(), world.intake.cursors()), (1, vec!["k=2".to_owned()]));
    let deadline = world.sink.next_deadline().expect("an entry is held");
    world.clock.advance(deadline.saturating_sub(world.clock.monotonic()));
    world.sink.tick().now_or_never().unwrap().unwrap();
    assert_eq!(world.intake.cursors(), ["k=3"]);
    assert_eq!(world.push("three", 4).now_or_never(), Some(None));
    world.sink.flush().now_or_never().unwrap().unwrap();
    let lines = world.intake.take().into_iter().map(|entry| entry.line).collect::<Vec<_>>();
    assert_eq!(lines, ["one\n more", "two", "three"]);
    assert_eq!(world.intake.cursors(), ["k=4"]);
}

#[test]
fn cursors_that_wait_are_bounded_and_never_run_ahead() {
    let mut cursors = Cursors::default();
    let position = |at: u64| PositionUpdate::Cursor { key: "k".into(), value: at.to_string() };
    for at in 0..2 * CURSORS_MAX as u64 {
        cursors.add(Mark(at), position(at));
        cursors.release(Some(Mark(0)));
    }
    assert_eq!(cursors.pending.len(), CURSORS_MAX);
    assert_eq!(cursors.ready, None);
    cursors.release(Some(Mark(1500)));
    assert_eq!(cursors.ready, Some(position(CURSORS_MAX as u64 - 2)));
    cursors.release(None);
    assert_eq!(cursors.ready, Some(position(2 * CURSORS_MAX as u64 - 1)));
}

#[test]
fn a_stage_that_limits_makes_the_source_pause() {
    let mut world = world(9, r#"[{"limit": {"rate": 1, "burst": 1, "drop": false}}]"#, "[]");
    let clock = Arc::clone(&world.clock);
    for at in 0..3 {
        clock.drive(world.push("x", at));
    }
    assert_eq!(world.intake.len(), 3);
    assert!(clock.monotonic() >= Duration::from_secs(2), "{:?}", clock.monotonic());
    // One that cannot wait is refused as long as the pause lasts.
    assert!(world.push("x", 4).now_or_never().is_none());
    assert_eq!(world.sink.try_push(labels(&[("a", "1")]), Timestamp(7), "y".into(), Vec::new(), None), Err(NoRoom));
}

#[test]
fn many_entries_are_offered_in_pieces_and_in_order() {
    let intake = FakeIntake::with_room(2);
    let entry = |line: String| Entry { labels: labels(&[]), timestamp: Timestamp(7), line, metadata: Vec::new() };
    let sizes = [OFFER_BYTES / 2, OFFER_BYTES / 3, OFFER_BYTES / 2, 0, 2 * OFFER_BYTES, 5];
    let entries = sizes.iter().map(|size| entry("x".repeat(*size))).collect();
    let mut offered = Box::pin(offer_all(&*intake, entries));
    assert!((&mut offered).now_or_never().is_none());
    assert_eq!(intake.len(), 2);
    intake.make_room(4);
    assert!((&mut offered).now_or_never().unwrap().is_some());
    assert_eq!(intake.take().iter().map(|entry| entry.line.len()).collect::<Vec<_>>(), sizes);
    assert!(offer_all(&*intake, Vec::new()).now_or_never().unwrap().is_none());
}
