//! Puts of which nobody heard whether they were done.

use super::*;

const OURS: &[u8] = b"ours 5f3a";
const THEIRS: &[u8] = b"theirs 77c0";

fn rival_puts(rig: &Rig, bytes: &'static [u8]) -> Result<(), StoreError> {
    rig.memory.put_if_absent("a", Bytes::from_static(bytes)).now_or_never().unwrap()
}

/// What comes of our put when its first attempt goes wrong by `fault` and `meanwhile` happens before the second.
fn put_with(bytes: Bytes, fault: Fault, meanwhile: impl FnOnce(&Rig)) -> (Result<(), StoreError>, Rig) {
    let rig = rig(stubborn());
    rig.faulty.inject(fault.on(Operation::PutIfAbsent).times(1));
    let result = {
        let mut put = rig.store.put_if_absent("a", bytes);
        assert!((&mut put).now_or_never().is_none(), "it pauses, or waits for the answer");
        meanwhile(&rig);
        rig.world.clock.drive(put)
    };
    (result, rig)
}

#[track_caller]
fn check(fault: Fault, meanwhile: impl FnOnce(&Rig), wins: bool) {
    let (result, rig) = put_with(Bytes::from_static(OURS), fault, meanwhile);
    match result {
        Ok(()) => assert!(wins),
        Err(StoreError::AlreadyExists(name)) => assert!(!wins && name == "a"),
        Err(error) => panic!("{error}"),
    }
    rig.world.clock.drive(rig.faulty.deliver_late());
    assert_eq!(rig.held("a").unwrap(), if wins { OURS } else { THEIRS });
}

#[test]
fn the_winner_is_told_by_the_bytes() {
    let nothing = |_: &Rig| {};
    let rival = |rig: &Rig| drop(rival_puts(rig, THEIRS));
    let late_then_rival = |rig: &Rig| {
        rig.world.clock.drive(rig.faulty.deliver_late());
        rival_puts(rig, THEIRS).unwrap_err();
    };
    let rival_then_late = |rig: &Rig| {
        rival_puts(rig, THEIRS).unwrap();
        rig.world.clock.drive(rig.faulty.deliver_late());
    };
    check(Fault::LoseAnswer, nothing, true);
    check(Fault::HoldAnswer, nothing, true);
    check(Fault::Fail, nothing, true);
    check(Fault::Fail, rival, false);
    check(Fault::Hang, rival, false);
    check(Fault::LoseAnswer, rival, true);
    check(Fault::Late, nothing, true);
    check(Fault::Late, rival, false);
    check(Fault::Late, late_then_rival, true);
    check(Fault::Late, rival_then_late, false);
}

#[test]
fn an_object_that_only_begins_or_ends_alike_is_not_ours() {
    for (ours, theirs) in [(&b""[..], &b"x"[..]), (b"x", b""), (b"abc", b"abcd"), (b"abcd", b"abc"), (b"abc", b"abd")] {
        let (result, _) = put_with(Bytes::from_static(ours), Fault::Fail, |rig| rival_puts(rig, theirs).unwrap());
        assert!(matches!(result, Err(StoreError::AlreadyExists(_))), "{ours:?} {theirs:?}: {result:?}");
    }
    let (result, _) = put_with(Bytes::new(), Fault::LoseAnswer, |_| {});
    result.unwrap();
}

#[test]
fn a_large_object_is_not_read_back() {
    for (len, wins) in [(SETTLED_LEN_MAX, true), (SETTLED_LEN_MAX + 1, false)] {
        let (result, rig) = put_with(vec![7; len].into(), Fault::LoseAnswer, |_| {});
        assert_eq!(result.is_ok(), wins, "{result:?}");
        assert_eq!(rig.faulty.traffic(Operation::Get).requests, if wins { 2 } else { 0 });
    }
}

#[test]
fn a_name_that_is_taken_from_the_first_is_not_read_back() {
    let rig = rig(stubborn());
    rival_puts(&rig, OURS).unwrap();
    rig.faulty.inject(Fault::Answer(throttled).on(Operation::PutIfAbsent).times(2));
    let result = rig.put_if_absent("a", OURS);
    assert!(matches!(result, Err(StoreError::AlreadyExists(_))), "a store that asks for fewer requests did nothing: {result:?}");
    assert_eq!(rig.faulty.traffic(Operation::Get).requests, 0);
}

#[test]
fn where_reading_back_fails_so_does_the_put() {
    let (result, rig) = put_with(Bytes::from_static(OURS), Fault::LoseAnswer, |rig| {
        rig.faulty.inject(Fault::Fail.on(Operation::Get));
    });
    let error = result.unwrap_err();
    assert!(!error.is_answer(), "{error}");
    assert_eq!(rig.held("a").unwrap(), OURS);
}

#[test]
fn an_object_that_goes_away_before_it_is_read_back_was_there() {
    let rig = rig(stubborn());
    rig.faulty.inject(Fault::LoseAnswer.on(Operation::PutIfAbsent).times(1));
    rig.faulty.inject(Fault::Slow(SECOND).on(Operation::Get));
    let mut put = rig.store.put_if_absent("a", Bytes::from_static(OURS));
    assert!((&mut put).now_or_never().is_none());
    assert!(rig.world.clock.advance_to_next_sleeper(), "the pause");
    assert!((&mut put).now_or_never().is_none(), "it reads back");
    rig.memory.delete("a").now_or_never().unwrap().unwrap();
    assert!(matches!(rig.world.clock.drive(put), Err(StoreError::AlreadyExists(_))));
}

#[test]
fn every_interleaving_with_a_rival_and_late_attempts_tells_the_truth() {
    let faults = [None, Some(Fault::Fail), Some(Fault::LoseAnswer), Some(Fault::HoldAnswer), Some(Fault::Hang), Some(Fault::Late)];
    let (mut won, mut lost, mut cases) = (0, 0, 0);
    for first in faults {
        for second in faults {
            // At which of the times that our put waits the rival comes, and the late attempts arrive. Never is one of them.
            for rival_at in 0..6 {
                for late_at in 0..6 {
                    cases += 1;
                    match interleave([first, second], rival_at, late_at) {
                        true => won += 1,
                        false => lost += 1,
                    }
                }
            }
        }
    }
    assert_eq!(cases, won + lost);
    assert!(won > cases / 4 && lost > cases / 4, "{won} won, {lost} lost");
}

/// Whether our put won. Checks that it did so if and only if the object is ours, now and after all that was late.
fn interleave(faults: [Option<Fault>; 2], rival_at: usize, late_at: usize) -> bool {
    let rig = rig(stubborn());
    for (attempt, fault) in faults.into_iter().enumerate() {
        let Some(fault) = fault else { continue };
        // The first rule in line takes the call: that of the first attempt is spent by then, or spares it.
        let earlier = faults[..attempt].iter().flatten().count();
        rig.faulty.inject(fault.on(Operation::PutIfAbsent).after((attempt - earlier) as u32).times(1));
    }
    let case = format!("{faults:?}, rival at {rival_at}, late at {late_at}");
    let mut put = rig.store.put_if_absent("a", Bytes::from_static(OURS));
    let mut rival = None;
    for step in 0.. {
        if step == rival_at {
            rival = Some(rival_puts(&rig, THEIRS));
        }
        if step == late_at {
            rig.faulty.deliver_late().now_or_never().unwrap();
        }
        if let Some(result) = (&mut put).now_or_never() {
            let wins = result.is_ok();
            assert!(wins || matches!(result, Err(StoreError::AlreadyExists(_))), "{case}: {result:?}");
            assert!(rival.is_none_or(|rival| rival.is_ok() != wins), "{case}: one of two wins");
            rig.faulty.deliver_late().now_or_never().unwrap();
            assert_eq!(rig.held("a").unwrap() == OURS, wins, "{case}");
            return wins;
        }
        assert!(rig.world.clock.advance_to_next_sleeper(), "{case}");
    }
    unreachable!("the call ends")
}
