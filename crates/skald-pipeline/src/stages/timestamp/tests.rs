use super::format::Format;
use crate::stages::testing::{Bench, START, check, refused, show_all};
use skald_logql::layout::{Layout, zone};
use skald_model::Timestamp;

/// Nanoseconds of a time that is written as `2006-01-02 15:04:05.999 -0700`.
fn nanos(text: &str) -> i64 {
    let reading = Layout::new("2006-01-02 15:04:05 -0700").read(text).expect("is a time");
    reading.timestamp(0, &jiff::tz::TimeZone::UTC).expect("exists").as_nanosecond() as i64
}

/// What `format` in a place reads of `text` at noon of 2024-05-06, in UTC.
#[track_caller]
fn check_format(format: &str, place: &str, text: &str, want: Option<&str>) {
    let read = Format::new(format, zone(place).as_ref()).read(text, Timestamp(nanos("2024-05-06 12:00:00 +0000")));
    assert_eq!(read.map(|read| read.0), want.map(|want| nanos(&format!("{want} +0000"))), "{text} by {format}");
}

#[test]
fn named_formats_read_their_times() {
    let winter = Some("2024-02-03 04:05:06");
    for (format, text) in [
        ("ANSIC", "Sat Feb  3 04:05:06 2024"),
        ("UnixDate", "Sat Feb  3 04:05:06 UTC 2024"),
        ("RubyDate", "Sat Feb 03 06:05:06 +0200 2024"),
        ("RFC850", "Saturday, 03-Feb-24 04:05:06 UTC"),
        ("RFC1123", "Sat, 03 Feb 2024 04:05:06 GMT"),
        ("RFC1123Z", "Sat, 03 Feb 2024 03:05:06 -0100"),
        ("RFC3339", "2024-02-03T04:05:06Z"),
        ("RFC3339Nano", "2024-02-03T05:05:06+01:00"),
        ("Unix", "1706933106"),
        ("UnixMs", "1706933106000"),
        ("UnixUs", "1706933106000000"),
        ("UnixNs", "1706933106000000000"),
    ] {
        check_format(format, "Asia/Tokyo", text, winter);
    }
    check_format("RFC822", "", "03 Feb 24 04:05 EST", Some("2024-02-03 04:05:00"));
    check_format("RFC822Z", "", "03 Feb 24 04:05 -0500", Some("2024-02-03 09:05:00"));
    check_format("RFC3339Nano", "", "2024-02-03T04:05:06.123456789Z", Some("2024-02-03 04:05:06.123456789"));
    check_format("RFC3339", "", "2024-02-03 04:05:06Z", None);
}

#[test]
fn numbers_are_exact_and_bounded() {
    check_format("Unix", "", "1706933106.1234567891", Some("2024-02-03 04:05:06.123456789"));
    check_format("Unix", "", "-1.5", Some("1969-12-31 23:59:58.5"));
    check_format("Unix", "", "+7.", Some("1970-01-01 00:00:07"));
    for text in ["", "-", ".5", "1e9", "1706933106.5s", " 1", "99999999999", "0x10", "--1"] {
        check_format("Unix", "", text, None);
    }
    check_format("UnixMs", "", "1.5", None);
    check_format("UnixNs", "", "-9223372036854775808", None);
}

#[test]
fn the_location_is_for_layouts_without_an_offset() {
    check_format("2006-01-02 15:04:05", "America/New_York", "2024-07-01 08:00:00", Some("2024-07-01 12:00:00"));
    check_format("2006-01-02 15:04:05 Z07:00", "America/New_York", "2024-07-01 08:00:00 +02:00", Some("2024-07-01 06:00:00"));
    check_format("2006-01-02 15:04:05 MST", "America/New_York", "2024-07-01 08:00:00 EST", Some("2024-07-01 13:00:00"));
    check_format("RFC3339", "America/New_York", "2024-07-01T08:00:00Z", Some("2024-07-01 08:00:00"));
}

#[test]
fn a_year_that_is_not_said_is_the_likely_one() {
    let check = |now: &str, text: &str, place: &str, want: &str| {
        let read = Format::new("Jan _2 15:04:05", zone(place).as_ref()).read(text, Timestamp(nanos(now)));
        assert_eq!(read.map(|read| read.0), Some(nanos(&format!("{want} +0000"))), "{text} at {now}");
    };
    check("2024-05-06 12:00:00 +0000", "Apr  1 00:00:00", "UTC", "2024-04-01 00:00:00");
    check("2024-05-06 12:00:00 +0000", "Dec 31 23:59:59", "UTC", "2024-12-31 23:59:59");
    check("2025-01-01 00:00:01 +0000", "Dec 31 23:59:59", "UTC", "2024-12-31 23:59:59");
    check("2024-12-31 23:59:59 +0000", "Jan  1 00:00:00", "UTC", "2025-01-01 00:00:00");
    check("2024-12-31 23:30:00 +0000", "Jan  1 00:29:00", "Europe/Berlin", "2024-12-31 23:29:00");
    check("2024-05-06 12:00:00 +0000", "Feb 29 00:00:00", "UTC", "2024-02-29 00:00:00");
    check_format("15:04", "", "07:00", Some("2024-01-01 07:00:00"));
}

#[test]
fn failures_follow_the_last_good_time_of_their_labels() {
    let mut bench = Bench::new("- timestamp: {source: t, format: UnixNs}");
    let mut push = |text: &str| show_all(&bench.push(text));
    let at = |nanos: i64| nanos + START;
    assert_eq!(push("{a=1} nothing known"), [r#"{a="1"} nothing known"#]);
    // The source is a label here, so each time has its own label set.
    assert_eq!(push(&format!("{{t={}}} x", at(5))), [format!(r#"{{t="{}"}} @+5ns x"#, at(5))]);
    let yaml = "[{regex: {expression: '^(?P<t>.*)$'}}, {timestamp: {source: t, format: UnixNs}}]";
    let mut bench = Bench::new(yaml);
    let mut push = |text: String, want: &str| assert_eq!(show_all(&bench.push(&text))[0].split(' ').nth(1), Some(want), "{text}");
    push(format!("{{a=1}} {}", at(5)), "@+5ns");
    push(format!("{{a=2}} {}", at(70)), "@+70ns");
    push("{a=1} bad".to_owned(), "@+6ns");
    push("{a=1} bad".to_owned(), "@+7ns");
    push("{a=2} bad".to_owned(), "@+71ns");
    push(format!("{{a=1}} {}", at(3)), "@+3ns");
    push("{a=1} bad".to_owned(), "@+4ns");
    push("{a=3} bad".to_owned(), "bad");
}

#[test]
fn failures_may_keep_the_time_of_reading() {
    check(
        "[{regex: {expression: '(?P<t>\\S+)'}}, {timestamp: {source: t, format: UnixNs, action_on_failure: skip}}]",
        &[&format!("{} x", START + 9), "bad x"],
        &[&format!("{{}} @+9ns {} x", START + 9), "{} bad x"],
    );
}

#[test]
fn fallback_formats_are_tried_in_order() {
    check(
        "[{json: {expressions: {t: }}}, {timestamp: {source: t, format: RFC3339, fallback_formats: ['2006-01-02 15:04:05', Unix]}}]",
        &[r#"{"t":"2024-05-06T07:08:10Z"}"#, r#"{"t":"2024-05-06 07:08:11"}"#, r#"{"t":1714979292.25}"#],
        &[
            r#"{} @+1000000000ns {"t":"2024-05-06T07:08:10Z"}"#,
            r#"{} @+2000000000ns {"t":"2024-05-06 07:08:11"}"#,
            r#"{} @+3250000000ns {"t":1714979292.25}"#,
        ],
    );
}

#[test]
fn wrong_options_are_refused() {
    refused("- timestamp: {format: RFC3339}", "stage 1 (timestamp): option source is required");
    refused("- timestamp: {source: t}", "stage 1 (timestamp): option format is required");
    refused("- timestamp: {source: t, format: Unix, location: Mars/Base}", "option location: there is no zone \"Mars/Base\"");
    refused(
        "- timestamp: {source: t, format: Unix, action_on_failure: drop}",
        "option action_on_failure: \"drop\" is neither fudge nor skip",
    );
}
