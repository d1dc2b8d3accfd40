//! The agent on real files in front of a real server: rotations, kills and outages, after which every line is stored once.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test on real processes and files")]

use integration_tests::load::{select_all, unlimited};
use integration_tests::{Agent, Server, entries, now_ns, until};
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

const HOUR_NS: i64 = 3_600_000_000_000;

/// A server that is found again at its old place after a restart.
fn server() -> Server {
    let mut server = Server::stopped(&unlimited()).on_one_port();
    server.restart();
    server
}

/// A client of that server that does not wait long.
fn client(server: &Server) -> String {
    let backoff = "{min_period: 20ms, max_period: 200ms}";
    format!(
        "clients: [{{url: 'http://127.0.0.1:{}/loki/api/v1/push', batchwait: 50ms, timeout: 5s, backoff_config: {backoff}}}]\n",
        server.port()
    )
}

/// A scrape config over the files that a glob in the agent's folder finds.
fn files(glob: &str, stages: &str) -> String {
    let labels = format!("{{job: files, __path__: FOLDER/{glob}}}");
    format!(
        "scrape_configs: [{{job_name: files, static_configs: [{{labels: {labels}}}], pipeline_stages: [{stages}]}}]\ntarget_config: {{sync_period: 200ms}}\n"
    )
}

/// A program that writes numbered lines into a log file.
struct Writer {
    path: PathBuf,
    file: File,
    written: BTreeSet<String>,
}

impl Writer {
    fn new(path: PathBuf) -> Self {
        let file = append(&path);
        Writer { path, file, written: BTreeSet::new() }
    }

    fn write(&mut self, count: usize) {
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
    fn rename_to(&mut self, to: &str) {
        std::fs::rename(&self.path, self.path.with_file_name(to)).unwrap();
        self.file = append(&self.path);
    }

    /// As logrotate does with `copytruncate`.
    fn copy_truncate(&mut self, to: &str) {
        std::fs::copy(&self.path, self.path.with_file_name(to)).unwrap();
        self.file.set_len(0).unwrap();
    }

    /// Deletes the file; the program goes on in a new one.
    fn delete(&mut self) {
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
fn stored(server: &Server, job: &str) -> BTreeSet<String> {
    let entries = entries(&select_all(server, &format!("{{job=\"{job}\"}}"), now_ns() - HOUR_NS));
    let lines: BTreeSet<String> = entries.iter().map(|(_, line)| line.clone()).collect();
    assert_eq!(lines.len(), entries.len(), "lines are stored twice");
    lines
}

/// Waits until the server has all of these lines, and checks that it has no other and none twice.
#[track_caller]
fn arrives(server: &Server, job: &str, want: &BTreeSet<String>) {
    until("all lines arrive", || {
        (server.total(&format!("sum(count_over_time({{job=\"{job}\"}}[1h]))")) >= want.len() as f64).then_some(())
    });
    let found = stored(server, job);
    let lost: Vec<_> = want.difference(&found).take(5).collect();
    let other: Vec<_> = found.difference(want).take(5).collect();
    assert!(lost.is_empty() && other.is_empty(), "lost {lost:?}, not written {other:?}");
}

/// Waits until the agent has read what there is of a file, as its metrics tell.
#[track_caller]
fn has_read(agent: &Agent, path: &Path) {
    let bytes = path.metadata().unwrap().len() as f64;
    let label = format!("path=\"{}\"", path.display());
    until("the file is read", || (agent.metric("promtail_read_bytes_total", &label) == bytes).then_some(()));
}

#[test]
fn lines_of_files_that_rotate_in_every_way_are_stored_once_while_the_server_dies_and_returns() {
    let mut server = server();
    let mut agent = Agent::start(&format!("{}{}", client(&server), files("logs/*.log", "")));
    let path = |name: &str| agent.path().join("logs").join(name);
    let names = ["renamed.log", "truncated.log", "deleted.log", "zipped.log", "steady.log"];
    let mut writers: Vec<Writer> = names.iter().map(|name| Writer::new(path(name))).collect();
    for round in 0..6 {
        if round % 2 == 1 {
            server.kill();
        }
        for writer in &mut writers {
            writer.write(200);
        }
        writers[0].rename_to(&format!("renamed.log.{round}"));
        // Without a line left unread: what is gone from a file is not readable any more.
        has_read(&agent, &writers[1].path);
        writers[1].copy_truncate(&format!("truncated.log.{round}"));
        has_read(&agent, &writers[2].path);
        writers[2].delete();
        let zipped = writers[3].path.with_file_name(format!("zipped.log.{round}"));
        writers[3].rename_to(&format!("zipped.log.{round}"));
        assert!(std::process::Command::new("gzip").arg(&zipped).status().unwrap().success());
        for writer in &mut writers {
            writer.write(100);
        }
        if round % 2 == 1 {
            server.restart();
        }
    }
    let written: BTreeSet<String> = writers.iter().flat_map(|writer| writer.written.iter().cloned()).collect();
    arrives(&server, "files", &written);
    assert!(agent.terminate().success());
}

#[test]
fn two_rotations_while_a_push_stalls_lose_nothing() {
    let server = server();
    let agent = Agent::start(&format!("{}{}", client(&server), files("logs/app.log", "")));
    let mut writer = Writer::new(agent.path().join("logs/app.log"));
    writer.write(100);
    arrives(&server, "files", &writer.written);
    // The process is there and takes connections, and answers nothing.
    server.signal("-STOP");
    writer.write(1_000);
    writer.rename_to("app.log.1");
    writer.write(1_000);
    std::fs::rename(writer.path.with_file_name("app.log.1"), writer.path.with_file_name("app.log.2")).unwrap();
    writer.rename_to("app.log.1");
    writer.write(1_000);
    until("the agent reads on", || (agent.metric("promtail_read_lines_total", "app.log") >= 3_100.0).then_some(()));
    std::fs::remove_file(writer.path.with_file_name("app.log.2")).unwrap();
    server.signal("-CONT");
    arrives(&server, "files", &writer.written);
}

#[test]
fn a_killed_agent_goes_on_where_it_was_also_in_files_that_rotated_meanwhile() {
    let mut server = server();
    let mut agent = Agent::start(&format!("{}{}", client(&server), files("logs/*.log", "")));
    let mut writers: Vec<Writer> = ["one.log", "two.log"].iter().map(|name| Writer::new(agent.path().join("logs").join(name))).collect();
    for round in 0..5 {
        for writer in &mut writers {
            writer.write(500);
        }
        match round {
            // Some of it is sent, some is in the spool, some is not read yet.
            0 | 3 => until("something is sent", || (agent.metric("promtail_sent_entries_total", "") > 0.0).then_some(())),
            1 => server.kill(),
            _ => {}
        }
        agent.kill();
        writers[0].write(100);
        writers[0].rename_to(&format!("one.log.{round}"));
        writers[0].write(100);
        agent.restart();
        if round == 2 {
            server.restart();
        }
    }
    let written: BTreeSet<String> = writers.iter().flat_map(|writer| writer.written.iter().cloned()).collect();
    arrives(&server, "files", &written);
}
