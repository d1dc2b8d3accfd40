use super::*;

const NOW: &str = "2026-03-01T00:30:00Z";

fn nanos(rfc3339: &str) -> i64 {
    i64::try_from(rfc3339.parse::<jiff::Timestamp>().expect(rfc3339).as_nanosecond()).expect("this century")
}

/// Zones are one hour east of UTC unless the line names one.
#[track_caller]
fn check(line: &str, want: Option<&str>) {
    let zone = TimeZone::fixed(jiff::tz::offset(1));
    assert_eq!(time(line, Timestamp(nanos(NOW)), &zone), want.map(|want| Timestamp(nanos(want))), "{line}");
}

#[test]
fn rfc_3339_is_known_with_and_without_zone() {
    check("2006-01-02T15:04:05Z x", Some("2006-01-02T15:04:05Z"));
    check("2006-01-02T15:04:05.123456789Z", Some("2006-01-02T15:04:05.123456789Z"));
    check("2006-01-02T15:04:05+07:00 x", Some("2006-01-02T08:04:05Z"));
    check("2006-01-02T15:04:05-0730 x", Some("2006-01-02T22:34:05Z"));
    check("2006-01-02 15:04:05 x", Some("2006-01-02T14:04:05Z"));
    check("2006-01-02 15:04:05.5 x", Some("2006-01-02T14:04:05.5Z"));
    check("2006-01-02 15:04:05,123 INFO x", Some("2006-01-02T14:04:05.123Z"));
    check("2006-01-02 15:04:05, x", Some("2006-01-02T14:04:05Z"));
    check("2006-01-02 15:04:05 UTC x", Some("2006-01-02T15:04:05Z"));
    check("2006-01-02 15:04:05.000 +0200 x", Some("2006-01-02T13:04:05Z"));
    check("2006-01-02 15:04:05 -1234 is a number", Some("2006-01-03T03:38:05Z"));
    check("[2006-01-02 15:04:05] x", Some("2006-01-02T14:04:05Z"));
    check("2016-12-31T23:59:60Z", Some("2016-12-31T23:59:59Z"));
}

#[test]
fn forms_of_common_programs_are_known() {
    check("[Sun Dec 04 04:47:44 2005] [error] x", Some("2005-12-04T03:47:44Z"));
    check("[Sun Dec  4 04:47:44.123456 2005] x", Some("2005-12-04T03:47:44.123456Z"));
    check("17/06/09 20:10:40 INFO x", Some("2017-06-09T19:10:40Z"));
    check("081109 203615 148 INFO x", Some("2008-11-09T19:36:15Z"));
    check("700101 203615 x", Some("1970-01-01T19:36:15Z"));
    check("1136214245 x", Some("2006-01-02T15:04:05Z"));
    check("1136214245.25 x", Some("2006-01-02T15:04:05.25Z"));
    check("1136214245000 x", Some("2006-01-02T15:04:05Z"));
    check("1136214245000001\tx", Some("2006-01-02T15:04:05.000001Z"));
    check("1136214245000000001", Some("2006-01-02T15:04:05.000000001Z"));
}

#[test]
fn a_time_without_year_is_the_latest_that_is_not_ahead() {
    check("Feb 28 15:04:05 host x", Some("2026-02-28T14:04:05Z"));
    check("Mar  1 23:04:05 host x", Some("2026-03-01T22:04:05Z"));
    check("Mar  3 15:04:05 host x", Some("2025-03-03T14:04:05Z"));
    check("Jun 14 15:16:01 combo x", Some("2025-06-14T14:16:01Z"));
    check("Feb 29 15:04:05 host x", Some("2024-02-29T14:04:05Z"));
    let eve = Timestamp(nanos("2025-12-31T22:30:00Z"));
    assert_eq!(time("Jan  1 00:30:00 x", eve, &TimeZone::fixed(jiff::tz::offset(1))), Some(Timestamp(nanos("2025-12-31T23:30:00Z"))));
}

#[test]
fn what_only_looks_like_a_time_is_none() {
    for line in [
        "",
        "[",
        "x 2006-01-02 15:04:05",
        "2006-01-02",
        "2006-01-02 15:04",
        "2006-13-02 15:04:05",
        "2006-02-30 15:04:05",
        "2006-01-02 25:04:05",
        "2006-01-02 15:04:61",
        "2006-01-02 15:04:05abc",
        "12345678901 x",
        "113621424 x",
        "1136214245x",
        "9999999999999999999 x",
        "0000000000 x",
        "17/06/09",
        "081109 2036",
        "991399 203615 x",
        "Jan 32 15:04:05 x",
        "Sun Dec 04 04:47:44",
        "Error: Jan  2",
        "Öl 2006-01-02",
    ] {
        check(line, None);
    }
}

proptest::proptest! {
    #![proptest_config(skald_testkit::property(512))]
    #[test]
    fn no_line_is_too_strange(line in "[\\[0-9A-Za-z:,./ +-]{0,40}|\\PC{0,30}") {
        let _ = time(&line, Timestamp(nanos(NOW)), &TimeZone::UTC);
    }
}
