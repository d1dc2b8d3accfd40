//! How texts of label values become numbers, with the error texts that users know.

use super::batch::text;
use skald_model::quote;

/// A decimal or hexadecimal floating-point number, an infinity or NaN.
pub(crate) fn parse_float(bytes: &[u8]) -> Result<f64, String> {
    if let Some(value) = small_integer(bytes) {
        return Ok(value);
    }
    let failed = |cause: &str| {
        let mut out = "strconv.ParseFloat: parsing ".to_owned();
        quote(&mut out, &text(bytes));
        out + ": " + cause
    };
    match float(bytes) {
        Some(value) if value.is_infinite() && bytes.iter().any(u8::is_ascii_digit) => Err(failed("value out of range")),
        Some(value) => Ok(value),
        None => Err(failed("invalid syntax")),
    }
}

fn small_integer(bytes: &[u8]) -> Option<f64> {
    if bytes.is_empty() || bytes.len() > 15 {
        return None;
    }
    let digit = |sum: u64, b: &u8| b.is_ascii_digit().then(|| sum * 10 + u64::from(b - b'0'));
    bytes.iter().try_fold(0, digit).map(|value| value as f64)
}

fn float(bytes: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (negative, unsigned) = match bytes.first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = unsigned.to_ascii_lowercase();
    let value = match lower.as_str() {
        "inf" | "infinity" => f64::INFINITY,
        "nan" if unsigned.len() == text.len() => f64::NAN,
        _ if lower.starts_with("0x") => hex_float(&without_underscores(&lower[2..])?)?,
        _ if lower.starts_with(|c: char| c.is_ascii_digit() || c == '.') => without_underscores(&lower)?.parse().ok()?,
        _ => return None,
    };
    Some(if negative { -value } else { value })
}

/// Underscores may stand between digits only.
fn without_underscores(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_hexdigit);
    let fits = |at: usize| bytes[at] != b'_' || (digit(at.checked_sub(1)) && digit(Some(at + 1)));
    (0..bytes.len()).all(fits).then(|| text.replace('_', ""))
}

/// What follows `0x`: digits and a binary exponent, which must be there.
fn hex_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('p')?;
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.len() + fraction.len() == 0 {
        return None;
    }
    let mut value = 0.0;
    for c in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(c.to_digit(16)?);
    }
    Some(value * 2f64.powi(exponent.saturating_sub(4 * fraction.len() as i32)))
}

/// A Go duration such as `1h30m` or `1.5s`, in nanoseconds.
pub(crate) fn parse_duration(bytes: &[u8]) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", quote_bytes(bytes));
    let (negative, mut rest) = match bytes.first() {
        Some(b'-') => (true, &bytes[1..]),
        Some(b'+') => (false, &bytes[1..]),
        _ => (false, bytes),
    };
    if rest == b"0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let number_len = rest.iter().position(|b| !b.is_ascii_digit() && *b != b'.').unwrap_or(rest.len());
        let dot = rest[..number_len].iter().position(|b| *b == b'.');
        // A second dot begins the unit's place, which is then empty.
        let number_len =
            dot.and_then(|at| rest[at + 1..number_len].iter().position(|b| *b == b'.').map(|i| at + 1 + i)).unwrap_or(number_len);
        let whole = &rest[..dot.unwrap_or(number_len)];
        let fraction = dot.map_or(&[][..], |at| &rest[at + 1..number_len]);
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        rest = &rest[number_len..];
        let unit_len = rest.iter().position(|b| b.is_ascii_digit() || *b == b'.').unwrap_or(rest.len());
        let unit = &rest[..unit_len];
        rest = &rest[unit_len..];
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {}", quote_bytes(bytes)));
        }
        let Some(scale) = duration_unit(unit) else {
            return Err(format!("time: unknown unit {} in duration {}", quote_bytes(unit), quote_bytes(bytes)));
        };
        let part = duration_part(whole, fraction, scale).ok_or_else(invalid)?;
        total = total.checked_add(part).filter(|sum| *sum <= 1 << 63).ok_or_else(invalid)?;
    }
    match (negative, i64::try_from(total)) {
        (false, Ok(total)) => Ok(total),
        (true, Ok(total)) => Ok(-total),
        (true, Err(_)) => Ok(i64::MIN),
        (false, Err(_)) => Err(invalid()),
    }
}

fn duration_unit(unit: &[u8]) -> Option<u64> {
    Some(match unit {
        b"ns" => 1,
        b"us" | b"\xc2\xb5s" | b"\xce\xbcs" => 1_000,
        b"ms" => 1_000_000,
        b"s" => 1_000_000_000,
        b"m" => 60_000_000_000,
        b"h" => 3_600_000_000_000,
        _ => return None,
    })
}

fn duration_part(whole: &[u8], fraction: &[u8], scale: u64) -> Option<u64> {
    let digit = |b: &u8| u64::from(b - b'0');
    let whole = whole.iter().try_fold(0u64, |sum, b| sum.checked_mul(10)?.checked_add(digit(b)))?.checked_mul(scale)?;
    let (mut part, mut place) = (0f64, 1f64);
    for b in fraction {
        place *= 10.0;
        part += digit(b) as f64 / place;
    }
    whole.checked_add((part * scale as f64 + 1e-6) as u64)
}

/// Double quotes with every byte outside printable ASCII as `\xNN`.
fn quote_bytes(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for b in bytes {
        match b {
            b'"' | b'\\' => out.extend(['\\', char::from(*b)]),
            b' '..=b'~' => out.push(char::from(*b)),
            _ => out.push_str(&format!("\\x{b:02x}")),
        }
    }
    out + "\""
}

/// A size such as `5kB`, `1.5 MiB` or `100`, in bytes.
pub(crate) fn parse_bytes(bytes: &[u8]) -> Result<u64, String> {
    let digits = bytes.iter().position(|b| !b.is_ascii_digit() && *b != b'.' && *b != b',').unwrap_or(bytes.len());
    let number: Vec<u8> = bytes[..digits].iter().copied().filter(|b| *b != b',').collect();
    let value = parse_float(&number)?;
    let unit = text(&bytes[digits..]).trim().to_lowercase();
    let Some(scale) = size_unit(&unit) else {
        return Err(format!("unhandled size name: {unit}"));
    };
    let total = value * scale;
    if total >= u64::MAX as f64 {
        return Err(format!("too large: {}", text(bytes)));
    }
    Ok(total as u64)
}

fn size_unit(unit: &str) -> Option<f64> {
    let (letter, rest) = match unit {
        "" | "b" => return Some(1.0),
        _ => unit.split_at_checked(1)?,
    };
    let power = "kmgtpe".find(letter)? as i32 + 1;
    match rest {
        "" | "b" => Some(1000f64.powi(power)),
        "i" | "ib" => Some(1024f64.powi(power)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats() {
        for (text, want) in [("5", 5.0), ("1e1", 10.0), ("-1_000.5", -1000.5), ("+Inf", f64::INFINITY), ("0x1.8p1", 3.0), (".5", 0.5)] {
            assert_eq!(parse_float(text.as_bytes()), Ok(want), "{text}");
        }
        assert!(parse_float(b"NaN").is_ok_and(f64::is_nan));
        for text in ["", "x", "0x10", "1_", "--1", "+nan", "1e", "5 "] {
            assert_eq!(parse_float(text.as_bytes()), Err(format!("strconv.ParseFloat: parsing {text:?}: invalid syntax")));
        }
        assert_eq!(parse_float(b"1e400"), Err("strconv.ParseFloat: parsing \"1e400\": value out of range".to_owned()));
    }

    #[test]
    fn durations() {
        for (text, want) in
            [("5s", 5_000_000_000), ("1.5h", 5_400_000_000_000), ("0", 0), ("-2s", -2_000_000_000), ("1m0.1s", 60_100_000_000)]
        {
            assert_eq!(parse_duration(text.as_bytes()), Ok(want), "{text}");
        }
        for (text, want) in [
            ("1d", r#"time: unknown unit "d" in duration "1d""#),
            ("5", r#"time: missing unit in duration "5""#),
            ("x", r#"time: invalid duration "x""#),
            ("", r#"time: invalid duration """#),
            ("björn", r#"time: invalid duration "bj\xc3\xb6rn""#),
            ("9999999h", r#"time: invalid duration "9999999h""#),
        ] {
            assert_eq!(parse_duration(text.as_bytes()), Err(want.to_owned()));
        }
    }

    #[test]
    fn sizes() {
        for (text, want) in
            [("5KB", 5_000), ("5 kib", 5_120), ("1,024B", 1_024), ("1.5", 1), ("2MiB", 2 << 20), ("1E", 1_000_000_000_000_000_000)]
        {
            assert_eq!(parse_bytes(text.as_bytes()), Ok(want), "{text}");
        }
        assert_eq!(parse_bytes(b"5kbps"), Err("unhandled size name: kbps".to_owned()));
        assert_eq!(parse_bytes(b"-1"), Err("strconv.ParseFloat: parsing \"\": invalid syntax".to_owned()));
    }
}
