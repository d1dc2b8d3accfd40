#![allow(clippy::disallowed_methods, reason = "real journals are real files")]

use super::*;
use crate::sink::fake::{FakeIntake, parts};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use skald_model::Timestamp;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// What journalctl printed of two entries of a kernel and one of a program that colours its text.
const RECORDED: &str = include_str!("recorded.json");
/// Shortly behind the last of them.
const NOW: Timestamp = Timestamp(1_768_435_260_000_000_000);

const RULES: &str = r#"[
    {"source_labels": ["__journal__systemd_unit"], "target_label": "unit"},
    {"source_labels": ["__journal_priority_keyword"], "target_label": "level"},
    {"source_labels": ["__journal__transport"], "regex": "audit", "action": "drop"}
]"#;

struct World {
    folder: TempDir,
    intake: Arc<FakeIntake>,
    registry: Registry,
    metrics: JournalMetrics,
    seams: Seams,
    clock: Arc<dyn Clock>,
}

/// The real clock, but that its wall shows [`NOW`].
struct Then(Arc<dyn Clock>);

impl Clock for Then {
    fn now(&self) -> Timestamp {
        NOW
    }
    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        // Nobody waits a second for a restart.
        self.0.sleep(duration.min(Duration::from_millis(10)))
    }
}

impl World {
    fn new() -> Self {
        let mut seams = skald_runtime::seams(1, &skald_runtime::Metrics::new("test")).unwrap();
        let clock = Arc::clone(&seams.clock);
        seams.clock = Arc::new(Then(Arc::clone(&clock)));
        let mut registry = Registry::default();
        let metrics = JournalMetrics::register(&mut registry);
        World { folder: TempDir::new().unwrap(), intake: FakeIntake::with_room(100_000), registry, metrics, seams, clock }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A journalctl that writes down its arguments and then does what `script` says; `$1` is the number of the call.
    fn program(&self, script: &str) -> PathBuf {
        let path = self.path("journalctl");
        let folder = self.folder.path().display();
        let text = format!("#!/bin/sh\ncd '{folder}'\necho \"$@\" >> calls\nset -- $(wc -l < calls)\n{script}\n");
        std::fs::write(&path, text).unwrap();
        std::fs::write(self.path("recorded"), RECORDED).unwrap();
        assert!(Command::new("chmod").arg("+x").arg(&path).status().unwrap().success());
        path
    }

    fn start(&self, config: &str, program: PathBuf, resume: Option<&str>, stages: &str) -> Result<JournalSource, ReaderError> {
        let config: JournalConfig = serde_saphyr::from_str(config).unwrap();
        assert_eq!(config.problems(), Vec::<String>::new());
        let sink = parts(&self.intake, Arc::clone(&self.seams.clock), stages, RULES);
        JournalSource::start("job", config, program, resume.map(str::to_owned), sink, self.metrics.clone(), &self.seams)
    }

    async fn lines(&self, count: usize) -> Vec<String> {
        let entries = self.intake.next(count, &*self.clock).await;
        entries.into_iter().map(|entry| format!("{} {} {}", entry.timestamp.0 / 1000, entry.labels, entry.line)).collect()
    }

    fn calls(&self) -> Vec<String> {
        std::fs::read_to_string(self.path("calls")).unwrap().lines().map(str::to_owned).collect()
    }

    #[track_caller]
    fn check_metric(&self, line: &str) {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        assert!(text.lines().any(|found| found == line), "{text}");
    }
}

const THREE: [&str; 3] = [
    r#"1768435200000001 {job="systemd", level="info"} Linux version 6.1"#,
    r#"1768435201000000 {job="systemd", level="error", unit="app.service"} "#,
    "1768435202000000 {job=\"systemd\", level=\"info\", unit=\"app.service\"} \u{1b}[31mred\u{1b}[0m",
];

#[tokio::test]
async fn recorded_entries_become_entries() {
    let world = World::new();
    let program = world.program("cat recorded; exec sleep 1000");
    let source = world.start("{labels: {job: systemd}, path: /j, matches: A=b}", program, None, "[]").unwrap();
    assert_eq!(world.lines(3).await, THREE);
    let last = "job=s=5d;i=5;b=1c;m=1;t=64861e8060480;x=5";
    assert_eq!(world.intake.cursors().last().unwrap(), last);
    assert!(source.status().ready);
    source.stop().await;
    assert!(!source.status().ready);
    let want = "--output=json --all --no-pager --follow --no-tail --directory /j --since=@1768410060 A=b";
    assert_eq!(world.calls(), [want]);
    world.check_metric("promtail_journal_target_lines_total 3");
    world.check_metric(r#"promtail_journal_target_parsing_errors_total{error="no_message"} 1"#);
    world.check_metric(r#"promtail_journal_target_parsing_errors_total{error="malformed"} 1"#);
}

#[tokio::test]
async fn entries_without_labels_are_counted_and_passed() {
    let world = World::new();
    let program = world.program("grep -v _SYSTEMD_UNIT recorded | sed s/PRIORITY/P/; exec sleep 1000");
    let _source = world.start("json: true", program, None, "[]").unwrap();
    while world.intake.cursors().is_empty() {
        world.clock.sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(world.intake.len(), 0);
    world.check_metric(r#"promtail_journal_target_parsing_errors_total{error="empty_labels"} 1"#);
}

#[tokio::test]
async fn with_json_the_line_is_all_fields() {
    let world = World::new();
    let program = world.program("head -n 1 recorded; exec sleep 1000");
    let _source = world.start("{json: true, labels: {job: systemd}}", program, None, "[]").unwrap();
    let want = r#"{"MESSAGE":"Linux version 6.1","PRIORITY":"6","SYSLOG_FACILITY":"0","SYSLOG_IDENTIFIER":"kernel","_TRANSPORT":"kernel"}"#;
    assert_eq!(world.lines(1).await[0].split_once("} ").unwrap().1, want);
}

#[tokio::test]
async fn a_journalctl_that_ends_is_started_behind_what_was_taken() {
    let world = World::new();
    let program = world.program("[ $1 = 1 ] && exec head -n 2 recorded; tail -n +4 recorded; exec sleep 1000");
    let _source = world.start("labels: {job: systemd}", program, None, "[]").unwrap();
    assert_eq!(world.lines(3).await, THREE);
    assert!(world.calls()[1].ends_with("--after-cursor=s=5d;i=2;b=1c;m=1;t=64861e7f6c240;x=2"), "{:?}", world.calls());
    world.check_metric("promtail_journal_target_restarts_total 1");
}

#[tokio::test]
async fn a_kept_place_is_used_unless_it_is_too_old() {
    for (resume, want) in [
        ("s=1;t=64861e7e78001", "--after-cursor=s=1;t=64861e7e78001"),
        ("without a time", "--after-cursor=without a time"),
        ("s=1;t=1", "--since=@1768431660"),
    ] {
        let world = World::new();
        let program = world.program("cat recorded; exec sleep 1000");
        let _source = world.start("{labels: {job: systemd}, max_age: 1h}", program, Some(resume), "[]").unwrap();
        world.lines(1).await;
        assert!(world.calls()[0].ends_with(want), "{:?}", world.calls());
    }
}

#[tokio::test]
async fn a_place_that_is_refused_does_not_stop_the_reading() {
    let world = World::new();
    let refuse = "[ $1 = 1 ] && { echo 'Failed to seek to cursor: Invalid argument' >&2; exit 1; }; cat recorded; exec sleep 1000";
    let _source = world.start("labels: {job: systemd}", world.program(refuse), Some("nonsense"), "[]").unwrap();
    assert_eq!(world.lines(3).await, THREE);
    assert!(world.calls()[1].contains("--since=@"), "{:?}", world.calls());
}

#[tokio::test]
async fn the_place_waits_for_what_a_stage_holds() {
    let world = World::new();
    let program = world.program("cat recorded; exec sleep 1000");
    let stages = r#"[{"multiline": {"firstline": "^Linux", "max_wait_time": "1000s"}}]"#;
    let source = world.start("labels: {job: systemd}", program, None, stages).unwrap();
    while source.status().active[0].details.last().is_none_or(|(_, cursor)| !cursor.contains("i=5;")) {
        world.clock.sleep(Duration::from_millis(5)).await;
    }
    // The first is held, and those behind it that begin nothing are through.
    assert_eq!((world.intake.len(), world.intake.cursors()), (2, Vec::new()));
    source.stop().await;
    assert_eq!(world.intake.len(), 3);
    assert_eq!(world.intake.cursors(), ["job=s=5d;i=5;b=1c;m=1;t=64861e8060480;x=5"]);
}

#[tokio::test]
async fn stopping_ends_journalctl() {
    let world = World::new();
    let program = world.program("echo $$ > pid; cat recorded; exec sleep 1000");
    let source = world.start("labels: {job: systemd}", program, None, "[]").unwrap();
    world.lines(3).await;
    let pid = std::fs::read_to_string(world.path("pid")).unwrap();
    let process = Path::new("/proc").join(pid.trim());
    assert!(process.exists());
    source.stop().await;
    assert!(!process.exists());
}

#[tokio::test]
async fn without_journalctl_the_start_fails_and_says_why() {
    let world = World::new();
    let missing = world.path("journalctl");
    let error = world.start("{}", missing.clone(), None, "[]").err().unwrap();
    let want = format!("{} was not found: reading the journal needs systemd's journalctl", missing.display());
    assert_eq!(error.to_string(), want);
}

/// What writes journals, where it is installed.
fn journal_remote() -> Option<Command> {
    let fetched = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.tools/journal-remote/run");
    if Path::new(fetched).exists() {
        let mut command = Command::new(fetched);
        command.arg("lib/systemd/systemd-journal-remote");
        return Some(command);
    }
    let places = ["/lib/systemd/systemd-journal-remote", "/usr/lib/systemd/systemd-journal-remote"];
    places.into_iter().find(|path| Path::new(path).exists()).map(Command::new)
}

#[tokio::test]
async fn a_real_journal_is_followed_and_resumed() {
    if journal_remote().is_none() {
        eprintln!("neither is systemd-journal-remote here, nor has scripts/log-senders.sh installed it");
        return;
    }
    let world = World::new();
    let journal = world.path("j");
    std::fs::create_dir(&journal).unwrap();
    let write = |file: &str, from: u64, to: u64| {
        let entry = |at: u64| {
            let boot = "0123456789abcdef0123456789abcdef";
            let micros = 1_768_435_200_000_000 + at;
            let head = format!("__REALTIME_TIMESTAMP={micros}\n__MONOTONIC_TIMESTAMP={}\n_BOOT_ID={boot}\n", at + 1);
            format!("{head}PRIORITY=6\n_SYSTEMD_UNIT=a.service\nMESSAGE=line {at}\n\n")
        };
        let export: String = (from..to).map(entry).collect();
        let (export_path, path) = (world.path("export"), world.path(file));
        std::fs::write(&export_path, export).unwrap();
        let written = journal_remote().unwrap().arg("-o").arg(&path).arg(&export_path).output().unwrap();
        assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
        // Whole from the start: journalctl follows the directory.
        std::fs::rename(path, journal.join(file)).unwrap();
    };
    let numbers = |lines: Vec<String>| lines.iter().map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap()).collect::<Vec<u64>>();
    let config = format!("{{labels: {{job: systemd}}, path: '{}', matches: _SYSTEMD_UNIT=a.service}}", journal.display());
    let start = |resume: Option<&str>| world.start(&config, "journalctl".into(), resume, "[]").unwrap();
    write("one.journal", 0, 500);
    let source = start(None);
    assert_eq!(numbers(world.lines(500).await), (0..500).collect::<Vec<_>>());
    source.stop().await;
    let cursor = world.intake.cursors().pop().unwrap();
    let source = start(cursor.strip_prefix("job="));
    write("two.journal", 500, 800);
    assert_eq!(numbers(world.lines(300).await), (500..800).collect::<Vec<_>>());
    source.stop().await;
    world.check_metric("promtail_journal_target_lines_total 800");
}
