//! Each rule by the interleaving that it prevents: what one does is broken off before each of its steps in turn, and the other does all of his there.

mod steps;
mod text;

use super::*;
use crate::{Fault, FaultyStore, ManifestName, MemoryStore, ObjectMeta, ObjectName, ObjectStore, Operation, StoreError, TableId};
use bytes::Bytes;
use futures::FutureExt;
use skald_model::{Day, Generation, GenerationPart, TenantId, Timestamp};
use skald_testkit::{SeededRandom, SimClock};
use std::sync::Arc;
use std::time::Duration;
use steps::Steps;

const HOUR: Duration = Duration::from_secs(3600);

/// Nothing waits in memory, also not inside of another call.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    work.now_or_never().expect("it is in memory")
}

fn table() -> TableId {
    TableId { tenant: TenantId::parse("t").expect("valid"), day: Day(20_468) }
}

fn incoming(generation: u64) -> String {
    let at = GenerationPart { generation: Generation(generation), part: 0 };
    ObjectName::incoming(table(), DiskId(7), at, "default").to_string()
}

fn merged(id: u128) -> String {
    format!("{}/merged/{id:032x}-default", table())
}

fn index(id: u128) -> String {
    format!("{}/index/{id:032x}", table())
}

fn manifest_name(number: u64) -> String {
    ManifestName { table: table(), number }.to_string()
}

fn named(names: &[String]) -> Vec<NamedFile> {
    names.iter().map(|name| NamedFile { name: name.clone(), size: 3 }).collect()
}

fn content(objects: &[String], absorbed: &[String]) -> Content {
    Content { objects: named(objects), absorbed: absorbed.to_vec(), ..Content::default() }
}

fn writer(put: u128) -> Writer {
    Writer { disk: DiskId(7), put }
}

fn put(store: &dyn ObjectStore, name: &str) {
    block_on(store.put(name, Bytes::from_static(b"abc"))).expect("it is in memory");
}

fn delete(store: &dyn ObjectStore, name: &str) {
    block_on(store.delete(name)).expect("it is in memory");
}

fn publish_now(store: &dyn ObjectStore, previous: u64, content: Content, put: u128) -> Result<Manifest, PublishError> {
    block_on(publish(store, &table(), previous, content, writer(put)))
}

fn load(store: &dyn ObjectStore) -> TableFiles {
    block_on(load_table(store, &table())).expect("it is in memory")
}

fn live_names(files: &TableFiles) -> Vec<String> {
    files.live().iter().map(|(name, _)| name.to_string()).collect()
}

#[test]
fn what_is_live_follows_from_the_listing_and_the_newest_manifest() {
    let store = MemoryStore::new();
    for name in [incoming(1), incoming(2), incoming(3), merged(1), merged(2)] {
        put(&store, &name);
    }
    assert_eq!(live_names(&load(&store)), [incoming(1), incoming(2), incoming(3)], "merged objects live by being named");
    publish_now(&store, 0, content(&[merged(1)], &[incoming(1)]), 1).expect("the first");
    assert_eq!(live_names(&load(&store)), [incoming(2), incoming(3), merged(1)]);
    publish_now(&store, 1, content(&[incoming(2), merged(2), merged(9)], &[incoming(1)]), 2).expect("the second");
    assert_eq!(live_names(&load(&store)), [incoming(2), incoming(3), merged(2), merged(9)], "one that is missing shows when it is read");
}

#[test]
fn a_reader_loses_nothing_while_objects_are_merged_and_taken_away() {
    for step in 0..20 {
        let store = Steps::new();
        put(store.inner(), &incoming(1));
        publish_now(store.inner(), 0, content(&[], &[]), 1).expect("the first");
        // The reader stalls for so long that the grace of the first manifest goes by.
        store.before(step, |store| {
            put(store, &merged(1));
            publish_now(store, 1, content(&[merged(1)], &[incoming(1)]), 2).expect("the second");
            delete(store, &incoming(1));
            delete(store, &manifest_name(1));
        });
        let live = live_names(&load(&store));
        assert!(live == [incoming(1)] || live == [merged(1)], "before step {step}: {live:?}");
        if !store.is_done() {
            assert!(step > 3, "the reader takes more steps than {step}");
            return;
        }
    }
    panic!("the reader does not end");
}

#[test]
fn a_manifest_that_goes_before_it_is_read_makes_the_reader_list_again() {
    let (clock, inner) = (SimClock::new(Timestamp(0)), Arc::new(MemoryStore::new()));
    publish_now(inner.as_ref(), 0, content(&[merged(1)], &[]), 1).expect("the first");
    let store = FaultyStore::new(inner, clock, Arc::new(SeededRandom::new(1)));
    store.inject(Fault::Answer(|name| StoreError::NotFound(name.to_owned())).on(Operation::Get).times(1));
    assert_eq!(load(store.as_ref()).manifest.map(|manifest| manifest.number), Some(1));
    assert_eq!(store.traffic(Operation::List).requests, 2);
    store.inject(Fault::Answer(|name| StoreError::NotFound(name.to_owned())).on(Operation::Get));
    let error = block_on(load_table(store.as_ref(), &table())).expect_err("it is gone each time");
    assert!(matches!(error, LoadError::Vanishing(_)), "{error}");
}

/// Publishes twice behind whatever is newest, and takes all but the last away, as it would be a day later. Gives the writers that it followed.
fn overtake(store: &dyn ObjectStore) -> Vec<Option<Writer>> {
    let mut followed = Vec::new();
    for put in [100, 101] {
        let newest = load(store).manifest;
        let previous = newest.as_ref().map_or(0, |manifest| manifest.number);
        publish_now(store, previous, content(&[], &[]), put).expect("nobody is faster");
        followed.push(newest.map(|manifest| manifest.writer));
    }
    let manifests = load(store).listing.manifests;
    manifests.values().rev().skip(1).for_each(|old| delete(store, &old.name));
    followed
}

#[test]
fn a_publisher_that_was_overtaken_learns_it_whenever_that_happened() {
    for step in 0..20 {
        let store = Steps::new();
        publish_now(store.inner(), 0, content(&[], &[]), 1).expect("the first");
        let followed = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let seen = followed.clone();
        store.before(step, move |store| *seen.lock() = overtake(store));
        let published = publish_now(&store, 1, content(&[], &[]), 2);
        if !store.is_done() {
            assert!(step > 1 && published.is_ok(), "{published:?}");
            return;
        }
        let was_followed = followed.lock().contains(&Some(writer(2)));
        match published {
            Ok(_) => assert!(was_followed, "before step {step}: it is told that it won, and nobody knows of it"),
            Err(PublishError::Outrun { newest, .. }) => assert!(newest >= 3, "before step {step}: {newest}"),
            Err(error) => panic!("before step {step}: {error}"),
        }
    }
    panic!("the publisher does not end");
}

#[test]
fn a_put_whose_answer_is_lost_is_settled_by_the_writer_that_stands_there() {
    let (clock, inner) = (SimClock::new(Timestamp(0)), Arc::new(MemoryStore::new()));
    let store = FaultyStore::new(inner.clone(), clock, Arc::new(SeededRandom::new(1)));
    let publish = |previous, put| publish_now(store.as_ref(), previous, content(&[], &[]), put);

    store.inject(Fault::LoseAnswer.on(Operation::PutIfAbsent).times(1));
    assert_eq!(publish(0, 1).expect("it was put").number, 1);
    store.inject(Fault::Fail.on(Operation::PutIfAbsent).times(1));
    assert!(matches!(publish(1, 2), Err(PublishError::Put { .. })), "nothing was put");
    publish_now(inner.as_ref(), 1, content(&[], &[]), 3).expect("by another");
    assert!(matches!(publish(1, 4), Err(PublishError::Outrun { newest: 2, .. })), "the number is another's");
    store.inject(Fault::LoseAnswer.on(Operation::PutIfAbsent).times(1));
    store.inject(Fault::Fail.on(Operation::Get).times(1));
    assert!(matches!(publish(2, 5), Err(PublishError::Unclear { .. })), "it stands, and that is not known");
    assert_eq!(load(store.as_ref()).manifest.expect("it stands").writer, writer(5));
    assert!(matches!(publish(2, 6), Err(PublishError::Outrun { newest: 3, .. })), "who knows an old table is told");
}

#[test]
fn a_retry_that_finds_its_own_put_has_published() {
    let store = Steps::new();
    store.put_twice();
    assert_eq!(publish_now(&store, 0, content(&[], &[]), 1).expect("the first of both puts").number, 1);
}

#[test]
fn a_manifest_is_kept_for_the_grace_from_when_it_has_a_successor() {
    let clock = SimClock::new(Timestamp(0));
    let store = MemoryStore::with_clock(clock.clone());
    let kept_now = || kept(&load(&store).listing, block_on(store_now(&store, &SeededRandom::new(1))).expect("it is in memory"));
    publish_now(&store, 0, content(&[], &[]), 1).expect("the first");
    clock.advance(HOUR * 1000);
    assert_eq!(kept_now(), [1], "in force for long");
    publish_now(&store, 1, content(&[], &[]), 2).expect("the second");
    clock.advance(GRACE - HOUR);
    assert_eq!(kept_now(), [1, 2], "readers may still work by the first");
    clock.advance(HOUR);
    assert_eq!(kept_now(), [2]);
    clock.advance(HOUR * 1000);
    assert_eq!(kept_now(), [2], "the newest stays");
}

/// What the garbage collector deletes at this moment.
fn collect(store: &dyn ObjectStore) -> Vec<String> {
    let now = block_on(store_now(store, &SeededRandom::new(1))).expect("it is in memory");
    let listing = load(store).listing;
    let manifests: Vec<Manifest> = kept(&listing, now)
        .into_iter()
        .map(|number| block_on(read_manifest(store, &table(), number, listing.manifests[&number].size)).expect("it is there"))
        .collect();
    let garbage = garbage(&listing, &manifests, now);
    garbage.iter().for_each(|name| delete(store, name));
    garbage
}

#[test]
fn what_an_old_manifest_names_stays_as_long_as_it_does() {
    let clock = SimClock::new(Timestamp(0));
    let store = MemoryStore::with_clock(clock.clone());
    let with_index = |objects: &[String], absorbed: &[String], id| Content { index: named(&[index(id)]), ..content(objects, absorbed) };
    [incoming(1), incoming(2), merged(1), merged(2), index(1), index(2)].iter().for_each(|name| put(&store, name));
    publish_now(&store, 0, with_index(&[incoming(1)], &[], 1), 1).expect("the first");
    clock.advance(HOUR * 100);
    publish_now(&store, 1, with_index(&[merged(1)], &[incoming(1)], 2), 2).expect("the second");
    assert_eq!(collect(&store), [merged(2)], "no manifest names it");
    clock.advance(GRACE - HOUR);
    assert_eq!(collect(&store), [""; 0], "a reader of the first reads what it names");
    clock.advance(HOUR);
    assert_eq!(collect(&store), [incoming(1), index(1), manifest_name(1)], "and not before the manifest goes all that it alone names does");
    assert_eq!(live_names(&load(&store)), [incoming(2), merged(1)]);
}

#[test]
fn a_file_is_not_taken_away_before_its_manifest_can_come() {
    for step in 0..20 {
        let clock = SimClock::new(Timestamp(0));
        let store = Steps::over(MemoryStore::with_clock(clock.clone()));
        store.before(step, move |store| {
            clock.advance(ABANDONED_AFTER - HOUR);
            collect(store);
        });
        put(&store, &index(1));
        put(&store, &merged(1));
        publish_now(&store, 0, Content { index: named(&[index(1)]), ..content(&[merged(1)], &[]) }, 1).expect("the first");
        let listing = load(store.inner()).listing;
        assert_eq!((listing.index.len(), listing.merged.len()), (1, 1), "before step {step}");
        if !store.is_done() {
            assert!(step > 3);
            return;
        }
    }
    panic!("the publisher does not end");
}

#[test]
fn abandoned_files_go_in_the_end() {
    let clock = SimClock::new(Timestamp(0));
    let store = MemoryStore::with_clock(clock.clone());
    put(&store, &index(1));
    put(&store, &incoming(1));
    clock.advance(ABANDONED_AFTER);
    assert_eq!(collect(&store), [index(1)], "an incoming object lives by existing");
}

#[test]
fn a_file_is_as_old_as_the_store_says() {
    // The store's clock stands; whatever time it is elsewhere, nothing grows old.
    let clock = SimClock::new(Timestamp::from_secs(1_000_000));
    let store = MemoryStore::with_clock(clock.clone());
    put(&store, &index(1));
    assert_eq!(collect(&store), [""; 0]);
    assert_eq!(block_on(store_now(&store, &SeededRandom::new(1))).expect("in memory"), Timestamp::from_secs(1_000_000));
    let left = block_on(store.list("")).expect("in memory");
    assert_eq!(left.iter().map(|meta: &ObjectMeta| meta.name.clone()).collect::<Vec<_>>(), [index(1)], "asking leaves nothing");
}
