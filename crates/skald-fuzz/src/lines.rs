//! Lines, and the stages that take them apart.

use crate::Target;
use skald_logql::exec::{Batch, Selection};
use skald_logql::plan::{Params, Plan, Rewrites, plan};
use skald_model::{Labels, RowsBuilder, Timestamp};

pub(crate) const LINE: Target = Target {
    name: "line",
    about: "a number of stages and a line; a plan that reads less gives the same answer",
    seeds: || {
        let lines = LINES.iter().map(|line| line.as_bytes());
        lines.flat_map(|line| (0..STAGES.len() as u8).map(move |stage| [&[stage], line].concat())).collect()
    },
    tokens: &[
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        "\\u00",
        "\\ud83d",
        "\"a\":",
        "\"_entry\":\"x\"",
        "a=",
        "a=\"",
        "b=1",
        "=",
        " ",
        "\t",
        "null",
        "tru",
        "true",
        "1e5",
        "-",
        "\u{e9}",
        "\u{fffd}",
        "\x1b[31m",
        "\x1b[",
        "\0",
        "10.0.0.1",
        "::1",
        "GET",
        "/x?y",
        "'",
        "{\"a\":",
        "[[",
    ],
    run: |bytes| {
        let Some((stage, line)) = bytes.split_first() else { return };
        let stages = STAGES[*stage as usize % STAGES.len()];
        let found = ask(stages, line, Rewrites::ALL);
        assert!(found.is_some(), "{stages} is a query");
        assert_eq!(found, ask(stages, line, Rewrites::NONE), "{stages}");
    },
};

pub(crate) const PATTERN: Target = Target {
    name: "pattern",
    about: "a pattern or regular expression, a line feed, and the line that it is held against",
    seeds: || {
        let pairs = [
            ("<a> - <_> [<b>] \"<c>\"", "10.0.0.1 - u [now] \"GET /\""),
            (r"(?P<x>\d+)-(?i)(?P<y>[a-z]{2,5})$", "77-AbC"),
            (r"^(a|b)*[^x\pL]{1,9}?\bz", "abab11 z"),
            ("a.b[0].c[\"d e\"]", r#"{"a":{"b":[{"c":{"d e":1}}]}}"#),
        ];
        pairs.map(|(pattern, line)| format!("{pattern}\n{line}").into_bytes()).into()
    },
    tokens: &[
        "<a>",
        "<_>",
        "<",
        ">",
        "(",
        ")",
        "[",
        "]",
        "*",
        "+",
        "?",
        "{2}",
        "{1000}",
        "|",
        "^",
        "$",
        ".",
        "\\d",
        "\\pL",
        "\\b",
        "(?i)",
        "(?P<x>",
        "[^",
        "-",
        "\n",
        "\u{e9}",
        "\\Q",
        "\\E",
        "[[:alpha:]]",
        "(a*)*",
    ],
    run: |bytes| {
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return };
        let Ok(pattern) = std::str::from_utf8(&bytes[..end]) else { return };
        let quoted = serde_json::Value::from(pattern).to_string();
        for stage in ["| pattern ", "| regexp ", "|~ ", "!~ ", "|> ", "| json x=", "| logfmt x=", "| logfmt | a=~", "| drop a!~", "|= ip"] {
            let close = if stage.ends_with("ip") { format!("({quoted})") } else { quoted.clone() };
            let _ = ask(&format!("{stage}{close}"), &bytes[end + 1..], Rewrites::ALL);
        }
    },
};

const LINES: [&str; 5] = [
    r#"{"a":"x","b":{"a":[1,{"c":null}],"b":-1.5e9},"_entry":"inner a=b","ip":"10.0.0.1","é":"\u00e9\n\"\ud83d\ude00"}"#,
    r#"a=x b="y \"z\"" d=1.5s e=5KiB c= f ip=::1 msg="request served""#,
    "\x1b[31m10.0.0.1 - GET /x?y HTTP/1.1\" 200 17\x1b[0m",
    r#"["a", {"b": "c"}]"#,
    "",
];

const STAGES: [&str; 18] = [
    "| json",
    "| json a, b=\"b.a\", c=\"[0]\", d=\"_entry\", e=\"b.a[1].c\"",
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
    "| logfmt | a>1 | b<5KB | d>1s",
    "| json | line_format \"{{.a}}{{__line__}}{{.b_b | trunc -3 | title}}\"",
    "| json | label_format x=a, y=\"{{.b_b}}\" | keep x, y, a=~\".*\"",
    "| json | drop a, b_b!=\"\" | a=\"\"",
];

/// What stages make of a line: labels and lines; nothing when the stages are no query.
pub(crate) fn ask(stages: &str, line: &[u8], rewrites: Rewrites) -> Option<Vec<(String, Vec<u8>)>> {
    let expr = skald_logql::parse(&format!("{{job=\"web\"}} {stages}")).ok()?;
    let params = Params { rewrites, ..Params::over(Timestamp(0), Timestamp(1_000)) };
    let Ok(Plan::Log(plan)) = plan(&expr, &params) else { return None };
    let mut builder = RowsBuilder::default();
    builder.push(Timestamp(1), line);
    let (labels, rows) = (Labels::from_pairs([("job", "web")]).expect("one name"), builder.finish());
    let mut collector = plan.collector();
    collector.add_batch(&Batch::new(&labels, &rows), &Selection::All, (0, 0)).ok()?;
    let streams = collector.finish().streams();
    Some(streams.into_iter().flat_map(|s| s.entries.into_iter().map(move |entry| (s.labels.to_string(), entry.line))).collect())
}
