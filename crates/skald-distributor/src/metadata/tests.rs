use super::*;
use crate::level::LevelDetector;
use proptest::prelude::*;
use skald_config::Limits;

#[test]
fn names_become_what_queries_can_say() {
    let check = |name: &str, want: &str| assert_eq!(normalise_name(name.as_bytes()).as_deref(), Ok(want), "{name}");
    check("trace_id", "trace_id");
    check("trace-id", "trace_id");
    check("http.method", "http_method");
    check("a__b", "a_b");
    check("__x", "_x");
    check("__reserved__", "__reserved__");
    check("__re-s__", "__re_s__");
    check("9a", "key_9a");
    check("_lead", "_lead");
    check("A B", "A_B");
    check("é.b", "_b");
    check("ünï", "_n_");
    check("x-", "x_");
    assert!(matches!(normalise_name(b"ok_1"), Ok(Cow::Borrowed("ok_1"))));
}

#[test]
fn names_of_nothing_are_refused() {
    let check = |name: &str, want: &str| assert_eq!(normalise_name(name.as_bytes()).expect_err("refused").to_string(), want);
    check("", "label name is empty");
    check("___", "normalization for label name \"___\" resulted in invalid name \"_\"");
    check("_____", "normalization for label name \"_____\" resulted in invalid name \"_\"");
    check("..", "normalization for label name \"..\" resulted in invalid name \"_\"");
}

#[test]
fn values_become_text() {
    let check = |value: &[u8], want: &str| assert_eq!(&*clean_value(value), want.as_bytes());
    check(b"plain", "plain");
    check("é".as_bytes(), "é");
    check("a\u{fffd}b".as_bytes(), "a b");
    check(b"a\xff\xfeb\xe2\x82", "a  b  ");
}

/// Entries of `name=value` pairs, and what their rows have in the end, with what is told of the level.
#[track_caller]
fn check(entries: &[&[(&str, &str)]], want: &[&str]) {
    let limits = Limits::default();
    let detector = LevelDetector::new(&limits);
    let mut columns = MetadataColumns::default();
    let mut levels = Vec::new();
    for (row, entry) in entries.iter().enumerate() {
        let mut pairs = Pairs::new(128);
        entry.iter().for_each(|(name, value)| pairs.push(name.as_bytes(), value.as_bytes()));
        levels.push(match columns.set(row, &pairs, detector.as_ref()).expect("names are fine") {
            MetadataLevel::Pushed => " pushed".to_owned(),
            MetadataLevel::Verbatim(level) => format!(" as is {}", String::from_utf8_lossy(&level)),
            MetadataLevel::Known(level) => format!(" is {}", level.as_str()),
            MetadataLevel::None => String::new(),
        });
    }
    let columns = columns.finish(entries.len());
    let row = |row: usize| {
        let present = columns.iter().filter(|column| !column.value(row).is_empty());
        let pairs: Vec<_> = present.map(|column| format!("{}={}", column.name(), String::from_utf8_lossy(column.value(row)))).collect();
        pairs.join(",") + &levels[row]
    };
    assert_eq!((0..entries.len()).map(row).collect::<Vec<_>>(), want);
}

#[test]
fn one_value_is_kept_per_name() {
    check(&[&[("a", "1"), ("a", "2"), ("b", "3")]], &["a=2,b=3"]);
    check(&[&[("a.b", "1"), ("a_b", "2")]], &["a_b=1"]);
    check(&[&[("a_b", "1"), ("a.b", "2"), ("a-b", "3")]], &["a_b=3"]);
    check(&[&[("a", "")]], &[""]);
    check(&[&[("a", "1")], &[], &[("b", "2"), ("a", "3")], &[("b", "4"), ("a", "5")]], &["a=1", "", "a=3,b=2", "a=5,b=4"]);
}

#[test]
fn metadata_tell_the_level() {
    check(&[&[("detected_level", "WARNING"), ("level", "x")]], &["detected_level=warn,level=x pushed"]);
    check(&[&[("lvl", "TRC"), ("level", "NOTICE")]], &["lvl=TRC,level=NOTICE as is NOTICE"]);
    check(&[&[("severity_number", "17")]], &["severity_number=17 is error"]);
    check(&[&[("severity_number", "17"), ("level", "debug")]], &["severity_number=17,level=debug is debug"]);
    check(&[&[("level", "")]], &[""]);
}

#[test]
fn names_of_a_stream_are_bounded() {
    let mut columns = MetadataColumns::default();
    let names: Vec<String> = (0..=NAMES_MAX).map(|i| format!("n{i}")).collect();
    for (row, name) in names.iter().enumerate() {
        let mut pairs = Pairs::new(1);
        pairs.push(name.as_bytes(), b"v");
        assert_eq!(columns.set(row, &pairs, None).is_err(), row == NAMES_MAX);
    }
    assert_eq!(columns.len(), NAMES_MAX);
}

#[test]
fn pairs_beyond_the_limit_are_only_counted() {
    let mut pairs = Pairs::new(1);
    [("a", "1"), ("detected_level", "info"), ("bb", "22")].iter().for_each(|(n, v)| pairs.push(n.as_bytes(), v.as_bytes()));
    assert_eq!((pairs.list.len(), pairs.count, pairs.bytes), (1, 3, 6));
}

proptest! {
    #![proptest_config(skald_testkit::property(256))]

    #[test]
    fn a_normal_name_is_its_own(name in prop::collection::vec(any::<u8>(), 0..12)) {
        if let Ok(normal) = normalise_name(&name) {
            prop_assert!(!normal.is_empty() && normal.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
            let again = normalise_name(normal.as_bytes());
            prop_assert_eq!(again.as_deref(), Ok(&*normal));
        }
    }
}
