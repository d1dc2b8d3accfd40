use super::elements::{Element, Precision};
use super::{DAYS, MONTHS};
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use jiff::{Span, Timestamp, ToSpan, Zoned};

/// What was read of a text; what its layout has not is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading<'t> {
    year: Option<i16>,
    month: Option<i8>,
    day: Option<i8>,
    day_of_year: Option<i16>,
    time: Time,
    zone: Option<ReadZone<'t>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadZone<'t> {
    /// Seconds east of UTC.
    Offset(i32),
    /// An abbreviation.
    Name(&'t str),
}

impl Reading<'_> {
    /// The year, if the text said it.
    pub fn year(&self) -> Option<i16> {
        self.year
    }

    /// The month from 1, if the text said it.
    pub fn month(&self) -> Option<i8> {
        self.month
    }

    /// The instant, in `year` if the text said none, and in `zone` if the text said no offset. An abbreviation that `zone` does not use means UTC.
    ///
    /// `None` when the year has no such day, or when no calendar has it.
    pub fn timestamp(&self, year: i16, zone: &TimeZone) -> Option<Timestamp> {
        let datetime = self.datetime(year)?;
        match self.offset(datetime, zone)? {
            Some(offset) => offset.to_timestamp(datetime).ok(),
            None => zone.to_timestamp(datetime).ok(),
        }
    }

    /// Like [`Reading::timestamp`], with the zone that it was read in.
    pub(crate) fn zoned(&self, year: i16, zone: TimeZone) -> Option<Zoned> {
        let datetime = self.datetime(year)?;
        let zone = match self.offset(datetime, &zone)? {
            Some(Offset::UTC) => TimeZone::UTC,
            Some(offset) => TimeZone::fixed(offset),
            None => zone,
        };
        datetime.to_zoned(zone).ok()
    }

    fn datetime(&self, year: i16) -> Option<DateTime> {
        let year = self.year.unwrap_or(year);
        let date = match self.day_of_year {
            None => Date::new(year, self.month.unwrap_or(1), self.day.unwrap_or(1)).ok()?,
            Some(day) => {
                let date = Date::new(year, 1, 1).ok()?.checked_add(Span::new().try_days(i64::from(day) - 1).ok()?).ok()?;
                let agrees = |said: Option<i8>, is: i8| said.is_none_or(|said| said == is);
                let fits = date.year() == year && agrees(self.month, date.month()) && agrees(self.day, date.day());
                fits.then_some(date)?
            }
        };
        Some(date.to_datetime(self.time))
    }

    /// The offset that the text says; within, none for that of the zone.
    fn offset(&self, datetime: DateTime, zone: &TimeZone) -> Option<Option<Offset>> {
        match self.zone {
            None => Some(None),
            Some(ReadZone::Offset(seconds)) => Offset::from_seconds(seconds).ok().map(Some),
            Some(ReadZone::Name(name)) => named_offset(name, datetime, zone).map(Some),
        }
    }
}

/// The offset that an abbreviation stands for in a zone: the one of that time, else the one of the other half of the year; `GMT-3` says its own.
fn named_offset(name: &str, datetime: DateTime, zone: &TimeZone) -> Option<Offset> {
    let at = zone.to_timestamp(datetime).ok()?;
    for instant in [Some(at), at.checked_add((182 * 24).hours()).ok()].into_iter().flatten() {
        let info = zone.to_offset_info(instant);
        if info.abbreviation() == name {
            return Some(info.offset());
        }
    }
    let hours = name.strip_prefix("GMT").and_then(|hours| hours.parse::<i32>().ok()).unwrap_or(0);
    Offset::from_seconds(hours * 3600).ok()
}

/// Takes a text apart.
pub(super) struct Reader<'t> {
    rest: &'t str,
    year: Option<i16>,
    month: Option<i8>,
    day: Option<i8>,
    day_of_year: Option<i16>,
    hour: i8,
    minute: i8,
    second: i8,
    nanos: i32,
    afternoon: Option<bool>,
    zone: Option<ReadZone<'t>>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let (year, month, day, day_of_year) = (None, None, None, None);
        let (hour, minute, second, nanos) = (0, 0, 0, 0);
        Reader { rest: text, year, month, day, day_of_year, hour, minute, second, nanos, afternoon: None, zone: None }
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Option<Reading<'t>> {
        if !self.rest.is_empty() {
            return None;
        }
        let hour = match (self.afternoon, self.hour) {
            (Some(true), hour) if hour < 12 => hour + 12,
            (Some(false), 12) => 0,
            (_, hour) => hour,
        };
        let time = Time::new(hour, self.minute, self.second, self.nanos).ok()?;
        Some(Reading { year: self.year, month: self.month, day: self.day, day_of_year: self.day_of_year, time, zone: self.zone })
    }

    /// Passes a text of the layout. Blanks stand for one or more of them, and at the end of what is read for none.
    pub(super) fn text(&mut self, mut text: &str) -> Option<()> {
        while let Some(c) = text.chars().next() {
            if c == ' ' {
                if !self.rest.is_empty() && !self.rest.starts_with(' ') {
                    return None;
                }
                (text, self.rest) = (text.trim_start_matches(' '), self.rest.trim_start_matches(' '));
            } else {
                self.rest = self.rest.strip_prefix(c)?;
                text = &text[c.len_utf8()..];
            }
        }
        Some(())
    }

    pub(super) fn element(&mut self, element: Element, before_fraction: bool) -> Option<()> {
        match element {
            Element::Year => self.year = Some(self.number(4, 4)?),
            Element::ShortYear => {
                let year: i16 = self.number(2, 2)?;
                self.year = Some(if year >= 69 { 1900 + year } else { 2000 + year });
            }
            Element::Month { padded } => self.month = Some(self.padded(padded)?),
            Element::MonthName { short } => self.month = Some(self.name(&MONTHS, short)? + 1),
            Element::DayName { short } => {
                self.name(&DAYS, short)?;
            }
            Element::Day { pad } => {
                if pad == Some(' ') {
                    self.rest = self.rest.strip_prefix(' ').unwrap_or(self.rest);
                }
                self.day = Some(self.padded(pad == Some('0'))?);
            }
            Element::DayOfYear { pad } => {
                for _ in 0..if pad == ' ' { 2 } else { 0 } {
                    self.rest = self.rest.strip_prefix(' ').unwrap_or(self.rest);
                }
                self.day_of_year = Some(self.number(if pad == ' ' { 1 } else { 3 }, 3)?);
            }
            Element::Hour24 => self.hour = self.padded(false)?,
            Element::Hour12 { padded } => self.hour = self.padded(padded).filter(|hour| *hour <= 12)?,
            Element::Minute { padded } => self.minute = self.padded(padded)?,
            Element::Second { padded } => {
                self.second = self.padded(padded)?;
                // A fraction may follow even where the layout has none.
                if !before_fraction && fraction_len(self.rest) > 0 {
                    self.fraction(fraction_len(self.rest))?;
                }
            }
            Element::Fraction { digits, trimmed: false, .. } => self.fraction(digits)?,
            Element::Fraction { trimmed: true, .. } => match fraction_len(self.rest) {
                0 => {}
                digits => self.fraction(digits)?,
            },
            Element::HalfDay { upper } => {
                let half = self.take(2)?;
                self.afternoon = Some(match (half, upper) {
                    ("AM", true) | ("am", false) => false,
                    ("PM", true) | ("pm", false) => true,
                    _ => return None,
                });
            }
            Element::ZoneName => {
                let name = self.take(zone_name_len(self.rest)?)?;
                self.zone = Some(if name == "UTC" { ReadZone::Offset(0) } else { ReadZone::Name(name) });
            }
            Element::Offset { colon, z, precision } => self.offset(colon, z, precision)?,
        }
        Some(())
    }

    /// The next bytes, if there are as many and they end at a character.
    fn take(&mut self, len: usize) -> Option<&'t str> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    fn number<T: std::str::FromStr>(&mut self, least: usize, most: usize) -> Option<T> {
        let len = self.rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if len < least { None } else { self.take(len)?.parse().ok() }
    }

    /// Two digits, or where they are not padded also one.
    fn padded(&mut self, padded: bool) -> Option<i8> {
        self.number(if padded { 2 } else { 1 }, 2)
    }

    /// The place of the name that comes next, in any case.
    fn name(&mut self, names: &[&str], short: bool) -> Option<i8> {
        let len = |name: &str| if short { 3 } else { name.len() };
        let begins = |name: &&str| self.rest.get(..len(name)).is_some_and(|start| start.eq_ignore_ascii_case(&name[..len(name)]));
        let at = names.iter().position(begins)?;
        self.rest = &self.rest[len(names[at])..];
        i8::try_from(at).ok()
    }

    /// A point or comma and as many digits, of which nine count.
    fn fraction(&mut self, digits: usize) -> Option<()> {
        let text = self.take(1 + digits)?;
        let digits = text.strip_prefix(['.', ','])?;
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        self.nanos = digits.bytes().chain(*b"000000000").take(9).fold(0, |nanos, digit| nanos * 10 + i32::from(digit - b'0'));
        Some(())
    }

    fn offset(&mut self, colon: bool, z: bool, precision: Precision) -> Option<()> {
        if z && let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            self.zone = Some(ReadZone::Offset(0));
            return Some(());
        }
        let sign = match self.take(1)? {
            "+" => 1,
            "-" => -1,
            _ => return None,
        };
        let mut size = self.number::<i32>(2, 2).filter(|hours| *hours <= 24)? * 3600;
        let smaller: &[i32] = match precision {
            Precision::Hours => &[],
            Precision::Minutes => &[60],
            Precision::Seconds => &[60, 1],
        };
        for unit in smaller {
            if colon {
                self.rest = self.rest.strip_prefix(':')?;
            }
            size += unit * self.number::<i32>(2, 2).filter(|number| *number <= 60)?;
        }
        self.zone = Some(ReadZone::Offset(sign * size));
        Some(())
    }
}

/// Digits behind the point or comma that a text begins with; 0 where it begins with none.
fn fraction_len(text: &str) -> usize {
    text.strip_prefix(['.', ',']).map_or(0, |digits| digits.bytes().take_while(u8::is_ascii_digit).count())
}

/// Length of the abbreviation of a zone that a text begins with: three capital letters, four or five that end in T, and a few others.
fn zone_name_len(text: &str) -> Option<usize> {
    if text.starts_with("UTC") {
        return Some(3);
    }
    if text.starts_with("ChST") || text.starts_with("MeST") || text.starts_with("WITA") {
        return Some(4);
    }
    if let Some(rest) = text.strip_prefix("GMT") {
        return Some(3 + hours_len(rest));
    }
    if text.starts_with(['+', '-']) {
        return Some(hours_len(text)).filter(|len| *len > 0);
    }
    let capitals = text.bytes().take(6).take_while(u8::is_ascii_uppercase).count();
    match capitals {
        3 => Some(3),
        4 | 5 => (text.as_bytes()[capitals - 1] == b'T').then_some(capitals),
        _ => None,
    }
}

/// Length of a signed number of hours; 0 where there is none.
fn hours_len(text: &str) -> usize {
    let Some(digits) = text.strip_prefix(['+', '-']) else { return 0 };
    let len = digits.bytes().take_while(u8::is_ascii_digit).count();
    if digits[..len].parse::<u8>().is_ok_and(|hours| hours <= 23) { 1 + len } else { 0 }
}
