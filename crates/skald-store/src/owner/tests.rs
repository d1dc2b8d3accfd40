use super::*;
use crate::{Fault, FaultyStore, MemoryStore, Operation, RemoteFailure, RemoteProblem};
use bytes::Bytes;
use futures::executor::block_on;
use parking_lot::Mutex;
use proptest::prelude::*;
use skald_testkit::{SeededRandom, SimWorld, property};

/// One process with a clock of its own: it is paused while that is not advanced.
struct Process {
    world: SimWorld,
    store: Arc<FaultyStore>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    waits: Vec<String>,
    taken: Option<Result<Arc<Owner>, OwnerError>>,
    lost: Option<Lost>,
}

/// Starts a process; the seed decides what it draws.
fn start(memory: &Arc<MemoryStore>, disk: u128, seed: u64) -> Process {
    let world = SimWorld::new(seed);
    let store = FaultyStore::new(memory.clone(), world.clock.clone(), world.random.clone());
    let process = Process { world, store, seen: Arc::default() };
    process.start_again(disk, seed);
    process
}

impl Process {
    fn start_again(&self, disk: u128, seed: u64) {
        *self.seen.lock() = Seen::default();
        let (seams, store, seen) = (self.world.seams(), self.store.clone(), self.seen.clone());
        let task = async move {
            let host = format!("host-{seed}");
            let waits = seen.clone();
            let on_wait = move |waiting: &Waiting| waits.lock().waits.push(waiting.to_string());
            let taken = Owner::take(store, DiskId(disk), &host, &seams, on_wait).await;
            if let Ok(owner) = &taken {
                let seen = seen.clone();
                owner.keep(move |lost| seen.lock().lost = Some(lost));
            }
            seen.lock().taken = Some(taken);
        };
        self.world.spawner.spawn("process", task.boxed());
        self.world.spawner.run_until_idle();
    }

    fn owner(&self) -> Option<Arc<Owner>> {
        self.seen.lock().taken.as_ref()?.as_ref().ok().cloned()
    }

    /// Owns the store, as far as it knows.
    fn owns(&self) -> bool {
        self.owner().is_some() && self.seen.lock().lost.is_none()
    }

    fn is_refused(&self) -> bool {
        matches!(self.seen.lock().taken, Some(Err(OwnerError::Taken(_))))
    }

    fn release(&self) {
        let owner = self.owner().unwrap();
        self.world.spawner.run(owner.release()).unwrap();
    }

    /// The process is no more.
    fn kill(&self) {
        self.world.spawner.drop_tasks();
        *self.seen.lock() = Seen::default();
    }
}

/// Lets time pass for these processes, second by second.
fn pass(processes: &[&Process], seconds: u64) {
    for _ in 0..seconds {
        for process in processes {
            process.world.clock.advance(Duration::from_secs(1));
            process.world.spawner.run_until_idle();
        }
    }
}

fn names(memory: &MemoryStore) -> Vec<String> {
    block_on(memory.list("")).unwrap().into_iter().map(|meta| meta.name).collect()
}

#[test]
fn a_store_without_owner_is_taken_at_once() {
    let memory = Arc::new(MemoryStore::new());
    let first = start(&memory, 1, 1);
    assert!(first.owns() && first.owner().unwrap().number() == 1);
    assert_eq!(names(&memory), [name(1)]);
    pass(&[&first], 600);
    assert!(first.owns());
    let record = Record::decode(&block_on(memory.get_range(&name(1), 0..LEN as u64)).unwrap()).unwrap();
    assert_eq!(record.beat, 20);
}

#[test]
fn a_second_process_is_refused_while_the_owner_lives_and_told_who_it_is() {
    let memory = Arc::new(MemoryStore::new());
    let first = start(&memory, 1, 1);
    pass(&[&first], 17);
    let second = start(&memory, 2, 2);
    assert!(second.seen.lock().waits[0].contains("host 'host-1'"), "{:?}", second.seen.lock().waits);
    pass(&[&first, &second], 41);
    let Some(Err(error)) = second.seen.lock().taken.take() else { panic!("it is still waiting") };
    let text =
        format!("the object store is in use: the process on host 'host-1' with disk {} (owner number 1) owns it and is alive", DiskId(1));
    assert_eq!((error.to_string(), error.kind()), (text, ErrorKind::Unavailable));
    assert!(first.owns());
}

#[test]
fn a_dead_owner_is_taken_over_after_three_beats_and_not_before() {
    let memory = Arc::new(MemoryStore::new());
    start(&memory, 1, 1).kill();
    let second = start(&memory, 2, 2);
    pass(&[&second], 89);
    assert!(second.owner().is_none());
    assert!(second.seen.lock().waits.last().unwrap().ends_with("silent for 80 of 90 s"), "{:?}", second.seen.lock().waits);
    pass(&[&second], 2);
    assert!(second.owns() && second.owner().unwrap().number() == 2);
    assert_eq!(names(&memory), [name(2)], "the object of the dead one is removed");
}

#[test]
fn the_same_disk_and_a_released_store_are_taken_at_once() {
    let memory = Arc::new(MemoryStore::new());
    start(&memory, 1, 1).kill();
    let again = start(&memory, 1, 2);
    assert!(again.owns(), "its process is known to be gone");
    pass(&[&again], 100);
    again.release();
    let beats = again.store.traffic(Operation::Put).requests;
    pass(&[&again], 100);
    assert_eq!(again.store.traffic(Operation::Put).requests, beats, "no beat is written after that");
    let other = start(&memory, 3, 3);
    assert!(other.owns() && other.owner().unwrap().number() == 3);
    assert!(again.seen.lock().lost.is_none(), "a store that was given back is not lost");
    again.release();
    assert_eq!(names(&memory), [name(3)]);
}

#[test]
fn of_processes_that_start_together_one_wins() {
    for (released, wait) in [(None, 60), (Some(true), 60), (Some(false), 240)] {
        for seed in 0..20 {
            let memory = Arc::new(MemoryStore::new());
            if let Some(released) = released {
                let earlier = start(&memory, 9, 9);
                if released {
                    earlier.release();
                }
                earlier.kill();
            }
            let starters: Vec<_> = (0..3).map(|n| start(&memory, n, 10 * seed + u64::try_from(n).unwrap())).collect();
            for starter in &starters {
                // They meet at different points of each other's start.
                starter.store.inject(Fault::Slow(Duration::from_secs(2)).always().with_probability(0.5));
            }
            pass(&starters.iter().collect::<Vec<_>>(), wait);
            let owners = starters.iter().filter(|starter| starter.owns()).count();
            let refused = starters.iter().filter(|starter| starter.is_refused()).count();
            assert_eq!((owners, refused), (1, 2), "released: {released:?}, seed {seed}");
        }
    }
}

#[test]
fn an_owner_that_was_paused_sees_that_it_is_no_more() {
    let memory = Arc::new(MemoryStore::new());
    let paused = start(&memory, 1, 1);
    pass(&[&paused], 45);
    let second = start(&memory, 2, 2);
    pass(&[&second], 95);
    assert!(second.owns() && paused.owns(), "it does not know yet");
    pass(&[&paused, &second], 31);
    let lost = paused.seen.lock().lost.clone().unwrap();
    assert_eq!((lost.number, lost.by.map(|by| by.host)), (2, Some("host-2".to_owned())));
    pass(&[&paused, &second], 300);
    assert!(second.owns() && names(&memory) == [name(2)], "it writes no beat any more");
}

#[test]
fn an_owner_without_a_store_goes_on_for_as_long_as_it_takes() {
    let memory = Arc::new(MemoryStore::new());
    let owner = start(&memory, 1, 1);
    for fault in [Fault::Fail, Fault::Hang, Fault::LoseAnswer, Fault::Late] {
        owner.store.inject(fault.always());
        pass(&[&owner], 3600);
        assert!(owner.owns());
        owner.store.clear();
        owner.store.release();
        pass(&[&owner], 31);
        assert!(owner.owns());
    }
    let second = start(&memory, 2, 2);
    pass(&[&owner, &second], 60);
    assert!(owner.owns() && second.is_refused());
}

#[test]
fn an_owner_that_was_cut_off_and_taken_over_stops_once_it_sees_that() {
    let memory = Arc::new(MemoryStore::new());
    let cut_off = start(&memory, 1, 1);
    cut_off.store.inject(Fault::Fail.always());
    let second = start(&memory, 2, 2);
    pass(&[&cut_off, &second], 600);
    assert!(second.owns() && cut_off.owns());
    cut_off.store.clear();
    pass(&[&cut_off, &second], 31);
    assert!(second.owns() && !cut_off.owns());
    cut_off.release();
    assert_eq!(names(&memory), [name(2)], "what is lost is not released");
}

#[test]
fn a_starter_waits_for_the_store_and_says_so() {
    let memory = Arc::new(MemoryStore::new());
    let world = SimWorld::new(1);
    let store = FaultyStore::new(memory.clone(), world.clock.clone(), world.random.clone());
    store.inject(Fault::Hang.always().times(1));
    store.inject(Fault::Fail.always());
    let process = Process { world, store, seen: Arc::default() };
    process.start_again(1, 1);
    pass(&[&process], 3600);
    assert!(process.seen.lock().taken.is_none());
    let waits = process.seen.lock().waits.clone();
    assert!(
        waits.len() > 300 && waits.iter().all(|wait| wait.starts_with("the object store does not say who owns it")),
        "{:?}",
        &waits[..2]
    );
    process.store.clear();
    pass(&[&process], 11);
    assert!(process.owns());
}

#[test]
fn silence_counts_only_while_the_store_answers() {
    let memory = Arc::new(MemoryStore::new());
    let owner = start(&memory, 1, 1);
    let starter = start(&memory, 2, 2);
    pass(&[&owner, &starter], 5);
    for process in [&owner, &starter] {
        process.store.inject(Fault::Fail.always());
    }
    pass(&[&owner, &starter], 600);
    for process in [&owner, &starter] {
        process.store.clear();
    }
    pass(&[&owner, &starter], 60);
    assert!(owner.owns() && starter.is_refused(), "the owner is heard again once the store is back");
}

#[test]
fn a_store_that_refuses_and_an_object_that_is_none_of_ours_end_the_start() {
    let memory = Arc::new(MemoryStore::new());
    for bytes in [&b"junk"[..], &[b' '; LEN]] {
        block_on(memory.put(&name(7), Bytes::from_static(bytes))).unwrap();
        let process = start(&memory, 1, 1);
        let Some(Err(error)) = process.seen.lock().taken.take() else { panic!("it waits or owns") };
        assert!(matches!(&error, OwnerError::Damaged(found) if *found == name(7)) && error.kind() == ErrorKind::Corrupt, "{error}");
    }
    let denied = |object: &str| {
        let (object, problem) = (object.to_owned(), RemoteProblem::Denied);
        StoreError::Remote(Box::new(RemoteFailure { operation: "ListObjectsV2", object, problem, answer: None, source: None }))
    };
    let world = SimWorld::new(1);
    let store = FaultyStore::new(memory, world.clock.clone(), world.random.clone());
    store.inject(Fault::Answer(denied).always());
    let taken = world.clock.drive(Owner::take(store, DiskId(1), "host", &world.seams(), |waiting| panic!("{waiting}")));
    assert!(matches!(taken.err(), Some(OwnerError::Store(_))));
}

#[test]
fn a_process_knows_its_own_object_when_the_answer_was_lost() {
    for fault in [Fault::LoseAnswer, Fault::HoldAnswer, Fault::Fail, Fault::Hang, Fault::Late] {
        let memory = Arc::new(MemoryStore::new());
        let world = SimWorld::new(1);
        let store = FaultyStore::new(memory.clone(), world.clock.clone(), world.random.clone());
        store.inject(fault.on(Operation::PutIfAbsent).times(1));
        let process = Process { world, store, seen: Arc::default() };
        process.start_again(1, 1);
        pass(&[&process], 30);
        assert!(process.owns(), "{fault:?}");
        block_on(process.store.deliver_late());
        pass(&[&process], 60);
        assert!(process.owns() && names(&memory) == [name(1)], "{fault:?}");
    }
}

#[test]
fn a_late_beat_of_an_earlier_owner_means_nothing() {
    let memory = Arc::new(MemoryStore::new());
    let first = start(&memory, 1, 1);
    first.store.inject(Fault::Late.on(Operation::Put));
    pass(&[&first], 31);
    first.kill();
    let second = start(&memory, 2, 2);
    pass(&[&second], 95);
    assert!(second.owns());
    block_on(first.store.deliver_late());
    assert_eq!(names(&memory), [name(1), name(2)]);
    pass(&[&second], 60);
    assert!(second.owns());
    second.release();
    let third = start(&memory, 3, 3);
    assert!(third.owns() && third.owner().unwrap().number() == 3);
    assert_eq!(names(&memory), [name(3)]);
}

#[test]
fn a_listing_that_is_behind_does_not_let_two_own() {
    let memory = Arc::new(MemoryStore::new());
    let first = start(&memory, 1, 1);
    first.release();
    let second = start(&memory, 2, 2);
    assert!(second.owns());
    // The third sees the released first alone for a while, whose number it then tries to follow.
    let world = SimWorld::new(3);
    let store = FaultyStore::new(memory.clone(), world.clock.clone(), world.random.clone());
    let mut released = Record::new(DiskId(1), "host-1", 1);
    released.released = true;
    block_on(store.put(&name(1), released.encode().into())).unwrap();
    let beat = block_on(memory.get_range(&name(2), 0..LEN as u64)).unwrap();
    block_on(store.put(&name(2), beat)).unwrap();
    store.inject(Fault::HideNewest(1).always().times(5));
    let third = Process { world, store, seen: Arc::default() };
    third.start_again(3, 3);
    pass(&[&second, &third], 60);
    assert!(second.owns() && third.is_refused());
}

/// What happens to one of three processes.
#[derive(Debug, Clone)]
enum Event {
    Start(usize),
    Kill(usize),
    Release(usize),
    Pause(usize),
    Resume(usize),
    CutOff(usize),
    Sick(usize),
    Heal(usize),
    DeliverLate(usize),
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let who = || 0..3usize;
    prop_oneof![
        3 => who().prop_map(Event::Start),
        1 => who().prop_map(Event::Kill),
        1 => who().prop_map(Event::Release),
        1 => who().prop_map(Event::Pause),
        1 => who().prop_map(Event::Resume),
        1 => who().prop_map(Event::CutOff),
        1 => who().prop_map(Event::Sick),
        2 => who().prop_map(Event::Heal),
        1 => who().prop_map(Event::DeliverLate),
        5 => (1..150u64).prop_map(Event::Pass),
    ]
}

proptest! {
    #![proptest_config(property(60))]

    #[test]
    fn numbers_are_never_shared_and_when_all_is_calm_at_most_one_owns(events in proptest::collection::vec(event(), 1..40), seed: u64) {
        let memory = Arc::new(MemoryStore::new());
        let random = SeededRandom::new(seed);
        let processes: Vec<Process> = (0..3).map(|n| start(&memory, n, random.below(1 << 60))).collect();
        let mut paused = [false; 3];
        let mut numbers = std::collections::HashMap::new();
        for event in events {
            match event {
                Event::Start(n) if processes[n].seen.lock().taken.is_none() => {}
                Event::Start(n) if processes[n].owns() => {}
                Event::Start(n) => {
                    processes[n].kill();
                    // A new data directory, or the one it had.
                    let disk = if random.below(2) == 0 { n as u128 } else { u128::from(random.below(1 << 60)) + 3 };
                    processes[n].start_again(disk, random.below(1 << 60));
                }
                Event::Kill(n) => {
                    processes[n].kill();
                    processes[n].seen.lock().taken = Some(Err(OwnerError::Damaged("killed".to_owned())));
                }
                Event::Release(n) => {
                    if let Some(owner) = processes[n].owner() {
                        // With a store that hangs it is given up.
                        let _ = owner.release().now_or_never();
                        processes[n].kill();
                        processes[n].seen.lock().taken = Some(Err(OwnerError::Damaged("stopped".to_owned())));
                    }
                }
                Event::Pause(n) => paused[n] = true,
                Event::Resume(n) => paused[n] = false,
                Event::CutOff(n) => processes[n].store.inject(Fault::Fail.always()),
                Event::Sick(n) => {
                    for fault in [Fault::LoseAnswer, Fault::Late, Fault::Hang, Fault::Slow(Duration::from_secs(20))] {
                        processes[n].store.inject(fault.always().with_probability(0.2));
                    }
                }
                Event::Heal(n) => processes[n].store.clear(),
                Event::DeliverLate(n) => drop(block_on(processes[n].store.deliver_late())),
                Event::Pass(seconds) => {
                    let running: Vec<&Process> = processes.iter().zip(paused).filter(|(_, paused)| !paused).map(|(process, _)| process).collect();
                    pass(&running, seconds);
                }
            }
            for owner in processes.iter().filter_map(Process::owner) {
                let known = numbers.entry(owner.number()).or_insert_with(|| owner.clone());
                prop_assert!(Arc::ptr_eq(known, &owner), "two owners have the number {}", owner.number());
            }
        }
        for process in &processes {
            process.store.clear();
            process.store.release();
            block_on(process.store.deliver_late());
        }
        pass(&processes.iter().collect::<Vec<_>>(), 300);
        let owners = processes.iter().filter(|process| process.owns()).count();
        let waiting = processes.iter().filter(|process| process.seen.lock().taken.is_none()).count();
        prop_assert!(owners <= 1, "{owners} own it");
        prop_assert_eq!(waiting, 0, "nobody waits for ever");
    }
}
