//! Times and durations as people write them, and as the output shows them.

use super::args::{TimeArgs, Zone};
use super::error::CliError;
use clap::ValueEnum;
use jiff::Zoned;
use jiff::civil;
use jiff::tz::TimeZone;
use skald_model::{TimeRange, Timestamp};
use std::time::Duration;

/// Why a text is not a time or a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Not a duration.
    #[error("{0:?} is not a duration such as 90s, 1h30m or 7d")]
    Duration(String),
    /// Not a time.
    #[error("{0:?} is not a time such as 2026-01-19T10:00:00Z, 2026-01-19, 1768816800 or now-3h")]
    Time(String),
}

/// The zone of `--timezone`.
pub fn zone(choice: Zone) -> TimeZone {
    match choice {
        Zone::Local => TimeZone::system(),
        Zone::Utc => TimeZone::UTC,
    }
}

/// The span that `--since`, `--from` and `--to` name.
///
/// # Errors
/// [`CliError::Time`] for what cannot be read, and a usage error when the end is before the start.
pub fn range(args: &TimeArgs, now: Timestamp, zone: &TimeZone) -> Result<TimeRange, CliError> {
    let end = parse_flag("--to", args.to.as_deref(), now, zone)?.unwrap_or(now);
    let start = match parse_flag("--from", args.from.as_deref(), now, zone)? {
        Some(start) => start,
        None => now.minus(parse_duration(&args.since).map_err(|source| CliError::Time { flag: "--since", source })?),
    };
    match start > end {
        true => Err(CliError::Usage("the start of the time range is after its end".to_owned())),
        false => Ok(TimeRange::new(start, end)),
    }
}

/// The time that an optional flag holds.
///
/// # Errors
/// [`CliError::Time`].
pub fn parse_flag(flag: &'static str, text: Option<&str>, now: Timestamp, zone: &TimeZone) -> Result<Option<Timestamp>, CliError> {
    text.map(|text| parse_time(text, now, zone)).transpose().map_err(|source| CliError::Time { flag, source })
}

/// Reads a duration: numbers with the units ns, us, ms, s, m, h, d, w and y (of 365 days), one after the other.
///
/// # Errors
/// [`TimeError::Duration`].
pub fn parse_duration(text: &str) -> Result<Duration, TimeError> {
    let bad = || TimeError::Duration(text.to_owned());
    let (mut rest, mut total) = (if text == "0" { "0s" } else { text }, 0f64);
    while !rest.is_empty() {
        let number_len = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let (number, after) = rest.split_at(number_len);
        let unit_len = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_len);
        total += number.parse::<f64>().map_err(|_| bad())? * unit_nanos(unit).ok_or_else(bad)?;
        rest = after;
    }
    match total >= 1.0 && total < i64::MAX as f64 {
        true => Ok(Duration::from_nanos(total.round() as u64)),
        false if !text.is_empty() && total == 0.0 => Ok(Duration::ZERO),
        false => Err(bad()),
    }
}

fn unit_nanos(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1.0,
        "us" | "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        "h" => 3600e9,
        "d" => 86_400e9,
        "w" => 7.0 * 86_400e9,
        "y" => 365.0 * 86_400e9,
        _ => return None,
    })
}

/// Reads a time: RFC 3339, the same without zone (then in `zone`), a date, `now` with `+` or `-` a duration, or an epoch
/// number: seconds (also with a fraction) up to 11 digits, then milliseconds, microseconds and from 18 digits on nanoseconds.
///
/// # Errors
/// [`TimeError::Time`].
pub fn parse_time(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, TimeError> {
    let text = text.trim();
    let relative = text.strip_prefix("now").and_then(|by| match by.as_bytes().first() {
        None => Some(now),
        Some(b'-') => Some(now.minus(parse_duration(&by[1..]).ok()?)),
        Some(b'+') => Some(now.plus(parse_duration(&by[1..]).ok()?)),
        Some(_) => None,
    });
    relative
        .or_else(|| parse_epoch(text))
        .or_else(|| text.parse::<jiff::Timestamp>().ok().and_then(from_jiff))
        .or_else(|| text.parse::<civil::DateTime>().ok().and_then(|at| in_zone(at, zone)))
        .ok_or_else(|| TimeError::Time(text.to_owned()))
}

fn parse_epoch(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    if digits.is_empty() || !digits.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: i64 = whole.parse().ok()?;
    let unit = match digits.len() {
        ..=11 => 1_000_000_000,
        12..=14 => 1_000_000,
        15..=17 => 1_000,
        _ => 1,
    };
    let fraction = format!("0.{fraction}0").parse::<f64>().ok()?;
    let fraction = (fraction * unit as f64).round() as i64 * if whole.starts_with('-') { -1 } else { 1 };
    number.checked_mul(unit)?.checked_add(fraction).map(Timestamp)
}

/// The instant at which clocks in `zone` show `at`; in a gap or overlap of the clock's change, the usual choice.
pub fn in_zone(at: civil::DateTime, zone: &TimeZone) -> Option<Timestamp> {
    zone.to_ambiguous_timestamp(at).compatible().ok().and_then(from_jiff)
}

fn from_jiff(at: jiff::Timestamp) -> Option<Timestamp> {
    i64::try_from(at.as_nanosecond()).ok().map(Timestamp)
}

fn zoned(at: Timestamp, zone: &TimeZone) -> Zoned {
    let at = jiff::Timestamp::from_nanosecond(at.0.into()).expect("years 1677 to 2262 lie within jiff's");
    at.to_zoned(zone.clone())
}

/// Form in which times are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TimestampFormat {
    /// 2026-01-19T10:00:00Z
    Rfc3339,
    /// 2026-01-19T10:00:00.123456789Z
    #[value(name = "rfc3339nano")]
    Rfc3339Nano,
    /// 19 Jan 26 10:00 +0000
    #[value(name = "rfc822z")]
    Rfc822Z,
    /// Mon, 19 Jan 2026 10:00:00 +0000
    #[value(name = "rfc1123z")]
    Rfc1123Z,
    /// Jan 19 10:00:00.123456
    #[value(name = "stampmicro")]
    StampMicro,
    /// Jan 19 10:00:00.123
    #[value(name = "stampmilli")]
    StampMilli,
    /// Jan 19 10:00:00.123456789
    #[value(name = "stampnano")]
    StampNano,
    /// Mon Jan 19 10:00:00 UTC 2026
    #[value(name = "unixdate")]
    UnixDate,
}

impl TimestampFormat {
    /// Shows `at` in `zone`.
    pub fn show(self, at: Timestamp, zone: &TimeZone) -> String {
        let at = zoned(at, zone);
        let offset = if at.offset().is_zero() { "Z" } else { "%:z" };
        match self {
            Self::Rfc3339 => at.strftime(&format!("%Y-%m-%dT%H:%M:%S{offset}")).to_string(),
            Self::Rfc3339Nano => at.strftime(&format!("%Y-%m-%dT%H:%M:%S%.f{offset}")).to_string(),
            Self::Rfc822Z => at.strftime("%d %b %y %H:%M %z").to_string(),
            Self::Rfc1123Z => at.strftime("%a, %d %b %Y %H:%M:%S %z").to_string(),
            Self::StampMicro => at.strftime("%b %e %H:%M:%S.%6f").to_string(),
            Self::StampMilli => at.strftime("%b %e %H:%M:%S.%3f").to_string(),
            Self::StampNano => at.strftime("%b %e %H:%M:%S.%9f").to_string(),
            Self::UnixDate => at.strftime("%a %b %e %H:%M:%S %Z %Y").to_string(),
        }
    }
}

/// The time in front of a line on standard error.
pub fn notice_stamp(at: Timestamp, zone: &TimeZone) -> String {
    zoned(at, zone).strftime("%Y/%m/%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_768_816_800_000_000_000); // 2026-01-19T10:00:00Z

    #[test]
    fn durations_add_up() {
        let check = |text: &str, nanos: u64| assert_eq!(parse_duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        check("1h30m", 5_400_000_000_000);
        check("1.5h", 5_400_000_000_000);
        check("7d", 604_800_000_000_000);
        check("1w1ms2us3ns", 604_800_001_002_003);
        check("0", 0);
        check("0s", 0);
        for bad in ["", "1", "h", "-1h", "1x", "1h ", "1..5h", "1000000y", "1e5s"] {
            assert_eq!(parse_duration(bad), Err(TimeError::Duration(bad.to_owned())));
        }
    }

    #[test]
    fn times_come_in_many_forms() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let check = |text: &str, want: i64| assert_eq!(parse_time(text, NOW, &zone), Ok(Timestamp(want)), "{text}");
        for text in [
            "2026-01-19T10:00:00Z",
            "2026-01-19T11:00:00+01:00",
            "2026-01-19T12:00:00",
            "2026-01-19 12:00",
            "1768816800",
            "1768816800.0",
            "1768816800000",
            "1768816800000000",
            "1768816800000000000",
            "now",
        ] {
            check(text, NOW.0);
        }
        check("2026-01-19T10:00:00.123456789Z", NOW.0 + 123_456_789);
        check("1768816800.5", NOW.0 + 500_000_000);
        check("2026-01-19", NOW.0 - 12 * 3_600_000_000_000);
        check("now-3h", NOW.0 - 3 * 3_600_000_000_000);
        check("now+1m30s", NOW.0 + 90_000_000_000);
        check("-1.5", -1_500_000_000);
        for bad in
            ["", "nowhere", "now-", "now-3", "yesterday", "2026-13-01", "1768816800x", "99999999999999999999", "2999-01-01T00:00:00Z"]
        {
            assert_eq!(parse_time(bad, NOW, &zone), Err(TimeError::Time(bad.to_owned())), "{bad}");
        }
    }

    #[test]
    fn a_range_is_relative_unless_it_is_given() {
        let args = |since: &str, from: Option<&str>, to: Option<&str>| TimeArgs {
            since: since.to_owned(),
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
        };
        let hour = Duration::from_secs(3600);
        let range = |args| range(&args, NOW, &TimeZone::UTC).ok();
        assert_eq!(range(args("1h", None, None)), Some(TimeRange::new(NOW.minus(hour), NOW)));
        assert_eq!(range(args("1h", Some("now-2h"), Some("now-1h"))), Some(TimeRange::new(NOW.minus(2 * hour), NOW.minus(hour))));
        assert_eq!(range(args("1h", Some("now"), Some("now-1h"))), None);
        assert_eq!(range(args("nonsense", None, None)), None);
    }

    #[test]
    fn times_are_shown_as_go_shows_them() {
        let at = Timestamp(NOW.0 + 120_000_000);
        let check = |format: TimestampFormat, utc: &str, east: &str| {
            assert_eq!(format.show(at, &TimeZone::UTC), utc);
            assert_eq!(format.show(at, &TimeZone::fixed(jiff::tz::offset(1))), east);
        };
        check(TimestampFormat::Rfc3339, "2026-01-19T10:00:00Z", "2026-01-19T11:00:00+01:00");
        check(TimestampFormat::Rfc3339Nano, "2026-01-19T10:00:00.12Z", "2026-01-19T11:00:00.12+01:00");
        check(TimestampFormat::Rfc822Z, "19 Jan 26 10:00 +0000", "19 Jan 26 11:00 +0100");
        check(TimestampFormat::Rfc1123Z, "Mon, 19 Jan 2026 10:00:00 +0000", "Mon, 19 Jan 2026 11:00:00 +0100");
        check(TimestampFormat::StampMilli, "Jan 19 10:00:00.120", "Jan 19 11:00:00.120");
        check(TimestampFormat::StampMicro, "Jan 19 10:00:00.120000", "Jan 19 11:00:00.120000");
        check(TimestampFormat::StampNano, "Jan 19 10:00:00.120000000", "Jan 19 11:00:00.120000000");
        assert_eq!(TimestampFormat::UnixDate.show(at, &TimeZone::UTC), "Mon Jan 19 10:00:00 UTC 2026");
        assert_eq!(TimestampFormat::Rfc3339Nano.show(NOW, &TimeZone::UTC), "2026-01-19T10:00:00Z");
        assert_eq!(notice_stamp(NOW, &TimeZone::UTC), "2026/01/19 10:00:00");
    }

    proptest::proptest! {
        #![proptest_config(skald_testkit::property(256))]
        #[test]
        fn what_is_shown_is_read_again(nanos: i64, offset in -23i8..24) {
            let zone = TimeZone::fixed(jiff::tz::offset(offset));
            let shown = TimestampFormat::Rfc3339Nano.show(Timestamp(nanos), &zone);
            proptest::prop_assert_eq!(parse_time(&shown, NOW, &TimeZone::UTC), Ok(Timestamp(nanos)));
            proptest::prop_assert_eq!(parse_duration(&format!("{}ns", nanos.unsigned_abs() >> 12)), Ok(Duration::from_nanos(nanos.unsigned_abs() >> 12)));
        }

        #[test]
        fn no_text_is_too_strange(text in "(now)?[+-]?[0-9a-zµ.:TZ-]{0,24}|\\PC{0,16}") {
            let _ = (parse_time(&text, NOW, &TimeZone::UTC), parse_duration(&text));
        }
    }
}
