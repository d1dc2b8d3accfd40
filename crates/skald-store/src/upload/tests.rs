use super::*;
use crate::tier::{TierMetrics, TierSettings};
use crate::{CacheSizes, Fault, FaultyStore, MemoryStore, Metrics, Operation, Publisher, TableId};
use prometheus_client::registry::Registry;
use skald_block::{EncodedObject, ObjectInfo, ObjectWriter, WriterOptions};
use skald_model::{Day, GenerationPart, TenantId, TimeRange};
use skald_testkit::{SimWorld, labels, rows};
use std::path::Path;
use std::sync::atomic::AtomicU64;

const DISK: DiskId = DiskId(7);

/// What outlives a process.
struct Setup {
    world: SimWorld,
    remote: Arc<FaultyStore>,
    /// Generations from this one on are still in the log.
    in_log: Arc<AtomicU64>,
}

/// A process.
struct Life {
    tier: Tier,
    catalog: Arc<Catalog>,
    uploader: Uploader,
}

impl Setup {
    fn new() -> Self {
        let world = SimWorld::new(1);
        let remote = FaultyStore::new(Arc::new(MemoryStore::new()), world.clock.clone(), world.random.clone());
        Setup { world, remote, in_log: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let done = self.world.spawner.run(future);
        self.world.spawner.run_until_idle();
        done
    }

    fn start(&self) -> Life {
        self.world.spawner.drop_tasks();
        let settings = TierSettings {
            queue_dir: "/data/objects".into(),
            cache_dir: "/data/cache".into(),
            cache_size: Some(1 << 20),
            free_space_floor: 0,
            fill_memory: 1 << 20,
        };
        let (mut registry, sizes) = (Registry::default(), CacheSizes { footers: 1 << 20, pages: 1 << 20, indexes: 1 << 20 });
        let seams = self.world.seams();
        let tier = Tier::open(self.remote.clone(), &settings, seams.clone(), TierMetrics::register(&mut registry));
        let tier = self.run(tier).expect("the disk is well");
        self.run(settle(&tier)).expect("the store is well");
        let metrics = Metrics::register(&mut registry, sizes);
        let catalog =
            Arc::new(self.run(Catalog::open(Arc::new(tier.clone()), seams.clock.clone(), sizes, metrics)).expect("the store is well"));
        let in_log = self.in_log.clone();
        let uploader = Uploader::new(UploadParts {
            seams,
            settings: UploadSettings { target_size: 1 << 20, max_delay: Duration::from_secs(60) },
            tier: tier.clone(),
            catalog: catalog.clone(),
            disk_id: DISK,
            oldest_in_log: Arc::new(move || Some(Generation(in_log.load(Ordering::Relaxed)))),
            metrics: UploadMetrics::register(&mut registry),
        });
        uploader.start();
        Life { tier, catalog, uploader }
    }

    fn flush(&self, life: &Life, generation: u64) {
        self.run(life.catalog.publish(name(generation), object(generation, generation as i64))).expect("the disk is well");
    }

    fn upload(&self, life: &Life) -> usize {
        let left = self.run(life.uploader.flush_all());
        self.run(life.catalog.sweep()).ok();
        left
    }

    /// Names in the remote store, without their folder.
    fn stored(&self) -> Vec<String> {
        let listed = self.run(self.remote.list("t/1970-01-01/incoming/")).expect("the store is well");
        listed.into_iter().map(|meta| meta.name.rsplit("00007-").next().expect("a name").to_owned()).collect()
    }

    fn live(&self, life: &Life) -> Vec<Arc<DataObject>> {
        self.run(life.catalog.objects(&tenant(), TimeRange::ALL))
    }

    /// Entries of all live objects, each as often as it is there.
    fn rows(&self, life: &Life) -> u64 {
        let objects = self.live(life);
        let count = |object: &Arc<DataObject>| {
            let footer = self.run(footer::footer(&life.tier, &object.path, object.size)).expect("it can be read").expect("it is whole");
            footer.summary.digest.count
        };
        objects.iter().map(count).sum()
    }
}

fn tenant() -> TenantId {
    TenantId::parse("t").expect("valid")
}

fn name(generation: u64) -> ObjectName {
    let table = TableId { tenant: tenant(), day: Day(0) };
    ObjectName::incoming(table, DISK, GenerationPart { generation: Generation(generation), part: 0 }, "default")
}

fn object(generation: u64, at: i64) -> EncodedObject {
    let info = ObjectInfo {
        tenant: tenant(),
        day: Day(0),
        class: "default".to_owned(),
        disk: DISK,
        generation: Generation(generation),
        part: 0,
        replaces: Vec::new(),
    };
    let mut writer = ObjectWriter::new(info, WriterOptions::default()).expect("valid");
    writer.add_stream(&labels(&[("app", "a")]), &rows(&[(at, &format!("line {at}"))])).expect("valid");
    writer.finish().expect("it has rows")
}

#[test]
fn what_waits_is_joined_and_put_once() {
    let setup = Setup::new();
    let life = setup.start();
    (1..=3).for_each(|generation| setup.flush(&life, generation));
    assert_eq!(setup.upload(&life), 0);
    assert_eq!(setup.stored(), ["0000000001-0+0000000003-0-default"]);
    assert_eq!(setup.remote.traffic(Operation::PutIfAbsent).requests, 1);
    assert_eq!((setup.rows(&life), setup.live(&life).len()), (3, 1));
    assert_eq!(setup.remote.traffic(Operation::Get).requests, 0, "it came into the cache on its way");
    let left = setup.run(life.tier.queue_files().list("")).expect("list");
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(setup.rows(&setup.start()), 3, "a start finds the same");
}

#[test]
fn one_object_alone_keeps_its_name_and_its_bytes() {
    let setup = Setup::new();
    let life = setup.start();
    setup.flush(&life, 1);
    let before = setup.live(&life).remove(0);
    setup.upload(&life);
    assert_eq!(setup.stored(), ["0000000001-0-default"]);
    let after = setup.live(&life).remove(0);
    assert_eq!(before.id(), after.id(), "what was counted over it stays true");
    assert!(life.tier.queued().is_empty() && setup.rows(&life) == 1);
}

#[test]
fn what_waited_long_enough_goes_without_being_asked_for() {
    let setup = Setup::new();
    let life = setup.start();
    setup.flush(&life, 1);
    setup.world.clock.advance(Duration::from_secs(50));
    setup.world.spawner.run_until_idle();
    assert!(setup.stored().is_empty());
    setup.world.clock.advance(Duration::from_secs(10));
    setup.world.spawner.run_until_idle();
    assert_eq!(setup.stored().len(), 1);
}

#[test]
fn what_is_still_in_the_log_stays() {
    let setup = Setup::new();
    let life = setup.start();
    (1..=2).for_each(|generation| setup.flush(&life, generation));
    setup.in_log.store(2, Ordering::Relaxed);
    assert_eq!(setup.upload(&life), 1);
    assert_eq!(setup.stored(), ["0000000001-0-default"]);
}

#[test]
fn a_store_that_is_away_costs_nothing_but_the_queue() {
    let setup = Setup::new();
    let life = setup.start();
    setup.remote.inject(Fault::Fail.always());
    for generation in 1..=3 {
        setup.flush(&life, generation);
        assert_eq!(setup.upload(&life), generation as usize);
        assert_eq!(setup.rows(&life), generation);
    }
    let requests = setup.remote.requests();
    setup.world.clock.advance(Duration::from_secs(60));
    setup.world.spawner.run_until_idle();
    assert!(setup.remote.requests() <= requests + 2, "it is left alone for a while");
    setup.remote.clear();
    for _ in 0..100 {
        setup.world.clock.advance(Duration::from_secs(10));
        setup.world.spawner.run_until_idle();
    }
    assert!(life.tier.queued().is_empty());
    assert_eq!(setup.rows(&life), 3);
}

#[test]
fn a_put_of_unclear_end_is_tried_again_with_the_same_members() {
    for fault in [Fault::LoseAnswer, Fault::Fail] {
        for first in [1, 2] {
            let setup = Setup::new();
            let life = setup.start();
            (1..=first).for_each(|generation| setup.flush(&life, generation));
            setup.remote.inject(fault.on(Operation::PutIfAbsent).times(1));
            assert_eq!(setup.upload(&life), first as usize);
            setup.flush(&life, 9);
            assert_eq!(setup.upload(&life), 0);
            assert_eq!(setup.stored().len(), 2, "{fault:?}: {:?}", setup.stored());
            assert_eq!(setup.rows(&life), first + 1);
            assert_eq!(setup.rows(&setup.start()), first + 1);
        }
    }
}

#[test]
fn a_crash_after_a_put_shows_each_entry_once() {
    for first in [1, 2] {
        let setup = Setup::new();
        let life = setup.start();
        (1..=first).for_each(|generation| setup.flush(&life, generation));
        setup.remote.inject(Fault::LoseAnswer.on(Operation::PutIfAbsent).times(1));
        setup.upload(&life);
        drop(life);
        setup.world.disk.power_cut(first);
        let life = setup.start();
        assert_eq!((setup.rows(&life), life.tier.queued().len(), setup.stored().len()), (first, 0, 1));
        // The log was still there: its rows are flushed once more, under a name that nothing replaced.
        setup.flush(&life, 1);
        setup.upload(&life);
        let life = setup.start();
        let repeated = u64::from(first > 1);
        assert_eq!(setup.rows(&life), first + repeated, "nothing is hidden");
    }
}

#[test]
fn a_name_that_other_rows_have_is_left_to_them() {
    let setup = Setup::new();
    let life = setup.start();
    setup.flush(&life, 1);
    setup.run(setup.remote.put(&name(1).to_string(), object(1, 77).bytes)).expect("put");
    assert_eq!(setup.upload(&life), 0);
    assert_eq!(setup.stored(), ["0000000001-0-default", "0000000001-0-default~1"]);
    assert_eq!(setup.rows(&setup.start()), 2);
}

#[test]
fn a_queued_object_whose_name_other_rows_have_gets_one_of_its_own_at_the_start() {
    let setup = Setup::new();
    let life = setup.start();
    setup.flush(&life, 1);
    drop(life);
    setup.run(setup.remote.put(&name(1).to_string(), object(1, 77).bytes)).expect("put");
    let life = setup.start();
    assert_eq!(life.tier.queued().into_iter().map(|queued| queued.name).collect::<Vec<_>>(), [name(1).next_attempt()]);
    assert_eq!(setup.rows(&life), 2);
    assert_eq!(setup.upload(&life), 0);
    assert_eq!(setup.rows(&setup.start()), 2);
}

#[test]
fn what_retention_removes_while_it_is_uploaded_does_not_come_back() {
    for (first, fault) in [(1, Fault::HoldAnswer), (2, Fault::HoldAnswer), (1, Fault::LoseAnswer), (2, Fault::LoseAnswer)] {
        let setup = Setup::new();
        let life = setup.start();
        (1..=first).for_each(|generation| setup.flush(&life, generation));
        setup.remote.inject(fault.on(Operation::PutIfAbsent).inside("t/1970-01-01/incoming/").times(1));
        let uploader = life.uploader.clone();
        let flush = async move {
            uploader.flush_all().await;
        };
        skald_model::seam::Spawner::spawn(setup.world.spawner.as_ref(), "flush", Box::pin(flush));
        setup.world.spawner.run_until_idle();
        let by = Publisher { disk: DISK, random: setup.world.random.clone() };
        setup.run(life.catalog.remove_day(&tenant(), Day(0), &by)).expect("the store is well");
        setup.run(life.catalog.sweep()).expect("sweep");
        setup.remote.release();
        setup.world.spawner.run_until_idle();
        setup.upload(&life);
        setup.upload(&life);
        assert!(setup.stored().is_empty() && life.tier.queued().is_empty(), "{first}, {fault:?}: {:?}", setup.stored());
        assert_eq!(setup.rows(&setup.start()), 0);
    }
}

#[test]
fn a_damaged_object_goes_as_it_is_and_stops_nobody() {
    let setup = Setup::new();
    let life = setup.start();
    (1..=3).for_each(|generation| setup.flush(&life, generation));
    setup.world.disk.flip_bit(&Path::new("/data/objects").join(name(2).to_string()), 12, 1);
    setup.upload(&life);
    assert_eq!(setup.upload(&life), 0);
    assert_eq!(setup.stored(), ["0000000001-0+0000000003-0-default", "0000000002-0-default"]);
}

#[test]
fn a_reader_keeps_what_it_reads_while_it_is_swapped() {
    let setup = Setup::new();
    let life = setup.start();
    (1..=2).for_each(|generation| setup.flush(&life, generation));
    let held = setup.live(&life);
    setup.upload(&life);
    for object in &held {
        setup.run(life.catalog.read(object, 0..object.size)).expect("it is still there");
    }
    assert_eq!(life.tier.queued().len(), 2);
    drop(held);
    setup.run(life.catalog.sweep()).expect("sweep");
    assert!(life.tier.queued().is_empty());
    assert_eq!(setup.remote.traffic(Operation::PutIfAbsent).requests, 1, "and is not uploaded again");
}

#[test]
fn what_an_earlier_process_removed_is_not_uploaded() {
    for first in [1, 2] {
        let setup = Setup::new();
        let life = setup.start();
        (1..=first).for_each(|generation| setup.flush(&life, generation));
        let by = Publisher { disk: DISK, random: setup.world.random.clone() };
        setup.run(life.catalog.remove_day(&tenant(), Day(0), &by)).expect("the store is well");
        // It dies before it takes anything out of the queue.
        drop(life);
        let life = setup.start();
        assert_eq!(life.tier.queued().len() as u64, first);
        setup.upload(&life);
        assert!(setup.stored().is_empty(), "{first}: {:?}", setup.stored());
        assert_eq!(setup.rows(&life), 0);
    }
}

#[test]
fn members_of_a_second_attempt_come_in_the_order_of_the_first() {
    let setup = Setup::new();
    let life = setup.start();
    for part in [2, 10] {
        let at = GenerationPart { generation: Generation(1), part };
        let name = ObjectName::incoming(TableId { tenant: tenant(), day: Day(0) }, DISK, at, "default");
        setup.run(life.catalog.publish(name, object(1, i64::from(part)))).expect("the disk is well");
    }
    setup.remote.inject(Fault::Fail.on(Operation::PutIfAbsent).times(1));
    setup.upload(&life);
    let parts = |batches: Vec<Batch>| batches.iter().flat_map(|batch| &batch.members).map(|one| one.name.clone()).collect::<Vec<_>>();
    let mut ascending = parts(life.uploader.0.due(true));
    assert_eq!(ascending.len(), 2);
    let again = ascending.clone();
    ascending.sort();
    assert_eq!(again, ascending, "by part, not by the text of the name");
}
