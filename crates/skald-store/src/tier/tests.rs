use super::*;
use crate::{Fault, FaultyStore, MemoryStore, Operation};
use prometheus_client::registry::Registry;
use skald_block::{EncodedObject, ObjectInfo, ObjectWriter, WriterOptions};
use skald_model::seam::Disk;
use skald_model::{Day, DiskId, Generation, GenerationPart, TenantId};
use skald_testkit::{SimWorld, labels, rows};
use std::path::Path;

struct Setup {
    world: SimWorld,
    remote: Arc<FaultyStore>,
    settings: TierSettings,
}

impl Setup {
    fn new() -> Self {
        let world = SimWorld::new(1);
        let remote = FaultyStore::new(Arc::new(MemoryStore::new()), world.clock.clone(), world.random.clone());
        let settings = TierSettings {
            queue_dir: "/data/objects".into(),
            cache_dir: "/data/cache".into(),
            cache_size: Some(1 << 20),
            free_space_floor: 0,
            fill_memory: 1 << 20,
        };
        Setup { world, remote, settings }
    }

    fn open(&self) -> Tier {
        let metrics = TierMetrics::register(&mut Registry::default());
        self.run(Tier::open(self.remote.clone(), &self.settings, self.world.seams(), metrics)).expect("the disk is well")
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let done = self.world.spawner.run(future);
        self.world.spawner.run_until_idle();
        done
    }

    fn put(&self, tier: &Tier, name: &str, object: &EncodedObject) {
        self.run(tier.put_if_absent(name, object.bytes.clone())).expect("put");
    }

    /// Reads an object whole, as queries do.
    fn read(&self, tier: &Tier, name: &str, object: &EncodedObject) -> Bytes {
        tier.note_size(name, object.bytes.len() as u64);
        self.run(tier.get_range(name, 0..object.bytes.len() as u64)).expect("read")
    }

    fn remote_reads(&self) -> u64 {
        self.remote.traffic(Operation::Get).requests
    }
}

fn name(generation: u64) -> String {
    let table = crate::TableId { tenant: TenantId::parse("t").expect("valid"), day: Day(0) };
    ObjectName::incoming(table, DiskId(7), GenerationPart { generation: Generation(generation), part: 0 }, "default").to_string()
}

fn object(generation: u64) -> EncodedObject {
    let info = ObjectInfo {
        tenant: TenantId::parse("t").expect("valid"),
        day: Day(0),
        class: "default".to_owned(),
        disk: DiskId(7),
        generation: Generation(generation),
        part: 0,
        replaces: Vec::new(),
    };
    let mut writer = ObjectWriter::new(info, WriterOptions::default()).expect("valid");
    let line = format!("line {generation} {}", "x".repeat(500));
    writer.add_stream(&labels(&[("app", "a")]), &rows(&[(generation as i64, &line)])).expect("valid");
    writer.finish().expect("it has rows")
}

#[test]
fn keeps_the_promises_of_an_object_store() {
    let setup = Setup::new();
    let tier = setup.open();
    setup.run(crate::conformance::suite(&tier, "suite"));
}

#[test]
fn what_is_flushed_waits_on_the_disk_and_everything_else_goes_to_the_store() {
    let setup = Setup::new();
    let (tier, object) = (setup.open(), object(1));
    setup.put(&tier, &name(1), &object);
    setup.put(&tier, "t/1970-01-01/manifest/1", &object);
    assert_eq!(setup.remote.traffic(Operation::PutIfAbsent).requests, 1);
    setup.remote.inject(Fault::Fail.always());
    assert_eq!(setup.read(&tier, &name(1), &object), object.bytes, "the store is not needed");
    assert!(!tier.is_stored(&name(1)) && !tier.may_read_copy(&name(1)));
    let again = setup.run(tier.put_if_absent(&name(1), object.bytes.clone()));
    assert!(matches!(again, Err(StoreError::AlreadyExists(_))), "{again:?}");
}

#[test]
fn the_queue_is_there_again_after_a_power_cut() {
    let setup = Setup::new();
    let (tier, object) = (setup.open(), object(1));
    setup.put(&tier, &name(1), &object);
    drop(tier);
    setup.world.disk.power_cut(3);
    let tier = setup.open();
    assert_eq!(tier.queued().into_iter().map(|queued| queued.path).collect::<Vec<_>>(), [name(1)]);
    assert_eq!(setup.read(&tier, &name(1), &object), object.bytes);
}

#[test]
fn a_put_whose_caller_left_is_in_the_queue_once_it_is_tried_again() {
    let setup = Setup::new();
    let (tier, object) = (setup.open(), object(1));
    setup.run(tier.queue_files().put(&name(1), object.bytes.clone())).expect("put");
    let again = setup.run(tier.put_if_absent(&name(1), object.bytes.clone()));
    assert!(matches!(again, Err(StoreError::AlreadyExists(_))), "{again:?}");
    assert_eq!(setup.read(&tier, &name(1), &object), object.bytes);
    assert_eq!(tier.queued().len(), 1);
}

#[test]
fn indexes_and_manifests_of_local_files_do_not_come_along() {
    let setup = Setup::new();
    for name in ["t/1970-01-01/manifest/00000000000000000001", "t/1970-01-01/index/00", "t/1970-01-01/other/x", &name(1)] {
        setup.world.disk.plant(&Path::new("/data/objects").join(name), b"x");
    }
    let tier = setup.open();
    assert_eq!(tier.queued().len(), 1);
    let left: Vec<String> = setup.run(tier.queue_files().list("")).expect("list").into_iter().map(|meta| meta.name).collect();
    assert_eq!(left, [name(1), "t/1970-01-01/other/x".to_owned()]);
    assert_eq!(setup.run(tier.list("")).expect("list").len(), 1, "what is not to be uploaded is not in the store");
}

#[test]
fn a_listing_has_what_is_queued_and_what_is_stored_each_once() {
    let setup = Setup::new();
    let (tier, object) = (setup.open(), object(1));
    for generation in [1, 3] {
        setup.put(&tier, &name(generation), &object);
    }
    for generation in [2, 3] {
        setup.run(setup.remote.put(&name(generation), object.bytes.clone())).expect("put");
    }
    let listed: Vec<String> = setup.run(tier.list("t/")).expect("list").into_iter().map(|meta| meta.name).collect();
    assert_eq!(listed, [name(1), name(2), name(3)]);
    assert!(setup.run(tier.list("u/")).expect("list").is_empty());
}

#[test]
fn a_reader_finds_an_object_while_it_leaves_the_queue() {
    let setup = Setup::new();
    let (tier, object) = (setup.open(), object(1));
    setup.put(&tier, &name(1), &object);
    setup.run(setup.remote.put(&name(1), object.bytes.clone())).expect("put");
    // As it is between the look at the queue and the read.
    setup.run(tier.queue_files().delete(&name(1))).expect("delete");
    assert_eq!(setup.read(&tier, &name(1), &object), object.bytes);
    setup.run(tier.dequeue(&name(1))).expect("dequeue");
    assert_eq!(setup.read(&tier, &name(1), &object), object.bytes);
    assert!(tier.is_stored(&name(1)));
}

#[test]
fn an_object_read_as_often_as_it_is_large_comes_into_the_cache() {
    let setup = Setup::new();
    let (tier, object) = (setup.open(), object(1));
    let size = object.bytes.len() as u64;
    setup.run(setup.remote.put(&name(1), object.bytes.clone())).expect("put");
    tier.note_size(&name(1), size);
    setup.run(tier.get_ranges(&name(1), vec![0..size / 4, size / 4..size / 2])).expect("read");
    setup.run(tier.get_range(&name(1), 0..1)).expect("read");
    setup.run(tier.get_range(&name(1), 0..1)).expect("read");
    assert_eq!(setup.remote_reads(), 3, "not yet: half of its bytes, and three requests of eight");
    setup.run(tier.get_range(&name(1), 0..8)).expect("read");
    assert_eq!(setup.remote_reads(), 5, "the read, and the whole object");
    setup.remote.inject(Fault::Fail.always());
    assert_eq!(setup.read(&tier, &name(1), &object), object.bytes);
    drop(tier);
    setup.world.disk.power_cut(1);
    assert_eq!(setup.read(&setup.open(), &name(1), &object), object.bytes, "it is there after a start, too");
}

#[test]
fn an_object_that_arrives_damaged_does_not_come_into_the_cache() {
    for fault in [Fault::Truncate, Fault::Fail] {
        let setup = Setup::new();
        let (tier, object) = (setup.open(), object(1));
        setup.run(setup.remote.put(&name(1), object.bytes.clone())).expect("put");
        setup.remote.inject(fault.on(Operation::Get).after(1).times(1));
        setup.read(&tier, &name(1), &object);
        assert!(!tier.0.cache.knows(&name(1)), "{fault:?}");
        setup.read(&tier, &name(1), &object);
        assert!(tier.0.cache.knows(&name(1)), "{fault:?}: it is tried again");
    }
}

#[test]
fn a_forgotten_copy_is_read_from_the_store() {
    let setup = Setup::new();
    let (tier, object) = (setup.open(), object(1));
    setup.run(setup.remote.put(&name(1), object.bytes.clone())).expect("put");
    setup.run(tier.keep(&name(1), object.bytes.clone()));
    setup.world.disk.flip_bit(&Path::new("/data/cache").join(name(1)), 20, 1);
    assert_ne!(setup.read(&tier, &name(1), &object), object.bytes);
    assert!(tier.may_read_copy(&name(1)));
    setup.run(tier.forget_copy(&name(1)));
    assert_eq!(setup.read(&tier, &name(1), &object), object.bytes);
}

#[test]
fn what_was_used_least_recently_gives_way_and_the_cache_stays_within_its_size() {
    let mut setup = Setup::new();
    let object = object(1);
    setup.settings.cache_size = Some(object.bytes.len() as u64 * 3);
    let tier = setup.open();
    for generation in 1..=3 {
        setup.run(tier.keep(&name(generation), object.bytes.clone()));
    }
    setup.read(&tier, &name(1), &object);
    setup.run(tier.keep(&name(4), object.bytes.clone()));
    let known = |tier: &Tier| (1..=5).filter(|generation| tier.0.cache.knows(&name(*generation))).collect::<Vec<_>>();
    assert_eq!(known(&tier), [1, 3, 4]);
    setup.run(tier.keep(&name(5), vec![0; object.bytes.len() * 4].into()));
    assert_eq!(known(&tier), [1, 3, 4], "what is larger than the cache moves nobody");
    drop(tier);
    setup.settings.cache_size = Some(object.bytes.len() as u64);
    assert_eq!(known(&setup.open()).len(), 1, "a smaller cache keeps less");
}

#[test]
fn the_cache_gives_way_to_free_space_and_to_the_queue() {
    let mut setup = Setup::new();
    let object = object(1);
    let size = object.bytes.len() as u64;
    setup.settings.free_space_floor = size * 4;
    let tier = setup.open();
    let free_space = |bytes| setup.world.disk.say_free_at(Path::new("/data/cache"), bytes);
    for generation in 1..=3 {
        setup.run(tier.keep(&name(generation), object.bytes.clone()));
    }
    let known = || (1..=4).filter(|generation| tier.0.cache.knows(&name(*generation))).collect::<Vec<_>>();
    free_space(size * 5);
    setup.run(tier.tend());
    assert_eq!(known(), [1, 2, 3], "a quarter above the floor is enough");
    setup.put(&tier, &name(9), &object);
    assert_eq!(known(), [2, 3], "the queue needs room for one more");
    free_space(size * 3);
    setup.run(tier.tend());
    assert_eq!(known(), [0_u64; 0]);
    setup.run(tier.keep(&name(4), object.bytes.clone()));
    assert_eq!(known(), [0_u64; 0], "nothing comes in while there is no room");
}

#[test]
fn a_removal_takes_the_name_from_where_it_is() {
    let setup = Setup::new();
    let (tier, object) = (setup.open(), object(1));
    let is_remote = |generation| setup.run(setup.remote.list("")).expect("list").iter().any(|meta| meta.name == name(generation));
    // In the queue alone: the store need not be there.
    setup.put(&tier, &name(1), &object);
    setup.remote.inject(Fault::Fail.on(Operation::Delete));
    setup.run(tier.delete(&name(1))).expect("nothing is asked of the store");
    setup.remote.clear();
    assert!(tier.queued().is_empty());
    // In the queue, and perhaps in the store.
    setup.put(&tier, &name(2), &object);
    setup.run(setup.remote.put(&name(2), object.bytes.clone())).expect("put");
    tier.note_unclear(&name(2), true);
    setup.run(tier.delete(&name(2))).expect("delete");
    assert!(tier.queued().is_empty() && !is_remote(2));
    // In store and cache.
    setup.run(setup.remote.put(&name(3), object.bytes.clone())).expect("put");
    setup.run(tier.keep(&name(3), object.bytes.clone()));
    setup.run(tier.delete(&name(3))).expect("delete");
    assert!(!is_remote(3) && !tier.0.cache.knows(&name(3)));
    assert!(setup.world.disk.list(Path::new("/data/cache/t/1970-01-01/incoming")).expect("list").is_empty());
}
