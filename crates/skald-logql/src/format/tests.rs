use crate::ast::{LabelFilter, Matcher, Stage};
use crate::ast::{LineFilter, LineOp, LineOperand, MatchOp};

#[test]
fn a_pattern_that_is_compiled_is_printed_raw_unless_it_holds_a_backquote() {
    let filter = |op, value: &str| LabelFilter::Text(Matcher { name: "c".to_owned(), op, value: value.to_owned() }).to_string();
    for (op, value, want) in [
        (MatchOp::Regex, "z|w", "c=~`z|w`"),
        (MatchOp::Regex, "a`z|w", "c=~\"a`z|w\""),
        (MatchOp::Regex, "x.*", "c=~\"x.*\""),
        (MatchOp::NotRegex, "y+", "c!~\"y+\""),
        (MatchOp::Equal, "z|w", "c=\"z|w\""),
    ] {
        assert_eq!(filter(op, value), want);
    }
}

#[test]
fn one_stage_prints_as_it_stands_in_a_query() {
    let operands = vec![LineOperand::Text("a\"b".to_owned()), LineOperand::Ip("::1".to_owned())];
    assert_eq!(Stage::LineFilter(LineFilter { op: LineOp::Contains, operands }).to_string(), r#"|= "a\"b" or ip("::1")"#);
}

#[track_caller]
fn check_pretty(query: &str, want: &[&str]) {
    let expr = crate::parse(query).unwrap();
    let got = crate::pretty(&expr);
    assert_eq!(got, want.join("\n"), "{query}");
    assert!(crate::parse(&got) == Ok(expr), "{got} means another query");
}

#[test]
fn short_queries_stay_on_one_line() {
    check_pretty("{a=`b`} |~ `c\\d` != \"e\" or \"f\"", &[r#"{a="b"} |~ "c\\d" != "e" != "f""#]);
    check_pretty("sum(rate({a=\"b\"}[5m] offset 90s)) by (c, d)", &[r#"sum by (c,d)(rate({a="b"}[5m] offset 1m30s))"#]);
}

#[test]
fn long_queries_are_broken_where_they_nest() {
    let long = "a text that makes the line too long to stand alone";
    check_pretty(
        &format!("{{a=\"b\"}} |= \"{long}\" != \"c\" | json | decolorize | line_format \"{long}\""),
        &["{a=\"b\"}", &format!("  |= \"{long}\" != \"c\""), "  | json", "| decolorize", &format!("  | line_format \"{long}\"")],
    );
    let rate = format!("rate({{a=\"b\"}} |= \"{long}\" | json | c=\"{long}\" [5m])");
    check_pretty(
        &format!("sum({rate}) by (c, d) / on (c, d) group_left (e) topk without (c) (3, rate({{a=\"b\"}}[1h]))"),
        &[
            "  sum by (c, d)(",
            "    rate(",
            "      {a=\"b\"}",
            &format!("        |= \"{long}\""),
            "        | json",
            &format!("        | c=\"{long}\" [5m]"),
            "    )",
            "  )",
            "/ on (c, d) group_left (e)",
            "  topk without (c)(3,rate({a=\"b\"}[1h]))",
        ],
    );
    check_pretty(
        &format!("quantile_over_time(0.9, {{a=\"b\"}} |= \"{long}\" | unwrap duration(c) | d=\"{long}\" [90s] offset 90m) by (a, b)"),
        &[
            "quantile_over_time(",
            "  0.9,",
            &format!("  {{a=\"b\"}} |= \"{long}\""),
            "    | unwrap duration(c)",
            &format!("    | d=\"{long}\" [1m30s] offset 1h30m"),
            ") by (a, b)",
        ],
    );
    check_pretty(
        &format!("label_replace(rate({{a=\"b\"}}[5m]), \"c\", \"$1\", \"d\", \"{long}{long}\")"),
        &["label_replace(", "  rate({a=\"b\"}[5m]),", "  \"c\",", "  \"$1\",", "  \"d\",", &format!("  \"{long}{long}\""), ")"],
    );
}

#[test]
fn sides_of_an_operator_keep_parentheses_only_where_needed() {
    let left = format!("rate({{a=\"{}\"}}[5m])", "b".repeat(60));
    check_pretty(&format!("{left} / {left} * 100"), &[&format!("    {left}"), "  /", &format!("    {left}"), "*", "  100"]);
    check_pretty(
        &format!("({left} + {left}) * 100"),
        &["  (", &format!("      {left}"), "    +", &format!("      {left}"), "  )", "*", "  100"],
    );
}
