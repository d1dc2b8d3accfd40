//! Queries as text: lines in, lines with their labels out.

use super::log_queries::run;
use super::*;

/// `lines` are lines of one stream; the answer is each line with its labels, in order, the stream's own label left out.
pub(super) fn answer(stages: &str, lines: &[&str]) -> Vec<String> {
    let query = format!("{{job=\"web\"}} {stages}");
    let expr = crate::parse(&query).expect("parses");
    let Plan::Log(plan) = plan(&expr, &params()).expect("plans") else { panic!("a log query") };
    let entries: Vec<_> = lines.iter().enumerate().map(|(i, line)| (i as i64 + 1, *line, &[][..])).collect();
    let streams = [(labels(&[("job", "web")]), rows(&entries))];
    let answers: Vec<Vec<String>> = CUTS
        .iter()
        .map(|cut| {
            let mut found = Vec::new();
            for stream in run(&plan, &streams, *cut).streams() {
                let labels =
                    if stream.labels.get("job") == Some("web") { stream.labels.filtered(|name, _| name != "job") } else { stream.labels };
                let show = |entry: &LogEntry| (entry.timestamp, format!("{labels} {}", String::from_utf8_lossy(&entry.line)));
                found.extend(stream.entries.iter().map(show));
            }
            found.sort();
            found.into_iter().map(|(_, shown)| shown).collect()
        })
        .collect();
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    answers[0].clone()
}

#[track_caller]
pub(super) fn check(stages: &str, lines: &[&str], want: &[&str]) {
    assert_eq!(answer(stages, lines), want, "{stages}");
}

#[test]
fn regexp_makes_labels_of_named_groups() {
    let stage = r"| regexp `(?P<m>[A-Z]+) (?P<p>\S+)(?P<q>\?)?`";
    check(stage, &["GET /x 200", "nope"], &[r#"{m="GET", p="/x", q=""} GET /x 200"#, "{} nope"]);
    check(r"| regexp `(a)(?P<1a>b)(?P<job>c)`", &["abc"], &[r#"{_1a="b", job_extracted="c"} abc"#]);
}

#[test]
fn pattern_cuts_between_texts() {
    let lines = ["GET /x 200", "GET /x", "nope", ""];
    let want = [r#"{m="GET", p="/x", s="200"} GET /x 200"#, r#"{m="GET", p="/x"} GET /x"#, r#"{m="nope"} nope"#, "{} "];
    check("| pattern `<m> <p> <s>`", &lines, &want);
    check("| pattern `GET <p>`", &["xGET /a", "GET /b"], &["{} xGET /a", r#"{p="/b"} GET /b"#]);
    check("| pattern `<_>:<a>:`", &["x:1:", "::y", ":2"], &[r#"{a="1"} x:1:"#, r#"{a=""} ::y"#, r#"{a="2"} :2"#]);
}

#[test]
fn unpack_restores_line_and_labels() {
    let lines = [r#"{"a":"1","n":2,"_entry":"orig"}"#, r#"{"a":"1"}"#, "text", ""];
    let error = r#"{__error__="JSONParserErr", __error_details__="expecting json object(6), but it is not"} text"#;
    check("| unpack", &lines, &[r#"{a="1"} orig"#, r#"{} {"a":"1"}"#, error, "{} "]);
    check(r#"| unpack |= "orig""#, &lines, &[r#"{a="1"} orig"#]);
    check(r#"| unpack | logfmt |= "x=1""#, &[r#"{"_entry":"x=1"}"#, "y=2 {"], &[r#"{x="1"} x=1"#]);
    check("| unpack", &[r#"{"job":"j","a-b":"c","_entry":"\u0041\n"}"#], &["{a_b=\"c\", job_extracted=\"j\"} A\n"]);
    let details = r#"{__error__="JSONParserErr", __error_details__="Value is string, but can't find closing '\"' symbol"} {"_entry":"cut"#;
    check("| unpack", &[r#"{"_entry":"cut"#], &[details]);
}

#[test]
fn colours_go_after_filters_before_a_barrier() {
    check("| decolorize", &["\u{1b}[31mred\u{1b}[0m ok"], &["{} red ok"]);
    check(r#"| decolorize |= "[31m""#, &["\u{1b}[31mred"], &["{} red"]);
    check(r#"| decolorize | job="web" |= "[31m""#, &["\u{1b}[31mred"], &[]);
}

#[test]
fn lines_are_rewritten() {
    check(r#"| logfmt | line_format "{{.a}}-{{.nope}}-{{__line__}}""#, &["a=x"], &[r#"{a="x"} x--a=x"#]);
    check(r#"| logfmt | line_format "{{.nope}}""#, &["a=x"], &[r#"{a="x"} "#]);
    let details = r#"template: line:1:2: executing \"line\" at <div 1 0>: error calling div: runtime error: integer divide by zero"#;
    let marked = format!(r#"{{__error__="TemplateFormatErr", __error_details__="{details}", a="x"}} a=x"#);
    check(r#"| logfmt | line_format "{{div 1 0}}""#, &["a=x"], &[&marked]);
    check(r#"| json | line_format "{{.m}}" | logfmt"#, &[r#"{"m":"a=2 b=3","a":"1"}"#], &[r#"{a="1", b="3", m="a=2 b=3"} a=2 b=3"#]);
    check(r#"| line_format "x{{__line__}}" |= "xa""#, &["a", "b"], &["{} xa"]);
    check(
        r#"| json | line_format "{{.__error__}}""#,
        &["bad"],
        &[r#"{__error__="JSONParserErr", __error_details__="Value looks like object, but can't find closing '}' symbol"} "#],
    );
    check(r#"| json | line_format "<{{.__error__}}>" | drop __error__, __error_details__"#, &["bad"], &["{} <JSONParserErr>"]);
}

#[test]
fn labels_are_renamed_and_rendered() {
    check(r#"| logfmt | label_format x=a, y="{{.a}}{{.x}}""#, &["a=1"], &[r#"{x="1", y="1"} a=1"#]);
    check(r#"| logfmt | label_format x="{{.a}}9", y="{{.x}}""#, &["a=1"], &[r#"{a="1", x="19", y=""} a=1"#]);
    check("| logfmt | label_format x=nope", &["a=1"], &[r#"{a="1"} a=1"#]);
    check("| logfmt | label_format job=a", &["a=1"], &[r#"{job="1"} a=1"#]);
    check(r#"| label_format a="z" | json"#, &[r#"{"a":"1"}"#], &[r#"{a="z"} {"a":"1"}"#]);
    check(r#"| label_format a="z" | json a="a""#, &[r#"{"a":"1"}"#], &[r#"{a="1"} {"a":"1"}"#]);
    check(r#"| json | label_format a="y" | a="y""#, &[r#"{"a":"1"}"#], &[]);
    check(r#"| json | label_format a="y" | (a="y" or a="q")"#, &[r#"{"a":"1"}"#], &[r#"{a="y"} {"a":"1"}"#]);
    check("| json | label_format e=__error__", &[r#"{"__error__":"mine"}"#], &[r#"{e="mine"} {"__error__":"mine"}"#]);
    check("| json | label_format e=__error__", &[r#"{"a":"1"}"#], &[r#"{a="1"} {"a":"1"}"#]);
}

#[test]
fn templates_that_do_not_compile_name_their_stage() {
    for (stage, want) in [
        (r#"| line_format "{{.a""#, "invalid line template: template: line:1: unclosed action"),
        (r#"| line_format "{{nofn .a}}""#, "invalid line template: template: line:1: function \"nofn\" not defined"),
        (r#"| label_format a="{{nofn}}""#, "invalid template for label 'a': template: label:1: function \"nofn\" not defined"),
        (r#"| label_format a=b,a="c""#, "multiple label name 'a' not allowed in a single format operation"),
        (r#"| label_format __error__="x""#, "__error__ cannot be formatted"),
    ] {
        let error = plan(&crate::parse(&format!("{{job=\"web\"}} {stage}")).expect("parses"), &params()).expect_err("does not plan");
        assert_eq!(error.to_string(), format!("parse error : stage '{stage}' : {want}"));
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}
