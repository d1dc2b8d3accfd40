//! Files kept in `tests/golden` pin the format: they are written byte by byte as they stand there, and read.
//!
//! `SKALD_WRITE_GOLDEN=1 cargo test -p skald-index --test golden` writes them anew; do that only together with a new format version, or after a
//! change to how (not what) is written that `docs/formats/index.md` records. tantivy writes its own version into its files.
#![allow(clippy::disallowed_methods, reason = "golden files are read from the source tree")]

mod common;

use common::{build, labels, object_names, open, rows};
use skald_index::{IndexedStream, Matcher, Reference, Test};
use skald_model::{TimeRange, Timestamp};
use std::path::PathBuf;

const START: i64 = 1_768_435_200_000_000_000;

fn reference(object: u32, number: i64) -> Reference {
    let min_time = Timestamp(START + i64::from(object) * 900_000_000_000 + number * 7_919);
    Reference {
        object,
        stream: number as u32 + 3 * object,
        min_time,
        max_time: Timestamp(min_time.0 + 600_000_000_000),
        rows: 100 + number as u64,
        line_bytes: 20_000 + 31 * number as u64,
        metadata_bytes: 17 * (number as u64 % 3),
    }
}

fn tiny() -> Vec<IndexedStream> {
    vec![IndexedStream { labels: labels(&[("app", "api")]), references: vec![reference(0, 0)] }]
}

/// Several row blocks, postings of more than one block, a label too long for the dictionary, and times at their ends.
fn mixed() -> Vec<IndexedStream> {
    let long = "long ".repeat(8_000);
    let stream = |number: i64| {
        let (pod, level) = (format!("pod-{number:04}"), ["info", "warn", "é", ""][number as usize % 4]);
        let note = if number == 77 { long.as_str() } else { "" };
        let pairs = [("app", ["api", "web"][(number % 3 == 0) as usize]), ("level", level), ("note", note), ("pod", &pod)];
        let references = (0..5).filter(|object| number >> object & 1 == 0).map(|object| reference(object, number));
        IndexedStream { labels: labels(&pairs), references: references.chain((number % 32 == 31).then(|| reference(0, number))).collect() }
    };
    let mut streams: Vec<IndexedStream> = (0..300).map(stream).collect();
    streams.push(IndexedStream {
        labels: labels(&[]),
        references: vec![Reference { min_time: Timestamp::MIN, max_time: Timestamp::MAX, rows: u64::MAX, ..reference(4, 0) }],
    });
    streams.sort_by(|a, b| a.labels.cmp(&b.labels));
    streams
}

#[track_caller]
fn check(name: &str, streams: &[IndexedStream]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let written = build(object_names(), streams);
    if std::env::var_os("SKALD_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, &written).expect("the folder is there");
    }
    let kept = std::fs::read(&path).expect("the file is there").into();
    assert!(written == kept, "{name}: the writer makes other bytes than it did");
    let index = open(&kept).expect("sound");
    assert_eq!(rows(&index, &kept, &index.select_all()).expect("sound"), streams);
    for stream in streams {
        let matcher = |(name, value): (&str, &str)| Matcher { name: name.into(), negated: false, test: Test::Equals(value.into()) };
        let matchers: Vec<Matcher> = stream.labels.iter().map(matcher).collect();
        let found = rows(&index, &kept, &index.select(&matchers, TimeRange::ALL).expect("sound")).expect("sound");
        assert!(found.contains(stream), "{name}: {}", stream.labels);
    }
}

#[test]
fn version_1_is_written_and_read_as_ever() {
    check("v1-tiny.index", &tiny());
    check("v1-mixed.index", &mixed());
}
