//! Measures index files of many streams: size, time to build and to open, memory, and the processor time of typical questions.
//!
//! `cargo run --release -p skald-index --example scale [streams …]`. Streams have 8 labels, 40 % as many pods as streams, and 13 references on average.
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a measuring tool reads the clock and prints")]

use bytes::Bytes;
use skald_index::{Index, IndexWriter, LabelValues, Layout, Matcher, MergeInput, Reference, Selection, Test, merge};
use skald_model::{Labels, TimeRange, Timestamp};
use std::error::Error;
use std::time::{Duration, Instant};

const OBJECTS: u64 = 96;
/// What one object spans: a quarter of an hour.
const OBJECT_NANOS: i64 = 900_000_000_000;
const WORDS: [&str; 20] = [
    "auth",
    "basket",
    "billing",
    "catalog",
    "checkout",
    "delivery",
    "email",
    "frontend",
    "gateway",
    "inventory",
    "kafka",
    "ledger",
    "metrics",
    "notify",
    "orders",
    "payment",
    "queue",
    "search",
    "shipping",
    "users",
];
const LEVELS: [&str; 5] = ["debug", "error", "info", "trace", "warn"];

/// A fixed sequence of numbers without pattern.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % below
    }
}

/// Labels of `count` streams, ascending.
fn label_sets(count: usize) -> Vec<Labels> {
    let (mut numbers, mut sets) = (Numbers(1), Vec::with_capacity(count));
    while sets.len() < count {
        let app = numbers.next(200);
        let (name, namespace) = (format!("{}-{}", WORDS[app as usize / 10], app % 10), format!("team-{:02}", app % 50));
        let random: String = (0..10).map(|_| char::from(b"0123456789bcdfghjklmnpqrstvwxz"[numbers.next(30) as usize])).collect();
        let pod = format!("{name}-{}-{}", &random[..5], &random[5..]);
        let (node, cluster) = (format!("node-{:03}.internal", numbers.next(500)), format!("cluster-{}", numbers.next(4)));
        let first = numbers.next(5) as usize;
        // Two or three streams of each pod.
        for level in (0..2 + numbers.next(2) as usize).map(|i| LEVELS[(first + i) % 5]).take(count - sets.len()) {
            let pairs = [
                ("app", name.as_str()),
                ("cluster", &cluster),
                ("container", "main"),
                ("level", level),
                ("namespace", &namespace),
                ("node", &node),
                ("pod", &pod),
                ("stream", ["stderr", "stdout"][(level != "error") as usize]),
            ];
            sets.push(Labels::from_pairs(pairs).expect("names differ"));
        }
    }
    sets.sort();
    sets.dedup();
    sets
}

fn references(numbers: &mut Numbers, number: usize) -> Vec<Reference> {
    let len = 1 + numbers.next(25);
    let first = numbers.next(OBJECTS - len);
    let reference = |object: u64| {
        let start = object as i64 * OBJECT_NANOS;
        Reference {
            object: object as u32,
            stream: (number as u64 * 13 / OBJECTS + object * 3 + numbers.next(50)) as u32,
            min_time: Timestamp(start + numbers.next(OBJECT_NANOS as u64 / 4) as i64),
            max_time: Timestamp(start + OBJECT_NANOS - 1 - numbers.next(OBJECT_NANOS as u64 / 4) as i64),
            rows: 1 + numbers.next(3000),
            line_bytes: 100 + numbers.next(400_000),
            metadata_bytes: numbers.next(2) * numbers.next(100_000),
        }
    };
    (first..first + len).map(reference).collect()
}

fn build(disk: usize, sets: &[Labels]) -> Result<Bytes, Box<dyn Error>> {
    let mut numbers = Numbers(2);
    let name = |number| format!("tenant/2026-01-15/incoming/{disk:032x}-{number:010}-0-default");
    let mut writer = IndexWriter::new((0..OBJECTS).map(name).collect())?;
    for (number, labels) in sets.iter().enumerate() {
        writer.add(labels, &references(&mut numbers, number))?;
    }
    Ok(writer.finish()?)
}

fn open(file: &Bytes, copy: bool) -> Result<Index, Box<dyn Error>> {
    let layout = Layout::parse(&file[file.len() - Layout::TAIL_LEN..], file.len() as u64)?;
    let core = file.slice(layout.core().start as usize..layout.core().end as usize);
    Ok(Index::open(&layout, if copy { Bytes::from(core.to_vec()) } else { core })?)
}

/// Peak of the process's memory so far, as Linux tells it; zero elsewhere.
fn peak_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) << 10
}

/// Processor time of this thread so far, as Linux tells it; zero elsewhere.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}

/// Processor time of a run, in milliseconds: the mean of enough runs.
fn measure<T>(mut run: impl FnMut() -> T) -> (f64, T) {
    let (mut result, begin, start, mut runs) = (run(), Instant::now(), cpu_time(), 0u32);
    while runs < 2 || begin.elapsed() < Duration::from_millis(300) {
        result = run();
        runs += 1;
    }
    ((cpu_time() - start).as_secs_f64() * 1e3 / f64::from(runs), result)
}

fn equals(name: &str, value: &str) -> Matcher {
    Matcher { name: name.into(), negated: false, test: Test::Equals(value.into()) }
}

fn not_empty(name: &str) -> Matcher {
    Matcher { name: name.into(), negated: true, test: Test::Equals(String::new()) }
}

fn pattern(name: &str, negated: bool, pattern: &str) -> Matcher {
    Matcher { name: name.into(), negated, test: Test::Pattern(pattern.into()) }
}

fn questions() -> Vec<(&'static str, Vec<Matcher>, TimeRange)> {
    let hour = TimeRange::new(Timestamp(40 * OBJECT_NANOS), Timestamp(44 * OBJECT_NANOS));
    let all = TimeRange::ALL;
    vec![
        (r#"app="payment-3""#, vec![equals("app", "payment-3")], all),
        (r#"app=~"users-1|orders-2|auth-3""#, vec![pattern("app", false, "users-1|orders-2|auth-3")], all),
        (r#"app=~"pay.*""#, vec![pattern("app", false, "pay.*")], all),
        (r#"pod!~"p.*", namespace="team-07""#, vec![pattern("pod", true, "p.*"), equals("namespace", "team-07")], all),
        (r#"pod=~".*7x.*""#, vec![pattern("pod", false, ".*7x.*")], all),
        (r#"pod=~"(?i).*PAYMENT.*""#, vec![pattern("pod", false, "(?i).*PAYMENT.*")], all),
        (r#"pod=~".*b.{12}""#, vec![pattern("pod", false, ".*b.{12}")], all),
        (r#"app!="""#, vec![not_empty("app")], all),
        (r#"app=~".*", nolabel="""#, vec![pattern("app", false, ".*"), equals("nolabel", "")], all),
        (r#"nolabel=~"a|""#, vec![pattern("nolabel", false, "a|")], all),
        (r#"app=, level=, cluster="#, vec![equals("app", "payment-3"), equals("level", "error"), equals("cluster", "cluster-2")], all),
        (r#"app="payment-3", 1 h"#, vec![equals("app", "payment-3")], hour),
        (r#"app!="", 1 h"#, vec![not_empty("app")], hour),
    ]
}

/// The first `count` streams, or as many evenly spread ones.
fn some(index: &Index, count: usize, spread: bool) -> Selection {
    let step = if spread { (index.len() / count).max(1) } else { 1 };
    index.select_all().filter(|stream| (stream as usize).is_multiple_of(step) && (stream as usize / step) < count)
}

fn fetch(file: &Bytes, index: &Index, selection: &Selection) -> Result<(usize, u64), Box<dyn Error>> {
    let (mut references, mut bytes) = (0, 0);
    for block in index.row_blocks(selection) {
        bytes += block.range.end - block.range.start;
        let streams = index.streams(&block, &file[block.range.start as usize..block.range.end as usize], selection)?;
        references += streams.iter().map(|stream| stream.references.len()).sum::<usize>();
    }
    Ok((references, bytes))
}

fn measure_index(count: usize) -> Result<(), Box<dyn Error>> {
    let sets = label_sets(count);
    let before = peak_bytes();
    let begin = cpu_time();
    let file = build(0, &sets)?;
    let (build_ms, peak) = ((cpu_time() - begin).as_secs_f64() * 1e3, peak_bytes().saturating_sub(before));
    drop(sets);
    let layout = Layout::parse(&file[file.len() - Layout::TAIL_LEN..], file.len() as u64)?;
    let (open_ms, index) = measure(|| open(&file, true));
    let index = index?;
    let n = index.len() as f64;
    let core = (layout.core().end - layout.core().start) as f64;
    println!("\n## {} streams", index.len());
    println!(
        "file {} bytes, {:.1} a stream: core {:.1}, rows {:.1}",
        file.len(),
        file.len() as f64 / n,
        core / n,
        layout.core().start as f64 / n
    );
    println!(
        "build {build_ms:.0} ms, memory beyond the input {:.1} MB; open {open_ms:.3} ms with a copy, holds {} bytes",
        peak as f64 / 1e6,
        index.heap_bytes()
    );
    println!("\n| question | streams | ms |\n|---|---|---|");
    for (text, matchers, range) in questions() {
        let (ms, selection) = measure(|| index.select(&matchers, range));
        println!("| {text} | {} | {ms:.3} |", selection?.len());
    }
    let app = index.select(&[equals("app", "payment-3")], TimeRange::ALL)?;
    let team = index.select(&[equals("namespace", "team-07")], TimeRange::ALL)?;
    println!("\n| labels | found | ms |\n|---|---|---|");
    let (ms, names) = measure(|| index.label_names(None));
    println!("| names | {} | {ms:.3} |", names?.len());
    for (text, name, selection) in [
        ("values of app", "app", None),
        ("values of node", "node", None),
        ("values of pod", "pod", None),
        (r#"values of node, app="x""#, "node", Some(&app)),
        (r#"values of pod, app="x""#, "pod", Some(&app)),
        (r#"values of app, namespace="n""#, "app", Some(&team)),
    ] {
        let (ms, values) = measure(|| index.label_values(name, selection));
        let found = match values? {
            LabelValues::Known(values) => values.len().to_string(),
            LabelValues::InRows => "in rows".into(),
        };
        println!("| {text} | {found} | {ms:.3} |");
    }
    println!("\n| labels and references of | references | MB read | ms |\n|---|---|---|---|");
    for wanted in [10, 1000, 100_000, 1_000_000].into_iter().filter(|wanted| *wanted < index.len()).chain([index.len()]) {
        for spread in [false, true].into_iter().take(if wanted < index.len() { 2 } else { 1 }) {
            let selection = some(&index, wanted, spread);
            let (ms, found) = measure(|| fetch(&file, &index, &selection));
            let (references, bytes) = found?;
            println!("| {wanted}{} | {references} | {:.3} | {ms:.3} |", if spread { " spread" } else { "" }, bytes as f64 / 1e6);
        }
    }
    Ok(())
}

/// Twenty files of streams that mostly are the same.
fn measure_merge() -> Result<(), Box<dyn Error>> {
    let sets = label_sets(100_000);
    let files: Vec<Bytes> =
        (0..20).map(|file| build(file, &sets.iter().skip(file).step_by(2).cloned().collect::<Vec<_>>())).collect::<Result<_, _>>()?;
    let indexes: Vec<Index> = files.iter().map(|file| open(file, false)).collect::<Result<_, _>>()?;
    let begin = cpu_time();
    let inputs = files
        .iter()
        .zip(&indexes)
        .map(|(file, index)| MergeInput::of_index(index, |range| Ok(file.slice(range.start as usize..range.end as usize))));
    let merged = merge(inputs.collect(), |_| true)?;
    let ms = (cpu_time() - begin).as_secs_f64() * 1e3;
    let read: usize = indexes.iter().map(Index::len).sum();
    println!("\nmerge of 20 files, {read} streams: {ms:.0} ms, {} streams, {} bytes", open(&merged, false)?.len(), merged.len());
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let asked: Vec<usize> = std::env::args().skip(1).map(|arg| arg.parse()).collect::<Result<_, _>>()?;
    let counts = if asked.is_empty() { vec![5, 1_000, 100_000, 1_000_000] } else { asked };
    counts.into_iter().try_for_each(measure_index)?;
    measure_merge()
}
