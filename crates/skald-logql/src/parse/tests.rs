use super::*;

mod properties;
mod rows;

const S: &str = "{job=\"web\"}";

/// Puts the selector in place of each word `S`.
fn expand(text: &str) -> String {
    let mut out = String::new();
    let is_word = |c: Option<char>| c.is_some_and(|c| c == '_' || c.is_alphanumeric());
    let mut before = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == 'S' && !is_word(before) && !is_word(chars.peek().copied()) {
            out.push_str(S);
        } else {
            out.push(c);
        }
        before = Some(c);
    }
    out
}

fn outcome(query: &str) -> String {
    parse(query).map_or_else(|err| err.to_string(), |expr| expr.to_string())
}

/// `query` becomes the canonical text `want`, or fails with it.
#[track_caller]
fn check(query: &str, want: &str) {
    let query = expand(query);
    assert_eq!(outcome(&query), expand(want), "{query}");
}

#[test]
fn blanks_and_comments_are_skipped_anywhere() {
    check("\u{feff}S", "S");
    check(" {\tjob /* a\n b */ = # c\r\n\"web\" // d\n}", "S");
    check("S /* open", "parse error at line 1, col 13: comment not terminated");
    check("S\n", "S");
    check("S |\n", "parse error at line 2, col 1: syntax error: unexpected $end");
    check("S |\n\t=", "parse error at line 2, col 2: syntax error: unexpected =");
    check("{job\u{a0}=\"x\"}", "parse error at line 1, col 5: syntax error: unexpected IDENTIFIER, expecting = or =~ or !~ or !=");
    check("{job=\"é\" env", "parse error at line 1, col 10: syntax error: unexpected IDENTIFIER, expecting } or ,");
    check("1 + \0", "parse error at line 1, col 5: invalid character NUL");
}

#[test]
fn strings_are_read_as_go_reads_them() {
    check(r#"S |= "\a\b\f\n\r\t\v\\\"""#, r#"S |= "\a\b\f\n\r\t\v\\\"""#);
    check(r#"S |= "\101\x42\u0043\U00000044\ud800""#, "S |= \"ABCD\u{fffd}\"");
    check(r#"S |= "\'""#, "parse error at line 1, col 16: invalid char escape");
    check(r#"S |= "\477""#, "parse error at line 1, col 16: invalid syntax");
    check(r#"S |= "\48""#, "parse error at line 1, col 16: invalid char escape");
    check(r#"S |= "\x4""#, "parse error at line 1, col 16: invalid char escape");
    check(r#"S |= "\U00110000""#, "parse error at line 1, col 16: invalid syntax");
    check(r#"S |= "\xff""#, "parse error at line 1, col 16: invalid UTF-8 rune");
    check(r#"S |= "\xc3\xa9""#, "S |= \"é\"");
    check("S |= \"a\nb\"", "parse error at line 1, col 16: literal not terminated");
    check("S |= `a\nb\\`", "S |= \"a\\nb\\\\\"");
    check("S |= `a", "parse error at line 1, col 16: literal not terminated");
    check("S |= 'a'", "parse error at line 1, col 16: syntax error: unexpected IDENTIFIER, expecting STRING or ip");
    check("S |= \"\\", "parse error at line 1, col 16: invalid char escape");
}

#[test]
fn numbers_are_read_as_go_reads_them() {
    check(".5 + 5. + 1e3", "1005.5");
    check("- 5", "-5");
    check("+5", "5");
    check("1--1", "2");
    check("0x1p4", "16");
    check("0b12", "parse error at line 1, col 1: invalid digit '2' in binary literal");
    check("1__0", "parse error at line 1, col 1: '_' must separate successive digits");
    check("0x1.8", "parse error at line 1, col 1: hexadecimal mantissa requires a 'p' exponent");
    check("0B", r#"parse error : unable to parse literal as a float: strconv.ParseFloat: parsing "0B": invalid syntax"#);
    check("5foo", "parse error at line 1, col 2: syntax error: unexpected IDENTIFIER");
    check("S | a > -5s", "S | a>-5s");
    check("S | a > -1.5ms", "S | a>-1.5ms");
    check("S | a > 1µs", "S | a>1µs");
    check("S | a > 1KB", "S | a>1.0kB");
    check("S | a > 1.5MiB", "S | a>1.6MB");
    check("rate(S[1m:)", "parse error at line 0, col 17: missing closing ']' in duration");
    check("rate(S[300y])", "parse error at line 0, col 17: duration out of range");
    check("rate(S[0])", "rate(S[0s])");
}

#[test]
fn words_are_read_in_any_case_and_function_names_are_labels_where_no_call_follows() {
    check("S | JSON | LINE_FORMAT `x`", "S | json | line_format \"x\"");
    check("{JSON=\"x\"}", "parse error at line 1, col 2: syntax error: unexpected json, expecting IDENTIFIER or }");
    check("Sum Without (rate) (Bytes_Rate(S[1m] OFFSET 1m))", "sum without (rate)(bytes_rate(S[1m] offset 1m0s))");
    check("S | duration > 1s and bytes = 5", "S | ( duration>1s , bytes==5 )");
    check("S | duration (", "parse error at line 1, col 15: syntax error: unexpected DURATION_CONV");
    check("sum_over_time(S | unwrap duration [1m])", "sum_over_time(S | unwrap duration[1m])");
    check("S | logfmt --Strict", "parse error at line 1, col 24: syntax error: unexpected IDENTIFIER, expecting NUMBER");
}

#[test]
fn label_filters_group_as_written_to_the_right_of_commas_and_blanks() {
    for (written, meant) in [
        ("a=1 or b=1 and c=1", "( a==1 or ( b==1 , c==1 ) )"),
        ("a=1 and b=1 or c=1", "( ( a==1 , b==1 ) or c==1 )"),
        ("a=1, b=1 or c=1", "( a==1 , ( b==1 or c==1 ) )"),
        ("a=1 b=1 or c=1", "( a==1 , ( b==1 or c==1 ) )"),
        ("a=1 or b=1, c=1", "( a==1 or ( b==1 , c==1 ) )"),
        ("a=1 or b=1 c=1", "( a==1 or ( b==1 , c==1 ) )"),
        ("a=1 or b=1, c=1 or d=1", "( a==1 or ( b==1 , ( c==1 or d==1 ) ) )"),
        ("a=1 and b=1 c=1 or d=1", "( a==1 , ( b==1 , ( c==1 or d==1 ) ) )"),
        ("a=1, b=1, c=1", "( a==1 , ( b==1 , c==1 ) )"),
        ("a=1 and b=1 and c=1", "( ( a==1 , b==1 ) , c==1 )"),
        ("a=1 or b=1 or c=1", "( ( a==1 or b==1 ) or c==1 )"),
    ] {
        check(&format!("S | {written}"), &format!("S | {meant}"));
    }
}

#[test]
fn operators_bind_by_rank() {
    let ranks: [&[&str]; 6] = [&["or"], &["and", "unless"], &["==", "!=", "<", "<=", ">", ">="], &["+", "-"], &["*", "/", "%"], &["^"]];
    for (i, loose) in ranks.iter().enumerate() {
        for (a, b) in loose.iter().flat_map(|a| loose.iter().map(move |b| (a, b))) {
            let (left, right) = if *a == "^" { ("(vector(1) ", ")") } else { ("((vector(1) ", "") };
            let rest = if *a == "^" { "(vector(2) " } else { "vector(2)) " };
            let want = format!("{left}{a} {rest}{b} vector(3)){right}").replace("(1)", "(1.000000)");
            let want = want.replace("(2)", "(2.000000)").replace("(3)", "(3.000000)");
            check(&format!("vector(1) {a} vector(2) {b} vector(3)"), &want);
        }
        for tight in ranks[i + 1..].iter().flat_map(|rank| rank.iter()) {
            let (one, two, three) = ("vector(1.000000)", "vector(2.000000)", "vector(3.000000)");
            let a = loose[0];
            check(&format!("vector(1) {a} vector(2) {tight} vector(3)"), &format!("({one} {a} ({two} {tight} {three}))"));
            check(&format!("vector(1) {tight} vector(2) {a} vector(3)"), &format!("(({one} {tight} {two}) {a} {three})"));
        }
    }
    check("rate(S[1m]) ^ 2 ^ 3", "(rate(S[1m]) ^ 8)");
    check("rate(S[1m]) + 1 + 2", "((rate(S[1m]) + 1) + 2)");
    check("rate(S[1m]) > bool 1", "(rate(S[1m]) > bool 1)");
    check("rate(S[1m]) > bool on () group_right rate(S[1m])", "(rate(S[1m]) > bool on () group_right () rate(S[1m]))");
    check(
        "rate(S[1m]) + on(a) group_left (rate(S[1m]))",
        "parse error at line 1, col 43: syntax error: unexpected RATE, expecting IDENTIFIER or )",
    );
}

#[test]
fn ranges_stand_after_the_selector_the_stages_or_a_parenthesis() {
    check("rate(S | json [1m] offset 1h)", "rate(S | json[1m] offset 1h0m0s)");
    check("rate(S[1m] offset 1h | json | unwrap a)", "rate(S | json | unwrap a[1m] offset 1h0m0s)");
    check("rate((S | json | unwrap a)[1m])", "rate(S | json | unwrap a[1m])");
    check("rate((S)[1m] | unwrap a | b=\"c\" | d>1)", "rate(S | unwrap a | b=\"c\" | d>1[1m])");
    check("rate(((S[1m])))", "rate(S[1m])");
    check("rate((S))", "parse error at line 1, col 19: syntax error: unexpected ), expecting RANGE");
    check("rate((S)[1m] | json)", "parse error at line 1, col 26: syntax error: unexpected json, expecting unwrap");
    check("rate((S | unwrap a |= `b`))", "parse error at line 0, col 30: syntax error: unexpected |=, expecting RANGE or ) or |");
    check("rate(S unwrap a [1m])", "parse error at line 1, col 18: syntax error: unexpected unwrap");
    check(
        "avg_over_time(S | unwrap [1m])",
        "parse error at line 0, col 36: syntax error: unexpected RANGE, expecting IDENTIFIER or BYTES_CONV or DURATION_CONV or DURATION_SECONDS_CONV",
    );
    check("rate(S[1m] offset 1.5h)", "rate(S[1m] offset 1h30m0s)");
}

#[test]
fn tokens_that_could_stand_instead_are_named() {
    check("{", "parse error at line 1, col 2: syntax error: unexpected $end, expecting IDENTIFIER or }");
    check("S | regexp", "parse error at line 1, col 21: syntax error: unexpected $end, expecting STRING");
    check("S | label_format", "parse error at line 1, col 27: syntax error: unexpected $end, expecting IDENTIFIER");
    check("S | label_format a", "parse error at line 1, col 29: syntax error: unexpected $end, expecting =");
    check("S | label_format a=1", "parse error at line 1, col 30: syntax error: unexpected NUMBER, expecting IDENTIFIER or STRING");
    check("S | ip(\"1.1.1.1\")", "parse error at line 1, col 15: syntax error: unexpected ip");
    check("S |= ip(1)", "parse error at line 1, col 19: syntax error: unexpected NUMBER, expecting STRING");
    check("sum by (a b) (vector(1))", "parse error at line 1, col 11: syntax error: unexpected IDENTIFIER, expecting , or )");
    check("sum by (a) by (b) (vector(1))", "parse error at line 1, col 12: syntax error: unexpected by, expecting (");
    check("sum(vector(1)) by a", "parse error at line 1, col 19: syntax error: unexpected IDENTIFIER, expecting (");
    check("rate(S[1m] offset)", "parse error at line 1, col 28: syntax error: unexpected ), expecting DURATION");
    check("rate(0.5)", "parse error at line 1, col 9: syntax error: unexpected ), expecting ,");
    check("S | drop a=b", "parse error at line 1, col 22: syntax error: unexpected IDENTIFIER, expecting STRING");
}

#[test]
fn the_first_thing_wrong_is_reported() {
    check("{a=~\"(\"} | ", "parse error : error parsing regexp: missing closing ): `(`");
    check("S | a=~`[`", "parse error : error parsing regexp: missing closing ]: `[`");
    check("S | keep a=~`*`", "parse error : error parsing regexp: missing argument to repetition operator: `*`");
    check("S | regexp `(`", "parse error : invalid regexp parser: error parsing regexp: missing closing ): `(`");
    check("S | pattern `<a> <a>`", "parse error : invalid pattern parser: duplicate capture name (a): invalid expression");
    check("S | pattern `<a><_>`", "parse error : invalid pattern parser: found consecutive capture '<a><_>': invalid expression");
    check("sum(rate(S[1m]), 2)", "parse error at line 1, col 26: syntax error: unexpected ,");
    check("rate(S[1m]) + rate({}[1m])", &outcome("{}"));
    check("1 and S", "parse error : unexpected type for right leg of binary operation (and): *syntax.MatchersExpr");
    check("topk(99999999999999999999, vector(1))", "parse error : invalid parameter topk(99999999999999999999,");
}

#[test]
fn what_is_too_large_is_refused() {
    let long = format!("{S} |= \"{}\"", "a".repeat(TEXT_BYTES_MAX));
    assert_eq!(outcome(&long), format!("parse error : input size too long ({} > 131072)", long.len()));
    let metric = "parse error : query nests too deeply (limit 128)";
    let filter = "parse error : label filter nests too deeply (limit 500)";
    for (text, want) in [
        ("(".repeat(100_000), metric),
        ("sum(".repeat(30_000), metric),
        (format!("rate{}", "(".repeat(100_000)), metric),
        ("1^".repeat(60_000), metric),
        (format!("vector(1){}", "+vector(1)".repeat(10_000)), metric),
        (format!("{S} | {}a=1", "a=1,".repeat(30_000)), filter),
        (format!("{S} | a=1{}", " or a=1".repeat(15_000)), filter),
    ] {
        assert_eq!(outcome(&text), want, "{}…", &text[..20]);
    }
}

#[test]
fn a_query_of_many_dear_patterns_is_refused() {
    let query = |patterns: usize| format!("{S}{}", " |~ `(?i)[\\x00-\\x{ffff}]`".repeat(patterns));
    assert!(parse(&query(100)).is_ok());
    assert_eq!(outcome(&query(101)), "parse error : error parsing regexp: expression too large: `(?i)[\\x00-\\x{ffff}]`");
}

#[test]
fn what_nests_within_the_limits_is_accepted() {
    for text in [
        format!("{}vector(1){}", "(".repeat(127), ")".repeat(127)),
        format!("{}vector(1){}", "sum(".repeat(127), ")".repeat(127)),
        format!("vector(1){}", "+vector(1)".repeat(127)),
        format!("{S} | a=1{}", " or a=1".repeat(499)),
        format!("{S} | a=1{}", ",a=1".repeat(499)),
        format!("{S} | {}a=1{}", "(".repeat(499), ")".repeat(499)),
        format!("{S}{}", " | a=1".repeat(15_000)),
        format!("1{}", "+1".repeat(50_000)),
    ] {
        let expr = parse(&text).unwrap();
        assert!(parse(&expr.to_string()) == Ok(expr), "{}…", &text[..20]);
    }
}

#[test]
fn a_selector_alone_is_read_as_matchers() {
    let outcome = |text: &str, allow_all| {
        let texts = |matchers: Vec<crate::ast::Matcher>| matchers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        parse_matchers(text, allow_all).map_or_else(|err| err.to_string(), texts)
    };
    assert_eq!(outcome("{a=\"b\", c!~\"d\"}", false), "a=\"b\" c!~\"d\"");
    assert_eq!(outcome("{}", true), "");
    assert_eq!(outcome("{}", false), super::tests::outcome("{}"));
    assert_eq!(outcome("{", true), "parse error at line 1, col 2: syntax error: unexpected $end, expecting IDENTIFIER or }");
    assert_eq!(outcome("{a=\"b\"} |= \"x\"", false), "only label matchers are supported");
    assert_eq!(outcome("rate({a=\"b\"}[1m])", false), "only label matchers are supported");
}
