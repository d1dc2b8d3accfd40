use super::*;
use jiff::{Timestamp, Zoned};
use proptest::prelude::*;

/// The time in UTC, `none` when it does not read.
fn read(layout: &str, text: &str, place: &str) -> String {
    let zone = zone(place).expect("is a zone");
    let found = Layout::new(layout).read(text).and_then(|reading| reading.timestamp(2026, &zone));
    found.map_or("none".to_owned(), |found| found.to_string())
}

#[track_caller]
fn check(layout: &str, text: &str, want: &str) {
    assert_eq!(read(layout, text, "UTC"), want, "{text:?} by {layout:?}");
}

#[test]
fn elements_read_what_go_reads() {
    check("2006-01-02T15:04:05Z07:00", "2026-02-03T04:05:06Z", "2026-02-03T04:05:06Z");
    check("2006-01-02T15:04:05Z07:00", "2026-02-03T04:05:06-07:30", "2026-02-03T11:35:06Z");
    check("Mon Jan _2 15:04:05 2006", "tue FEB  3 04:05:06 2026", "2026-02-03T04:05:06Z");
    check("Monday, 02-Jan-06 3:4:5 PM", "Friday, 03-Feb-70 12:05:06 AM", "1970-02-03T00:05:06Z");
    check("January 2 2006 03pm", "february 13 1999 07pm", "1999-02-13T19:00:00Z");
    check("06/1/2 15", "68/12/31 7", "2068-12-31T07:00:00Z");
    check("2006 002", "2024 366", "2024-12-31T00:00:00Z");
    check("2006 __2", "2025   7", "2025-01-07T00:00:00Z");
    check("2006_01", "2025_07", "2025-07-01T00:00:00Z");
    check("_2006", "_2025", "2025-01-01T00:00:00Z");
    check("Month of Janet 2006", "Month of Janet 2025", "2025-01-01T00:00:00Z");
    check("15:04:05 -07", "10:00:00 +02", "2026-01-01T08:00:00Z");
    check("15:04:05 -070000", "10:00:00 +020030", "2026-01-01T07:59:30Z");
    check("15:04:05 Z07:00:00", "10:00:00 -02:00:30", "2026-01-01T12:00:30Z");
    check("Jan 2 15:04", "Feb 28 10:00", "2026-02-28T10:00:00Z");
}

#[test]
fn fractions_are_read_as_the_layout_says() {
    check("15:04:05", "10:00:00.25", "2026-01-01T10:00:00.25Z");
    check("15:04:05", "10:00:00,250000000999", "2026-01-01T10:00:00.25Z");
    check("15:04:05", "10:00:00.", "none");
    check("15:04:05.000", "10:00:00,123", "2026-01-01T10:00:00.123Z");
    check("15:04:05.000", "10:00:00.1234", "none");
    check("15:04:05.000", "10:00:00.12", "none");
    check("15:04:05.000", "10:00:00", "none");
    check("15:04:05,999", "10:00:00.1234567", "2026-01-01T10:00:00.1234567Z");
    check("15:04:05.999", "10:00:00", "2026-01-01T10:00:00Z");
    check("15:04:05 .000", "10:00:00 .5", "none");
    check("15:04:05 .000", "10:00:00 .500", "2026-01-01T10:00:00.5Z");
}

#[test]
fn blanks_of_a_layout_match_runs_of_blanks() {
    check("2006 01  02", "2026    02 03", "2026-02-03T00:00:00Z");
    check("2006 ", "2026", "2026-01-01T00:00:00Z");
    check("2006 01", "202601", "none");
    check("2006", "2026 ", "none");
    check("é2006", "é2026", "2026-01-01T00:00:00Z");
}

#[test]
fn what_is_out_of_range_is_no_time() {
    for (layout, text) in [
        ("2006-01-02", "2026-13-01"),
        ("2006-01-02", "2026-00-01"),
        ("2006-01-02", "2026-02-29"),
        ("2006-01-02", "2026-04-31"),
        ("2006-01-02", "2026-1-02"),
        ("2006-1-2", "2026-1-0"),
        ("15:04", "24:00"),
        ("15:04", "10:60"),
        ("15:04:05", "10:00:60"),
        ("3PM", "13PM"),
        ("3PM", "1pm"),
        ("2006 002", "2025 366"),
        ("2006 002", "2025 000"),
        ("2006-01 002", "2025-02 001"),
        ("-0700", "+2500"),
        ("-0700", "0700"),
        ("-07:00", "+0700"),
        ("Jan", "Jax"),
        ("MST", "Me"),
        ("MST", "ABCD"),
        ("2006", "２０２６"),
        ("PM", "é"),
    ] {
        check(layout, text, "none");
    }
    check("Jan _2", "Feb 29", "none");
    assert_eq!(
        Layout::new("Jan _2").read("Feb 29").and_then(|day| day.timestamp(2024, &TimeZone::UTC)).map(|t| t.as_second()),
        Some(1_709_164_800)
    );
}

#[test]
fn zones_come_from_the_text_then_from_the_place() {
    #[track_caller]
    fn check(text: &str, want: &str) {
        assert_eq!(read("2006-01-02 15:04 MST", text, "Europe/Berlin"), want, "{text}");
    }
    check("2026-07-01 12:00 CEST", "2026-07-01T10:00:00Z");
    check("2026-07-01 12:00 CET", "2026-07-01T11:00:00Z");
    check("2026-01-01 12:00 CEST", "2026-01-01T10:00:00Z");
    check("2026-07-01 12:00 UTC", "2026-07-01T12:00:00Z");
    check("2026-07-01 12:00 PST", "2026-07-01T12:00:00Z");
    check("2026-07-01 12:00 GMT-3", "2026-07-01T15:00:00Z");
    check("2026-07-01 12:00 +03", "2026-07-01T12:00:00Z");
    assert_eq!(read("2006-01-02 15:04", "2026-07-01 12:00", "America/New_York"), "2026-07-01T16:00:00Z");
    assert_eq!(read("2006-01-02 15:04 -0700", "2026-07-01 12:00 +0000", "America/New_York"), "2026-07-01T12:00:00Z");
    assert_eq!(zone("Nowhere/City"), None);
}

/// Layouts that say all of a time to the nanosecond.
const WHOLE: [&str; 8] = [
    "2006-01-02T15:04:05.999999999Z07:00",
    "Mon Jan _2 15:04:05.000000000 2006 -0700",
    "Monday, 2 January 2006 03:04:05,999999999 PM -07:00:00",
    "06 002 3:4:5.000000000pm Z0700",
    "2006 __2 15h04m05s.999999999 Z070000",
    "1/2/2006 at 15.04.05 .000000000 -07",
    "20060102150405.000000000 -07",
    "02-Jan-06 15:04:05.999999999 Z07:00:00",
];

proptest! {
    #![proptest_config(skald_testkit::property(500))]

    #[test]
    fn what_was_written_reads_back(nanos in 0i64..3_000_000_000_000_000_000, layout in proptest::sample::select(&WHOLE[..]), hours in -12i8..=14) {
        let instant = Timestamp::from_nanosecond(nanos.into()).expect("is in range");
        let text = format(&Zoned::new(instant, TimeZone::fixed(jiff::tz::offset(hours))), layout);
        let read = Layout::new(layout).read(&text).and_then(|reading| reading.timestamp(1, &TimeZone::UTC));
        prop_assert_eq!(read, Some(instant), "{}", text);
    }

    #[test]
    fn no_text_breaks_a_layout(layout in "([0-9A-Za-z_ .,:é]|2006|01|02|002|__2|15|04|05|\\.000|MST|Z07:00|PM){0,12}", text in "[0-9A-Za-z_ .,:+é-]{0,30}") {
        let layout = Layout::new(&layout);
        if let Some(reading) = layout.read(&text) {
            let _ = reading.timestamp(2026, &TimeZone::UTC);
        }
    }
}
