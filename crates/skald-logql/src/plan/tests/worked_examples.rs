//! Worked examples: queries as text over little data, and their answers in full.

use super::log_queries::run;
use super::metric_queries::{data, states, with_errors};
use super::*;

/// Lines are numbered from 1; a line that a stage changed stands behind an arrow.
#[track_caller]
fn check_lines(query: &str, lines: &[&str], want: &str) {
    let given: Vec<Given<'_>> = lines.iter().enumerate().map(|(i, line)| (i as i64 + 1, *line, &[][..])).collect();
    let streams = [(labels(&[("job", "web")]), rows(&given))];
    let query = query.replacen('S', "{job=\"web\"}", 1);
    let Plan::Log(plan) = plan(&crate::parse(&query).expect("parses"), &params()).expect("plans") else { panic!("a log query") };
    let entry = |entry: &LogEntry| {
        let number = entry.timestamp.0 / 1_000_000_000;
        let (line, original) = (String::from_utf8_lossy(&entry.line), lines[number as usize - 1]);
        if line == original { format!("{number}") } else { format!("{number}→{line}") }
    };
    let stream = |stream: &LogStream| format!("{} {}", stream.labels, stream.entries.iter().map(entry).collect::<Vec<_>>().join(" "));
    for cut in CUTS {
        let got = run(&plan, &streams, cut).streams().iter().map(stream).collect::<Vec<_>>().join(" ; ");
        assert_eq!(got, want, "{query}");
    }
}

/// Series with their values, or the error.
fn numbers(query: &str, params: &Params, streams: &[(Labels, Rows)], cut: usize) -> String {
    let plan = match plan(&crate::parse(query).expect("parses"), params) {
        Ok(Plan::Metric(plan)) => plan,
        other => panic!("a metric query, not {other:?}"),
    };
    let result = states(&plan, streams, cut).and_then(|states| plan.finish(states));
    let set = |labels: &LabelSet| labels.to_string().replace(", ", ",");
    match result {
        Err(error) => error.to_string(),
        Ok(MetricResult::Scalar { value, .. }) => format!("scalar {}", format_sample(value)),
        Ok(MetricResult::Vector(samples)) if samples.is_empty() => "(empty vector)".to_owned(),
        Ok(MetricResult::Vector(samples)) => {
            samples.iter().map(|s| format!("{} {}", set(&s.labels), format_sample(s.value))).collect::<Vec<_>>().join(" ; ")
        }
        Ok(MetricResult::Matrix(series)) => {
            let points = |s: &Series| {
                s.points
                    .iter()
                    .map(|(at, value)| format!("{}:{}", at.0 / 1_000_000_000, format_sample(*value)))
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            series.iter().map(|s| format!("{} {}", set(&s.labels), points(s))).collect::<Vec<_>>().join(" ; ")
        }
    }
}

/// Words equal, numbers to 1e-9.
fn is_close(got: &str, want: &str) -> bool {
    let number = |word: &str| word.rsplit(':').next().and_then(|number| number.parse::<f64>().ok());
    let time = |word: &str| word.rsplit_once(':').map(|(time, _)| time.to_owned());
    let same = |(a, b): (&str, &str)| {
        let close = number(a).zip(number(b)).is_some_and(|(a, b)| (a - b).abs() <= 1e-9 * b.abs());
        a == b || (close && time(a) == time(b))
    };
    let words = |text: &str| text.split(' ').count();
    words(got) == words(want) && got.split(' ').zip(want.split(' ')).all(same)
}

#[track_caller]
fn check_numbers(query: &str, params: &Params, streams: &[(Labels, Rows)], want: &str) {
    for cut in CUTS {
        let got = numbers(query, params, streams, cut);
        match want.strip_suffix(" …").and_then(|want| want.strip_prefix("fails: ")) {
            Some(begin) => assert!(got.starts_with(begin), "{query}: {got}"),
            None => assert!(is_close(&got, want), "{query}: {got}"),
        }
    }
}

fn instant(at: i64) -> Params {
    Params { end: Timestamp::from_secs(at), ..params() }
}

#[test]
fn log_queries() {
    for (query, lines, want) in LOG_QUERIES {
        check_lines(query, lines, want);
    }
}

#[rustfmt::skip]
const LOG_QUERIES: &[(&str, &[&str], &str)] = &[
    ("S | json", &[r#"{"a":1,"b":{"c":true,"d":[1]},"n":null,"e":""}"#],
     r#"{a="1", b_c="true", e="", job="web"} 1"#),
    ("S | json", &[r#"{"k-é":"u","9k":"v"," s ":"w","A.B":"x","":"y"}"#],
     r#"{A_B="x", _9k="v", job="web", k__="u", s="w"} 1"#),
    ("S | json", &[r#"{"job":"inner","dup":"1","dup":"2"}"#],
     r#"{dup="1", job="web", job_extracted="inner"} 1"#),
    ("S | json", &[r#"{"a":{"b":"x"},"a_b":"z"}"#],
     r#"{a_b="x", job="web"} 1"#),
    ("S | json", &[r#"{"a":1"#, r#"{"a":1} tail"#, "[1]", r#"{"a":tru}"#, r#"{"a":"bad\q"}"#],
     r#"{__error__="JSONParserErr", __error_details__="Unknown value type", job="web"} 4 ; {__error__="JSONParserErr", __error_details__="Value is array, but can't find closing ']' symbol", a="1", job="web"} 1 ; {__error__="JSONParserErr", __error_details__="Value looks like object, but can't find closing '}' symbol", job="web"} 3 ; {a="", job="web"} 5 ; {a="1", job="web"} 2"#),
    (r#"S | json x="a[0].b", y="a", w="c", v="c.d", u="z", m="nope""#, &[r#"{"a":[{"b":1}],"c":{"d":"x"},"z":null}"#],
     r#"{job="web", m="", u="", v="x", w="{\"d\":\"x\"}", x="1", y="[{\"b\":1}]"} 1"#),
    ("S | json job", &[r#"{"job":"inner"}"#, "{}"],
     r#"{job="web", job_extracted="inner"} 1 ; {job="web"} 2"#),
    ("S | json a", &["plain", r#" {"a":1}"#],
     r#"{__error__="JSONParserErr", job="web"} 1 2"#),
    (r#"S | json | line_format "{{.m}}" | logfmt"#, &[r#"{"m":"a=2 b=3","a":"1"}"#],
     r#"{a="1", b="3", job="web", m="a=2 b=3"} 1→a=2 b=3"#),
    (r#"S | label_format a="z" | json"#, &[r#"{"a":"1"}"#],
     r#"{a="z", job="web"} 1"#),
    (r#"S | label_format a="z" | json a="a""#, &[r#"{"a":"1"}"#],
     r#"{a="1", job="web"} 1"#),
    ("S | json | drop a | json", &[r#"{"a":"1"}"#],
     r#"{job="web"} 1"#),
    (r#"S | drop job | json job="a""#, &[r#"{"a":"1"}"#],
     r#"{job_extracted="1"} 1"#),
    ("S | logfmt", &[r#"a=1 b="x y" c d= e="" a=2 g-h=i"#],
     r#"{a="1", b="x y", g_h="i", job="web"} 1"#),
    ("S | logfmt --keep-empty", &[r#"a=1 b="x y" c d= e="" a=2 g-h=i"#],
     r#"{a="1", b="x y", c="", d="", e="", g_h="i", job="web"} 1"#),
    ("S | logfmt", &["a=1 =bad u=v=w z=2"],
     r#"{a="1", job="web", z="2"} 1"#),
    ("S | logfmt --strict", &["a=1 =bad z=2"],
     r#"{__error__="LogfmtParserErr", __error_details__="logfmt syntax error at pos 5 : unexpected '='", a="1", job="web"} 1"#),
    (r#"S | logfmt a, x="b", y="c", m"#, &["a=1 b=2 a=3 c"],
     r#"{a="3", job="web", m="", x="2", y=""} 1"#),
    ("S | logfmt", &["a='x y' b=1"],
     r#"{a="'x", b="1", job="web"} 1"#),
    (r"S | regexp `(?P<m>[A-Z]+) (?P<p>\S+)(?P<q>\?)?`", &["GET /x 200", "nope"],
     r#"{job="web", m="GET", p="/x", q=""} 1 ; {job="web"} 2"#),
    ("S | pattern `<m> <p> <s>`", &["GET /x 200", "GET /x", "nope", ""],
     r#"{job="web", m="GET", p="/x", s="200"} 1 ; {job="web", m="GET", p="/x"} 2 ; {job="web", m="nope"} 3 ; {job="web"} 4"#),
    ("S | pattern `GET <p>`", &["xGET /a", "GET /b"],
     r#"{job="web", p="/b"} 2 ; {job="web"} 1"#),
    ("S | unpack", &[r#"{"a":"1","n":2,"_entry":"orig"}"#, r#"{"a":"1"}"#, "text"],
     r#"{__error__="JSONParserErr", __error_details__="expecting json object(6), but it is not", job="web"} 3 ; {a="1", job="web"} 1→orig ; {job="web"} 2"#),
    (r#"S |= "foo" or """#, &["foo 1", "bar 2", ""],
     r#"{job="web"} 1"#),
    (r#"S |~ "foo|.*""#, &["foo 1", "bar 2"],
     r#"{job="web"} 1"#),
    (r#"S != "foo" or "bar""#, &["foo 1", "bar 2", "baz"],
     r#"{job="web"} 3"#),
    (r#"S |~ "a.b""#, &["a
b", "ab"],
     ""),
    (r#"S |> "foo<_>""#, &["xx foo bar", "foofoo", "a foo foo", "bar"],
     r#"{job="web"} 1 2 3"#),
    (r#"S |> "<_>foo""#, &["xx foo bar", "foofoo", "a foo foo", "bar"],
     ""),
    (r#"S |> "bar""#, &["xbar", "bar", "bar bar"],
     r#"{job="web"} 1 2"#),
    (r#"S |> "<_>""#, &["a", "", " "],
     r#"{job="web"} 1 3"#),
    (r#"S |= ip("10.0.0.0/8")"#, &["src=10.1.2.3 x", "src=110.1.2.3", "10.1.2.3.4", "v6 ::1"],
     r#"{job="web"} 1"#),
    (r#"S != ip("10.0.0.0/8")"#, &["src=10.1.2.3 x", "src=110.1.2.3", "v6 ::1"],
     r#"{job="web"} 2 3"#),
    (r#"S | logfmt | a!=ip("10.0.0.0/8")"#, &["a=10.1.2.3", "a=8.8.8.8", "b=1"],
     r#"{a="8.8.8.8", job="web"} 2"#),
    (r#"S | logfmt | a=~"al.*""#, &["a=al", "a=alpha", "a=xalpha", "b=1"],
     r#"{a="al", job="web"} 1 ; {a="alpha", job="web"} 2 ; {a="xalpha", job="web"} 3"#),
    (r#"S | logfmt | a=~"al.+""#, &["a=al", "a=alpha", "a=xalpha", "b=1"],
     r#"{a="alpha", job="web"} 2"#),
    (r#"S | logfmt | a=~"""#, &["a=al", "b=1"],
     r#"{a="al", job="web"} 1 ; {b="1", job="web"} 2"#),
    ("S | logfmt | a > 4", &["a=5", "a=x", "b=1", "a=1e1"],
     r#"{__error__="LabelFilterErr", __error_details__="strconv.ParseFloat: parsing \"x\": invalid syntax", a="x", job="web"} 2 ; {a="1e1", job="web"} 4 ; {a="5", job="web"} 1"#),
    (r#"S | logfmt | a > 4 | __error__="""#, &["a=5", "a=x", "b=1"],
     r#"{a="5", job="web"} 1"#),
    ("S | logfmt | a >= 5s", &["a=5s", "a=1d", "a=5", "a=1.5h"],
     r#"{__error__="LabelFilterErr", __error_details__="time: missing unit in duration \"5\"", a="5", job="web"} 3 ; {__error__="LabelFilterErr", __error_details__="time: unknown unit \"d\" in duration \"1d\"", a="1d", job="web"} 2 ; {a="1.5h", job="web"} 4 ; {a="5s", job="web"} 1"#),
    ("S | logfmt | a = 5KiB", &["a=5KB", r#"a="5 kib""#, "a=5120", "a=5kbps"],
     r#"{__error__="LabelFilterErr", __error_details__="unhandled size name: kbps", a="5kbps", job="web"} 4 ; {a="5 kib", job="web"} 2 ; {a="5120", job="web"} 3"#),
    (r#"S | logfmt | b="1" or a > 1"#, &["a=x b=1", "a=x b=2"],
     r#"{__error__="LabelFilterErr", __error_details__="strconv.ParseFloat: parsing \"x\": invalid syntax", a="x", b="2", job="web"} 2 ; {a="x", b="1", job="web"} 1"#),
    (r#"S | logfmt | line_format "{{.a}}-{{.nope}}-{{__line__}}""#, &["a=x"],
     r#"{a="x", job="web"} 1→x--a=x"#),
    (r#"S | logfmt | line_format "{{.nope}}""#, &["a=x"],
     r#"{a="x", job="web"} 1→"#),
    (r#"S | logfmt | line_format "{{div 1 0}}""#, &["a=x"],
     r#"{__error__="TemplateFormatErr", __error_details__="template: line:1:2: executing \"line\" at <div 1 0>: error calling div: runtime error: integer divide by zero", a="x", job="web"} 1"#),
    (r#"S | logfmt | label_format x=a, y="{{.a}}{{.x}}""#, &["a=1"],
     r#"{job="web", x="1", y="1"} 1"#),
    (r#"S | logfmt | label_format x="{{.a}}9", y="{{.x}}""#, &["a=1"],
     r#"{a="1", job="web", x="19", y=""} 1"#),
    ("S | logfmt | label_format x=nope", &["a=1"],
     r#"{a="1", job="web"} 1"#),
    ("S | logfmt | label_format job=a", &["a=1"],
     r#"{job="1"} 1"#),
    ("S | decolorize", &["\u{1b}[31mred\u{1b}[0m ok"],
     r#"{job="web"} 1→red ok"#),
    (r#"S | logfmt | drop a="1", b="9", job"#, &["a=1 b=2"],
     r#"{b="2"} 1"#),
    (r#"S | logfmt | keep a, b="9""#, &["a=1 b=2"],
     r#"{a="1"} 1"#),
    ("S | json | drop __error__", &["bad"],
     r#"{job="web"} 1"#),
    ("S | json | drop __error__", &[r#"{"a":1"#],
     r#"{__error_details__="Value is array, but can't find closing ']' symbol", a="1", job="web"} 1"#),
    ("S | json | keep a", &["bad", r#"{"a":"1"}"#],
     r#"{__error__="JSONParserErr", __error_details__="Value looks like object, but can't find closing '}' symbol"} 1 ; {a="1"} 2"#),
    (r#"S | json | label_format a="y" | a="y""#, &[r#"{"a":"1"}"#],
     ""),
    (r#"S | json | label_format a="y" | (a="y" or a="q")"#, &[r#"{"a":"1"}"#],
     r#"{a="y", job="web"} 1"#),
    (r#"S | a="" | json"#, &[r#"{"a":"1"}"#],
     ""),
];

#[test]
fn instant_metric_queries() {
    for (query, want) in INSTANT_QUERIES {
        check_numbers(query, &instant(1060), &data(), want);
    }
}

#[rustfmt::skip]
const INSTANT_QUERIES: &[(&str, &str)] = &[
    (r#"count_over_time({app="a"}[60s])"#, r#"{app="a",z="1"} 4"#),
    (r#"count_over_time({app="a"}[61s])"#, r#"{app="a",z="1"} 5"#),
    (r#"rate({app=~"a|b"}[1m])"#, r#"{app="a",z="1"} 0.06666666666666667 ; {app="b",z="2"} 0.03333333333333333"#),
    (r#"bytes_over_time({app=~"a|b"}[1m])"#, r#"{app="a",z="1"} 13 ; {app="b",z="2"} 6"#),
    (r#"count_over_time({app="a"}[30s] offset 30s)"#, r#"{app="a",z="1"} 3"#),
    (r#"count_over_time({app="nope"}[1m])"#, "(empty vector)"),
    (r#"sum(count_over_time({app="nope"}[1m]))"#, "(empty vector)"),
    (r#"sum(count_over_time({app="nope"}[1m])) or vector(0)"#, "{} 0"),
    (r#"absent_over_time({app="nope",x=~"y",k="v"}[1m])"#, r#"{app="nope",k="v"} 1"#),
    (r#"absent_over_time({app="nope",app!="z"}[1m])"#, "{} 1"),
    (r#"sum_over_time({app=~"a|b"} | logfmt | unwrap v [1m])"#, r#"{app="a",z="1"} 19 ; {app="b",z="2"} 12"#),
    (r#"avg_over_time({app=~"a|b"} | logfmt | unwrap v [1m])"#, r#"{app="a",z="1"} 4.75 ; {app="b",z="2"} 6"#),
    (r#"stddev_over_time({app=~"a|b"} | logfmt | unwrap v [1m])"#, r#"{app="a",z="1"} 3.112474899497183 ; {app="b",z="2"} 1"#),
    (r#"quantile_over_time(0.5,{app=~"a|b"} | logfmt | unwrap v [1m])"#, r#"{app="a",z="1"} 3.5 ; {app="b",z="2"} 6"#),
    (r#"quantile_over_time(0.9,{app=~"a|b"} | logfmt | unwrap v [1m]) by (app)"#, r#"{app="a"} 8.200000000000001 ; {app="b"} 6.8"#),
    (r#"first_over_time({app=~"a|b"} | logfmt | unwrap v [1m])"#, r#"{app="a",z="1"} 2 ; {app="b",z="2"} 7"#),
    (r#"rate({app=~"a|b"} | logfmt | unwrap v [1m])"#, r#"{app="a",z="1"} 0.31666666666666665 ; {app="b",z="2"} 0.2"#),
    (r#"rate_counter({app=~"a|b"} | logfmt | unwrap v [1m])"#, r#"{app="a",z="1"} 0.2333333333333333 ; {app="b",z="2"} 0.14166666666666666"#),
    (r#"avg_over_time({app=~"a|b"} | logfmt | unwrap v [1m]) by ()"#, "{} 5.166666666666667"),
    (r#"max_over_time({app=~"a|b"} | logfmt | unwrap v [1m]) by (v)"#, r#"{v="10"} 10 ; {v="2"} 2 ; {v="3"} 3 ; {v="4"} 4 ; {v="5"} 5 ; {v="7"} 7"#),
    (r#"max_over_time({app=~"a|b"} | logfmt | unwrap v [1m]) without (app)"#, r#"{z="1"} 10 ; {z="2"} 7"#),
    (r#"count_over_time({app=~"a|b"} | logfmt [1m])"#, r#"{app="a",v="10",z="1"} 1 ; {app="a",v="2",z="1"} 1 ; {app="a",v="3",z="1"} 1 ; {app="a",v="4",z="1"} 1 ; {app="b",v="5",z="2"} 1 ; {app="b",v="7",z="2"} 1"#),
    (r#"sum by (z)(count_over_time({app=~".+"}[1m]))"#, r#"{z="1"} 5 ; {z="2"} 2"#),
    (r#"topk(2,count_over_time({app=~".+"}[1m]))"#, r#"{app="a",z="1"} 4 ; {app="b",z="2"} 2"#),
    (r#"bottomk(2,count_over_time({app=~".+"}[1m]))"#, r#"{app="b",z="2"} 2 ; {app="c",z="1"} 1"#),
    (r#"topk by (z)(1,count_over_time({app=~".+"}[1m]))"#, r#"{app="a",z="1"} 4 ; {app="b",z="2"} 2"#),
    (r#"sort(count_over_time({app=~".+"}[1m]))"#, r#"{app="c",z="1"} 1 ; {app="b",z="2"} 2 ; {app="a",z="1"} 4"#),
    (r#"sort_desc(count_over_time({app=~".+"}[1m]))"#, r#"{app="a",z="1"} 4 ; {app="b",z="2"} 2 ; {app="c",z="1"} 1"#),
    (r#"stdvar(count_over_time({app=~".+"}[1m]))"#, "{} 1.5555555555555556"),
    (r#"1 < count_over_time({app=~".+"}[1m])"#, r#"{app="a",z="1"} 4 ; {app="b",z="2"} 2"#),
    (r#"1 < bool count_over_time({app=~".+"}[1m])"#, r#"{app="a",z="1"} 1 ; {app="b",z="2"} 1 ; {app="c",z="1"} 0"#),
    (r#"count_over_time({app="a"}[1m]) / 0"#, r#"{app="a",z="1"} NaN"#),
    (r#"count_over_time({app="a"}[1m]) + count_over_time({app="b"}[1m])"#, "(empty vector)"),
    (r#"count_over_time({app="a"}[1m]) + on() count_over_time({app="b"}[1m])"#, "{} 6"),
    (r#"count_over_time({app="a"}[1m]) > on(z) count_over_time({app="c"}[1m])"#, r#"{z="1"} 4"#),
    (r#"count_over_time({app=~"a|c"}[1m]) + on(z) group_left count_over_time({app="a"}[1m])"#, r#"{app="a",z="1"} 8 ; {app="c",z="1"} 5"#),
    (r#"count_over_time({app="a"}[1m]) - on(z) group_right count_over_time({app=~"a|c"}[1m])"#, r#"{app="a",z="1"} 0 ; {app="c",z="1"} 3"#),
    (r#"count_over_time({app=~"a|b"}[1m]) unless count_over_time({app="a"}[1m])"#, r#"{app="b",z="2"} 2"#),
    (r#"count_over_time({app="a"}[1m]) or count_over_time({app=~".+"}[1m])"#, r#"{app="a",z="1"} 4 ; {app="b",z="2"} 2 ; {app="c",z="1"} 1"#),
    (r#"label_replace(count_over_time({app=~"a|b"}[1m]),"n","$1-x","app","(a)")"#, r#"{app="a",n="a-x",z="1"} 4 ; {app="b",z="2"} 2"#),
    (r#"label_replace(count_over_time({app=~"a|b"}[1m]),"app","","app","a")"#, r#"{app="b",z="2"} 2 ; {z="1"} 4"#),
    ("10 / 4", "scalar 2.5"),
    ("1 / 0", "scalar NaN"),
    ("vector(3)", "{} 3"),
];

#[test]
fn range_metric_queries() {
    for (query, (start, end, step), want) in RANGE_QUERIES {
        let step = Some(Duration::from_secs(*step));
        let params = Params { start: Timestamp::from_secs(*start), end: Timestamp::from_secs(*end), step, ..params() };
        check_numbers(query, &params, &data(), want);
    }
}

#[rustfmt::skip]
const RANGE_QUERIES: &[(&str, (i64, i64, u64), &str)] = &[
    (r#"count_over_time({app=~"a|b"}[10s])"#, (1000, 1060, 20), r#"{app="a",z="1"} 1000:1 1020:1 1060:1"#),
    (r#"count_over_time({app=~"a|b"}[30s])"#, (1000, 1060, 20), r#"{app="a",z="1"} 1000:1 1020:3 1040:2 1060:1 ; {app="b",z="2"} 1020:1 1040:1"#),
    (r#"count_over_time({app=~"a|b"}[10s])"#, (1003, 1058, 25), r#"{app="a",z="1"} 1003:1 1028:1"#),
    (r#"absent_over_time({app="b"}[20s])"#, (1000, 1060, 20), r#"{app="b"} 1000:1 1060:1"#),
    (r#"topk(1,count_over_time({app=~"a|b"}[30s]))"#, (1000, 1060, 20), r#"{app="a",z="1"} 1000:1 1020:3 1040:2 1060:1"#),
    (r#"rate_counter({app="a"}|logfmt|unwrap v[30s])"#, (1000, 1060, 20), r#"{app="a",z="1"} 1000:0 1020:0.13333333333333333 1040:0.3 1060:0"#),
    (r#"count_over_time({app="a"}[20s] offset 20s)"#, (1000, 1060, 20), r#"{app="a",z="1"} 1020:1 1040:2 1060:1"#),
    (r#"count_over_time({app="b"}[30s]) or vector(9)"#, (1000, 1060, 20), r#"{} 1000:9 1020:9 1040:9 1060:9 ; {app="b",z="2"} 1020:1 1040:1"#),
    ("2 + 3", (1000, 1025, 10), "{} 1000:5 1010:5 1020:5"),
];

#[test]
fn errors_in_metric_queries() {
    for (query, want) in FAILING_QUERIES {
        check_numbers(query, &instant(1060), &with_errors(), want);
    }
}

#[rustfmt::skip]
const FAILING_QUERIES: &[(&str, &str)] = &[
    (r#"count_over_time({app="a"}|json[1m])"#, "fails: pipeline error: 'JSONParserErr' …"),
    (r#"sum(count_over_time({app="a"}|json[1m]))"#, "{} 3"),
    (r#"sum by (l)(count_over_time({app="a"}|json[1m]))"#, "fails: pipeline error: 'JSONParserErr' …"),
    (r#"count_over_time({app="a"}|json|__error__=""[1m])"#, r#"{app="a",l="x"} 1 ; {app="a",l="y"} 1"#),
    (r#"sum by (__error__)(count_over_time({app="a"}|json[1m]))"#, r#"{} 2 ; {__error__="JSONParserErr"} 1"#),
    (r#"sum(count_over_time({app="a"}|json|__error__!=""[1m]))"#, "{} 1"),
    (r#"absent_over_time({app="a"}|json[1m])"#, "(empty vector)"),
    (r#"count_over_time({app="a"}|json|drop __error__,__error_details__[1m])"#, r#"{app="a"} 1 ; {app="a",l="x"} 1 ; {app="a",l="y"} 1"#),
];

fn with_metadata() -> (Labels, Rows) {
    (labels(&[("job", "web"), ("sl", "s")]), rows(&[(1, r#"{"sl":"p","md":"p","x":"p"}"#, &[("md", "m"), ("sl", "m2")])]))
}

#[test]
fn structured_metadata() {
    for (stages, want) in [
        ("", r#"{job="web", md="m", sl="s", sl_extracted="m2"}"#),
        ("| json", r#"{job="web", md="m", md_extracted="p", sl="s", sl_extracted="p", x="p"}"#),
        (r#"| json md="x""#, r#"{job="web", md="m", md_extracted="p", sl="s", sl_extracted="m2"}"#),
        ("| json | drop md", r#"{job="web", md_extracted="p", sl="s", sl_extracted="p", x="p"}"#),
        ("| label_format md2=md", r#"{job="web", md2="m", sl="s", sl_extracted="m2"}"#),
        ("| json | keep md, sl", r#"{md="m", sl="s"}"#),
    ] {
        let found = entries_of(stages).streams();
        assert_eq!(found.iter().map(|stream| stream.labels.to_string()).collect::<Vec<_>>(), [want], "{stages}");
    }
}

#[test]
fn labels_by_category() {
    for (stages, stream, metadata, parsed) in [
        ("", r#"{job="web", sl="s"}"#, "md=m sl_extracted=m2", ""),
        ("| json", r#"{job="web", sl="s"}"#, "md=m", "md_extracted=p sl_extracted=p x=p"),
        (r#"| label_format job="zz""#, r#"{sl="s"}"#, "md=m sl_extracted=m2", "job=zz"),
    ] {
        let found = entries_of(stages).categorised();
        let pairs = |pairs: &[(String, String)]| pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
        let entry = &found[0].entries[0];
        let got = (found[0].labels.to_string(), pairs(&entry.metadata), pairs(&entry.parsed));
        assert_eq!(got, (stream.to_owned(), metadata.to_owned(), parsed.to_owned()), "{stages}");
    }
}

fn entries_of(stages: &str) -> LogEntries {
    let Plan::Log(plan) = plan(&crate::parse(&format!("{{job=\"web\"}} {stages}")).expect("parses"), &params()).expect("plans") else {
        panic!("a log query")
    };
    run(&plan, &[with_metadata()], 1)
}

/// Texts that are read as queries, and refused once their stages are compiled.
#[test]
fn stages_that_do_not_compile() {
    for (stages, stage, cause) in [
        (r#"|~ ip("10.0.0.1")"#, "", "ip: invalid operation"),
        (r#"|> ip("10.0.0.1")"#, "", "ip: invalid operation"),
        (r#"|= ip("nope")"#, "", r#"ip: invalid pattern: "nope""#),
        (r#"|~ "(""#, "", "error parsing regexp: missing closing ): `(`"),
        (r#"|= "x" |~ "(" | json"#, r#"|= "x" |~ "(""#, "error parsing regexp: missing closing ): `(`"),
        (r#"|> "<a>""#, "", "named captures are not allowed: found '<a>'"),
        (r#"|> "<_><_>""#, "", "found consecutive capture '<_><_>': invalid expression"),
        (r#"| addr=ip("nope")"#, "", r#"ip: invalid pattern: "nope""#),
        (r#"| json a="[""#, "", "cannot parse expression [[]: syntax error: unexpected $end, expecting STRING or INDEX"),
        (r#"| json a="x..y""#, "", "cannot parse expression [x..y]: syntax error: unexpected DOT, expecting FIELD"),
        (r#"| json a="""#, "", "cannot parse expression []: syntax error: unexpected $end, expecting LSB or FIELD"),
        (r#"| json a="x[1.5]""#, "", "cannot parse expression [x[1.5]]: syntax error: unexpected $end, expecting STRING or INDEX"),
        (r#"| json a="x y""#, "", "cannot parse expression [x y]: syntax error: unexpected FIELD"),
        (r#"| json a="x-y""#, "", "cannot parse expression [x-y]: unexpected char -"),
        (r#"| logfmt a="x.y""#, "", "cannot parse expression [x.y]: unexpected char ."),
        (r#"| logfmt a="x y""#, "", "cannot parse expression [x y]: syntax error: unexpected KEY"),
        (r#"| line_format "{{.a""#, "", "invalid line template: template: line:1: unclosed action"),
        (r#"| line_format "{{nofn .a}}""#, "", "invalid line template: template: line:1: function \"nofn\" not defined"),
        (r#"| label_format a=b,a="c""#, "", "multiple label name 'a' not allowed in a single format operation"),
        (r#"| label_format __error__="x""#, "", "__error__ cannot be formatted"),
    ] {
        let expr = crate::parse(&format!("{{job=\"web\"}} {stages}")).expect("parses");
        let error = plan(&expr, &params()).expect_err("does not compile");
        let stage = if stage.is_empty() { stages } else { stage };
        assert_eq!(error.to_string(), format!("parse error : stage '{stage}' : {cause}"));
    }
}

/// What parsers are told of the rest of the query shows in what is an error.
#[test]
fn parsers_look_for_what_the_query_uses() {
    let streams = vec![(labels(&[("app", "a")]), rows(&[(1010, r#"{"a":"1","b":2"#, &[])]))];
    let fails = "fails: pipeline error: 'JSONParserErr' …";
    for (query, want) in [
        ("sum(count_over_time({app=\"a\"} | json [1m]))", "{} 1"),
        ("count_over_time({app=\"a\"} | json [1m])", fails),
        ("absent_over_time({app=\"a\"} | json [1m])", "(empty vector)"),
        ("sum by (a) (count_over_time({app=\"a\"} | json [1m]))", r#"{a="1"} 1"#),
        ("sum by (z) (count_over_time({app=\"a\"} | json [1m]))", fails),
        ("sum without (a) (count_over_time({app=\"a\"} | json [1m]))", fails),
        ("sum(count_over_time({app=\"a\"} | json | a=\"1\" [1m]))", "{} 1"),
        ("sum(count_over_time({app=\"a\"} | json | z=\"\" [1m]))", fails),
        ("sum(sum_over_time({app=\"a\"} | json | unwrap a [1m]))", "{} 1"),
        ("max_over_time({app=\"a\"} | json | unwrap a [1m]) by (a)", r#"{a="1"} 1"#),
        ("max_over_time({app=\"a\"} | json | unwrap a [1m]) by (app)", fails),
        ("absent_over_time({app=\"a\"} | json | z!=\"x\" [1m])", fails),
        ("absent_over_time({app=\"a\"} | json | z=\"x\" [1m])", "{app=\"a\"} 1"),
    ] {
        check_numbers(query, &instant(1060), &streams, want);
    }
    for (stages, passes) in [
        (r#"| json | label_format a="y" | a="y""#, false),
        (r#"| a="" | json | a="1""#, false),
        (r#"| json | a="1" | label_format a="2" | a="2""#, true),
        (r#"| json | label_format a="y" | (a="y" or b="zz")"#, true),
    ] {
        let want = if passes { "1" } else { "" };
        let found = super::stages::answer(stages, &[r#"{"a":"1"}"#]);
        assert_eq!(if found.is_empty() { "" } else { "1" }, want, "{stages}");
    }
}
