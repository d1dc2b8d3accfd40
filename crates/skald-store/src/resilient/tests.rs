mod breaking;
mod hedging;
mod property;
mod unclear;

use super::*;
use crate::conformance::suite;
use crate::{Fault, FaultyStore, MemoryStore, RemoteAnswer, RemoteFailure, RemoteProblem};
use futures::FutureExt;
use futures::future::join_all;
use prometheus_client::registry::Registry;
use skald_testkit::SimWorld;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A resilient store on a faulty one.
struct Rig {
    world: SimWorld,
    memory: Arc<MemoryStore>,
    faulty: Arc<FaultyStore>,
    store: Resilient,
}

fn rig(settings: Settings) -> Rig {
    seeded_rig(settings, 1)
}

fn seeded_rig(settings: Settings, seed: u64) -> Rig {
    let (world, memory) = (SimWorld::new(seed), Arc::new(MemoryStore::new()));
    let faulty = FaultyStore::new(memory.clone(), world.clock.clone(), world.random.clone());
    let metrics = Metrics::register(&mut Registry::default());
    let store = Resilient::new(faulty.clone(), settings, world.clock.clone(), world.random.clone(), metrics);
    Rig { world, memory, faulty, store }
}

/// Never leaves the store alone.
fn no_breaker() -> BreakerSettings {
    BreakerSettings { failure_share: 2.0, failures_in_a_row: usize::MAX, ..BreakerSettings::default() }
}

/// Tries again as long as there is time.
fn stubborn() -> Settings {
    Settings { attempts_max: 30, retry_reserve: 1_000_000, call_timeout: 3600 * SECOND, breaker: no_breaker(), ..Settings::default() }
}

impl Rig {
    /// The result of a call, and how long it took.
    fn call<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> (Result<T, StoreError>, Duration) {
        let began = self.world.clock.monotonic();
        let result = self.world.clock.drive(call);
        (result, self.world.clock.monotonic() - began)
    }

    fn put(&self, name: &str, bytes: &'static [u8]) -> Result<(), StoreError> {
        self.call(self.store.put(name, Bytes::from_static(bytes))).0
    }

    fn put_if_absent(&self, name: &str, bytes: &'static [u8]) -> Result<(), StoreError> {
        self.call(self.store.put_if_absent(name, Bytes::from_static(bytes))).0
    }

    fn get(&self, name: &str, len: u64) -> Result<Bytes, StoreError> {
        self.call(self.store.get_range(name, 0..len)).0
    }

    /// What the store inside holds.
    fn held(&self, name: &str) -> Option<Bytes> {
        let metas = self.memory.list("").now_or_never().unwrap().unwrap();
        let size = metas.into_iter().find(|meta| meta.name == name)?.size;
        Some(self.memory.get_range(name, 0..size).now_or_never().unwrap().unwrap())
    }
}

fn refused(name: &str, problem: RemoteProblem, retry_after: Option<Duration>) -> StoreError {
    let answer = RemoteAnswer { status: 503, code: None, message: None, request_id: None, retry_after };
    StoreError::Remote(Box::new(RemoteFailure {
        operation: "Request",
        object: name.to_owned(),
        problem,
        answer: Some(answer),
        source: None,
    }))
}

/// The store asks to be asked again in seven seconds.
fn throttled(name: &str) -> StoreError {
    refused(name, RemoteProblem::Throttled, Some(7 * SECOND))
}

fn conflict(name: &str) -> StoreError {
    refused(name, RemoteProblem::Conflict, None)
}

#[test]
fn keeps_the_promises_of_an_object_store() {
    let rig = rig(Settings::default());
    rig.world.clock.drive(suite(&rig.store, "suite"));
    assert_eq!(rig.store.metrics.retries_refused.get(), 0);
}

#[test]
fn keeps_them_on_a_store_that_fails_loses_answers_and_hangs() {
    let sound = {
        let rig = rig(stubborn());
        rig.world.clock.drive(suite(&rig.store, "suite"));
        rig.faulty.requests()
    };
    for seed in 0..5 {
        let rig = seeded_rig(stubborn(), seed);
        for fault in [Fault::Fail, Fault::LoseAnswer, Fault::HoldAnswer, Fault::Hang, Fault::Slow(2 * SECOND)] {
            rig.faulty.inject(fault.always().with_probability(0.05));
        }
        // Its object of 3 MiB is put with `put`: no other is too large to be read back.
        rig.world.clock.drive(suite(&rig.store, "suite"));
        assert!(rig.faulty.requests() > sound + 30, "{} requests", rig.faulty.requests());
    }
}

#[test]
fn an_attempt_gets_more_time_for_more_bytes() {
    for (bytes, wanted) in [(0, 10), (1 << 20, 11), (64 << 20, 74)] {
        let rig = rig(Settings { attempts_max: 1, ..Settings::default() });
        rig.faulty.inject(Fault::Hang.always());
        let (result, took) = rig.call(rig.store.put("a", vec![0; bytes].into()));
        assert!(matches!(result, Err(StoreError::TimedOut { after, .. }) if after == took), "{result:?}");
        assert_eq!(took, wanted * SECOND, "{bytes}");
        let (result, took) = rig.call(rig.store.get_ranges("a", vec![0..bytes as u64 / 2, 0..bytes as u64 / 2]));
        assert!(matches!(result, Err(StoreError::TimedOut { .. })) && took == wanted * SECOND, "{took:?}");
    }
    let rig = rig(Settings { attempts_max: 1, ..Settings::default() });
    rig.faulty.inject(Fault::Hang.always());
    assert_eq!(rig.call(rig.store.list("")).1, 310 * SECOND);
    assert_eq!(
        rig.call(rig.store.get_range("a", 0..u64::MAX)).1,
        24 * 3600 * SECOND + 10 * SECOND,
        "no range makes a call endless in effect"
    );
}

#[test]
fn a_call_ends_in_time_whatever_its_attempts_do() {
    let settings = Settings { call_timeout: 25 * SECOND, ..stubborn() };
    let rig = rig(settings);
    rig.faulty.inject(Fault::Hang.always());
    let (result, took) = rig.call(rig.store.delete("a"));
    assert!(matches!(result, Err(StoreError::TimedOut { .. })), "{result:?}");
    assert!((20 * SECOND..=25 * SECOND).contains(&took), "{took:?}");
    assert_eq!(rig.faulty.traffic(Operation::Delete).requests, 3);
    assert_eq!(rig.faulty.hanging(), 0, "no attempt is left behind");
}

#[test]
fn what_fails_is_tried_again_after_pauses_that_differ() {
    let mut pauses = Vec::new();
    for seed in 0..20 {
        let rig = seeded_rig(Settings::default(), seed);
        rig.faulty.inject(Fault::Fail.always().times(3));
        let (result, took) = rig.call(rig.store.put("a", Bytes::from_static(b"x")));
        assert!(result.is_ok() && took <= Duration::from_millis(100 + 200 + 400), "{result:?} {took:?}");
        assert_eq!(rig.held("a").unwrap(), "x");
        pauses.push(took);
        rig.faulty.inject(Fault::Fail.always().times(4));
        rig.put("a", b"y").unwrap_err();
        assert_eq!(rig.faulty.requests(), 8);
    }
    pauses.sort();
    pauses.dedup();
    assert_eq!(pauses.len(), 20);
    assert!(pauses[0] < Duration::from_millis(200) && pauses[19] > Duration::from_millis(500), "{pauses:?}");
}

#[test]
fn every_operation_is_tried_again() {
    let rig = rig(stubborn());
    for operation in Operation::ALL {
        rig.faulty.inject(Fault::Fail.on(operation).times(2));
    }
    rig.put("a", b"x").unwrap();
    rig.put_if_absent("b", b"y").unwrap();
    assert_eq!(rig.get("a", 1).unwrap(), "x");
    assert_eq!(rig.call(rig.store.list("")).0.unwrap().len(), 2);
    rig.call(rig.store.delete("a")).0.unwrap();
    assert_eq!(rig.held("a"), None);
    assert!(Operation::ALL.iter().all(|operation| rig.faulty.traffic(*operation).requests == 3));
}

#[test]
fn the_store_decides_how_long_it_is_left_alone() {
    let rig = rig(Settings::default());
    rig.faulty.inject(Fault::Answer(throttled).always().times(1));
    let (result, took) = rig.call(rig.store.list(""));
    assert!(result.is_ok() && took >= 7 * SECOND && took <= 8 * SECOND, "{took:?}");
    rig.faulty.inject(Fault::Answer(|name| refused(name, RemoteProblem::Throttled, Some(3600 * SECOND))).once());
    let (result, took) = rig.call(rig.store.delete("a"));
    assert!(matches!(result, Err(StoreError::Remote(_))), "{result:?}");
    assert_eq!(took, Duration::ZERO, "there is no sense in waiting when the call ends before");
}

#[test]
fn answers_are_final() {
    let rig = rig(Settings::default());
    rig.put("a", b"x").unwrap();
    let before = rig.faulty.requests();
    assert!(matches!(rig.get("b", 1), Err(StoreError::NotFound(_))));
    assert!(matches!(rig.get("a", 2), Err(StoreError::OutOfRange { .. })));
    assert!(matches!(rig.put_if_absent("a", b"x"), Err(StoreError::AlreadyExists(_))));
    assert!(matches!(rig.put("", b"x"), Err(StoreError::InvalidName(_))));
    assert_eq!(rig.faulty.requests(), before + 4);
}

#[test]
fn several_names_go_in_one_call() {
    let rig = rig(stubborn());
    let names = ["a", "b", "c"].map(str::to_owned);
    for name in &names {
        rig.put(name, b"x").unwrap();
    }
    rig.faulty.inject(Fault::Fail.on(Operation::Delete).after(1).times(1));
    rig.call(rig.store.delete_many(&names)).0.unwrap();
    assert!(names.iter().all(|name| rig.held(name).is_none()));
    rig.call(rig.store.delete_many(&[])).0.unwrap();
}

#[test]
fn puts_that_meet_another_of_their_name_are_no_sign_of_a_sick_store() {
    let rig = rig(Settings { breaker: BreakerSettings { attempts_min: 5, ..BreakerSettings::default() }, ..Settings::default() });
    rig.faulty.inject(Fault::Answer(conflict).on(Operation::PutIfAbsent));
    for _ in 0..30 {
        let result = rig.put_if_absent("a", b"x");
        assert!(matches!(result, Err(StoreError::Remote(_))), "{result:?}");
    }
    assert_eq!((rig.faulty.requests(), rig.store.metrics.retries_refused.get(), rig.store.metrics.breaker_state.get()), (120, 0, 0));
}

#[test]
fn a_store_that_always_fails_gets_hardly_more_requests_than_calls() {
    let rig = rig(Settings { breaker: no_breaker(), ..Settings::default() });
    rig.faulty.inject(Fault::Fail.always());
    for _ in 0..1000 {
        rig.put("a", b"x").unwrap_err();
    }
    let minutes = rig.world.clock.monotonic().as_secs_f64() / 60.0;
    let (retries, allowed) = (rig.faulty.requests() - 1000, 100.0 + 10.0 + 10.0 * minutes);
    assert!((90..=allowed as u64).contains(&retries), "{retries} of {allowed}");
    assert!(rig.store.metrics.retries_refused.get() > 800);
}

#[test]
fn attempts_wait_for_their_turn_and_no_longer_than_their_call_may_take() {
    let rig = rig(Settings { concurrency: 2, call_timeout: 15 * SECOND, attempts_max: 1, ..Settings::default() });
    rig.faulty.inject(Fault::Slow(4 * SECOND).always());
    let (results, took) = {
        let calls = (0..10).map(|_| rig.store.put("a", Bytes::from_static(b"x")));
        let mut all = join_all(calls);
        assert!((&mut all).now_or_never().is_none());
        assert_eq!((rig.store.metrics.attempts_running.get(), rig.store.metrics.attempts_waiting.get()), (2, 8));
        rig.world.clock.drive(async { (all.await, rig.world.clock.monotonic()) })
    };
    // Two each at 4, 8 and 12 seconds; two more begin at 12 and are cut short; two never begin.
    let done = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!((done, took, rig.faulty.requests()), (6, 15 * SECOND, 8));
    assert_eq!((rig.store.metrics.attempts_running.get(), rig.store.metrics.attempts_waiting.get()), (0, 0));
}

#[test]
fn a_call_that_is_given_up_makes_room() {
    let rig = rig(Settings { concurrency: 1, ..Settings::default() });
    rig.faulty.inject(Fault::Hang.always().times(1));
    let mut hangs = rig.store.put("a", Bytes::new());
    assert!((&mut hangs).now_or_never().is_none());
    let mut waits = rig.store.put("b", Bytes::new());
    assert!((&mut waits).now_or_never().is_none());
    drop(hangs);
    assert!(matches!(waits.now_or_never(), Some(Ok(()))));
}
