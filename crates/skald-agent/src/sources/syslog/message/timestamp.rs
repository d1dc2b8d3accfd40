use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use skald_model::Timestamp;

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// `2026-01-15T00:00:00.123456Z` or with an offset.
pub(super) fn rfc3339(text: &str) -> Option<Timestamp> {
    nanoseconds(text.parse().ok()?)
}

/// The time at the beginning of `text`, and what follows: `Jan 15 00:00:00` with or without year and fraction, or a time of RFC 3339. What has no
/// offset is UTC, what has no year is in that in which it is nearest to `now`.
pub(super) fn legacy(text: &str, now: Timestamp) -> Option<(Timestamp, &str)> {
    let (first, rest) = token(text);
    if let Some(time) = rfc3339(first.trim_end_matches(':')) {
        return Some((time, rest));
    }
    let month = MONTHS.iter().position(|month| first.eq_ignore_ascii_case(month))? as i8 + 1;
    let (day, rest) = token(rest);
    let day = number(day, 2)? as i8;
    let (mut time, mut rest) = token(rest);
    let year = number(time, 4).filter(|year| *year >= 1000);
    if year.is_some() {
        (time, rest) = token(rest);
    }
    let time: Time = time.trim_end_matches(':').parse().ok()?;
    let at = |year: i16| {
        let date = Date::new(year, month, day).ok()?;
        nanoseconds(date.to_datetime(time).to_zoned(TimeZone::UTC).ok()?.timestamp())
    };
    let this_year = jiff::Timestamp::from_nanosecond(i128::from(now.0)).ok()?.to_zoned(TimeZone::UTC).year();
    let at = match year {
        Some(year) => at(year)?,
        None => [this_year - 1, this_year, this_year + 1].into_iter().filter_map(at).min_by_key(|at| at.0.abs_diff(now.0))?,
    };
    Some((at, rest))
}

/// The text up to the next spaces, and what is behind these.
fn token(text: &str) -> (&str, &str) {
    let (token, rest) = text.split_once(' ').unwrap_or((text, ""));
    (token, rest.trim_start_matches(' '))
}

fn number(text: &str, digits_max: usize) -> Option<i16> {
    let is_number = (1..=digits_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

fn nanoseconds(at: jiff::Timestamp) -> Option<Timestamp> {
    i64::try_from(at.as_nanosecond()).ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, now: &str, want: Option<(&str, &str)>) {
        let at = |text: &str| rfc3339(text).expect("a time");
        assert_eq!(legacy(text, at(now)), want.map(|(time, rest)| (at(time), rest)), "{text} at {now}");
    }

    #[test]
    fn a_time_without_a_year_is_the_nearest_one() {
        check("Oct 11 22:14:15 host a", "2026-11-22T00:00:00Z", Some(("2026-10-11T22:14:15Z", "host a")));
        check("Dec 31 23:59:59 h", "2026-01-01T00:00:10Z", Some(("2025-12-31T23:59:59Z", "h")));
        check("Jan  1 00:00:01", "2025-12-31T23:59:59Z", Some(("2026-01-01T00:00:01Z", "")));
        check("FEB 29 00:00:00 h", "2027-01-10T00:00:00Z", Some(("2028-02-29T00:00:00Z", "h")));
        check("feb 29 00:00:00 h", "2026-01-10T00:00:00Z", None);
    }

    #[test]
    fn years_fractions_and_offsets_are_read() {
        let now = "2026-11-22T00:00:00Z";
        check("Oct 11 2003 22:14:15: x", now, Some(("2003-10-11T22:14:15Z", "x")));
        check("Oct 11 22:14:15.250 x", now, Some(("2026-10-11T22:14:15.25Z", "x")));
        check("2020-10-11T22:14:15.5+02:00 x y", now, Some(("2020-10-11T20:14:15.5Z", "x y")));
        for wrong in ["", "Oct", "Oct 11", "Oct 11 x", "Okt 11 22:14:15", "Oct 40 22:14:15", "Oct 1 25:00:00", "11 22:14:15", "9999"] {
            check(wrong, now, None);
        }
    }
}
