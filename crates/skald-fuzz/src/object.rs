//! Data objects with bytes changed, in front of the checksums and behind them: opening and joining them is an error or works, and takes no more memory
//! than their bytes can ask for.

use crate::Target;
use bytes::Bytes;
use skald_block::{
    Decoder, FilterQuery, Footer, FormatError, JoinInput, ObjectInfo, ObjectWriter, Section, StreamTable, Trailer, WriterOptions,
    join_objects, parts_of, rewrite_part, verify_object,
};
use skald_model::{Day, DiskId, Generation, Labels, Rows, RowsBuilder, TenantId, Timestamp};
use std::collections::HashMap;
use std::sync::LazyLock;

pub(crate) const OBJECT: Target = Target {
    name: "object",
    about: "a data object, opened in every way and joined with a sound one",
    seeds: || vec![SOUND.to_vec(), object_of(&[("a", 1)]).to_vec()],
    tokens: &[],
    run: |bytes| {
        let object = Bytes::copy_from_slice(bytes);
        open_everything(&object);
        join_with_sound(&object);
    },
};

pub(crate) const PART: Target = Target {
    name: "object-part",
    about: "the number of a part of a data object and the part's raw bytes, with all lengths and checksums put right",
    seeds: || {
        let parts = parts_of(&SOUND).expect("sound");
        let mut raws = Vec::new();
        for (number, part) in parts.into_iter().enumerate() {
            let mut raw = (number as u16).to_le_bytes().to_vec();
            rewrite_part(&SOUND, part, |bytes| raw.extend_from_slice(bytes)).expect("sound");
            raws.push(raw);
        }
        // Sections are where most can go wrong; they are a few among many parts.
        let sections: Vec<_> = raws[raws.len() - 4..].to_vec();
        raws.extend(std::iter::repeat_n(sections, raws.len() / 4).flatten());
        raws
    },
    tokens: &[],
    run: |bytes| {
        let Some((number, raw)) = bytes.split_first_chunk() else { return };
        let parts = parts_of(&SOUND).expect("sound");
        let part = parts[u16::from_le_bytes(*number) as usize % parts.len()];
        let object = rewrite_part(&SOUND, part, |bytes| *bytes = raw.to_vec()).expect("it was sound");
        open_everything(&object);
        join_with_sound(&object);
    },
};

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

static SOUND: LazyLock<Bytes> = LazyLock::new(|| object_of(&[("a", 3), ("b", 120), ("c", 1), ("d", 20)]));

fn object_of(apps: &[(&str, u64)]) -> Bytes {
    let mut writer = ObjectWriter::new(info(), options()).expect("valid");
    for (app, count) in apps {
        writer.add_stream(&Labels::from_pairs([("app", *app), ("env", "x")]).expect("names differ"), &rows(0, *count)).expect("in order");
    }
    writer.finish().expect("has rows").bytes
}

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
    let raw: usize = [Section::Info, Section::Directory].map(|section| trailer.section(section).raw_len as usize).iter().sum();
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
    let sound: &Bytes = &SOUND;
    let inputs = [JoinInput { name: "sound".into(), object: sound }, JoinInput { name: "changed".into(), object }];
    match join_objects(&inputs, info(), options()) {
        Ok(joined) => assert_eq!(verify_object(&joined.bytes), []),
        Err(error) => drop((error.kind(), error.to_string())),
    }
}
