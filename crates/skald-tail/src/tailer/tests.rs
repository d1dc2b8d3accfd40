mod content;
mod flow;
mod histories;
mod restarts;
mod rotations;
mod targets;

use super::*;
use crate::target::Decompression;
use skald_testkit::SeededRandom;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use tempfile::TempDir;

/// A tailer over a temporary directory, and what it handed out.
struct Bench {
    dir: TempDir,
    config: TailConfig,
    targets: Vec<FileTarget>,
    tailer: Tailer,
    now: Duration,
    sink: Sink,
    restarts: u64,
}

/// What an agent would make of it.
#[derive(Default)]
struct Sink {
    lines: Vec<(FileId, u64, String)>,
    opened: Vec<(FileId, PathBuf, u64)>,
    closed: Vec<(PathBuf, Closed)>,
    positions: BTreeMap<FileId, FilePosition>,
    /// Where the files began that are being read.
    starts: BTreeMap<FileId, FilePosition>,
    /// Lines that are still taken; none: all.
    room: Option<usize>,
    pause: Option<Duration>,
}

impl Lines for Sink {
    fn opened(&mut self, file: &OpenedFile<'_>) {
        self.opened.push((file.id, file.path.to_owned(), file.offset));
        self.positions.insert(file.id, file.position.clone());
        self.starts.insert(file.id, file.position.clone());
    }

    fn line(&mut self, file: FileId, start: u64, line: &str) -> Flow {
        match &mut self.room {
            Some(0) => return Flow::NoRoom,
            Some(room) => *room -= 1,
            None => {}
        }
        self.lines.push((file, start, line.to_owned()));
        self.pause.map_or(Flow::Go, Flow::Pause)
    }

    fn caught_up(&mut self, file: FileId, position: &FilePosition) {
        assert_eq!(file, position.id);
        self.positions.insert(file, position.clone());
    }

    fn closed(&mut self, file: FileId, position: &FilePosition, why: Closed) {
        self.closed.push((position.path.clone(), why));
        self.positions.insert(file, position.clone());
        if why.is_final() {
            self.positions.remove(&file);
            self.starts.remove(&file);
        }
    }
}

impl Bench {
    /// One target for `pattern`, below the directory.
    fn new(pattern: &str, inotify: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Where changes are reported nothing else may be needed to learn of them; else the scan has to do.
        let sync_period = if inotify { Duration::from_secs(3600) } else { Duration::from_secs(1) };
        let config = TailConfig { inotify, sync_period, ..TailConfig::default() };
        let targets = vec![target(&dir, "one", pattern)];
        let tailer = Tailer::new(config.clone(), Arc::new(SeededRandom::new(7)), Vec::new(), HashMap::new()).unwrap();
        let mut bench = Bench { dir, config, targets, tailer, now: Duration::from_secs(1000), sink: Sink::default(), restarts: 0 };
        bench.tailer.set_targets(bench.targets.clone());
        bench
    }

    /// Both ways to learn of changes.
    fn both(pattern: &str, test: impl Fn(Bench)) {
        test(Bench::new(pattern, true));
        test(Bench::new(pattern, false));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    fn append(&self, name: &str, text: impl AsRef<[u8]>) {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap();
        file.write_all(text.as_ref()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    /// Compresses a file as log rotation does.
    fn gzip(&self, name: &str) {
        let packed = pack(crate::Format::Gzip, &fs::read(self.path(name)).unwrap());
        let modified = fs::metadata(self.path(name)).unwrap().modified().unwrap();
        self.write(&format!("{name}.gz"), packed);
        fs::File::options().write(true).open(self.path(&format!("{name}.gz"))).unwrap().set_modified(modified).unwrap();
        self.remove(name);
    }

    /// Rounds until nothing is left to do, after `wait`.
    fn after(&mut self, wait: Duration) -> &mut Self {
        self.now += wait;
        for _ in 0..10_000 {
            let wall = Timestamp(std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as i64);
            match self.tailer.round(self.now, wall, &mut self.sink) {
                Next::Now => {}
                Next::At(_) => return self,
            }
        }
        panic!("the rounds do not end");
    }

    fn go(&mut self) -> &mut Self {
        self.after(Duration::from_millis(1100))
    }

    /// Past the time that a file without a path is held.
    fn drain(&mut self) -> &mut Self {
        self.after(self.config.drain_idle + Duration::from_secs(1));
        self.go()
    }

    /// A new process, with the positions that were reported.
    fn restart(&mut self) -> &mut Self {
        let known = self.sink.positions.values().cloned().collect();
        self.restart_with(known, HashMap::new())
    }

    fn restart_with(&mut self, known: Vec<FilePosition>, plain: HashMap<PathBuf, u64>) -> &mut Self {
        self.restarts += 1;
        self.tailer = Tailer::new(self.config.clone(), Arc::new(SeededRandom::new(1000 + self.restarts)), known, plain).unwrap();
        self.tailer.set_targets(self.targets.clone());
        self
    }

    /// The lines since the last call, in order.
    fn taken(&mut self) -> Vec<String> {
        std::mem::take(&mut self.sink.lines).into_iter().map(|(_, _, line)| line).collect()
    }

    /// The same where the order of files does not matter.
    fn taken_sorted(&mut self) -> Vec<String> {
        let mut lines = self.taken();
        lines.sort();
        lines
    }

    #[track_caller]
    fn expect<const N: usize>(&mut self, lines: [&str; N]) -> &mut Self {
        assert_eq!(self.taken(), lines);
        self
    }

    #[track_caller]
    fn expect_closed(&mut self, name: &str, why: Closed) -> &mut Self {
        let closed = std::mem::take(&mut self.sink.closed);
        assert_eq!(closed, [(self.path(name), why)]);
        self
    }
}

fn target(dir: &TempDir, key: &str, pattern: &str) -> FileTarget {
    let path = format!("{}/{pattern}", dir.path().display());
    FileTarget { key: key.into(), path, exclude: None, encoding: None, decompression: None }
}

fn pack(format: crate::Format, bytes: &[u8]) -> Vec<u8> {
    crate::unpack::tests::pack(format, bytes)
}

/// Lines long enough that a file of some has a telling fingerprint.
fn text(first: usize, count: usize) -> String {
    (first..first + count)
        .map(|number| format!("2026-01-01T00:00:00Z line number {number:06} of a program that has a lot to say\n"))
        .collect()
}

fn texts(first: usize, count: usize) -> Vec<String> {
    text(first, count).lines().map(str::to_owned).collect()
}
