//! What is asked of streams rather than of lines: how many entries and bytes a selector has, and which streams.

use crate::data::{BASE, Entry, SECOND, stream_labels};
use crate::layout::TENANT;
use crate::query::LogQuery;
use crate::{Trial, is_in_memory, oracle, seeds};
use skald_logql::exec::{MetricResult, Selector};
use skald_logql::parse_matchers;
use skald_model::{Labels, TimeRange, Timestamp};
use skald_querier::{AggregateBy, AnswerData, VolumeRequest};
use skald_sim::{Node, tenant};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Bytes of an entry as volumes count them: the line, what was pushed with it, and 8 for what was derived.
fn volume_of(entry: &Entry) -> u64 {
    let pushed: usize = entry.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    (entry.line.len() + pushed + entry.level.map_or(0, |_| 8)) as u64
}

/// Bytes by `app`, at an instant or summed over buckets.
fn volumes(node: &Node, selector: &str, (start, end): (i64, i64), step: Option<Duration>) -> BTreeMap<String, u64> {
    let request = VolumeRequest {
        matchers: parse_matchers(selector, true).expect("a selector"),
        start: Timestamp(start),
        end: Timestamp(end),
        step,
        limit: 1000,
        target_labels: "app".to_owned(),
        by: AggregateBy::Series,
    };
    let caller = node.querier.caller(vec![tenant(TENANT)], Default::default());
    let answer = node.spawner.run(node.querier.volume(&caller, request)).expect("answered");
    let AnswerData::Metric(result) = answer.data else { panic!("not a metric answer") };
    let app = |labels: &skald_logql::exec::LabelSet| labels.get("app").expect("every stream has one").to_owned();
    match result {
        MetricResult::Vector(samples) => samples.iter().map(|sample| (app(&sample.labels), sample.value as u64)).collect(),
        MetricResult::Matrix(series) => {
            series.iter().map(|series| (app(&series.labels), series.points.iter().map(|point| point.1 as u64).sum())).collect()
        }
        MetricResult::Scalar { .. } => panic!("volumes have labels"),
    }
}

/// What a node answers about a selector between two instants.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Counted {
    entries: u64,
    bytes: u64,
    streams: u64,
    by_app: BTreeMap<String, u64>,
}

impl Counted {
    fn of(node: &Node, selector: &str, (start, end): (i64, i64)) -> Self {
        let caller = node.querier.caller(vec![tenant(TENANT)], Default::default());
        let matchers = parse_matchers(selector, false).expect("a selector");
        let stats = node.spawner.run(node.querier.index_stats(&caller, matchers, Timestamp(start), Timestamp(end)));
        let (stats, warnings) = stats.expect("answered");
        assert_eq!(warnings, Vec::<String>::new());
        Counted { entries: stats.entries, bytes: stats.bytes, streams: stats.streams, by_app: volumes(node, selector, (start, end), None) }
    }

    fn of_entries<'a>(entries: impl Iterator<Item = &'a Entry>) -> Self {
        let (mut counted, mut streams) = (Counted { entries: 0, bytes: 0, streams: 0, by_app: BTreeMap::new() }, BTreeSet::new());
        for entry in entries {
            let labels = stream_labels(entry.stream);
            counted.entries += 1;
            counted.bytes += entry.line.len() as u64;
            *counted.by_app.entry(labels.get("app").expect("every stream has one").to_owned()).or_default() += volume_of(entry);
            streams.insert(labels);
        }
        counted.streams = streams.len() as u64;
        counted
    }

    /// Adds what lies in a neighbouring time.
    fn and(mut self, other: &Counted) -> Self {
        self.entries += other.entries;
        self.bytes += other.bytes;
        other.by_app.iter().for_each(|(app, bytes)| *self.by_app.entry(app.clone()).or_default() += bytes);
        self
    }

    /// Whether it has no more of anything than `other`.
    fn is_within(&self, other: &Counted) -> bool {
        let fits = |(app, bytes): (&String, &u64)| other.by_app.get(app).is_some_and(|most| bytes <= most);
        self.entries <= other.entries && self.bytes <= other.bytes && self.by_app.iter().all(fits)
    }
}

#[test]
fn statistics_volumes_and_series_count_the_entries_that_are_selected() {
    let mut counted = 0;
    for seed in 0..seeds(6) {
        let trial = Trial::new(6000 + seed);
        let entries = trial.data.entries();
        let copies: Vec<&Entry> = trial.data.pushes.iter().flatten().collect();
        for _ in 0..10 {
            let query = LogQuery { stages: Vec::new(), ..LogQuery::generate(&trial.dice, true) };
            let selector = query.to_string();
            // No entry lies at the very ends.
            let start = BASE + trial.dice.below(120) as i64 * trial.data.unit - 5;
            let end = start + (1 + trial.dice.below(150) as i64) * trial.data.unit + 10;
            let selected_of = |entries: &[&Entry]| -> Vec<Entry> {
                let rows = oracle::rows(&query, entries).expect("selectors are plain");
                rows.iter().map(|row| row.entry.clone()).collect()
            };
            let (once, each) = (selected_of(&entries), selected_of(&copies));
            let selected: BTreeSet<Labels> = once.iter().map(|entry| stream_labels(entry.stream)).collect();
            let inside = |entry: &&Entry| start < entry.at && entry.at < end;
            let found: Vec<&Entry> = once.iter().filter(inside).collect();
            let streams: BTreeSet<Labels> = found.iter().map(|entry| stream_labels(entry.stream)).collect();
            let exact = Counted::of_entries(found.iter().copied());
            let (all_once, all_copies) = (Counted::of_entries(once.iter()), Counted::of_entries(each.iter()));
            let ends = (BASE - 1_000_000 * SECOND, BASE + 10_000_000 * SECOND);
            for (place, _, node) in &trial.nodes {
                let told = trial.told(place, &format!("{selector} {start} {end}"));
                let of_range = Counted::of(node, &selector, (start, end));
                let whole = Counted::of(node, &selector, ends);
                if is_in_memory(place) {
                    assert_eq!((&of_range, &whole), (&exact, &all_once), "{told}");
                }
                // Every entry counts, and once more for each object that repeats it.
                assert!(all_once.is_within(&whole) && whole.is_within(&all_copies), "{told}: {whole:?}");
                assert_eq!(whole.streams, all_once.streams, "{told}");
                assert!(of_range.streams <= all_once.streams, "{told}");
                // However the time is cut, the parts add up.
                let (before, after) = (Counted::of(node, &selector, (ends.0, start - 1)), Counted::of(node, &selector, (end + 1, ends.1)));
                let parts = before.and(&of_range).and(&after);
                assert_eq!((parts.entries, parts.bytes, &parts.by_app), (whole.entries, whole.bytes, &whole.by_app), "{told}");
                let step = Duration::from_nanos((trial.data.unit * 7).max(60 * SECOND) as u64);
                assert_eq!(volumes(node, &selector, (start, end), Some(step)), of_range.by_app, "by {step:?}, {told}");
                let caller = node.querier.caller(vec![tenant(TENANT)], Default::default());
                let matchers = parse_matchers(&selector, false).expect("a selector");
                let selectors = [Selector::compile(&matchers).expect("a selector")];
                let range = TimeRange::new(Timestamp(start), Timestamp(end));
                let series = node.spawner.run(node.querier.series(&caller, &selectors, range)).expect("answered").0;
                assert!(series.is_superset(&streams) && series.is_subset(&selected), "{series:?}, {told}");
            }
            counted += found.len();
        }
    }
    assert!(counted > 500, "only {counted} entries");
}
