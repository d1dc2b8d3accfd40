//! Objects kept in `tests/golden` pin the format: they are written byte by byte as they stand there, and read.
//!
//! `SKALD_WRITE_GOLDEN=1 cargo test -p skald-block --test golden` writes them anew; do that only together with a new format version, or after a
//! change to how (not what) is written that `docs/formats/data-object.md` records.
#![allow(clippy::disallowed_methods, reason = "golden files are read from the source tree")]

use skald_block::{Decoder, Footer, ObjectInfo, ObjectWriter, Trailer, WriterOptions, verify_object};
use skald_model::{Day, DiskId, Generation, Labels, Rows, RowsBuilder, TenantId, Timestamp};
use std::path::PathBuf;

const DAY: Day = Day(20_468);

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).expect("names differ")
}

fn tiny() -> Vec<(Labels, Rows)> {
    let mut builder = RowsBuilder::default();
    builder.push(Timestamp(DAY.start().0 + 1), b"one line");
    vec![(Labels::empty(), builder.finish())]
}

/// Rows with every column encoding, several blocks and frames.
fn mixed() -> Vec<(Labels, Rows)> {
    let hash = |i: u64| (u128::from(i) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    let stream = |first: u64, count: u64| {
        let mut builder = RowsBuilder::default();
        for i in first..first + count {
            let hex = format!("{:032x}", hash(i));
            let line = format!("GET /é/{} from 10.0.{}.{} took {}µs id={}", i % 13, i % 4, i % 251, (hash(i) >> 90) % 9973, &hex[..12]);
            builder.push(Timestamp(DAY.start().0 + 5_000 * (i as i64) + 1_000 * (i as i64 % 3)), line.as_bytes());
            builder.set_metadata("trace_id", hex.as_bytes(), false);
            if i % 3 > 0 {
                let uuid = format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
                builder.set_metadata("request", uuid.as_bytes(), false);
            }
            builder.set_metadata("user", format!("User {}", hash(i) % 100_003).as_bytes(), false);
            builder.set_metadata("detected_level", [&b"info"[..], b"warn", b"strange", b""][i as usize % 4], true);
        }
        builder.finish()
    };
    let small = (1..6).map(|i| (labels(&[("app", "cron"), ("job", ["a", "b", "c", "d", "e"][i as usize - 1])]), stream(i, i)));
    [(labels(&[("app", "api"), ("env", "prod")]), stream(10, 300))].into_iter().chain(small).collect()
}

fn write(streams: &[(Labels, Rows)]) -> Vec<u8> {
    let info = ObjectInfo {
        tenant: TenantId::parse("golden").expect("valid"),
        day: DAY,
        class: "default".into(),
        disk: DiskId(0x00112233_44556677_8899aabb_ccddeeff),
        generation: Generation(42),
        part: 1,
        replaces: vec!["golden/2026-01-15/incoming/old".into()],
    };
    let options = WriterOptions { level: 1, block_bytes: 8192, frame_bytes: 3000 };
    let mut writer = ObjectWriter::new(info, options).expect("valid options");
    streams.iter().for_each(|(labels, rows)| writer.add_stream(labels, rows).expect("in order"));
    writer.finish().expect("has rows").bytes.to_vec()
}

#[track_caller]
fn check(name: &str, streams: &[(Labels, Rows)]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let written = write(streams);
    if std::env::var_os("SKALD_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, &written).expect("the folder is there");
    }
    let kept = std::fs::read(&path).expect("the file is there");
    assert!(written == kept, "{name}: the writer makes other bytes than it did");
    assert_eq!(verify_object(&kept.clone().into()), []);
    let trailer = Trailer::parse(&kept, kept.len() as u64).expect("sound");
    let range = trailer.footer_range();
    let footer = Footer::parse(&trailer, &kept[range.start as usize..range.end as usize]).expect("sound");
    let range = footer.streams.range();
    let table = footer.open_streams(&kept[range.start as usize..range.end as usize]).expect("sound");
    let mut decoder = Decoder::new();
    for (labels, rows) in streams {
        let stream = table.find(labels).expect("written");
        let mut next = 0;
        for (at, run) in footer.runs_of(stream) {
            let block = &footer.blocks[at.block as usize];
            let found = decoder.block(block, &kept[block.range().start as usize..block.range().end as usize]).expect("sound");
            for row in run.row_range() {
                assert!(found.same_entry(row, rows, next), "{name}: row {next} of {labels}");
                next += 1;
            }
        }
        assert_eq!(next, rows.len());
    }
}

#[test]
fn version_2_is_written_and_read_as_ever() {
    check("v2-tiny.skald", &tiny());
    check("v2-mixed.skald", &mixed());
}
