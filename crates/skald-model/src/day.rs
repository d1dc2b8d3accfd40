use crate::{TimeRange, Timestamp};
use std::fmt;
use std::str::FromStr;

const NANOS: i64 = 86_400 * 1_000_000_000;

/// A UTC day, counted from 1970-01-01. Prints and parses as `YYYY-MM-DD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day(pub i32);

impl Day {
    /// The day that holds `at`.
    pub fn of(at: Timestamp) -> Self {
        Day(at.0.div_euclid(NANOS) as i32)
    }

    /// First instant of the day, saturating at the ends of time.
    pub fn start(self) -> Timestamp {
        Timestamp(i64::from(self.0).saturating_mul(NANOS))
    }

    /// The whole day.
    pub fn range(self) -> TimeRange {
        TimeRange::new(self.start(), Timestamp(self.start().0.saturating_add(NANOS)))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(i64::from(self.0));
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl FromStr for Day {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(3, '-');
        let mut next = || parts.next().and_then(|part| part.parse::<u32>().ok()).ok_or(());
        let (year, month, day) = (next()?, next()?, next()?);
        let found = Day(days(i64::from(year), month, day) as i32);
        if found.to_string() == text { Ok(found) } else { Err(()) }
    }
}

/// Proleptic Gregorian date of a day number (algorithm: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Inverse of [`civil`].
fn days(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_parses() {
        for (number, text) in [(0, "1970-01-01"), (20_468, "2026-01-15"), (-1, "1969-12-31"), (19_782, "2024-02-29")] {
            assert_eq!(Day(number).to_string(), text);
            assert_eq!(text.parse(), Ok(Day(number)));
        }
        assert!("2026-02-30".parse::<Day>().is_err());
        assert!("junk".parse::<Day>().is_err());
    }

    #[test]
    fn belongs_to_the_day_that_holds_it() {
        assert_eq!(Day::of(Timestamp(-1)), Day(-1));
        assert_eq!(Day::of(Timestamp(NANOS)), Day(1));
        assert!(Day(3).range().contains(Timestamp(3 * NANOS)));
        assert!(!Day(3).range().contains(Timestamp(4 * NANOS)));
    }
}
