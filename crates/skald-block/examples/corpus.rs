//! Measures what a corpus of push bodies takes as data objects: size by part, and processor time by step.
//!
//! `cargo run --release -p skald-block --example corpus -- <file> [generation MiB] [zstd level]`. The file is a sequence of
//! `{u32 length, u32 entries, u64 raw bytes, snappy-compressed push request}`, numbers little-endian.
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a measuring tool reads files and prints")]

use prost::Message;
use skald_block::{Decoder, FilterPage, FilterQuery, Footer, ObjectInfo, ObjectWriter, Part, Trailer, WriterOptions, merge_rows};
use skald_model::{Day, DiskId, Generation, Labels, Rows, RowsBuilder, TenantId, Timestamp};
use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

#[derive(Clone, PartialEq, Message)]
struct PushRequest {
    #[prost(message, repeated, tag = "1")]
    streams: Vec<Stream>,
}

#[derive(Clone, PartialEq, Message)]
struct Stream {
    #[prost(string, tag = "1")]
    labels: String,
    #[prost(message, repeated, tag = "2")]
    entries: Vec<Entry>,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(message, optional, tag = "1")]
    timestamp: Option<Time>,
    #[prost(bytes = "vec", tag = "2")]
    line: Vec<u8>,
    #[prost(message, repeated, tag = "3")]
    metadata: Vec<Pair>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Time {
    #[prost(int64, tag = "1")]
    secs: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Pair {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// Processor time of this thread so far, as Linux tells it; zero elsewhere.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}

/// Chunks per day and stream of one generation.
type Memory = BTreeMap<(Day, String), Vec<Rows>>;

#[derive(Default)]
struct Totals {
    raw: usize,
    rows: usize,
    stored: usize,
    parts: BTreeMap<&'static str, u64>,
    sort: Duration,
    write: Duration,
    objects: Vec<(Footer, bytes::Bytes)>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let file = args.next().ok_or("which file?")?;
    let limit = args.next().map_or(Ok(48), |mib| mib.parse::<usize>())? << 20;
    let level = args.next().map_or(Ok(1), |level| level.parse())?;
    let bytes = std::fs::read(file)?;
    let (mut rest, mut memory, mut held, mut totals) = (&bytes[..], Memory::new(), 0, Totals::default());
    while let Some((header, after)) = rest.split_at_checked(16) {
        let len = u32::from_le_bytes(header[..4].try_into()?) as usize;
        let body = after.get(..len).ok_or("the file ends early")?;
        held += take_push(&mut memory, PushRequest::decode(&snap::raw::Decoder::new().decompress_vec(body)?[..])?);
        rest = &after[len..];
        if held >= limit {
            flush(std::mem::take(&mut memory), &mut totals, level)?;
            held = 0;
        }
    }
    flush(memory, &mut totals, level)?;
    report(&totals);
    read_back(&totals)
}

fn take_push(memory: &mut Memory, push: PushRequest) -> usize {
    let mut bytes = 0;
    for stream in push.streams {
        let mut days: BTreeMap<Day, RowsBuilder> = BTreeMap::new();
        for entry in stream.entries {
            let time = entry.timestamp.unwrap_or_default();
            let at = Timestamp(time.secs * 1_000_000_000 + i64::from(time.nanos));
            let builder = days.entry(Day::of(at)).or_default();
            builder.push(at, &entry.line);
            bytes += entry.line.len();
            entry.metadata.iter().for_each(|pair| builder.set_metadata(&pair.name, pair.value.as_bytes(), false));
            builder.set_metadata("detected_level", rough_level(&entry.line).as_bytes(), true);
        }
        for (day, builder) in days {
            memory.entry((day, stream.labels.clone())).or_default().push(builder.finish());
        }
    }
    bytes
}

/// Good enough to give the column its size.
fn rough_level(line: &[u8]) -> &'static str {
    let head = String::from_utf8_lossy(line).to_ascii_lowercase();
    ["error", "warn", "info", "debug"].into_iter().find(|level| head.contains(level)).unwrap_or("unknown")
}

fn labels(text: &str) -> Result<Labels, Box<dyn Error>> {
    let pairs = text.trim_matches(['{', '}']).split("\", ").filter_map(|pair| pair.split_once("=\""));
    Ok(Labels::from_pairs(pairs.map(|(name, value)| (name.trim(), value.trim_end_matches('"'))))?)
}

fn flush(memory: Memory, totals: &mut Totals, level: i32) -> Result<(), Box<dyn Error>> {
    let mut days: BTreeMap<Day, BTreeMap<Labels, Vec<Rows>>> = BTreeMap::new();
    for ((day, text), chunks) in memory {
        days.entry(day).or_default().entry(labels(&text)?).or_default().extend(chunks);
    }
    for (day, streams) in days {
        let tenant = TenantId::parse("corpus")?;
        let info =
            ObjectInfo { tenant, day, class: "default".into(), disk: DiskId(1), generation: Generation(1), part: 0, replaces: vec![] };
        let mut writer = ObjectWriter::new(info, WriterOptions { level, ..WriterOptions::default() })?;
        for (labels, chunks) in streams {
            let start = cpu_time();
            let merged = merge_rows(&chunks.iter().collect::<Vec<_>>())?;
            totals.sort += cpu_time() - start;
            totals.raw += merged.rows.line_bytes().len();
            totals.rows += merged.rows.len();
            let start = cpu_time();
            writer.add_stream(&labels, &merged.rows)?;
            totals.write += cpu_time() - start;
        }
        let start = cpu_time();
        let object = writer.finish()?;
        totals.write += cpu_time() - start;
        count_parts(object.bytes, totals)?;
    }
    Ok(())
}

fn count_parts(object: bytes::Bytes, totals: &mut Totals) -> Result<(), Box<dyn Error>> {
    totals.stored += object.len();
    let trailer = Trailer::parse(&object, object.len() as u64)?;
    let range = trailer.footer_range();
    let footer = Footer::parse(&trailer, &object[range.start as usize..range.end as usize])?;
    for extent in footer.blocks.iter().flat_map(|block| block.extents()) {
        let part = match extent.part {
            Part::Timestamps { .. } => "timestamps",
            Part::LineLengths { .. } => "line lengths",
            Part::Lines { .. } => "lines",
            Part::Column { .. } => "metadata",
            _ => "other",
        };
        *totals.parts.entry(part).or_default() += u64::from(extent.stored_len);
    }
    if let Ok(filters) = &footer.filters {
        *totals.parts.entry("filters").or_default() += footer.streams.offset - filters.page_range(0).start;
    }
    *totals.parts.entry("footer").or_default() += range.end - footer.streams.offset;
    totals.objects.push((footer, object));
    Ok(())
}

fn report(totals: &Totals) {
    let raw = totals.raw as f64;
    let blocks: usize = totals.objects.iter().map(|(footer, _)| footer.blocks.len()).sum();
    println!("{} rows, {:.1} MB raw lines, {} objects, {blocks} blocks", totals.rows, raw / 1e6, totals.objects.len());
    println!("stored {:.1} MB, ratio {:.2}", totals.stored as f64 / 1e6, raw / totals.stored as f64);
    for (part, bytes) in &totals.parts {
        println!("  {part:13} {:6.2} % of raw", *bytes as f64 / raw * 100.0);
    }
    println!("per raw GB: sort {:.2} s, encode {:.2} s", totals.sort.as_secs_f64() / raw * 1e9, totals.write.as_secs_f64() / raw * 1e9);
}

fn read_back(totals: &Totals) -> Result<(), Box<dyn Error>> {
    let (mut decoder, start, mut rows) = (Decoder::new(), cpu_time(), 0);
    for (footer, object) in &totals.objects {
        for block in &footer.blocks {
            let range = block.timestamps.range();
            rows += decoder.timestamps(block, &object[range.start as usize..range.end as usize])?.len();
        }
    }
    println!("timestamps: {:.0} M rows/s", rows as f64 / (cpu_time() - start).as_secs_f64() / 1e6);
    let start = cpu_time();
    for (footer, object) in &totals.objects {
        for frame in footer.blocks.iter().flat_map(|block| &block.frames) {
            let range = frame.extent.range();
            decoder.frame(frame, &object[range.start as usize..range.end as usize])?;
        }
    }
    println!("lines: {:.0} MB/s", totals.raw as f64 / (cpu_time() - start).as_secs_f64() / 1e6);
    let texts = ["connection refused", "zzqxjk", "deadbeefcafe0123", "203.0.113.77", "timeout", "error"];
    texts.iter().try_for_each(|text| probe(totals, text))
}

fn probe(totals: &Totals, text: &str) -> Result<(), Box<dyn Error>> {
    let query = FilterQuery::Contains { literal: text.as_bytes().to_vec(), ignore_case: false };
    let (mut passed, mut blocks, mut holding, mut pages_read) = (0, 0, 0, 0);
    let mut decoder = Decoder::new();
    for (footer, object) in &totals.objects {
        let filters = footer.filters.as_ref().map_err(Clone::clone)?;
        let slice = |range: std::ops::Range<u64>| object.slice(range.start as usize..range.end as usize);
        let needed = filters.pages_needed(&query);
        let pages: BTreeMap<u32, FilterPage> = needed
            .iter()
            .map(|page| Ok((*page, filters.parse_page(*page, &slice(filters.page_range(*page)))?)))
            .collect::<Result<_, Box<dyn Error>>>()?;
        let found = filters.matching_blocks(&query, &|page| pages.get(&page));
        passed += found.len();
        pages_read += needed.len();
        blocks += footer.blocks.len();
        for block in &footer.blocks {
            let rows = decoder.block(block, &slice(block.range()))?;
            let holds = (0..rows.len()).any(|row| rows.line(row).windows(text.len()).any(|window| window == text.as_bytes()));
            holding += usize::from(holds);
        }
    }
    println!("{text:20} passes {passed:4} of {blocks} blocks, is in {holding}, reads {pages_read} pages");
    Ok(())
}
