use super::*;
use crate::exec::{Batch, MetricResult, Selection};
use crate::parse;
use crate::plan::{MetricPlan, Params, Plan, plan};
use proptest::prelude::*;
use skald_model::{Labels, Rows, RowsBuilder};
use std::time::Duration;

/// Every range function, under each kind of grouping.
const QUERIES: [&str; 22] = [
    "count_over_time({app=~'.+'} $W)",
    "rate({app=~'.+'} $W)",
    "bytes_over_time({app=~'.+'} $W)",
    "bytes_rate({app=~'.+'} $W)",
    "absent_over_time({app='a'} $W)",
    "sum(count_over_time({app=~'.+'} $W))",
    "sum by (k) (rate({app=~'.+'} | logfmt $W))",
    "sum without (app) (bytes_over_time({app=~'.+'} | logfmt k $W))",
    "sum by (app) (sum_over_time({app=~'.+'} | logfmt | unwrap v $W))",
    "sum_over_time({app=~'.+'} | logfmt | unwrap v $W)",
    "rate({app=~'.+'} | logfmt | unwrap v $W)",
    "avg_over_time({app=~'.+'} | logfmt | unwrap v $W) by (k)",
    "min_over_time({app=~'.+'} | logfmt | unwrap v $W) by (app)",
    "max_over_time({app=~'.+'} | logfmt | unwrap v $W) without (k)",
    "stdvar_over_time({app=~'.+'} | logfmt | unwrap v $W) by (k)",
    "stddev_over_time({app=~'.+'} | logfmt | unwrap v $W) by (app, k)",
    "quantile_over_time(0.7, {app=~'.+'} | logfmt | unwrap v $W) by (k)",
    "first_over_time({app=~'.+'} | logfmt | unwrap v $W) by (k)",
    "last_over_time({app=~'.+'} | logfmt | unwrap v $W) by (app)",
    "rate_counter({app=~'.+'} | logfmt | unwrap v $W)",
    "topk(1, count_over_time({app=~'.+'} | logfmt | v > 3 $W))",
    "quantile_over_time(0.1, {app=~'.+'} | logfmt | unwrap v $W)",
];

#[derive(Debug, Clone)]
struct Asked {
    /// Multiples of the step.
    first: i64,
    count: i64,
    /// Multiples of the step, so that phases stay equal.
    offset: i64,
}

fn asked() -> impl Strategy<Value = Asked> {
    (-2i64..12, 1i64..9, -2i64..3).prop_map(|(first, count, offset)| Asked { first, count, offset })
}

fn metric_plan(query: &str, range: u64, step: i64, asked: &Asked) -> MetricPlan {
    let offset = asked.offset * step;
    let window = if offset == 0 { format!("[{range}s]") } else { format!("[{range}s] offset {offset}s") };
    let expr = parse(&query.replace("$W", &window).replace('\'', "\"")).expect("a query");
    let at = |step_number: i64| Timestamp::from_secs(step_number * step);
    let end = at(asked.first + asked.count - 1);
    let params =
        Params { step: Some(Duration::from_secs(step as u64)), max_series: 1000, now: Timestamp(0), ..Params::over(at(asked.first), end) };
    match plan(&expr, &params).expect("plans") {
        Plan::Metric(metric) => metric,
        Plan::Log(_) => panic!("a metric query"),
    }
}

/// Seconds, stream, value, part.
type Entry = (i64, bool, i8, usize);

const PARTS: usize = 4;

/// Rows of both streams that are in a part, or all.
fn rows_of(entries: &[Entry], part: Option<usize>) -> [(Labels, Rows); 2] {
    [false, true].map(|stream| {
        let mut rows = RowsBuilder::default();
        for (at, _, value, _) in entries.iter().filter(|entry| entry.1 == stream && part.is_none_or(|part| entry.3 == part)) {
            rows.push(Timestamp::from_secs(*at), format!("v={value} k={}", value.rem_euclid(2)).as_bytes());
        }
        (Labels::from_pairs([("app", if stream { "a" } else { "b" })]).expect("one label"), rows.finish())
    })
}

fn add(state: &mut LeafState, streams: &[(Labels, Rows)]) {
    for (labels, rows) in streams.iter().filter(|(labels, _)| state.leaf().selector().matches(labels)).cloned().collect::<Vec<_>>() {
        state.add_batch(&Batch::new(&labels, &rows), &Selection::All).expect("counts");
    }
}

fn partial(leaf: &Arc<RangeLeaf>, streams: &[(Labels, Rows)]) -> Option<PartialState> {
    let spans = streams.iter().filter_map(|(_, rows)| rows.time_span());
    let (min, max) = spans.reduce(|one, two| (one.0.min(two.0), one.1.max(two.1)))?;
    let mut state = LeafState::of_part(leaf.clone(), min, max)?;
    add(&mut state, streams);
    Some(state.into_partial())
}

fn values(plan: &MetricPlan, state: LeafState) -> Vec<(String, i64, f64)> {
    let MetricResult::Matrix(series) = plan.finish(vec![state]).expect("evaluates") else { panic!("a matrix") };
    let points = |series: &crate::exec::Series| {
        let labels = series.labels.to_string();
        series.points.iter().map(|(at, value)| (labels.clone(), at.0, *value)).collect::<Vec<_>>()
    };
    series.iter().flat_map(points).collect()
}

#[track_caller]
fn assert_same(got: &[(String, i64, f64)], want: &[(String, i64, f64)], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}: {got:?} {want:?}");
    for (got, want) in got.iter().zip(want) {
        assert_eq!((&got.0, got.1), (&want.0, want.1), "{what}");
        let near = (got.2 - want.2).abs() <= 1e-9 * want.2.abs().max(1.0);
        assert!(near || (got.2.is_nan() && want.2.is_nan()) || got.2 == want.2, "{what}: {got:?} {want:?}");
    }
}

proptest! {
    #![proptest_config(skald_testkit::property(64))]

    #[test]
    fn partial_states_answer_any_query_of_their_fragment(
        entries in proptest::collection::vec((-20i64..120, any::<bool>(), -9i8..9, 0..PARTS), 0..40),
        one in asked(), two in asked(), range in 1u64..60, step in 1i64..20,
    ) {
        let mut entries = entries;
        entries.sort_unstable();
        entries.dedup_by_key(|entry| (entry.0, entry.1));
        for query in QUERIES {
            let (made_by, used_by) = (metric_plan(query, range, step, &one), metric_plan(query, range, step, &two));
            let (made_for, used_for) = (&made_by.leaves()[0], &used_by.leaves()[0]);
            let whole = (one.count == 1, two.count == 1);
            prop_assert_eq!(made_for.fragment() == used_for.fragment(), whole.0 == whole.1, "{}", query);
            let mut state = LeafState::new(used_for.clone());
            for part in 0..PARTS {
                let streams = rows_of(&entries, Some(part));
                let spans = streams.iter().filter_map(|(_, rows)| rows.time_span());
                let inside = spans.clone().all(|(min, max)| used_for.fetch().covers(min, max));
                match partial(made_for, &streams) {
                    Some(partial) if whole == (false, false) || (whole == (true, true) && inside) => state.add_partial(&partial).expect("counts"),
                    _ => add(&mut state, &streams),
                }
            }
            let mut unsplit = LeafState::new(used_for.clone());
            add(&mut unsplit, &rows_of(&entries, None));
            assert_same(&values(&used_by, state), &values(&used_by, unsplit), query);
        }
    }
}

#[test]
fn functions_that_keep_the_same_share_their_states() {
    let asked = Asked { first: 0, count: 5, offset: 0 };
    let fragment = |query: &str| metric_plan(query, 60, 10, &asked).leaves()[0].fragment().cloned().expect("nothing sees the clock");
    let quantile = |q: &str| format!("quantile_over_time({q}, {{a='b'}} | json | unwrap v $W)");
    assert_eq!(fragment(&quantile("0.5")), fragment(&quantile("0.99")));
    assert_eq!(fragment("rate({a='b'} $W)"), fragment("count_over_time({a='b'} $W)"));
    assert_eq!(fragment("sum(rate({a='b'} $W))"), fragment("absent_over_time({a='b'} $W)"));
    for (one, two) in [
        ("rate({a='b'} $W)", "bytes_rate({a='b'} $W)"),
        ("rate({a='b'} $W)", "sum(rate({a='b'} $W))"),
        ("rate({a='b'} $W)", "rate({a='c'} $W)"),
        ("rate({a='b'} | x > 1234567B $W)", "rate({a='b'} | x > 1234568B $W)"),
        ("sum by (x) (rate({a='b'} | json $W))", "sum by (y) (rate({a='b'} | json $W))"),
        ("sum by (x) (rate({a='b'} | json $W))", "sum without (x) (rate({a='b'} | json $W))"),
        ("max_over_time({a='b'} | json | unwrap v $W)", "max_over_time({a='b'} | json | unwrap duration(v) $W)"),
    ] {
        assert_ne!(fragment(one), fragment(two));
    }
    assert_ne!(
        metric_plan("rate({a='b'} $W)", 60, 10, &asked).leaves()[0].fragment(),
        metric_plan("rate({a='b'} $W)", 60, 20, &asked).leaves()[0].fragment()
    );
    assert_ne!(
        metric_plan("rate({a='b'} $W)", 60, 10, &asked).leaves()[0].fragment(),
        metric_plan("rate({a='b'} $W)", 50, 10, &asked).leaves()[0].fragment()
    );
}

#[test]
fn what_sees_the_clock_has_no_fragment() {
    let asked = Asked { first: 0, count: 5, offset: 0 };
    for (stage, has) in [
        ("label_format t=`{{ now | unixEpoch }}`", false),
        ("label_format t=`{{ date \"15\" .x }}`", false),
        ("line_format `{{ if true }}{{ (now).Format \"15\" }}{{ end }}` | logfmt", false),
        ("label_format t=`{{ __timestamp__ | unixEpoch }}`", true),
        ("line_format `{{ .now }}` | logfmt", true),
    ] {
        let plan = metric_plan(&format!("sum by (t) (count_over_time({{a='b'}} | {stage} $W))"), 60, 10, &asked);
        assert_eq!(plan.leaves()[0].fragment().is_some(), has, "{stage}");
    }
}

#[test]
fn an_error_is_known_of() {
    let asked = Asked { first: 0, count: 20, offset: 0 };
    let plan = metric_plan("sum by (k) (count_over_time({app=~'.+'} | json $W))", 10, 10, &asked);
    let partial = partial(&plan.leaves()[0], &rows_of(&[(5, true, 1, 0)], None)).expect("has rows");
    assert!(partial.has_failed());
    let mut state = LeafState::new(plan.leaves()[0].clone());
    state.add_partial(&partial).expect("counts");
    assert!(matches!(plan.finish(vec![state]), Err(EvalError::Pipeline { .. })));
}
