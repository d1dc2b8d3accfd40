use jiff::tz::TimeZone;
use skald_logql::layout::{Layout, Reading};
use skald_model::Timestamp;

const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// Names that stand for layouts.
const NAMED: [(&str, &str); 10] = [
    ("ANSIC", "Mon Jan _2 15:04:05 2006"),
    ("UnixDate", "Mon Jan _2 15:04:05 MST 2006"),
    ("RubyDate", "Mon Jan 02 15:04:05 -0700 2006"),
    ("RFC822", "02 Jan 06 15:04 MST"),
    ("RFC822Z", "02 Jan 06 15:04 -0700"),
    ("RFC850", "Monday, 02-Jan-06 15:04:05 MST"),
    ("RFC1123", "Mon, 02 Jan 2006 15:04:05 MST"),
    ("RFC1123Z", "Mon, 02 Jan 2006 15:04:05 -0700"),
    ("RFC3339", "2006-01-02T15:04:05Z07:00"),
    ("RFC3339Nano", "2006-01-02T15:04:05.999999999Z07:00"),
];

/// How a text says a time.
#[derive(Debug, Clone)]
pub(super) enum Format {
    /// A number of so many nanoseconds since 1970, which may have a fraction.
    Unix {
        unit: i128,
        fraction: bool,
    },
    Layout {
        layout: Layout,
        zone: TimeZone,
    },
}

impl Format {
    /// Of a name, or a layout. `zone` is where a layout's times are meant that say no offset.
    pub(super) fn new(format: &str, zone: Option<&TimeZone>) -> Self {
        let unit = match format {
            "Unix" => NANOS_PER_SECOND,
            "UnixMs" => 1_000_000,
            "UnixUs" => 1_000,
            "UnixNs" => 1,
            _ => {
                return match NAMED.iter().find(|(name, _)| *name == format) {
                    Some((_, layout)) => Format::Layout { layout: Layout::new(layout), zone: TimeZone::UTC },
                    None => Format::Layout { layout: Layout::new(format), zone: zone.cloned().unwrap_or(TimeZone::UTC) },
                };
            }
        };
        Format::Unix { unit, fraction: unit == NANOS_PER_SECOND }
    }

    /// The time that `text` says; `now` decides the year where it says none.
    pub(super) fn read(&self, text: &str, now: Timestamp) -> Option<Timestamp> {
        match self {
            Format::Unix { unit, fraction } => unix(text, *unit, *fraction),
            Format::Layout { layout, zone } => {
                let reading = layout.read(text)?;
                let year = if reading.year().is_some() { 0 } else { likely_year(&reading, now, zone)? };
                let instant = reading.timestamp(year, zone)?;
                i64::try_from(instant.as_nanosecond()).ok().map(Timestamp)
            }
        }
    }
}

/// This year; but December seen in January was last year's, and January seen in December is next year's.
fn likely_year(reading: &Reading<'_>, now: Timestamp, zone: &TimeZone) -> Option<i16> {
    let now = zone.to_datetime(jiff::Timestamp::from_nanosecond(now.0.into()).ok()?);
    Some(match (reading.month(), now.month()) {
        (Some(12), 1) => now.year() - 1,
        (Some(1), 12) => now.year() + 1,
        _ => now.year(),
    })
}

fn unix(text: &str, unit: i128, fraction: bool) -> Option<Timestamp> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, part) = digits.split_once('.').filter(|_| fraction).unwrap_or((digits, ""));
    let is_number = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(part) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let part = part.bytes().chain(*b"000000000").take(9).fold(0, |nanos, digit| nanos * 10 + i128::from(digit - b'0'));
    let nanos = i128::from(whole) * unit + part;
    i64::try_from(if negative { -nanos } else { nanos }).ok().map(Timestamp)
}
