use std::fmt::Write;
use std::time::Duration;

/// Units from long to short, in nanoseconds.
const UNITS: [(&str, u128); 10] = [
    ("y", 365 * 86_400_000_000_000),
    ("w", 7 * 86_400_000_000_000),
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("ns", 1),
];

/// Longest duration that is read: what fits a signed 64-bit number of nanoseconds (292 years).
const NANOS_MAX: u128 = i64::MAX as u128;

/// Reads `1h30m`, `7d`, `1w`, `1.5h` or `0`; a number other than 0 needs a unit. `None` for anything else, and past 292 years.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    if text.is_empty() {
        return None;
    }
    let (mut rest, mut nanos) = (text, 0u128);
    while !rest.is_empty() {
        let number_len = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|len| (1..=20).contains(len))?;
        let (number, tail) = rest.split_at(number_len);
        let unit_len = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_len);
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
        nanos += scaled(number, *scale)?;
        if nanos > NANOS_MAX {
            return None;
        }
        rest = tail;
    }
    Some(Duration::from_nanos(nanos as u64))
}

/// `number` (digits with at most one point) times `scale`, rounded down.
fn scaled(number: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u64>().ok().map(u128::from) };
    Some(digits(whole)? * scale + digits(fraction)? * scale / 10u128.pow(fraction.len() as u32))
}

/// The text Prometheus prints: `30d1h`, `1w`, `1m`, `0s`. Years and weeks only where nothing is left over.
pub fn format_duration(duration: Duration) -> String {
    let mut left = duration.as_nanos();
    if left == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    for (name, scale) in UNITS.iter().filter(|(name, _)| *name != "µs") {
        let with_rest = !matches!(*name, "y" | "w");
        if left >= *scale && (with_rest || left.is_multiple_of(*scale)) {
            write!(out, "{}{name}", left / scale).expect("writing to a string succeeds");
            left %= scale;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, seconds: Option<f64>) {
        assert_eq!(parse_duration(text), seconds.map(Duration::from_secs_f64), "{text}");
    }

    #[test]
    fn durations_read_in_go_and_prometheus_form() {
        check("0", Some(0.0));
        check("0s", Some(0.0));
        check("5s", Some(5.0));
        check("1h30m", Some(5400.0));
        check("721h", Some(2_595_600.0));
        check("7d", Some(604_800.0));
        check("1w", Some(604_800.0));
        check("1y", Some(31_536_000.0));
        check("1.5h", Some(5400.0));
        check("250ms", Some(0.25));
        for wrong in ["", "5", "h", "1x", "-1s", "1h 30m", "1..5h", ".s", "1s2", "300y", "99999999999999999999h", "1e3s"] {
            check(wrong, None);
        }
    }

    #[test]
    fn durations_print_as_prometheus_does() {
        for (seconds, text) in [(0, "0s"), (60, "1m"), (2_595_600, "30d1h"), (604_800, "1w"), (5400, "1h30m"), (90 * 86_400, "90d")] {
            assert_eq!(format_duration(Duration::from_secs(seconds)), text);
        }
        assert_eq!(format_duration(Duration::from_nanos(1_002_003)), "1ms2us3ns");
    }

    proptest! {
        #![proptest_config(skald_testkit::property(128))]

        #[test]
        fn printed_durations_read_back(nanos in 0..i64::MAX as u64) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
        }

        #[test]
        fn any_text_is_a_duration_or_refused(text in "[0-9.a-zµ]{0,24}") {
            let _ = parse_duration(&text);
        }
    }
}
