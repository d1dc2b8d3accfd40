use super::elements::{Element, Precision, chunks};
use super::{DAYS, MONTHS};
use jiff::Zoned;
use std::fmt::{self, Write};

/// Writes a time in a layout.
pub fn format(time: &Zoned, layout: &str) -> String {
    let mut out = String::new();
    chunks(layout, |text, element| {
        out.push_str(text);
        if let Some(element) = element {
            write(time, element, &mut out).expect("a String takes everything");
        }
    });
    out
}

fn write(time: &Zoned, element: Element, out: &mut String) -> fmt::Result {
    let month = MONTHS[time.month() as usize - 1];
    let day = DAYS[time.weekday().to_monday_zero_offset() as usize];
    let hour = (time.hour() + 11) % 12 + 1;
    match element {
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
        Element::DayOfYear { pad: ' ' } => write!(out, "{:3}", time.day_of_year()),
        Element::DayOfYear { .. } => write!(out, "{:03}", time.day_of_year()),
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
        Element::ZoneName => out.write_str(&zone_name(time)),
        Element::Offset { colon, z, precision } => write_offset(time, out, colon, z, precision),
    }
}

fn zone_name(time: &Zoned) -> String {
    let details = time.time_zone().to_offset_info(time.timestamp());
    details.abbreviation().to_owned()
}

fn write_offset(time: &Zoned, out: &mut String, colon: bool, z: bool, precision: Precision) -> fmt::Result {
    let offset = time.offset().seconds();
    if z && offset == 0 {
        return out.write_str("Z");
    }
    let sign = if offset < 0 { '-' } else { '+' };
    let (size, between) = (offset.unsigned_abs(), if colon { ":" } else { "" });
    write!(out, "{sign}{:02}", size / 3600)?;
    if precision != Precision::Hours {
        write!(out, "{between}{:02}", size / 60 % 60)?;
    }
    if precision == Precision::Seconds { write!(out, "{between}{:02}", size % 60) } else { Ok(()) }
}
