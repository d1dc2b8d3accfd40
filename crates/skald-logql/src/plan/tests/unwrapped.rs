use super::metric_queries::{data, metric_plan, show, states};
use super::*;

fn parsed(query: &str) -> MetricExpr {
    match crate::parse(query).expect("parses") {
        Expr::Metric(metric) => metric,
        Expr::Log(_) => panic!("a metric query"),
    }
}

fn answers(query: &str, params: &Params, streams: &[(Labels, Rows)]) -> Result<Vec<String>, EvalError> {
    let plan = metric_plan(parsed(query), params);
    CUTS.iter().map(|cut| plan.finish(states(&plan, streams, *cut)?).map(|result| show(&result))).collect()
}

/// Labels and times equal, values equal to 1e-9.
#[track_caller]
fn check_close(query: &str, params: &Params, want: &str) {
    for got in answers(query, params, &data()).expect("has an answer") {
        let (got_words, want_words): (Vec<_>, Vec<_>) = (got.split(' ').collect(), want.split(' ').collect());
        assert_eq!(got_words.len(), want_words.len(), "{query}: {got}");
        for (got_word, want_word) in got_words.into_iter().zip(want_words) {
            let value = |word: &str| word.rsplit(':').next().and_then(|number| number.parse::<f64>().ok());
            let close = value(got_word).zip(value(want_word)).is_some_and(|(a, b)| (a - b).abs() <= 1e-9 * b.abs());
            let same_time = got_word.split_once(':').map(|pair| pair.0) == want_word.split_once(':').map(|pair| pair.0);
            assert!(got_word == want_word || (close && same_time), "{query}: {got}");
        }
    }
}

#[track_caller]
fn check(query: &str, want: &str) {
    check_close(query, &Params { end: Timestamp::from_secs(1060), ..params() }, want);
}

const VALUES: &str = r#"{app=~"a|b"} | logfmt | unwrap v [1m]"#;

#[test]
fn functions_fold_the_unwrapped_values() {
    for (function, want) in [
        ("sum_over_time(V)", r#"{app="a",z="1"} 19 ; {app="b",z="2"} 12"#),
        ("avg_over_time(V)", r#"{app="a",z="1"} 4.75 ; {app="b",z="2"} 6"#),
        ("stddev_over_time(V)", r#"{app="a",z="1"} 3.112474899497183 ; {app="b",z="2"} 1"#),
        ("quantile_over_time(0.5,V)", r#"{app="a",z="1"} 3.5 ; {app="b",z="2"} 6"#),
        ("quantile_over_time(0.9,V) by (app)", r#"{app="a"} 8.200000000000001 ; {app="b"} 6.8"#),
        ("first_over_time(V)", r#"{app="a",z="1"} 2 ; {app="b",z="2"} 7"#),
        ("rate(V)", r#"{app="a",z="1"} 0.31666666666666665 ; {app="b",z="2"} 0.2"#),
        ("rate_counter(V)", r#"{app="a",z="1"} 0.2333333333333333 ; {app="b",z="2"} 0.14166666666666666"#),
        ("avg_over_time(V) by ()", "{} 5.166666666666667"),
        ("max_over_time(V) without (app)", r#"{z="1"} 10 ; {z="2"} 7"#),
        ("sum(rate(V))", "{} 0.5166666666666667"),
        ("sum by (z) (sum_over_time(V))", r#"{z="1"} 19 ; {z="2"} 12"#),
        ("max(max_over_time(V))", "{} 10"),
    ] {
        check(&function.replace('V', VALUES), want);
    }
}

#[test]
fn the_unwrapped_label_goes_unless_it_is_asked_for() {
    let values = r#"{v="10"} 10 ; {v="2"} 2 ; {v="3"} 3 ; {v="4"} 4 ; {v="5"} 5 ; {v="7"} 7"#;
    check(&format!("max_over_time({VALUES}) by (v)"), values);
    check(r#"sum_over_time({app="a"} | logfmt | unwrap nope [1m])"#, "");
    check(r#"absent_over_time({app="a"} | logfmt | unwrap nope [1m])"#, r#"{app="a"} 1"#);
    check(r#"absent_over_time({app="a"} | logfmt | unwrap v [1m])"#, "");
    check(r#"sum_over_time({app="a"} | unwrap z [1m])"#, r#"{app="a"} 4"#);
}

#[test]
fn windows_slide_over_the_values() {
    let steps =
        Params { start: Timestamp::from_secs(1000), end: Timestamp::from_secs(1060), step: Some(Duration::from_secs(20)), ..params() };
    let counter = r#"rate_counter({app="a"}|logfmt|unwrap v[30s])"#;
    check_close(counter, &steps, r#"{app="a",z="1"} 1000:0 1020:0.13333333333333333 1040:0.3 1060:0"#);
    let sums = r#"sum_over_time({app="a"}|logfmt|unwrap v[30s] offset 20s)"#;
    check_close(sums, &steps, r#"{app="a",z="1"} 1020:1 1040:7 1060:7"#);
    let least = r#"min_over_time({app="a"}|logfmt|unwrap v[1m])"#;
    check_close(least, &steps, r#"{app="a",z="1"} 1000:1 1020:1 1040:1 1060:2"#);
}

#[test]
fn values_convert_or_fail_the_query() {
    let streams =
        [(labels(&[("app", "a")]), rows(&[(1010, "d=1.5s b=2KiB", &[]), (1020, "d=500ms b=1kb x=", &[]), (1030, "d=oops", &[])]))];
    let params = Params { end: Timestamp::from_secs(1060), ..params() };
    let sum = |unwrap: &str| {
        let query = format!("sum(sum_over_time({{app=\"a\"}} | logfmt | unwrap {unwrap} [1m]))");
        answers(&query, &params, &streams).map(|answers| answers[0].clone()).map_err(|error| error.to_string())
    };
    assert_eq!(sum("bytes(b)"), Ok("{} 3048".to_owned()));
    assert_eq!(sum("duration(d) | __error__=\"\""), Ok("{} 2".to_owned()));
    assert_eq!(sum("duration_seconds(d) | d!=\"oops\""), Ok("{} 2".to_owned()));
    assert_eq!(sum("duration(d) | __error__=\"\" | d=\"500ms\""), Ok("{} 0.5".to_owned()));
    let refused = sum("duration(d)").expect_err("a value does not convert");
    let series = r#"{__error__="SampleExtractionErr", __error_details__="time: invalid duration \"oops\"", app="a", d="oops"}"#;
    assert!(refused.starts_with(&format!("pipeline error: 'SampleExtractionErr' for series: '{series}'.\n")), "{refused}");
}

#[test]
fn formats_that_nobody_looks_at_are_left_out() {
    check(r#"sum(count_over_time({app="a"} | line_format "{{nofn}}" [1m]))"#, "{} 4");
    check(r#"sum(bytes_over_time({app="a"} | line_format "x{{__line__}}" [1m]))"#, "{} 17");
    check(r#"sum(count_over_time({app="a"} | line_format "{{__line__}}0" |= "v=10" [1m]))"#, "{} 1");
    check(r#"sum by (w) (count_over_time({app="a"} | logfmt | label_format w="w{{.v}}" | v="2" [1m]))"#, r#"{w="w2"} 1"#);
    check(
        r#"max by (m) (max_over_time({app="a"} | logfmt | label_format m="{{ __timestamp__ | unixEpoch }}" | unwrap v [30s]))"#,
        r#"{m="1060"} 10"#,
    );
}

/// Interrupts at a number of bytes, or after a number of looks.
struct Limited {
    bytes: usize,
    looks: std::cell::Cell<usize>,
}

impl crate::exec::Bounds for Limited {
    fn check(&self, held_bytes: usize) -> Result<(), EvalError> {
        let left = self.looks.get().checked_sub(1).filter(|_| held_bytes <= self.bytes);
        self.looks.set(left.ok_or(EvalError::Interrupted)?);
        Ok(())
    }
}

#[test]
fn an_evaluation_ends_wherever_it_is_interrupted() {
    let span = (Timestamp::from_secs(1000), Timestamp::from_secs(1060));
    let steps = Params { start: span.0, end: span.1, step: Some(Duration::from_secs(10)), ..params() };
    for query in [
        format!("quantile_over_time(0.5,{VALUES})"),
        format!("topk(1, max_over_time({VALUES})) / on () group_left () sum(count_over_time({{app=~\"a|b\"}}[1m]))"),
        format!("sum(max_over_time({VALUES})) or vector(1)"),
    ] {
        let plan = metric_plan(parsed(&query), &steps);
        let finish = |bytes: usize, looks: usize| {
            let limited = Limited { bytes, looks: looks.into() };
            let result = plan.finish_within(states(&plan, &data(), 1).expect("has states"), &limited);
            (result.map(|result| show(&result)), looks - limited.looks.get())
        };
        let (whole, looks) = finish(usize::MAX, usize::MAX);
        assert!(whole.as_ref().is_ok_and(|text| !text.is_empty()) && looks > 10, "{query}: {looks} looks");
        for fewer in 0..looks {
            assert_eq!(finish(usize::MAX, fewer).0, Err(EvalError::Interrupted), "{query} after {fewer} looks");
        }
        assert_eq!(finish(1000, usize::MAX).0, Err(EvalError::Interrupted), "{query}");
    }
}
