//! What is asked of streams rather than of lines: how many entries and bytes a selector has, and which streams.

use crate::data::{BASE, Entry, SECOND, stream_labels};
use crate::layout::TENANT;
use crate::query::LogQuery;
use crate::{Trial, oracle, seeds};
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

#[test]
fn statistics_volumes_and_series_count_the_entries_that_are_selected() {
    let mut counted = 0;
    for seed in 0..seeds(6) {
        let trial = Trial::new(6000 + seed);
        let entries = trial.data.entries();
        for _ in 0..10 {
            let query = LogQuery { stages: Vec::new(), ..LogQuery::generate(&trial.dice, true) };
            let selector = query.to_string();
            // No entry lies at the very ends.
            let start = BASE + trial.dice.below(120) as i64 * trial.data.unit - 5;
            let end = start + (1 + trial.dice.below(150) as i64) * trial.data.unit + 10;
            let rows = oracle::rows(&query, &entries).expect("selectors are plain");
            let inside = |entry: &&Entry| start < entry.at && entry.at < end;
            let selected: BTreeSet<Labels> = rows.iter().map(|row| stream_labels(row.entry.stream)).collect();
            let found: Vec<&Entry> = rows.iter().map(|row| row.entry).filter(inside).collect();
            let streams: BTreeSet<Labels> = found.iter().map(|entry| stream_labels(entry.stream)).collect();
            let mut by_app = BTreeMap::<String, u64>::new();
            for entry in &found {
                *by_app.entry(stream_labels(entry.stream).get("app").expect("every stream has one").to_owned()).or_default() +=
                    volume_of(entry);
            }
            for (place, _, node) in &trial.nodes {
                let told = trial.told(place, &format!("{selector} {start} {end}"));
                let caller = node.querier.caller(vec![tenant(TENANT)], Default::default());
                let matchers = parse_matchers(&selector, false).expect("a selector");
                let stats = node.spawner.run(node.querier.index_stats(&caller, matchers.clone(), Timestamp(start), Timestamp(end)));
                let (stats, warnings) = stats.expect("answered");
                assert_eq!((stats.entries, stats.streams, warnings.len()), (found.len() as u64, streams.len() as u64, 0), "{told}");
                assert_eq!(volumes(node, &selector, (start, end), None), by_app, "{told}");
                let step = Duration::from_nanos((trial.data.unit * 7).max(60 * SECOND) as u64);
                assert_eq!(volumes(node, &selector, (start, end), Some(step)), by_app, "by {step:?}, {told}");
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
