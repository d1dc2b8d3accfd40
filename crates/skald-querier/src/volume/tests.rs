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
fn what_the_directory_knows_is_not_read() {
    let mut world = world();
    let labels = skald_testkit::labels(&[("app", "a")]);
    world.store(&tenant("t"), &[(labels.clone(), rows(&[(1, "12345", "abc"), (2, "1", "")]))], 1 << 20);
    let whole = ask(&world, &["t"], request("{}", (0, 10))).expect("it answers");
    assert_eq!((whole.stats.blocks_read, whole.stats.object_lines, whole.stats.object_bytes), (0, 2, 6));
    assert_eq!(points(whole), [(r#"{app="a"}"#.to_owned(), vec![(10.0, 5 + 8 + 8 + 1 + 8)])]);
    let cut = ask(&world, &["t"], request("{}", (0, 1))).expect("it answers");
    assert_eq!(cut.stats.blocks_read, 1);
    assert_eq!(points(cut), [(r#"{app="a"}"#.to_owned(), vec![(1.0, 5 + 8 + 8)])]);
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
    fn every_entry_counts_once_in_its_bucket_wherever_it_stands(
        sources in prop::collection::vec((prop::collection::vec((0..3u8, 0..60i64, 0..30usize, 0..3u8), 1..30), any::<bool>(), 1..200usize), 1..4),
        span in (0..60i64, 0..60i64),
        step in 1..30u64,
    ) {
        let mut world = world();
        let labels = |stream: u8| skald_testkit::labels(&[("stream", ["a", "b", "c"][stream as usize])]);
        let trace = |number: u8| ["", "one", "other"][number as usize];
        let mut all = BTreeSet::<Entry>::new();
        for (entries, in_memory, block_bytes) in sources {
            let mut entries: Vec<Entry> = entries;
            entries.sort_by_key(|(stream, secs, ..)| (*stream, *secs));
            all.extend(entries.iter().copied());
            let mut streams = Vec::new();
            for of_stream in entries.chunk_by(|a, b| a.0 == b.0) {
                // An object has no entry twice; memory may.
                let mut seen = BTreeSet::new();
                let kept = of_stream.iter().filter(|entry| in_memory || seen.insert(**entry));
                let lines: Vec<_> = kept.map(|(_, secs, len, number)| (*secs, "x".repeat(*len), trace(*number))).collect();
                let lines: Vec<_> = lines.iter().map(|(secs, line, trace)| (*secs, line.as_str(), *trace)).collect();
                streams.push((labels(of_stream[0].0), rows(&lines)));
            }
            if in_memory {
                streams.into_iter().for_each(|(labels, rows)| world.remember(&tenant("t"), &labels, rows));
            } else {
                world.store(&tenant("t"), &streams, block_bytes);
            }
        }
        let span = (span.0.min(span.1), span.0.max(span.1));
        let asked = VolumeRequest { step: Some(Duration::from_secs(step)), ..request("{}", span) };
        let found: BTreeMap<_, _> = points(ask(&world, &["t"], asked).expect("it answers")).into_iter().collect();

        let buckets = Buckets::every(Duration::from_secs(step), at(span.0), at(span.1));
        let mut want = BTreeMap::<String, BTreeMap<u32, u64>>::new();
        let (mut entries, mut bytes) = (0, 0);
        for (stream, secs, len, number) in all {
            let Some(bucket) = buckets.bucket_of(at(secs)) else { continue };
            let metadata = if number == 0 { 0 } else { "trace".len() + trace(number).len() };
            *want.entry(labels(stream).to_string()).or_default().entry(bucket).or_default() += (len + metadata + 8) as u64;
            (entries, bytes) = (entries + 1, bytes + len as u64);
        }
        let is_matrix = want.values().any(|points| points.len() > 1);
        let secs = |bucket: u32| (buckets.stamp(bucket).0 - START * 1_000_000_000) as f64 / 1e9;
        let want: BTreeMap<_, _> = want
            .iter()
            .map(|(labels, points)| (labels.clone(), points.iter().map(|(bucket, bytes)| (secs(*bucket), *bytes)).collect::<Vec<_>>()))
            .collect();
        prop_assert!(is_matrix || found.values().all(|points| points.len() == 1));
        prop_assert_eq!(&found, &want);

        let caller = world.querier.caller(vec![tenant("t")], QueryTags::default());
        let (stats, _) = block_on(world.querier.index_stats(&caller, Vec::new(), at(span.0), at(span.1))).expect("it answers");
        prop_assert_eq!((stats.streams, stats.entries, stats.bytes), (want.len() as u64, entries, bytes));
    }
}
