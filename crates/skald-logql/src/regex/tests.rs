use super::*;
use proptest::prelude::*;

#[track_caller]
fn check_error(pattern: &str, want: &str) {
    let got = compile(pattern, Flags::SEARCH).map_or_else(|err| err.to_string(), |regex| format!("accepted as {regex}"));
    assert_eq!(got, format!("error parsing regexp: {want}"), "{pattern:?}");
}

#[test]
fn what_go_refuses_is_refused_in_its_words() {
    check_error("(", "missing closing ): `(`");
    check_error("a(b", "missing closing ): `a(b`");
    check_error("a)", "unexpected ): `a)`");
    check_error("(?=x)", "invalid or unsupported Perl syntax: `(?=`");
    check_error("(?!x)", "invalid or unsupported Perl syntax: `(?!`");
    check_error("(?x)a", "invalid or unsupported Perl syntax: `(?x`");
    check_error("(?<=x)", "invalid named capture: `(?<=x)`");
    check_error("(?P<a b>x)", "invalid named capture: `(?P<a b>`");
    check_error("(?P<a", "invalid named capture: `(?P<a`");
    check_error("*a", "missing argument to repetition operator: `*`");
    check_error("a|+", "missing argument to repetition operator: `+`");
    check_error("(?i)*?", "missing argument to repetition operator: `*?`");
    check_error("{2}", "missing argument to repetition operator: `{2}`");
    check_error(".*+", "invalid nested repetition operator: `*+`");
    check_error("a**", "invalid nested repetition operator: `**`");
    check_error("a{2}*", "invalid nested repetition operator: `{2}*`");
    check_error("a{1001}", "invalid repeat count: `{1001}`");
    check_error("a{3,2}", "invalid repeat count: `{3,2}`");
    check_error("(a{100}){100}", "invalid repeat count: `{100}`");
    check_error("[a", "missing closing ]: `[a`");
    check_error("x[]a", "missing closing ]: `[]a`");
    check_error("[z-a]", "invalid character class range: `z-a`");
    check_error("[[:foo:]]", "invalid character class range: `[:foo:]`");
    check_error("\\p{Foo}", "invalid character class range: `\\p{Foo}`");
    check_error("\\y", "invalid escape sequence: `\\y`");
    check_error("\\8", "invalid escape sequence: `\\8`");
    check_error("\\1", "invalid escape sequence: `\\1`");
    check_error("\\Z", "invalid escape sequence: `\\Z`");
    check_error("\\C", "invalid escape sequence: `\\C`");
    check_error("\\xz", "invalid escape sequence: `\\xz`");
    check_error("a\\", "trailing backslash at end of expression: ``");
    let large = "\\pL".repeat(101);
    check_error(&large, &format!("expression too large: `{large}`"));
    check_error(".{1000}{1000}", "invalid nested repetition operator: `{1000}{1000}`");
    check_error("\\p{Script=Greek}", "invalid character class range: `\\p{Script=Greek}`");
    let deep = "(".repeat(300) + &")".repeat(300);
    check_error(&deep, &format!("expression nests too deeply: `{deep}`"));
}

#[track_caller]
fn check_match(pattern: &str, matching: &[&str], other: &[&str]) {
    let regex = compile(pattern, Flags::WHOLE).unwrap();
    for text in matching {
        assert!(regex.is_match(text.as_bytes()), "{pattern:?} should match {text:?}");
    }
    for text in other {
        assert!(!regex.is_match(text.as_bytes()), "{pattern:?} should not match {text:?}");
    }
}

#[test]
fn what_go_reads_differently_keeps_its_meaning() {
    check_match("\\d+", &["123"], &["٣"]);
    check_match("\\w\\W\\s\\S", &["aé x", "_-\tz"], &["é- x"]);
    check_match("[^\\d]", &["x", "٣"], &["1"]);
    check_match("[a&&b~~d]+", &["a&b", "~d"], &["c"]);
    check_match("[-a-c-]+", &["-b-"], &["d"]);
    check_match("[[a]+", &["[a["], &["]"]);
    check_match("[]a]+", &["]a"], &["["]);
    check_match("a{,2}", &["a{,2}"], &["a", "aa"]);
    check_match("\\<\\>\\_", &["<>_"], &["_"]);
    check_match("\\Qa.b*\\E+", &["a.b*", "a.b**"], &["axb*"]);
    check_match("\\Q(", &["("], &[""]);
    check_match("\\012\\x41\\x{1F600}", &["\nA😀"], &["A"]);
    check_match("(?P<a>x)(?P<a>y)(?<b>z)", &["xyz"], &["xz"]);
    check_match(".", &["x", "é"], &["\n", ""]);
    check_match("(?s).", &["\n"], &[""]);
    check_match("(?i)straße|ok", &["STRAße", "Ok"], &["x"]);
    check_match("a  #b", &["a  #b"], &["a"]);
    check_match("\\pL\\PL\\p{^Lu}[\\p{Greek}]", &["a1xα"], &["1axα"]);
    check_match("(?U)a+?b{2}", &["aabb"], &["ab"]);
    check_match("^*a", &["a"], &["b"]);
    check_match("(?:)a(?i:B)()", &["ab"], &["AB"]);
}

#[test]
fn patterns_that_match_nothing_at_all_are_known() {
    for (pattern, want) in [
        ("", true),
        ("a", false),
        ("a|", true),
        (".*", true),
        (".+", false),
        ("a{0}", true),
        ("(a?)(b*)", true),
        ("^$", true),
        ("\\b", false),
        ("\\B", true),
        ("(?m)^$", true),
        ("[^a]", false),
    ] {
        assert_eq!(matches_empty(&parse(pattern, Flags::SELECTOR).unwrap()), want, "{pattern:?}");
        assert_eq!(compile(pattern, Flags::SELECTOR).unwrap().is_match(b""), want, "{pattern:?}");
    }
}

#[test]
fn simple_patterns_are_told_from_others() {
    for pattern in
        ["", "lit", "x|yy", "al.*", ".*al", ".*al.*", "(?i)AL.*", "foo(bar|qux)", ".*", ".+", "foo|.*", "warn|warning", "foobar|", "(a)"]
    {
        assert!(simplifies(pattern), "{pattern:?}");
    }
    for pattern in ["z|w", "y+", "al.+", "x?al", "foo.*bar", "foo(a|b)", "fooa|foob", "(foo|bar).*", "^x$", "[ab]", "a\\d", "("] {
        assert!(!simplifies(pattern), "{pattern:?}");
    }
}

fn config() -> ProptestConfig {
    skald_testkit::property(400)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_text_breaks_the_translation(pattern in r"[a-c0-3é\\(){}\[\]?*+|^$.,:<>P&~QEdwpL-]{0,16}") {
        if let Ok(translated) = translate(&pattern) {
            prop_assert!(parse(&pattern, Flags::SEARCH).is_ok(), "{} became {}", pattern, translated);
        }
    }
}
