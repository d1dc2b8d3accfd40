//! Times, as templates read and write them.

use crate::layout::{self, Layout};
use jiff::civil;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use std::fmt::{self, Display, Formatter};

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

    /// The same instant in another zone; an unknown one is UTC.
    pub(super) fn in_zone(&self, zone: &str) -> Self {
        Time(self.0.with_time_zone(layout::zone(zone).unwrap_or(TimeZone::UTC)))
    }

    /// Later by so many nanoseconds; what no calendar reaches is its end.
    pub(super) fn plus(&self, nanos: i64) -> Self {
        let zone = self.0.time_zone().clone();
        Time(Time::utc(self.nanos() + i128::from(nanos)).0.with_time_zone(zone))
    }

    /// In a layout of Go.
    pub(super) fn format(&self, layout: &str) -> String {
        layout::format(&self.0, layout)
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
    let zone = layout::zone(zone).unwrap_or(TimeZone::UTC);
    let read = Layout::new(layout).read(text);
    read.and_then(|read| read.zoned(0, zone)).map_or_else(Time::zero, Time)
}
