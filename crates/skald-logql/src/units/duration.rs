use super::quoted;
use skald_model::ErrorKind;
use std::fmt::Write;
use std::time::Duration;

const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// The largest duration that Go holds, in nanoseconds.
const MAX_NANOS: u64 = i64::MAX as u64;
/// Units of a Prometheus duration, largest first, in milliseconds; those with `true` are printed only when nothing remains.
const UNITS: [(&str, u64, bool); 7] = [
    ("y", 365 * 86_400_000, true),
    ("w", 7 * 86_400_000, true),
    ("d", 86_400_000, false),
    ("h", 3_600_000, false),
    ("m", 60_000, false),
    ("s", 1000, false),
    ("ms", 1, false),
];

/// Why a text is not a Prometheus duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// No text.
    #[error("empty duration string")]
    Empty,
    /// Not numbers and units in turn.
    #[error("not a valid duration string: {}", quoted(.0))]
    Invalid(String),
    /// A unit that does not exist.
    #[error("unknown unit {} in duration {}", quoted(.unit), quoted(.text))]
    UnknownUnit {
        /// The unit.
        unit: String,
        /// The whole text.
        text: String,
    },
    /// Longer than 292 years.
    #[error("duration out of range")]
    OutOfRange,
}

impl DurationError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Empty | Self::Invalid(_) | Self::UnknownUnit { .. } | Self::OutOfRange => ErrorKind::InvalidInput,
        }
    }
}

/// Why a text is not a Go duration. Prints as Go's `time.ParseDuration` says it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GoDurationError {
    /// Not numbers and units in turn, or too long.
    #[error("time: invalid duration {}", byte_quoted(.0))]
    Invalid(String),
    /// A number without a unit.
    #[error("time: missing unit in duration {}", byte_quoted(.0))]
    MissingUnit(String),
    /// A unit that does not exist.
    #[error("time: unknown unit {} in duration {}", byte_quoted(.unit), byte_quoted(.text))]
    UnknownUnit {
        /// The unit.
        unit: String,
        /// The whole text.
        text: String,
    },
}

impl GoDurationError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) | Self::MissingUnit(_) | Self::UnknownUnit { .. } => ErrorKind::InvalidInput,
        }
    }
}

/// In double quotes, with every byte outside printable ASCII as `\xNN`, as Go's durations quote.
fn byte_quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for b in text.bytes() {
        match b {
            b'"' | b'\\' => out.extend(['\\', char::from(b)]),
            b' '..=b'~' => out.push(char::from(b)),
            _ => out.push_str(&format!("\\x{b:02x}")),
        }
    }
    out + "\""
}

/// Reads a Prometheus duration: whole numbers with `y w d h m s ms`, each unit once, largest first; or `0`.
///
/// # Errors
/// [`DurationError`] for any other text.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    if text.is_empty() {
        return Err(DurationError::Empty);
    }
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let invalid = || DurationError::Invalid(text.to_owned());
    let mut rest = text;
    let mut next_unit = 0;
    let mut millis: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return Err(invalid());
        }
        let number: u64 = rest[..digits].parse().map_err(|_| DurationError::OutOfRange)?;
        rest = &rest[digits..];
        let unit_len = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = &rest[..unit_len];
        if unit.is_empty() {
            return Err(invalid());
        }
        let Some(place) = UNITS.iter().position(|(name, ..)| *name == unit) else {
            return Err(DurationError::UnknownUnit { unit: unit.to_owned(), text: text.to_owned() });
        };
        if place < next_unit {
            return Err(invalid());
        }
        next_unit = place + 1;
        rest = &rest[unit_len..];
        let part = number.checked_mul(UNITS[place].1).ok_or(DurationError::OutOfRange)?;
        millis = millis.checked_add(part).filter(|ms| *ms <= MAX_NANOS / 1_000_000).ok_or(DurationError::OutOfRange)?;
    }
    Ok(Duration::from_millis(millis))
}

/// Prints a Prometheus duration, cut to milliseconds: years and weeks only if nothing remains, else days and less (`36h` is `1d12h`).
pub fn format_duration(duration: Duration) -> String {
    let mut millis = duration.as_millis() as u64;
    if millis == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    for (unit, size, exact) in UNITS {
        if exact && !millis.is_multiple_of(size) {
            continue;
        }
        if millis >= size {
            let _ = write!(out, "{}{unit}", millis / size);
            millis %= size;
        }
    }
    out
}

/// Reads a Go duration (`1h30m`, `1.5s`, `-5µs`, `0`) into nanoseconds.
///
/// # Errors
/// [`GoDurationError`] for any other text, or one that does not fit 63 bits.
pub fn parse_go_duration(text: &str) -> Result<i64, GoDurationError> {
    let invalid = || GoDurationError::Invalid(text.to_owned());
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (whole, fraction);
        (whole, rest) = split_digits(rest);
        let mut has_digits = !whole.is_empty();
        fraction = if let Some(after) = rest.strip_prefix('.') {
            let (digits, after) = split_digits(after);
            rest = after;
            has_digits |= !digits.is_empty();
            digits
        } else {
            ""
        };
        if !has_digits {
            return Err(invalid());
        }
        let unit_len = rest.bytes().position(|b| b == b'.' || b.is_ascii_digit()).unwrap_or(rest.len());
        let unit = &rest[..unit_len];
        rest = &rest[unit_len..];
        let size = match unit {
            "" => return Err(GoDurationError::MissingUnit(text.to_owned())),
            "ns" => 1,
            "us" | "µs" | "μs" => 1000,
            "ms" => 1_000_000,
            "s" => NANOS_PER_SECOND,
            "m" => 60 * NANOS_PER_SECOND,
            "h" => 3600 * NANOS_PER_SECOND,
            _ => return Err(GoDurationError::UnknownUnit { unit: unit.to_owned(), text: text.to_owned() }),
        };
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        let part = whole.checked_mul(size).and_then(|nanos| nanos.checked_add(fraction_nanos(fraction, size)));
        total = part.and_then(|nanos| total.checked_add(nanos)).filter(|nanos| *nanos <= 1 << 63).ok_or_else(invalid)?;
    }
    match (negative, total) {
        (true, nanos) => Ok((nanos as i64).wrapping_neg()),
        (false, nanos) if nanos <= MAX_NANOS => Ok(nanos as i64),
        (false, _) => Err(invalid()),
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// `digits` as a fraction of a unit of `size` nanoseconds, rounded down. Digits past the 18th change nothing.
fn fraction_nanos(digits: &str, size: u64) -> u64 {
    let digits = &digits[..digits.len().min(18)];
    if digits.is_empty() {
        return 0;
    }
    let value: u64 = digits.parse().expect("at most 18 digits fit");
    (value as f64 * (size as f64 / 10f64.powi(digits.len() as i32))) as u64
}

/// Prints nanoseconds as Go prints a duration: `1h30m0s`, `1.5s`, `5µs`, `0s`.
pub fn format_go_duration(nanos: i64) -> String {
    let size = nanos.unsigned_abs();
    let sign = if nanos < 0 { "-" } else { "" };
    if size == 0 {
        return "0s".to_owned();
    }
    if size < NANOS_PER_SECOND {
        let (unit, scale) = match size {
            ..1000 => ("ns", 1),
            1000..1_000_000 => ("µs", 1000),
            _ => ("ms", 1_000_000),
        };
        return format!("{sign}{}{unit}", decimal(size, scale));
    }
    let (minutes, rest) = (size / (60 * NANOS_PER_SECOND), size % (60 * NANOS_PER_SECOND));
    let (hours, minutes) = (minutes / 60, minutes % 60);
    let seconds = decimal(rest, NANOS_PER_SECOND);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, _) => format!("{sign}{minutes}m{seconds}s"),
        _ => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

/// `value / scale` (a power of ten) without trailing zeros.
fn decimal(value: u64, scale: u64) -> String {
    let (whole, rest) = (value / scale, value % scale);
    if rest == 0 {
        return whole.to_string();
    }
    let width = scale.ilog10() as usize;
    format!("{whole}.{rest:0width$}").trim_end_matches('0').to_owned()
}
