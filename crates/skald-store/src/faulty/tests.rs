use super::*;
use crate::MemoryStore;
use crate::conformance::suite;
use futures::FutureExt;
use futures::executor::block_on;
use skald_testkit::SimWorld;
use std::time::Duration;

struct Faulty {
    world: SimWorld,
    inner: Arc<MemoryStore>,
    store: Arc<FaultyStore>,
}

fn faulty() -> Faulty {
    let (world, inner) = (SimWorld::new(1), Arc::new(MemoryStore::new()));
    let store = FaultyStore::new(inner.clone(), world.clock.clone(), world.random.clone());
    Faulty { world, inner, store }
}

fn put(store: &dyn ObjectStore, name: &str) -> Result<(), StoreError> {
    block_on(store.put(name, Bytes::from_static(b"0123456789")))
}

fn get(store: &dyn ObjectStore, name: &str) -> Result<Bytes, StoreError> {
    block_on(store.get_range(name, 0..10))
}

#[test]
fn without_rules_it_is_the_store_inside() {
    let Faulty { store, .. } = faulty();
    block_on(suite(&*store, "suite"));
}

#[test]
fn rules_take_the_calls_they_name_and_no_others() {
    let Faulty { store, .. } = faulty();
    for name in ["a/x", "b/x"] {
        put(&*store, name).unwrap();
    }
    store.inject(Fault::Fail.on(Operation::Get).inside("a/").after(1).times(2));
    let failed: Vec<bool> = (0..5).map(|_| get(&*store, "a/x").is_err()).collect();
    assert_eq!(failed, [false, true, true, false, false]);
    store.inject(Fault::Fail.on(Operation::Get).inside("a/"));
    assert!(get(&*store, "a/x").is_err() && get(&*store, "b/x").is_ok() && put(&*store, "a/x").is_ok());
    store.clear();
    assert!(get(&*store, "a/x").is_ok());
    store.inject(Fault::Answer(|name| StoreError::NotFound(name.to_owned())).once());
    assert!(matches!(get(&*store, "b/x"), Err(StoreError::NotFound(name)) if name == "b/x"));
    assert!(get(&*store, "b/x").is_ok());
}

#[test]
fn a_probability_takes_about_its_share_and_repeats_itself() {
    let run = || {
        let Faulty { store, .. } = faulty();
        store.inject(Fault::Fail.always().with_probability(0.2));
        (0..1000).map(|_| put(&*store, "a").is_err()).collect::<Vec<_>>()
    };
    let failed = run().iter().filter(|failed| **failed).count();
    assert!((150..250).contains(&failed), "{failed}");
    assert_eq!(run(), run());
}

#[test]
fn a_lost_answer_is_done_and_a_failure_is_not() {
    let Faulty { store, inner, .. } = faulty();
    store.inject(Fault::LoseAnswer.on(Operation::Put).times(1));
    put(&*store, "a").unwrap_err();
    get(&*inner, "a").unwrap();
    store.inject(Fault::Fail.on(Operation::Put).times(1));
    put(&*store, "b").unwrap_err();
    get(&*inner, "b").unwrap_err();
}

#[test]
fn what_hangs_is_done_when_released_and_not_when_left() {
    let Faulty { store, inner, .. } = faulty();
    store.inject(Fault::Hang.on(Operation::Put).times(2));
    store.inject(Fault::HoldAnswer.on(Operation::Put).times(1));
    let [mut left, mut waits, mut held] = ["left", "waits", "held"].map(|name| store.put(name, Bytes::new()));
    assert!([&mut left, &mut waits, &mut held].into_iter().all(|call| call.now_or_never().is_none()));
    assert_eq!(store.hanging(), 3);
    drop(left);
    assert_eq!(store.hanging(), 2);
    store.release();
    assert!([waits, held].into_iter().all(|call| matches!(call.now_or_never(), Some(Ok(())))));
    let names: Vec<String> = block_on(inner.list("")).unwrap().into_iter().map(|meta| meta.name).collect();
    assert_eq!(names, ["held", "waits"]);
}

#[test]
fn a_late_call_has_no_answer_and_is_done_on_demand() {
    let Faulty { store, inner, .. } = faulty();
    put(&*inner, "gone").unwrap();
    store.inject(Fault::Late.always());
    assert!(store.put_if_absent("a", Bytes::from_static(b"0123456789")).now_or_never().is_none());
    assert!(store.delete("gone").now_or_never().is_none());
    assert!(get(&*store, "gone").is_ok(), "reads are never late");
    assert_eq!(block_on(store.deliver_late()), 2);
    assert!(get(&*inner, "a").is_ok() && get(&*inner, "gone").is_err());
}

#[test]
fn slow_calls_take_their_time_by_the_clock() {
    let Faulty { store, world, .. } = faulty();
    store.inject(Fault::Slow(Duration::from_secs(3)).once());
    let mut call = store.put("a", Bytes::new());
    assert!((&mut call).now_or_never().is_none());
    world.clock.advance(Duration::from_secs(3));
    assert!(matches!(call.now_or_never(), Some(Ok(()))));
}

#[test]
fn wrong_reads_are_short_or_differ_in_one_bit() {
    let Faulty { store, .. } = faulty();
    put(&*store, "a").unwrap();
    store.inject(Fault::Truncate.once());
    assert_eq!(get(&*store, "a").unwrap(), "01234");
    store.inject(Fault::FlipBit.once());
    let wrong = get(&*store, "a").unwrap();
    let bits: u32 = wrong.iter().zip(b"0123456789").map(|(a, b)| (a ^ b).count_ones()).sum();
    assert_eq!((wrong.len(), bits), (10, 1));
    assert_eq!(get(&*store, "a").unwrap(), "0123456789");
}

#[test]
fn a_listing_can_lack_what_was_put_last() {
    let Faulty { store, .. } = faulty();
    for name in ["f/c", "f/a", "f/b", "g/a", "f/c"] {
        put(&*store, name).unwrap();
    }
    let names = |prefix: &str| block_on(store.list(prefix)).unwrap().into_iter().map(|meta| meta.name).collect::<Vec<_>>();
    store.inject(Fault::HideNewest(2).once());
    assert_eq!(names("f/"), ["f/a"]);
    assert_eq!(names("f/"), ["f/a", "f/b", "f/c"]);
}

#[test]
fn requests_and_bytes_are_counted_by_operation() {
    let Faulty { store, .. } = faulty();
    put(&*store, "a").unwrap();
    block_on(store.get_ranges("a", vec![0..3, 5..10])).unwrap();
    get(&*store, "b").unwrap_err();
    assert_eq!(store.traffic(Operation::Put), Traffic { requests: 1, bytes: 10 });
    assert_eq!(store.traffic(Operation::Get), Traffic { requests: 2, bytes: 8 });
    assert_eq!((store.traffic(Operation::List), store.requests()), (Traffic::default(), 3));
    let calls = store.take_calls();
    assert_eq!(calls, [(Operation::Put, "a".to_owned()), (Operation::Get, "a".to_owned()), (Operation::Get, "b".to_owned())]);
    assert!(store.take_calls().is_empty());
}
