use super::*;

pub(super) fn data() -> Vec<(Labels, Rows)> {
    vec![
        (
            labels(&[("app", "a"), ("z", "1")]),
            rows(&[(1000, "v=1", &[]), (1010, "v=2", &[]), (1020, "v=4", &[]), (1030, "v=3", &[]), (1060, "v=10", &[])]),
        ),
        (labels(&[("app", "b"), ("z", "2")]), rows(&[(1005, "v=7", &[]), (1030, "v=5", &[])])),
        (labels(&[("app", "c"), ("z", "1")]), rows(&[(1050, "v=1", &[])])),
    ]
}

fn range(op: RangeOp, apps: &str, seconds: u64, stages: Vec<Stage>) -> MetricExpr {
    let log = LogExpr { matchers: vec![matcher("app", MatchOp::Regex, apps)], stages };
    MetricExpr::Range(RangeAggregation {
        op,
        parameter: None,
        log,
        unwrap: None,
        range: Duration::from_secs(seconds),
        offset_nanos: 0,
        grouping: None,
    })
}

fn count(apps: &str, seconds: u64) -> MetricExpr {
    range(RangeOp::CountOverTime, apps, seconds, vec![])
}

fn offset(expr: MetricExpr, seconds: i64) -> MetricExpr {
    let MetricExpr::Range(range) = expr else { panic!("a range aggregation") };
    MetricExpr::Range(RangeAggregation { offset_nanos: seconds * 1_000_000_000, ..range })
}

fn vector(op: VectorOp, parameter: Option<u64>, inner: MetricExpr, grouping: Option<Grouping>) -> MetricExpr {
    MetricExpr::Vector(VectorAggregation { op, parameter, inner: Box::new(inner), grouping })
}

fn by(names: &[&str]) -> Option<Grouping> {
    Some(Grouping { without: false, labels: names.iter().map(|n| (*n).to_owned()).collect() })
}

fn without(names: &[&str]) -> Option<Grouping> {
    by(names).map(|grouping| Grouping { without: true, ..grouping })
}

fn binary(op: BinaryOp, left: MetricExpr, right: MetricExpr, matching: VectorMatching) -> MetricExpr {
    MetricExpr::Binary(Box::new(BinaryExpr { op, return_bool: false, matching, left, right }))
}

fn on(names: &[&str], group: MatchGroup) -> VectorMatching {
    VectorMatching { on: true, labels: names.iter().map(|n| (*n).to_owned()).collect(), group, include: vec![] }
}

pub(super) fn metric_plan(expr: MetricExpr, params: &Params) -> MetricPlan {
    match plan(&Expr::Metric(expr), params).expect("plans") {
        Plan::Metric(metric) => metric,
        Plan::Log(_) => panic!("a metric query"),
    }
}

/// Counts every batch in a state of its own and merges them.
pub(super) fn states(plan: &MetricPlan, streams: &[(Labels, Rows)], cut: usize) -> Result<Vec<LeafState>, EvalError> {
    let count = |leaf: &Arc<RangeLeaf>| {
        let mut state = LeafState::new(Arc::clone(leaf));
        for (labels, rows) in streams.iter().filter(|(labels, _)| leaf.selector().matches(labels)) {
            for (_, batch) in pieces(labels, rows, cut) {
                let mut part = LeafState::new(Arc::clone(leaf));
                part.add_batch(&batch, &Selection::All)?;
                state.merge(part)?;
            }
        }
        Ok(state)
    };
    plan.leaves().iter().map(count).collect()
}

fn answer(expr: &MetricExpr, params: &Params, streams: &[(Labels, Rows)]) -> Result<String, EvalError> {
    let plan = metric_plan(expr.clone(), params);
    let answers: Result<Vec<String>, EvalError> =
        CUTS.iter().map(|cut| plan.finish(states(&plan, streams, *cut)?).map(|result| show(&result))).collect();
    let answers = answers?;
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    Ok(answers[0].clone())
}

pub(super) fn show(result: &MetricResult) -> String {
    let labels = |labels: &LabelSet| labels.to_string().replace(", ", ",");
    match result {
        MetricResult::Scalar { value, .. } => format!("scalar {}", format_sample(*value)),
        MetricResult::Vector(samples) => {
            samples.iter().map(|s| format!("{} {}", labels(&s.labels), format_sample(s.value))).collect::<Vec<_>>().join(" ; ")
        }
        MetricResult::Matrix(series) => {
            let point = |(at, value): &(Timestamp, f64)| format!(" {}:{}", at.0 / 1_000_000_000, format_sample(*value));
            series.iter().map(|s| labels(&s.labels) + &s.points.iter().map(point).collect::<String>()).collect::<Vec<_>>().join(" ; ")
        }
    }
}

#[track_caller]
fn instant(expr: MetricExpr, want: &str) {
    let params = Params { end: Timestamp::from_secs(1060), ..params() };
    assert_eq!(answer(&expr, &params, &data()), Ok(want.to_owned()), "{expr:?}");
}

#[track_caller]
fn over_steps(expr: MetricExpr, (start, end, step): (i64, i64, u64), want: &str) {
    let params =
        Params { start: Timestamp::from_secs(start), end: Timestamp::from_secs(end), step: Some(Duration::from_secs(step)), ..params() };
    assert_eq!(answer(&expr, &params, &data()), Ok(want.to_owned()), "{expr:?}");
}

#[test]
fn windows_are_open_below_and_closed_above() {
    instant(count("a", 60), r#"{app="a",z="1"} 4"#);
    instant(count("a", 61), r#"{app="a",z="1"} 5"#);
    instant(offset(count("a", 30), 30), r#"{app="a",z="1"} 3"#);
    instant(range(RangeOp::Rate, "a|b", 60, vec![]), r#"{app="a",z="1"} 0.06666666666666667 ; {app="b",z="2"} 0.03333333333333333"#);
    instant(range(RangeOp::BytesOverTime, "a|b", 60, vec![]), r#"{app="a",z="1"} 13 ; {app="b",z="2"} 6"#);
    instant(count("nope", 60), "");
    over_steps(count("a|b", 10), (1000, 1060, 20), r#"{app="a",z="1"} 1000:1 1020:1 1060:1"#);
    over_steps(count("a|b", 30), (1000, 1060, 20), r#"{app="a",z="1"} 1000:1 1020:3 1040:2 1060:1 ; {app="b",z="2"} 1020:1 1040:1"#);
    over_steps(count("a|b", 10), (1003, 1058, 25), r#"{app="a",z="1"} 1003:1 1028:1"#);
    over_steps(offset(count("a", 20), 20), (1000, 1060, 20), r#"{app="a",z="1"} 1020:1 1040:2 1060:1"#);
    over_steps(count("a", 0), (1000, 1060, 20), "");
}

/// Rows in any order, and only some of them, count like the same rows in order.
#[test]
fn order_and_selection_of_rows_do_not_matter() {
    let sorted: Vec<(i64, String, [(&str, &str); 1])> =
        (0..60).map(|i| (1000 + i / 2, "x".repeat(i as usize % 4), [("level", ["info", "error", ""][i as usize % 3])])).collect();
    let given = |order: &[usize]| rows(&order.iter().map(|i| (sorted[*i].0, sorted[*i].1.as_str(), &sorted[*i].2[..])).collect::<Vec<_>>());
    let shuffled: Vec<usize> = (0..60).map(|i| i * 37 % 60).collect();
    let in_order = given(&(0..60).collect::<Vec<_>>());
    let (labels, mixed) = (labels(&[("app", "a")]), given(&shuffled));
    let params =
        Params { start: Timestamp::from_secs(1000), end: Timestamp::from_secs(1040), step: Some(Duration::from_secs(3)), ..params() };
    for op in [RangeOp::CountOverTime, RangeOp::BytesRate] {
        for grouping in [by(&["app"]), by(&["level"]), without(&["app"]), None] {
            let plan = metric_plan(vector(VectorOp::Sum, None, range(op, "a", 7, vec![]), grouping), &params);
            let result = |parts: &[(&Rows, Selection)]| {
                let mut state = LeafState::new(Arc::clone(&plan.leaves()[0]));
                parts.iter().for_each(|(rows, selection)| {
                    state.add_batch(&Batch::new(&labels, rows), selection).expect("counts");
                });
                show(&plan.finish(vec![state]).expect("evaluates"))
            };
            let want = result(&[(&in_order, Selection::All)]);
            assert!(want.len() > 50, "{want}");
            assert_eq!(result(&[(&mixed, Selection::All)]), want);
            assert_eq!(result(&[(&with_dictionaries(&mixed), Selection::All)]), want);
            let part = |odd: u32| Selection::Rows((0..60).filter(|row| row % 2 == odd).collect());
            assert_eq!(result(&[(&mixed, part(1)), (&mixed, part(0))]), want);
        }
    }
}

#[test]
fn parsed_labels_split_series() {
    instant(
        range(RangeOp::CountOverTime, "a|b", 60, vec![logfmt()]),
        r#"{app="a",v="10",z="1"} 1 ; {app="a",v="2",z="1"} 1 ; {app="a",v="3",z="1"} 1 ; {app="a",v="4",z="1"} 1 ; {app="b",v="5",z="2"} 1 ; {app="b",v="7",z="2"} 1"#,
    );
}

#[test]
fn vectors_are_aggregated() {
    instant(vector(VectorOp::Sum, None, count(".+", 60), by(&["z"])), r#"{z="1"} 5 ; {z="2"} 2"#);
    instant(vector(VectorOp::Sum, None, count(".+", 60), without(&["app"])), r#"{z="1"} 5 ; {z="2"} 2"#);
    instant(vector(VectorOp::Sum, None, count("nope", 60), None), "");
    instant(vector(VectorOp::Avg, None, count(".+", 60), None), "{} 2.3333333333333335");
    instant(vector(VectorOp::Min, None, count(".+", 60), by(&["z"])), r#"{z="1"} 1 ; {z="2"} 2"#);
    instant(vector(VectorOp::Max, None, count(".+", 60), None), "{} 4");
    instant(vector(VectorOp::Count, None, count(".+", 60), None), "{} 3");
    instant(vector(VectorOp::Stdvar, None, count(".+", 60), None), "{} 1.5555555555555556");
    instant(vector(VectorOp::Topk, Some(2), count(".+", 60), None), r#"{app="a",z="1"} 4 ; {app="b",z="2"} 2"#);
    instant(vector(VectorOp::Bottomk, Some(2), count(".+", 60), None), r#"{app="b",z="2"} 2 ; {app="c",z="1"} 1"#);
    instant(vector(VectorOp::Topk, Some(1), count(".+", 60), by(&["z"])), r#"{app="a",z="1"} 4 ; {app="b",z="2"} 2"#);
    instant(vector(VectorOp::Sort, None, count(".+", 60), None), r#"{app="c",z="1"} 1 ; {app="b",z="2"} 2 ; {app="a",z="1"} 4"#);
    instant(vector(VectorOp::SortDesc, None, count(".+", 60), None), r#"{app="a",z="1"} 4 ; {app="b",z="2"} 2 ; {app="c",z="1"} 1"#);
    over_steps(vector(VectorOp::Topk, Some(1), count("a|b", 30), None), (1000, 1060, 20), r#"{app="a",z="1"} 1000:1 1020:3 1040:2 1060:1"#);
}

#[test]
fn numbers_and_vectors_combine() {
    use BinaryOp::{Add, And, Div, Greater, Less, Or, Sub, Unless};
    let plain = VectorMatching::default;
    let one = || MetricExpr::Literal(1.0);
    instant(binary(Less, one(), count(".+", 60), plain()), r#"{app="a",z="1"} 4 ; {app="b",z="2"} 2"#);
    let MetricExpr::Binary(compared) = binary(Less, one(), count(".+", 60), plain()) else { panic!("binary") };
    let compared = BinaryExpr { return_bool: true, ..*compared };
    instant(MetricExpr::Binary(Box::new(compared)), r#"{app="a",z="1"} 1 ; {app="b",z="2"} 1 ; {app="c",z="1"} 0"#);
    instant(binary(Div, count("a", 60), MetricExpr::Literal(0.0), plain()), r#"{app="a",z="1"} NaN"#);
    instant(binary(Add, count("a", 60), count("b", 60), plain()), "");
    instant(binary(Add, count("a", 60), count("b", 60), on(&[], MatchGroup::OneToOne)), "{} 6");
    instant(binary(Greater, count("a", 60), count("c", 60), on(&["z"], MatchGroup::OneToOne)), r#"{z="1"} 4"#);
    instant(binary(Add, count("a|c", 60), count("a", 60), on(&["z"], MatchGroup::Left)), r#"{app="a",z="1"} 8 ; {app="c",z="1"} 5"#);
    instant(binary(Sub, count("a", 60), count("a|c", 60), on(&["z"], MatchGroup::Right)), r#"{app="a",z="1"} 0 ; {app="c",z="1"} 3"#);
    instant(binary(Unless, count("a|b", 60), count("a", 60), plain()), r#"{app="b",z="2"} 2"#);
    instant(binary(And, count("a|b", 60), count("a", 60), plain()), r#"{app="a",z="1"} 4"#);
    instant(binary(Or, count("a", 60), count(".+", 60), plain()), r#"{app="a",z="1"} 4 ; {app="b",z="2"} 2 ; {app="c",z="1"} 1"#);
    instant(binary(Or, vector(VectorOp::Sum, None, count("nope", 60), None), MetricExpr::VectorLiteral(0.0), plain()), "{} 0");
    instant(binary(Div, MetricExpr::Literal(10.0), MetricExpr::Literal(4.0), plain()), "scalar 2.5");
    instant(MetricExpr::VectorLiteral(3.0), "{} 3");
    over_steps(
        binary(Or, count("b", 30), MetricExpr::VectorLiteral(9.0), plain()),
        (1000, 1060, 20),
        r#"{} 1000:9 1020:9 1040:9 1060:9 ; {app="b",z="2"} 1020:1 1040:1"#,
    );
    over_steps(MetricExpr::Literal(5.0), (1000, 1025, 10), "{} 1000:5 1010:5 1020:5");
    over_steps(vector(VectorOp::Sum, None, MetricExpr::VectorLiteral(2.0), None), (1000, 1010, 10), "{} 1000:2 1010:2");
}

#[test]
fn labels_are_replaced_where_the_whole_value_matches() {
    let replace = |inner, dst: &str, replacement: &str, regex: &str| {
        let (src, dst, replacement, regex) = ("app".to_owned(), dst.to_owned(), replacement.to_owned(), regex.to_owned());
        MetricExpr::LabelReplace(Box::new(LabelReplace { inner, dst, replacement, src, regex }))
    };
    instant(replace(count("a|b", 60), "n", "$1-x", "(a)"), r#"{app="a",n="a-x",z="1"} 4 ; {app="b",z="2"} 2"#);
    instant(replace(count("a|b", 60), "app", "", "a"), r#"{app="b",z="2"} 2 ; {z="1"} 4"#);
    instant(replace(count("a|c", 60), "app", "x", ".*"), r#"{app="x",z="1"} 4 ; {app="x",z="1"} 1"#);
}

#[test]
fn absence_is_one_where_nothing_is() {
    let absent = |matchers, seconds| {
        let MetricExpr::Range(range) = range(RangeOp::AbsentOverTime, "", seconds, vec![json()]) else { panic!("a range aggregation") };
        MetricExpr::Range(RangeAggregation { log: LogExpr { matchers, ..range.log }, ..range })
    };
    let app = |op, value| matcher("app", op, value);
    let equal = || app(MatchOp::Equal, "nope");
    instant(absent(vec![equal(), matcher("x", MatchOp::Regex, "y"), matcher("k", MatchOp::Equal, "v")], 60), r#"{app="nope",k="v"} 1"#);
    instant(absent(vec![equal(), app(MatchOp::NotEqual, "z")], 60), "{} 1");
    instant(absent(vec![app(MatchOp::Equal, "a")], 60), "");
    over_steps(absent(vec![app(MatchOp::Equal, "b")], 20), (1000, 1060, 20), r#"{app="b"} 1000:1 1060:1"#);
}

#[test]
fn pairs_that_are_not_unique_are_errors() {
    let params = Params { end: Timestamp::from_secs(1060), ..params() };
    let fails = |expr: MetricExpr| answer(&expr, &params, &data()).expect_err("does not evaluate").to_string();
    let left = fails(binary(BinaryOp::Add, count("a|c", 60), count("a", 60), on(&["z"], MatchGroup::OneToOne)));
    assert!(left.starts_with("multiple matches for labels: many-to-one"), "{left}");
    let right = fails(binary(BinaryOp::Add, count("a", 60), count("a|c", 60), on(&["z"], MatchGroup::OneToOne)));
    assert!(right.contains("on the right hand-side"), "{right}");
}

pub(super) fn with_errors() -> Vec<(Labels, Rows)> {
    vec![(labels(&[("app", "a")]), rows(&[(1010, r#"{"l":"x"}"#, &[]), (1020, "bad", &[]), (1030, r#"{"l":"y"} z"#, &[])]))]
}

#[test]
fn entries_with_errors_fail_the_query_unless_it_asks_for_them() {
    let params = Params { end: Timestamp::from_secs(1060), ..params() };
    let run = |expr: MetricExpr| answer(&expr, &params, &with_errors());
    let parsed = |more: Vec<Stage>| range(RangeOp::CountOverTime, "a", 60, [vec![json()], more].concat());
    let failed = EvalError::Pipeline {
        error: "JSONParserErr".into(),
        series:
            "{__error__=\"JSONParserErr\", __error_details__=\"Value looks like object, but can't find closing '}' symbol\", app=\"a\"}"
                .into(),
    };
    assert_eq!(run(parsed(vec![])), Err(failed.clone()));
    assert!(
        failed.to_string().starts_with("pipeline error: 'JSONParserErr' for series: '{__error__=")
            && failed.to_string().ends_with("__error__=\"\" )\n")
    );
    assert_eq!(run(vector(VectorOp::Sum, None, parsed(vec![]), None)), Ok("{} 3".into()));
    assert_eq!(run(vector(VectorOp::Sum, None, parsed(vec![]), by(&["l"]))), Err(failed));
    assert_eq!(run(parsed(vec![equals("__error__", "")])), Ok(r#"{app="a",l="x"} 1 ; {app="a",l="y"} 1"#.into()));
    assert_eq!(run(vector(VectorOp::Sum, None, parsed(vec![]), by(&["__error__"]))), Ok(r#"{} 2 ; {__error__="JSONParserErr"} 1"#.into()));
    let only_errors = Stage::LabelFilter(text_filter("__error__", MatchOp::NotEqual, ""));
    assert_eq!(run(vector(VectorOp::Sum, None, parsed(vec![only_errors]), None)), Ok("{} 1".into()));
    let dropped = Stage::Drop(vec![name("__error__"), name("__error_details__")]);
    assert_eq!(run(parsed(vec![dropped])), Ok(r#"{app="a"} 1 ; {app="a",l="x"} 1 ; {app="a",l="y"} 1"#.into()));
}

#[test]
fn parsers_stop_once_they_have_what_is_asked_for() {
    let params = Params { end: Timestamp::from_secs(1060), ..params() };
    let streams = vec![(labels(&[("app", "a")]), rows(&[(1010, r#"{"a":"1","b":2"#, &[])]))];
    let grouped = |by_name: &str| vector(VectorOp::Sum, None, range(RangeOp::CountOverTime, "a", 60, vec![json()]), by(&[by_name]));
    assert_eq!(answer(&grouped("a"), &params, &streams), Ok(r#"{a="1"} 1"#.into()));
    assert!(matches!(answer(&grouped("z"), &params, &streams), Err(EvalError::Pipeline { .. })));
}

#[test]
fn more_series_than_the_limit_is_an_error() {
    let params = Params { end: Timestamp::from_secs(1060), max_series: 2, ..params() };
    assert_eq!(answer(&count(".+", 60), &params, &data()), Err(EvalError::TooManySeries { max: 2 }));
    let joined = binary(BinaryOp::Mul, count(".+", 60), MetricExpr::Literal(1.0), VectorMatching::default());
    assert_eq!(answer(&joined, &params, &data()), Err(EvalError::TooManySeries { max: 2 }));
    assert_eq!(answer(&count("a|b", 60), &params, &data()), Ok(r#"{app="a",z="1"} 4 ; {app="b",z="2"} 2"#.into()));
}

#[test]
fn whole_runs_count_like_their_rows() {
    let leveled: [Given<'_>; 3] = [
        (1001, "xx", &[("detected_level", "info")]),
        (1002, "y", &[("detected_level", "error")]),
        (1003, "", &[("detected_level", "info")]),
    ];
    let streams = vec![(labels(&[("app", "a")]), rows(&leveled))];
    let mut levels = [0; 8];
    levels[skald_model::Level::Info as usize] = 2;
    levels[skald_model::Level::Error as usize] = 1;
    let run = RunCounts { rows: 3, line_bytes: 3, min: Timestamp::from_secs(1001), max: Timestamp::from_secs(1003), levels };
    let params = Params { end: Timestamp::from_secs(1060), ..params() };
    let check_with = |metadata: &[&str], expr: MetricExpr, could: bool| {
        let plan = metric_plan(expr.clone(), &params);
        let mut state = LeafState::new(Arc::clone(&plan.leaves()[0]));
        assert_eq!(state.add_run(&streams[0].0, &run, metadata.iter().copied()), Ok(could), "{expr:?} {metadata:?}");
        if could {
            assert_eq!(
                show(&plan.finish(vec![state]).expect("evaluates")),
                answer(&expr, &params, &streams).expect("evaluates"),
                "{expr:?}"
            );
        }
    };
    let check = |expr: MetricExpr, could: bool| check_with(&["detected_level", "trace", "app"], expr, could);
    let sum = |expr, grouping| vector(VectorOp::Sum, None, expr, grouping);
    check(sum(count("a", 60), by(&["app"])), true);
    check(sum(count("a", 60), None), true);
    check(sum(count("a", 60), by(&["detected_level"])), true);
    check(sum(range(RangeOp::CountOverTime, "a", 60, vec![equals("detected_level", "error")]), by(&["app"])), true);
    check(sum(range(RangeOp::BytesRate, "a", 60, vec![]), None), true);
    check(sum(range(RangeOp::BytesOverTime, "a", 60, vec![]), by(&["detected_level"])), false);
    check(sum(count("a", 60), by(&["trace"])), false);
    check(count("a", 60), false);
    check(sum(count("a", 58), None), false);
    check(sum(count("a", 60), by(&["app_extracted"])), false);
    check(sum(count("a", 60), by(&["level", "detected_level"])), true);
    check_with(&["detected_level", "level"], sum(count("a", 60), by(&["level", "detected_level"])), false);
    check_with(&["detected_level"], count("a", 60), true);
    check_with(&["detected_level"], sum(count("a", 60), by(&["trace"])), true);
    let dropped = || range(RangeOp::CountOverTime, "a", 60, vec![Stage::Drop(vec![name("__error__")])]);
    check(sum(dropped(), by(&["level", "detected_level"])), true);
    check_with(&["detected_level", "__error__"], sum(dropped(), by(&["app"])), false);
    check(sum(range(RangeOp::CountOverTime, "a", 60, vec![line(LineOp::Contains, "x")]), None), false);
}

#[test]
fn needs_say_what_must_be_read() {
    let leaf = |expr: MetricExpr| Arc::clone(&metric_plan(expr, &params()).leaves()[0]);
    let needs = |lines, names: &[&str]| Needs { lines, columns: Columns::Names(names.iter().map(|n| (*n).to_owned()).collect()) };
    let sum = |expr, grouping| vector(VectorOp::Sum, None, expr, grouping);
    assert_eq!(*leaf(sum(count("a", 60), by(&["app"]))).needs(), needs(LineNeed::None, &["app"]));
    assert_eq!(*leaf(sum(range(RangeOp::BytesRate, "a", 60, vec![json()]), None)).needs(), needs(LineNeed::Lengths, &[]));
    let filtered = range(RangeOp::Rate, "a", 60, vec![json(), Stage::LabelFilter(number("status", CompareOp::Greater, 499.0))]);
    assert_eq!(*leaf(sum(filtered, None)).needs(), needs(LineNeed::Bytes, &["status"]));
    assert_eq!(*leaf(count("a", 60)).needs(), Needs { lines: LineNeed::None, columns: Columns::All });
}

#[test]
fn approx_topk_is_exact_where_it_is_allowed() {
    let expr = |k| vector(VectorOp::ApproxTopk, Some(k), count(".+", 60), None);
    instant(expr(2), r#"{app="a",z="1"} 4 ; {app="b",z="2"} 2"#);
    instant(expr(1_000_000), r#"{app="a",z="1"} 4 ; {app="b",z="2"} 2 ; {app="c",z="1"} 1"#);
    instant(binary(BinaryOp::Mul, expr(1), MetricExpr::Literal(2.0), VectorMatching::default()), r#"{app="a",z="1"} 8"#);
    let refused = |params: Params| {
        let error = plan(&Expr::Metric(expr(2)), &params).expect_err("is refused");
        (error.kind(), error.to_string())
    };
    let off = refused(Params { approx_topk: false, ..params() });
    assert_eq!(off, (ErrorKind::Internal, "approx_topk is not enabled. See -limits.shard_aggregations".to_owned()));
    let over_steps = refused(Params { step: Some(Duration::from_secs(60)), ..params() });
    assert_eq!(over_steps, (ErrorKind::Internal, "count min sketches are only supported on instant queries".to_owned()));
}

#[test]
fn what_is_not_evaluated_is_refused_by_name() {
    let refused = |expr: MetricExpr| plan(&Expr::Metric(expr), &params()).expect_err("is refused");
    let literal = refused(vector(VectorOp::Sum, None, MetricExpr::Literal(1.0), None));
    assert_eq!(literal.to_string(), "unexpected expr type (*syntax.LiteralExpr) for Evaluator type (*logql.DefaultEvaluator) ");
}
