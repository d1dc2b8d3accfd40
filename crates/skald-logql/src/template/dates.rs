//! Times, as templates read and write them.

use super::layout::{Element, elements};
use jiff::civil::{self, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, Zoned};
use std::fmt::{self, Display, Formatter, Write};
use std::sync::LazyLock;

const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// The zones that this program brings along, so that the machine it runs on does not matter.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A time in a zone.
#[derive(Debug, Clone)]
pub(super) struct Time(Zoned);

impl Time {
    /// Nanoseconds since 1970 in UTC; what no calendar reaches is its end.
    pub(super) fn utc(nanos: i128) -> Self {
        let clamped = nanos.clamp(Timestamp::MIN.as_nanosecond(), Timestamp::MAX.as_nanosecond());
        Time(Timestamp::from_nanosecond(clamped).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(TimeZone::UTC))
    }

    /// What a text that is no time becomes.
    fn zero() -> Self {
        Time(civil::date(1, 1, 1).to_zoned(TimeZone::UTC).unwrap_or_else(|_| Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC)))
    }

    pub(super) fn nanos(&self) -> i128 {
        self.0.timestamp().as_nanosecond()
    }

    /// In a layout of Go.
    pub(super) fn format(&self, layout: &str) -> String {
        let mut out = String::new();
        elements(layout, |element| self.write(element, &mut out).expect("a String takes everything"));
        out
    }

    fn write(&self, element: Element<'_>, out: &mut String) -> fmt::Result {
        let time = &self.0;
        let month = MONTHS[time.month() as usize - 1];
        let day = DAYS[time.weekday().to_monday_zero_offset() as usize];
        let hour = (time.hour() + 11) % 12 + 1;
        match element {
            Element::Text(text) => out.write_str(text),
            Element::Year => write!(out, "{:04}", time.year()),
            Element::ShortYear => write!(out, "{:02}", time.year().rem_euclid(100)),
            Element::Month { padded: false } => write!(out, "{}", time.month()),
            Element::Month { padded: true } => write!(out, "{:02}", time.month()),
            Element::MonthName { short: true } => out.write_str(&month[..3]),
            Element::MonthName { short: false } => out.write_str(month),
            Element::DayName { short: true } => out.write_str(&day[..3]),
            Element::DayName { short: false } => out.write_str(day),
            Element::Day { pad: None } => write!(out, "{}", time.day()),
            Element::Day { pad: Some(' ') } => write!(out, "{:2}", time.day()),
            Element::Day { pad: Some(_) } => write!(out, "{:02}", time.day()),
            Element::DayOfYear => write!(out, "{:03}", time.day_of_year()),
            Element::Hour24 => write!(out, "{:02}", time.hour()),
            Element::Hour12 { padded: false } => write!(out, "{hour}"),
            Element::Hour12 { padded: true } => write!(out, "{hour:02}"),
            Element::Minute { padded: false } => write!(out, "{}", time.minute()),
            Element::Minute { padded: true } => write!(out, "{:02}", time.minute()),
            Element::Second { padded: false } => write!(out, "{}", time.second()),
            Element::Second { padded: true } => write!(out, "{:02}", time.second()),
            Element::HalfDay { upper } => out.write_str(match (time.hour() < 12, upper) {
                (true, true) => "AM",
                (true, false) => "am",
                (false, true) => "PM",
                (false, false) => "pm",
            }),
            Element::Fraction { separator, digits, trimmed } => {
                let all = format!("{:09}", time.subsec_nanosecond());
                let shown = if trimmed { all[..digits].trim_end_matches('0') } else { &all[..digits] };
                if shown.is_empty() { Ok(()) } else { write!(out, "{separator}{shown}") }
            }
            Element::ZoneName => out.write_str(&self.zone_name()),
            Element::Offset { colon, z, seconds } => self.write_offset(out, colon, z, seconds),
        }
    }

    fn zone_name(&self) -> String {
        let details = self.0.time_zone().to_offset_info(self.0.timestamp());
        details.abbreviation().to_owned()
    }

    fn write_offset(&self, out: &mut String, colon: bool, z: bool, seconds: bool) -> fmt::Result {
        let offset = self.0.offset().seconds();
        if z && offset == 0 {
            return out.write_str("Z");
        }
        let sign = if offset < 0 { '-' } else { '+' };
        let (size, between) = (offset.unsigned_abs(), if colon { ":" } else { "" });
        write!(out, "{sign}{:02}{between}{:02}", size / 3600, size / 60 % 60)?;
        if seconds { write!(out, "{between}{:02}", size % 60) } else { Ok(()) }
    }
}

/// As Go prints a time.
impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.format("2006-01-02 15:04:05.999999999 -0700 MST"))
    }
}

/// Reads `text` by a layout of Go, in a zone unless it says its offset. What is no such time is the zero time; an unknown zone is UTC.
pub(super) fn parse(layout: &str, text: &str, zone: &str) -> Time {
    let zone = ZONES.get(zone).unwrap_or(TimeZone::UTC);
    read(layout, text, zone).unwrap_or_else(Time::zero)
}

/// What was read of a text.
struct Read<'a> {
    rest: &'a str,
    year: i16,
    month: i8,
    day: i8,
    day_of_year: Option<i16>,
    hour: i8,
    minute: i8,
    second: i8,
    nanos: i32,
    afternoon: Option<bool>,
    offset: Option<i32>,
}

fn read(layout: &str, text: &str, zone: TimeZone) -> Option<Time> {
    let mut read = Read {
        rest: text,
        year: 0,
        month: 1,
        day: 1,
        day_of_year: None,
        hour: 0,
        minute: 0,
        second: 0,
        nanos: 0,
        afternoon: None,
        offset: None,
    };
    let mut done = Some(());
    let mut fraction_follows = Vec::new();
    elements(layout, |element| fraction_follows.push(matches!(element, Element::Fraction { .. })));
    let mut at = 0;
    elements(layout, |element| {
        at += 1;
        let fraction_next = fraction_follows.get(at).copied().unwrap_or(false);
        done = done.and_then(|()| read.element(element, fraction_next));
    });
    done.filter(|()| read.rest.is_empty())?;
    let hour = match (read.afternoon, read.hour) {
        (Some(true), hour) if hour < 12 => hour + 12,
        (Some(false), 12) => 0,
        (_, hour) => hour,
    };
    let date = match read.day_of_year {
        Some(day) => civil::Date::new(read.year, 1, 1).ok()?.checked_add(jiff::Span::new().days(i64::from(day) - 1)).ok()?,
        None => civil::Date::new(read.year, read.month, read.day).ok()?,
    };
    let time = civil::Time::new(hour, read.minute, read.second, read.nanos).ok()?;
    let zone = match read.offset {
        Some(0) => TimeZone::UTC,
        Some(seconds) => TimeZone::fixed(jiff::tz::Offset::from_seconds(seconds).ok()?),
        None => zone,
    };
    date.to_datetime(time).to_zoned(zone).ok().map(Time)
}

impl<'a> Read<'a> {
    fn element(&mut self, element: Element<'_>, fraction_next: bool) -> Option<()> {
        match element {
            Element::Text(text) => self.rest = self.rest.strip_prefix(text)?,
            Element::Year => self.year = self.number(4, 4)?,
            Element::ShortYear => {
                let year: i16 = self.number(2, 2)?;
                self.year = if year >= 69 { 1900 + year } else { 2000 + year };
            }
            Element::Month { padded } => self.month = self.number(if padded { 2 } else { 1 }, 2)?,
            Element::MonthName { short } => self.month = self.name(&MONTHS, short)? as i8 + 1,
            Element::DayName { short } => {
                let _day: Weekday = Weekday::from_monday_zero_offset(self.name(&DAYS, short)? as i8).ok()?;
            }
            Element::Day { pad } => {
                if pad == Some(' ') {
                    self.rest = self.rest.strip_prefix(' ').unwrap_or(self.rest);
                }
                self.day = self.number(if pad == Some('0') { 2 } else { 1 }, 2)?;
            }
            Element::DayOfYear => self.day_of_year = Some(self.number(3, 3)?),
            Element::Hour24 => self.hour = self.number(1, 2)?,
            Element::Hour12 { padded } => self.hour = self.number(if padded { 2 } else { 1 }, 2).filter(|hour| *hour <= 12)?,
            Element::Minute { padded } => self.minute = self.number(if padded { 2 } else { 1 }, 2)?,
            Element::Second { padded } => {
                self.second = self.number(if padded { 2 } else { 1 }, 2)?;
                // A fraction may follow even where the layout has none.
                let digit_follows =
                    |rest: &str| rest.strip_prefix(['.', ',']).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
                if !fraction_next && digit_follows(self.rest) {
                    self.fraction(None)?;
                }
            }
            Element::Fraction { digits, trimmed: false, .. } => self.fraction(Some(digits))?,
            Element::Fraction { trimmed: true, .. } => {
                if self.rest.starts_with(['.', ',']) {
                    self.fraction(None)?;
                }
            }
            Element::HalfDay { .. } => {
                let half = self.rest.get(..2)?.to_ascii_uppercase();
                self.afternoon = Some(match half.as_str() {
                    "AM" => false,
                    "PM" => true,
                    _ => return None,
                });
                self.rest = &self.rest[2..];
            }
            Element::ZoneName => {
                let len = self.rest.bytes().take_while(u8::is_ascii_uppercase).count();
                if !(3..=5).contains(&len) {
                    return None;
                }
                if &self.rest[..len] == "UTC" {
                    self.offset = Some(0);
                }
                self.rest = &self.rest[len..];
            }
            Element::Offset { colon, z, seconds } => self.offset(colon, z, seconds)?,
        }
        Some(())
    }

    fn number<T: std::str::FromStr>(&mut self, least: usize, most: usize) -> Option<T> {
        let len = self.rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.rest.split_at(if len >= least { len } else { return None });
        self.rest = rest;
        digits.parse().ok()
    }

    /// The place of the name that comes next.
    fn name(&mut self, names: &[&str], short: bool) -> Option<usize> {
        let shown = |name: &&str| if short { name[..3].to_owned() } else { (*name).to_owned() };
        let at = names.iter().position(|name| {
            let name = shown(name);
            self.rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(&name))
        })?;
        self.rest = &self.rest[shown(&names[at]).len()..];
        Some(at)
    }

    /// A point and digits, as many as are asked for, or as there are.
    fn fraction(&mut self, digits: Option<usize>) -> Option<()> {
        let rest = self.rest.strip_prefix(['.', ','])?;
        let len = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits.is_some_and(|digits| digits != len) || len == 0 {
            return None;
        }
        let nine: String = rest[..len].chars().chain("000000000".chars()).take(9).collect();
        self.nanos = nine.parse().ok()?;
        self.rest = &rest[len..];
        Some(())
    }

    fn offset(&mut self, colon: bool, z: bool, seconds: bool) -> Option<()> {
        if z && self.rest.starts_with('Z') {
            self.rest = &self.rest[1..];
            self.offset = Some(0);
            return Some(());
        }
        let sign = match self.rest.chars().next()? {
            '+' => 1,
            '-' => -1,
            _ => return None,
        };
        self.rest = &self.rest[1..];
        let hours: i32 = self.number(2, 2)?;
        let mut size = hours * 3600;
        for unit in [60, 1].into_iter().take(if seconds { 2 } else { 1 }) {
            if colon {
                self.rest = self.rest.strip_prefix(':')?;
            }
            size += unit * self.number::<i32>(2, 2)?;
        }
        self.offset = Some(sign * size);
        Some(())
    }
}
