use super::*;
use crate::caller::QueryTags;
use crate::testing::{World, tenant};
use futures::executor::block_on;
use proptest::prelude::*;
use skald_config::{Config, Limits};
use skald_logql::exec::Sample;
use skald_logql::parse_matchers;
use skald_model::{Rows, RowsBuilder};
use std::collections::{BTreeMap, BTreeSet};

/// 2026-01-15T00:00:00Z
const START: i64 = 1_768_435_200;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(START + secs)
}

fn request(selector: &str, span: (i64, i64)) -> VolumeRequest {
    VolumeRequest {
        matchers: parse_matchers(selector, true).expect("a selector"),
        start: at(span.0),
        end: at(span.1),
        step: None,
        limit: 100,
        target_labels: String::new(),
        by: AggregateBy::Series,
    }
}

/// Second, line and trace id of entries, in order of time. Every entry has a derived level.
fn rows(entries: &[(i64, &str, &str)]) -> Rows {
    let mut builder = RowsBuilder::default();
    for (secs, line, trace) in entries {
        builder.push(at(*secs), line.as_bytes());
        builder.set_metadata("trace", trace.as_bytes(), false);
        builder.set_metadata("detected_level", b"info", true);
    }
    builder.finish()
}

fn ask(world: &World, tenants: &[&str], request: VolumeRequest) -> Result<Answer, QueryError> {
    let tenants = tenants.iter().map(|id| tenant(id)).collect();
    let caller = world.querier.caller(tenants, QueryTags::default());
    block_on(world.querier.volume(&caller, request))
}

/// Label sets and points of an answer, times in seconds after the start.
fn points(answer: Answer) -> Vec<(String, Vec<(f64, u64)>)> {
    assert_eq!(answer.warnings, Vec::<String>::new());
    let point = |at: Timestamp, value: f64| ((at.0 - START * 1_000_000_000) as f64 / 1e9, value as u64);
    match answer.data {
        AnswerData::Metric(MetricResult::Vector(samples)) => {
            samples.into_iter().map(|Sample { labels, at, value }| (labels.to_string(), vec![point(at, value)])).collect()
        }
        AnswerData::Metric(MetricResult::Matrix(series)) => {
            let points = |points: Vec<(Timestamp, f64)>| points.into_iter().map(|(at, value)| point(at, value)).collect();
            series.into_iter().map(|series| (series.labels.to_string(), points(series.points))).collect()
        }
        _ => panic!("volumes are vectors or matrices"),
    }
}

fn world() -> World {
    World::new(Config::default(), Limits::default())
}

#[test]
fn lines_pushed_metadata_and_eight_for_a_derived_value_are_counted() {
    let mut world = world();
    let (a, b) = (skald_testkit::labels(&[("app", "a")]), skald_testkit::labels(&[("app", "b")]));
    world.store(&tenant("t"), &[(a.clone(), rows(&[(1, "12345", ""), (2, "1", "")])), (b.clone(), rows(&[(1, "x", "abc")]))], 1);
    world.remember(&tenant("t"), &a, rows(&[(3, "123", "xy")]));
    let found = points(ask(&world, &["t"], request(r#"{app=~".+"}"#, (0, 10))).expect("it answers"));
    let of_a = (5 + 8) + (1 + 8) + (3 + 8 + 7);
    assert_eq!(found, [(r#"{app="a"}"#.to_owned(), vec![(10.0, of_a)]), (r#"{app="b"}"#.to_owned(), vec![(10.0, 1 + 8 + 8)])]);
}

#[test]
fn objects_are_counted_by_their_directories_and_split_evenly_in_time() {
    let mut world = world();
    let labels = skald_testkit::labels(&[("app", "a")]);
    let lines = [(0, "12345678", "abc"), (1, "12345678", "abc"), (2, "12345678", "abc"), (100, "1234", "")];
    world.store(&tenant("t"), &[(labels.clone(), rows(&lines))], 1 << 20);
    let ask = |span| {
        let answer = ask(&world, &["t"], request("{}", span)).expect("it answers");
        assert_eq!((answer.stats.blocks_read, answer.stats.compressed_bytes), (0, 0));
        points(answer).into_iter().flat_map(|(_, points)| points).map(|(_, bytes)| bytes).sum::<u64>()
    };
    let all = 3 * (8 + 8 + 8) + 4 + 8;
    assert_eq!(ask((0, 100)), all);
    assert_eq!(ask((-50, 500)), all);
    // As if the four lay at 0, 33, 66 and 100 s: each has a quarter.
    assert_eq!((ask((0, 2)), ask((0, 50)), ask((51, 100)), ask((34, 67))), (all / 4, all / 2, all / 2, all / 4));
    assert_eq!(ask((34, 66)), 0);
}

#[test]
fn tenants_are_added_up_and_not_named() {
    let config = Config::default();
    let world = World::new(config, Limits::default());
    for (id, line) in [("a", "12"), ("b", "345")] {
        world.remember(&tenant(id), &skald_testkit::labels(&[("app", "x")]), rows(&[(1, line, "")]));
    }
    let found = points(ask(&world, &["a", "b"], request("{}", (0, 10))).expect("it answers"));
    assert_eq!(found, [(r#"{app="x"}"#.to_owned(), vec![(10.0, 2 + 3 + 16)])]);
    let by_labels = VolumeRequest { by: AggregateBy::Labels, ..request("{}", (0, 10)) };
    assert_eq!(points(ask(&world, &["a", "b"], by_labels).expect("it answers"))[0].0, r#"{app=""}"#);
}

#[test]
fn volumes_have_limits() {
    let refused = |limits: Limits| {
        let world = World::new(Config::default(), limits);
        for app in ["x", "y", "z"] {
            world.remember(&tenant("t"), &skald_testkit::labels(&[("app", app)]), rows(&[(1, "1", "")]));
        }
        ask(&world, &["t"], request("{}", (0, 10))).err().map(|error| (error.kind(), error.to_string()))
    };
    use skald_model::ErrorKind::{InvalidInput, NotFound};
    assert_eq!(refused(Limits { volume_max_series: 3, ..Limits::default() }), None);
    let text = "the query hit the max number of series limit (limit: 2 series)".to_owned();
    assert_eq!(refused(Limits { volume_max_series: 2, ..Limits::default() }), Some((InvalidInput, text)));
    assert_eq!(refused(Limits { volume_enabled: false, ..Limits::default() }), Some((NotFound, "not found".to_owned())));
}

#[test]
fn counting_is_not_bounded_by_what_queries_may_read() {
    let limits = Limits { max_query_bytes_read: skald_config::ByteSize(1), ..Limits::default() };
    let world = World::new(Config::default(), limits);
    world.remember(&tenant("t"), &skald_testkit::labels(&[("app", "x")]), rows(&[(1, "12345", "")]));
    assert!(ask(&world, &["t"], request("{}", (0, 10))).is_ok());
    let caller = world.querier.caller(vec![tenant("t")], QueryTags::default());
    let (stats, _) = block_on(world.querier.index_stats(&caller, Vec::new(), at(0), at(10))).expect("it answers");
    assert_eq!((stats.streams, stats.chunks, stats.entries, stats.bytes), (1, 1, 1, 5));
}

/// An entry of a stream, by its numbers; the line is as long as `line`.
type Entry = (u8, i64, usize, u8);

proptest! {
    #![proptest_config(skald_testkit::property(48))]

    #[test]
    fn buckets_have_what_lies_in_them_and_their_share_of_what_they_cut(
        sources in prop::collection::vec((prop::collection::vec((0..3u8, 0..60i64, 0..30usize, 0..3u8), 1..30), any::<bool>(), 1..200usize), 1..4),
        span in (0..60i64, 0..60i64),
        step in 1..30u64,
    ) {
        let mut world = world();
        let labels = |stream: u8| skald_testkit::labels(&[("stream", ["a", "b", "c"][stream as usize])]);
        let trace = |number: u8| ["", "one", "other"][number as usize];
        let mut in_memory_once = BTreeSet::<Entry>::new();
        // What each object has of each stream.
        let mut stored: Vec<(u8, Vec<Entry>)> = Vec::new();
        for (entries, in_memory, block_bytes) in sources {
            let mut entries: Vec<Entry> = entries;
            entries.sort_by_key(|(stream, secs, ..)| (*stream, *secs));
            let mut streams = Vec::new();
            for of_stream in entries.chunk_by(|a, b| a.0 == b.0) {
                // An object has no entry twice; memory may.
                let mut seen = BTreeSet::new();
                let kept: Vec<Entry> = of_stream.iter().filter(|entry| in_memory || seen.insert(**entry)).copied().collect();
                let lines: Vec<_> = kept.iter().map(|(_, secs, len, number)| (*secs, "x".repeat(*len), trace(*number))).collect();
                let lines: Vec<_> = lines.iter().map(|(secs, line, trace)| (*secs, line.as_str(), *trace)).collect();
                streams.push((labels(of_stream[0].0), rows(&lines)));
                if in_memory {
                    in_memory_once.extend(kept);
                } else {
                    stored.push((of_stream[0].0, kept));
                }
            }
            if in_memory {
                streams.into_iter().for_each(|(labels, rows)| world.remember(&tenant("t"), &labels, rows));
            } else {
                world.store(&tenant("t"), &streams, block_bytes);
            }
        }
        let bytes_of = |(_, _, len, number): &Entry| {
            let metadata = if *number == 0 { 0 } else { "trace".len() + trace(*number).len() };
            (len + metadata + 8) as u64
        };
        let volumes = |span: (i64, i64), step: Option<u64>| {
            let asked = VolumeRequest { step: step.map(Duration::from_secs), ..request("{}", span) };
            points(ask(&world, &["t"], asked).expect("it answers")).into_iter().collect::<BTreeMap<_, _>>()
        };
        let span = (span.0.min(span.1), span.0.max(span.1));
        let found = volumes(span, Some(step));

        // What lies whole in a bucket is exact; of what a border cuts, each bucket has between nothing and all.
        let buckets = Buckets::every(Duration::from_secs(step), at(span.0), at(span.1));
        let secs = |bucket: u32| (buckets.stamp(bucket).0 - START * 1_000_000_000) as f64 / 1e9;
        let mut bounds = BTreeMap::<(String, u32), (u64, u64)>::new();
        let mut add = |stream: u8, bucket: u32, least: u64, most: u64| {
            let bound = bounds.entry((labels(stream).to_string(), bucket)).or_default();
            *bound = (bound.0 + least, bound.1 + most);
        };
        for entry in &in_memory_once {
            buckets.bucket_of(at(entry.1)).iter().for_each(|bucket| add(entry.0, *bucket, bytes_of(entry), bytes_of(entry)));
        }
        for (stream, entries) in &stored {
            let all: u64 = entries.iter().map(bytes_of).sum();
            let (min, max) = (at(entries[0].1), at(entries[entries.len() - 1].1));
            match buckets.bucket_around(min, max) {
                Some(bucket) => add(*stream, bucket, all, all),
                None => (0..=buckets.last()).for_each(|bucket| add(*stream, bucket, 0, all)),
            }
        }
        let mut seen = 0;
        for ((labels, bucket), (least, most)) in &bounds {
            let points = found.get(labels).map_or(&[][..], Vec::as_slice);
            let bytes = points.iter().find(|(at, _)| *at == secs(*bucket)).map_or(0, |(_, bytes)| *bytes);
            prop_assert!((*least..=*most).contains(&bytes), "{labels} {bucket}: {bytes}, not between {least} and {most}");
            seen += bytes;
        }
        prop_assert_eq!(seen, found.values().flatten().map(|(_, bytes)| bytes).sum::<u64>());

        // However the time is cut, the parts add up to all there is.
        let mut want = BTreeMap::<String, u64>::new();
        let copies = stored.iter().flat_map(|(_, entries)| entries).chain(&in_memory_once);
        copies.for_each(|entry| *want.entry(labels(entry.0).to_string()).or_default() += bytes_of(entry));
        for step in [None, Some(step)] {
            let sum = |(labels, points): (String, Vec<(f64, u64)>)| (labels, points.iter().map(|(_, bytes)| bytes).sum());
            let sums: BTreeMap<String, u64> = volumes((-10, 100), step).into_iter().map(sum).collect();
            prop_assert_eq!(&sums, &want);
        }
        let caller = world.querier.caller(vec![tenant("t")], QueryTags::default());
        let stats = |from: i64, to: i64| block_on(world.querier.index_stats(&caller, Vec::new(), at(from), at(to))).expect("it answers").0;
        let whole = stats(-10, 100);
        let entries = stored.iter().map(|(_, entries)| entries.len()).sum::<usize>() + in_memory_once.len();
        prop_assert_eq!((whole.streams, whole.entries), (want.len() as u64, entries as u64));
        let caller = world.querier.caller(vec![tenant("t")], QueryTags::default());
        let parts = [(at(-10), Timestamp(at(span.0).0 - 1)), (at(span.0), at(span.1)), (Timestamp(at(span.1).0 + 1), at(100))];
        let parts = parts.map(|(from, to)| block_on(world.querier.index_stats(&caller, Vec::new(), from, to)).expect("it answers").0);
        prop_assert_eq!(parts.iter().map(|part| part.entries).sum::<u64>(), whole.entries);
        prop_assert_eq!(parts.iter().map(|part| part.bytes).sum::<u64>(), whole.bytes);
    }
}
