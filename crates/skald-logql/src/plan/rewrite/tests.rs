//! Generated entries and queries, asked with and without rewrites.

use super::{Rewrite, Rewrites};
use crate::exec::*;
use crate::plan::{Direction, LogPlan, MetricPlan, Params, Plan, PlanError, plan};
use proptest::prelude::*;
use skald_model::{Column, Labels, Level, Rows, RowsBuilder, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// A test that queries have the same answers without one rewrite.
macro_rules! same_answers_without {
    ($rewrite:ident) => {
        use crate::plan::rewrite::Rewrite as Switch;
        use crate::plan::rewrite::tests::{Case, case, check_without};
        use proptest::prelude::{ProptestConfig, proptest};

        fn config() -> ProptestConfig {
            skald_testkit::property(100)
        }

        proptest! {
            #![proptest_config(config())]

            #[test]
            fn answers_are_the_same_without_it(case in case()) {
                let case: Case = case;
                check_without(&case, Switch::$rewrite)?;
            }
        }
    };
}
pub(super) use same_answers_without;

/// Entries and a query over them.
#[derive(Debug, Clone)]
pub(super) struct Case {
    query: String,
    streams: Vec<(Labels, Rows)>,
    /// Rows of a block.
    block: usize,
    params: Params,
}

pub(super) fn stream(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).expect("distinct names")
}

pub(in crate::plan) fn plan_of(query: &str, rewrites: Rewrites) -> Result<Plan, PlanError> {
    plan(&crate::parse(query).unwrap_or_else(|error| panic!("{query}: {error}")), &Params { rewrites, ..params() })
}

fn params() -> Params {
    Params {
        start: Timestamp(0),
        end: Timestamp(60),
        step: None,
        limit: 1000,
        direction: Direction::Forward,
        interval: Duration::ZERO,
        max_series: 100_000,
        now: Timestamp(1000),
        approx_topk: true,
        profile: None,
        rewrites: Rewrites::ALL,
    }
}

fn words(words: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(words)
}

/// Values as texts, and as they may stand in a JSON or logfmt text in quotes.
const VALUES: &[(&str, &str)] = &[
    ("x1", "x1"),
    ("x1", r"\u00781"),
    ("x1", r"x\u0031"),
    ("x1", "x1"),
    ("x1 y/2", r"x1 y\/2"),
    ("x1 y/2", "x1 y/2"),
    ("x1\ny", r"x1\ny"),
    ("é", r"\u00e9"),
    ("é", "é"),
    ("p1", "p1"),
    ("p2", "p2"),
    ("info", "info"),
    ("error", "err\\u006fr"),
    ("5", "5"),
    ("", ""),
];

fn line() -> impl Strategy<Value = String> {
    let name = || words(&["a", "a", "a", "a", "b", "n", "pod", "level", "a-b", "a_extracted", "_entry", "job"]);
    let value = || prop::sample::select(VALUES).prop_map(|(_, written)| written);
    let json = prop::collection::vec((name(), value()), 0..4).prop_map(|members| {
        format!("{{{}}}", members.into_iter().map(|(name, value)| format!("\"{name}\":\"{value}\"")).collect::<Vec<_>>().join(","))
    });
    let nested = (name(), name(), value()).prop_map(|(one, two, value)| format!("{{\"{one}\":{{\"{two}\":\"{value}\"}},\"n\":7}}"));
    let logfmt = prop::collection::vec((name(), value(), any::<bool>()), 0..4).prop_map(|pairs| {
        let pair =
            |(name, value, quoted): (&str, &str, bool)| if quoted { format!("{name}=\"{value}\"") } else { format!("{name}={value}") };
        pairs.into_iter().map(pair).collect::<Vec<_>>().join(" ")
    });
    let plain = words(&["", "x1", "plain info", "{\"a\":\"x1\"", "GET p1 x1", "\u{1b}[31mx1\u{1b}[0m", "n=5 a=x1 b", "[1]", "5 p2"]);
    prop_oneof![3 => json, 1 => nested, 2 => logfmt, 2 => plain.prop_map(str::to_owned)]
}

fn metadata() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let name = words(&["a", "b", "pod", "level", "detected_level", "detected_level", "detected_level", "a-b", "trace", "__error__"]);
    let value = words(&["x1", "p1", "info", "error", "info", "5"]);
    prop::collection::vec((name, value), 0..6).prop_map(|mut pairs| {
        pairs.sort_unstable();
        pairs.dedup_by_key(|pair| pair.0);
        pairs
    })
}

fn labels() -> impl Strategy<Value = Labels> {
    prop::sample::select(vec![
        stream(&[("app", "a")]),
        stream(&[("app", "b"), ("pod", "p1")]),
        stream(&[("app", "a"), ("level", "info"), ("pod", "p2")]),
        stream(&[("app", "b"), ("a", "x1"), ("a_extracted", "q")]),
        stream(&[("app", "a"), ("detected_level", "info")]),
    ])
}

fn rows() -> impl Strategy<Value = Rows> {
    let entry = (0i64..60, line(), metadata());
    // Few names at a time: many fast ways are open only where a name is no metadata.
    let names =
        prop::sample::subsequence(vec!["a", "b", "pod", "level", "detected_level", "detected_level", "a-b", "trace", "__error__"], 0..3);
    (prop::collection::vec(entry, 0..10), any::<bool>(), names).prop_map(|(mut entries, sorted, names)| {
        if sorted {
            entries.sort_by_key(|entry| entry.0);
        }
        let mut builder = RowsBuilder::default();
        for (at, line, metadata) in entries {
            builder.push(Timestamp(at), line.as_bytes());
            let kept = metadata.iter().filter(|(name, _)| names.contains(name));
            kept.for_each(|(name, value)| builder.set_metadata(name, value.as_bytes(), false));
        }
        builder.finish()
    })
}

fn label_filter() -> impl Strategy<Value = String> {
    let name = words(&["a", "a", "a", "a", "b", "n", "pod", "level", "detected_level", "a_extracted", "__error__", "trace", "app"]);
    let test = words(&[
        "=\"x1\"",
        "=\"x1\"",
        "=\"x1\"",
        "=\"x1\"",
        "=\"x1 y/2\"",
        "=\"é\"",
        "=\"p1\"",
        "=\"\"",
        "!=\"x1\"",
        "=~\"x1|p1\"",
        "=~\".*x1.*\"",
        "=~\"(?i)X1\"",
        "=~\"in.+\"",
        "=~\".+\"",
        "!~\"p.\"",
        "=\"error\"",
        ">4",
        "<=5",
        "=\"x1\\ny\"",
        "=~\"info|error\"",
    ]);
    let one = (name, test).prop_map(|(name, test)| format!("{name}{test}"));
    one.prop_recursive(2, 4, 2, |inner| {
        (inner.clone(), words(&[" and ", " or ", ", "]), inner).prop_map(|(left, joint, right)| format!("({left}){joint}({right})"))
    })
}

fn stages() -> impl Strategy<Value = String> {
    let stage = prop_oneof![
        4 => words(&[
            "| json", "| json", "| logfmt", "| logfmt", "| json a=\"a\", b=\"n\"", "| logfmt a, b=\"n\"", "| logfmt --strict", "| unpack",
            "| pattern \"<m> <a> <b>\"", "| regexp \"(?P<a>[a-z]+1)\"", "| decolorize",
        ]).prop_map(str::to_owned),
        2 => words(&[
            "|= \"x1\"", "!= \"x1\"", "|~ \"x[0-9]\"", "|~ \"(?i)X1|info\"", "|> \"<_>x1<_>\"", "|= \"p1\" or \"p2\"", "|= \"\"",
            "| drop a", "| drop __error__, __error_details__", "| drop pod, level=\"info\"", "| keep a, b", "| line_format \"{{.a}} x1\"",
            "| line_format \"{{.b}}\"", "| label_format b=a", "| label_format a=\"{{.b}}\", c=\"x1\"",
        ]).prop_map(str::to_owned),
        4 => label_filter().prop_map(|filter| format!("| {filter}")),
    ];
    let parsed =
        (words(&["| json", "| logfmt", "| json a=\"a\""]), label_filter()).prop_map(|(parser, filter)| format!("{parser} | {filter}"));
    prop::collection::vec(prop_oneof![2 => stage, 1 => parsed], 0..5).prop_map(|stages| stages.join(" "))
}

fn query() -> impl Strategy<Value = String> {
    let log = || {
        (words(&["{app=\"a\"}", "{app=~\".+\"}", "{app=~\".+\", pod!=\"p1\"}"]), stages())
            .prop_map(|(selector, stages)| format!("{selector} {stages}"))
    };
    let grouping = || {
        words(&[
            "",
            "",
            " by (a)",
            " by (level, detected_level)",
            " by (detected_level)",
            " by (app)",
            " without (a)",
            " by (__error__)",
            " by (n)",
            " by (a_extracted)",
        ])
    };
    let range = || words(&["[1m]", "[2m]", "[1h]"]);
    let counted = || {
        (words(&["count_over_time", "rate", "bytes_over_time", "bytes_rate", "absent_over_time"]), log(), range())
            .prop_map(|(op, log, range)| format!("{op}({log}{range})"))
    };
    let summed = || {
        (words(&["count_over_time", "rate", "bytes_over_time", "bytes_rate"]), log(), range(), grouping())
            .prop_map(|(op, log, range, grouping)| format!("sum{grouping}({op}({log}{range}))"))
    };
    let unwrapped =
        (words(&["sum_over_time", "rate"]), log(), words(&["n", "a", "b"]), words(&["", " | __error__=\"\""]), range(), grouping())
            .prop_map(|(op, log, label, filter, range, grouping)| format!("sum{grouping}({op}({log} | unwrap {label}{filter}{range}))"));
    let folded = (words(&["max_over_time", "avg_over_time"]), log(), words(&["n", "a"]), range(), grouping())
        .prop_map(|(op, log, label, range, grouping)| format!("{op}({log} | unwrap {label} | __error__=\"\"{range}){grouping}"));
    let top = (words(&["topk", "bottomk", "approx_topk"]), 1u32..4, prop_oneof![counted(), summed()])
        .prop_map(|(op, k, inner)| format!("{op}({k}, {inner})"));
    prop_oneof![3 => log(), 2 => counted(), 4 => summed(), 2 => unwrapped, 1 => folded, 2 => top]
}

pub(super) fn case() -> impl Strategy<Value = Case> {
    let streams = prop::collection::vec((labels(), rows()), 1..4);
    (query(), streams, 1usize..6, any::<bool>(), 1usize..20, prop::option::of(1u64..30)).prop_map(
        |(query, mut streams, block, forward, limit, step)| {
            streams.sort_by(|a, b| a.0.cmp(&b.0));
            streams.dedup_by(|a, b| a.0 == b.0);
            // The windows of the queries are minutes and more; times are nanoseconds here.
            let query = query.replace("[1m]", "[1ms]").replace("[2m]", "[2ms]");
            let direction = if forward { Direction::Forward } else { Direction::Backward };
            let scale = 100_000;
            let streams = streams.into_iter().map(|(labels, rows)| (labels, scaled(&rows, scale))).collect();
            let step = step.map(|step| Duration::from_nanos(step * scale as u64));
            let params = Params { end: Timestamp(60 * scale), direction, limit, step, ..params() };
            Case { query, streams, block, params }
        },
    )
}

/// The same rows with their times multiplied.
fn scaled(rows: &Rows, by: i64) -> Rows {
    let timestamps = rows.timestamps().iter().map(|at| at * by).collect();
    Rows::from_columns(timestamps, rows.line_ends().to_vec(), rows.line_bytes().to_vec(), rows.columns().to_vec()).expect("fits")
}

/// What a query gives, so that it can be compared.
#[derive(Debug, PartialEq)]
enum Answered {
    Lines(Vec<LogStream>, Vec<LogStream>),
    Numbers(Vec<(String, i64, f64)>),
    /// Name of the error; which labels its text lists depends on what was read.
    Failed(String),
}

fn answer(case: &Case, rewrites: Rewrites) -> Result<Answered, PlanError> {
    let expr = crate::parse(&case.query).unwrap_or_else(|error| panic!("{}: {error}", case.query));
    // Only an instant has the approximate one.
    let step = case.params.step.filter(|_| !case.query.starts_with("approx_topk"));
    let params = Params { step, rewrites, ..case.params.clone() };
    Ok(match plan(&expr, &params)? {
        Plan::Log(plan) => lines(case, &plan),
        Plan::Metric(plan) => match numbers(case, &plan) {
            Ok(result) => Answered::Numbers(points(result)),
            Err(EvalError::Pipeline { error, .. }) => Answered::Failed(error),
            Err(error) => Answered::Failed(error.to_string()),
        },
    })
}

fn points(result: MetricResult) -> Vec<(String, i64, f64)> {
    match result {
        MetricResult::Scalar { at, value } => vec![(String::new(), at.0, value)],
        MetricResult::Vector(samples) => samples.into_iter().map(|s| (s.labels.to_string(), s.at.0, s.value)).collect(),
        MetricResult::Matrix(series) => {
            let of_series =
                |s: Series| s.points.into_iter().map(move |(at, value)| (s.labels.to_string(), at.0, value)).collect::<Vec<_>>();
            series.into_iter().flat_map(of_series).collect()
        }
    }
}

/// Part of a stream's rows, as a reader would have it: only what a query needs, and skipped where it cannot match.
struct Block<'a> {
    labels: &'a Labels,
    first_row: usize,
    all: Batch<'a>,
    columns: Vec<Column>,
}

fn blocks<'a>(case: &'a Case, selector: &'a Selector, pipeline: &'a Pipeline) -> impl Iterator<Item = Block<'a>> + 'a {
    let wanted = |(labels, _): &&(Labels, Rows)| selector.matches(labels) && pipeline.stream_can_match(labels);
    case.streams.iter().filter(wanted).flat_map(move |(labels, rows)| {
        let all = Batch::new(labels, rows);
        (0..all.len()).step_by(case.block).map(move |first_row| {
            let all = all.slice(first_row..(first_row + case.block).min(all.len()));
            let columns = rows.columns().iter().filter(|column| pipeline.needs().columns.contains(column.name())).cloned().collect();
            Block { labels, first_row, all, columns }
        })
    })
}

impl Block<'_> {
    fn may_match(&self, probe: &Probe) -> bool {
        let lines = self.all.lines.expect("rows have lines");
        let folded = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_lowercase();
        let holds = |row: usize, literal: &[u8], fold: bool| {
            let line = lines.line(row);
            if fold { folded(line).contains(&folded(literal)) } else { memchr::memmem::find(line, literal).is_some() }
        };
        let has = |row: usize, name: &str, value: Option<&str>| {
            let values =
                self.all.columns.iter().filter(|column| **column.name() == *name).map(|column| column.value(self.all.column_offset + row));
            values.filter(|found| !found.is_empty()).any(|found| value.is_none_or(|value| found == value.as_bytes()))
        };
        probe.may_match(&mut |literal, fold| (0..self.all.len()).any(|row| holds(row, literal, fold)), &mut |name, value| {
            self.labels.get(name).is_some() || (0..self.all.len()).any(|row| has(row, name, value))
        })
    }

    fn batch(&self, needs: &Needs) -> Batch<'_> {
        let lines = match needs.lines {
            LineNeed::None => None,
            LineNeed::Lengths => self.all.lines.map(|lines| Lines { bytes: &[], ..lines }),
            LineNeed::Bytes => self.all.lines,
        };
        Batch { lines, columns: &self.columns, ..self.all }
    }

    /// Its numbers, as a directory has them.
    fn counts(&self) -> Option<RunCounts> {
        let lines = self.all.lines.expect("rows have lines");
        let mut levels = [0; 8];
        let column = self.all.columns.iter().find(|column| **column.name() == *Level::METADATA_NAME);
        for row in 0..self.all.len() {
            let value = column.map_or(&b""[..], |column| column.value(self.all.column_offset + row));
            if let Some(at) = Level::ALL.iter().position(|level| level.as_str().as_bytes() == value) {
                levels[at] += 1;
            }
        }
        Some(RunCounts {
            rows: self.all.len() as u64,
            line_bytes: lines.byte_len(0..self.all.len()) as u64,
            min: Timestamp(*self.all.timestamps.iter().min()?),
            max: Timestamp(*self.all.timestamps.iter().max()?),
            levels,
        })
    }
}

fn lines(case: &Case, plan: &LogPlan) -> Answered {
    let mut collector = plan.collector();
    for block in blocks(case, plan.selector(), plan.pipeline()).filter(|block| block.may_match(plan.pipeline().block_probe())) {
        let mut part = plan.collector();
        part.add_batch(&block.batch(plan.pipeline().needs()), &Selection::All, (0, block.first_row as u64)).expect("adds");
        collector.merge(part).expect("merges");
    }
    let entries = collector.finish();
    Answered::Lines(entries.streams(), entries.categorised())
}

fn numbers(case: &Case, plan: &MetricPlan) -> Result<MetricResult, EvalError> {
    let mut states = Vec::new();
    for leaf in plan.leaves() {
        let mut state = LeafState::new(Arc::clone(leaf));
        for block in blocks(case, leaf.selector(), leaf.pipeline()) {
            if let Some(counts) = block.counts()
                && leaf.needs().lines != LineNeed::Bytes
                && state.add_run(block.labels, &counts, block.all.columns.iter().map(|column| &**column.name()))?
            {
                continue;
            }
            if block.may_match(leaf.pipeline().block_probe()) {
                state.add_batch(&block.batch(leaf.needs()), &Selection::All)?;
            }
        }
        states.push(state);
    }
    plan.finish(states)
}

/// The lines of one stream that pass `stages`, in the order of their times.
pub(super) fn lines_of(stages: &str, lines: &[&str]) -> Vec<String> {
    let mut builder = RowsBuilder::default();
    lines.iter().enumerate().for_each(|(at, line)| builder.push(Timestamp(at as i64), line.as_bytes()));
    let (labels, rows) = (stream(&[("app", "a")]), builder.finish());
    let Ok(Plan::Log(plan)) = plan_of(&format!("{{app=\"a\"}} {stages}"), Rewrites::ALL) else { panic!("a log query") };
    let mut collector = plan.collector();
    collector.add_batch(&Batch::new(&labels, &rows), &Selection::All, (0, 0)).expect("adds");
    let streams = collector.finish().streams();
    let mut found: Vec<_> = streams.into_iter().flat_map(|stream| stream.entries).map(|entry| (entry.timestamp, entry.line)).collect();
    found.sort();
    found.into_iter().map(|(_, line)| String::from_utf8_lossy(&line).into_owned()).collect()
}

/// Fails where the answers of two plans differ by more than rounding.
fn check(case: &Case, one: Rewrites, other: Rewrites) -> Result<(), TestCaseError> {
    let (one, other) = (answer(case, one), answer(case, other));
    if let (Ok(Answered::Numbers(one)), Ok(Answered::Numbers(other))) = (&one, &other) {
        let close = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs());
        let same = |(a, b): (&(String, i64, f64), &(String, i64, f64))| a.0 == b.0 && a.1 == b.1 && close(a.2, b.2);
        prop_assert!(one.len() == other.len() && one.iter().zip(other).all(same), "{one:?}\n{other:?}\n{}", case.query);
        return Ok(());
    }
    prop_assert_eq!(one, other, "{}", case.query);
    Ok(())
}

/// Fails where the answer is another one without `rewrite`, with all others and with none.
pub(super) fn check_without(case: &Case, rewrite: Rewrite) -> Result<(), TestCaseError> {
    check(case, Rewrites::ALL, Rewrites::ALL.without(rewrite))?;
    check(case, Rewrites::NONE, Rewrites::NONE.with(rewrite))
}

proptest! {
    #![proptest_config(skald_testkit::property(100))]

    #[test]
    fn the_plain_plan_gives_the_same_answers(case in case()) {
        check(&case, Rewrites::ALL, Rewrites::NONE)?;
    }
}

#[test]
fn switches_are_a_set() {
    let some = Rewrites::NONE.with(Rewrite::SumAtLeaf).with(Rewrite::StopAtLimit).without(Rewrite::StopAtLimit);
    assert_eq!(some.iter().map(Rewrite::name).collect::<Vec<_>>(), ["sum_at_leaf"]);
    assert_eq!(Rewrites::ALL.iter().count(), Rewrite::ALL.len());
}
