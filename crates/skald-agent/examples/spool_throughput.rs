//! How fast lines go through batcher, spool and a reader, on the real disk: `cargo run --release --example spool_throughput -- [MiB] [directory]`.
//!
//! One source offers lines of about 200 bytes in runs of 256, one client takes every batch and acknowledges it at once. Prints bytes of lines per second, by
//! the wall clock and by the processor time of the whole process.

#![allow(clippy::print_stdout, reason = "the figures are its result")]

use skald_agent::batcher::{BatchLimits, DropReason, Losses};
use skald_agent::intake::{Intake, PositionUpdate};
use skald_agent::positions::PositionsConfig;
use skald_agent::spool::{Spool, SpoolConfig, SpoolParts};
use skald_model::Timestamp;
use skald_model::seam::Seams;
use skald_pipeline::{Entry, LabelSet};
use skald_runtime::{Metrics, seams};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Lines of one offer.
const RUN: usize = 256;
/// Lines that differ: more than a block of snappy sees at once.
const LINES: i64 = 20_000;

struct NoLosses;

impl Losses for NoLosses {
    fn dropped(&self, _: Option<&str>, _: DropReason, _: u64, _: u64) {}
    fn mutated(&self, _: Option<&str>, _: DropReason, _: u64, _: u64) {}
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let mebibytes: u64 = args.next().map_or(Ok(1024), |text| text.parse())?;
    let kept = args.next();
    let temporary = tempfile::tempdir()?;
    let dir = kept.as_deref().map_or(temporary.path(), Path::new);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let metrics = Metrics::new("example");
    runtime.block_on(async { measure(dir, mebibytes << 20, &seams(1, &metrics)?).await })
}

async fn measure(dir: &Path, bytes: u64, seams: &Seams) -> Result<(), Box<dyn Error>> {
    let clients = ["one".to_owned()];
    let parts = SpoolParts {
        config: SpoolConfig { dir: dir.join("spool"), max_size: 1 << 30 },
        positions: PositionsConfig { filename: dir.join("positions.yaml"), ..PositionsConfig::default() },
        limits: BatchLimits::default(),
        losses: Arc::new(NoLosses),
        clients: &clients,
        seams,
    };
    let spool = Spool::open(parts, &mut prometheus_client::registry::Registry::default())?;
    spool.start();
    let mut reader = spool.reader("one");
    let delivered = async move {
        let (mut lines, mut sent) = (0, 0);
        while lines < bytes {
            let batch = reader.next().await;
            sent += batch.payload().await.expect("the disk is well").len();
            lines += batch.line_bytes();
            batch.ack();
        }
        sent
    };
    let (wall, cpu) = (seams.clock.monotonic(), cpu_time()?);
    let ((), sent) = futures::join!(offer(&spool, bytes, seams), delivered);
    let (wall, cpu) = (seams.clock.monotonic() - wall, cpu_time()? - cpu);
    let rate = |time: Duration| bytes as f64 / 1e6 / time.as_secs_f64();
    println!("{:.0} MB of lines, {:.0} MB sent", bytes as f64 / 1e6, sent as f64 / 1e6);
    println!("wall {wall:.2?}: {:.0} MB/s", rate(wall));
    println!("processor {cpu:.2?}: {:.0} MB/s per core", rate(cpu));
    spool.stop().await;
    Ok(())
}

/// Offers lines, copies of a few thousand.
async fn offer(spool: &Spool, bytes: u64, seams: &Seams) {
    let intake = spool.intake();
    let labels: LabelSet = [("app", "checkout"), ("namespace", "shop"), ("pod", "checkout-7f9c-x2x9")].into_iter().collect();
    let lines: Vec<String> = (0..LINES).map(|number| line(number, seams.random.next_u64())).collect();
    let (mut offered, mut number, mut entries) = (0, 0, Vec::new());
    while offered < bytes {
        for _ in 0..RUN {
            let line = lines[number % lines.len()].clone();
            number += 1;
            offered += line.len() as u64;
            entries.push(Entry { labels: labels.clone(), timestamp: Timestamp(number as i64), line, metadata: Vec::new() });
        }
        let position = PositionUpdate::Cursor { key: "example".to_owned(), value: number.to_string() };
        while intake.offer(&mut entries, Some(position.clone())).is_err() {
            intake.room().await;
        }
        tokio::task::yield_now().await;
    }
    intake.flush().await;
}

fn line(number: i64, noise: u64) -> String {
    format!(
        r#"{{"level":"info","ts":"2026-01-15T10:{:02}:{:02}.{:03}Z","msg":"order accepted","trace_id":"{noise:016x}","user":{},"path":"/api/v1/orders/{}","status":{},"took_ms":{}}}"#,
        number / 60_000 % 60,
        number / 1000 % 60,
        number % 1000,
        noise % 100_000,
        noise >> 40,
        if noise.is_multiple_of(50) { 500 } else { 200 },
        noise % 977,
    )
}

/// Processor time of this process, in the hundredths of a second that the system counts.
fn cpu_time() -> Result<Duration, Box<dyn Error>> {
    let text = read_stat()?;
    let after_name = text.rsplit_once(')').ok_or("no process name")?.1;
    let mut fields = after_name.split_whitespace().skip(11);
    let mut ticks = || fields.next().and_then(|field| field.parse::<u64>().ok()).ok_or("no times");
    Ok(Duration::from_millis(10 * (ticks()? + ticks()?)))
}

#[allow(clippy::disallowed_methods, reason = "a file of the system, whose length it does not say")]
fn read_stat() -> Result<String, Box<dyn Error>> {
    Ok(String::from_utf8(std::fs::read("/proc/self/stat")?)?)
}
