//! Queries and templates.

use crate::Target;
use crate::lines::ask;
use skald_logql::plan::{Params, Rewrites, plan};
use skald_logql::{parse, pretty};
use skald_model::Timestamp;

pub(crate) const QUERY: Target = Target {
    name: "logql",
    about: "a query; what was parsed is printed, laid out, and parsed to the same, and planned",
    seeds: || QUERIES.iter().map(|text| text.as_bytes().to_vec()).collect(),
    tokens: WORDS,
    run: |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let Ok(expr) = parse(text) else { return };
        for printed in [expr.to_string(), pretty(&expr)] {
            match parse(&printed) {
                // Numbers of `vector` are printed with six decimals, as Loki does.
                Ok(again) => assert!(again == expr || text.to_ascii_lowercase().contains("vector"), "{text} was printed as {printed}"),
                // Names that are not ASCII are printed in quotes, as Loki does, and are not read so.
                Err(error) => assert!(!text.is_ascii(), "{text} was printed as {printed}: {error}"),
            }
        }
        if let Err(error) = plan(&expr, &Params::over(Timestamp(0), Timestamp(1_000_000_000))) {
            drop((error.kind(), error.to_string()));
        }
    },
};

pub(crate) const TEMPLATE: Target = Target {
    name: "template",
    about: "the template of line_format and label_format, and what it makes of a line",
    seeds: || TEMPLATES.iter().map(|text| text.as_bytes().to_vec()).collect(),
    tokens: &[
        "{{",
        "}}",
        "{{-",
        "-}}",
        "|",
        "(",
        ")",
        ".a",
        ".b",
        "__line__",
        "\"x\"",
        "`y`",
        "$x",
        ":=",
        "if",
        "else",
        "end",
        "range",
        "with",
        "define",
        "template",
        "printf",
        "%5.2f",
        "%q",
        "trunc",
        "substr",
        "indent",
        "repeat",
        "alignLeft",
        "regexReplaceAll",
        "date",
        "toDate",
        "fromJson",
        "add",
        "div",
        "mod",
        "index",
        "1",
        "-1",
        "0",
        "/*",
        "*/",
    ],
    run: |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let quoted = serde_json::Value::from(text).to_string();
        let line = br#"{"a":"x y","b":"12.5","c":"2026-01-15T00:00:00Z"}"#;
        for stage in [format!("| json | line_format {quoted}"), format!("| json | label_format z={quoted}")] {
            let _ = ask(&stage, line, Rewrites::ALL);
        }
    },
};

const QUERIES: &[&str] = &[
    "/* one */ {a=\"b\"} // two\n|= `c` # three\n/* four */",
    r#"{app="a", pod=~"p-.+", c!="d", e!~`x|y`} |= "err" != `b` or "c" |~ "x+" | json | level="error" and (status>=500 or d<1h30m) | line_format "{{.a}}""#,
    r#"sum by (app, level) (rate({app="a"} | logfmt --strict a="b", c | unwrap duration(d) | __error__="" [5m] offset 1h)) > bool 2"#,
    r#"topk(5, quantile_over_time(0.99, {a="b"} | pattern "<a> <_>" | unwrap bytes(a) [1h]) by (x)) / on(a) group_left(b) vector(2)"#,
    r#"label_replace(count_over_time({a="b"} | regexp "(?P<z>.)" | decolorize | drop a, b="c" | keep d [1m]), "a", "$1", "b", "(.*)")"#,
    r#"{a="b"} |> "<_>x<_>" | unpack | label_format a=b, c="{{.d}}" | a=ip("10.0.0.0/8") # said"#,
    r#"sort_desc(sum without () (bytes_rate({a="b"}[1w2d])) ^ -2.5e-7 unless absent_over_time({x="y"} [30s]) or 1e9 % 0x1f)"#,
    "avg_over_time({a=\"b\"} | logfmt | unwrap a [90s]) by () == ignoring(b, c) group_right () stddev_over_time({a=\"b\"} | unwrap a [1m])",
];

const TEMPLATES: &[&str] = &[
    "{{.a}} {{ __line__ | trunc -3 | title }}{{/* said */}}",
    r#"{{ if eq .a "x y" }}{{ printf "%5.2f %q %v" (float64 .b) .a 3 }}{{ else if .zz }}no{{ else }}{{ .c }}{{ end }}"#,
    r#"{{ range $i, $x := fromJson __line__ }}{{ $i }}={{ $x }}{{ end }}{{ with .a }}{{ . | upper | repeat 3 }}{{ end }}"#,
    r#"{{ regexReplaceAll "(\\w+) (\\w+)" .a "$2 $1" }}{{ toDate "2006-01-02T15:04:05Z07:00" .c | date "15:04" }}{{ substr 1 3 .a | alignLeft 10 | indent 2 }}"#,
    r#"{{ $y := add 1 2 }}{{ div $y 2 | mod 7 }}{{ .a | replace "x" "y" | b64enc | b64dec | urlencode }}{{ sha256sum .a }}"#,
];

const WORDS: &[&str] = &[
    "{",
    "}",
    "(",
    ")",
    "[5m]",
    "[",
    "]",
    "|",
    "|=",
    "|~",
    "|>",
    "!=",
    "!~",
    "!>",
    "=~",
    "=",
    "==",
    ">",
    "<=",
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    ",",
    ".",
    "\"x\"",
    "\"(\"",
    "`y`",
    "\"",
    "'c'",
    "5",
    "0.5",
    "1h",
    "1KiB",
    "-0",
    "0x",
    "1e",
    "| json",
    "| logfmt",
    "--strict",
    "| regexp",
    "| pattern",
    "| unpack",
    "| line_format",
    "| label_format",
    "| decolorize",
    "| drop",
    "| keep",
    "| unwrap",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "bool",
    "offset",
    "and",
    "or",
    "unless",
    "rate",
    "sum",
    "topk",
    "vector",
    "label_replace",
    "quantile_over_time",
    "ip",
    "duration",
    "#",
    "/*",
    "*/",
    "//",
    "\n",
    "\0",
    "\u{e9}",
    "\u{a0}",
    "$",
    "{job=\"web\"}",
    "rate({a=\"b\"}[1m])",
    "sum(",
    "((",
    "a{100}",
    "(a+)+",
];
