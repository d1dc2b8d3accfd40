//! Objects with bytes changed, in front of the checksums and behind them: opening and joining them is an error or works, and takes no more
//! memory than their bytes can ask for.

use bytes::Bytes;
use proptest::prelude::*;
use skald_block::{
    Decoder, FilterQuery, Footer, FormatError, JoinInput, ObjectInfo, ObjectWriter, Part, StreamTable, Trailer, WriterOptions,
    join_objects, parts_of, rewrite_part, verify_object,
};
use skald_model::{Day, DiskId, Generation, Labels, Rows, RowsBuilder, TenantId, Timestamp};
use std::collections::HashMap;
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

fn footer(object: &Bytes) -> Result<(Trailer, Footer), FormatError> {
    let trailer = Trailer::parse(object, object.len() as u64)?;
    let range = trailer.footer_range();
    Ok((trailer, Footer::parse(&trailer, &object[range.start as usize..range.end as usize])?))
}

fn slice(object: &Bytes, range: std::ops::Range<u64>) -> Bytes {
    if range.end <= object.len() as u64 { object.slice(range.start as usize..range.end as usize) } else { Bytes::new() }
}

/// Opens whatever can be opened, in every way, and checks what it holds.
fn open_everything(object: &Bytes) {
    verify_object(object);
    let Ok((trailer, footer)) = footer(object) else { return };
    let raw: usize =
        [skald_block::Section::Info, skald_block::Section::Directory].map(|section| trailer.section(section).raw_len as usize).iter().sum();
    assert!(footer.heap_bytes() <= 64 * raw + 4096, "{} bytes of {raw}", footer.heap_bytes());
    if let Ok(streams) = footer.open_streams(&slice(object, footer.streams.range())) {
        assert!(streams.heap_bytes() <= 64 * footer.streams.raw_len as usize + 4096);
        ask_streams(&footer, &streams);
    }
    ask_filters(object, &footer);
    open_blocks(object, &footer);
}

fn ask_streams(footer: &Footer, streams: &StreamTable) {
    assert_eq!(streams.len(), footer.stream_count as usize);
    for stream in 0..footer.stream_count {
        assert_eq!(streams.find(&streams.labels(stream)), Some(stream));
        assert!(footer.runs_of(stream).len() > 0);
        assert!(footer.runs_of(stream).map(|(_, run)| run.min_time).is_sorted());
    }
    for name in streams.names() {
        streams.values(name).for_each(|(value, found)| assert_eq!(streams.streams_with(name, value), found));
    }
}

fn ask_filters(object: &Bytes, footer: &Footer) {
    let Ok(filters) = &footer.filters else { return };
    for query in [
        FilterQuery::Contains { literal: b"GET /7 from 10.0.0.7".to_vec(), ignore_case: true },
        FilterQuery::MetadataEquals { name: "user".into(), value: b"User 7".to_vec() },
    ] {
        let pages: HashMap<u32, _> = filters
            .pages_needed(&query)
            .into_iter()
            .filter_map(|page| Some((page, filters.parse_page(page, &slice(object, filters.page_range(page))).ok()?)))
            .collect();
        let found = filters.matching_blocks(&query, &|page| pages.get(&page));
        assert!(found.iter().all(|block| (block as usize) < footer.blocks.len()));
    }
}

fn open_blocks(object: &Bytes, footer: &Footer) {
    let mut decoder = Decoder::new();
    for block in &footer.blocks {
        let rows = block.rows as usize;
        let times = decoder.timestamps(block, &slice(object, block.timestamps.range()));
        assert!(times.is_err() || times.is_ok_and(|times| times.len() == rows));
        let ends = decoder.line_ends(block, &slice(object, block.line_lengths.range()));
        assert!(ends.is_err() || ends.is_ok_and(|ends| ends.len() == rows && ends.is_sorted()));
        for frame in &block.frames {
            let stored = slice(object, frame.extent.range());
            let whole = decoder.frame(frame, &stored);
            for len in [0, frame.extent.raw_len as usize / 3] {
                match (&whole, decoder.frame_start(frame, &stored, len)) {
                    (Ok(whole), Ok(start)) => assert!(whole.starts_with(&start) && start.len() >= len),
                    (Ok(_), Err(error)) => panic!("a sound frame has no start: {error}"),
                    // Damage behind the start may not be seen.
                    (Err(_), _) => {}
                }
            }
        }
        for column in &block.columns {
            let found = decoder.column(block, column, &slice(object, column.extent.range()));
            assert!(found.is_err() || found.is_ok_and(|found| found.len() == rows));
        }
        if let Ok(found) = decoder.block(block, &slice(object, block.range())) {
            let raw: usize = block.extents().map(|extent| extent.raw_len as usize).sum();
            let cells = rows * (block.columns.len() + 1);
            assert!(found.heap_bytes() <= 4 * raw + 16 * cells + 4096, "{} bytes of {raw} and {cells} cells", found.heap_bytes());
        }
    }
}

/// Joins an object with a sound one: an error, or a sound object.
fn join_with_sound(object: &Bytes) {
    let sound: &Bytes = &OBJECT;
    let inputs = [JoinInput { name: "sound".into(), object: sound }, JoinInput { name: "changed".into(), object }];
    match join_objects(&inputs, info(), options()) {
        Ok(joined) => assert_eq!(verify_object(&joined.bytes), []),
        Err(error) => drop((error.kind(), error.to_string())),
    }
}

/// A change of bytes; places are taken modulo their number.
#[derive(Debug, Clone)]
enum Change {
    Flip {
        at: usize,
        bits: u8,
    },
    Overwrite {
        at: usize,
        bytes: Vec<u8>,
    },
    Cut {
        at: usize,
        len: usize,
    },
    Insert {
        at: usize,
        bytes: Vec<u8>,
    },
    /// Bytes of one place also at another.
    Splice {
        from: usize,
        len: usize,
        to: usize,
    },
    Truncate {
        at: usize,
    },
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let place = |at: usize| at % (bytes.len() + 1);
        match self {
            Change::Flip { at, bits } => {
                let at = place(*at);
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= bits);
            }
            Change::Overwrite { at, bytes: new } => {
                let at = place(*at);
                bytes.iter_mut().skip(at).zip(new).for_each(|(byte, new)| *byte = *new);
            }
            Change::Cut { at, len } => {
                let at = place(*at);
                bytes.drain(at..(at + len).min(bytes.len()));
            }
            Change::Insert { at, bytes: new } => {
                let at = place(*at);
                bytes.splice(at..at, new.iter().copied());
            }
            Change::Splice { from, len, to } => {
                let (from, to) = (place(*from), place(*to));
                let copy = bytes[from..(from + len).min(bytes.len())].to_vec();
                bytes.splice(to..to, copy);
            }
            Change::Truncate { at } => bytes.truncate(place(*at)),
        }
    }
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    // Ends of varints, wide numbers and lengths are where readers go wrong.
    let byte = prop_oneof![any::<u8>(), Just(0), Just(1), Just(0x7f), Just(0x80), Just(0xff)];
    prop::collection::vec(byte, 1..24)
}

fn any_change() -> impl Strategy<Value = Change> {
    // Mostly near the front, where the counts stand.
    let at = || prop_oneof![0usize..64, any::<usize>()];
    prop_oneof![
        (at(), 1u8..).prop_map(|(at, bits)| Change::Flip { at, bits }),
        (at(), any_bytes()).prop_map(|(at, bytes)| Change::Overwrite { at, bytes }),
        (at(), 1usize..100).prop_map(|(at, len)| Change::Cut { at, len }),
        (at(), any_bytes()).prop_map(|(at, bytes)| Change::Insert { at, bytes }),
        (at(), 1usize..400, at()).prop_map(|(from, len, to)| Change::Splice { from, len, to }),
        at().prop_map(|at| Change::Truncate { at }),
    ]
}

fn any_changes() -> impl Strategy<Value = Vec<Change>> {
    prop::collection::vec(any_change(), 1..4)
}

proptest! {
    #![proptest_config(skald_testkit::property(128))]

    #[test]
    fn changed_objects_are_an_error_or_readable(changes in any_changes()) {
        let mut bytes = OBJECT.to_vec();
        changes.iter().for_each(|change| change.apply(&mut bytes));
        let object = Bytes::from(bytes);
        open_everything(&object);
        join_with_sound(&object);
    }

    #[test]
    fn parts_changed_behind_their_checksums_are_an_error_or_readable(changed in prop::collection::vec((any::<prop::sample::Index>(), any_changes()), 1..3)) {
        let mut object = OBJECT.clone();
        for (part, changes) in &changed {
            let Ok(parts) = parts_of(&object) else { break };
            let part = *part.get(&parts);
            let Ok(next) = rewrite_part(&object, part, |raw| changes.iter().for_each(|change| change.apply(raw))) else { break };
            object = next;
            open_everything(&object);
        }
        join_with_sound(&object);
    }

    #[test]
    fn sections_changed_behind_their_checksums_are_an_error_or_readable(section in 0usize..4, changes in any_changes()) {
        let part = [Part::Info, Part::Streams, Part::Directory, Part::Filters][section];
        let object = rewrite_part(&OBJECT, part, |raw| changes.iter().for_each(|change| change.apply(raw))).expect("it was sound");
        open_everything(&object);
        join_with_sound(&object);
    }
}

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
