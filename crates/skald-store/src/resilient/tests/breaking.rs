use super::*;

fn fail_until_it_rests(rig: &Rig) -> u64 {
    rig.faulty.inject(Fault::Fail.always());
    for _ in 0..100 {
        rig.get("a", 1).unwrap_err();
    }
    rig.faulty.requests()
}

#[test]
fn a_store_that_fails_is_left_alone_and_the_error_says_why() {
    let rig = rig(Settings::default());
    assert_eq!(fail_until_it_rests(&rig), 8);
    rig.world.clock.advance(3 * SECOND);
    let (result, took) = rig.call(rig.store.put("b", Bytes::new()));
    let error = result.unwrap_err();
    assert_eq!((took, error.kind()), (Duration::ZERO, skald_model::ErrorKind::Unavailable));
    let wanted =
        "put object 'b': the store is not asked for another 7 s, since it failed too often for 3 s; the last failure was to get object 'a'";
    assert_eq!(error.to_string(), wanted);
    assert_eq!(rig.store.metrics.breaker_state.get(), 2);
    assert!(rig.store.metrics.breaker_refused.get() >= 80);
}

#[test]
fn once_rested_it_is_tried_and_used_when_well_again() {
    let rig = rig(Settings::default());
    let before = fail_until_it_rests(&rig);
    rig.world.clock.advance(10 * SECOND);
    rig.get("a", 1).unwrap_err();
    rig.get("a", 1).unwrap_err();
    assert_eq!(rig.faulty.requests(), before + 1, "one attempt found that it still fails");
    rig.faulty.clear();
    rig.put("a", b"x").unwrap_err();
    rig.world.clock.advance(10 * SECOND);
    rig.put("a", b"x").unwrap();
    assert_eq!((rig.get("a", 1).unwrap(), rig.store.metrics.breaker_state.get()), (Bytes::from_static(b"x"), 0));
}

#[test]
fn while_it_is_tried_others_fail_at_once() {
    let rig = rig(Settings::default());
    fail_until_it_rests(&rig);
    rig.faulty.clear();
    rig.world.clock.advance(10 * SECOND);
    rig.faulty.inject(Fault::Hang.always());
    let mut trials: Vec<_> = (0..3).map(|_| rig.store.list("")).collect();
    assert!(trials.iter_mut().all(|trial| trial.now_or_never().is_none()));
    let (result, took) = rig.call(rig.store.list(""));
    assert!(matches!(result, Err(StoreError::Resting(_))) && took == Duration::ZERO, "{result:?}");
    rig.faulty.clear();
    drop(trials);
    rig.call(rig.store.list("")).0.unwrap();
}

#[test]
fn a_call_that_waits_for_its_turn_is_not_sent_to_a_store_that_is_left_alone() {
    let rig = rig(Settings { concurrency: 20, ..Settings::default() });
    rig.faulty.inject(Fault::Hang.always());
    let calls = (0..40).map(|_| rig.store.delete("a"));
    let results = rig.world.clock.drive(join_all(calls));
    assert!(results.iter().all(Result::is_err));
    assert_eq!(rig.faulty.requests(), 20);
}

#[test]
fn answers_are_no_failures() {
    let rig = rig(Settings::default());
    rig.put("a", b"x").unwrap();
    for _ in 0..200 {
        assert!(matches!(rig.get("b", 1), Err(StoreError::NotFound(_))));
        assert!(matches!(rig.get("a", 2), Err(StoreError::OutOfRange { .. })));
        assert!(matches!(rig.put_if_absent("a", b"y"), Err(StoreError::AlreadyExists(_))));
    }
    assert_eq!(rig.store.metrics.breaker_state.get(), 0);
}

#[test]
fn the_last_failure_is_told_rather_than_that_the_store_is_left_alone_since() {
    let settings = Settings { breaker: BreakerSettings { attempts_min: 2, ..BreakerSettings::default() }, ..Settings::default() };
    let rig = rig(settings);
    rig.faulty.inject(Fault::Fail.always());
    let (result, _) = rig.call(rig.store.put("a", Bytes::new()));
    assert!(matches!(result, Err(StoreError::Io { .. })), "{result:?}");
    assert_eq!(rig.faulty.requests(), 2);
    assert!(matches!(rig.put("a", b""), Err(StoreError::Resting(_))));
}
