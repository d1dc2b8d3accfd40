//! Lines, queries and patterns that nobody means well: whatever comes, there is an answer or an error.

use super::log_queries::run;
use super::*;
use crate::parse::{FILTER_DEPTH_MAX, METRIC_DEPTH_MAX};
use proptest::prelude::*;

const S: &str = "{job=\"web\"}";

/// All labels that stages give a line, and what became of it.
fn entries(stages: &str, line: &[u8], rewrites: Rewrites) -> Vec<(String, Vec<u8>)> {
    let mut builder = RowsBuilder::default();
    builder.push(Timestamp::from_secs(1), line);
    let streams = [(labels(&[("job", "web")]), builder.finish())];
    let expr = crate::parse(&format!("{S} {stages}")).expect("parses");
    let Plan::Log(plan) = plan(&expr, &Params { rewrites, ..params() }).expect("plans") else { panic!("a log query") };
    let streams = run(&plan, &streams, 1).streams();
    streams.into_iter().flat_map(|s| s.entries.into_iter().map(move |entry| (s.labels.to_string(), entry.line))).collect()
}

fn label_of(stages: &str, line: &[u8], name: &str) -> Option<String> {
    let mut builder = RowsBuilder::default();
    builder.push(Timestamp::from_secs(1), line);
    let streams = [(labels(&[("job", "web")]), builder.finish())];
    let expr = crate::parse(&format!("{S} {stages}")).expect("parses");
    let Plan::Log(plan) = plan(&expr, &params()).expect("plans") else { panic!("a log query") };
    run(&plan, &streams, 1).streams().first().and_then(|stream| stream.labels.get(name).map(str::to_owned))
}

#[test]
fn lines_that_nest_deeply_do_not_take_the_stack() {
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(50_000), close.repeat(50_000)).into_bytes();
    let lines = [deep("{\"a\":", "}"), deep("[", "]"), format!("{{\"a\":{}", "[{\"a\":".repeat(50_000)).into_bytes(), b"{".repeat(100_000)];
    for line in lines {
        for stages in ["| json", "| json x=\"a.a.a[0]\"", "| unpack", "| logfmt", "| json | line_format `{{ fromJson __line__ }}`"] {
            assert_eq!(entries(stages, &line, Rewrites::ALL).len(), 1, "{stages}");
        }
    }
}

#[test]
fn paths_that_go_deep_are_refused_or_followed() {
    for (parts, fits) in [(100, true), (101, false), (40_000, false)] {
        let path = format!("a{}", ".a".repeat(parts - 1));
        let expr = crate::parse(&format!("{S} | json x=\"{path}\"")).expect("parses");
        assert_eq!(plan(&expr, &params()).is_ok(), fits, "{parts}");
    }
    let line = format!("{}1{}", "{\"a\":".repeat(100), "}".repeat(100));
    assert_eq!(label_of(&format!("| json x=\"a{}\"", ".a".repeat(99)), line.as_bytes(), "x").as_deref(), Some("1"));
}

/// The deepest trees that are read are also printed, laid out, planned, explained, evaluated and dropped.
#[test]
fn the_deepest_queries_are_planned() {
    let (metric, filter) = (METRIC_DEPTH_MAX - 1, FILTER_DEPTH_MAX - 1);
    for text in [
        format!("{}vector(1){}", "sum(".repeat(metric), ")".repeat(metric)),
        format!("vector(1){}", "+vector(1)".repeat(metric)),
        format!("vector(1){}", "^vector(1)".repeat(metric)),
        format!("{}vector(1){}", "label_replace(".repeat(metric), ",\"a\",\"b\",\"c\",\"d\")".repeat(metric)),
        format!("count_over_time({S} | json | a=`xx`{} [1m])", " or a=`xx`".repeat(filter)),
        format!("count_over_time({S} | a=`xx`{} [1m])", ",a=`xx`".repeat(filter)),
        format!("rate({S} | unwrap a | a=1{} [1m])", " and a=1".repeat(filter)),
        format!("count_over_time({S}{} [1m])", " | json | a=`xx`".repeat(2_000)),
        format!("count_over_time({S}{} [1m])", " | label_format a=b | a=`xx`".repeat(2_000)),
        format!("count_over_time({S} |= `a`{} [1m])", " or `b`".repeat(9_000)),
    ] {
        let expr = crate::parse(&text).unwrap_or_else(|error| panic!("{error}: {}…", &text[..40]));
        assert!(crate::pretty(&expr).len() >= text.len() / 4);
        let Plan::Metric(plan) = plan(&expr, &params()).expect("plans") else { panic!("a metric query") };
        let states = plan.leaves().iter().map(|leaf| LeafState::new(Arc::clone(leaf))).collect();
        plan.finish(states).expect("evaluates");
    }
}

#[test]
fn patterns_that_explode_are_refused_or_stay_linear() {
    let line = "a".repeat(2_000) + "b";
    for pattern in ["(a*)*c", "(a+a+)+c", "(a|aa)+c", "([ab]*a[ab]{200})c", "(a?){900}c", "^(([a-z])+.)+[A-Z]([a-z])+$"] {
        assert!(entries(&format!("|~ `{pattern}`"), line.as_bytes(), Rewrites::ALL).is_empty(), "{pattern}");
        assert_eq!(entries(&format!("| regexp `(?P<x>{pattern})`"), line.as_bytes(), Rewrites::ALL).len(), 1, "{pattern}");
    }
    for pattern in ["((a{100}){100}){100}", "(\\pL{100}){100}", "(a{1001})", "(((((x{10}){10}){10}){10}){10}){10}"] {
        let planned = crate::parse(&format!("{S} |~ `{pattern}`")).map(|expr| plan(&expr, &params()).is_ok());
        assert_ne!(planned, Ok(true), "{pattern}");
    }
}

/// Pieces that lines are made of, put together without sense.
fn line_soup() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&[u8]> = vec![
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b",",
        b"\"",
        b"\\",
        b"\\u00",
        b"\\ud83d",
        b"\"a\"",
        b"\"a\":",
        b"\"_entry\":\"x\"",
        b"a=",
        b"a=\"",
        b"b=1",
        b"=",
        b" ",
        b"\t",
        b"\n",
        b"null",
        b"tru",
        b"true",
        b"1e5",
        b"-",
        b"\xff",
        b"\xc3",
        "é".as_bytes(),
        "\u{fffd}".as_bytes(),
        b"\x1b[31m",
        b"\x1b[",
        b"\x00",
        b"10.0.0.1",
        b"::1",
        b"GET",
        b"/x?y",
        b"{\"a\":{\"b\":\"c\"}}",
        b"'",
    ];
    prop::collection::vec(prop::sample::select(pieces), 0..14).prop_map(|pieces| pieces.concat())
}

const STAGES: [&str; 18] = [
    "| json",
    "| json a, b=\"a.b\", c=\"[0]\", d=\"_entry\"",
    "| logfmt",
    "| logfmt --strict --keep-empty",
    "| logfmt a, b=\"a\"",
    "| unpack",
    "| unpack | json | logfmt",
    "| pattern \"<a>=<b> <_>:<c>\"",
    "| regexp \"(?P<a>.)(?P<b>[^x]*)\"",
    "| decolorize",
    "|= ip(\"10.0.0.0/8\")",
    "!~ \"(?i)É|a+\"",
    "|> \"<_>a<_>\"",
    "| json | a=ip(\"::1\")",
    "| logfmt | a>1 | b<5KB | a>1s",
    "| json | line_format \"{{.a}}{{__line__}}{{.b | trunc -3 | title}}\"",
    "| json | label_format x=a, y=\"{{.b}}\" | keep x, y, a=~\".*\"",
    "| json | drop a, b!=\"\" | a=\"\"",
];

/// A JSON object and the labels that its members are.
fn json_object() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        "\\PC{0,6}|[\\x00-\\x1f\"\\\\/é\u{fffd}]{0,6}".prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<bool>().prop_map(serde_json::Value::from),
        Just(serde_json::Value::Null),
        Just(serde_json::json!(["x", {"y": "z"}, []])),
    ];
    let object = |member: BoxedStrategy<serde_json::Value>| {
        prop::collection::vec(("[a-c]{1,2}", member), 0..5).prop_map(|members| serde_json::Value::Object(members.into_iter().collect()))
    };
    let nested = leaf.prop_recursive(3, 12, 4, move |inner| object(inner.boxed()));
    prop::collection::vec(("[a-c]{1,2}", nested), 0..5).prop_map(|members| serde_json::Value::Object(members.into_iter().collect()))
}

fn flattened(value: &serde_json::Value, path: &str, out: &mut Vec<(String, String)>) {
    let mut put = |text: String| {
        if !out.iter().any(|(name, _)| name == path) {
            out.push((path.to_owned(), text));
        }
    };
    match value {
        serde_json::Value::Null | serde_json::Value::Array(_) => {}
        serde_json::Value::Bool(value) => put(value.to_string()),
        serde_json::Value::Number(value) => put(value.to_string()),
        serde_json::Value::String(value) => put(value.replace('\u{fffd}', " ")),
        serde_json::Value::Object(members) => {
            for (name, value) in members {
                flattened(value, &if path.is_empty() { name.clone() } else { format!("{path}_{name}") }, out);
            }
        }
    }
}

proptest! {
    #![proptest_config(skald_testkit::property(300))]

    #[test]
    fn no_line_breaks_a_stage(line in line_soup()) {
        for stages in STAGES {
            prop_assert_eq!(entries(stages, &line, Rewrites::ALL), entries(stages, &line, Rewrites::NONE), "{}", stages);
        }
    }

    #[test]
    fn what_json_says_is_what_labels_say(object in json_object()) {
        let line = object.to_string();
        let mut want = vec![("job".to_owned(), "web".to_owned())];
        flattened(&object, "", &mut want);
        let found = entries("| json", line.as_bytes(), Rewrites::ALL);
        prop_assert_eq!(&found[0].0, &LabelSet::from_pairs(want).to_string(), "{}", line);
    }

    #[test]
    fn what_logfmt_says_is_what_labels_say(pairs in prop::collection::btree_map("[a-h]{1,3}", "\\PC{0,6}|[\t\n\"\\\\/'= ]{0,4}", 0..5)) {
        let line = pairs.iter().map(|(name, value)| format!("{name}={}", serde_json::Value::from(value.as_str()))).collect::<Vec<_>>().join(" ");
        let pairs = pairs.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name, value.replace('\u{fffd}', " ")));
        let want = LabelSet::from_pairs(pairs.chain([("job".to_owned(), "web".to_owned())]).collect()).to_string();
        prop_assert_eq!(&entries("| logfmt", line.as_bytes(), Rewrites::ALL)[0].0, &want, "{}", line);
    }

    #[test]
    fn no_pattern_breaks_a_stage(pattern in "[ab.*+?(|){}0-9,\\[\\]^$-]{0,20}", line in "[ab]{0,40}") {
        for stage in [format!("|~ `{pattern}`"), format!("| a=~`{pattern}`"), format!("| regexp `(?P<x>{pattern})`"), format!("| drop a=~`{pattern}`")] {
            let Ok(expr) = crate::parse(&format!("{S} {stage}")) else { continue };
            if plan(&expr, &params()).is_ok() {
                let _ = entries(&stage, line.as_bytes(), Rewrites::ALL);
            }
        }
    }
}
