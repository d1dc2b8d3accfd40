//! What the long tests of damaged objects rely on (`skald-fuzz` has these), and damage that is known by name.

use bytes::Bytes;
use skald_block::{FormatError, ObjectInfo, ObjectWriter, Part, Trailer, WriterOptions, parts_of, rewrite_part, verify_object};
use skald_model::{Day, DiskId, Generation, Labels, Rows, RowsBuilder, TenantId, Timestamp};
use std::sync::LazyLock;

const DAY: Day = Day(20_000);

fn info() -> ObjectInfo {
    ObjectInfo {
        tenant: TenantId::parse("t").expect("valid"),
        day: DAY,
        class: "default".into(),
        disk: DiskId(7),
        generation: Generation(1),
        part: 0,
        replaces: vec!["old".into()],
    }
}

fn options() -> WriterOptions {
    WriterOptions { block_bytes: 1200, frame_bytes: 500, ..WriterOptions::default() }
}

fn rows(from: u64, count: u64) -> Rows {
    let hash = |i: u64| (u128::from(i) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    let mut builder = RowsBuilder::default();
    for i in from..from + count {
        let hex = format!("{:032x}", hash(i));
        builder.push(
            Timestamp(DAY.start().0 + (i / 3) as i64),
            format!("GET /{} from 10.0.0.{} id={}", i % 13, i % 251, &hex[..10]).as_bytes(),
        );
        builder.set_metadata("trace", hex.as_bytes(), false);
        let uuid = format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
        builder.set_metadata("request", uuid.as_bytes(), false);
        builder.set_metadata("user", format!("User {}", hash(i) % 1009).as_bytes(), false);
        builder.set_metadata("detected_level", [&b"info"[..], b"warn", b"odd", b""][i as usize % 4], true);
    }
    builder.finish()
}

static OBJECT: LazyLock<Bytes> = LazyLock::new(|| {
    let mut writer = ObjectWriter::new(info(), options()).expect("valid");
    for (app, count) in [("a", 3), ("b", 120), ("c", 1), ("d", 20)] {
        writer.add_stream(&Labels::from_pairs([("app", app), ("env", "x")]).expect("names differ"), &rows(0, count)).expect("in order");
    }
    writer.finish().expect("has rows").bytes
});

#[test]
fn a_part_rewritten_as_it_was_is_sound() {
    for part in parts_of(&OBJECT).expect("sound") {
        let object = rewrite_part(&OBJECT, part, |_| {}).expect("sound");
        assert_eq!(verify_object(&object), [], "{part}");
    }
}

#[test]
fn few_bytes_cannot_ask_for_much_memory() {
    // The last section but one of the trailer, the directory: 4 bytes that claim to hold 255 MiB.
    let mut trailer = OBJECT[OBJECT.len() - Trailer::LEN..].to_vec();
    trailer[8 + 2 * 12..8 + 2 * 12 + 4].copy_from_slice(&4u32.to_le_bytes());
    trailer[8 + 2 * 12 + 4..8 + 2 * 12 + 8].copy_from_slice(&(255u32 << 20).to_le_bytes());
    let crc = crc32fast::hash(&trailer[..60]).to_le_bytes();
    trailer[60..64].copy_from_slice(&crc);
    let error = Trailer::parse(&trailer, OBJECT.len() as u64).expect_err("impossible");
    assert!(matches!(error, FormatError::Malformed { part: Part::Trailer, .. }));
}
