//! Tables through random histories: flushes, index publications, removals, old files tidied away, and power cuts in the middle of each. Answers are those
//! of a plain model all the time, and stay the same when all manifests and index files are thrown away and built anew from the data objects.

use prometheus_client::registry::Registry;
use skald_compactor::Inspector;
use skald_model::seam::{Disk, Random};
use skald_model::{Day, TimeRange, Timestamp};
use skald_sim::{DATA_DIR, Node, World, tenant};
use skald_store::manifest::{GRACE, list_table};
use skald_store::{CacheSizes, Catalog, LocalStore, ObjectStore, TableFile};
use skald_testkit::{InlinePool, SeededRandom, SimSpawner, labels};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const BASE: i64 = 1_768_435_200_000_000_000;
const DAY: i64 = 86_400_000_000_000;
const DAYS: u64 = 3;
const OWNER: &str = "t";

type Entry = (i64, String);

/// How many seeds to run; `make sim` asks for more.
fn seeds(few: u64) -> u64 {
    std::env::var("SKALD_SIM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(few)
}

struct History {
    world: World,
    random: SeededRandom,
    /// What is to be read, by day.
    entries: BTreeMap<Day, BTreeSet<Entry>>,
    next: i64,
}

/// The store below a node, for one who looks at it from outside.
fn store(world: &World) -> Arc<LocalStore> {
    let root = Path::new(DATA_DIR).join("objects");
    Arc::new(LocalStore::open(world.disk.clone(), SimSpawner::new(), &root).expect("the disk works"))
}

impl History {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed);
        world.config.compactor.index_min_objects = 2;
        History { world, random: SeededRandom::new(seed), entries: BTreeMap::new(), next: 0 }
    }

    fn start(&self) -> Node {
        self.world.start().expect("it starts again")
    }

    fn day(&self) -> (u64, Day) {
        let number = self.random.below(DAYS);
        (number, Day::of(Timestamp(BASE - number as i64 * DAY)))
    }

    fn push(&mut self, node: &Node) {
        let (number, day) = self.day();
        let app = ["a", "b", "c"][self.random.below(3) as usize];
        let stream = labels(&[("app", app), ("day", &number.to_string())]);
        let entries: Vec<Entry> = (0..1 + self.random.below(4))
            .map(|_| {
                self.next += 1;
                (day.start().0 + self.next * 1_000_000, format!("{app} line {} {}", self.next, self.next % 7))
            })
            .collect();
        let borrowed: Vec<(i64, &str)> = entries.iter().map(|(at, line)| (*at, line.as_str())).collect();
        node.push(OWNER, &stream, &borrowed).expect("nothing is in the way");
        self.entries.entry(day).or_default().extend(entries);
    }

    #[track_caller]
    fn check(&self, node: &Node, what: &str) {
        let all: Vec<Entry> = self.entries.values().flatten().cloned().collect::<BTreeSet<_>>().into_iter().collect();
        let of = |wanted: &dyn Fn(&str) -> bool| all.iter().filter(|(_, line)| wanted(line)).cloned().collect::<Vec<_>>();
        assert_eq!(node.lines(OWNER, r#"{app=~".+"}"#), all, "{what}: all");
        assert_eq!(node.lines(OWNER, r#"{app="a"}"#), of(&|line| line.starts_with('a')), "{what}: one app");
        assert_eq!(
            node.lines(OWNER, r#"{app!="a", day=~".+"} |= "3""#),
            of(&|line| !line.starts_with('a') && line.contains('3')),
            "{what}: filtered"
        );
        assert_eq!(node.sum(OWNER, r#"sum(count_over_time({app=~".+"}[1000000h]))"#), all.len() as f64, "{what}: count");
        let third = of(&|line| line.ends_with(" 3")).len() as f64;
        assert_eq!(node.sum(OWNER, r#"sum(count_over_time({app=~"a|b|c"} |~ " 3$" [1000000h]))"#), third, "{what}: filtered count");
    }

    /// A life of the process: some steps, then a kill, or a power cut in the middle of one that changes tables.
    fn live(&mut self, what: &str) {
        let node = self.start();
        self.check(&node, what);
        for _ in 0..12 {
            match self.random.below(12) {
                0..=4 => self.push(&node),
                5 | 6 => node.flush(),
                7 => self.world.clock.advance(Duration::from_secs(3600 * (1 + self.random.below(14)))),
                step => {
                    let removed = (step == 8).then(|| self.day().1);
                    if removed.is_some() {
                        // What is in memory is not the table's.
                        node.flush();
                    }
                    let is_cut = self.random.below(2) == 0;
                    if is_cut {
                        self.world.disk.cut_power_at(1 + self.random.below(30));
                    }
                    self.change_tables(&node, removed);
                    if is_cut {
                        drop(node);
                        self.world.disk.power_cut(self.random.next_u64());
                        self.settle(removed, what);
                        return;
                    }
                    removed.map(|day| self.entries.remove(&day));
                }
            }
        }
        self.check(&node, what);
        drop(node);
        self.world.disk.kill();
    }

    fn change_tables(&self, node: &Node, removed: Option<Day>) {
        if let Some(day) = removed {
            // Both fail when the power goes.
            let _ = node.spawner.run(node.catalog.remove_day(&tenant(OWNER), day, &node.publisher()));
            let _ = node.spawner.run(node.catalog.sweep());
            return;
        }
        let compactor = node.compactor(&self.world);
        node.spawner.run(compactor.build_indexes());
        node.spawner.run(compactor.tidy());
    }

    /// A day whose removal was cut short is there whole, or gone.
    fn settle(&mut self, removed: Option<Day>, what: &str) {
        let Some(day) = removed else { return };
        let node = self.start();
        let of_day = |(at, _): &Entry| Day::of(Timestamp(*at)) == day;
        let found: BTreeSet<Entry> = node.lines(OWNER, r#"{app=~".+"}"#).into_iter().filter(of_day).collect();
        if found.is_empty() {
            self.entries.remove(&day);
        } else {
            assert_eq!(Some(&found), self.entries.get(&day), "{what}: half of a day");
        }
        drop(node);
        self.world.disk.kill();
    }

    /// The next run of retention and, a day later, of tidying up: what a crash left of days that are gone goes. As long as it is there, nothing but the
    /// manifest says that it is not live.
    fn finish_removals(&self) {
        let node = self.start();
        node.flush();
        for (day, _) in node.catalog.days(&tenant(OWNER)) {
            if !self.entries.contains_key(&day) {
                node.spawner.run(node.catalog.remove_day(&tenant(OWNER), day, &node.publisher())).expect("the disk works");
            }
        }
        node.spawner.run(node.catalog.sweep()).expect("the disk works");
        node.spawner.run(node.catalog.tables(&tenant(OWNER), TimeRange::ALL));
        self.world.clock.advance(GRACE);
        node.spawner.run(node.compactor(&self.world).tidy());
        drop(node);
        self.world.disk.kill();
    }

    fn inspector(&self, store: Arc<LocalStore>, spawner: &SimSpawner) -> Inspector {
        let sizes = CacheSizes { footers: 1 << 20, pages: 1 << 20, indexes: 1 << 20 };
        let metrics = skald_store::Metrics::register(&mut Registry::default(), sizes);
        let catalog = spawner.run(Catalog::open(store.clone(), self.world.clock.clone(), sizes, metrics)).expect("the disk works");
        let random = Arc::new(SeededRandom::new(self.random.next_u64()));
        let publisher = skald_store::Publisher { disk: skald_model::DiskId(1), random };
        Inspector { store, catalog, publisher, pool: Arc::new(InlinePool) }
    }

    /// Finds nothing wrong, throws all manifests and indexes away, builds them anew, and finds nothing wrong. Gives the tables.
    fn rebuild(&self, what: &str) -> usize {
        let (store, spawner) = (store(&self.world), SimSpawner::new());
        let check = |inspector: &Inspector| {
            for table in inspector.tables() {
                assert_eq!(spawner.run(inspector.check(&table)).expect("the disk works"), [""; 0], "{what}: {table}");
            }
        };
        check(&self.inspector(store.clone(), &spawner));
        for meta in spawner.run(store.list("")).expect("the disk works") {
            if let Ok(TableFile::Index(_) | TableFile::Manifest(_)) = meta.name.parse() {
                spawner.run(store.delete(&meta.name)).expect("the disk works");
            }
        }
        let inspector = self.inspector(store.clone(), &spawner);
        let tables = inspector.tables();
        for table in &tables {
            let rebuilt = spawner.run(inspector.rebuild(table)).expect("the disk works");
            assert_eq!((rebuilt.manifest, rebuilt.damaged.len(), rebuilt.foreign.len()), (Some(1), 0, 0), "{what}: {table}");
            let listing = spawner.run(list_table(store.as_ref(), table)).expect("the disk works");
            assert_eq!((listing.index.len(), listing.incoming.len()), (1, rebuilt.objects + rebuilt.replaced.len()), "{what}: {table}");
        }
        check(&self.inspector(store, &spawner));
        tables.len()
    }
}

#[test]
fn answers_stay_those_of_a_plain_model_and_survive_the_loss_of_all_manifests_and_indexes() {
    let (mut tables, mut indexed) = (0, 0);
    for seed in 0..seeds(40) {
        let mut history = History::new(seed);
        for life in 0..4 {
            history.live(&format!("seed {seed}, life {life}"));
        }
        history.finish_removals();
        let entries = history.world.disk.list(&Path::new(DATA_DIR).join("objects").join(OWNER)).unwrap_or_default();
        indexed += entries.iter().filter(|day| history.has_index(&day.name)).count();
        tables += history.rebuild(&format!("seed {seed}"));
        let node = history.start();
        history.check(&node, &format!("seed {seed}, rebuilt"));
    }
    assert!(tables > 40 && indexed > 20, "the histories make tables ({tables}) and indexes ({indexed})");
}

impl History {
    fn has_index(&self, day: &str) -> bool {
        let folder = Path::new(DATA_DIR).join("objects").join(OWNER).join(day).join("index");
        self.world.disk.list(&folder).is_ok_and(|files| !files.is_empty())
    }
}
