//! Random histories of writers, rotations and restarts.

use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Write { file: usize, lines: usize, cut: bool },
    Rename { file: usize },
    RenameAndPack { file: usize },
    Truncate { file: usize },
    CopyAndTruncate { file: usize },
    Replace { file: usize },
    Delete { file: usize },
    Read,
    ReadAfter { seconds: u64 },
    Room { lines: usize },
    SavePositions,
    Restart,
}

fn step(restarts: bool) -> impl Strategy<Value = Step> {
    let file = 0..3_usize;
    let common = prop_oneof![
        6 => (file.clone(), 1..30_usize, any::<bool>()).prop_map(|(file, lines, cut)| Step::Write { file, lines, cut }),
        2 => file.clone().prop_map(|file| Step::Rename { file }),
        1 => file.clone().prop_map(|file| Step::RenameAndPack { file }),
        1 => file.clone().prop_map(|file| Step::Truncate { file }),
        1 => file.clone().prop_map(|file| Step::CopyAndTruncate { file }),
        1 => file.clone().prop_map(|file| Step::Replace { file }),
        1 => file.prop_map(|file| Step::Delete { file }),
        5 => Just(Step::Read),
        1 => (1..15_u64).prop_map(|seconds| Step::ReadAfter { seconds }),
        1 => (0..20_usize).prop_map(|lines| Step::Room { lines }),
    ];
    let restart = prop_oneof![Just(Step::SavePositions), Just(Step::SavePositions), Just(Step::Restart)];
    if restarts { prop_oneof![6 => common, 1 => restart].boxed() } else { common.boxed() }
}

/// Writers of three files, and what they wrote.
struct World {
    bench: Bench,
    written: usize,
    /// Bytes that the writer has not written of its last line yet.
    open: [String; 3],
    rotations: usize,
    saved: Vec<FilePosition>,
    /// Which files were there when the process was started again.
    restarted_with: [bool; 3],
}

impl World {
    fn name(file: usize) -> String {
        format!("{file}.log")
    }

    fn exists(&self, file: usize) -> bool {
        self.bench.path(&Self::name(file)).exists()
    }

    /// Whether the tailer last saw one of its files at this path.
    fn is_known(&self, file: usize) -> bool {
        let path = self.bench.path(&Self::name(file));
        let just_started = self.bench.tailer.scans == 0 && self.restarted_with[file];
        just_started || self.bench.tailer.files().iter().any(|file| file.path == path && !file.gone)
    }

    /// Writes lines that nobody has seen, perhaps without the end of the last one.
    fn write(&mut self, file: usize, lines: usize, cut: bool) {
        let text = std::mem::take(&mut self.open[file]) + &text(self.written, lines);
        self.written += lines;
        let end = if cut { text.len() - 10 } else { text.len() };
        self.bench.append(&Self::name(file), &text[..end]);
        self.open[file] = text[end..].to_owned();
    }

    /// Ends the line that was begun, as the writer of this file will have no other chance.
    fn end_line(&mut self, file: usize) {
        let open = std::mem::take(&mut self.open[file]);
        if self.exists(file) {
            self.bench.append(&Self::name(file), open);
        }
    }

    fn rotate(&mut self, file: usize) -> Option<String> {
        self.end_line(file);
        if !self.exists(file) {
            return None;
        }
        if !self.is_known(file) {
            // What nobody saw at its path is no file of ours.
            self.bench.go();
        }
        self.rotations += 1;
        let rotated = format!("{file}.log.2026{:04}", self.rotations);
        self.bench.rename(&Self::name(file), &rotated);
        Some(rotated)
    }

    fn read_all(&mut self) {
        self.bench.sink.room = None;
        self.bench.go().go();
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Write { file, lines, cut } => self.write(file, lines, cut),
            Step::Rename { file } => drop(self.rotate(file)),
            Step::RenameAndPack { file } => {
                self.read_all();
                if let Some(rotated) = self.rotate(file) {
                    self.bench.go();
                    self.bench.gzip(&rotated);
                }
            }
            Step::Truncate { file } => {
                self.end_line(file);
                // Bytes that nobody read and nobody copied are lost for good.
                self.read_all();
                if self.exists(file) {
                    self.saved = self.positions();
                    self.bench.write(&Self::name(file), "");
                    self.bench.go();
                }
            }
            Step::CopyAndTruncate { file } => {
                self.end_line(file);
                self.read_all();
                if self.exists(file) && fs::metadata(self.bench.path(&Self::name(file))).unwrap().len() > 0 {
                    self.write(file, 2, false);
                    self.rotations += 1;
                    let copy = format!("{file}.log.2026{:04}", self.rotations);
                    fs::copy(self.bench.path(&Self::name(file)), self.bench.path(&copy)).unwrap();
                    self.bench.write(&Self::name(file), "");
                    self.bench.go();
                }
            }
            Step::Replace { file } => {
                self.end_line(file);
                self.read_all();
                if self.exists(file) {
                    self.saved = self.positions();
                    self.bench.write("new", text(self.written, 3));
                    self.written += 3;
                    self.bench.rename("new", &Self::name(file));
                    self.bench.go();
                }
            }
            Step::Delete { file } => {
                self.end_line(file);
                self.read_all();
                if self.exists(file) {
                    self.saved = self.positions();
                    self.bench.remove(&Self::name(file));
                    self.bench.go();
                }
            }
            Step::Read => drop(self.bench.go()),
            Step::ReadAfter { seconds } => drop(self.bench.after(Duration::from_secs(seconds))),
            Step::Room { lines } => self.bench.sink.room = Some(lines),
            Step::SavePositions => self.saved = self.positions(),
            Step::Restart => self.restart(),
        }
    }

    /// With positions that may be old, and the beginnings of files that were found since then.
    fn restart(&mut self) {
        if (0..3).any(|file| self.exists(file) && !self.is_known(file)) {
            self.bench.go();
        }
        let old: FxHashSet<FileId> = self.saved.iter().map(|position| position.id).collect();
        self.saved.extend(self.bench.sink.starts.values().filter(|start| !old.contains(&start.id)).cloned());
        self.bench.restart_with(self.saved.clone(), HashMap::new());
        self.restarted_with = [0, 1, 2].map(|file| self.exists(file));
    }

    fn positions(&self) -> Vec<FilePosition> {
        self.bench.sink.positions.values().cloned().collect()
    }
}

fn run(steps: &[Step], inotify: bool) -> (Vec<String>, Vec<String>) {
    let mut world = World {
        bench: Bench::new("*.log", inotify),
        written: 0,
        open: Default::default(),
        rotations: 0,
        saved: Vec::new(),
        restarted_with: [false; 3],
    };
    world.bench.go();
    for step in steps {
        world.apply(step);
    }
    for file in 0..3 {
        world.end_line(file);
    }
    world.read_all();
    world.bench.drain().drain();
    let mut lines = world.bench.taken();
    lines.sort();
    (lines, texts(0, world.written))
}

/// What was lost, and what came more often than once.
fn faults(steps: &[Step], inotify: bool) -> (Vec<String>, Vec<String>) {
    let (lines, written) = run(steps, inotify);
    let mut counts: BTreeMap<String, i32> = written.into_iter().map(|line| (line, 0)).collect();
    lines.into_iter().for_each(|line| *counts.entry(line).or_default() += 1);
    let with = |wanted: fn(i32) -> bool| counts.iter().filter(|(_, count)| wanted(**count)).map(|(line, _)| line.clone()).collect();
    (with(|count| count == 0), with(|count| count > 1))
}

proptest! {
    #![proptest_config(skald_testkit::property(48))]

    #[test]
    fn each_line_comes_once(steps in prop::collection::vec(step(false), 1..60), inotify: bool) {
        prop_assert_eq!(faults(&steps, inotify), (vec![], vec![]));
    }

    #[test]
    fn no_line_is_missing_after_restarts(steps in prop::collection::vec(step(true), 1..60), inotify: bool) {
        prop_assert_eq!(faults(&steps, inotify).0, Vec::<String>::new());
    }
}
