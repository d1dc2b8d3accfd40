use super::*;
use proptest::prelude::*;

/// Pieces that queries are made of, put together without sense.
fn token_soup() -> impl Strategy<Value = String> {
    let pieces = [
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
        "a",
        "app",
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
        "json",
        "logfmt",
        "--strict",
        "regexp",
        "pattern",
        "unpack",
        "line_format",
        "label_format",
        "decolorize",
        "drop",
        "keep",
        "unwrap",
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
        "//",
        "/*",
        "\n",
        "\0",
        "é",
        "\u{a0}",
        "$",
        "{job=\"web\"}",
        "rate({a=\"b\"}[1m])",
    ];
    let blank = prop::sample::select(vec!["", " "]);
    prop::collection::vec((prop::sample::select(pieces.to_vec()), blank), 0..12)
        .prop_map(|pieces| pieces.into_iter().flat_map(|(piece, blank)| [piece, blank]).collect())
}

fn label_filter() -> impl Strategy<Value = String> {
    let predicate = prop::sample::select(vec![
        "a=\"b\"",
        "a!=\"\"",
        "c=~\"x|y\"",
        "c!~`z.*`",
        "d>5",
        "d=-1.5",
        "e<=1h30m",
        "e!=-5s",
        "f==20B",
        "f>1kB",
        "g=ip(\"::1\")",
    ]);
    predicate.prop_map(str::to_owned).prop_recursive(4, 16, 2, |inner| {
        let joint = prop::sample::select(vec![" and ", " or ", ", ", " "]);
        (inner.clone(), joint, inner).prop_map(|(left, joint, right)| format!("({left}){joint}({right})"))
    })
}

fn stage() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(vec![
        "|= \"a\"",
        "|= \"a\\n\" or ip(\"1.2.3.4\")",
        "!= \"a\" or \"b\"",
        "|~ `x+`",
        "!~ \"y\"",
        "|> \"<_>z\"",
        "!> \"z\"",
        "| json",
        "| json a, b=\"c.d\"",
        "| logfmt --keep-empty",
        "| logfmt --strict a=\"b\", c",
        "| regexp \"(?P<a>.)\"",
        "| pattern \"<a> <_>\"",
        "| unpack",
        "| line_format \"{{.a}}\"",
        "| label_format a=b, c=\"{{.d}}\"",
        "| decolorize",
        "| drop a, b=\"c\"",
        "| keep a, b!~`c`",
    ]);
    prop_oneof![3 => fixed.prop_map(str::to_owned), 1 => label_filter().prop_map(|filter| format!("| {filter}"))]
}

fn log_query() -> impl Strategy<Value = String> {
    let selector = prop::sample::select(vec!["{a=\"b\"}", "{a=~\".+\", c!=\"d\"}", "{a=\"é\\\"\", _b!~\"x\"}"]);
    (selector, prop::collection::vec(stage(), 0..4)).prop_map(|(selector, stages)| format!("{selector} {}", stages.join(" ")))
}

fn metric_query() -> impl Strategy<Value = String> {
    let grouping = || prop::sample::select(vec!["", " by (a, b)", " without (c)", " by ()", " without ()"]);
    let count = (log_query(), prop::sample::select(vec!["[5m]", "[90s] offset 1h", "[1w] offset -5m"]))
        .prop_map(|(log, range)| format!("count_over_time({log}{range})"));
    let unwrapped = (log_query(), prop::sample::select(vec!["a", "bytes(a)", "duration(a)"]), label_filter(), grouping())
        .prop_map(|(log, label, filter, grouping)| format!("quantile_over_time(0.99,{log} | unwrap {label} | {filter}[1h]){grouping}"));
    let leaf = prop_oneof![count, unwrapped, Just("vector(2)".to_owned())];
    leaf.prop_recursive(3, 12, 2, move |inner| {
        let joint = prop::sample::select(vec![
            "+",
            "-",
            "*",
            "/",
            "%",
            "^",
            "==",
            "> bool",
            "<=",
            "and",
            "or on(a)",
            "unless ignoring(b, c)",
            "/ on() group_left(d)",
            "* ignoring(a) group_right ()",
        ]);
        prop_oneof![
            (inner.clone(), joint, inner.clone()).prop_map(|(left, joint, right)| format!("({left}) {joint} ({right})")),
            (inner.clone(), grouping()).prop_map(|(inner, grouping)| format!("sum({inner}){grouping}")),
            (inner.clone(), grouping()).prop_map(|(inner, grouping)| format!("topk{grouping} (5, {inner})")),
            inner.clone().prop_map(|inner| format!("sort_desc({inner} * 2.5e-7 + 1e9)")),
            inner.prop_map(|inner| format!("label_replace({inner}, \"a\", \"$1\", \"b\", \"(.*)\")")),
        ]
    })
}

fn config() -> ProptestConfig {
    skald_testkit::property(300)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_text_breaks_the_parser(text in token_soup(), any in ".{0,30}") {
        for text in [&text, &any] {
            if let Ok(expr) = parse(text) {
                let _ = expr.to_string();
            }
        }
    }

    #[test]
    fn no_part_of_a_query_breaks_the_parser(query in metric_query(), from in 0usize..40, len in 0usize..200) {
        let part: String = query.chars().skip(from).take(len).collect();
        if let Ok(expr) = parse(&part) {
            let _ = expr.to_string();
        }
        let cut: String = query.chars().enumerate().filter(|(at, _)| *at != from && *at != len).map(|(_, c)| c).collect();
        if let Ok(expr) = parse(&cut) {
            let _ = crate::pretty(&expr);
        }
    }

    #[test]
    fn what_is_printed_is_read_back_the_same(query in prop_oneof![log_query(), metric_query()]) {
        let expr = parse(&query).map_err(|err| TestCaseError::fail(format!("{err} in {query}")))?;
        let printed = expr.to_string();
        let again = parse(&printed);
        prop_assert_eq!(again.as_ref(), Ok(&expr), "{} was printed as {}", query, printed);
        let pretty = crate::pretty(&expr);
        let again = parse(&pretty);
        prop_assert_eq!(again.as_ref(), Ok(&expr), "{} was laid out as {}", query, pretty);
    }
}
