use super::*;
use crate::discovery::{Rules, TargetFailures, TargetTable};
use crate::intake::Ticket;
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use skald_pipeline::{Pipeline, PipelineContext, Relabel, StageConfig};
use skald_tail::Fingerprint;
use skald_testkit::SeededRandom;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

const ID: FileId = FileId(7);

/// Shows each offer as its lines and the position behind them.
#[derive(Default)]
struct Recorder {
    offers: Mutex<Vec<String>>,
    entries: Mutex<Vec<Entry>>,
    full: AtomicBool,
}

impl Intake for Recorder {
    fn offer(&self, entries: &mut Vec<Entry>, position: Option<PositionUpdate>) -> Result<Ticket, NoRoom> {
        if self.full.load(Ordering::Relaxed) {
            return Err(NoRoom);
        }
        let lines: Vec<&str> = entries.iter().map(|entry| entry.line.as_str()).collect();
        let position = match position {
            Some(PositionUpdate::File(position)) => position.offset.to_string(),
            Some(PositionUpdate::FileDone(FileId(id))) => format!("done {id}"),
            other => format!("{other:?}"),
        };
        self.offers.lock().push(format!("{} | {position}", lines.join(",").replace('\n', "\\n")));
        self.entries.lock().append(entries);
        Ok(Ticket(0))
    }

    fn room(&self) -> BoxFuture<'static, ()> {
        futures::future::ready(()).boxed()
    }

    fn durable(&self, _ticket: Ticket) -> BoxFuture<'static, ()> {
        futures::future::ready(()).boxed()
    }
}

/// The lines of one file, as a tailer would hand them out.
struct World {
    recorder: Arc<Recorder>,
    lines: FileLines,
    offset: u64,
    now: Duration,
}

fn key() -> Text {
    "key".into()
}

fn job(stages: &str) -> Arc<FileJob> {
    let stages: Vec<StageConfig> = serde_json::from_str(stages).expect("stages");
    let context = PipelineContext {
        job: "job".into(),
        counters: Arc::default(),
        metrics: Arc::default(),
        random: Arc::new(SeededRandom::new(1)),
        inspector: None,
    };
    let rules = Rules {
        job: "job".to_owned(),
        relabel: Arc::new(Relabel::default()),
        hostname: String::new(),
        encoding: None,
        decompression: None,
    };
    let table = Arc::new(Mutex::new(TargetTable::new(rules, TargetFailures::default())));
    Arc::new(FileJob { name: "job".to_owned(), pipeline: Pipeline::new(&stages, &context).expect("they compile"), stages, table })
}

fn targets(stages: &str) -> Vec<(Text, LabelSet, Arc<FileJob>)> {
    vec![(key(), [("app", "a")].into_iter().collect(), job(stages))]
}

fn position(offset: u64) -> FilePosition {
    let fingerprint = Fingerprint { len: 1, hash: 1 };
    FilePosition { id: ID, target_key: key(), path: "/log/a".into(), device: 1, inode: 2, fingerprint, offset, compressed: false }
}

impl World {
    fn new(stages: &str) -> Self {
        let recorder = Arc::<Recorder>::default();
        let mut lines = FileLines::new(Arc::clone(&recorder) as _);
        lines.set_targets(targets(stages));
        let opened = OpenedFile {
            id: ID,
            target_key: &key(),
            path: Path::new("/log/a"),
            offset: 0,
            size: 0,
            compressed: false,
            resumed: false,
            position: &position(0),
        };
        lines.opened(&opened);
        let mut world = World { recorder, lines, offset: 0, now: Duration::ZERO };
        world.round(Duration::ZERO);
        assert_eq!(world.offers(), [" | 0"], "a file is known from its first sight on");
        world
    }

    /// The beginning of a round, so much later.
    fn round(&mut self, later: Duration) {
        self.now += later;
        self.lines.begin(Now { wall: Timestamp(self.now.as_nanos() as i64), monotonic: self.now });
    }

    /// A run of lines with what it comes to; those that were not taken are the file's next ones.
    fn run(&mut self, lines: &[&str]) -> Vec<Flow> {
        let mut flows = Vec::new();
        for line in lines {
            let flow = self.lines.line(ID, self.offset, line);
            flows.push(flow);
            if flow == Flow::NoRoom {
                break;
            }
            self.offset += line.len() as u64 + 1;
        }
        self.lines.caught_up(ID, &position(self.offset));
        flows
    }

    fn offers(&self) -> Vec<String> {
        std::mem::take(&mut self.recorder.offers.lock())
    }

    fn set_full(&self, full: bool) {
        self.recorder.full.store(full, Ordering::Relaxed);
    }
}

#[test]
fn a_run_of_lines_is_offered_with_the_position_behind_it() {
    let mut world = World::new("[]");
    world.run(&["one", "two"]);
    world.run(&[]);
    world.run(&["three"]);
    assert_eq!(world.offers(), ["one,two | 8", "three | 14"]);
    let entries = world.recorder.entries.lock();
    assert_eq!(entries[0].labels.to_string(), r#"{app="a", filename="/log/a"}"#);
    let times: Vec<i64> = entries.iter().map(|entry| entry.timestamp.0).collect();
    assert_eq!(times, [1, 2, 3], "no two lines of a file have one time");
}

#[test]
fn what_is_refused_waits_and_no_line_is_taken_behind_it() {
    let mut world = World::new("[]");
    world.set_full(true);
    assert_eq!(world.run(&["one", "two"]), [Flow::Go, Flow::Go]);
    assert!(world.lines.is_refused());
    assert_eq!(world.run(&["three"]), [Flow::NoRoom]);
    world.round(Duration::ZERO);
    assert!(world.lines.is_refused());
    world.set_full(false);
    world.round(Duration::ZERO);
    assert_eq!(world.run(&["three"]), [Flow::Go]);
    assert_eq!((world.offers(), world.lines.is_refused()), (vec!["one,two | 8".to_owned(), "three | 14".to_owned()], false));
}

#[test]
fn a_position_stays_before_what_a_stage_holds() {
    let mut world = World::new(r#"[{"multiline": {"firstline": "^-", "max_wait_time": "3s"}}]"#);
    world.run(&["-a", "b"]);
    world.run(&["-c"]);
    assert_eq!(world.offers(), ["-a\\nb | 5"]);
    assert_eq!(world.lines.next_deadline(), Some(Duration::from_secs(3)));
    world.round(Duration::from_secs(2));
    assert_eq!(world.offers(), [""; 0]);
    world.round(Duration::from_secs(1));
    assert_eq!((world.offers(), world.lines.next_deadline()), (vec!["-c | 8".to_owned()], None));
}

#[test]
fn a_file_that_is_done_lets_go_of_everything() {
    let multiline = r#"[{"multiline": {"firstline": "^-"}}]"#;
    let mut world = World::new(multiline);
    world.run(&["-a"]);
    world.set_full(true);
    world.lines.closed(ID, &position(3), Closed::Finished);
    assert!(world.lines.is_refused());
    world.set_full(false);
    world.round(Duration::ZERO);
    assert_eq!(world.offers(), ["-a | done 7"]);
    let mut world = World::new(multiline);
    world.run(&["-a"]);
    world.lines.closed(ID, &position(3), Closed::TargetGone);
    assert_eq!(world.offers(), ["-a | 3"], "the target may come again");
}

#[test]
fn a_file_that_is_gone_on_with_is_known_already() {
    let recorder = Arc::<Recorder>::default();
    let mut lines = FileLines::new(Arc::clone(&recorder) as _);
    lines.set_targets(targets("[]"));
    let position = position(5);
    let (key, path) = (key(), Path::new("/log/a"));
    lines.opened(&OpenedFile { id: ID, target_key: &key, path, offset: 5, size: 9, compressed: false, resumed: true, position: &position });
    assert_eq!(*recorder.offers.lock(), [""; 0]);
}

#[test]
fn a_file_that_nobody_found_is_forgotten() {
    let mut world = World::new("[]");
    world.lines.closed(FileId(8), &position(3), Closed::Lost);
    assert_eq!(world.offers(), [" | done 8"]);
}

#[test]
fn other_stages_begin_anew_and_equal_ones_go_on() {
    let multiline = r#"[{"multiline": {"firstline": "^-"}}]"#;
    let mut world = World::new(multiline);
    world.run(&["-a"]);
    world.lines.set_targets(targets(multiline));
    world.round(Duration::ZERO);
    world.run(&["b"]);
    assert_eq!(world.offers(), [""; 0], "the entry is still open");
    world.lines.set_targets(targets(r#"[{"static_labels": {"new": "1"}}]"#));
    world.round(Duration::ZERO);
    world.run(&["c"]);
    assert_eq!(world.offers(), ["-a\\nb | 5", "c | 7"]);
    let labels = |at: usize| world.recorder.entries.lock()[at].labels.get("new").is_some();
    assert_eq!((labels(0), labels(1)), (false, true));
}

#[test]
fn a_stage_that_wants_a_pause_gets_it() {
    let mut world = World::new(r#"[{"limit": {"rate": 2, "burst": 1}}]"#);
    let flows = world.run(&["a", "b"]);
    assert_eq!(world.offers(), ["a,b | 4"]);
    assert!(flows.iter().any(|flow| matches!(flow, Flow::Pause(pause) if *pause > Duration::ZERO)), "{flows:?}");
}

#[test]
fn at_the_end_what_stages_hold_is_left_to_the_next_process() {
    let mut world = World::new(r#"[{"multiline": {"firstline": "^-"}}]"#);
    world.run(&["-a", "-b"]);
    assert_eq!((world.lines.end(), world.offers()), (0, vec!["-a | 3".to_owned()]));
    world.set_full(true);
    world.run(&["-c"]);
    assert_eq!(world.lines.end(), 1);
}
