//! What following files costs: `cargo run --release -p skald-tail --example tail_cost`.
//!
//! Reads a file that is in the page cache, follows many idle files, and follows files that are written at 1 MB/s.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a measurement of the real system, for the terminal")]

use skald_model::Timestamp;
use skald_tail::{Closed, FileId, FilePosition, FileTarget, Flow, Lines, Next, OpenedFile, TailConfig, Tailer};
use skald_testkit::SeededRandom;
use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const IDLE_FILES: usize = 5000;

fn main() -> std::io::Result<()> {
    let dir = tempfile::tempdir()?;
    throughput(dir.path())?;
    idle(dir.path())?;
    trickle(dir.path())
}

#[derive(Default)]
struct Count {
    lines: u64,
    bytes: u64,
}

impl Lines for Count {
    fn opened(&mut self, _: &OpenedFile<'_>) {}
    fn line(&mut self, _: FileId, _: u64, line: &str) -> Flow {
        self.lines += 1;
        self.bytes += line.len() as u64 + 1;
        Flow::Go
    }
    fn caught_up(&mut self, _: FileId, _: &FilePosition) {}
    fn closed(&mut self, _: FileId, _: &FilePosition, _: Closed) {}
}

fn tailer(pattern: &Path) -> std::io::Result<Tailer> {
    let mut tailer = Tailer::new(TailConfig::default(), Arc::new(SeededRandom::new(1)), Vec::new(), HashMap::new())?;
    let path = pattern.display().to_string();
    tailer.set_targets(vec![FileTarget { key: "one".into(), path, exclude: None, encoding: None, decompression: None }]);
    Ok(tailer)
}

fn line(number: usize) -> String {
    format!(
        "2026-01-01T00:00:00.000000000Z stdout F level=info msg=\"request {number:09} done\" path=/api/v1/things status=200 duration=12ms {}\n",
        "x".repeat(75)
    )
}

/// Rounds for `time`, sleeping in between as an agent does.
fn follow(tailer: &mut Tailer, count: &mut Count, time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        if let Next::At(at) = tailer.round(start.elapsed(), Timestamp(0), count) {
            tailer.wait(at.min(time).saturating_sub(start.elapsed()));
        }
    }
}

/// Processor seconds and resident bytes of this process.
fn usage() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> = stat.split(' ').map(|field| field.parse().unwrap_or(0.0)).collect();
    ((fields[13] + fields[14]) / 100.0, fields[23] * 4096.0)
}

fn throughput(dir: &Path) -> std::io::Result<()> {
    let path = dir.join("large.log");
    let mut file = std::io::BufWriter::new(File::create(&path)?);
    for number in 0..2_500_000 {
        file.write_all(line(number).as_bytes())?;
    }
    file.flush()?;
    for _ in 0..3 {
        let (mut tailer, mut count) = (tailer(&path)?, Count::default());
        let start = Instant::now();
        while tailer.round(start.elapsed(), Timestamp(0), &mut count) == Next::Now {}
        let seconds = start.elapsed().as_secs_f64();
        println!("{:.0} MB in {} lines: {:.0} MB/s", count.bytes as f64 / 1e6, count.lines, count.bytes as f64 / 1e6 / seconds);
    }
    std::fs::remove_file(path)
}

fn idle(dir: &Path) -> std::io::Result<()> {
    for number in 0..IDLE_FILES {
        let directory = dir.join(format!("pods/namespace_some-pod-name-{:04}_0a1b2c3d-0000-1111-2222-333344445555/container", number / 2));
        std::fs::create_dir_all(&directory)?;
        std::fs::write(directory.join(format!("{number}.log")), line(number))?;
    }
    let (opening, before) = usage();
    let (mut tailer, mut count) = (tailer(&dir.join("pods/*/*/*.log"))?, Count::default());
    follow(&mut tailer, &mut count, Duration::from_secs(2));
    let (start, after) = usage();
    println!(
        "{} files: {:.0} bytes of memory each, {:.2} s of one core to open them",
        tailer.stats().files,
        (after - before) / IDLE_FILES as f64,
        start - opening
    );
    follow(&mut tailer, &mut count, Duration::from_secs(60));
    println!("idle for a minute: {:.3} % of one core", (usage().0 - start) / 60.0 * 100.0);
    Ok(())
}

fn trickle(dir: &Path) -> std::io::Result<()> {
    const SECONDS: u64 = 20;
    let (mut tailer, mut count) = (tailer(&dir.join("*.log"))?, Count::default());
    // The writer is another process, so that its time does not count.
    let mut script = std::process::Command::new("sh");
    let command = format!(
        "for i in $(seq {}); do for f in {}/*.log; do head -c 2000 {} >> $f; done; sleep 0.15; done",
        SECONDS * 4,
        dir.display(),
        dir.join("sample").display()
    );
    for number in 0..100 {
        File::create(dir.join(format!("{number}.log")))?;
        File::options().create(true).append(true).open(dir.join("sample"))?.write_all(line(number).as_bytes())?;
    }
    follow(&mut tailer, &mut count, Duration::from_millis(200));
    let mut child = script.arg("-c").arg(command).spawn()?;
    let (start, clock) = (usage().0, Instant::now());
    follow(&mut tailer, &mut count, Duration::from_secs(SECONDS));
    let seconds = clock.elapsed().as_secs_f64();
    println!("{:.2} MB/s in 100 files: {:.2} % of one core", count.bytes as f64 / 1e6 / seconds, (usage().0 - start) / seconds * 100.0);
    // Before the directory goes.
    child.wait().map(drop)
}
