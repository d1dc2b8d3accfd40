//! One question has one answer: however the entries are stored, however the question is cut, and as an evaluator that reads them one by one says.
//!
//! `SKALD_SIM_SEEDS` asks for more seeds; a failure prints its seed and its query.

mod answer;
mod data;
mod index;
mod layout;
mod oracle;
mod query;

use answer::{Row, Series, Streams, all_rows, difference, series, streams, streams_difference};
use data::{BASE, Data, Dice, SECOND};
use layout::{LAYOUTS, TENANT, stored, stored_for};
use query::{Grouping, LogQuery, Metric, Range};
use skald_logql::plan::{Rewrite, Rewrites};
use skald_model::{ErrorKind, Timestamp};
use skald_querier::{Answer, QueryError, QueryRequest};
use skald_sim::{Node, World};
use std::collections::BTreeMap;
use std::time::Duration;

const ALL: u64 = 10_000_000;

/// How many seeds to run; `make sim` asks for more.
fn seeds(few: u64) -> u64 {
    std::env::var("SKALD_SIM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(few)
}

/// A seed's entries, stored in every way.
struct Trial {
    seed: u64,
    dice: Dice,
    data: Data,
    nodes: Vec<(String, World, Node)>,
}

/// Whether a node of this name has no entry in an object.
fn is_in_memory(place: &str) -> bool {
    LAYOUTS.into_iter().any(|layout| layout.is_in_memory() && format!("{layout:?}") == place)
}

impl Trial {
    fn new(seed: u64) -> Self {
        let dice = Dice::new(seed);
        let data = Data::generate(&dice);
        let node = |layout| {
            let (world, node) = stored(layout, &data, seed);
            (format!("{layout:?}"), world, node)
        };
        let nodes = LAYOUTS.into_iter().map(node).collect();
        Trial { seed, dice, data, nodes }
    }

    /// All entries once, in order of arrival.
    fn whole(&self) -> (i64, i64) {
        (BASE - SECOND, self.data.end)
    }

    fn told(&self, place: &str, text: &str) -> String {
        format!("seed {}, {place}: {text}", self.seed)
    }

    /// `[range]`s in seconds that fit the span of the entries.
    fn ranges(&self) -> [u64; 4] {
        let unit = self.data.unit as u64 / SECOND as u64;
        [unit, 3 * unit, 30 * unit, 1]
    }

    /// Ways to plan a query that is asked once more: none of the rewrites, some, all; and as usual, since the cache is warm by then.
    fn plans(&self) -> [Option<Rewrites>; 4] {
        let some = Rewrite::ALL.into_iter().filter(|_| self.dice.chance(50));
        [Some(Rewrites::NONE), Some(some.fold(Rewrites::NONE, Rewrites::with)), Some(Rewrites::ALL), None]
    }

    /// Start, end and step of a range query; not always multiples of the step.
    fn steps(&self) -> (i64, i64, i64) {
        let step = self.data.unit * self.dice.pick(&[1, 2, 7]);
        let start = BASE + self.dice.below(60) as i64 * self.data.unit;
        let end = start + (5 + self.dice.below(30) as i64) * step;
        let aside = if self.dice.chance(20) { self.data.unit / 2 } else { 0 };
        (start + aside, end, step)
    }
}

/// The answer as usual, or without the cache and with these rewrites alone.
fn answer_of(node: &Node, request: QueryRequest, rewrites: Option<Rewrites>) -> Result<Answer, QueryError> {
    match rewrites {
        None => node.ask(TENANT, request),
        Some(rewrites) => node.ask_plainly(TENANT, request, rewrites),
    }
}

fn named(rewrites: Option<Rewrites>) -> String {
    rewrites.map_or("asked again".to_owned(), |rewrites| format!("plainly with {:?}", rewrites.iter().collect::<Vec<_>>()))
}

fn log(node: &Node, text: &str, window: (i64, i64), limit: u64, forward: bool) -> Result<Streams, ErrorKind> {
    log_with(node, text, window, limit, forward, None)
}

fn log_with(
    node: &Node,
    text: &str,
    (start, end): (i64, i64),
    limit: u64,
    forward: bool,
    rewrites: Option<Rewrites>,
) -> Result<Streams, ErrorKind> {
    let request = QueryRequest {
        text: text.to_owned(),
        start: Timestamp(start),
        end: Timestamp(end),
        step: Some(Duration::from_secs(1 << 30)),
        interval: Duration::ZERO,
        limit,
        forward,
    };
    streams(answer_of(node, request, rewrites))
}

fn metric(node: &Node, text: &str, window: (i64, i64), step: Option<i64>) -> Result<Series, ErrorKind> {
    metric_with(node, text, window, step, None)
}

fn metric_with(
    node: &Node,
    text: &str,
    (start, end): (i64, i64),
    step: Option<i64>,
    rewrites: Option<Rewrites>,
) -> Result<Series, ErrorKind> {
    let request = QueryRequest {
        text: text.to_owned(),
        start: Timestamp(start),
        end: Timestamp(end),
        step: step.map(|step| Duration::from_nanos(step as u64)),
        interval: Duration::ZERO,
        limit: 100,
        forward: false,
    };
    series(answer_of(node, request, rewrites))
}

/// The evaluation times of a range query: multiples of the step, from the one at or before the start to the one at or behind the end.
fn times(start: i64, end: i64, step: i64) -> Vec<i64> {
    let first = start.div_euclid(step) * step;
    (0..).map(|i| first + i * step).take_while(|at| *at < end + step).collect()
}

#[test]
fn log_answers_are_those_of_the_entries_read_one_by_one() {
    let mut compared = 0;
    for seed in 0..seeds(8) {
        let trial = Trial::new(seed);
        let entries = trial.data.entries();
        for _ in 0..12 {
            let query = LogQuery::generate(&trial.dice, true);
            let Some(rows) = oracle::rows(&query, &entries) else { continue };
            let mut want: Vec<Row> = rows.iter().map(|row| (row.entry.at, row.entry.line.clone(), text_of(&row.labels()))).collect();
            want.sort();
            for (place, _, node) in &trial.nodes {
                let got = all_rows(&log(node, &query.to_string(), trial.whole(), ALL, true).expect("answered"));
                assert_eq!(got, want, "{}", trial.told(place, &query.to_string()));
            }
            compared += usize::from(!want.is_empty());
        }
    }
    assert!(compared > 20, "only {compared} queries with an answer");
}

fn text_of(labels: &oracle::Set) -> String {
    skald_model::label_text(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

#[test]
fn metric_answers_are_those_of_the_entries_read_one_by_one() {
    let mut compared = 0;
    for seed in 0..seeds(8) {
        let trial = Trial::new(1000 + seed);
        let entries = trial.data.entries();
        for _ in 0..24 {
            let query = Metric::generate(&trial.dice, true, &trial.ranges());
            let (start, end, step) = trial.steps();
            let Some(matrix) = oracle::matrix(&query, &entries, &times(start, end, step)) else { continue };
            let want: Series = matrix.into_iter().map(|(labels, points)| (text_of(&labels), points.into_iter().collect())).collect();
            let text = query.to_string();
            for (place, _, node) in &trial.nodes {
                let got = metric(node, &text, (start, end), Some(step));
                let told = trial.told(place, &format!("{text} {start} {end} {step}"));
                let got = got.unwrap_or_else(|kind| panic!("{kind:?}, {told}"));
                assert_eq!(difference(&want, &got, slack(&query)), None, "{told}");
            }
            compared += usize::from(!want.is_empty());
        }
    }
    assert!(compared > 30, "only {compared} queries with an answer");
}

fn slack(query: &Metric) -> f64 {
    if query.is_rough() { 1e-5 } else { 1e-9 }
}

#[test]
fn log_answers_do_not_depend_on_where_entries_lie_or_how_the_query_is_cut() {
    for seed in 0..seeds(6) {
        let trial = Trial::new(2000 + seed);
        for _ in 0..10 {
            let query = LogQuery::generate(&trial.dice, false).to_string();
            let want = log(&trial.nodes[0].2, &query, trial.whole(), ALL, true);
            for (place, _, node) in &trial.nodes {
                let told = trial.told(place, &query);
                let got = log(node, &query, trial.whole(), ALL, true);
                assert_eq!(want.as_ref().err(), got.as_ref().err(), "{told}");
                let (Ok(want), Ok(got)) = (&want, &got) else { continue };
                let check = |got: &Streams, how: &str| assert_eq!(streams_difference(want, got), None, "{how}{told}");
                check(got, "");
                check(&reversed(log(node, &query, trial.whole(), ALL, false).expect("the order changes nothing")), "backward, ");
                check(&joined(&trial, node, &query), "in parts, ");
                for rewrites in trial.plans() {
                    let plainly = log_with(node, &query, trial.whole(), ALL, true, rewrites).expect("rewrites change nothing");
                    check(&plainly, &format!("{}, ", named(rewrites)));
                }
                pages(&trial, node, &query, &all_rows(want), &told);
            }
        }
    }
}

fn reversed(streams: Streams) -> Streams {
    streams.into_iter().map(|(labels, rows)| (labels, rows.into_iter().rev().collect())).collect()
}

/// The answers to parts of the range, one after the other.
fn joined(trial: &Trial, node: &Node, query: &str) -> Streams {
    let (start, end) = trial.whole();
    let mut cuts: Vec<i64> = (0..4)
        .map(|_| BASE + trial.dice.below(200) as i64 * trial.data.unit + trial.dice.below(3) as i64 - 1)
        .filter(|cut| *cut < end)
        .collect();
    cuts.extend([start, end]);
    cuts.sort_unstable();
    // A range that ends where it begins would hold that instant.
    cuts.dedup();
    let mut whole = Streams::new();
    for pair in cuts.windows(2) {
        for (labels, rows) in log(node, query, (pair[0], pair[1]), ALL, true).expect("the whole is answered") {
            whole.entry(labels).or_default().extend(rows);
        }
    }
    whole
}

/// Asks page by page, as one scrolls: the next begins with the last instant of the one before, whose entries are known already.
fn pages(trial: &Trial, node: &Node, query: &str, want: &[Row], told: &str) {
    let ties = want.chunk_by(|a, b| a.0 == b.0).map(<[Row]>::len).max().unwrap_or(0);
    let limit = ties + 1 + trial.dice.below(20) as usize;
    let forward = trial.dice.chance(50);
    let (mut start, mut end) = trial.whole();
    let (mut found, mut known): (Vec<Row>, Vec<Row>) = (Vec::new(), Vec::new());
    loop {
        let mut page = all_rows(&log(node, query, (start, end), limit as u64, forward).expect("the whole is answered"));
        let is_last = page.len() < limit;
        assert!(page.len() <= limit, "{} of {limit}, {told}", page.len());
        let edge = if forward { page.last() } else { page.first() }.map_or(0, |row| row.0);
        let of_edge: Vec<Row> = page.iter().filter(|row| row.0 == edge).cloned().collect();
        for row in &known {
            let at = page.iter().position(|other| other == row).unwrap_or_else(|| panic!("{row:?} is on one page only, {told}"));
            page.remove(at);
        }
        found.extend(page);
        if is_last {
            break;
        }
        known = of_edge;
        (start, end) = if forward { (edge, end) } else { (start, edge + 1) };
    }
    found.sort();
    assert_eq!(found, want, "by pages of {limit}, {}, {told}", if forward { "forward" } else { "backward" });
}

#[test]
fn metric_answers_do_not_depend_on_where_entries_lie_or_how_the_query_is_cut() {
    let mut answered = 0;
    for seed in 0..seeds(6) {
        let trial = Trial::new(3000 + seed);
        for _ in 0..20 {
            let query = Metric::generate(&trial.dice, false, &trial.ranges());
            let (text, slack) = (query.to_string(), slack(&query));
            let (start, end, step) = trial.steps();
            let want = metric(&trial.nodes[0].2, &text, (start, end), Some(step));
            let all = times(start, end, step);
            let cut = 1 + trial.dice.below(all.len() as u64 - 1) as usize;
            for (place, _, node) in &trial.nodes {
                let told = trial.told(place, &format!("{text} {start} {end} {step}"));
                let got = metric(node, &text, (start, end), Some(step));
                let (want, got) = match (&want, got) {
                    (Ok(want), Ok(got)) => (want, got),
                    (want, got) => {
                        assert_eq!(want.as_ref().err(), got.as_ref().err(), "{told}");
                        continue;
                    }
                };
                assert_eq!(difference(want, &got, slack), None, "{told}");
                for rewrites in trial.plans() {
                    let plainly = metric_with(node, &text, (start, end), Some(step), rewrites).expect("rewrites change nothing");
                    assert_eq!(difference(want, &plainly, slack), None, "{}, {told}", named(rewrites));
                }
                let mut parts = metric(node, &text, (all[0], all[cut - 1]), Some(step)).expect("the whole is answered");
                for (labels, points) in metric(node, &text, (all[cut], all[all.len() - 1]), Some(step)).expect("the whole is answered") {
                    parts.entry(labels).or_default().extend(points);
                }
                assert_eq!(difference(want, &parts, slack), None, "in two, {told}");
                let last = all[all.len() - 1];
                let instant = metric(node, &text, (last, last), None).expect("the whole is answered");
                assert_eq!(difference(&at(want, last), &instant, slack), None, "at its end, {told}");
                answered += 1;
            }
        }
    }
    assert!(answered > 300, "only {answered} answers");
}

/// The points of one time.
fn at(series: &Series, time: i64) -> Series {
    let points = |points: &[(i64, f64)]| points.iter().filter(|point| point.0 == time).copied().collect::<Vec<_>>();
    let found = series.iter().map(|(labels, of)| (labels.clone(), points(of)));
    found.filter(|(_, points)| !points.is_empty()).collect()
}

#[test]
fn several_tenants_answer_together_what_each_answers() {
    let mut found = 0;
    for seed in 0..seeds(6) {
        let dice = Dice::new(5000 + seed);
        let data = Data::generate(&dice);
        let (_world, node) = stored_for(&["a", "b", "other"], &data, seed);
        for _ in 0..20 {
            let query = LogQuery::generate(&dice, dice.chance(50));
            if query.stages.iter().any(|stage| stage.to_string().contains("keep")) {
                continue;
            }
            let text = query.to_string();
            let lines = |owner: &str| rows_of(&node, owner, &text, (BASE - SECOND, data.end));
            let (Ok(a), Ok(b), Ok(both)) = (lines("a"), lines("b"), lines("a|b")) else { continue };
            for (owner, want) in [("a", &a), ("b", &b)] {
                let label = format!("__tenant_id__=\"{owner}\"");
                let without = |labels: &str| {
                    [format!("{label}, "), format!(", {label}"), label.clone()]
                        .iter()
                        .fold(labels.to_owned(), |labels, part| labels.replace(part, ""))
                };
                let of_owner = both.iter().filter(|row| row.2.contains(&label));
                let mut of_owner: Vec<Row> = of_owner.map(|(at, line, labels)| (*at, line.clone(), without(labels))).collect();
                of_owner.sort();
                assert_eq!(&of_owner, want, "seed {seed}, of {owner}: {text}");
            }
            assert_eq!(both.len(), a.len() + b.len(), "seed {seed}: {text}");
            found += both.len();
        }
    }
    assert!(found > 500, "only {found} rows");
}

fn rows_of(node: &Node, owner: &str, text: &str, (start, end): (i64, i64)) -> Result<Vec<Row>, ErrorKind> {
    let request = QueryRequest {
        text: text.to_owned(),
        start: Timestamp(start),
        end: Timestamp(end),
        step: Some(Duration::from_secs(1 << 30)),
        interval: Duration::ZERO,
        limit: ALL,
        forward: true,
    };
    streams(node.ask(owner, request)).map(|streams| all_rows(&streams))
}

#[test]
fn counts_are_the_numbers_of_lines_that_the_log_query_returns() {
    let mut counted_rows = 0;
    for seed in 0..seeds(6) {
        let trial = Trial::new(4000 + seed);
        for _ in 0..20 {
            let log_query = LogQuery::generate(&trial.dice, trial.dice.chance(50));
            if log_query.may_filter_early() {
                continue;
            }
            let text = log_query.to_string();
            let seconds = trial.dice.pick(&trial.ranges()[..3]);
            let end = BASE + trial.dice.below(220) as i64 * trial.data.unit;
            // A log query begins with its start and ends before its end; a window of counts is open at its start and closed at its end.
            let window = (end - seconds as i64 * SECOND + 1, end + 1);
            let range = Range { op: "count_over_time", quantile: None, log: log_query, unwrap: None, seconds, offset: 0, grouping: None };
            let count = |grouping: Option<Grouping>| {
                Metric::Vector { op: "sum", k: None, grouping, inner: Box::new(Metric::Range(range.clone())) }.to_string()
            };
            for (place, _, node) in &trial.nodes {
                let told = trial.told(place, &format!("{text} [{seconds}s] at {end}"));
                let Ok(found) = log(node, &text, window, ALL, false) else { continue };
                let rows = all_rows(&found);
                if rows.iter().any(|row| row.2.contains("__error__")) {
                    continue;
                }
                let counted = metric(node, &count(None), (end, end), None).expect("there is no error");
                assert_eq!(values(&counted), [rows.len() as f64].into_iter().filter(|count| *count > 0.0).collect::<Vec<_>>(), "{told}");
                let by_level = metric(node, &count(Some(Grouping { without: false, names: vec!["detected_level"] })), (end, end), None);
                let mut of_level = BTreeMap::<String, f64>::new();
                rows.iter().for_each(|row| *of_level.entry(level_text(&row.2)).or_default() += 1.0);
                let want: Series = of_level.into_iter().map(|(labels, count)| (labels, vec![(end, count)])).collect();
                assert_eq!(difference(&want, &by_level.expect("there is no error"), 0.0), None, "by level, {told}");
                counted_rows += rows.len();
            }
        }
    }
    assert!(counted_rows > 200, "only {counted_rows} rows");
}

fn values(series: &Series) -> Vec<f64> {
    series.values().flatten().map(|point| point.1).collect()
}

/// `{detected_level="…"}` of the labels, `{}` without one.
fn level_text(labels: &str) -> String {
    let level = labels.split_once("detected_level=\"").and_then(|(_, rest)| rest.split_once('"'));
    level.map_or_else(|| "{}".to_owned(), |(level, _)| format!("{{detected_level=\"{level}\"}}"))
}
