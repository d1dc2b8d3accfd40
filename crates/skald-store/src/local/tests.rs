use super::*;
use crate::conformance::suite;
use futures::executor::block_on;
use futures::future::BoxFuture;
use skald_model::seam::{Job, Random};
use skald_testkit::{Op, SeededRandom, SimDisk, SimSpawner};
use std::collections::BTreeMap;

const ROOT: &str = "/data/store";

fn open(disk: &Arc<SimDisk>) -> LocalStore {
    LocalStore::open(disk.clone(), SimSpawner::new(), Path::new(ROOT)).unwrap()
}

fn put(store: &LocalStore, name: &str, text: &str) -> Result<(), StoreError> {
    block_on(store.put(name, Bytes::copy_from_slice(text.as_bytes())))
}

fn put_if_absent(store: &LocalStore, name: &str, text: &str) -> Result<(), StoreError> {
    block_on(store.put_if_absent(name, Bytes::copy_from_slice(text.as_bytes())))
}

fn get(store: &LocalStore, name: &str, len: u64) -> Result<Bytes, StoreError> {
    block_on(store.get_range(name, 0..len))
}

/// Names and contents of all objects.
fn contents(store: &LocalStore) -> BTreeMap<String, String> {
    let read = |object: ObjectMeta| {
        let bytes = get(store, &object.name, object.size).unwrap();
        (object.name, String::from_utf8(bytes.to_vec()).unwrap())
    };
    block_on(store.list("")).unwrap().into_iter().map(read).collect()
}

fn names(disk: &SimDisk, folder: &str) -> Vec<String> {
    disk.list(&Path::new(ROOT).join(folder)).unwrap().into_iter().map(|entry| entry.name).collect()
}

/// Runs each blocking job on a thread of its own, so that jobs race.
struct Racing;

impl Spawner for Racing {
    fn spawn(&self, _name: &'static str, _task: BoxFuture<'static, ()>) {
        unreachable!("the store has no tasks")
    }

    fn spawn_blocking(&self, job: Job) {
        self.spawn_thread("blocking", job);
    }

    fn spawn_thread(&self, name: &'static str, job: Job) {
        std::thread::Builder::new().name(name.to_owned()).spawn(job).unwrap();
    }
}

#[test]
fn keeps_the_promises_of_an_object_store() {
    let disk = SimDisk::new();
    let store = open(&disk);
    block_on(suite(&store, "suite"));
    block_on(suite(&store, "suite"));
    assert_eq!(names(&disk, "~tmp"), [""; 0]);
}

#[test]
fn keeps_its_promises_when_calls_race() {
    let store = LocalStore::open(SimDisk::new(), Arc::new(Racing), Path::new(ROOT)).unwrap();
    for _ in 0..5 {
        block_on(suite(&store, "suite"));
    }
}

#[test]
fn what_a_crash_left_behind_is_removed_at_open() {
    let disk = SimDisk::new();
    put(&open(&disk), "a/b/c", "kept").unwrap();
    disk.plant(&Path::new(ROOT).join("~tmp/17"), b"half an obj");
    disk.create_dir_all(&Path::new(ROOT).join("empty/inside")).unwrap();
    let store = open(&disk);
    assert_eq!((names(&disk, "~tmp"), names(&disk, "")), (vec![], vec!["a".to_owned(), "~tmp".to_owned()]));
    assert_eq!(contents(&store), [("a/b/c".to_owned(), "kept".to_owned())].into());
}

#[test]
fn a_name_in_an_object_or_of_a_folder_is_refused() {
    let store = open(&SimDisk::new());
    put(&store, "a", "object").unwrap();
    put(&store, "f/x", "object").unwrap();
    for name in ["a/b", "a/b/c", "f"] {
        for result in [put(&store, name, ""), put_if_absent(&store, name, "")] {
            assert!(matches!(&result, Err(StoreError::InvalidName(refused)) if refused == name), "{name}: {result:?}");
        }
        assert!(matches!(get(&store, name, 0), Err(StoreError::NotFound(_))));
    }
    assert_eq!(contents(&store).len(), 2);
}

#[test]
fn a_failed_put_leaves_the_object_as_it_was_or_as_it_should_be() {
    for op in [Op::Create, Op::Append, Op::Sync, Op::Rename, Op::SyncDir, Op::CreateDir] {
        let disk = SimDisk::new();
        let store = open(&disk);
        put(&store, "old/a", "one").unwrap();
        disk.fail_nth(op, 1);
        let name = if op == Op::CreateDir { "new/a" } else { "old/a" };
        let error = put(&store, name, "two").unwrap_err();
        assert_eq!(error.kind(), skald_model::ErrorKind::Unavailable, "{op:?}");
        assert_eq!(get(&store, "old/a", 3).unwrap(), if op == Op::SyncDir { "two" } else { "one" }, "{op:?}");
        assert_eq!(names(&disk, "~tmp"), [""; 0], "{op:?}");
        put(&store, name, "three").unwrap();
        assert_eq!(get(&store, name, 5).unwrap(), "three");
    }
}

#[test]
fn a_full_disk_refuses_puts_and_keeps_what_is_there() {
    let disk = SimDisk::new();
    let store = open(&disk);
    put(&store, "a", "one").unwrap();
    disk.set_free(5);
    for _ in 0..3 {
        put(&store, "a", "longer than five").unwrap_err();
    }
    put(&store, "b", "five!").unwrap();
    assert_eq!(contents(&store).into_values().collect::<Vec<_>>(), ["one", "five!"]);
}

#[test]
fn a_file_stays_open_for_the_next_read_until_its_name_changes() {
    let disk = SimDisk::new();
    let store = open(&disk);
    put(&store, "a", "one").unwrap();
    get(&store, "a", 1).unwrap();
    let before = disk.count(Op::Read);
    get(&store, "a", 3).unwrap();
    assert_eq!(disk.count(Op::Read), before + 1, "the file was not opened again");
    put(&store, "a", "replaced").unwrap();
    assert_eq!(get(&store, "a", 8).unwrap(), "replaced");
    block_on(store.delete("a")).unwrap();
    assert!(matches!(get(&store, "a", 1), Err(StoreError::NotFound(_))));
}

#[test]
fn an_object_that_refuses_a_put_survives_a_power_cut() {
    for seed in 0..40 {
        let disk = SimDisk::new();
        let store = open(&disk);
        put(&store, "f/other", "x").unwrap();
        disk.fail_nth(Op::SyncDir, 1);
        put_if_absent(&store, "f/a", "one").expect_err("the name is there, and not durable");
        assert!(matches!(put_if_absent(&store, "f/a", "one"), Err(StoreError::AlreadyExists(_))));
        disk.power_cut(seed);
        assert_eq!(get(&open(&disk), "f/a", 3).unwrap(), "one");
    }
}

/// What was promised: contents by name, and what the call under way may have made of one.
#[derive(Default)]
struct Promises {
    objects: BTreeMap<String, String>,
    under_way: Option<(String, Option<String>)>,
}

impl Promises {
    /// A few puts and deletes; stops at the first failure, as a process does that loses its disk.
    fn work(&mut self, disk: &Arc<SimDisk>, random: &SeededRandom) -> Option<()> {
        let store = LocalStore::open(disk.clone(), SimSpawner::new(), Path::new(ROOT)).ok()?;
        self.check(&store);
        for _ in 0..8 {
            let name = ["a", "f/a", "f/b", "f/g/a", "h/i/a"][random.below(5) as usize].to_owned();
            let text = format!("{:x}", random.next_u64()).repeat(1 + random.below(20) as usize);
            let choice = random.below(3);
            self.under_way = Some((name.clone(), (choice < 2).then(|| text.clone())));
            match choice {
                0 => put(&store, &name, &text).ok()?,
                1 => match put_if_absent(&store, &name, &text) {
                    Err(StoreError::AlreadyExists(_)) => self.under_way = None,
                    result => result.ok()?,
                },
                _ => block_on(store.delete(&name)).ok()?,
            }
            self.settle();
        }
        Some(())
    }

    fn settle(&mut self) {
        match self.under_way.take() {
            Some((name, Some(text))) => drop(self.objects.insert(name, text)),
            Some((name, None)) => drop(self.objects.remove(&name)),
            None => {}
        }
    }

    /// The objects are those promised; the call under way has had its effect or has not.
    fn check(&mut self, store: &LocalStore) {
        let found = contents(store);
        if found != self.objects {
            self.settle();
        }
        self.under_way = None;
        assert_eq!(found, self.objects);
    }
}

#[test]
fn a_power_cut_after_any_operation_keeps_what_was_put_whole() {
    let mut cuts = 0;
    for seed in 0..20 {
        for operation in 1.. {
            let (disk, random) = (SimDisk::new(), SeededRandom::new(seed));
            let mut promises = Promises::default();
            disk.cut_power_at(operation);
            let done = promises.work(&disk, &random).is_some();
            disk.power_cut(random.next_u64());
            promises.work(&disk, &random).expect("works again");
            promises.check(&open(&disk));
            assert_eq!(names(&disk, "~tmp"), [""; 0]);
            if done {
                break;
            }
            cuts += 1;
        }
    }
    assert!(cuts > 20 * 30, "only {cuts} cuts");
}

#[test]
fn kills_and_power_cuts_in_a_row_keep_what_was_put_whole() {
    for seed in 0..150 {
        let (disk, random) = (SimDisk::new(), SeededRandom::new(seed));
        let mut promises = Promises::default();
        for _ in 0..8 {
            disk.cut_power_at(1 + random.below(60));
            let _ = promises.work(&disk, &random);
            if random.below(3) == 0 { disk.kill() } else { disk.power_cut(random.next_u64()) }
        }
        promises.work(&disk, &random).expect("works again");
    }
}

#[test]
fn a_listing_looks_at_folders_in_the_order_of_their_names() {
    let disk = SimDisk::new();
    let store = open(&disk);
    for folder in ["manifest", "incoming", "merged", "index"] {
        put(&store, &format!("t/day/{folder}/x"), "x").unwrap();
    }
    let mut looked_at = Vec::new();
    for nth in 1.. {
        disk.fail_nth(Op::Read, nth);
        match block_on(store.list("t/day/")) {
            Err(StoreError::Io { name, .. }) => looked_at.push(name),
            listed => {
                assert_eq!(listed.unwrap().len(), 4);
                break;
            }
        }
    }
    assert_eq!(looked_at, ["t/day/", "t/day/incoming/", "t/day/index/", "t/day/manifest/", "t/day/merged/"]);
}
