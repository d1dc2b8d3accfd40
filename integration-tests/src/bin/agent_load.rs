//! Lets the agent read container logs and prints what its process takes. See the README of this folder.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, reason = "a command for people, which looks at a process")]

use clap::Parser;
use integration_tests::until;
use std::error::Error;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Bytes that are written to a file at a time.
const PIECE: usize = 64 << 10;

/// Starts the agent with the stages cri, json and labels in front of a server that takes everything and keeps nothing; lets it read files that are there already, and then files that
/// are written at a steady rate; prints processor time and resident memory of the agent.
#[derive(Debug, Parser)]
struct Args {
    /// The agent.
    #[arg(default_value = "target/release/skald-agent")]
    agent: PathBuf,
    /// Megabytes that are there already.
    #[arg(long, default_value_t = 1_000)]
    megabytes: usize,
    /// Megabytes per second of the steady part.
    #[arg(long, default_value_t = 1.0)]
    rate: f64,
    /// Seconds of the steady part.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Files over which lines are spread.
    #[arg(long, default_value_t = 10)]
    files: usize,
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
    let folder = tempfile::tempdir()?;
    let lines = Lines::write(folder.path(), args)?;
    let (server, taken) = start_server()?;
    let config = folder.path().join("agent.yaml");
    std::fs::write(&config, configuration(folder.path(), server))?;
    let begun = Instant::now();
    let mut agent = Agent(Command::new(&args.agent).arg(format!("-config.file={}", config.display())).spawn()?);
    wait_for(&mut agent, &taken, lines.sent)?;
    let (took, cpu) = (begun.elapsed().as_secs_f64(), agent.cpu_seconds()?);
    let megabytes = lines.bytes as f64 / 1e6;
    println!(
        "{megabytes:.0} MB in {took:.1} s: {:.0} MB/s, {cpu:.2} CPU s, {:.0} MB per CPU s, peak RSS {} MiB",
        megabytes / took,
        megabytes / cpu,
        agent.memory_mib("VmHWM")?
    );
    drop(agent);

    let mut agent = Agent(Command::new(&args.agent).arg(format!("-config.file={}", config.display())).spawn()?);
    // What starting takes is not what running takes.
    std::thread::sleep(Duration::from_secs(3));
    let (begun, before) = (Instant::now(), agent.cpu_seconds()?);
    let more = lines.follow(folder.path(), args)?;
    wait_for(&mut agent, &taken, lines.sent + more)?;
    let share = (agent.cpu_seconds()? - before) / begun.elapsed().as_secs_f64() * 100.0;
    println!(
        "{} MB/s for {} s: {share:.2} % of a core, RSS {} MiB, peak {} MiB",
        args.rate,
        args.seconds,
        agent.memory_mib("VmRSS")?,
        agent.memory_mib("VmHWM")?
    );
    Ok(())
}

/// Waits until the server has taken as many requests' bytes as the agent says that it sent entries.
fn wait_for(agent: &mut Agent, taken: &AtomicU64, entries: u64) -> Result<(), Box<dyn Error>> {
    while taken.load(Ordering::Relaxed) < entries {
        if let Some(status) = agent.0.try_wait()? {
            return Err(format!("the agent ended with {status}").into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn configuration(folder: &Path, server: u16) -> String {
    let folder = folder.display();
    format!(
        "server: {{http_listen_address: 127.0.0.1, http_listen_port: 0, grpc_listen_port: 0, log_level: warn}}
positions: {{filename: {folder}/positions.yaml}}
clients: [{{url: 'http://127.0.0.1:{server}/loki/api/v1/push'}}]
scrape_configs:
  - job_name: pods
    static_configs: [{{labels: {{job: bench, namespace: shop, pod: cart-7d9f8, container: cart, node_name: node-1, __path__: '{folder}/*.log'}}}}]
    pipeline_stages:
      - cri: {{}}
      - json: {{expressions: {{level: level, method: http.method}}}}
      - labels: {{level: , method: }}
"
    )
}

/// What is in the files.
struct Lines {
    bytes: u64,
    sent: u64,
}

impl Lines {
    fn write(folder: &Path, args: &Args) -> Result<Self, Box<dyn Error>> {
        let (mut number, mut bytes) = (0, 0);
        for file in 0..args.files {
            let mut file = File::create(folder.join(format!("{file}.log")))?;
            let mut left = (args.megabytes * 1_000_000 / args.files) as i64;
            while left > 0 {
                let piece = piece(&mut number);
                file.write_all(piece.as_bytes())?;
                left -= piece.len() as i64;
                bytes += piece.len() as u64;
            }
        }
        Ok(Lines { bytes, sent: number })
    }

    /// Writes at the rate, in ten steps a second; gives how many lines that were.
    fn follow(&self, folder: &Path, args: &Args) -> Result<u64, Box<dyn Error>> {
        let (begun, mut number, mut written) = (Instant::now(), 0, 0_u64);
        let open = |file: usize| File::options().append(true).open(folder.join(format!("{file}.log")));
        let mut files = (0..args.files).map(open).collect::<Result<Vec<_>, _>>()?;
        let mut turn = 0;
        while begun.elapsed() < Duration::from_secs(args.seconds) {
            while (written as f64) < begun.elapsed().as_secs_f64() * args.rate * 1e6 {
                let piece = piece(&mut number);
                let at = turn % files.len();
                files[at].write_all(piece.as_bytes())?;
                written += piece.len() as u64;
                turn += 1;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(number)
    }
}

/// Lines as a container runtime writes them, around JSON of a web service.
fn piece(number: &mut u64) -> String {
    let mut text = String::with_capacity(PIECE + 512);
    while text.len() < PIECE {
        let n = *number;
        let level = ["info", "info", "info", "debug", "warn", "error"][(n % 6) as usize];
        let method = ["GET", "POST", "PUT"][(n % 3) as usize];
        let mixed = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let _ = writeln!(
            text,
            "2026-11-22T10:{:02}:{:02}.{:09}Z stdout F {{\"ts\":{n},\"level\":\"{level}\",\"msg\":\"request done\",\"http\":{{\"method\":\"{method}\",\"path\":\"/api/v1/items/{}\",\"status\":200}},\"trace_id\":\"{mixed:016x}{:016x}\",\"took_ms\":{}}}",
            n / 60_000_000 % 60,
            n / 1_000_000 % 60,
            n % 1_000_000 * 1_000,
            mixed % 10_000,
            mixed.rotate_left(17),
            mixed % 977,
        );
        *number += 1;
    }
    text
}

/// A server that answers each push with 204 and counts its entries.
fn start_server() -> Result<(u16, Arc<AtomicU64>), Box<dyn Error>> {
    let (listener, taken) = (TcpListener::bind("127.0.0.1:0")?, Arc::new(AtomicU64::new(0)));
    let (port, counter) = (listener.local_addr()?.port(), Arc::clone(&taken));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let counter = Arc::clone(&counter);
            std::thread::spawn(move || serve(stream, &counter));
        }
    });
    Ok((port, taken))
}

/// Answers the requests of one connection until it ends.
fn serve(stream: TcpStream, taken: &AtomicU64) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let (mut length, mut line) = (0, String::new());
        while reader.read_line(&mut line).ok()? > 2 {
            let header = line.to_ascii_lowercase();
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            line.clear();
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        taken.fetch_add(entries(&body)?, Ordering::Relaxed);
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").ok()?;
    }
}

/// Number of entries of a push.
fn entries(body: &[u8]) -> Option<u64> {
    let raw = snap::raw::Decoder::new().decompress_vec(body).ok()?;
    skald_proto::read_push(&raw).map(|stream| Some(stream.ok()?.entries_len as u64)).sum()
}

struct Agent(Child);

impl Agent {
    /// Processor time of the process so far.
    fn cpu_seconds(&self) -> Result<f64, Box<dyn Error>> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        // Of Linux: user and system time in hundredths of a second.
        Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / 100.0)
    }

    /// A line of the process's status, in MiB.
    fn memory_mib(&self, name: &str) -> Result<u64, Box<dyn Error>> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find(|line| line.starts_with(name)).ok_or("no such line")?;
        Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse::<u64>()? / 1024)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It is stopped like any other, so that the next one finds its positions.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        until("the agent ends", || self.0.try_wait().ok().flatten());
    }
}
