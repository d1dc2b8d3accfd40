//! Queries as people write them, and what becomes of each: its canonical text or its error. `S` stands for a selector.

use super::check;

const E_MATCH: &str = "parse error : queries require at least one regexp or equality matcher that does not have an empty-compatible \
                       value. For instance, app=~\".*\" does not meet this requirement, but app=~\".+\" will";

#[test]
fn selectors() {
    check("", "parse error : syntax error: unexpected $end");
    check("   ", "parse error at line 1, col 4: syntax error: unexpected $end");
    check("{}", E_MATCH);
    check(r#"{job="web"}"#, r#"{job="web"}"#);
    check("{job=`web`}", "S");
    check("{job='web'}", "parse error at line 1, col 6: invalid char literal");
    check(r#"{job="web",}"#, "parse error at line 1, col 12: syntax error: unexpected }, expecting IDENTIFIER");
    check(r#"{,job="web"}"#, "parse error at line 1, col 2: syntax error: unexpected ,, expecting IDENTIFIER or }");
    check(r#"{job="web""#, "parse error at line 1, col 11: syntax error: unexpected $end, expecting } or ,");
    check(r#"{job="web" env="x"}"#, "parse error at line 1, col 12: syntax error: unexpected IDENTIFIER, expecting } or ,");
    check(r#"{job=="web"}"#, "parse error at line 0, col 5: syntax error: unexpected ==, expecting = or =~ or !~ or !=");
    check("{job=web}", "parse error at line 1, col 6: syntax error: unexpected IDENTIFIER, expecting STRING");
    check(r#"{1job="web"}"#, "parse error at line 1, col 2: syntax error: unexpected NUMBER, expecting IDENTIFIER or }");
    check(r#"{job.name="web"}"#, "parse error at line 1, col 5: syntax error: unexpected ., expecting = or =~ or !~ or !=");
    check(r#"{"job"="web"}"#, "parse error at line 1, col 2: syntax error: unexpected STRING, expecting IDENTIFIER or }");
    check(r#"{été="web"}"#, r#"{"été"="web"}"#);
    check(r#"{job=""}"#, E_MATCH);
    check(r#"{job!="web"}"#, E_MATCH);
    check(r#"{job=~".*"}"#, E_MATCH);
    check(r#"{job=~".+"}"#, r#"{job=~".+"}"#);
    check(r#"{job=~"web|"}"#, E_MATCH);
    check(r#"{job!~"web"}"#, E_MATCH);
    check(r#"{job!~".*"}"#, r#"{job!~".*"}"#);
    check(r#"{job=~"a.*", env=""}"#, r#"{job=~"a.*", env=""}"#);
    check(r#"{job=~"("}"#, "parse error : error parsing regexp: missing closing ): `(`");
    check(r#"{job=~"(?=x)"}"#, "parse error : error parsing regexp: invalid or unsupported Perl syntax: `(?=`");
    check(r#"{by="x"}"#, "parse error at line 1, col 2: syntax error: unexpected by, expecting IDENTIFIER or }");
    check(r#"{sum="x"}"#, r#"{sum="x"}"#);
    check(r#"{json="x"}"#, "parse error at line 1, col 2: syntax error: unexpected json, expecting IDENTIFIER or }");
    check(r#"{ip="x"}"#, r#"{ip="x"}"#);
    check(r#"{offset="x"}"#, "parse error at line 1, col 2: syntax error: unexpected offset, expecting IDENTIFIER or }");
    check(r#"{sum by="x"}"#, "parse error at line 1, col 6: syntax error: unexpected by, expecting = or =~ or !~ or !=");
    check(r#"({job="web"})"#, "S");
    check(r#"({job="web"}) |= "a""#, "parse error at line 0, col 15: syntax error: unexpected |=");
    check(r#"{job="web"})"#, "parse error at line 1, col 12: syntax error: unexpected )");
    check(r#"{job="web"};"#, "parse error at line 1, col 12: syntax error: unexpected IDENTIFIER");
    check(r#"{job="web"} // x"#, "S");
    check("# only comment", "parse error at line 1, col 15: syntax error: unexpected $end");
}

#[test]
fn line_filters() {
    check(r#"S |= "a" or "b""#, r#"S |= "a" or "b""#);
    check(r#"S != "a" or "b""#, r#"S != "a" != "b""#);
    check(r#"S |= "a" |= "b" or "c" != "d""#, r#"S |= "a" |= "b" or "c" != "d""#);
    check(r#"S |= ip("10.0.0.1") or "b""#, r#"S |= ip("10.0.0.1") or "b""#);
    check(r#"S |~ ip("10.0.0.1")"#, r#"S |~ ip("10.0.0.1")"#);
    check(r#"S |= ip("nope")"#, r#"S |= ip("nope")"#);
    check("S |= a", "parse error at line 1, col 16: syntax error: unexpected IDENTIFIER, expecting STRING or ip");
    check(r#"S |= "a" "b""#, "parse error at line 1, col 20: syntax error: unexpected STRING");
    check(r#"S or "b""#, "parse error at line 1, col 16: syntax error: unexpected STRING");
    check(r#"S |~ "(""#, r#"S |~ "(""#);
    check(r#"S |= "x" |~ "(" | json"#, r#"S |= "x" |~ "(" | json"#);
    check(r#"S |> "<a>""#, r#"S |> "<a>""#);
    check(r#"S |> "<_><_>""#, r#"S |> "<_><_>""#);
    check(r#"S |~ "\d""#, "parse error at line 1, col 16: invalid char escape");
    check(r#"S |~ "\\d""#, r#"S |~ "\\d""#);
    check(r#"S |= "abc"#, "parse error at line 1, col 16: literal not terminated");
    check("S |= 5", "parse error at line 1, col 16: syntax error: unexpected NUMBER, expecting STRING or ip");
    check(r#"S = "a""#, "parse error at line 1, col 13: syntax error: unexpected =");
}

#[test]
fn label_filters() {
    check(r#"S | a="b" or c="d" and e="f""#, r#"S | ( a="b" or ( c="d" , e="f" ) )"#);
    check(r#"S | a="b" and c="d" or e="f""#, r#"S | ( ( a="b" , c="d" ) or e="f" )"#);
    check(r#"S | a="b", c="d" or e="f""#, r#"S | ( a="b" , ( c="d" or e="f" ) )"#);
    check(r#"S | a="b" c="d" e="f""#, r#"S | ( a="b" , ( c="d" , e="f" ) )"#);
    check(r#"S | (a="b" or c="d") and e="f""#, r#"S | ( ( a="b" or c="d" ) , e="f" )"#);
    check("S | a==+2", "S | a==2");
    check("S | a=~2", "parse error at line 1, col 18: syntax error: unexpected NUMBER, expecting STRING");
    check(r#"S | a>"x""#, "parse error at line 1, col 17: syntax error: unexpected STRING");
    check("S | a>1h30m", "S | a>1h30m0s");
    check("S | a>1.5h", "S | a>1h30m0s");
    check("S | a>1d12h", "S | a>36h0m0s");
    check("S | a>1.5d", "parse error at line 1, col 21: syntax error: unexpected $end");
    check("S | a>-1d", "parse error at line 0, col 18: syntax error: unexpected DURATION, expecting NUMBER");
    check("S | a = -0", "S | a==0s");
    check("S | a>1KiB", "S | a>1.0kB");
    check("S | a>1kb", "parse error at line 1, col 20: syntax error: unexpected $end");
    check("S | a>1EB", "parse error at line 1, col 17: exponent has no digits");
    check("S | a>123456789B", "S | a>124MB");
    check("S | a > 0x10", r#"parse error : unable to parse literal as a float: strconv.ParseFloat: parsing "0x10": invalid syntax"#);
    check("S | a > 010", "S | a>10");
    check("S | a > 08", "parse error at line 1, col 19: invalid digit '8' in octal literal");
    check("S | a > 1_000", "S | a>1000");
    check("S | a > Inf", "parse error at line 1, col 19: syntax error: unexpected IDENTIFIER");
    check(r#"S | a=~"z|w" | b=~"x.*" | c!~"y+""#, r#"S | a=~`z|w` | b=~"x.*" | c!~"y+""#);
    check(r#"S | addr=ip("nope")"#, r#"S | addr=ip("nope")"#);
    check(r#"S | addr>ip("::1")"#, "parse error at line 1, col 20: syntax error: unexpected ip");
    check("S | a", "parse error at line 1, col 16: syntax error: unexpected $end");
    check(r#"S | a="b" and"#, "parse error at line 1, col 24: syntax error: unexpected $end, expecting IDENTIFIER or (");
    check(r#"S | (a="b""#, "parse error at line 1, col 21: syntax error: unexpected $end");
    check("S | json || logfmt", "parse error at line 1, col 21: syntax error: unexpected |");
}

#[test]
fn parsers_and_formats() {
    check(r#"S | json a, b="x[0].y""#, r#"S | json a="a",b="x[0].y""#);
    check(r#"S | json a="[""#, r#"S | json a="[""#);
    check(r#"S | json a="x..y""#, r#"S | json a="x..y""#);
    check("S | json a=b", "parse error at line 1, col 22: syntax error: unexpected IDENTIFIER, expecting STRING");
    check(r#"S | json a="x","#, "parse error at line 1, col 26: syntax error: unexpected $end, expecting IDENTIFIER");
    check("S | logfmt --keep-empty --strict a", r#"S | logfmt --strict --keep-empty a="a""#);
    check("S | logfmt a --strict", "parse error at line 0, col 24: syntax error: unexpected FUNCTION_FLAG");
    check("S | logfmt --foo", "parse error at line 1, col 24: syntax error: unexpected IDENTIFIER, expecting NUMBER");
    check(r#"S | logfmt a="x.y""#, r#"S | logfmt a="x.y""#);
    check(r#"S | regexp "abc""#, "parse error : invalid regexp parser: at least one named capture must be supplied");
    check(r#"S | regexp "(?P<a>.)(?P<a>.)""#, "parse error : invalid regexp parser: duplicate extracted label name 'a'");
    check(r#"S | pattern "<a><b>""#, "parse error : invalid pattern parser: found consecutive capture '<a><b>': invalid expression");
    check(r#"S | pattern "<_>""#, "parse error : invalid pattern parser: at least one capture is required");
    check(
        r#"S | pattern """#,
        "parse error : invalid pattern parser: parse error at line 1, col 1: syntax error: unexpected $end, expecting IDENTIFIER or LITERAL",
    );
    check(r#"S | line_format "{{.a""#, r#"S | line_format "{{.a""#);
    check(r#"S | line_format "{{nofn .a}}""#, r#"S | line_format "{{nofn .a}}""#);
    check(r#"S | label_format a=b,c="d""#, r#"S | label_format a=b,c="d""#);
    check(r#"S | label_format a=b,a="c""#, r#"S | label_format a=b,a="c""#);
    check(r#"S | label_format __error__="x""#, r#"S | label_format __error__="x""#);
    check("S | label_format a=b,", "parse error at line 1, col 32: syntax error: unexpected $end, expecting IDENTIFIER");
    check(r#"S | drop a, b="c", d=~"e.*""#, r#"S | drop a,b="c",d=~"e.*""#);
    check("S | keep a>1", "parse error : unexpected type for left leg of binary operation (>): *syntax.PipelineExpr");
    check("S | distinct a", "parse error at line 1, col 24: syntax error: unexpected IDENTIFIER");
    check("S | unwrap a", "parse error at line 1, col 15: syntax error: unexpected unwrap");
}

#[test]
fn ranges() {
    check(r#"rate(S[1m] |= "a")"#, r#"rate(S |= "a"[1m])"#);
    check(r#"rate((S |= "a")[1m])"#, r#"rate(S |= "a"[1m])"#);
    check("rate(S[90s] offset 90m)", "rate(S[1m30s] offset 1h30m0s)");
    check("rate(S[1m] offset -5m)", "rate(S[1m] offset -5m0s)");
    check("rate(S[1m] offset -1d)", "parse error at line 1, col 29: syntax error: unexpected -, expecting DURATION");
    check("rate(S[1m]) offset 5m", "parse error at line 1, col 23: syntax error: unexpected offset");
    check("rate(S[ 1m ])", r#"parse error at line 0, col 17: not a valid duration string: " 1m ""#);
    check("rate(S[])", "parse error at line 0, col 17: empty duration string");
    check("rate(S[5])", r#"parse error at line 0, col 17: not a valid duration string: "5""#);
    check("rate(S[1m:10s])", r#"parse error at line 0, col 17: unknown unit "m:" in duration "1m:10s""#);
    check("rate(S[1m] @ 100)", "parse error at line 1, col 22: syntax error: unexpected IDENTIFIER, expecting )");
    check("rate(S[36h])", "rate(S[1d12h])");
    check("rate(S)", "parse error at line 1, col 17: syntax error: unexpected )");
    check("S[1m]", "parse error at line 0, col 12: syntax error: unexpected RANGE");
    check("rate(rate(S[1m])[1m])", "parse error at line 1, col 6: syntax error: unexpected RATE, expecting NUMBER or { or (");
    check(
        r#"sum_over_time(S | json | unwrap duration(a) | __error__="" [1m])"#,
        r#"sum_over_time(S | json | unwrap duration(a) | __error__=""[1m])"#,
    );
    check(
        "sum_over_time(S | json | unwrap a | logfmt [1m])",
        "parse error at line 1, col 47: syntax error: unexpected logfmt, expecting IDENTIFIER or (",
    );
    check(
        r#"sum_over_time(S | json | unwrap a |= "x" [1m])"#,
        "parse error at line 0, col 45: syntax error: unexpected |=, expecting RANGE or |",
    );
    check("sum_over_time(S [1m])", "parse error : invalid aggregation sum_over_time without unwrap");
    check("sum_over_time(S | unwrap a [1m]) by (x)", "parse error : grouping not allowed for sum_over_time aggregation");
    check("count_over_time(S | unwrap a [1m])", "parse error : invalid aggregation count_over_time with unwrap");
    check("rate_counter(S[1m])", "parse error : invalid aggregation rate_counter without unwrap");
    check("min_over_time(S|unwrap a[1m]) by ()", "min_over_time(S | unwrap a[1m]) by ()");
    check("min_over_time by (x) (S|unwrap a[1m])", "parse error at line 1, col 15: syntax error: unexpected by, expecting (");
    check("quantile_over_time(.990,S|unwrap a[1m]) by (x)", "quantile_over_time(0.99,S | unwrap a[1m]) by (x)");
    check("quantile_over_time(S|unwrap a[1m])", "parse error : parameter required for operation quantile_over_time");
    check(
        "quantile_over_time(-0.5,S|unwrap a[1m])",
        "parse error at line 1, col 20: syntax error: unexpected -, expecting NUMBER or { or (",
    );
    check("rate(0.5,S[1m])", "parse error : parameter 0.5 not supported for operation rate");
    check("absent_over_time(S[1m]) by (x)", "parse error : grouping not allowed for absent_over_time aggregation");
    check("foo(S[1m])", "parse error at line 1, col 1: syntax error: unexpected IDENTIFIER");
    check("count_over_time(S[1m]", "parse error at line 1, col 32: syntax error: unexpected $end, expecting )");
    check("rate({}[1m])", E_MATCH);
    check("variants(count_over_time(S[1m])) of (S[1m])", "parse error at line 1, col 1: syntax error: unexpected IDENTIFIER");
}

#[test]
fn vector_functions() {
    check("SUM(RATE(S[1m])) BY (a)", "sum by (a)(rate(S[1m]))");
    check("sum by (a,) (rate(S[1m]))", "parse error at line 1, col 11: syntax error: unexpected ), expecting IDENTIFIER");
    check("sum by a (rate(S[1m]))", "parse error at line 1, col 1: syntax error: unexpected IDENTIFIER");
    check("sum by () (rate(S[1m]))", "sum(rate(S[1m]))");
    check("sum without () (rate(S[1m]))", "sum without ()(rate(S[1m]))");
    check("sum(S)", "parse error at line 1, col 16: syntax error: unexpected )");
    check("sum(1+1)", "sum(2)");
    check("sum(2, rate(S[1m]))", "parse error : unsupported parameter for operation sum(2,");
    check("topk(5.0, rate(S[1m]))", "parse error : invalid parameter topk(5.0,");
    check("topk(0, rate(S[1m]))", "parse error : invalid parameter (must be greater than 0) topk(0");
    check("topk(-1, rate(S[1m]))", "parse error at line 1, col 8: syntax error: unexpected ,");
    check("topk(rate(S[1m]))", "parse error : parameter required for operation topk");
    check("topk(3, rate(S[1m])) without (a)", "topk without (a)(3,rate(S[1m]))");
    check("approx_topk(3, rate(S[1m])) by (a)", "parse error : grouping not allowed for approx_topk aggregation");
    check("sort(rate(S[1m])) by (a)", "parse error : sort and sort_desc doesn't allow grouping by ");
    check("sort by () (rate(S[1m]))", "sort(rate(S[1m]))");
    check("sum by (by) (rate(S[1m]))", "parse error at line 1, col 9: syntax error: unexpected by, expecting IDENTIFIER or )");
    check(r#"count_values("x", rate(S[1m]))"#, "parse error at line 1, col 1: syntax error: unexpected IDENTIFIER");
    check("vector(1)", "vector(1.000000)");
    check("vector(-1)", "parse error at line 1, col 8: syntax error: unexpected -, expecting NUMBER");
    check("vector(1+1)", "parse error at line 1, col 9: syntax error: unexpected +, expecting )");
    check(
        r#"label_replace(rate(S[1m]),"d","$1","s","(")"#,
        "parse error : invalid regex in label_replace: error parsing regexp: missing closing ): `^(?:()$`",
    );
    check(r#"label_replace(rate(S[1m]),"d","$1","s")"#, "parse error at line 1, col 49: syntax error: unexpected ), expecting ,");
    check(r#"label_replace(S,"d","$1","s","x")"#, "parse error at line 1, col 26: syntax error: unexpected ,");
    check("-rate(S[1m])", "parse error at line 1, col 2: syntax error: unexpected RATE, expecting NUMBER");
}

#[test]
fn operators() {
    check("1 + 2 * 3", "7");
    check("2 ^ 3 ^ 2", "512");
    check("-2 ^ 2", "4");
    check("10 / 0", "NaN");
    check("-10 % 3", "-1");
    check("1 == 2", "0");
    check("1 > bool 2", "0");
    check("1 - -1", "2");
    check("--5", "parse error at line 1, col 2: syntax error: unexpected -, expecting NUMBER");
    check("-0", "parse error at line 0, col 1: syntax error: unexpected DURATION");
    check("1h", "parse error at line 0, col 1: syntax error: unexpected DURATION");
    check("100000000", "1e+08");
    check("1e400", r#"parse error : unable to parse literal as a float: strconv.ParseFloat: parsing "1e400": value out of range"#);
    check("NaN", "parse error at line 1, col 1: syntax error: unexpected IDENTIFIER");
    check("1 or rate(S[1m])", "parse error : unexpected literal for left leg of logical/set binary operation (or): 1.000000");
    check("rate(S[1m]) and 1", "parse error : unexpected literal for right leg of logical/set binary operation (and): 1.000000");
    check("S + 1", "parse error : unexpected type for left leg of binary operation (+): *syntax.MatchersExpr");
    check(r#"1 + (S |= "a")"#, "parse error : unexpected type for right leg of binary operation (+): *syntax.PipelineExpr");
    check("rate(S[1m]) + 1 * 2", "(rate(S[1m]) + 2)");
    check("rate(S[1m]) or rate(S[1m]) and rate(S[1m])", "(rate(S[1m]) or (rate(S[1m]) and rate(S[1m])))");
    check("rate(S[1m]) > 1 and rate(S[1m]) < 2", "((rate(S[1m]) > 1) and (rate(S[1m]) < 2))");
    check("1 > rate(S[1m]) * 2", "(1 > (rate(S[1m]) * 2))");
    check("rate(S[1m]) + on(a) rate(S[1m])", "(rate(S[1m]) + on (a)  rate(S[1m]))");
    check("rate(S[1m]) + ignoring() rate(S[1m])", "(rate(S[1m]) + rate(S[1m]))");
    check("rate(S[1m]) / on(a) group_left(b) rate(S[1m])", "(rate(S[1m]) / on (a) group_left (b) rate(S[1m]))");
    check("rate(S[1m]) / group_left rate(S[1m])", "parse error at line 1, col 25: syntax error: unexpected group_left");
    check("rate(S[1m]) > on(a) bool rate(S[1m])", "parse error at line 1, col 31: syntax error: unexpected bool");
    check("rate(S[1m]) - 1s", "parse error at line 0, col 25: syntax error: unexpected DURATION");
    check("rate(S[1m]) or vector(0)", "(rate(S[1m]) or vector(0.000000))");
    check("1 +", "parse error at line 1, col 4: syntax error: unexpected $end");
}

/// Texts of answers to bad requests that clients show.
#[test]
fn texts_that_clients_know() {
    check(r#"{app="a""#, "parse error at line 1, col 9: syntax error: unexpected $end, expecting } or ,");
    check("{", "parse error at line 1, col 2: syntax error: unexpected $end, expecting IDENTIFIER or }");
    check(r#"{foo="bar}"#, "parse error at line 1, col 6: literal not terminated");
    check(r#"{foo="bar"} foo"#, "parse error at line 1, col 13: syntax error: unexpected IDENTIFIER");
    check(r#"{foo="bar"} |~"#, "parse error at line 1, col 15: syntax error: unexpected $end, expecting STRING or ip");
    check(r#"unk({foo="bar"}[5m])"#, "parse error at line 1, col 1: syntax error: unexpected IDENTIFIER");
    check(r#"min({ foo = "bar" }[5m])"#, "parse error at line 0, col 20: syntax error: unexpected RANGE");
    check(r#"rate({ foo = "bar" }[5minutes])"#, r#"parse error at line 0, col 21: unknown unit "minutes" in duration "5minutes""#);
    check(r#"rate({ foo = "bar" }[5)"#, "parse error at line 0, col 21: missing closing ']' in duration");
    check(r#"topk(0, count_over_time(S[1m]))"#, "parse error : invalid parameter (must be greater than 0) topk(0");
    check(r#"topk(count_over_time(S[1m]))"#, "parse error : parameter required for operation topk");
    check("S + S", "parse error : unexpected type for left leg of binary operation (+): *syntax.MatchersExpr");
    check("rate(S[1m]) or 1", "parse error : unexpected literal for right leg of logical/set binary operation (or): 1.000000");
}

#[test]
fn what_the_checks_after_reading_leave() {
    check("1 + on(a) 2", "3");
    check("1 > bool ignoring(a) group_left(b) 2", "0");
    check(r#"label_replace(vector(1),"not a name","","s","x")"#, r#"label_replace(vector(1.000000),"not a name","","s","x")"#);
    check("topk(1e2, rate(S[1m]))", "parse error : invalid parameter topk(1e2,");
    check("bottomk(0x10, rate(S[1m]))", "parse error : invalid parameter bottomk(0x10,");
    check("approx_topk(rate(S[1m]))", "parse error : parameter required for operation approx_topk");
    check("approx_topk by () (3, rate(S[1m]))", "parse error : grouping not allowed for approx_topk aggregation");
    check("bytes_rate(S | unwrap a[1m])", "parse error : invalid aggregation bytes_rate with unwrap");
    check("first_over_time(S[1m])", "parse error : invalid aggregation first_over_time without unwrap");
    check("absent_over_time(S | unwrap a[1m])", "absent_over_time(S | unwrap a[1m])");
    check("rate_counter(S | unwrap a[1m]) by (x)", "parse error : grouping not allowed for rate_counter aggregation");
}
