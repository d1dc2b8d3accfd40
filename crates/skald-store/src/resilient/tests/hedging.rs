use super::*;

const MILLI: Duration = Duration::from_millis(1);

/// A store that reads 1 byte of "a" within 80 ms, and has done so often enough.
fn warm(settings: Settings) -> Rig {
    let rig = rig(settings);
    rig.put("a", b"x").unwrap();
    rig.faulty.inject(Fault::Slow(80 * MILLI).on(Operation::Get).times(50));
    for _ in 0..50 {
        rig.get("a", 1).unwrap();
    }
    rig.faulty.take_calls();
    rig
}

fn gets(rig: &Rig) -> usize {
    rig.faulty.take_calls().into_iter().filter(|(operation, _)| *operation == Operation::Get).count()
}

#[test]
fn a_slow_read_is_sent_again_and_the_first_answer_counts() {
    let rig = warm(Settings::default());
    rig.faulty.inject(Fault::Hang.on(Operation::Get).times(1));
    rig.faulty.inject(Fault::Slow(20 * MILLI).on(Operation::Get).times(1));
    let (result, took) = rig.call(rig.store.get_range("a", 0..1));
    assert_eq!((result.unwrap(), took, gets(&rig)), (Bytes::from_static(b"x"), 100 * MILLI, 2));
    assert_eq!((rig.store.metrics.hedges.get(), rig.store.metrics.hedge_wins.get()), (1, 1));
    assert_eq!(rig.faulty.hanging(), 0, "the other is dropped");
    assert_eq!(rig.store.metrics.attempts_running.get(), 0);
}

#[test]
fn the_first_may_still_win() {
    let rig = warm(Settings::default());
    rig.faulty.inject(Fault::Slow(90 * MILLI).on(Operation::Get).times(1));
    rig.faulty.inject(Fault::Hang.on(Operation::Get).times(1));
    let (result, took) = rig.call(rig.store.get_ranges("a", vec![0..1, 0..0]));
    assert_eq!((result.unwrap().len(), took, gets(&rig)), (2, 90 * MILLI, 2));
    assert_eq!((rig.store.metrics.hedges.get(), rig.store.metrics.hedge_wins.get()), (1, 0));
}

#[test]
fn a_failure_of_one_waits_for_the_other() {
    for failing in [0, 1] {
        let rig = warm(Settings { attempts_max: 1, ..Settings::default() });
        // The first takes 200 ms, the second 50 and therefore until 130.
        let slow = |millis| Fault::Slow(millis * MILLI).on(Operation::Get).times(1);
        rig.faulty.inject(slow(200));
        rig.faulty.inject(if failing == 1 { Fault::Fail.on(Operation::Get).times(1) } else { slow(300) });
        let (result, took) = rig.call(rig.store.get_range("a", 0..1));
        assert_eq!((result.unwrap(), took, gets(&rig)), (Bytes::from_static(b"x"), 200 * MILLI, 2));
    }
}

#[test]
fn an_answer_is_an_answer_whichever_read_gets_it() {
    let rig = warm(Settings::default());
    rig.faulty.inject(Fault::Hang.on(Operation::Get).times(1));
    let (result, took) = rig.call(rig.store.get_range("none", 0..1));
    assert!(matches!(result, Err(StoreError::NotFound(_))), "{result:?}");
    assert_eq!((took, rig.store.metrics.hedge_wins.get()), (80 * MILLI, 1));
}

#[test]
fn no_read_is_sent_again_before_it_is_known_what_is_slow() {
    let rig = rig(Settings { attempts_max: 1, ..Settings::default() });
    rig.put("a", b"x").unwrap();
    rig.faulty.inject(Fault::Slow(9 * SECOND).on(Operation::Get));
    assert_eq!((rig.call(rig.store.get_range("a", 0..1)).1, rig.store.metrics.hedges.get()), (9 * SECOND, 0));
}

#[test]
fn fast_reads_do_not_make_the_bound_shorter_than_it_may_be() {
    let rig = rig(Settings::default());
    rig.put("a", b"x").unwrap();
    for _ in 0..100 {
        rig.get("a", 1).unwrap();
    }
    rig.faulty.inject(Fault::Hang.on(Operation::Get).times(1));
    assert_eq!(rig.call(rig.store.get_range("a", 0..1)).1, 50 * MILLI);
}

#[test]
fn puts_lists_and_deletes_are_never_sent_twice_at_a_time() {
    let rig = warm(Settings { attempts_max: 1, ..Settings::default() });
    rig.faulty.inject(Fault::Slow(9 * SECOND).always());
    rig.put("b", b"").unwrap();
    rig.put_if_absent("c", b"").unwrap();
    rig.call(rig.store.list("")).0.unwrap();
    rig.call(rig.store.delete("b")).0.unwrap();
    assert_eq!(rig.faulty.take_calls().len(), 4);
}

#[test]
fn a_store_that_is_slow_for_all_is_not_asked_twice_for_long() {
    let rig = warm(Settings { retry_reserve: 10, ..Settings::default() });
    rig.faulty.inject(Fault::Slow(SECOND).on(Operation::Get));
    let calls = (0..50).map(|_| rig.store.get_range("a", 0..1));
    let results = rig.world.clock.drive(join_all(calls));
    assert!(results.iter().all(Result::is_ok));
    let hedges = rig.store.metrics.hedges.get();
    assert!((5..=6).contains(&hedges), "{hedges}");
}

#[test]
fn without_a_free_slot_no_second_read_is_sent() {
    let rig = warm(Settings { concurrency: 1, ..Settings::default() });
    rig.faulty.inject(Fault::Slow(SECOND).on(Operation::Get));
    assert_eq!((rig.call(rig.store.get_range("a", 0..1)).1, gets(&rig)), (SECOND, 1));
}

#[test]
fn second_reads_do_not_make_what_is_slow_look_usual() {
    let rig = warm(Settings { retry_reserve: 100_000, ..Settings::default() });
    for round in 0..400 {
        if round % 25 == 0 {
            rig.faulty.inject(Fault::Slow(3 * SECOND).on(Operation::Get).times(1));
        }
        rig.faulty.inject(Fault::Slow(80 * MILLI).on(Operation::Get).times(1));
        rig.get("a", 1).unwrap();
        rig.faulty.clear();
    }
    assert_eq!(rig.store.latencies.p95(1), Some(80 * MILLI));
}
