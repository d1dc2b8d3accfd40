use super::*;
use skald_model::Timestamp;
use skald_model::seam::Disk;
use skald_tail::{FileId, Fingerprint};
use skald_testkit::{SimClock, SimDisk};

const YAML: &str = "/var/lib/positions.yaml";

struct Parts {
    disk: Arc<SimDisk>,
    clock: Arc<SimClock>,
    config: PositionsConfig,
}

impl Parts {
    fn new() -> Self {
        let config = PositionsConfig { filename: YAML.into(), ..PositionsConfig::default() };
        let disk = SimDisk::new();
        disk.create_dir_all_synced(Path::new("/var/lib")).unwrap();
        Parts { disk, clock: SimClock::new(Timestamp(0)), config }
    }

    fn store(&self) -> PositionsStore {
        PositionsStore::new(self.config.clone(), self.disk.clone(), self.clock.clone())
    }

    fn yaml(&self) -> String {
        String::from_utf8(self.disk.read(Path::new(YAML)).unwrap()).unwrap()
    }
}

fn file(id: u64, path: &str, offset: u64) -> FilePosition {
    let fingerprint = Fingerprint { len: 10, hash: id };
    FilePosition {
        id: FileId(id),
        target_key: "job".into(),
        path: path.into(),
        device: 1,
        inode: id,
        fingerprint,
        offset,
        compressed: false,
    }
}

#[test]
fn what_promtail_left_stays_until_the_files_are_known_better() {
    let parts = Parts::new();
    parts.disk.plant(Path::new(YAML), b"positions:\n  /a: \"10\"\n  /b: \"20\"\n  /gone: \"30\"\n  cursor-j: s=1\n  journal-old: s=0\n");
    ["/a", "/b"].iter().for_each(|path| parts.disk.plant(Path::new(path), b""));
    let mut store = parts.store();
    let mut loaded = store.load().unwrap();
    let start = StartPositions::of(&loaded.fold);
    assert_eq!(start.plain, HashMap::from([("/a".into(), 10), ("/b".into(), 20), ("/gone".into(), 30)]));
    assert_eq!((start.cursor("j"), start.cursors.get("journal-old").map(String::as_str)), (Some("s=1"), Some("s=0")));
    loaded.fold.insert(file(1, "/a", 15), 1);
    store.save(&mut loaded.fold, BTreeMap::new()).unwrap();
    assert_eq!(parts.yaml(), "positions:\n  /a: \"15\"\n  /b: \"20\"\n  cursor-j: \"s=1\"\n  journal-old: \"s=0\"\n");

    let again = StartPositions::of(&parts.store().load().unwrap().fold);
    assert_eq!((again.known, again.plain), (vec![file(1, "/a", 15)], HashMap::from([("/b".into(), 20)])));
}

#[test]
fn of_a_cursor_the_file_shows_the_first_line_and_all_of_it_comes_back_unless_another_wrote_it() {
    let parts = Parts::new();
    let cursors = [("cursor-a", "17\n17000 ab"), ("cursor-b", "18\n18000 cd")].map(|(key, value)| (key.into(), value.into()));
    let mut fold = Fold { cursors: cursors.into(), ..Fold::default() };
    parts.store().save(&mut fold, BTreeMap::new()).unwrap();
    assert_eq!(parts.yaml(), "positions:\n  cursor-a: \"17\"\n  cursor-b: \"18\"\n");
    assert_eq!(parts.store().load().unwrap().fold.cursors, fold.cursors);
    parts.disk.plant(Path::new(YAML), b"positions:\n  cursor-a: \"17\"\n  cursor-b: \"19\"\n");
    let start = StartPositions::of(&parts.store().load().unwrap().fold);
    assert_eq!((start.cursor("a"), start.cursor("b")), (Some("17\n17000 ab"), Some("19")));
}

#[test]
fn a_line_of_the_file_stands_for_the_file_that_has_the_path_now() {
    let mut fold = Fold::default();
    // Rotated away, and its successor under the same path.
    fold.insert(file(1, "/a", 100), 4);
    fold.insert(file(2, "/a", 7), 5);
    // Two targets read one file.
    fold.insert(file(3, "/b", 50), 5);
    fold.insert(FilePosition { id: FileId(4), ..file(3, "/b", 40) }, 4);
    assert_eq!(fold.offsets(), BTreeMap::from([(Path::new("/a"), 7), (Path::new("/b"), 40)]));
}

#[test]
fn a_file_that_nobody_reads_is_forgotten_when_its_path_is_long_gone() {
    let parts = Parts::new();
    let mut fold = Fold::default();
    fold.insert(file(1, "/unread", 1), 0);
    fold.insert(file(2, "/read", 2), 3);
    let mut store = parts.store();
    store.save(&mut fold, BTreeMap::new()).unwrap();
    assert_eq!((parts.yaml().as_str(), fold.files.len()), ("positions: {}\n", 2));
    parts.clock.advance(Duration::from_secs(3599));
    store.save(&mut fold, BTreeMap::new()).unwrap();
    assert_eq!(fold.files.len(), 2);
    parts.clock.advance(Duration::from_secs(1));
    store.save(&mut fold, BTreeMap::new()).unwrap();
    assert_eq!(fold.files.keys().collect::<Vec<_>>(), [&FileId(2)]);
}

#[test]
fn an_invalid_file_is_an_error_or_counts_as_empty() {
    let mut parts = Parts::new();
    parts.disk.plant(Path::new(YAML), b"positions:\n  /a: [");
    let error = parts.store().load().err().expect("is refused");
    assert!(error.to_string().starts_with("positions file '/var/lib/positions.yaml' is invalid: "), "{error}");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    parts.config.ignore_invalid_yaml = true;
    let mut store = parts.store();
    let mut loaded = store.load().unwrap();
    assert_eq!(StartPositions::of(&loaded.fold), StartPositions::default());
    store.save(&mut loaded.fold, BTreeMap::new()).unwrap();
    assert_eq!(parts.yaml(), "positions: {}\n");
}

#[test]
fn a_damaged_state_leaves_the_plain_file_and_a_newer_one_is_refused() {
    let parts = Parts::new();
    parts.disk.plant(Path::new(YAML), b"positions:\n  /a: \"10\"\n");
    parts.disk.plant(&parts.config.sidecar(), b"{");
    let loaded = parts.store().load().unwrap();
    assert_eq!((loaded.fold.files.len(), loaded.fold.plain.len()), (0, 1));
    parts.disk.plant(&parts.config.sidecar(), b"{\"version\":9}");
    let error = parts.store().load().err().expect("is refused");
    assert_eq!(error.to_string(), "'/var/lib/positions.yaml.skald' has version 9, which this release does not know");
    assert_eq!(error.kind(), ErrorKind::NotImplemented);
}

#[test]
fn nothing_is_written_when_read_only() {
    let mut parts = Parts::new();
    parts.config.read_only = true;
    parts.disk.plant(Path::new(YAML), b"positions:\n  /a: \"10\"\n");
    let before = parts.disk.operations();
    let start = StartPositions::read(parts.config.clone(), parts.disk.clone(), parts.clock.clone()).unwrap();
    assert_eq!(start.plain, HashMap::from([("/a".into(), 10)]));
    parts.store().save(&mut Fold::default(), BTreeMap::new()).unwrap();
    assert_eq!(parts.disk.operations(), before);
}

#[test]
fn a_save_that_is_cut_short_is_not_taken_for_the_work_of_another() {
    let mut cuts = 0;
    for nth in 1.. {
        let parts = Parts::new();
        parts.disk.plant(Path::new("/a"), b"");
        let mut store = parts.store();
        let mut fold = store.load().unwrap().fold;
        fold.insert(file(1, "/a", 1), 1);
        store.save(&mut fold, BTreeMap::new()).unwrap();
        fold.insert(file(1, "/a", 2), 2);
        fold.number = 2;
        parts.disk.cut_power_at(nth);
        let done = store.save(&mut fold, BTreeMap::new()).is_ok();
        parts.disk.power_cut(nth);
        let loaded = parts.store().load().unwrap();
        assert!(!loaded.fold.held, "cut at {nth}");
        let known = StartPositions::of(&loaded.fold).known;
        assert!(known == [file(1, "/a", 1)] || known == [file(1, "/a", 2)], "cut at {nth}: {known:?}");
        if done {
            break;
        }
        cuts += 1;
    }
    assert_eq!(cuts, 12, "two files, each: its successor removed, made, written, synced and renamed, and the folder synced");
}
