use super::*;
use crate::{Decoder, Footer, RowDigest, Trailer, verify_object};
use proptest::prelude::*;
use skald_model::{Day, DiskId, Generation, RowsBuilder, TenantId, Timestamp};
use std::collections::BTreeMap;

const DAY: Day = Day(20_000);

/// A row: time in the day, line, trace id (pushed), level (derived).
type Entry = (i64, String, &'static str, &'static str);
type Streams = BTreeMap<String, Vec<Entry>>;

fn info(generation: u64) -> ObjectInfo {
    ObjectInfo {
        tenant: TenantId::parse("t").expect("valid"),
        day: DAY,
        class: "default".into(),
        disk: DiskId(7),
        generation: Generation(generation),
        part: 0,
        replaces: Vec::new(),
    }
}

fn options() -> WriterOptions {
    WriterOptions { block_bytes: 300, frame_bytes: 100, ..WriterOptions::default() }
}

fn labels(app: &str) -> Labels {
    Labels::from_pairs([("app", app)]).expect("one label")
}

fn rows(entries: &[Entry]) -> Rows {
    let mut builder = RowsBuilder::default();
    for (at, line, trace, level) in entries {
        builder.push(Timestamp(DAY.start().0 + at), line.as_bytes());
        // Names differ from line to line, so that columns differ from block to block.
        builder.set_metadata(&format!("trace_{}", line.len() % 3), trace.as_bytes(), false);
        builder.set_metadata("detected_level", level.as_bytes(), true);
    }
    builder.finish()
}

/// An object of the generation; entries are merged as a flush does it.
fn object(info: ObjectInfo, streams: &Streams) -> Option<Bytes> {
    let mut writer = ObjectWriter::new(info, options()).expect("valid");
    for (app, entries) in streams {
        let merged = merge_rows(&[&rows(entries)]).expect("small");
        writer.add_stream(&labels(app), &merged.rows).expect("in order");
    }
    writer.finish().ok().map(|object| object.bytes)
}

fn join_named(objects: &[(String, Bytes)], generation: u64, instant_rows: u64) -> Result<EncodedObject, JoinError> {
    let inputs: Vec<_> = objects.iter().map(|(name, object)| JoinInput { name: name.clone(), object }).collect();
    join(&inputs, info(generation), options(), instant_rows)
}

/// Names by place: `0`, `1`, …
fn named(objects: &[Bytes]) -> Vec<(String, Bytes)> {
    objects.iter().enumerate().map(|(i, object)| (i.to_string(), object.clone())).collect()
}

fn footer(object: &Bytes) -> Footer {
    let trailer = Trailer::parse(object, object.len() as u64).expect("just written");
    let range = trailer.footer_range();
    Footer::parse(&trailer, &object[range.start as usize..range.end as usize]).expect("just written")
}

/// What an object of all rows would be, had they been written at once.
fn at_once(parts: &[Streams], generation: u64, replaces: usize) -> Option<Bytes> {
    let mut all = Streams::new();
    for (app, entries) in parts.iter().flatten() {
        all.entry(app.clone()).or_default().extend(entries.iter().cloned());
    }
    object(ObjectInfo { replaces: (0..replaces).map(|i| i.to_string()).collect(), ..info(generation) }, &all)
}

/// Joins an object of each part and compares it with one of all rows.
#[track_caller]
fn check(parts: &[Streams], instant_rows: u64) {
    let objects: Vec<Bytes> = parts.iter().enumerate().filter_map(|(i, part)| object(info(i as u64 + 1), part)).collect();
    let joined = join_named(&named(&objects), 1, instant_rows);
    let Some(want) = at_once(parts, 1, objects.len()) else {
        assert!(matches!(joined, Err(JoinError::Write(EncodeError::Empty))));
        return;
    };
    let joined = joined.expect("sound inputs");
    assert_eq!(verify_object(&joined.bytes), []);
    assert!(joined.bytes == want, "the joined object is not the one of all rows");
}

fn stream(app: &str, entries: impl Iterator<Item = Entry>) -> (String, Vec<Entry>) {
    (app.to_owned(), entries.collect())
}

fn entry(at: i64, line: impl Into<String>) -> Entry {
    (at, line.into(), "", "info")
}

#[test]
fn nothing_is_no_object() {
    check(&[], 10);
}

#[test]
fn one_huge_stream_and_many_tiny_ones() {
    let huge = |from: i64| stream("huge", (from..from + 2000).map(|i| entry(i, format!("line {i}"))));
    let tiny = |from: usize| (from..from + 300).map(|i| stream(&format!("tiny-{i:03}"), std::iter::once(entry(i as i64, "x"))));
    check(&[tiny(0).chain([huge(0)]).collect(), tiny(150).chain([huge(1500)]).collect(), tiny(500).collect()], 10);
}

#[test]
fn rows_that_alternate_between_inputs() {
    let every_third = |first: i64| Streams::from([stream("a", (0..500).map(|i| entry(3 * i + first, format!("{i}"))))]);
    check(&[every_third(0), every_third(2), every_third(1)], 10);
}

#[test]
fn all_rows_twice() {
    let part = Streams::from([stream("a", (0..700).map(|i| entry(i / 3, format!("line {i}"))))]);
    check(&[part.clone(), part.clone(), part], 10);
}

#[test]
fn an_instant_that_fills_many_runs_of_several_inputs() {
    let instant = |lines: std::ops::Range<u32>| lines.map(|i| entry(50, format!("line {i}")));
    let around = |lines: std::ops::Range<u32>| {
        let before = (0..30).map(|i| entry(i, format!("before {i}")));
        Streams::from([stream("a", before.chain(instant(lines)).chain((60..90).map(|i| entry(i, "after"))))])
    };
    for instant_rows in [1, 100, 1 << 20] {
        check(&[around(0..400), around(300..600), around(0..1)], instant_rows);
        check(&[around(0..400), around(0..400)], instant_rows);
        check(&[Streams::from([stream("a", instant(0..300))]), Streams::from([stream("a", instant(200..500))])], instant_rows);
    }
}

#[test]
fn inputs_with_many_metadata_names_each_are_joined_in_blocks_of_bounded_cells() {
    let wide = |generation: u64| {
        let mut builder = RowsBuilder::default();
        for row in 0..6000u64 {
            builder.push(Timestamp(DAY.start().0 + row as i64), b"line");
            builder.set_metadata(&format!("name{}", row % 700 + generation * 500), &[b'0' + generation as u8], false);
        }
        let mut writer = ObjectWriter::new(info(generation), WriterOptions::default()).expect("valid");
        writer.add_stream(&labels("a"), &builder.finish()).expect("in order");
        writer.finish().expect("has rows")
    };
    let [one, two] = [wide(1), wide(2)];
    let inputs = [&one, &two].map(|object| JoinInput { name: String::new(), object: &object.bytes });
    let joined = join_objects(&inputs, info(1), WriterOptions::default()).expect("sound");
    assert_eq!(joined.summary.digest, one.summary.digest.plus(two.summary.digest));
    assert_eq!(verify_object(&joined.bytes), []);
    assert!(footer(&joined.bytes).blocks.iter().all(|block| block.rows as usize * block.columns.len() <= 4 << 20));
}

#[test]
fn derived_metadata_are_kept_and_do_not_tell_entries_apart() {
    let one = Streams::from([("a".to_owned(), vec![(1, "x".to_owned(), "t", "info"), (2, "y".to_owned(), "t", "warn")])]);
    let two = Streams::from([("a".to_owned(), vec![(1, "x".to_owned(), "t", "error"), (1, "x".to_owned(), "u", "error")])]);
    let objects = [object(info(1), &one).expect("rows"), object(info(2), &two).expect("rows")];
    let joined = join_named(&named(&objects), 1, 10).expect("sound");
    let run = *footer(&joined.bytes).runs_of(0).next().expect("one run").1;
    assert_eq!((run.rows, run.derived_values), (3, 3));
    assert_eq!(run.levels[skald_model::Level::Info as usize], 1, "of equal entries the first stays");
    assert_eq!(run.levels[skald_model::Level::Error as usize], 1);
}

#[test]
fn order_is_that_of_generations_not_of_arguments() {
    let part = |line: &str| Streams::from([("a".to_owned(), vec![entry(1, line)])]);
    let [one, two] = [object(info(1), &part("z")).expect("rows"), object(info(2), &part("y")).expect("rows")];
    let inputs = |first: &Bytes, second: &Bytes| join_named(&named(&[first.clone(), second.clone()]), 1, 10).expect("sound").bytes;
    assert_eq!(inputs(&one, &two), inputs(&two, &one));
}

#[test]
fn what_was_replaced_stays_replaced() {
    let part = |line: &str| Streams::from([("a".to_owned(), vec![entry(1, line)])]);
    let [one, two, three] = [(1, "x"), (2, "y"), (3, "z")].map(|(at, line)| object(info(at), &part(line)).expect("rows"));
    let first = join_named(&[("one".into(), one.clone()), ("two".into(), two)], 1, 10).expect("sound").bytes;
    let second = join_named(&[("first".into(), first), ("three".into(), three), ("one".into(), one)], 1, 10).expect("sound");
    assert_eq!(footer(&second.bytes).info.replaces, ["first", "one", "two", "three"]);
    assert_eq!(second.summary.digest.count, 3);
}

#[test]
fn objects_of_another_table_are_refused() {
    let part = Streams::from([("a".to_owned(), vec![entry(1, "x")])]);
    let other = object(ObjectInfo { class: "long".into(), ..info(1) }, &part).expect("rows");
    let error = join_named(&named(&[other]), 1, 10).expect_err("of another class");
    assert_eq!(
        (error.to_string().as_str(), error.kind()),
        ("data object '0' is of another retention class than the joined one", ErrorKind::InvalidInput)
    );
}

#[test]
fn a_damaged_input_is_named_with_its_part() {
    let part = Streams::from([stream("a", (0..100).map(|i| entry(i, format!("line {i}"))))]);
    let sound = object(info(1), &part).expect("rows");
    let footer = footer(&sound);
    for extent in footer.blocks.iter().flat_map(|block| block.extents()).chain([&footer.streams]) {
        let mut damaged = sound.to_vec();
        damaged[extent.offset as usize] ^= 1;
        let error = join_named(&[("good".into(), sound.clone()), ("bad".into(), damaged.into())], 1, 10).expect_err("a bit is wrong");
        let JoinError::Damaged { name, source: FormatError::Checksum { part, .. } } = &error else { panic!("{error:?}") };
        assert_eq!((name.as_str(), *part, error.kind()), ("bad", extent.part, ErrorKind::Corrupt));
    }
    let cut = sound.slice(..sound.len() - 1);
    assert!(matches!(join_named(&named(&[cut]), 1, 10), Err(JoinError::Damaged { .. })));
    assert!(matches!(join_named(&named(&[Bytes::new()]), 1, 10), Err(JoinError::Damaged { source: FormatError::TooShort { .. }, .. })));
}

/// Counts what is read, and fails at a time.
struct Source(Bytes, std::cell::RefCell<Vec<Range<u64>>>, usize);

impl ReadAt for Source {
    fn read_at(&self, range: Range<u64>) -> io::Result<Bytes> {
        self.1.borrow_mut().push(range.clone());
        if self.1.borrow().len() > self.2 { Err(io::Error::other("no longer wanted")) } else { self.0.read_at(range) }
    }

    fn size(&self) -> u64 {
        self.0.size()
    }
}

#[test]
fn every_block_is_read_once_and_a_failed_read_ends_it() {
    let part = |from: i64| {
        Streams::from([
            stream("a", (from..from + 300).map(|i| entry(i, format!("line {i}")))),
            stream("b", std::iter::once(entry(from, "x"))),
        ])
    };
    let [one, two] = [object(info(1), &part(0)).expect("rows"), object(info(2), &part(150)).expect("rows")];
    let blocks = footer(&two).blocks.len();
    let read = |most| {
        let source = Source(two.clone(), Default::default(), most);
        let inputs = [JoinInput { name: "one".into(), object: &one }, JoinInput { name: "two".into(), object: &source }];
        (join(&inputs, info(1), options(), 10).map(|object| object.bytes), source.1.into_inner())
    };
    let (joined, ranges) = read(usize::MAX);
    assert!(joined.is_ok());
    // Trailer, footer, stream table, then the blocks in their order.
    assert_eq!(ranges.len(), 3 + blocks);
    assert!(ranges[3..].is_sorted_by_key(|range| range.start));
    for most in 0..ranges.len() {
        assert!(matches!(read(most).0, Err(JoinError::Read { name, .. }) if name == "two"), "{most}");
    }
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let level = prop::sample::select(vec!["", "info", "error", "odd"]);
    (0i64..30, "[ab]{0,12}", prop::sample::select(vec!["", "", "x", "yy"]), level)
}

fn any_part() -> impl Strategy<Value = Streams> {
    prop::collection::btree_map("[a-d]", prop::collection::vec(any_entry(), 0..60), 0..4)
}

proptest! {
    #![proptest_config(skald_testkit::property(96))]

    #[test]
    fn a_join_is_the_object_of_all_rows(parts in prop::collection::vec(any_part(), 0..5), instant_rows in 1u64..40) {
        check(&parts, instant_rows);
    }

    #[test]
    fn a_join_of_joins_is_the_join_of_all(parts in prop::collection::vec(any_part(), 2..6), cut in 1usize..5) {
        let objects: Vec<Bytes> = parts.iter().enumerate().filter_map(|(i, part)| object(info(i as u64 + 1), part)).collect();
        prop_assume!(objects.len() > 1);
        let (one, two) = objects.split_at(cut.min(objects.len() - 1));
        let halves = [one, two].map(|half| join_named(&named(half), footer(&half[0]).info.generation.0, 10).expect("sound").bytes);
        let (all, of_halves) = (join_named(&named(&objects), 1, 10).expect("sound"), join_named(&named(&halves), 1, 10).expect("sound"));
        prop_assert_eq!(all.summary, of_halves.summary);
        let body = |object: &Bytes| object.slice(..footer(object).streams.range().end as usize);
        prop_assert!(body(&all.bytes) == body(&of_halves.bytes));
    }

    #[test]
    fn digests_count_each_entry_once(parts in prop::collection::vec(any_part(), 1..4)) {
        let objects: Vec<Bytes> = parts.iter().enumerate().filter_map(|(i, part)| object(info(i as u64 + 1), part)).collect();
        prop_assume!(!objects.is_empty());
        let joined = join_named(&named(&objects), 1, 10).expect("sound");
        let mut distinct = std::collections::BTreeSet::new();
        for (app, entries) in parts.iter().flatten() {
            distinct.extend(entries.iter().map(|(at, line, trace, _)| (app, *at, line, *trace)));
        }
        prop_assert_eq!(joined.summary.digest.count, distinct.len() as u64);
        let footer = footer(&joined.bytes);
        let table = footer.open_streams(&joined.bytes[footer.streams.range().start as usize..footer.streams.range().end as usize]).expect("just written");
        let (mut decoder, hasher) = (Decoder::new(), RowHasher::new(&info(1).tenant));
        let mut digest = RowDigest::default();
        for block in &footer.blocks {
            let rows = decoder.block(block, &joined.bytes[block.range().start as usize..block.range().end as usize]).expect("just written");
            for run in &block.runs {
                digest = digest.plus(hasher.digest(&table.labels(run.stream), &rows, run.row_range()));
            }
        }
        prop_assert_eq!(digest, joined.summary.digest);
    }
}
