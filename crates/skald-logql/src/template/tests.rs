use super::*;

const NANOS: i64 = 1_768_442_278_372_830_858;

fn render(source: &str) -> Result<String, String> {
    render_in(Dialect::LogQl, source)
}

fn render_in(dialect: Dialect, source: &str) -> Result<String, String> {
    let labels = LabelMap::new([("a", "x"), ("n", "5"), ("msg", "hello wORLD foo-bar"), ("empty", "")].into_iter());
    let template = Template::compile("line", source, dialect)?;
    template.render(Subject { line: b"the line", timestamp: NANOS, now: NANOS, labels: &labels })
}

#[track_caller]
fn check(source: &str, want: &str) {
    assert_eq!(render(source).as_deref(), Ok(want), "{source}");
}

#[track_caller]
fn check_error(source: &str, want: &str) {
    assert_eq!(render(source), Err(format!("template: line:{want}")), "{source}");
}

#[test]
fn labels_and_the_entry_are_there() {
    check("{{.a}}-{{.nope}}-{{__line__}}", "x--the line");
    check("{{ . }}", "map[a:x empty: msg:hello wORLD foo-bar n:5]");
    check("{{ __timestamp__ | unixEpochMillis }} {{ __timestamp__ }}", "1768442278372 2026-01-15 01:57:58.372830858 +0000 UTC");
    check("{{ now | unixEpoch | len }}", "10");
    check("{{ with .a }}<{{ . }}{{ $.n }}>{{ end }}{{ if .empty }}no{{ else if eq .n \"5\" }}five{{ end }}", "<x5>five");
    check("{{ $x := .a }}{{ $x }}-{{ len $x }}{{- /* gone */ -}} !", "x-1!");
    check("{{ range $i, $v := (fromJson `[1,\"b\"]`) }}{{ $i }}={{ $v }};{{ else }}none{{ end }}", "0=1;1=b;");
    check("{{ range 5 }}{{ if eq . 3 }}{{ break }}{{ end }}{{ . }}{{ end }}", "012");
    check("{{ define \"x\" }}in {{ . }}{{ end }}{{ template \"x\" .n }}", "in 5");
    check("{{ (fromJson `{\"u\":{\"n\":\"d\"}}`).u.n }} {{ (fromJson `{`) }}", "d <no value>");
}

#[test]
fn texts_are_changed() {
    check("{{ title .msg }} {{ .msg | ToUpper }} {{ lower .msg }}", "Hello WORLD Foo-Bar HELLO WORLD FOO-BAR hello world foo-bar");
    check(
        "{{ TrimLeft \"xxaxx\" \"x\" }} {{ trimAll \"$\" \"$5$\" }} {{ TrimSuffix \"a.log\" \".log\" }}[{{ trim \" a \" }}]",
        "axx 5 a[a]",
    );
    check("{{ substr 2 -1 \"hello\" }} {{ substr -1 2 \"hello\" }} {{ trunc -3 \"hello\" }} {{ trunc 9 \"hello\" }}", "llo he llo hello");
    check("{{ alignLeft 5 \"ab\" }}|{{ alignRight 3 \"ünïcode\" }}|{{ alignLeft -1 \"a\" }}", "ab   |ode|a");
    check("{{ indent 2 \"a\\nb\" }}{{ nindent 1 \"c\" }}", "  a\n  b\n c");
    check("{{ Replace \"eee\" \"e\" \"E\" 2 }} {{ replace \"e\" \"3\" \"eee\" }} {{ repeat 3 \"ab\" }}", "EEe 333 ababab");
    check("{{ contains \"ell\" .msg }} {{ hasPrefix \"he\" .msg }} {{ hasSuffix \"x\" .msg }}", "true true false");
    check("{{ urlencode \"é /\" }} {{ urldecode \"a%20b%2Fc+d\" }}", "%C3%A9+%2F a b/c d");
    check("{{ b64enc \"ab\" }} {{ b64dec \"YWI\" }} {{ b64dec \"!\" }}", "YWI= ab illegal base64 data at input byte 0");
    check(
        "{{ count \"\" \"abc\" }} {{ regexReplaceAll \"(a)(b)\" \"xabx\" \"${2}$1\" }} {{ regexReplaceAllLiteral \"b\" \"abc\" \"$1\" }}",
        "4 xbax a$1c",
    );
    check("{{ default \"none\" .empty }} {{ default \"none\" .a }}", "none x");
}

#[test]
fn numbers_are_reckoned_with() {
    check(
        "{{ add 1 2 3 }} {{ sub 5 .n }} {{ mul 2 3 4 }} {{ div -7 2 }} {{ mod 7 3 }} {{ add \"1.9\" 1 }} {{ add \"x\" }}",
        "6 0 24 -3 1 2 0",
    );
    check("{{ int \"0x1f\" }} {{ int \"08\" }} {{ int 3.9 }} {{ int \"x\" }} {{ int \"010\" }}", "31 0 3 0 8");
    check(
        "{{ addf 0.1 0.2 }} {{ mulf 1.1 3 }} {{ divf 1 3 }} {{ subf 5 2.25 }} {{ divf 2 3 }}",
        "0.3 3.3 0.3333333333333333 2.75 0.6666666666666667",
    );
    check("{{ max 1 5 3 }} {{ min 4 2 }} {{ maxf 1.5 2.5 }} {{ minf 1.5 0.5 }}", "5 2 2.5 0.5");
    check("{{ ceil 1.2 }} {{ floor 1.8 }} {{ round 2.567 1 }} {{ round -2.5 0 }} {{ round 2.4 0 0.3 }}", "2 1 2.6 -3 3");
    check("{{ bytes \"1MB\" }} {{ bytes \"2 MiB\" }} {{ duration \"1m30s\" }} {{ float64 100000000 }}", "1e+06 2.097152e+06 90 1e+08");
    check("{{ if and (gt (int .n) 4) (le 1 1) }}y{{ end }} {{ or 0 .a }} {{ not .empty }}", "y x true");
    check("{{ printf \"%05d|%-3s|%x\" (int .n) .a .a }} {{ print 1 \"a\" 2 }} {{ printf \"%d\" .n }}", "00005|x  |78 1a2 %!d(string=5)");
}

#[test]
fn times_are_read_and_written_in_layouts() {
    check(
        "{{ toDate \"2006-01-02\" \"2026-02-03\" | date \"Mon Jan 2 January Monday 06 _2 002\" }}",
        "Tue Feb 3 February Tuesday 26  3 034",
    );
    check("{{ toDateInZone \"2006-01-02 15:04:05\" \"Europe/Berlin\" \"2026-01-15 10:00:00\" | unixEpoch }}", "1768467600");
    check("{{ toDateInZone \"2006-01-02\" \"Nowhere\" \"2026-01-15\" }}", "2026-01-15 00:00:00 +0000 UTC");
    check("{{ toDate \"2006-01-02\" \"x\" }}", "0001-01-01 00:00:00 +0000 UTC");
    check(
        "{{ unixToTime \"1768435200\" | date \"15:04 3PM\" }} {{ unixToTime \"1768435200123\" | unixEpochMillis }}",
        "00:00 12AM 1768435200123",
    );
    check("{{ __timestamp__ | date \"2006-01-02T15:04:05.000Z07:00 -0700 MST\" }}", "2026-01-15T01:57:58.372Z +0000 UTC");
    check("{{ toDate \"2006-01-02T15:04:05Z07:00\" \"2026-01-15T10:00:00.5+02:00\" | unixEpochMillis }}", "1768464000500");
    check("{{ date \"2006\" \"text\" }} {{ date \"2006\" 0 }}", "2026 1970");
}

#[test]
fn what_does_not_compile_is_refused() {
    check_error("{{.a", "1: unclosed action");
    check_error("\n{{nofn .a}}", "2: function \"nofn\" not defined");
    check_error("{{ env \"HOME\" }}", "1: function \"env\" not defined");
    check_error("{{ if .a }}x", "1: unexpected EOF");
    check_error("x{{ end }}y", "1: unexpected {{end}}");
    check("{{/* {{ if */}}{{ \"}}{{end}}\" }}", "}}{{end}}");
}

#[test]
fn failures_say_where() {
    check_error("{{div 1 0}}", "1:2: executing \"line\" at <div 1 0>: error calling div: runtime error: integer divide by zero");
    check_error("{{ .a.b }}", "1:5: executing \"line\" at <.a.b>: can't evaluate field b in type string");
    check_error("{{ trim }}", "1:3: executing \"line\" at <trim>: wrong number of args for trim: want 1 got 0");
    check_error(
        "{{ substr 5 2 .msg }}",
        "1:3: executing \"line\" at <substr 5 2 .msg>: error calling substr: runtime error: slice bounds out of range [5:2]",
    );
    check_error("{{ .a | ToLower | Replace \"e\" \"E\" 2 }}", "1:34: executing \"line\" at <2>: expected string; found 2");
    check_error(
        "ab\n {{ urldecode \"%zz\" }}",
        "2:4: executing \"line\" at <urldecode \"%zz\">: error calling urldecode: invalid URL escape \"%zz\"",
    );
    check_error(
        "{{ unixToTime \"12\" }}",
        "1:3: executing \"line\" at <unixToTime \"12\">: error calling unixToTime: unable to parse time '12': %!w(<nil>)",
    );
    check_error(
        "{{ eq 1 1.0 }}",
        "1:3: executing \"line\" at <eq 1 1.0>: error calling eq: incompatible types for comparison: int and float64",
    );
    check_error("{{ index .a 100 }}", "1:3: executing \"line\" at <index .a 100>: error calling index: index out of range: 100");
}

#[test]
fn no_template_runs_or_grows_without_end() {
    for source in [
        "{{ repeat 1000000000 \"xxxxxxxx\" }}",
        "{{ alignLeft 1000000000 \"x\" }}",
        "{{ range 1000000000 }}{{ end }}",
        "{{ define \"a\" }}{{ template \"a\" . }}{{ template \"a\" . }}{{ end }}{{ template \"a\" . }}",
        "{{ range 2000 }}{{ range 2000 }}x{{ end }}{{ end }}",
        "{{ $x := repeat 1000 \"x\" }}{{ range 10 }}{{ $x = replace \"x\" $x $x }}{{ end }}",
    ] {
        assert!(render(source).is_err(), "{source}");
    }
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    fn word() -> impl Strategy<Value = &'static str> {
        proptest::sample::select(vec![
            "{{",
            "}}",
            "{{-",
            "-}}",
            "{{/*",
            "*/}}",
            "if",
            "else",
            "end",
            "range",
            "with",
            "define",
            "template",
            "break",
            "(",
            ")",
            "|",
            ".a",
            ".",
            "$",
            "$x",
            ":=",
            "=",
            "\"x\"",
            "`",
            "\"",
            "'",
            "1",
            "-2",
            "1.5",
            "nil",
            "true",
            "printf",
            "\"%*d%s%[2]v\"",
            "substr",
            "trunc",
            "index",
            "slice",
            "alignLeft",
            "repeat",
            "round",
            "divf",
            "mod",
            "date",
            "toDate",
            "unixToTime",
            "fromJson",
            "urldecode",
            "b64dec",
            "count",
            "regexReplaceAll",
            "\"(\"",
            "eq",
            "lt",
            "and",
            "len",
            "add",
            "é",
            "\n",
            " ",
        ])
    }

    proptest! {
        #![proptest_config(skald_testkit::property(600))]

        #[test]
        fn no_template_breaks_the_renderer(words in proptest::collection::vec(word(), 0..14)) {
            let _ = render(&words.join(" "));
        }

        #[test]
        fn no_action_breaks_the_renderer(words in proptest::collection::vec(word(), 1..7)) {
            let _ = render(&format!("{{{{ {} }}}}", words.join(" ")));
        }

        #[test]
        fn plain_text_stays(text in "[^{]{0,40}") {
            prop_assert_eq!(render(&text), Ok(text));
        }

        #[test]
        fn what_is_written_in_a_layout_reads_back(seconds in 0i64..4_000_000_000, millis in 0i64..1000) {
            let source = format!("{{{{ unixToTime \"{:013}\" | date \"2006-01-02 15:04:05.000 -0700\" | toDate \"2006-01-02 15:04:05.000 -0700\" | unixEpochMillis }}}}", seconds * 1000 + millis);
            prop_assert_eq!(render(&source), Ok((seconds * 1000 + millis).to_string()));
        }
    }
}

#[test]
fn templates_that_are_one_thing_say_so() {
    let compile = |source| Template::compile("line", source, Dialect::LogQl).expect("compiles");
    assert_eq!(
        ["", "**", "a{{ .x }}", "{{ .x }}"].map(|source| compile(source).only_text().map(str::to_owned)),
        [Some(String::new()), Some("**".to_owned()), None, None]
    );
    assert_eq!(
        ["**", "a{{ .x }}", "{{ .x }}", "{{ .x.y }}"].map(|source| compile(source).only_field().map(str::to_owned)),
        [None, None, Some("x".to_owned()), None]
    );
}

#[test]
fn deep_templates_are_refused() {
    for source in [
        format!("{{{{ {}1{} }}}}", "(".repeat(50_000), ")".repeat(50_000)),
        format!("{{{{ {}", "(".repeat(50_000)),
        format!("{}x{}", "{{if 1}}".repeat(7_000), "{{end}}".repeat(7_000)),
        "{{with 1}}".repeat(12_000),
        format!("{{{{if 1}}}}{}{{{{end}}}}", "{{else if 1}}".repeat(9_000)),
        format!("{{{{ {} }}}}", "not ".repeat(30_000)),
        format!("{{{{ .a{} }}}}", ".a".repeat(50_000)),
        format!("{{{{ 1{} }}}}", " | print".repeat(10_000)),
    ] {
        let _ = render(&source);
    }
}

#[test]
fn no_template_works_on_more_than_a_bounded_amount_of_text() {
    for source in [
        "{{ range 50000 }}{{ $x := repeat 1000000 \"x\" }}{{ end }}",
        "{{ $x := repeat 1000000 \"x\" }}{{ range 50000 }}{{ $y := contains \"y\" $x }}{{ end }}",
        "{{ $x := fromJson (printf \"[%s1]\" (repeat 400000 \"1,\")) }}{{ range 50000 }}{{ $y := slice $x }}{{ end }}",
        "{{ $x := fromJson (printf \"[%s1]\" (repeat 400000 \"1,\")) }}{{ range 50000 }}{{ range $x }}{{ break }}{{ end }}{{ end }}",
        "{{ range $i, $x := repeat 2000 \"x\" }}{{ end }}{{ range 1000 }}{{ count (printf \"a{%d}\" .) \"a\" }}{{ end }}",
        "{{ $x := repeat 1000000 \"x\" }}{{ range 1000 }}{{ trimAll $x $x }}{{ end }}",
    ] {
        assert!(render(source).is_err(), "{source}");
    }
    check("{{ trimAll (repeat 400000 \"ab\") (repeat 400000 \"b\") }}", "");
}

mod agent {
    use super::*;

    #[track_caller]
    fn check(source: &str, want: &str) {
        assert_eq!(render_in(Dialect::Agent, source).as_deref(), Ok(want), "{source}");
    }

    #[test]
    fn functions_of_the_agent_are_unknown_to_queries() {
        check_error("{{ Hash \"s\" .a }}", "1: function \"Hash\" not defined");
        check("{{ .msg | ToUpper | trunc 5 }}", "HELLO");
        assert_eq!(render_in(Dialect::Agent, "{{ env \"HOME\" }}"), Err("template: line:1: function \"env\" not defined".to_owned()));
    }

    #[test]
    fn hashes_take_a_salt() {
        check("{{ Sha2Hash \"sa\" \"lt\" }}", "63479ad69a090b258277ec8fba6f99419a2ffb248981510657c944ccd1148e97");
        check("{{ sha256sum \"abc\" }}", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        check("{{ Hash \"\" \"abc\" }}", "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532");
        check("{{ adler32sum \"Wikipedia\" }}", "300286872");
    }

    #[test]
    fn texts_are_changed() {
        check("{{ quote \"a\\\"b\" 1 }} {{ squote .a }} {{ cat 1 nil .a }} {{ nospace \" a b\\n\" }}", "\"a\\\"b\" \"1\" 'x' 1 x ab");
        check("{{ swapcase \"aBc\" }} {{ untitle \"First Try\" }} {{ initials \"First Try\" }}", "AbC first try FT");
        check(
            "{{ snakecase \"FirstName HTTPServer-x\" }} {{ kebabcase \"FirstName\" }} {{ camelcase \"http_server\" }}",
            "first_name_http_server_x first-name HttpServer",
        );
        check("{{ abbrev 5 \"hello world\" }} {{ abbrev 3 \"hello\" }} {{ wrap 5 \"a bc defghij k\" }}", "he... hello a bc\ndefghij\nk");
        check("{{ regexQuoteMeta \"a.b[1]\" }} {{ plural \"one\" \"many\" 2 }} {{ toString 5 | quote }}", "a\\.b\\[1\\] many \"5\"");
        check(
            "{{ regexMatch \"^h\" .msg }} {{ regexFind \"w[A-Z]+\" .msg }} {{ regexFind \"q\" .msg }}|{{ regexFindAll \"o\" .msg 2 | join \"-\" }}",
            "true wORLD |o-o",
        );
        check("{{ regexSplit \"[ -]\" .msg -1 | join \",\" }} {{ regexSplit \" \" .msg 2 | last }}", "hello,wORLD,foo,bar wORLD foo-bar");
    }

    #[test]
    fn values_are_chosen() {
        check("{{ ternary \"y\" \"n\" true }}{{ ternary \"y\" \"n\" false }} {{ empty .empty }} {{ coalesce .empty 0 .n }}", "yn true 5");
        check(
            "{{ all .a .empty }} {{ any .a .empty }} {{ kindOf .a }} {{ kindIs \"slice\" (list 1) }} {{ typeOf 1 }}",
            "false true string true int",
        );
        check("{{ add1 4 }} {{ int64 \"7\" }} {{ atoi \"x\" }} {{ toDecimal \"777\" }} {{ biggest 1 3 2 }}", "5 7 0 511 3");
        assert!(render_in(Dialect::Agent, "{{ fail \"no\" }}").expect_err("it fails").ends_with("error calling fail: no"));
    }

    #[test]
    fn lists_and_maps_are_made() {
        check(
            "{{ splitList \"-\" \"a-b-c\" | rest | join \"+\" }} {{ (split \"-\" \"a-b-c\")._1 }} {{ (splitn \"-\" 2 \"a-b-c\")._1 }}",
            "b+c b b-c",
        );
        check(
            "{{ list 1 2 3 | reverse }} {{ list \"b\" \"a\" \"b\" | uniq | sortAlpha }} {{ first (list 7 8) }} {{ initial (list 7 8) }}",
            "[3 2 1] [a b] 7 [7]",
        );
        check(
            "{{ has 2 (list 1 2) }} {{ has \"2\" (list 1 2) }} {{ without (list 1 2 3) 2 }} {{ until 3 }} {{ until -2 }}",
            "true false [1 3] [0 1 2] [0 -1]",
        );
        check("{{ $d := dict \"k\" 1 \"l\" \"m\" }}{{ get $d \"k\" }} {{ hasKey $d \"z\" }} {{ $d.l }}", "1 false m");
        check("{{ splitList \"\" \"aé\" }}", "[a é]");
    }

    #[test]
    fn json_is_written_as_go_writes_it() {
        check(
            "{{ dict \"b\" 1.5 \"a\" \"<&>\" | toJson }} {{ \"<\" | toRawJson }} {{ list 1.0 nil true | toJson }}",
            "{\"a\":\"\\u003c\\u0026\\u003e\",\"b\":1.5} \"<\" [1,null,true]",
        );
        check("{{ fromJson \"{\\\"a\\\":[1,{\\\"b\\\":2.0}]}\" | toJson }} {{ toPrettyJson (list 1) }}", "{\"a\":[1,{\"b\":2}]} [\n  1\n]");
        assert!(render_in(Dialect::Agent, "{{ mustFromJson \"{\" }}").is_err());
    }

    #[test]
    fn times_are_shown_in_zones_and_moved() {
        check(
            "{{ dateInZone \"15:04 MST\" now \"Europe/Berlin\" }} {{ htmlDate now }} {{ htmlDateInZone 0 \"America/New_York\" }}",
            "02:57 CET 2026-01-15 1969-12-31",
        );
        check("{{ now | dateModify \"-1h30m\" | date \"15:04\" }} {{ now | dateModify \"x\" | date \"15:04\" }}", "00:27 01:57");
        check("{{ ago (now | dateModify \"-90.5s\") }} {{ duration 95 }} {{ duration \"3600\" }}", "1m30s 1m35s 1h0m0s");
    }

    #[test]
    fn nothing_grows_without_end() {
        for source in [
            "{{ $x := list 1 }}{{ $x = list $x $x }}",
            "{{ until 1000000 }}",
            "{{ splitList \"\" (repeat 100000 \"x\") }}",
            "{{ split \"x\" (repeat 100000 \"x\") }}",
            "{{ $x := repeat 900000 \"x\" }}{{ cat $x $x }}",
            "{{ $x := repeat 900000 \"\\\"\" }}{{ quote $x }}",
            "{{ repeat 900000 \"<\" | toJson }}",
        ] {
            assert!(render_in(Dialect::Agent, source).is_err(), "{source}");
        }
    }
}
