//! The server, the writer of a log file, and what has to be stored.

use integration_tests::load::{select_all, unlimited};
use integration_tests::{Agent, Server, entries, now_ns, until};
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long lines may take; what is missing then is named.
const PATIENCE: Duration = Duration::from_secs(45);

const HOUR_NS: i64 = 3_600_000_000_000;

/// A server that is found again at its old place after a restart.
pub fn server() -> Server {
    let mut server = Server::stopped(&unlimited()).on_one_port();
    server.restart();
    server
}

/// A client of that server that does not wait long.
pub fn client(server: &Server) -> String {
    let backoff = "{min_period: 20ms, max_period: 200ms}";
    format!(
        "clients: [{{url: 'http://127.0.0.1:{}/loki/api/v1/push', batchwait: 50ms, timeout: 5s, backoff_config: {backoff}}}]\n",
        server.port()
    )
}

/// A scrape config over the files that a glob in the agent's folder finds.
pub fn files(glob: &str, stages: &str) -> String {
    let labels = format!("{{job: files, __path__: FOLDER/{glob}}}");
    format!(
        "scrape_configs: [{{job_name: files, static_configs: [{{labels: {labels}}}], pipeline_stages: [{stages}]}}]\ntarget_config: {{sync_period: 200ms}}\n"
    )
}

/// A program that writes numbered lines into a log file.
pub struct Writer {
    pub path: PathBuf,
    file: File,
    pub written: BTreeSet<String>,
}

impl Writer {
    pub fn new(path: PathBuf) -> Self {
        let file = append(&path);
        Writer { path, file, written: BTreeSet::new() }
    }

    pub fn write(&mut self, count: usize) {
        let name = self.path.file_name().unwrap().to_string_lossy().into_owned();
        let mut text = String::new();
        for _ in 0..count {
            let line = format!("{name} line {}", self.written.len());
            text.push_str(&line);
            text.push('\n');
            assert!(self.written.insert(line));
        }
        self.file.write_all(text.as_bytes()).unwrap();
    }

    /// As logrotate does without `copytruncate`: the file gets another name, the program goes on in a new one.
    pub fn rename_to(&mut self, to: &str) {
        std::fs::rename(&self.path, self.path.with_file_name(to)).unwrap();
        self.file = append(&self.path);
    }

    /// As logrotate does with `copytruncate`.
    pub fn copy_truncate(&mut self, to: &str) {
        std::fs::copy(&self.path, self.path.with_file_name(to)).unwrap();
        self.file.set_len(0).unwrap();
    }

    /// Deletes the file; the program goes on in a new one.
    pub fn delete(&mut self) {
        std::fs::remove_file(&self.path).unwrap();
        self.file = append(&self.path);
    }
}

fn append(path: &Path) -> File {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

/// The lines that the server has of this job; none twice.
#[track_caller]
pub fn stored(server: &Server, job: &str) -> BTreeSet<String> {
    let entries = entries(&select_all(server, &format!("{{job=\"{job}\"}}"), now_ns() - HOUR_NS));
    let lines: BTreeSet<String> = entries.iter().map(|(_, line)| line.clone()).collect();
    let twice: Vec<_> =
        entries.iter().filter(|(at, line)| entries.iter().any(|(other, same)| same == line && other != at)).take(4).collect();
    assert_eq!(lines.len(), entries.len(), "lines are stored twice: {twice:?}");
    lines
}

/// Waits until the server has all of these lines, and checks that it has no other and none twice.
#[track_caller]
pub fn arrives(server: &Server, job: &str, want: &BTreeSet<String>) {
    let begun = Instant::now();
    while server.total(&format!("sum(count_over_time({{job=\"{job}\"}}[1h]))")) < want.len() as f64 && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(50));
    }
    let found = stored(server, job);
    let lost: Vec<_> = want.difference(&found).take(5).collect();
    let other: Vec<_> = found.difference(want).take(5).collect();
    assert!(lost.is_empty() && other.is_empty(), "lost {lost:?}, not written {other:?}");
}

/// Waits until the agent has read what there is of a file, as its metrics tell.
#[track_caller]
pub fn has_read(agent: &Agent, path: &Path) {
    let bytes = path.metadata().unwrap().len() as f64;
    let label = format!("path=\"{}\"", path.display());
    until("the file is read", || (agent.metric("promtail_read_bytes_total", &label) == bytes).then_some(()));
}
