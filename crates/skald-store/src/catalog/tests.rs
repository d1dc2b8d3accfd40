use super::*;
use crate::manifest::{self, ABANDONED_AFTER, GRACE};
use crate::{Fault, FaultyStore, MemoryStore, ObjectMeta, Operation, Origin};
use async_trait::async_trait;
use bytes::Bytes;
use futures::executor::block_on;
use skald_block::{ObjectInfo, ObjectWriter, WriterOptions};
use skald_index::IndexWriter;
use skald_model::GenerationPart;
use skald_testkit::{InlinePool, SeededRandom, SimClock, labels, rows};
use std::time::Duration;

const DAY: Day = Day(20_468);

struct World {
    clock: Arc<SimClock>,
    memory: Arc<MemoryStore>,
    store: Arc<FaultyStore>,
    random: Arc<SeededRandom>,
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).expect("valid")
}

fn table(name: &str) -> TableId {
    TableId { tenant: tenant(name), day: DAY }
}

fn name(owner: &str, generation: u64) -> ObjectName {
    let at = GenerationPart { generation: Generation(generation), part: 0 };
    ObjectName::incoming(table(owner), DiskId(7), at, "default")
}

fn object(owner: &str, generation: u64) -> EncodedObject {
    let (disk, class) = (DiskId(7), "default".to_owned());
    let generation = Generation(generation);
    let info = ObjectInfo { tenant: tenant(owner), day: DAY, class, disk, generation, part: 0, replaces: Vec::new() };
    let mut writer = ObjectWriter::new(info, WriterOptions::default()).expect("valid");
    writer.add_stream(&labels(&[("app", owner)]), &rows(&[(DAY.start().0 + generation.0 as i64, "line")])).expect("in order");
    writer.finish().expect("it has a row")
}

impl World {
    fn new() -> Self {
        let clock = SimClock::new(Timestamp::from_secs(1_768_435_200));
        let memory = Arc::new(MemoryStore::with_clock(clock.clone()));
        let random = Arc::new(SeededRandom::new(1));
        let store = FaultyStore::new(memory.clone(), clock.clone(), random.clone());
        World { clock, memory, store, random }
    }

    /// A process that begins.
    fn open(&self) -> Catalog {
        self.open_on(self.store.clone())
    }

    fn open_on(&self, store: Arc<dyn ObjectStore>) -> Catalog {
        let sizes = CacheSizes { footers: 1 << 20, pages: 1 << 20, indexes: 1 << 20 };
        let metrics = Metrics::register(&mut Default::default(), sizes);
        block_on(Catalog::open(store, self.clock.clone(), sizes, metrics)).expect("the store lists")
    }

    fn publisher(&self) -> Publisher {
        Publisher { disk: DiskId(7), random: self.random.clone() }
    }

    fn flush(&self, catalog: &Catalog, owner: &str, generations: std::ops::Range<u64>) {
        for generation in generations {
            block_on(catalog.publish(name(owner, generation), object(owner, generation))).expect("the store takes it");
        }
    }

    /// Publishes an index file of no stream.
    fn index(&self, catalog: &Catalog, owner: &str) -> Result<u64, TableError> {
        let objects = live(catalog, owner);
        let bytes = IndexWriter::new(objects.iter().map(|object| object.path.clone()).collect()).expect("names differ").finish();
        block_on(catalog.publish_index(&table(owner), &objects, bytes.expect("it is small"), &self.publisher()))
    }

    fn remove(&self, catalog: &Catalog, owner: &str) {
        block_on(catalog.remove_day(&tenant(owner), DAY, &self.publisher())).expect("the store takes it");
    }

    fn names(&self) -> Vec<String> {
        block_on(self.memory.list("")).expect("in memory").into_iter().map(|meta| meta.name).collect()
    }

    fn reads(&self) -> u64 {
        self.store.traffic(Operation::Get).requests
    }
}

/// A store in front of which one object waits.
struct Queue {
    inner: Arc<MemoryStore>,
    queued: String,
}

#[async_trait]
impl ObjectStore for Queue {
    async fn put(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.inner.put(name, bytes).await
    }

    async fn put_if_absent(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.inner.put_if_absent(name, bytes).await
    }

    async fn get_range(&self, name: &str, range: std::ops::Range<u64>) -> Result<Bytes, StoreError> {
        self.inner.get_range(name, range).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StoreError> {
        self.inner.list(prefix).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.inner.delete(name).await
    }

    fn is_stored(&self, name: &str) -> bool {
        name != self.queued
    }
}

fn only_table(catalog: &Catalog, owner: &str) -> Option<Arc<Table>> {
    block_on(catalog.tables(&tenant(owner), TimeRange::ALL)).pop()
}

fn live(catalog: &Catalog, owner: &str) -> Vec<Arc<DataObject>> {
    block_on(catalog.objects(&tenant(owner), TimeRange::ALL))
}

#[test]
fn opening_reads_nothing_and_a_query_reads_the_manifest_of_its_table_once() {
    const TENANTS: usize = 10_000;
    let world = World::new();
    for i in 0..TENANTS {
        let id = table(&format!("t{i}"));
        let writer = manifest::Writer { disk: DiskId(7), put: i as u128 };
        let content = manifest::Content::default();
        block_on(manifest::publish(world.memory.as_ref(), &id, 0, content, writer)).expect("the first");
        let path = name(&format!("t{i}"), 1).to_string();
        block_on(world.memory.put(&path, Bytes::from_static(b"abc"))).expect("in memory");
    }
    let catalog = world.open();
    assert_eq!((world.reads(), world.store.requests()), (0, 1), "one listing");
    assert_eq!(live(&catalog, "t77").len(), 1);
    assert_eq!(world.reads(), 1);
    assert_eq!(live(&catalog, "t77").len(), 1);
    assert_eq!((world.reads(), world.store.requests()), (1, 2), "it is known then");
}

#[test]
fn of_many_that_need_a_manifest_one_reads_it() {
    let world = World::new();
    let catalog = world.open();
    world.flush(&catalog, "t", 0..2);
    world.index(&catalog, "t").expect("published");
    let (catalog, before) = (world.open(), world.reads());
    world.store.inject(Fault::Hang.on(Operation::Get).times(1));
    let owner = tenant("t");
    let asked = join_all((0..100).map(|_| catalog.tables(&owner, TimeRange::ALL)));
    let release = async { world.store.release() };
    let (tables, ()) = block_on(futures::future::join(asked, release));
    assert!(tables.iter().all(|tables| tables[0].objects.len() == 2 && tables[0].index.is_some()));
    assert_eq!(world.reads() - before, 1);
}

#[test]
fn no_more_than_sixteen_manifests_are_read_at_a_time() {
    let world = World::new();
    for day in 0..40 {
        let id = TableId { tenant: tenant("t"), day: Day(DAY.0 + day) };
        let writer = manifest::Writer { disk: DiskId(7), put: 1 };
        block_on(manifest::publish(world.memory.as_ref(), &id, 0, manifest::Content::default(), writer)).expect("the first");
    }
    let catalog = world.open();
    world.store.inject(Fault::Hang.on(Operation::Get).times(40));
    let owner = tenant("t");
    let mut most = 0;
    let watch = async {
        while world.reads() < 40 {
            most = most.max(world.store.hanging());
            world.store.release();
            futures::pending!();
        }
        world.store.release();
    };
    let mut both = Box::pin(futures::future::join(catalog.tables(&owner, TimeRange::ALL), watch));
    let mut polls = 0;
    while futures::FutureExt::now_or_never(&mut both).is_none() {
        polls += 1;
        assert!(polls < 1000, "it makes progress");
    }
    assert_eq!((world.reads(), most), (40, LOADS_MAX));
}

#[test]
fn a_manifest_that_cannot_be_read_is_a_problem_of_its_table_for_a_while() {
    let world = World::new();
    let catalog = world.open();
    world.flush(&catalog, "t", 0..2);
    world.index(&catalog, "t").expect("published");
    let catalog = world.open();
    world.store.inject(Fault::Fail.on(Operation::Get).times(1));
    let table = only_table(&catalog, "t").expect("it is there");
    assert!(table.problem.is_some() && table.index.is_none());
    assert_eq!(table.objects.len(), 2, "incoming objects are served");
    let before = world.reads();
    assert!(only_table(&catalog, "t").expect("it is there").problem.is_some());
    assert_eq!(world.reads(), before, "it is not tried again at once");
    world.clock.advance(Duration::from_secs(60));
    let table = only_table(&catalog, "t").expect("it is there");
    assert!(table.problem.is_none() && table.index.is_some() && table.objects.len() == 2);
}

#[test]
fn what_is_live_is_the_same_after_every_start() {
    let world = World::new();
    let catalog = world.open();
    world.flush(&catalog, "t", 0..3);
    assert_eq!(world.index(&catalog, "t").expect("published"), 1);
    world.flush(&catalog, "t", 3..5);
    let paths = |catalog: &Catalog| live(catalog, "t").iter().map(|object| object.path.clone()).collect::<Vec<_>>();
    let before = paths(&catalog);
    assert_eq!(before.len(), 5);
    let again = world.open();
    assert_eq!(paths(&again), before);
    let named = live(&again, "t").iter().filter(|object| object.is_named()).count();
    assert_eq!((named, again.uncovered_of(&table("t")).objects), (3, 2));
    assert_eq!(world.index(&again, "t").expect("published"), 2);
    assert_eq!(again.uncovered_of(&table("t")).objects, 0);
}

#[test]
fn merged_objects_live_by_the_manifest_and_absorbed_ones_do_not() {
    let world = World::new();
    let catalog = world.open();
    world.flush(&catalog, "t", 0..2);
    let merged = ObjectName { origin: Origin::Merged { id: 5 }, ..name("t", 0) };
    block_on(world.memory.put(&merged.to_string(), object("t", 9).bytes)).expect("in memory");
    let file = |name: &ObjectName| manifest::NamedFile { name: name.to_string(), size: 1 };
    let absorbed = vec![name("t", 0).to_string()];
    let content = manifest::Content { objects: vec![file(&merged)], absorbed, ..Default::default() };
    let writer = manifest::Writer { disk: DiskId(7), put: 1 };
    block_on(manifest::publish(world.memory.as_ref(), &table("t"), 0, content, writer)).expect("the first");
    let catalog = world.open();
    let paths: Vec<String> = live(&catalog, "t").iter().map(|object| object.path.clone()).collect();
    assert_eq!(paths, [merged.to_string(), name("t", 1).to_string()]);
    world.remove(&catalog, "t");
    block_on(catalog.sweep()).expect("the store deletes");
    assert_eq!(world.names(), [""; 0], "also what was absorbed is gone");
}

#[test]
fn an_object_that_is_not_stored_is_not_named() {
    let world = World::new();
    let catalog = world.open_on(Arc::new(Queue { inner: world.memory.clone(), queued: name("t", 0).to_string() }));
    world.flush(&catalog, "t", 0..2);
    assert_eq!(catalog.uncovered_of(&table("t")).objects, 1);
    world.index(&catalog, "t").expect("published");
    let named: Vec<bool> = live(&catalog, "t").iter().map(|object| object.is_named()).collect();
    assert_eq!(named, [false, true]);
}

#[test]
fn after_a_publication_of_which_nothing_is_known_the_table_is_read_anew() {
    let world = World::new();
    let catalog = world.open();
    world.flush(&catalog, "t", 0..2);
    world.store.inject(Fault::Fail.on(Operation::List).inside("t/").times(1));
    assert!(matches!(world.index(&catalog, "t"), Err(TableError::Publish { .. })));
    let table = only_table(&catalog, "t").expect("it is there");
    assert!(table.index.is_some(), "it was put after all");
    assert_eq!(table.objects.len(), 2);
    assert_eq!(world.index(&catalog, "t").expect("published"), 2);
}

#[test]
fn a_removed_day_is_gone_whatever_a_crash_leaves_of_it() {
    for crash_at in 0..40 {
        let world = World::new();
        let catalog = world.open();
        world.flush(&catalog, "t", 0..3);
        world.index(&catalog, "t").expect("published");
        world.flush(&catalog, "t", 3..5);
        // From this call on nothing comes through any more: the process died.
        world.store.inject(Fault::Fail.always().after(crash_at));
        let removed = block_on(catalog.remove_day(&tenant("t"), DAY, &world.publisher()));
        let swept = block_on(catalog.sweep());
        world.store.clear();
        let left = world.names().len();
        let again = world.open();
        let live_then = live(&again, "t").len();
        match &removed {
            Ok(_) => assert_eq!(live_then, 0, "crash at call {crash_at}: {:?}", world.names()),
            // The manifest may stand, and nobody was told.
            Err(_) => assert!(live_then == 5 || live_then == 0, "crash at call {crash_at}: {live_then}"),
        }
        for (day, _) in again.days(&tenant("t")) {
            block_on(again.remove_day(&tenant("t"), day, &world.publisher())).expect("the store takes it");
        }
        block_on(again.sweep()).expect("the store deletes");
        assert_eq!(world.names(), [""; 0], "crash at call {crash_at}: the next run finishes it");
        assert!(again.tenants().is_empty());
        if removed.is_ok() && swept.is_ok() {
            assert!(crash_at > 8 && left == 0);
            return;
        }
    }
    panic!("the removal does not end");
}

#[test]
fn what_comes_while_a_day_is_removed_stays() {
    let world = World::new();
    let catalog = world.open();
    world.flush(&catalog, "t", 0..2);
    world.index(&catalog, "t").expect("published");
    let reader = live(&catalog, "t").remove(0);
    world.remove(&catalog, "t");
    world.flush(&catalog, "t", 2..3);
    block_on(catalog.sweep()).expect("the store deletes");
    assert!(world.names().contains(&reader.path), "a reader holds it");
    assert!(world.names().iter().any(|name| name.contains("/manifest/")), "what says that it is not live stays as long");
    assert_eq!(live(&world.open(), "t").iter().map(|object| object.path.clone()).collect::<Vec<_>>(), [name("t", 2).to_string()]);
    drop(reader);
    block_on(catalog.sweep()).expect("the store deletes");
    assert_eq!(world.names(), [name("t", 2).to_string()]);
    assert_eq!(live(&catalog, "t").len(), 1);
    assert_eq!(world.index(&catalog, "t").expect("published"), 1);
}

#[test]
fn old_manifests_and_indexes_go_when_their_time_has_come() {
    let world = World::new();
    let catalog = world.open();
    let tidy = |catalog: &Catalog| {
        let now = block_on(catalog.store_now(world.random.as_ref())).expect("the store tells");
        block_on(catalog.tidy(&table("t"), now)).expect("the store deletes")
    };
    for generation in 0..3 {
        world.flush(&catalog, "t", generation..generation + 1);
        world.index(&catalog, "t").expect("published");
    }
    // The index that a publication left behind that failed.
    world.store.inject(Fault::Fail.on(Operation::PutIfAbsent).after(1).times(1));
    assert!(world.index(&catalog, "t").is_err());
    assert_eq!(catalog.untidy_tables(), [table("t")]);
    assert_eq!((tidy(&catalog), world.names().len()), (0, 3 + 3 + 4));
    world.clock.advance(ABANDONED_AFTER);
    assert_eq!(tidy(&catalog), 1, "no manifest names it");
    world.clock.advance(GRACE - ABANDONED_AFTER);
    assert_eq!(tidy(&catalog), 4, "two manifests, and the indexes that they named");
    assert_eq!(tidy(&catalog), 0);
    assert!(catalog.untidy_tables().is_empty());
    assert_eq!(live(&catalog, "t").len(), 3);
    let again = world.open();
    assert!(only_table(&again, "t").expect("it is there").index.is_some());
}

#[test]
fn a_damaged_index_costs_nothing_but_itself() {
    let world = World::new();
    let catalog = world.open();
    world.flush(&catalog, "t", 0..2);
    world.index(&catalog, "t").expect("published");
    let index = only_table(&catalog, "t").and_then(|table| table.index.clone()).expect("it was published");
    block_on(world.memory.put(index.name(), vec![0; index.size() as usize].into())).expect("in memory");
    assert!(block_on(index.open(&InlinePool)).is_err() && index.is_damaged());
    assert_eq!(live(&catalog, "t").len(), 2);
    let uncovered = catalog.uncovered_of(&table("t"));
    assert!(uncovered.is_damaged && uncovered.objects == 2, "it is to be built anew");
}

#[test]
fn an_index_that_was_open_goes_with_its_day() {
    let world = World::new();
    let catalog = world.open();
    world.flush(&catalog, "t", 0..2);
    world.index(&catalog, "t").expect("published");
    let index = only_table(&catalog, "t").and_then(|table| table.index.clone()).expect("it was published");
    let open = block_on(index.open(&InlinePool)).expect("it is whole");
    drop(index);
    world.remove(&catalog, "t");
    block_on(catalog.sweep()).expect("the store deletes");
    assert_eq!(world.names().len(), 3, "a reader has the index open, so it stays, and what says that the day is gone");
    drop(open);
    block_on(catalog.sweep()).expect("the store deletes");
    assert_eq!(world.names(), [""; 0]);
    assert!(catalog.tenants().is_empty());
}

#[test]
fn what_was_removed_stays_so_when_the_day_is_removed_again() {
    let world = World::new();
    let catalog = world.open();
    world.flush(&catalog, "t", 0..1);
    let reader = live(&catalog, "t").remove(0);
    world.remove(&catalog, "t");
    world.flush(&catalog, "t", 1..2);
    world.remove(&catalog, "t");
    assert!(world.names().contains(&reader.path), "a reader holds it");
    assert!(live(&world.open(), "t").is_empty(), "the process died here");
}

#[test]
fn old_files_of_a_removed_day_go_without_what_a_reader_holds() {
    let world = World::new();
    let catalog = world.open();
    world.flush(&catalog, "t", 0..1);
    let reader = live(&catalog, "t").remove(0);
    world.remove(&catalog, "t");
    let now = block_on(catalog.store_now(world.random.as_ref())).expect("the store tells");
    assert_eq!(block_on(catalog.tidy(&table("t"), now)).expect("the store lists"), 0);
    assert!(world.names().contains(&reader.path));
}

#[test]
fn what_another_disk_put_meanwhile_is_found_once_and_what_was_removed_does_not_come_back() {
    let world = World::new();
    let catalog = world.open();
    world.flush(&catalog, "t", 0..1);
    let of_other = |generation| {
        let at = GenerationPart { generation: Generation(generation), part: 0 };
        ObjectName::incoming(table("t"), DiskId(8), at, "default")
    };
    let put = |name: &ObjectName, generation| {
        block_on(world.memory.put(&name.to_string(), object("t", generation).bytes)).expect("in memory");
    };
    put(&of_other(1), 1);
    put(&name("t", 9), 9);
    assert_eq!(block_on(catalog.refresh(DiskId(7))).expect("the store lists"), 1);
    assert_eq!(block_on(catalog.refresh(DiskId(7))).expect("the store lists"), 0);
    let paths: Vec<String> = live(&catalog, "t").iter().map(|object| object.path.clone()).collect();
    assert_eq!(paths, [name("t", 0).to_string(), of_other(1).to_string()], "this disk's own is not taken from a listing");
    let reader = live(&catalog, "t");
    world.remove(&catalog, "t");
    assert_eq!(block_on(catalog.refresh(DiskId(7))).expect("the store lists"), 0, "they are still there, and gone");
    drop(reader);
}
