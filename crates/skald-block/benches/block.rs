//! Speed of the flush sort, of writing and opening objects, and of filter probes, on made-up access logs.

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use skald_block::{
    Decoder, FilterBuilder, FilterPage, FilterQuery, Footer, JoinInput, ObjectInfo, ObjectWriter, Trailer, WriterOptions, join_objects,
    merge_rows,
};
use skald_model::{Day, DiskId, Generation, Labels, Rows, RowsBuilder, TenantId, Timestamp};
use std::hint::black_box;
use std::time::Duration;

const ROWS: u64 = 50_000;

fn mix(x: u64) -> u64 {
    let x = (x ^ x >> 31).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (x ^ x >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9) ^ x >> 32
}

fn access_log(from: u64, rows: u64) -> Rows {
    let mut builder = RowsBuilder::default();
    for i in from..from + rows {
        let r = mix(i);
        let (status, level) = if r.is_multiple_of(50) { (500, "error") } else { (200, "info") };
        let line = format!(
            "10.{}.{}.{} GET /api/v1/users/{}/orders?page={} status={status} duration={}us bytes={} trace_id={:016x}",
            r % 4,
            r >> 8 & 255,
            r >> 16 & 255,
            r >> 24 & 4095,
            r >> 40 & 7,
            r >> 44 & 65535,
            r >> 20 & 32767,
            mix(r)
        );
        builder.push(Timestamp(1_000 * (10_000 * i + (r & 4095)) as i64), line.as_bytes());
        builder.set_metadata("detected_level", level.as_bytes(), true);
    }
    builder.finish()
}

fn labels() -> Labels {
    Labels::from_pairs([("app", "web"), ("env", "prod")]).expect("names differ")
}

fn encode(rows: &Rows) -> Bytes {
    encode_streams([(labels(), rows.clone())])
}

/// One row in each of many streams.
fn many_streams(count: u64) -> Bytes {
    let row = access_log(0, 1);
    let mut streams: Vec<Labels> = (0..count)
        .map(|i| Labels::from_pairs([("app", format!("app-{}", i % 50)), ("pod", format!("pod-{i:x}"))]).expect("names differ"))
        .collect();
    streams.sort();
    encode_streams(streams.into_iter().map(|labels| (labels, row.clone())))
}

fn info() -> ObjectInfo {
    ObjectInfo {
        tenant: TenantId::parse("bench").expect("valid"),
        day: Day(0),
        class: "default".into(),
        disk: DiskId(1),
        generation: Generation(1),
        part: 0,
        replaces: vec![],
    }
}

fn encode_streams(streams: impl IntoIterator<Item = (Labels, Rows)>) -> Bytes {
    let mut writer = ObjectWriter::new(info(), WriterOptions::default()).expect("default options are valid");
    streams.into_iter().for_each(|(labels, rows)| writer.add_stream(&labels, &rows).expect("sorted rows of the day"));
    writer.finish().expect("not empty").bytes
}

/// Six objects of twenty streams each: rows of one after those of another, alternating, or the same in every two.
fn joins(c: &mut Criterion) {
    const STREAMS: u64 = 20;
    let mut group = c.benchmark_group("join of six objects");
    for (name, times) in [("apart in time", 1), ("alternating", 6), ("each twice", 0)] {
        let rows_of = |object: u64| match times {
            0 => access_log(object / 2 * 2_500, 2_500),
            1 => access_log(object * 2_500, 2_500),
            _ => {
                let all = access_log(0, 6 * 2_500);
                all.gather(&(0..2_500).map(|i| (6 * i + object) as u32).collect::<Vec<_>>())
            }
        };
        let stream = |i: u64| Labels::from_pairs([("app", format!("app-{i:02}"))]).expect("one label");
        let objects: Vec<Bytes> = (0..6).map(|object| encode_streams((0..STREAMS).map(|i| (stream(i), sorted(rows_of(object)))))).collect();
        let raw: u64 = (0..6).map(|object| STREAMS * rows_of(object).line_bytes().len() as u64).sum();
        group.throughput(Throughput::Bytes(raw));
        group.bench_function(name, |b| {
            b.iter(|| {
                let inputs: Vec<_> = objects.iter().enumerate().map(|(i, object)| JoinInput { name: i.to_string(), object }).collect();
                join_objects(black_box(&inputs), info(), WriterOptions::default()).expect("sound").bytes.len()
            })
        });
    }
    group.finish();
    let tiny = many_streams(100_000);
    c.bench_function("join of two objects of the same 100000 streams of one row", |b| {
        b.iter(|| {
            let inputs = ["one", "two"].map(|name| JoinInput { name: name.into(), object: &tiny });
            join_objects(black_box(&inputs), info(), WriterOptions::default()).expect("sound").bytes.len()
        })
    });
}

fn sorted(rows: Rows) -> Rows {
    merge_rows(&[&rows]).expect("small").rows
}

#[allow(clippy::print_stdout, reason = "a benchmark says what it measured")]
fn footers_of_many_streams(c: &mut Criterion) {
    for count in [100_000, 1_000_000] {
        let many = many_streams(count);
        let slice = |range: std::ops::Range<u64>| many.slice(range.start as usize..range.end as usize);
        let trailer = Trailer::parse(&many, many.len() as u64).expect("just written");
        let footer_bytes = slice(trailer.footer_range());
        let footer = Footer::parse(&trailer, &footer_bytes).expect("just written");
        let stream_bytes = slice(footer.streams.range());
        let streams = footer.open_streams(&stream_bytes).expect("just written");
        println!(
            "{count} streams: footer {} bytes, held in {}; stream table {} bytes, held in {}",
            footer_bytes.len(),
            footer.heap_bytes(),
            stream_bytes.len(),
            streams.heap_bytes()
        );
        c.bench_function(&format!("parse footer of {count} streams"), |b| {
            b.iter(|| Footer::parse(&trailer, black_box(&footer_bytes)).expect("sound").blocks.len())
        });
        c.bench_function(&format!("open table of {count} streams"), |b| {
            b.iter(|| footer.open_streams(black_box(&stream_bytes)).expect("sound").len())
        });
        c.bench_function(&format!("find one of 50 values in {count} streams"), |b| {
            b.iter(|| streams.streams_with("app", black_box("app-7")).len())
        });
    }
}

fn benches(c: &mut Criterion) {
    let chunks: Vec<Rows> = (0..10).map(|i| access_log(i * ROWS / 10, ROWS / 10)).collect();
    let chunks: Vec<&Rows> = chunks.iter().collect();
    let rows = merge_rows(&chunks).expect("small").rows;
    let line_bytes = rows.line_bytes().len() as u64;
    let object = encode(&rows);
    let trailer = Trailer::parse(&object, object.len() as u64).expect("just written");
    let range = trailer.footer_range();
    let footer_bytes = object.slice(range.start as usize..range.end as usize);
    let footer = Footer::parse(&trailer, &footer_bytes).expect("just written");

    let mut group = c.benchmark_group("bytes");
    group.throughput(Throughput::Bytes(line_bytes));
    group.bench_function("sort nearly sorted chunks", |b| b.iter(|| merge_rows(black_box(&chunks)).expect("small").duplicates));
    group.bench_function("sort sorted rows", |b| b.iter(|| merge_rows(black_box(&[&rows])).expect("small").duplicates));
    group.bench_function("build filters", |b| {
        b.iter(|| {
            let mut builder = FilterBuilder::default();
            builder.add_lines(black_box(rows.line_bytes()), rows.line_ends());
            builder
        })
    });
    group.bench_function("encode object", |b| b.iter(|| encode(black_box(&rows)).len()));
    let mut decoder = Decoder::new();
    group.bench_function("decode blocks", |b| {
        b.iter(|| {
            for block in &footer.blocks {
                let range = block.range();
                black_box(decoder.block(block, &object[range.start as usize..range.end as usize]).expect("sound"));
            }
        })
    });
    group.finish();

    let mut group = c.benchmark_group("rows");
    group.throughput(Throughput::Elements(ROWS));
    group.bench_function("decode timestamps", |b| {
        b.iter(|| {
            for block in &footer.blocks {
                let range = block.timestamps.range();
                black_box(decoder.timestamps(block, &object[range.start as usize..range.end as usize]).expect("sound"));
            }
        })
    });
    group.bench_function("decode line ends", |b| {
        b.iter(|| {
            for block in &footer.blocks {
                let range = block.line_lengths.range();
                black_box(decoder.line_ends(block, &object[range.start as usize..range.end as usize]).expect("sound"));
            }
        })
    });
    group.finish();

    c.bench_function("parse footer", |b| b.iter(|| Footer::parse(&trailer, black_box(&footer_bytes)).expect("sound").blocks.len()));
    footers_of_many_streams(c);
    joins(c);
    let filters = footer.filters.as_ref().expect("just written");
    let pages: Vec<FilterPage> = (0..filters.pages())
        .map(|page| {
            let range = filters.page_range(page);
            filters.parse_page(page, &object.slice(range.start as usize..range.end as usize)).expect("sound")
        })
        .collect();
    let query = FilterQuery::Contains { literal: b"connection refused by upstream".to_vec(), ignore_case: false };
    c.bench_function("probe filters", |b| b.iter(|| filters.matching_blocks(black_box(&query), &|page| pages.get(page as usize)).len()));
}

criterion_group! {
    name = all;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = benches
}
criterion_main!(all);
