//! Whole objects: what goes in comes out, and damage is found.

use bytes::Bytes;
use proptest::prelude::*;
use skald_block::{
    Decoder, EncodeError, EncodedObject, Footer, FormatError, LEVEL_SLOTS, OTHER_LEVEL, ObjectInfo, ObjectWriter, RowDigest, RowHasher,
    StreamTable, Trailer, WriterOptions, verify_object,
};
use skald_model::{Column, Day, DiskId, ErrorKind, Generation, Labels, Level, Rows, RowsBuilder, TenantId, Timestamp};
use std::collections::BTreeMap;

const DAY: Day = Day(20_000);

fn info() -> ObjectInfo {
    ObjectInfo {
        tenant: TenantId::parse("team-a").expect("valid"),
        day: DAY,
        class: "default".into(),
        disk: DiskId(0x1234),
        generation: Generation(7),
        part: 2,
        replaces: vec!["team-a/2024-10-04/incoming/x".into()],
    }
}

fn labels(app: &str) -> Labels {
    Labels::from_pairs([("app", app), ("env", "prod")]).expect("names differ")
}

/// Rows of `app`: time in µs of the day, line, trace id, level.
fn rows(entries: &[(u32, String, String, &str)]) -> Rows {
    let mut builder = RowsBuilder::default();
    for (at, line, trace, level) in entries {
        builder.push(Timestamp(DAY.start().0 + i64::from(*at) * 1000), line.as_bytes());
        builder.set_metadata("trace_id", trace.as_bytes(), false);
        builder.set_metadata("detected_level", level.as_bytes(), true);
    }
    builder.finish()
}

fn sample(seed: u32, count: u32) -> Rows {
    let entry = |i: u32| {
        let r = (i + seed).wrapping_mul(2_654_435_761);
        let level = ["info", "info", "error", "", "odd"][(r >> 7) as usize % 5];
        (
            i * 50 + r % 50,
            format!("request {r} took {} ms from 10.0.{}.{}", r % 977, r % 5, i % 250),
            format!("{:016x}", u64::from(r) << 20),
            level,
        )
    };
    rows(&(0..count).map(entry).collect::<Vec<_>>())
}

fn write(streams: &[(Labels, Rows)], options: WriterOptions) -> EncodedObject {
    let mut writer = ObjectWriter::new(info(), options).expect("valid options");
    streams.iter().for_each(|(labels, rows)| writer.add_stream(labels, rows).expect("in order"));
    writer.finish().expect("has rows")
}

fn small_blocks() -> WriterOptions {
    WriterOptions { block_bytes: 4096, frame_bytes: 1024, ..WriterOptions::default() }
}

fn footer(bytes: &[u8]) -> Result<Footer, FormatError> {
    let trailer = Trailer::parse(bytes, bytes.len() as u64)?;
    let range = trailer.footer_range();
    Footer::parse(&trailer, &bytes[range.start as usize..range.end as usize])
}

fn streams_of(bytes: &[u8], footer: &Footer) -> Result<StreamTable, FormatError> {
    let range = footer.streams.range();
    footer.open_streams(bytes.get(range.start as usize..range.end as usize).unwrap_or_default())
}

/// All rows of all streams.
fn read(bytes: &[u8]) -> Result<Vec<(Labels, Rows)>, FormatError> {
    let (footer, mut decoder) = (footer(bytes)?, Decoder::new());
    let streams = streams_of(bytes, &footer)?;
    let mut blocks = Vec::new();
    for block in &footer.blocks {
        blocks.push(decoder.block(block, &bytes[block.range().start as usize..block.range().end as usize])?);
    }
    let stream = |number: u32| {
        let mut builder = RowsBuilder::default();
        for (at, run) in footer.runs_of(number) {
            run.row_range().for_each(|row| builder.push_from(&blocks[at.block as usize], row));
        }
        (streams.labels(number), builder.finish())
    };
    Ok((0..footer.stream_count).map(stream).collect())
}

fn assert_same(found: &[(Labels, Rows)], want: &[(Labels, Rows)]) {
    assert_eq!(found.len(), want.len());
    for ((found_labels, found), (labels, want)) in found.iter().zip(want) {
        assert_eq!((found_labels, found.len()), (labels, want.len()));
        for row in 0..want.len() {
            assert!(found.same_entry(row, want, row), "row {row} of {labels}");
            let level =
                |rows: &Rows| rows.columns().iter().filter(|c| c.is_derived()).map(|c| c.value(row).to_vec()).find(|v| !v.is_empty());
            assert_eq!(level(found), level(want));
        }
    }
}

fn streams() -> Vec<(Labels, Rows)> {
    vec![(labels("a"), sample(1, 20)), (labels("busy"), sample(2, 900)), (labels("c"), sample(3, 7)), (labels("d"), sample(4, 60))]
}

#[test]
fn what_goes_in_comes_out() {
    for options in [small_blocks(), WriterOptions::default(), WriterOptions { level: 9, block_bytes: 1, frame_bytes: 1 }] {
        let object = write(&streams(), options);
        assert_same(&read(&object.bytes).expect("just written"), &streams());
        assert_eq!(verify_object(&object.bytes), []);
    }
}

#[test]
fn equal_input_gives_equal_bytes() {
    assert_eq!(write(&streams(), small_blocks()).bytes, write(&streams(), small_blocks()).bytes);
}

#[test]
fn blocks_are_filled_by_busy_streams_alone_and_by_small_ones_together() {
    let object = write(&streams(), small_blocks());
    let footer = footer(&object.bytes).expect("just written");
    assert_eq!((footer.blocks.len(), footer.stream_count as usize), (object.block_count, object.stream_count));
    let busy = streams_of(&object.bytes, &footer).expect("just written").find(&labels("busy")).expect("written");
    let alone = footer.runs_of(busy).filter(|(at, _)| footer.blocks[at.block as usize].runs.len() == 1).count();
    assert!(alone > 5 && footer.runs_of(busy).len() <= alone + 2);
    assert!(footer.runs_of(0).all(|(at, _)| footer.blocks[at.block as usize].runs.len() > 1));
    assert!(footer.blocks.iter().all(|block| block.line_bytes <= 4096 && block.frames.len() <= 5));
}

#[test]
fn the_footer_knows_counts_times_levels_and_digest() {
    let object = write(&streams(), small_blocks());
    let footer = footer(&object.bytes).expect("just written");
    assert_eq!(footer.info, info());
    assert_eq!(footer.summary, object.summary);
    let hasher = RowHasher::new(&info().tenant);
    let digest = streams().iter().fold(RowDigest::default(), |sum, (l, rows)| sum.plus(hasher.digest(l, rows, 0..rows.len())));
    assert_eq!(footer.summary.digest, digest);
    let mut levels = [0; LEVEL_SLOTS];
    footer.runs_of(1).for_each(|(_, run)| levels.iter_mut().zip(run.levels).for_each(|(sum, rows)| *sum += rows));
    let count = |level: Level| {
        let rows = &streams()[1].1;
        let column = rows.columns().iter().find(|c| c.is_derived()).expect("has levels").clone();
        (0..rows.len()).filter(|row| column.value(*row) == level.as_str().as_bytes()).count() as u32
    };
    assert_eq!((levels[Level::Info as usize], levels[Level::Error as usize]), (count(Level::Info), count(Level::Error)));
    assert_eq!(levels[OTHER_LEVEL], 900 - count(Level::Info) - count(Level::Error));
    let span = streams()[1].1.time_span().expect("has rows");
    assert_eq!(footer.runs_of(1).next().map(|(_, run)| run.min_time), Some(span.0));
    assert_eq!(footer.runs_of(1).last().map(|(_, run)| run.max_time), Some(span.1));
    assert_eq!(footer.runs_of(footer.stream_count).len(), 0);
}

#[test]
fn the_directory_weighs_pushed_metadata_and_counts_derived_values() {
    let object = write(&streams(), small_blocks());
    let footer = footer(&object.bytes).expect("just written");
    for (stream, (labels, rows)) in streams().iter().enumerate() {
        let pushed = rows.pushed_bytes() - rows.line_bytes().len();
        let derived: usize = rows.columns().iter().filter(|c| c.is_derived()).map(|c| c.present(0..c.len()).count()).sum();
        let runs = || footer.runs_of(stream as u32).map(|(_, run)| run);
        assert_eq!(runs().map(|run| run.metadata_bytes).sum::<u64>(), pushed as u64, "{labels}");
        assert_eq!(runs().map(|run| run.derived_values as usize).sum::<usize>(), derived, "{labels}");
    }
}

#[test]
fn a_damaged_stream_table_costs_only_the_labels() {
    let object = write(&streams(), small_blocks()).bytes;
    let sound = footer(&object).expect("just written");
    let mut damaged = object.to_vec();
    damaged[sound.streams.offset as usize + 3] ^= 1;
    let footer = footer(&damaged).expect("the footer is whole");
    assert_eq!(footer.runs_of(1).len(), sound.runs_of(1).len());
    assert!(matches!(streams_of(&damaged, &footer), Err(FormatError::Checksum { part: skald_block::Part::Streams, .. })));
}

#[test]
fn a_line_longer_than_a_block_has_its_own() {
    let long = "x".repeat(3 << 20);
    let stream = rows(&[(1, "a".into(), String::new(), ""), (2, long, String::new(), ""), (3, "b".into(), String::new(), "")]);
    let object = write(&[(labels("a"), stream.clone())], WriterOptions::default());
    let footer = footer(&object.bytes).expect("just written");
    assert_eq!(footer.blocks.iter().map(|block| block.rows).collect::<Vec<_>>(), [1, 1, 1]);
    assert_same(&read(&object.bytes).expect("just written"), &[(labels("a"), stream)]);
}

#[test]
fn empty_lines_and_many_rows_fit() {
    let entries: Vec<_> = (0..300_000).map(|i| (i, String::new(), String::new(), "info")).collect();
    let object = write(&[(labels("a"), rows(&entries))], WriterOptions::default());
    assert!(object.block_count > 1);
    assert_eq!(verify_object(&object.bytes), []);
}

/// Rows each of which has the names that `names` gives for its number.
fn rows_with_names<const N: usize>(count: u32, names: impl Fn(u32) -> [u32; N]) -> Rows {
    let mut builder = RowsBuilder::default();
    for row in 0..count {
        builder.push(Timestamp(DAY.start().0 + i64::from(row)), b"line");
        names(row).iter().for_each(|name| builder.set_metadata(&format!("name{name}"), &row.to_le_bytes(), false));
    }
    builder.finish()
}

#[test]
fn a_stream_with_many_names_is_written_in_blocks_of_bounded_cells() {
    let object = write(&[(labels("a"), rows_with_names(200_000, |row| [row % 1000]))], WriterOptions::default());
    let blocks = footer(&object.bytes).expect("just written").blocks;
    assert!(blocks.iter().all(|block| block.rows as usize * block.columns.len() <= 4 << 20));
    assert!(blocks.len() < 60, "{} blocks", blocks.len());
    assert_eq!(blocks.iter().map(|block| block.rows).sum::<u32>(), 200_000);
    assert_eq!(blocks[0].columns.len(), 1000);
}

#[test]
fn names_that_a_block_does_not_hold_do_not_make_it_smaller() {
    let stream = rows_with_names(2000, |row| [2 * row, 2 * row + 1]);
    let object = write(&[(labels("a"), stream.clone())], WriterOptions::default());
    // 1448 rows of two new names each are 4 Mi cells.
    let blocks: Vec<u32> = footer(&object.bytes).expect("just written").blocks.iter().map(|block| block.rows).collect();
    assert_eq!(blocks, [1448, 552]);
    let found = read(&object.bytes).expect("just written").remove(0).1;
    assert_eq!(found.timestamps(), stream.timestamps());
    let by_name = |rows: &Rows| rows.columns().iter().map(|column| (column.name().clone(), column.clone())).collect::<BTreeMap<_, _>>();
    assert_eq!(by_name(&found), by_name(&stream));
}

#[test]
fn input_out_of_order_is_refused() {
    let mut writer = ObjectWriter::new(info(), WriterOptions::default()).expect("valid options");
    writer.add_stream(&labels("b"), &sample(1, 5)).expect("in order");
    let refusals = [
        writer.add_stream(&labels("a"), &sample(1, 5)),
        writer.add_stream(&labels("b"), &sample(1, 5)),
        writer.add_stream(&labels("c"), &rows(&[(2, "x".into(), String::new(), ""), (1, "y".into(), String::new(), "")])),
    ];
    assert!(matches!(refusals[0], Err(EncodeError::StreamOrder { .. })));
    assert!(matches!(refusals[1], Err(EncodeError::StreamOrder { .. })));
    assert!(matches!(refusals[2], Err(EncodeError::RowOrder { .. })));
    let column = |value: &[u8]| Column::plain("n".into(), false, vec![value.len() as u32], value.to_vec());
    let twice = Rows::from_columns(vec![DAY.start().0], vec![0], vec![], vec![column(b"x"), column(b"y")]).expect("lengths fit");
    assert!(matches!(writer.add_stream(&labels("d"), &twice), Err(EncodeError::ColumnTwice { .. })));
    let mut tomorrow = RowsBuilder::default();
    tomorrow.push(Day(DAY.0 + 1).start(), b"x");
    let error = writer.add_stream(&labels("e"), &tomorrow.finish()).expect_err("of another day");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(matches!(ObjectWriter::new(info(), WriterOptions::default()).map(ObjectWriter::finish), Ok(Err(EncodeError::Empty))));
}

#[test]
fn a_flipped_bit_is_found_and_costs_only_its_part() {
    let object = write(&streams(), small_blocks()).bytes;
    let sound = footer(&object).expect("just written");
    let parts: Vec<_> = sound.blocks.iter().flat_map(|block| block.extents()).collect();
    for extent in parts {
        let mut damaged = object.to_vec();
        damaged[extent.range().start as usize + extent.stored_len as usize / 2] ^= 0x10;
        let found = verify_object(&damaged.into());
        assert!(
            matches!(found[..], [FormatError::Checksum { part, offset, .. }] if part == extent.part && offset == extent.offset),
            "{extent:?}: {found:?}"
        );
    }
}

#[test]
fn every_flipped_byte_is_found() {
    let object = write(&[(labels("a"), sample(1, 12)), (labels("b"), sample(2, 3))], small_blocks()).bytes;
    let filter_pages = {
        let footer = footer(&object).expect("just written");
        let filters = footer.filters.expect("just written");
        filters.page_range(0).start as usize..filters.page_range(filters.pages() - 1).end as usize
    };
    for at in (0..object.len()).filter(|at| !filter_pages.contains(at) || at % 61 == 0) {
        let mut damaged = object.to_vec();
        damaged[at] ^= 1 << (at % 8);
        let found = verify_object(&damaged.into());
        assert_eq!(found.len(), 1, "byte {at}: {found:?}");
    }
}

#[test]
fn an_object_that_was_cut_short_is_refused() {
    let object = write(&streams(), small_blocks()).bytes;
    for len in [0, 1, Trailer::LEN - 1, Trailer::LEN, object.len() / 2, object.len() - 1] {
        assert_ne!(verify_object(&object.slice(..len)), [], "{len} bytes");
        assert!(footer(&object[..len]).is_err());
    }
    assert!(footer(&[&b"more"[..], &object[..]].concat()).is_err());
}

fn entry() -> impl Strategy<Value = (u32, String, String, &'static str)> {
    let trace =
        prop_oneof![Just(String::new()), "[0-9a-f]{32}", "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "[xyz]{1,3}"];
    (0u32..5_000_000, "[a-zé0-9 =.:]{0,60}", trace, prop::sample::select(vec!["", "info", "error", "unknown", "strange"]))
}

proptest! {
    #![proptest_config(skald_testkit::property(32))]
    #[test]
    fn any_rows_come_back(
        streams in prop::collection::btree_map("[a-e]{1,2}", prop::collection::vec(entry(), 0..80), 1..6),
        block_bytes in 1usize..3000,
        frame_bytes in 1usize..3000,
    ) {
        let mut want = Vec::new();
        for (app, mut entries) in streams {
            entries.sort_by_key(|entry| entry.0);
            if !entries.is_empty() {
                want.push((labels(&app), rows(&entries)));
            }
        }
        if !want.is_empty() {
            want.sort_by(|one, two| one.0.cmp(&two.0));
            let object = write(&want, WriterOptions { block_bytes, frame_bytes, ..WriterOptions::default() });
            assert_same(&read(&object.bytes).expect("just written"), &want);
            prop_assert_eq!(verify_object(&object.bytes), []);
        }
    }

    #[test]
    fn damage_anywhere_is_an_error_or_changes_nothing(at: prop::sample::Index, bytes in prop::collection::vec(any::<u8>(), 1..30)) {
        let want = [(labels("a"), sample(1, 40)), (labels("b"), sample(2, 90))];
        let mut damaged = write(&want, small_blocks()).bytes.to_vec();
        let at = at.index(damaged.len());
        let len = bytes.len().min(damaged.len() - at);
        damaged[at..at + len].copy_from_slice(&bytes[..len]);
        if let Ok(found) = read(&damaged) {
            assert_same(&found, &want);
        }
        verify_object(&damaged.into());
    }

    #[test]
    fn random_bytes_are_no_object(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(footer(&bytes).is_err());
        prop_assert_ne!(verify_object(&Bytes::from(bytes)), []);
    }
}
