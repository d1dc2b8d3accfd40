//! The time at the beginning of a line.

use crate::cli::time::in_zone;
use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use skald_model::Timestamp;
use std::time::Duration;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
/// How far ahead of the clock a time without a year may be; later ones are of the year before.
const AHEAD_MAX: Duration = Duration::from_secs(86_400);

/// The time that `line` begins with, after an optional `[`. Known forms:
///
/// - `2006-01-02T15:04:05Z07:00` and `2006-01-02 15:04:05`, with a fraction after `.` or `,`, with or without zone
/// - `Jan  2 15:04:05`, of the latest year that does not lie ahead of `now`
/// - `Sun Dec 04 04:47:44 2005`
/// - `06/01/02 15:04:05` and `060102 150405`
/// - an epoch number: 10 digits are seconds (a fraction may follow), 13 milliseconds, 16 microseconds, 19 nanoseconds
///
/// Times without a zone are in `zone`.
pub fn time(line: &str, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let text = Text(line.strip_prefix('[').unwrap_or(line).as_bytes());
    let at = match text.0.first()? {
        b'0'..=b'9' => iso(text, zone).or_else(|| slashes(text, zone)).or_else(|| compact(text, zone)).or_else(|| epoch(text)),
        b'A'..=b'Z' => syslog(text, now, zone).or_else(|| apache(text, zone)),
        _ => None,
    };
    at.filter(|at| at.0 > 0)
}

/// What has not been read of a line; a step gives what it read and the rest.
#[derive(Clone, Copy)]
struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    /// Exactly `len` digits.
    fn digits(self, len: usize) -> Option<(i64, Self)> {
        let digits = self.0.get(..len)?;
        let value = digits.iter().try_fold(0i64, |value, b| b.is_ascii_digit().then(|| value * 10 + i64::from(b - b'0')))?;
        Some((value, Text(&self.0[len..])))
    }

    /// The byte `byte`.
    fn byte(self, byte: u8) -> Option<Self> {
        self.0.split_first().filter(|(first, _)| **first == byte).map(|(_, rest)| Text(rest))
    }

    /// One of `words`; gives its place among them.
    fn word(self, words: &[&str]) -> Option<(usize, Self)> {
        let at = words.iter().position(|word| self.0.starts_with(word.as_bytes()))?;
        Some((at, Text(&self.0[words[at].len()..])))
    }

    /// Three two-digit numbers with `separator` between them.
    fn triple(self, separator: Option<u8>) -> Option<([i64; 3], Self)> {
        let step = |text: Self| separator.map_or(Some(text), |byte| text.byte(byte));
        let (a, rest) = self.digits(2)?;
        let (b, rest) = step(rest)?.digits(2)?;
        let (c, rest) = step(rest)?.digits(2)?;
        Some(([a, b, c], rest))
    }

    /// A fraction of a second after `.` or `,`, in nanoseconds; further digits are dropped. Nothing reads as 0.
    fn fraction(self) -> (i64, Self) {
        let Some(digits) = self.byte(b'.').or_else(|| self.byte(b',')) else { return (0, self) };
        let len = digits.0.iter().take_while(|b| b.is_ascii_digit()).count();
        if len == 0 {
            return (0, self);
        }
        let nanos = (0..9).fold(0, |value, i| value * 10 + if i < len { i64::from(digits.0[i] - b'0') } else { 0 });
        (nanos, Text(&digits.0[len..]))
    }

    /// A zone, perhaps after a blank: `Z`, `UTC`, `GMT`, `+07:00`, `-0700`.
    fn offset(self) -> Option<Offset> {
        let text = self.byte(b' ').unwrap_or(self);
        if let Some((_, rest)) = text.word(&["Z", "UTC", "GMT"]) {
            return rest.is_end().then_some(Offset::UTC);
        }
        let (sign, text) = match text.byte(b'+') {
            Some(rest) => (1, rest),
            None => (-1, text.byte(b'-')?),
        };
        let (hours, rest) = text.digits(2)?;
        let (minutes, rest) = rest.byte(b':').unwrap_or(rest).digits(2)?;
        let valid = rest.is_end() && minutes < 60;
        valid.then(|| Offset::from_seconds((sign * (hours * 3600 + minutes * 60)) as i32).ok()).flatten()
    }

    /// Whether no letter or digit follows, so that what was read is not a part of something else.
    fn is_end(self) -> bool {
        !self.0.first().is_some_and(u8::is_ascii_alphanumeric)
    }
}

fn civil(year: i64, month: i64, day: i64, [hour, minute, second]: [i64; 3], nanos: i64) -> Option<DateTime> {
    let date = Date::new(i16::try_from(year).ok()?, month as i8, day as i8).ok()?;
    // A leap second is shown as 60; it is the last second again.
    let time = jiff::civil::Time::new(hour as i8, minute as i8, second.min(if second == 60 { 59 } else { 99 }) as i8, nanos as i32);
    Some(date.to_datetime(time.ok()?))
}

fn iso(text: Text<'_>, zone: &TimeZone) -> Option<Timestamp> {
    let (year, rest) = text.digits(4)?;
    let (month, rest) = rest.byte(b'-')?.digits(2)?;
    let (day, rest) = rest.byte(b'-')?.digits(2)?;
    let (clock, rest) = rest.byte(b'T').or_else(|| rest.byte(b't')).or_else(|| rest.byte(b' '))?.triple(Some(b':'))?;
    let (nanos, rest) = rest.fraction();
    let at = civil(year, month, day, clock, nanos)?;
    match rest.offset() {
        Some(offset) => in_zone(at, &TimeZone::fixed(offset)),
        None if rest.is_end() => in_zone(at, zone),
        None => None,
    }
}

fn slashes(text: Text<'_>, zone: &TimeZone) -> Option<Timestamp> {
    let ([year, month, day], rest) = text.triple(Some(b'/'))?;
    let (clock, rest) = rest.byte(b' ')?.triple(Some(b':'))?;
    let (nanos, rest) = rest.fraction();
    in_zone(civil(full_year(year), month, day, clock, nanos)?, zone).filter(|_| rest.is_end())
}

fn compact(text: Text<'_>, zone: &TimeZone) -> Option<Timestamp> {
    let ([year, month, day], rest) = text.triple(None)?;
    let (clock, rest) = rest.byte(b' ')?.triple(None)?;
    in_zone(civil(full_year(year), month, day, clock, 0)?, zone).filter(|_| rest.is_end())
}

/// Two digits of a year: 69 and above are of the last century, as POSIX has it.
fn full_year(year: i64) -> i64 {
    if year < 69 { 2000 + year } else { 1900 + year }
}

fn epoch(text: Text<'_>) -> Option<Timestamp> {
    let len = text.0.iter().take_while(|b| b.is_ascii_digit()).count();
    let unit = match len {
        10 => 1_000_000_000,
        13 => 1_000_000,
        16 => 1_000,
        19 => 1,
        _ => return None,
    };
    let digits = std::str::from_utf8(&text.0[..len]).ok()?;
    let rest = Text(&text.0[len..]);
    let (nanos, rest) = if len == 10 { rest.fraction() } else { (0, rest) };
    let at = digits.parse::<i64>().ok()?.checked_mul(unit)?.checked_add(nanos)?;
    rest.is_end().then_some(Timestamp(at))
}

fn syslog(text: Text<'_>, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let (month, rest) = text.word(&MONTHS)?;
    let rest = rest.byte(b' ')?;
    let (day, rest) = match rest.byte(b' ') {
        Some(rest) => rest.digits(1)?,
        None => rest.digits(2).or_else(|| rest.digits(1))?,
    };
    let (clock, rest) = rest.byte(b' ')?.triple(Some(b':'))?;
    let (nanos, rest) = rest.fraction();
    let this_year = jiff::Timestamp::from_nanosecond(now.0.into()).ok()?.to_zoned(zone.clone()).year();
    let at = |year: i64| in_zone(civil(year, month as i64 + 1, day, clock, nanos)?, zone);
    // A leap day may lie several years back; and on the last of December the new year may have begun where the line was written.
    let years = (0..=8).map(|back| i64::from(this_year) + 1 - back);
    years.filter_map(at).find(|at| *at <= now.plus(AHEAD_MAX)).filter(|_| rest.is_end())
}

fn apache(text: Text<'_>, zone: &TimeZone) -> Option<Timestamp> {
    let (_, rest) = text.word(&WEEKDAYS)?;
    let (month, rest) = rest.byte(b' ')?.word(&MONTHS)?;
    let rest = rest.byte(b' ')?;
    let (day, rest) = match rest.byte(b' ') {
        Some(rest) => rest.digits(1)?,
        None => rest.digits(2)?,
    };
    let (clock, rest) = rest.byte(b' ')?.triple(Some(b':'))?;
    let (nanos, rest) = rest.fraction();
    let (year, rest) = rest.byte(b' ')?.digits(4)?;
    in_zone(civil(year, month as i64 + 1, day, clock, nanos)?, zone).filter(|_| rest.is_end())
}

#[cfg(test)]
mod tests;
