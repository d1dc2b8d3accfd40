use super::*;
use proptest::prelude::*;
use skald_model::Labels;

#[track_caller]
fn check(text: &str, want: &[(&str, &str)]) {
    let pairs = parse_labels(text).expect("labels");
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(pairs, want, "{text}");
}

#[track_caller]
fn check_error(text: &str, want: &str) {
    assert_eq!(parse_labels(text).expect_err("refused").to_string(), want, "{text}");
}

#[test]
fn reads_what_prometheus_reads() {
    check(r#"{a="1", b="2"}"#, &[("a", "1"), ("b", "2")]);
    check(" { b = '2' ,\n\ta=`1\\`,} ", &[("b", "2"), ("a", "1\\")]);
    check("{}", &[]);
    check("{a=\"1\",a=\"\"}", &[("a", "1"), ("a", "")]);
    check(r#"name{a="1"}"#, &[("__name__", "name"), ("a", "1")]);
    check("a:b", &[("__name__", "a:b")]);
    check(r#"{"foo.bar"="1", "m"}"#, &[("foo.bar", "1"), ("__name__", "m")]);
    check(r#"{a="é\n\t\"\\\x41\101\u00e9\U0001F600\xc3\xa9"}"#, &[("a", "é\n\t\"\\AAé😀é")]);
    check("{a='\\'\"'}", &[("a", "'\"")]);
    check("{a=`\n`}", &[("a", "\n")]);
}

#[test]
fn says_where_and_why_not() {
    check_error("{!}", "1:2: parse error: unexpected character inside braces: '!'");
    check_error("{bad-name=\"x\"}", "1:5: parse error: unexpected character inside braces: '-'");
    check_error("{1a=\"x\"}", "1:2: parse error: unexpected character inside braces: '1'");
    check_error("{app=\"pb\"", "1:10: parse error: unexpected end of input inside braces");
    check_error("{app=v0}", "1:6: parse error: unexpected identifier \"v0\" in label set, expected string");
    check_error("{a!=\"x\"}", "1:3: parse error: unexpected \"!=\" in label set, expected \"=\"");
    check_error("{=\"x\"}", "1:2: parse error: unexpected \"=\" in label set, expected identifier or \"}\"");
    check_error("{a=\"x\" b=\"y\"}", "1:8: parse error: unexpected identifier \"b\" in label set, expected \",\" or \"}\"");
    check_error("{a \"x\"}", "1:4: parse error: unexpected string \"\\\"x\\\"\" in label set, expected \"=\"");
    check_error("{\n a=\"x}", "2:4: parse error: unterminated quoted string");
    check_error("{a=\"x\n\"}", "1:4: parse error: unterminated quoted string");
    check_error("{a=`x}", "1:4: parse error: unterminated raw string");
    check_error("{a=\"\\q\"}", "1:4: parse error: invalid escape in quoted string");
    check_error("{a=\"\\ud800\"}", "1:4: parse error: invalid escape in quoted string");
    check_error("{a=\"\\xff\"}", "1:4: parse error: \"\\\"\\\\xff\\\"\" is not valid UTF-8");
    check_error("{a=\"x\"} y", "1:9: parse error: unexpected identifier \"y\"");
    check_error("{{", "1:2: parse error: unexpected left brace '{'");
    check_error("{é=\"1\"}", "1:2: parse error: unexpected character inside braces: 'é'");
    check_error("", "1:1: parse error: unexpected end of input");
    check_error("5", "1:1: parse error: unexpected character: '5'");
}

proptest! {
    #![proptest_config(skald_testkit::property(256))]

    #[test]
    fn what_labels_print_is_read_back(pairs in prop::collection::btree_map("[a-z_][a-z0-9_]{0,5}", ".{1,8}", 0..5)) {
        let labels = Labels::from_pairs(&pairs).expect("no name twice");
        let back = parse_labels(&labels.to_string()).expect("our own text");
        prop_assert_eq!(Labels::from_pairs(back), Ok(labels));
    }

    #[test]
    fn hostile_texts_never_panic(text in "[{}=!~,a\"'`\\\\xu0é\n ]{0,20}") {
        let _ = parse_labels(&text);
    }
}
