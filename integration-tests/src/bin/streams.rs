//! Pushes one entry to each of many streams and prints what the server's process takes then. See the README of this folder.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, reason = "a command for people, which looks at a process")]

use clap::Parser;
use integration_tests::{Client, now_ns};
use std::error::Error;
use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

/// Streams of one push.
const BATCH: usize = 1000;

/// Pushes one entry to each of many streams, has them flushed, and prints the resident memory of the server's process on the way.
///
/// A stream has eight labels, about 170 bytes; 40 % of the streams have a pod of their own.
#[derive(Debug, Parser)]
struct Args {
    /// Where the server is.
    #[arg(default_value = "http://127.0.0.1:3100")]
    server: String,
    /// Process of the server.
    #[arg(long)]
    pid: u32,
    /// How many streams.
    #[arg(long, default_value_t = 1_000_000)]
    streams: usize,
    /// Seconds that the server is left alone before it is looked at for the last time.
    #[arg(long, default_value_t = 30)]
    rest: u64,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let client = Client::new(&args.server);
    println!("before: {} MiB", resident_mib(args.pid)?);
    for first in (0..args.streams).step_by(BATCH) {
        let body = push(first..(first + BATCH).min(args.streams), now_ns());
        let answer = client.call("POST", "/loki/api/v1/push", &[("Content-Type", "application/json")], body.as_bytes())?;
        if answer.status != 204 {
            return Err(format!("push refused with {}: {}", answer.status, answer.text()).into());
        }
    }
    println!("{} streams pushed: {} MiB", args.streams, resident_mib(args.pid)?);
    client.call("POST", "/flush", &[], &[])?;
    println!("flushed: {} MiB", resident_mib(args.pid)?);
    std::thread::sleep(Duration::from_secs(args.rest));
    println!("idle for {} s: {} MiB", args.rest, resident_mib(args.pid)?);
    Ok(())
}

fn push(streams: std::ops::Range<usize>, now: i64) -> String {
    let mut body = String::from("{\"streams\":[");
    for (place, i) in streams.enumerate() {
        let (comma, pod) = (if place > 0 { "," } else { "" }, if i % 5 < 2 { i } else { i % 1000 });
        let (app, node, shard) = (i % 200, i % 500, i / 1000);
        let _ = write!(
            body,
            "{comma}{{\"stream\":{{\"app\":\"application-{app}\",\"cluster\":\"europe-west-1\",\"namespace\":\"team-{}\",\"container\":\"main\",\
             \"node\":\"node-{node}.internal\",\"pod\":\"application-{app}-{pod:08x}\",\"shard\":\"{shard}\",\"stream\":\"stdout\"}},\
             \"values\":[[\"{now}\",\"GET /healthz took 3ms\"]]}}",
            i % 50
        );
    }
    body + "]}"
}

/// Resident memory of a process.
fn resident_mib(pid: u32) -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("the process has no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024)
}
