use super::*;
use proptest::prelude::*;

fn log_plan(stages: Vec<Stage>, params: &Params) -> LogPlan {
    match plan(&Expr::Log(log(stages)), params).expect("plans") {
        Plan::Log(log) => log,
        Plan::Metric(_) => panic!("a log query"),
    }
}

pub(super) fn run(plan: &LogPlan, streams: &[(Labels, Rows)], cut: usize) -> LogEntries {
    let mut collector = plan.collector();
    for (labels, rows) in streams {
        for (at, batch) in pieces(labels, rows, cut) {
            let mut part = plan.collector();
            part.add_batch(&batch, &Selection::All, (0, at as u64)).expect("adds");
            collector.merge(part).expect("merges");
        }
    }
    collector.finish()
}

fn show(streams: &[LogStream]) -> String {
    let entry = |entry: &LogEntry| entry.timestamp.0 / 1_000_000_000;
    let stream = |stream: &LogStream| format!("{} {:?}", stream.labels, stream.entries.iter().map(entry).collect::<Vec<_>>());
    streams.iter().map(stream).collect::<Vec<_>>().join(" ; ")
}

/// Lines are numbered from 1 by their times; `{job="web"}` is their stream.
#[track_caller]
fn check(stages: Vec<Stage>, lines: &[&str], want: &str) {
    let given: Vec<Given<'_>> = lines.iter().enumerate().map(|(i, line)| (i as i64 + 1, *line, &[][..])).collect();
    let streams = [(labels(&[("job", "web")]), rows(&given))];
    let plan = log_plan(stages, &params());
    for cut in CUTS {
        assert_eq!(
            show(&run(&plan, &streams, cut).streams()).replace(", job=\"web\"", "").replace("job=\"web\", ", "").replace("job=\"web\"", ""),
            want
        );
    }
}

#[test]
fn json_reads_nested_members_and_skips_arrays_and_nulls() {
    check(vec![json()], &[r#"{"a":1,"b":{"c":true,"d":[1]},"n":null,"e":""}"#], r#"{a="1", b_c="true", e=""} [1]"#);
    check(vec![json()], &[r#"{"k-é":"u","9k":"v"," s ":"w","A.B":"x","":"y"}"#], r#"{A_B="x", _9k="v", k__="u", s="w"} [1]"#);
    check(vec![json()], &[r#"{"job":"inner","dup":"1","dup":"2"}"#], r#"{dup="1", job_extracted="inner"} [1]"#);
    check(vec![json()], &[r#"{"a":{"b":"x"},"a_b":"z"}"#], r#"{a_b="x"} [1]"#);
    check(vec![json()], &[r#"{"a":"x","a_b":"flat","a":{"b":"nested"}}"#], r#"{a="x", a_b="flat"} [1]"#);
    check(vec![json()], &[r#"{"a":"caf\u00e9 \ud83d\ude00","b":"q\"s\/","c":"\ud83d"}"#], r#"{a="café 😀", b="q\"s/", c=""} [1]"#);
    check(
        vec![json()],
        &[r#" {"big":12345678901234567890,"exp":1.5e3,"obj":{},"earr":[]} x"#],
        r#"{big="12345678901234567890", exp="1.5e3"} [1]"#,
    );
}

#[test]
fn json_keeps_what_it_read_before_an_error() {
    check(
        vec![json()],
        &[r#"{"a":1"#, r#"{"a":1} tail"#, "[1]", r#"{"a":tru}"#, r#"{"a":"bad\q"}"#],
        "{__error__=\"JSONParserErr\", __error_details__=\"Unknown value type\"} [4] ; \
         {__error__=\"JSONParserErr\", __error_details__=\"Value is array, but can't find closing ']' symbol\", a=\"1\"} [1] ; \
         {__error__=\"JSONParserErr\", __error_details__=\"Value looks like object, but can't find closing '}' symbol\"} [3] ; \
         {a=\"\"} [5] ; {a=\"1\"} [2]",
    );
    check(
        vec![json()],
        &[r#"{"a":{"b":"1","c":2"#, r#"{'a':1}"#, ""],
        "{__error__=\"JSONParserErr\", __error_details__=\"Value is array, but can't find closing ']' symbol\", a_b=\"1\", a_c=\"2\"} [1] ; \
         {__error__=\"JSONParserErr\", __error_details__=\"Value looks like object, but can't find closing '}' symbol\"} [2, 3]",
    );
}

#[test]
fn logfmt_skips_what_is_wrong_unless_strict() {
    let one = r#"a=1 b="x y" c d= e="" a=2 g-h=i"#;
    check(vec![logfmt()], &[one], r#"{a="1", b="x y", g_h="i"} [1]"#);
    let keep_empty = Stage::Logfmt { strict: false, keep_empty: true, extractions: Vec::new() };
    check(vec![keep_empty], &[one], r#"{a="1", b="x y", c="", d="", e="", g_h="i"} [1]"#);
    check(vec![logfmt()], &["a=1 =bad u=v=w z=2"], r#"{a="1", z="2"} [1]"#);
    let strict = || Stage::Logfmt { strict: true, keep_empty: false, extractions: Vec::new() };
    check(
        vec![strict()],
        &["a=1 =bad z=2"],
        r#"{__error__="LogfmtParserErr", __error_details__="logfmt syntax error at pos 5 : unexpected '='", a="1"} [1]"#,
    );
    check(vec![logfmt()], &["a='x y' b=1"], r#"{a="'x", b="1"} [1]"#);
    check(vec![strict()], &[r#"a="x"b=2 c="\u00e9\n""#], r#"{a="x", b="2", c="é\n"} [1]"#);
    check(vec![logfmt()], &["a=\"x", "9=1 job=x"], r#"{_9="1", job_extracted="x"} [2] ; {} [1]"#);
}

fn extractions(items: &[(&str, &str)]) -> Vec<Extraction> {
    items.iter().map(|(name, expression)| Extraction { name: (*name).to_owned(), expression: (*expression).to_owned() }).collect()
}

#[test]
fn expressions_always_give_their_labels() {
    let paths = |items: &[(&str, &str)]| vec![Stage::Json(extractions(items))];
    check(
        paths(&[("x", "a[0].b"), ("y", "a"), ("w", "c"), ("v", "c.d"), ("u", "z"), ("m", "nope")]),
        &[r#"{"a":[{"b":1}],"c":{"d":"x"},"z":null}"#],
        r#"{m="", u="", v="x", w="{\"d\":\"x\"}", x="1", y="[{\"b\":1}]"} [1]"#,
    );
    check(paths(&[("job", "job")]), &[r#"{"job":"inner"}"#, "{}"], r#"{job_extracted="inner"} [1] ; {} [2]"#);
    check(paths(&[("a", "a")]), &["plain", r#" {"a":1}"#], r#"{__error__="JSONParserErr"} [1, 2]"#);
    let keys = |items: &[(&str, &str)]| vec![Stage::Logfmt { strict: false, keep_empty: false, extractions: extractions(items) }];
    check(keys(&[("a", "a"), ("x", "b"), ("y", "c"), ("m", "m")]), &["a=1 b=2 a=3 c"], r#"{a="3", m="", x="2", y=""} [1]"#);
    check([vec![Stage::Drop(vec![name("job")])], paths(&[("job", "a")])].concat(), &[r#"{"a":"1"}"#], r#"{job_extracted="1"} [1]"#);
    let error = |stages| plan(&Expr::Log(log(stages)), &params()).expect_err("does not plan").to_string();
    let want = "parse error : stage '| json a=\"x..y\"' : cannot parse expression [x..y]: syntax error: unexpected DOT, expecting FIELD";
    assert_eq!(error(paths(&[("a", "x..y")])), want);
    assert_eq!(error(keys(&[("a", "x.y")])), "parse error : stage '| logfmt a=\"x.y\"' : cannot parse expression [x.y]: unexpected char .");
}

#[test]
fn line_filters_select_lines() {
    check(vec![line(LineOp::NotContains, "foo"), line(LineOp::NotContains, "bar")], &["foo 1", "bar 2", "baz"], "{} [3]");
    check(vec![line(LineOp::Regex, "foo|.*")], &["foo 1", "bar 2"], "{} [1]");
    check(vec![line(LineOp::Regex, "a.b")], &["a\nb", "ab"], "");
    check(vec![json(), line(LineOp::Contains, "x")], &[r#"{"a":"x"}"#, "y"], r#"{a="x"} [1]"#);
}

#[test]
fn typed_filters_keep_what_does_not_convert_and_drop_what_is_missing() {
    let filter = |filter| vec![logfmt(), Stage::LabelFilter(filter)];
    check(
        filter(number("a", CompareOp::Greater, 4.0)),
        &["a=5", "a=x", "b=1", "a=1e1"],
        "{__error__=\"LabelFilterErr\", __error_details__=\"strconv.ParseFloat: parsing \\\"x\\\": invalid syntax\", a=\"x\"} [2] ; {a=\"1e1\"} [4] ; {a=\"5\"} [1]",
    );
    check(
        vec![logfmt(), Stage::LabelFilter(number("a", CompareOp::Greater, 4.0)), equals("__error__", "")],
        &["a=5", "a=x", "b=1"],
        r#"{a="5"} [1]"#,
    );
    check(
        filter(LabelFilter::Duration { name: "a".into(), op: CompareOp::GreaterOrEqual, nanos: 5_000_000_000 }),
        &["a=5s", "a=1d", "a=5", "a=1.5h"],
        "{__error__=\"LabelFilterErr\", __error_details__=\"time: missing unit in duration \\\"5\\\"\", a=\"5\"} [3] ; \
         {__error__=\"LabelFilterErr\", __error_details__=\"time: unknown unit \\\"d\\\" in duration \\\"1d\\\"\", a=\"1d\"} [2] ; \
         {a=\"1.5h\"} [4] ; {a=\"5s\"} [1]",
    );
    check(
        filter(LabelFilter::Bytes { name: "a".into(), op: CompareOp::Equal, bytes: 5120 }),
        &["a=5KB", "a=\"5 kib\"", "a=5120", "a=5kbps"],
        "{__error__=\"LabelFilterErr\", __error_details__=\"unhandled size name: kbps\", a=\"5kbps\"} [4] ; {a=\"5 kib\"} [2] ; {a=\"5120\"} [3]",
    );
    let either = LabelFilter::Or(Box::new(text_filter("b", MatchOp::Equal, "1")), Box::new(number("a", CompareOp::Greater, 1.0)));
    check(
        filter(either),
        &["a=x b=1", "a=x b=2"],
        "{__error__=\"LabelFilterErr\", __error_details__=\"strconv.ParseFloat: parsing \\\"x\\\": invalid syntax\", a=\"x\", b=\"2\"} [2] ; {a=\"x\", b=\"1\"} [1]",
    );
}

#[test]
fn text_filters_have_their_known_quirks() {
    let filter = |pattern| vec![logfmt(), Stage::LabelFilter(text_filter("a", MatchOp::Regex, pattern))];
    let lines = ["a=al", "a=alpha", "a=xalpha", "b=1"];
    check(filter("al.*"), &lines, r#"{a="al"} [1] ; {a="alpha"} [2] ; {a="xalpha"} [3]"#);
    check(filter("al.+"), &lines, r#"{a="alpha"} [2]"#);
    check(filter(""), &["a=al", "b=1"], r#"{a="al"} [1] ; {b="1"} [2]"#);
    check(vec![equals("a", ""), json()], &[r#"{"a":"1"}"#], "");
}

#[test]
fn drop_and_keep_change_labels_and_errors() {
    let one = NamedOrMatcher::Matcher(matcher("a", MatchOp::Equal, "1"));
    let nine = || NamedOrMatcher::Matcher(matcher("b", MatchOp::Equal, "9"));
    check(vec![logfmt(), Stage::Drop(vec![one, nine(), name("job")])], &["a=1 b=2"], r#"{b="2"} [1]"#);
    check(vec![logfmt(), Stage::Keep(vec![name("a"), nine()])], &["a=1 b=2"], r#"{a="1"} [1]"#);
    check(vec![json(), Stage::Drop(vec![name("__error__")])], &["bad"], "{} [1]");
    check(
        vec![json(), Stage::Drop(vec![name("__error__")])],
        &[r#"{"a":1"#],
        "{__error_details__=\"Value is array, but can't find closing ']' symbol\", a=\"1\"} [1]",
    );
    check(
        vec![json(), Stage::Keep(vec![name("a")])],
        &["bad", r#"{"a":"1"}"#],
        "{__error__=\"JSONParserErr\", __error_details__=\"Value looks like object, but can't find closing '}' symbol\"} [1] ; {a=\"1\"} [2]",
    );
    check(vec![json(), Stage::Drop(vec![name("a")]), json()], &[r#"{"a":"1"}"#], "{} [1]");
}

#[test]
fn metadata_and_parsed_labels_get_other_names_where_theirs_are_taken() {
    let given: [Given<'_>; 1] = [(1, r#"{"sl":"p","md":"p","x":"p"}"#, &[("md", "m"), ("sl", "m2")])];
    let streams = [(labels(&[("job", "web"), ("sl", "s")]), rows(&given))];
    let plain = |stages| run(&log_plan(stages, &params()), &streams, 1).streams()[0].labels.to_string();
    assert_eq!(plain(vec![]), r#"{job="web", md="m", sl="s", sl_extracted="m2"}"#);
    assert_eq!(plain(vec![json()]), r#"{job="web", md="m", md_extracted="p", sl="s", sl_extracted="p", x="p"}"#);
    assert_eq!(plain(vec![json(), Stage::Drop(vec![name("md")])]), r#"{job="web", md_extracted="p", sl="s", sl_extracted="p", x="p"}"#);
    assert_eq!(plain(vec![json(), Stage::Keep(vec![name("md"), name("sl")])]), r#"{md="m", sl="s"}"#);
    let categorised = run(&log_plan(vec![json()], &params()), &streams, 1).categorised();
    assert_eq!(categorised[0].labels.to_string(), r#"{job="web", sl="s"}"#);
    let entry = &categorised[0].entries[0];
    let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
    assert_eq!(entry.metadata, [pair("md", "m")]);
    assert_eq!(entry.parsed, [pair("md_extracted", "p"), pair("sl_extracted", "p"), pair("x", "p")]);
}

#[test]
fn filters_on_metadata_columns_agree_with_filters_on_rows() {
    let given: [Given<'_>; 4] = [(1, "", &[("level", "error")]), (2, "", &[("level", "info")]), (3, "", &[]), (4, "", &[("job", "own")])];
    let streams = [(labels(&[("job", "web")]), rows(&given))];
    let dictionaries = [(streams[0].0.clone(), with_dictionaries(&streams[0].1))];
    let times = |filter| {
        let plan = log_plan(vec![Stage::LabelFilter(filter)], &params());
        let vectorised = show(&run(&plan, &streams, 2).streams());
        assert_eq!(show(&run(&plan, &dictionaries, 2).streams()), vectorised);
        vectorised.split('[').skip(1).map(|part| part.split(']').next().unwrap_or_default().to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(times(text_filter("level", MatchOp::Equal, "error")), "1");
    assert_eq!(times(text_filter("level", MatchOp::NotEqual, "error")), "4 2 3");
    assert_eq!(times(text_filter("job_extracted", MatchOp::Equal, "own")), "4");
    assert_eq!(times(text_filter("job", MatchOp::Equal, "own")), "");
    let both = LabelFilter::Or(Box::new(text_filter("level", MatchOp::Equal, "info")), Box::new(text_filter("job", MatchOp::Equal, "x")));
    assert_eq!(times(both), "2");
}

#[test]
fn limit_takes_the_first_in_direction_order_over_all_streams() {
    let streams = [
        (labels(&[("job", "web"), ("i", "1")]), rows(&[(1, "a", &[]), (3, "b", &[]), (3, "c", &[]), (9, "d", &[])])),
        (labels(&[("job", "web"), ("i", "2")]), rows(&[(2, "e", &[]), (8, "f", &[])])),
    ];
    let lines = |direction, limit, interval| {
        let params = Params { direction, limit, interval: Duration::from_secs(interval), ..params() };
        let plan = log_plan(vec![], &params);
        let answers: Vec<Vec<String>> = CUTS
            .iter()
            .map(|cut| {
                let streams = run(&plan, &streams, *cut).streams();
                streams.iter().flat_map(|s| s.entries.iter().map(|entry| String::from_utf8_lossy(&entry.line).into_owned())).collect()
            })
            .collect();
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
        answers[0].join("")
    };
    assert_eq!(lines(Direction::Forward, 3, 0), "abe");
    assert_eq!(lines(Direction::Backward, 3, 0), "dcf");
    assert_eq!(lines(Direction::Backward, 100, 0), "dcbafe");
    assert_eq!(lines(Direction::Forward, 100, 2), "abf");
    assert_eq!(lines(Direction::Backward, 100, 2), "dca");
    assert_eq!(lines(Direction::Forward, 2, 2), "a", "the limit is applied before lines are thinned");
    assert_eq!(lines(Direction::Forward, 0, 0), "");
    let instant = Params { start: Timestamp::from_secs(3), end: Timestamp::from_secs(3), ..params() };
    assert_eq!(run(&log_plan(vec![], &instant), &streams, 1).len(), 2);
    let narrow = Params { start: Timestamp::from_secs(2), end: Timestamp::from_secs(8), ..params() };
    assert_eq!(run(&log_plan(vec![], &narrow), &streams, 1).len(), 3);
}

#[test]
fn with_an_interval_each_hour_is_limited_and_thinned_by_itself() {
    let entries: Vec<_> = (0..8).map(|i| (1800 * i, "x", &[][..])).collect();
    let streams = [(labels(&[("job", "web")]), rows(&entries))];
    for (direction, want) in [(Direction::Forward, [0, 1, 2, 3, 4]), (Direction::Backward, [7, 6, 5, 4, 3])] {
        let params = Params { direction, limit: 5, interval: Duration::from_secs(1800), end: Timestamp::from_secs(20_000), ..params() };
        let given = run(&log_plan(vec![], &params), &streams, 1).streams();
        let times: Vec<i64> = given[0].entries.iter().map(|entry| entry.timestamp.0 / 1_800_000_000_000).collect();
        assert_eq!(times, want);
    }
}

#[test]
fn a_full_collector_tells_how_far_it_reaches() {
    let params = Params { direction: Direction::Backward, limit: 2, ..params() };
    let plan = log_plan(vec![], &params);
    let mut collector = plan.collector();
    let (labels, rows) = (labels(&[("job", "web")]), rows(&[(1, "a", &[]), (3, "b", &[]), (5, "c", &[])]));
    assert_eq!(collector.horizon(), None);
    collector.add_batch(&Batch::new(&labels, &rows), &Selection::All, (0, 0)).expect("adds");
    assert_eq!(collector.horizon(), Some(Timestamp::from_secs(3)));
}

#[test]
fn probes_hold_what_every_match_holds() {
    let stages = vec![line(LineOp::Contains, "needle"), line(LineOp::NotContains, "no"), equals("trace", "t1"), json(), equals("x", "y")];
    let plan = log_plan(stages, &params());
    assert_eq!(plan.pipeline().block_probe().to_string(), r#"(needle & trace=t1 & (x=y | y | "\u0079))"#);
    assert!(!plan.pipeline().stream_can_match(&labels(&[("trace", "t2")])));
    assert!(plan.pipeline().stream_can_match(&labels(&[("job", "web")])));
    assert!(!plan.pipeline().stream_can_match(&labels(&[("x", "z")])));
}

#[test]
fn address_filters_drop_what_is_missing_and_keep_errors() {
    let ip = |negated| Stage::LabelFilter(LabelFilter::Ip { name: "a".into(), negated, pattern: "10.0.0.0/8".into() });
    check(vec![logfmt(), ip(true)], &["a=10.1.2.3", "a=8.8.8.8", "b=1"], r#"{a="8.8.8.8"} [2]"#);
    check(vec![logfmt(), ip(false)], &["a=10.1.2.3", "a=8.8.8.8", "b=1"], r#"{a="10.1.2.3"} [1]"#);
    check(vec![json(), Stage::Drop(vec![name("__error_details__")]), ip(true)], &["bad", "{}"], r#"{__error__="JSONParserErr"} [1]"#);
    let wrong = Stage::LabelFilter(LabelFilter::Ip { name: "addr".into(), negated: false, pattern: "nope".into() });
    let error = plan(&Expr::Log(log(vec![wrong])), &params()).expect_err("does not plan");
    assert_eq!(error.to_string(), r#"parse error : stage '| addr=ip("nope")' : ip: invalid pattern: "nope""#);
}

#[test]
fn what_does_not_compile_is_named() {
    let error = |stages| plan(&Expr::Log(log(stages)), &params()).expect_err("does not plan");
    let broken = error(vec![line(LineOp::Contains, "x"), line(LineOp::Regex, "("), json()]);
    assert_eq!(broken.to_string(), "parse error : stage '|= \"x\" |~ \"(\"' : error parsing regexp: missing closing ): `(`");
    assert_eq!(broken.kind(), ErrorKind::InvalidInput);
}

#[test]
fn labels_that_look_like_errors_are_labels() {
    check(vec![logfmt(), equals("__error__", "")], &["__error__=mine b=1"], r#"{__error__="mine", b="1"} [1]"#);
    check(vec![logfmt(), Stage::Keep(vec![name("x")])], &["__error__=mine b=1"], r#"{__error__="mine"} [1]"#);
    let failed = Stage::LabelFilter(text_filter("__error__", MatchOp::NotEqual, ""));
    check(
        vec![logfmt(), json(), failed],
        &["__error__=mine b=1", "b=1"],
        "{__error__=\"JSONParserErr\", \
        __error_details__=\"Value looks like object, but can't find closing '}' symbol\", b=\"1\"} [2]",
    );
    check(
        vec![logfmt(), json()],
        &["__error__=mine b=1"],
        "{__error__=\"JSONParserErr\", __error_details__=\"Value looks like object, but can't find closing '}' symbol\", b=\"1\"} [1]",
    );
}

fn members() -> impl Strategy<Value = Vec<(String, String)>> {
    proptest::collection::btree_map("[a-z]{1,4}", "[ -~é\n\t]{0,8}", 0..6).prop_map(|members| members.into_iter().collect())
}

proptest! {
    #![proptest_config(skald_testkit::property(400))]

    #[test]
    fn parsers_take_any_line(line in "[{}\\[\\]\",:= \\\\a1tn.\u{0}é]{0,40}", strict in any::<bool>(), wanted in proptest::collection::vec("[a1_]{1,3}", 0..3)) {
        let given = [(1, line.as_str(), &[][..])];
        let streams = [(labels(&[("job", "web")]), rows(&given))];
        let logfmt = Stage::Logfmt { strict, keep_empty: strict, extractions: Vec::new() };
        let filters = wanted.iter().map(|name| Stage::LabelFilter(text_filter(name, MatchOp::NotEqual, "x")));
        for stages in [vec![json(), logfmt.clone()], [vec![logfmt, json()], filters.collect()].concat()] {
            let found = run(&log_plan(stages, &params()), &streams, 1);
            prop_assert!(found.len() <= 1);
            for stream in found.streams() {
                prop_assert!(stream.labels.iter().all(|(name, _)| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')));
            }
        }
    }

    #[test]
    fn json_objects_come_back_as_they_were_written(members in members()) {
        let object: serde_json::Map<String, serde_json::Value> = members.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
        let line = serde_json::Value::Object(object).to_string();
        let streams = [(Labels::empty(), rows(&[(1, &line, &[])]))];
        let found = run(&log_plan(vec![json()], &params()), &streams, 1).streams();
        let got: Vec<(String, String)> = found[0].labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        prop_assert_eq!(got, members);
    }
}
