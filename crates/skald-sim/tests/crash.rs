//! Crashes under load: every acknowledged entry is there afterwards, and none twice.

use skald_config::ByteSize;
use skald_model::Labels;
use skald_sim::{Node, World};
use skald_testkit::{Op, SeededRandom, labels};
use std::collections::BTreeSet;

const ALL: &str = r#"{app=~".+"}"#;
const COUNT: &str = r#"sum(count_over_time({app=~".+"}[1000000h]))"#;
const COUNT_FILTERED: &str = r#"sum(count_over_time({app=~".+"} |= "line" [1000000h]))"#;
const BASE: i64 = 1_768_435_200_000_000_000;

/// How many seeds to run; `make sim` asks for more.
fn seeds(few: u64) -> u64 {
    std::env::var("SKALD_SIM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(few)
}

fn stream(i: u64) -> Labels {
    labels(&[("app", ["a", "b", "c"][(i % 3) as usize])])
}

type Entry = (i64, String);

/// What was acknowledged, and what was tried without an acknowledgement.
#[derive(Default)]
struct Ledger {
    acknowledged: BTreeSet<Entry>,
    tried: BTreeSet<Entry>,
}

impl Ledger {
    fn push(&mut self, node: &Node, random: &SeededRandom, next: &mut i64) -> bool {
        let count = 1 + random.below(5);
        let entries: Vec<Entry> = (0..count)
            .map(|_| {
                *next += 1;
                (BASE + *next * 1_000_000, format!("line {next}"))
            })
            .collect();
        let borrowed: Vec<(i64, &str)> = entries.iter().map(|(at, line)| (*at, line.as_str())).collect();
        let result = node.push("t", &stream(random.below(3)), &borrowed);
        self.tried.extend(entries.iter().cloned());
        if result.is_ok() {
            self.acknowledged.extend(entries);
        }
        result.is_ok()
    }

    /// Every acknowledged entry once, nothing that was never sent, and every kind of count says the same.
    #[track_caller]
    fn check(&self, node: &Node, what: &str) {
        let lines = node.lines("t", ALL);
        let distinct: BTreeSet<Entry> = lines.iter().cloned().collect();
        assert_eq!(distinct.len(), lines.len(), "{what}: an entry comes twice");
        let lost: Vec<_> = self.acknowledged.difference(&distinct).take(3).collect();
        assert!(lost.is_empty(), "{what}: acknowledged and gone: {lost:?}");
        assert!(distinct.is_subset(&self.tried), "{what}: entries that nobody sent");
        assert_eq!(node.sum("t", COUNT), lines.len() as f64, "{what}: count");
        assert_eq!(node.sum("t", COUNT_FILTERED), lines.len() as f64, "{what}: filtered count");
    }
}

/// Small generations, so that seals and flushes happen all the time.
fn busy_world(seed: u64) -> World {
    let mut world = World::new(seed);
    world.config.ingester.generation.target_size = ByteSize(2000);
    world.config.ingester.wal.segment_size = ByteSize(1500);
    world
}

#[test]
fn kill_under_load_keeps_every_acknowledged_entry_once() {
    for seed in 0..seeds(40) {
        let (world, random, mut ledger, mut next) = (busy_world(seed), SeededRandom::new(seed), Ledger::default(), 0);
        for life in 0..4 {
            let node = world.start().expect("a killed process starts again");
            ledger.check(&node, &format!("seed {seed}, life {life}"));
            for _ in 0..random.below(60) {
                ledger.push(&node, &random, &mut next);
            }
            world.disk.kill();
        }
    }
}

#[test]
fn power_cut_under_load_keeps_every_acknowledged_entry_once() {
    for seed in 0..seeds(60) {
        let (world, random, mut ledger, mut next) = (busy_world(seed), SeededRandom::new(seed), Ledger::default(), 0);
        for life in 0..4 {
            let node = world.start().expect("a machine that lost power starts again");
            ledger.check(&node, &format!("seed {seed}, life {life}"));
            world.disk.cut_power_at(1 + random.below(250));
            for _ in 0..60 {
                if !ledger.push(&node, &random, &mut next) {
                    break;
                }
            }
            drop(node);
            world.disk.power_cut(random.below(u64::MAX));
        }
        let node = world.start().expect("it starts once more");
        ledger.check(&node, &format!("seed {seed}, at the end"));
    }
}

#[test]
fn power_cut_at_every_operation_of_a_flush_loses_and_repeats_nothing() {
    for cut in 1.. {
        let (world, random, mut ledger, mut next) = (World::new(cut), SeededRandom::new(cut), Ledger::default(), 0);
        let node = world.start().expect("a new disk starts");
        for _ in 0..6 {
            assert!(ledger.push(&node, &random, &mut next));
        }
        let before = world.disk.operations();
        world.disk.cut_power_at(cut);
        try_to_flush(&world, &node);
        let done = world.disk.operations() - before + 1 < cut;
        drop(node);
        world.disk.power_cut(cut);
        let node = world.start().expect("it starts again");
        ledger.check(&node, &format!("cut at operation {cut}"));
        node.flush();
        ledger.check(&node, &format!("cut at operation {cut}, flushed"));
        if done {
            assert!(cut > 5, "a flush takes more than {cut} operations");
            return;
        }
    }
}

/// Flushes until it is done, or has failed once and waits for its next attempt.
fn try_to_flush(world: &World, node: &Node) {
    let idle = world.clock.sleepers();
    node.spawner.run(async {
        let failed = async {
            while world.clock.sleepers() <= idle {
                std::thread::yield_now();
                futures_yield().await;
            }
        };
        futures::future::select(Box::pin(node.ingester.flush("test")), Box::pin(failed)).await;
    });
}

/// Lets other tasks go on.
async fn futures_yield() {
    let mut yielded = false;
    std::future::poll_fn(|ctx| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        ctx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

#[test]
fn an_fsync_that_fails_once_acknowledges_nothing_and_costs_only_that_push() {
    let (world, random, mut ledger, mut next) = (World::new(1), SeededRandom::new(1), Ledger::default(), 0);
    let node = world.start().expect("starts");
    assert!(ledger.push(&node, &random, &mut next));
    world.disk.fail_nth(Op::Sync, 1);
    assert!(!ledger.push(&node, &random, &mut next), "a push whose fsync failed is not acknowledged");
    for _ in 0..5 {
        assert!(ledger.push(&node, &random, &mut next), "later pushes go to a new segment");
    }
    ledger.check(&node, "alive");
    drop(node);
    world.disk.power_cut(7);
    ledger.check(&world.start().expect("starts again"), "after a power cut");
}

#[test]
fn a_full_disk_refuses_pushes_and_takes_them_again_when_there_is_room() {
    let (world, random, mut ledger, mut next) = (World::new(2), SeededRandom::new(2), Ledger::default(), 0);
    let node = world.start().expect("starts");
    for _ in 0..5 {
        assert!(ledger.push(&node, &random, &mut next));
    }
    world.disk.set_free(10);
    let error = node.push("t", &stream(0), &[(BASE, "does not fit")]).expect_err("there is no room");
    assert_eq!(error.kind(), skald_model::ErrorKind::Unavailable, "{error}");
    ledger.tried.insert((BASE, "does not fit".to_owned()));
    ledger.check(&node, "full");
    world.disk.set_free(1 << 30);
    world.clock.advance(std::time::Duration::from_secs(60));
    assert!(ledger.push(&node, &random, &mut next), "room again");
    drop(node);
    world.disk.kill();
    ledger.check(&world.start().expect("starts again"), "restarted");
}

#[test]
fn a_disk_that_is_full_at_flush_keeps_memory_and_log_until_there_is_room() {
    let (world, random, mut ledger, mut next) = (World::new(3), SeededRandom::new(3), Ledger::default(), 0);
    let node = world.start().expect("starts");
    for _ in 0..20 {
        assert!(ledger.push(&node, &random, &mut next));
    }
    world.disk.set_free(50);
    try_to_flush(&world, &node);
    ledger.check(&node, "while the flush fails");
    world.disk.set_free(1 << 30);
    world.clock.advance(std::time::Duration::from_secs(60));
    node.flush();
    ledger.check(&node, "flushed");
    drop(node);
    world.disk.kill();
    ledger.check(&world.start().expect("starts again"), "restarted");
}

#[test]
fn a_retried_push_counts_once_in_one_generation_across_generations_and_across_a_flush() {
    let world = World::new(4);
    let node = world.start().expect("starts");
    let entries = [(BASE, "line one"), (BASE, "line two"), (BASE + 5, "line three")];
    let check = |node: &Node, what: &str| {
        assert_eq!(node.lines("t", ALL).len(), 3, "{what}: lines");
        assert_eq!(node.sum("t", COUNT), 3.0, "{what}: count");
        assert_eq!(node.sum("t", COUNT_FILTERED), 3.0, "{what}: filtered count");
        assert_eq!(node.sum("t", r#"sum(bytes_over_time({app="a"}[1000000h]))"#), 26.0, "{what}: bytes");
        assert_eq!(node.sum("t", r#"sum by (app) (count_over_time({app="a"} |~ "(?i)LINE" [1000000h]))"#), 3.0, "{what}: regex");
    };
    let push = |node: &Node| node.push("t", &stream(0), &entries).expect("acknowledged");
    push(&node);
    push(&node);
    check(&node, "one generation");
    node.flush();
    check(&node, "flushed");
    push(&node);
    check(&node, "object and memory");
    node.flush();
    push(&node);
    check(&node, "two objects and memory");
    drop(node);
    world.disk.kill();
    let node = world.start().expect("starts again");
    check(&node, "replayed");
    push(&node);
    check(&node, "replayed and pushed again");
    node.flush();
    check(&node, "all flushed");
}

#[test]
fn replay_of_a_log_many_times_larger_than_memory_stays_within_it() {
    let mut world = World::new(5);
    world.config.ingester.memory_budget = ByteSize(1 << 20);
    world.config.ingester.generation.target_size = ByteSize(64 << 20);
    world.config.ingester.wal.max_size = ByteSize(1 << 40);
    let line = "x".repeat(4000);
    let mut pushed = 0;
    // Twenty times the budget, by lives that die before they flush.
    while pushed < 20 << 20 {
        world.config.ingester.memory_budget = ByteSize(1 << 30);
        let node = world.start().expect("starts");
        for i in 0..600 {
            pushed += line.len();
            node.push("t", &stream(i), &[(BASE + pushed as i64, &line)]).expect("acknowledged");
        }
        drop(node);
        world.disk.kill();
    }
    world.config.ingester.memory_budget = ByteSize(1 << 20);
    let node = world.start().expect("starts again with little memory");
    assert_eq!(node.sum("t", COUNT) as usize, pushed / line.len());
}

#[test]
fn two_tenants_never_see_each_other() {
    let world = World::new(6);
    let node = world.start().expect("starts");
    for round in 0..2 {
        node.push("t", &stream(0), &[(BASE + round, "of t")]).expect("acknowledged");
        node.push("u", &stream(0), &[(BASE + round, "of u")]).expect("acknowledged");
        if round == 0 {
            node.flush();
        }
    }
    for (owner, line) in [("t", "of t"), ("u", "of u")] {
        let lines = node.lines(owner, ALL);
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|(_, found)| found == line), "{owner}: {lines:?}");
        assert_eq!(node.sum(owner, COUNT), 2.0);
    }
    assert!(node.lines("v", ALL).is_empty());
}

#[test]
fn pushes_that_race_with_seals_and_flushes_are_all_there() {
    let world = busy_world(8);
    let node = world.start().expect("starts");
    let mut expected = 0;
    for round in 0..30 {
        let pushes: Vec<_> = (0..8).map(|i| (stream(i), BASE + (round * 8 + i as i64) * 1000)).collect();
        node.spawner.run(async {
            let ingester = &node.ingester;
            let one = |(labels, at): (Labels, i64)| async move {
                let rows = skald_testkit::rows(&[(at, "line raced")]);
                let batch = skald_rpc::PushBatch { streams: vec![skald_rpc::StreamRows { labels, rows }] };
                skald_rpc::Ingester::push(ingester, &skald_sim::tenant("t"), batch).await.expect("acknowledged");
            };
            let all = futures::future::join_all(pushes.into_iter().map(one));
            futures::future::join(all, node.ingester.flush("test")).await;
        });
        expected += 8;
        assert_eq!(node.sum("t", COUNT), f64::from(expected), "round {round}");
        assert_eq!(node.lines("t", ALL).len(), expected as usize, "round {round}");
    }
}

#[test]
fn a_flipped_bit_in_an_object_costs_its_block_and_the_answer_says_so() {
    let world = World::new(9);
    let node = world.start().expect("starts");
    // Three streams of their own blocks each: lines that do not compress fill them.
    let random = SeededRandom::new(1);
    let noise = || (0..1000).map(|_| char::from(b'!' + (random.below(90) as u8))).collect::<String>();
    for app in 0..3 {
        let lines: Vec<String> = (0..1200).map(|i| format!("line {i} {}", noise())).collect();
        let entries: Vec<(i64, &str)> = lines.iter().enumerate().map(|(i, line)| (BASE + i as i64, line.as_str())).collect();
        node.push("t", &stream(app), &entries).expect("acknowledged");
    }
    node.flush();
    let stats = node.query("t", ALL).expect("answered").stats;
    assert_eq!(stats.blocks_read, stats.blocks_matched, "a block that is read in several pieces is one");
    let object = node.spawner.run(node.catalog.objects(&skald_sim::tenant("t"), skald_model::TimeRange::ALL)).remove(0);
    drop(node);
    let path = std::path::Path::new(skald_sim::DATA_DIR).join("objects").join(&object.path);
    world.disk.flip_bit(&path, 300_000, 3);
    let node = world.start().expect("starts again");
    let answer = node.query("t", COUNT_FILTERED).expect("answered");
    assert_eq!(answer.warnings.len(), 1, "{:?}", answer.warnings);
    assert!(answer.warnings[0].contains("entries are missing") && answer.warnings[0].contains("checksum"), "{}", answer.warnings[0]);
    let counted = node.sum("t", COUNT_FILTERED);
    assert!((1200.0..3600.0).contains(&counted), "only a block is missing, {counted} of 3600 are left");
    assert!(node.query("t", ALL).expect("answered").warnings.len() == 1);
    assert_eq!(node.sum("t", COUNT), 3600.0, "the directory still counts what is stored");
}

#[test]
fn days_beyond_retention_go_and_others_stay() {
    let mut world = World::new(10);
    world.limits.retention_period = std::time::Duration::from_secs(2 * 86_400);
    let day = 86_400_000_000_000;
    let node = world.start().expect("starts");
    for age in 0..5 {
        node.push("t", &labels(&[("app", "a"), ("age", &age.to_string())]), &[(BASE - age * day, "line old")]).expect("acknowledged");
    }
    node.flush();
    node.spawner.run(node.compactor(&world).apply_retention());
    // BASE is the first instant of its day: a day that ended two days before it is gone.
    assert_eq!(node.lines("t", ALL).len(), 3);
    drop(node);
    world.disk.kill();
    assert_eq!(world.start().expect("starts again").lines("t", ALL).len(), 3);
}

#[test]
fn old_days_go_for_want_of_room_on_the_disk_of_the_objects_and_on_no_other() {
    let mut world = World::new(15);
    world.config.storage.free_space_floor = ByteSize(1000);
    world.config.compactor.retention_size = Some(ByteSize(1 << 40));
    let node = world.start().expect("starts");
    for age in 1..4 {
        node.push("t", &labels(&[("app", "a"), ("age", &age.to_string())]), &[(BASE - age * 86_400_000_000_000, "line old")])
            .expect("acknowledged");
    }
    node.flush();
    world.disk.say_free_at(&world.config.storage.data_dir, 0);
    node.spawner.run(node.compactor(&world).apply_retention());
    assert_eq!(node.lines("t", ALL).len(), 3, "removing objects makes no room on another disk");
    world.disk.say_free_at(&world.config.objects_dir(), 999);
    node.spawner.run(node.compactor(&world).apply_retention());
    assert_eq!(node.lines("t", ALL).len(), 2);
}

#[test]
fn a_restored_copy_without_its_log_uses_no_generation_number_again() {
    let world = World::new(11);
    let node = world.start().expect("starts");
    node.push("t", &stream(0), &[(BASE, "line before")]).expect("acknowledged");
    node.flush();
    drop(node);
    world.disk.kill();
    let wal = std::path::Path::new(skald_sim::DATA_DIR).join("wal");
    skald_model::seam::Disk::remove_dir_all(world.disk.as_ref(), &wal).expect("the log is lost");
    let node = world.start().expect("starts again");
    node.push("t", &stream(0), &[(BASE + 1, "line after")]).expect("acknowledged");
    assert_eq!(node.lines("t", ALL).len(), 2, "memory hides no object of another time");
    node.flush();
    assert_eq!(node.lines("t", ALL).len(), 2);
}

#[test]
fn a_log_that_lacks_what_its_objects_have_hides_nothing() {
    let mut world = World::new(12);
    world.config.ingester.wal.segment_size = ByteSize(1);
    let node = world.start().expect("starts");
    for i in 0..4 {
        node.push("t", &stream(0), &[(BASE + i, "line of a segment")]).expect("acknowledged");
    }
    let wal = std::path::Path::new(skald_sim::DATA_DIR).join("wal/0000000001");
    let disk: &dyn skald_model::seam::Disk = world.disk.as_ref();
    let segments: Vec<_> = disk.list(&wal).expect("there is a generation").into_iter().map(|entry| wal.join(entry.name)).collect();
    assert_eq!(segments.len(), 4);
    let last = disk.read(&segments[3]).expect("it can be read");
    node.flush();
    drop(node);
    world.disk.kill();
    // A copy of a living directory may hold a part of a log that was being removed, and the objects made of all of it.
    disk.create_dir_all(&wal).expect("a folder");
    world.disk.plant(&segments[3], &last);
    let node = world.start().expect("starts again");
    assert_eq!(node.lines("t", ALL).len(), 4);
    assert_eq!(node.sum("t", COUNT), 4.0);
    node.flush();
    assert_eq!(node.lines("t", ALL).len(), 4);
    assert_eq!(node.sum("t", COUNT), 4.0);
}

#[test]
fn damage_where_sources_overlap_is_told_and_nothing_counts_twice() {
    let world = World::new(13);
    let node = world.start().expect("starts");
    let random = SeededRandom::new(2);
    let line = || (0..2000).map(|_| char::from(b'!' + (random.below(90) as u8))).collect::<String>();
    let lines: Vec<String> = (0..200).map(|_| format!("line {}", line())).collect();
    let entries: Vec<(i64, &str)> = lines.iter().enumerate().map(|(i, line)| (BASE + i as i64, line.as_str())).collect();
    node.push("t", &stream(0), &entries).expect("acknowledged");
    node.flush();
    node.push("t", &stream(0), &entries[100..]).expect("acknowledged");
    node.push("t", &stream(0), &[(BASE + 200, "line more")]).expect("acknowledged");
    node.flush();
    let object = node.spawner.run(node.catalog.objects(&skald_sim::tenant("t"), skald_model::TimeRange::ALL)).remove(0);
    drop(node);
    let path = std::path::Path::new(skald_sim::DATA_DIR).join("objects").join(&object.path);
    world.disk.flip_bit(&path, 200_000, 1);
    let node = world.start().expect("starts again");
    for query in [COUNT, COUNT_FILTERED, ALL] {
        let answer = node.query("t", query).expect("answered");
        assert!(!answer.warnings.is_empty(), "{query}");
    }
    assert_eq!(node.sum("t", COUNT), 101.0, "the damaged source is left out whole, the other is counted once");
    assert_eq!(node.lines("t", ALL).len(), 101);
}

#[test]
fn an_entry_that_no_object_can_hold_is_refused_and_the_rest_is_kept_and_flushed() {
    let world = World::new(14);
    let node = world.start().expect("starts");
    let long = "x".repeat((64 << 20) + 1);
    let error = node.push("t", &stream(0), &[(BASE, "line one"), (BASE + 1, &long), (BASE + 2, "line two")]).expect_err("one is too long");
    assert_eq!(error.kind(), skald_model::ErrorKind::InvalidInput, "{error}");
    let error = node.push("t", &stream(0), &[(BASE + 1, &long)]).expect_err("it is too long by itself, too");
    assert_eq!(error.kind(), skald_model::ErrorKind::InvalidInput, "{error}");
    node.flush();
    assert_eq!(node.lines("t", ALL), [(BASE, "line one".to_owned()), (BASE + 2, "line two".to_owned())]);
}

#[test]
fn the_first_push_already_finds_a_disk_below_the_floor() {
    let mut world = World::new(7);
    world.config.storage.free_space_floor = ByteSize(u64::MAX);
    let node = world.start().expect("reading needs no room");
    let error = node.push("t", &stream(0), &[(BASE, "line")]).expect_err("there is no room");
    assert!(error.to_string().contains("below the floor"), "{error}");
}

#[test]
fn lines_that_no_filter_reads_count_as_processed_once_they_are_returned() {
    let node = World::new(8).start().expect("an empty disk is fine");
    node.push("t", &stream(0), &[(BASE, "12345"), (BASE + 1, "678")]).expect("there is room");
    let processed = |query: &str| {
        let json = node.query("t", query).expect("it is a query").stats.to_json();
        json["summary"]["totalBytesProcessed"].as_u64()
    };
    let check = || assert_eq!([processed(r#"{app="a"}"#), processed(r#"{app="a"} |= "5""#)], [Some(8), Some(8)]);
    check();
    node.flush();
    check();
}
