use super::*;
use proptest::prelude::*;

#[track_caller]
fn check(line: &str, want: &str) {
    let limits = Limits::default();
    let detector = LevelDetector::new(&limits).expect("on by default");
    assert_eq!(detector.of_line(line.as_bytes()).as_str(), want, "{line}");
}

#[test]
fn words_tell_the_level() {
    for (line, want) in [
        ("critical path", "critical"),
        ("debug(1): x", "debug"),
        ("ERR! npm", "error"),
        ("[ERROR] it broke", "error"),
        ("error: it broke", "error"),
        ("FATAL: x", "fatal"),
        ("2026-01-15 INFO error later", "info"),
        ("a trace was found", "trace"),
        ("WARN: low", "warn"),
        ("warning low disk", "warn"),
        ("a longer line, long enough for vector instructions, with |Warning| in it", "warn"),
        ("a longer line, long enough for vector instructions, with (eRRoR) in it and info", "error"),
        ("ends in info", "info"),
        ("'info'", "info"),
        ("errors everywhere, then info", "info"),
        ("", "unknown"),
        ("<fatal> x", "unknown"),
        ("E0115 klog style", "unknown"),
        ("errors everywhere", "unknown"),
        ("information desk", "unknown"),
        ("no level here", "unknown"),
        ("panic: oh no", "unknown"),
        ("time:info", "unknown"),
        ("in", "unknown"),
    ] {
        check(line, want);
    }
}

#[test]
fn logfmt_fields_tell_the_level() {
    for (line, want) in [
        ("level=info msg=a", "info"),
        ("LEVEL=debug", "debug"),
        ("Level=Trace", "trace"),
        ("lvl=err msg=a", "error"),
        ("log.level=error x=1", "error"),
        ("severity=CRITICAL", "critical"),
        ("level=info level=error", "info"),
        ("msg=\"level=error inside\" level=info", "info"),
        ("msg=\"a \\\" level=error\" lvl=inf", "info"),
        ("severity=error level=wrn", "warn"),
        ("a=level=error lvl=inf", "info"),
        ("level=\"warn\" error=nil", "warn"),
        ("xlevel=dbg", "unknown"),
        ("level=notice msg=x", "unknown"),
        ("level=notice msg=error", "error"),
        ("status=500 error=nil", "error"),
        ("trace_id=abc", "unknown"),
        ("level=", "unknown"),
        ("=level", "unknown"),
        ("level=\"info", "info"),
        ("level=\"wrn", "unknown"),
    ] {
        check(line, want);
    }
}

#[test]
fn json_fields_tell_the_level() {
    for (line, want) in [
        (r#"{"level":"info"}"#, "info"),
        (r#"  {"a": [1, {"level":"dbg"}], "lvl" : "dbg"}  "#, "debug"),
        (r#"{"severity":"ERROR","m":1}"#, "error"),
        (r#"{"log.level":"error"}"#, "error"),
        (r#"{"SeverityText":"warning"}"#, "warn"),
        (r#"{"log":{"level":"wrn"}}"#, "warn"),
        (r#"{"log":{"level":"wrn"},"level":"inf"}"#, "warn"),
        (r#"{"log":{},"level":"inf"}"#, "info"),
        (r#"{"a":{"b":{"level":"wrn"}}}"#, "unknown"),
        (r#"{"a":{"b":{"level":"wrn","c":"}"}},"lvl":"trc"}"#, "trace"),
        (r#"{"a":{"b":{"level":"fatal"}}}"#, "fatal"),
        (r#"{"level":5,"severity":"err"}"#, "error"),
        (r#"{"level":5}"#, "unknown"),
        (r#"{"level":"notice"}"#, "unknown"),
        (r#"{"m":"a \" level","lvl":"wrn"}"#, "warn"),
        (r#"{"m":"level","x":null,"y":true,"lvl":"wrn"}"#, "warn"),
        (r#"{"lvl" "wrn"}"#, "unknown"),
        (r#"{"lvl":"wrn}"#, "unknown"),
        ("{}", "unknown"),
        ("{\"m\":\"\\}", "unknown"),
    ] {
        check(line, want);
    }
}

#[test]
fn depth_of_json_may_be_unlimited_without_using_the_stack() {
    let limits = Limits { log_level_from_json_max_depth: 0, ..Limits::default() };
    let detector = LevelDetector::new(&limits).expect("on");
    let deep = format!("{}\"level\":\"wrn\"{}", "{\"a\":".repeat(100_000) + "{", "}".repeat(100_001));
    assert_eq!(detector.of_line(deep.as_bytes()), Level::Warn);
}

#[test]
fn severity_numbers_are_levels() {
    let found: Vec<_> = ["0", "1", "5", "9", "13", "17", "21", "25", "abc"].map(|text| of_severity_number(text.as_bytes()).as_str()).into();
    assert_eq!(found, ["unknown", "trace", "debug", "info", "warn", "error", "fatal", "unknown", "info"]);
}

#[test]
fn unknown_spellings_stay() {
    assert_eq!(normalise(b"NOTICE"), b"NOTICE");
    assert_eq!(normalise(b"Information"), b"info");
    assert_eq!(normalise(b""), b"");
}

#[test]
fn the_best_field_wins_among_pairs() {
    let limits = Limits::default();
    let detector = LevelDetector::new(&limits).expect("on by default");
    assert_eq!(detector.best([("lvl", "a"), ("level", "b"), ("x", "c")].into_iter()), Some("b"));
    assert_eq!(detector.best([("x", "c")].into_iter()), None);
}

/// The rule in its plainest words.
fn first_word(line: &str) -> Level {
    let lower = line.to_ascii_lowercase();
    let bounded = |start: usize, word: &str| {
        let before = lower[..start].chars().next_back().is_none_or(|c| " \t\n[({\"'=|".contains(c));
        before && lower[start + word.len()..].chars().next().is_none_or(|c| " \t\n[](){}:,!\"'=|".contains(c))
    };
    ["trace", "debug", "fatal", "critical", "error", "err", "warning", "warn", "info"]
        .into_iter()
        .filter_map(|word| Some((lower.match_indices(word).map(|(at, _)| at).find(|at| bounded(*at, word))?, word)))
        .min_by_key(|(at, _)| *at)
        .and_then(|(_, word)| parse(word.as_bytes()))
        .unwrap_or(Level::Unknown)
}

proptest! {
    #![proptest_config(skald_testkit::property(512))]

    #[test]
    fn vector_search_agrees_with_the_rule(line in "([ a-zA-Z(:=|]{0,12}(error|Err|WARN|warning|info|Debug|trace|fatal|critical)?[ !x\"é]?){0,6}") {
        prop_assert_eq!(text::find(line.as_bytes()), first_word(&line), "{}", line);
    }

    #[test]
    fn hostile_lines_never_panic(line in prop::collection::vec(prop::sample::select(b"{}[]\",:=\\ aelv\xff\n".to_vec()), 0..60)) {
        let limits = Limits::default();
        let _ = LevelDetector::new(&limits).expect("on by default").of_line(&line);
    }
}
