//! A node in front of a remote store that fails, loses answers and gives wrong bytes, with kills and power cuts: every acknowledged entry is there once, and
//! an answer without some of them says so.

use skald_config::ByteSize;
use skald_querier::AnswerData;
use skald_sim::{Node, World};
use skald_store::{Fault, FaultyStore, MemoryStore, Operation};
use skald_testkit::{SeededRandom, labels};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const ALL: &str = r#"{app=~".+"}"#;
const COUNT: &str = r#"sum(count_over_time({app=~".+"} |= "line" [1000000h]))"#;
const BASE: i64 = 1_768_435_200_000_000_000;

/// How many seeds to run; `make sim` asks for more.
fn seeds(few: u64) -> u64 {
    std::env::var("SKALD_SIM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(few)
}

/// Small generations and a small cache over a store that can fail.
fn world(seed: u64) -> (World, Arc<FaultyStore>) {
    let mut world = World::new(seed);
    world.config.ingester.generation.target_size = ByteSize(2000);
    world.config.ingester.wal.segment_size = ByteSize(1500);
    world.config.storage.cache_size = Some(ByteSize(8000));
    world.config.storage.upload_target_size = ByteSize(20_000);
    let remote = FaultyStore::new(Arc::new(MemoryStore::new()), world.clock.clone(), Arc::new(SeededRandom::new(seed)));
    world.remote = Some(remote.clone());
    (world, remote)
}

type Entry = (i64, String);

/// What was acknowledged, and what was tried.
#[derive(Default)]
struct Ledger {
    acknowledged: BTreeSet<Entry>,
    tried: BTreeSet<Entry>,
    next: i64,
}

impl Ledger {
    fn push(&mut self, node: &Node, random: &SeededRandom) {
        let entries: Vec<Entry> = (0..1 + random.below(5))
            .map(|_| {
                self.next += 1;
                (BASE + self.next * 1_000_000, format!("line {}", self.next))
            })
            .collect();
        let borrowed: Vec<(i64, &str)> = entries.iter().map(|(at, line)| (*at, line.as_str())).collect();
        let app = ["a", "b", "c"][random.below(3) as usize];
        self.tried.extend(entries.iter().cloned());
        if node.push("t", &labels(&[("app", app)]), &borrowed).is_ok() {
            self.acknowledged.extend(entries);
        }
    }

    /// No entry twice, none that nobody sent, and every acknowledged one unless the answer says that some are missing.
    #[track_caller]
    fn check(&self, node: &Node, store_is_well: bool, what: &str) {
        let Ok(answer) = node.query("t", ALL) else {
            assert!(!store_is_well, "{what}: the query is refused");
            return;
        };
        assert!(!store_is_well || answer.warnings.is_empty(), "{what}: {:?}", answer.warnings);
        let AnswerData::Entries(entries) = answer.data else { panic!("{what}: not a log query") };
        let streams = entries.streams();
        let lines: Vec<Entry> = streams
            .iter()
            .flat_map(|stream| &stream.entries)
            .map(|entry| (entry.timestamp.0, String::from_utf8_lossy(&entry.line).into_owned()))
            .collect();
        let distinct: BTreeSet<Entry> = lines.iter().cloned().collect();
        assert_eq!(distinct.len(), lines.len(), "{what}: an entry comes twice");
        assert!(distinct.is_subset(&self.tried), "{what}: entries that nobody sent");
        let lost: Vec<_> = self.acknowledged.difference(&distinct).take(3).collect();
        assert!(lost.is_empty() || !answer.warnings.is_empty(), "{what}: acknowledged, gone, and not said: {lost:?}");
        if store_is_well {
            assert_eq!(node.sum("t", COUNT), lines.len() as f64, "{what}: count");
        }
    }
}

/// Something goes wrong for a while.
fn break_something(remote: &FaultyStore, random: &SeededRandom) {
    let rule = match random.below(7) {
        0 => Fault::Fail.always(),
        1 => Fault::Fail.always().with_probability(0.3),
        2 => Fault::LoseAnswer.on(Operation::PutIfAbsent).times(2),
        3 => Fault::FlipBit.on(Operation::Get).with_probability(0.3),
        4 => Fault::Truncate.on(Operation::Get).with_probability(0.3),
        5 => Fault::Fail.on(Operation::Delete),
        _ => Fault::LoseAnswer.always().with_probability(0.2),
    };
    remote.inject(rule);
}

fn pass_time(world: &World, node: &Node, seconds: u64) {
    for _ in 0..seconds.div_ceil(10) {
        world.clock.advance(Duration::from_secs(10));
        node.spawner.run_until_idle();
    }
}

#[test]
fn every_acknowledged_entry_survives_a_bad_store_and_crashes_once() {
    for seed in 0..seeds(25) {
        let ((world, remote), random, mut ledger) = (world(seed), SeededRandom::new(seed), Ledger::default());
        for life in 0..4 {
            let what = format!("seed {seed}, life {life}");
            remote.clear();
            let node = world.start().expect("it starts over a store that is well");
            ledger.check(&node, true, &what);
            if random.below(2) == 0 {
                break_something(&remote, &random);
            }
            for step in 0..30 {
                match random.below(10) {
                    0 => node.flush(),
                    1 => drop(node.upload()),
                    2 => pass_time(&world, &node, random.below(1200)),
                    3 => ledger.check(&node, false, &format!("{what}, step {step}")),
                    _ => ledger.push(&node, &random),
                }
            }
            if random.below(3) == 0 {
                world.disk.cut_power_at(1 + random.below(60));
                (0..20).for_each(|_| ledger.push(&node, &random));
            }
            drop(node);
            match random.below(2) {
                0 => world.disk.kill(),
                _ => world.disk.power_cut(random.below(u64::MAX)),
            }
        }
        finish(&world, &remote, &ledger, seed);
    }
}

/// Everything comes into the store in the end, and a machine with an empty disk serves it from there.
fn finish(first: &World, remote: &Arc<FaultyStore>, ledger: &Ledger, seed: u64) {
    remote.clear();
    let node = first.start().expect("it starts");
    node.flush();
    for _ in 0..3 {
        node.upload();
    }
    assert_eq!(node.upload(), 0, "seed {seed}: something is not uploaded");
    ledger.check(&node, true, &format!("seed {seed}, uploaded"));
    drop(node);
    let (mut other, _) = world(seed + 1_000_000);
    other.remote = Some(remote.clone());
    let node = other.start().expect("an empty disk is enough");
    ledger.check(&node, true, &format!("seed {seed}, on another machine"));
    ledger.check(&node, true, &format!("seed {seed}, once more, from the cache"));
}

#[test]
fn a_power_cut_at_every_operation_of_an_upload_loses_and_repeats_nothing() {
    for members in [1, 3] {
        for cut in 1.. {
            let ((world, remote), random, mut ledger) = (world(cut), SeededRandom::new(cut), Ledger::default());
            let node = world.start().expect("a new disk starts");
            for _ in 0..members {
                (0..3).for_each(|_| ledger.push(&node, &random));
                node.flush();
            }
            let before = world.disk.operations();
            world.disk.cut_power_at(cut);
            node.upload();
            let done = world.disk.operations() - before < cut;
            drop(node);
            world.disk.power_cut(cut);
            let node = world.start().expect("it starts again");
            let what = format!("{members} objects, cut at operation {cut}");
            ledger.check(&node, true, &what);
            assert_eq!(node.upload(), 0, "{what}");
            ledger.check(&node, true, &what);
            drop(node);
            finish(&world, &remote, &ledger, cut);
            if done {
                assert!(cut > 2, "an upload takes more than {cut} operations");
                break;
            }
        }
    }
}

#[test]
fn a_data_directory_of_local_files_uploads_itself() {
    let (mut world, remote) = world(1);
    let (random, mut ledger) = (SeededRandom::new(1), Ledger::default());
    world.remote = None;
    let node = world.start().expect("a new disk starts");
    for _ in 0..3 {
        (0..5).for_each(|_| ledger.push(&node, &random));
        node.flush();
    }
    drop(node);
    world.disk.kill();
    world.remote = Some(remote.clone());
    finish(&world, &remote, &ledger, 1);
}
