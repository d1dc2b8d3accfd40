//! Random calls under random faults.

use super::*;
use proptest::prelude::*;
use skald_testkit::property;

#[derive(Debug, Clone)]
enum Step {
    Put(u8),
    PutIfAbsent(u8),
    Get(u8),
    List,
    Delete(u8),
    /// A rival's put of other bytes.
    Rival(u8),
    DeliverLate,
    Wait(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let name = || 0..3u8;
    prop_oneof![
        1 => name().prop_map(Step::Put),
        3 => name().prop_map(Step::PutIfAbsent),
        2 => name().prop_map(Step::Get),
        1 => Just(Step::List),
        2 => name().prop_map(Step::Delete),
        1 => name().prop_map(Step::Rival),
        1 => Just(Step::DeliverLate),
        1 => any::<u8>().prop_map(Step::Wait),
    ]
}

fn faults() -> impl Strategy<Value = Vec<(Fault, f64)>> {
    let fault = prop_oneof![
        Just(Fault::Fail),
        Just(Fault::LoseAnswer),
        Just(Fault::Hang),
        Just(Fault::HoldAnswer),
        Just(Fault::Late),
        Just(Fault::Answer(throttled)),
        (1..20_000u64).prop_map(|millis| Fault::Slow(Duration::from_millis(millis))),
    ];
    proptest::collection::vec((fault, 0.0..0.4), 0..4)
}

/// Makes the calls and checks each against what the store inside holds when it ends. Gives how many calls there were.
fn play(rig: &Rig, steps: &[Step]) -> u64 {
    let mut calls = 0;
    for (number, step) in steps.iter().enumerate() {
        let name = |name: &u8| format!("folder/{name}");
        let bytes = Bytes::from(format!("bytes of step {number}"));
        calls += u64::from(!matches!(step, Step::Rival(_) | Step::DeliverLate | Step::Wait(_)));
        match step {
            Step::Put(n) => {
                if rig.call(rig.store.put(&name(n), bytes.clone())).0.is_ok() {
                    assert_eq!(rig.held(&name(n)), Some(bytes), "step {number}");
                }
            }
            Step::PutIfAbsent(n) => match rig.call(rig.store.put_if_absent(&name(n), bytes.clone())).0 {
                Ok(()) => assert_eq!(rig.held(&name(n)), Some(bytes), "step {number}"),
                Err(StoreError::AlreadyExists(_)) => assert!(rig.held(&name(n)).is_some_and(|held| held != bytes), "step {number}"),
                Err(error) => assert!(!error.is_answer(), "step {number}: {error}"),
            },
            Step::Get(n) => match rig.call(rig.store.get_range(&name(n), 0..8)).0 {
                Ok(found) => assert_eq!(rig.held(&name(n)).unwrap()[..8], found, "step {number}"),
                Err(StoreError::NotFound(_)) => assert_eq!(rig.held(&name(n)), None, "step {number}"),
                Err(error) => assert!(!error.is_answer(), "step {number}: {error}"),
            },
            Step::List => {
                if let Ok(listed) = rig.call(rig.store.list("folder/")).0 {
                    let held = (0..3).filter(|n| rig.held(&name(n)).is_some()).map(|n| name(&n));
                    assert!(listed.into_iter().map(|meta| meta.name).eq(held), "step {number}");
                }
            }
            Step::Delete(n) => {
                if rig.call(rig.store.delete(&name(n))).0.is_ok() {
                    assert_eq!(rig.held(&name(n)), None, "step {number}");
                }
            }
            Step::Rival(n) => drop(rig.memory.put_if_absent(&name(n), bytes).now_or_never().unwrap()),
            Step::DeliverLate => drop(rig.faulty.deliver_late().now_or_never().unwrap()),
            Step::Wait(seconds) => rig.world.clock.advance(Duration::from_secs((*seconds).into())),
        }
    }
    calls
}

proptest! {
    #![proptest_config(property(150))]

    #[test]
    fn what_calls_say_is_what_the_store_holds_and_attempts_are_bounded(
        steps in proptest::collection::vec(step(), 1..60),
        faults in faults(),
        seed: u64,
        breaks: bool,
    ) {
        let breaker = if breaks { BreakerSettings { attempts_min: 5, ..BreakerSettings::default() } } else { no_breaker() };
        let rig = seeded_rig(Settings { breaker, ..Settings::default() }, seed);
        for (fault, probability) in faults {
            rig.faulty.inject(fault.always().with_probability(probability));
        }
        let calls = play(&rig, &steps);
        // What an unclear put reads back are two more calls.
        let calls = calls * 3;
        let minutes = rig.world.clock.monotonic().as_secs_f64() / 60.0;
        let allowed = calls as f64 * 1.1 + 10.0 + 10.0 * minutes;
        prop_assert!(rig.faulty.requests() as f64 <= allowed, "{} requests, {allowed} allowed", rig.faulty.requests());
        prop_assert_eq!(rig.store.metrics.attempts_running.get(), 0);
        prop_assert_eq!(rig.faulty.hanging(), 0);
    }
}
