use super::quoted;
use skald_model::ErrorKind;
use std::borrow::Cow;

/// Why a text is not a number. Prints as Go's `strconv.ParseFloat` says it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseFloatError {
    /// Not the shape of a number.
    #[error("strconv.ParseFloat: parsing {}: invalid syntax", quoted(.0))]
    Syntax(String),
    /// Larger than 64 bits hold.
    #[error("strconv.ParseFloat: parsing {}: value out of range", quoted(.0))]
    Range(String),
}

impl ParseFloatError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Syntax(_) | Self::Range(_) => ErrorKind::InvalidInput,
        }
    }
}

/// Reads a number as Go does: decimal with optional exponent and `_` between digits, `Inf`, `Infinity` and `NaN` in any case,
/// hexadecimal only with a `p` exponent.
///
/// # Errors
/// [`ParseFloatError`] for any other text, or a number too large.
pub fn parse_float(text: &str) -> Result<f64, ParseFloatError> {
    if let Some(value) = small_integer(text.as_bytes()) {
        return Ok(value);
    }
    let syntax = || ParseFloatError::Syntax(text.to_owned());
    let (negative, body) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let sign = if negative { -1.0 } else { 1.0 };
    if body.eq_ignore_ascii_case("inf") || body.eq_ignore_ascii_case("infinity") {
        return Ok(sign * f64::INFINITY);
    }
    if text.eq_ignore_ascii_case("nan") {
        return Ok(f64::NAN);
    }
    if !underscores_separate_digits(body) {
        return Err(syntax());
    }
    let digits = if body.contains('_') { Cow::Owned(body.replace('_', "")) } else { Cow::Borrowed(body) };
    let value = if digits.starts_with("0x") || digits.starts_with("0X") {
        parse_hex(&digits[2..]).ok_or_else(syntax)?
    } else {
        if !digits.starts_with(|c: char| c == '.' || c.is_ascii_digit()) {
            return Err(syntax());
        }
        digits.parse::<f64>().map_err(|_| syntax())?
    };
    if value.is_infinite() { Err(ParseFloatError::Range(text.to_owned())) } else { Ok(sign * value) }
}

/// What most values are, without the detour.
fn small_integer(bytes: &[u8]) -> Option<f64> {
    if bytes.is_empty() || bytes.len() > 15 {
        return None;
    }
    let digit = |sum: u64, b: &u8| b.is_ascii_digit().then(|| sum * 10 + u64::from(b - b'0'));
    bytes.iter().try_fold(0, digit).map(|value| value as f64)
}

fn underscores_separate_digits(text: &str) -> bool {
    if !text.contains('_') {
        return true;
    }
    let hex = text.starts_with("0x") || text.starts_with("0X");
    let is_digit = |c: u8| c.is_ascii_digit() || (hex && (c.is_ascii_hexdigit() || c == b'x' || c == b'X'));
    let bytes = text.as_bytes();
    (0..bytes.len()).filter(|&i| bytes[i] == b'_').all(|i| {
        let before = i.checked_sub(1).is_some_and(|before| is_digit(bytes[before]));
        before && bytes.get(i + 1).is_some_and(|&after| is_digit(after) && after != b'x' && after != b'X')
    })
}

/// What follows `0x`: hex digits with an optional point, then `p` and a decimal exponent. Bits past the 64th are cut.
fn parse_hex(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let (sign, digits) = match exponent.as_bytes().first() {
        Some(b'-') => (-1, &exponent[1..]),
        Some(b'+') => (1, &exponent[1..]),
        _ => (1, exponent),
    };
    if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let mut exponent: i64 = sign * digits.parse::<i64>().unwrap_or(100_000).min(100_000);
    let (mut value, mut seen_point, mut seen_digit) = (0u64, false, false);
    for c in mantissa.chars() {
        if c == '.' && !seen_point {
            seen_point = true;
            continue;
        }
        let digit = u64::from(c.to_digit(16)?);
        seen_digit = true;
        if value >> 60 == 0 {
            value = value << 4 | digit;
            exponent -= if seen_point { 4 } else { 0 };
        } else {
            exponent += if seen_point { 0 } else { 4 };
        }
    }
    seen_digit.then(|| scale_by_power_of_two(value as f64, exponent.clamp(-2000, 2000) as i32))
}

/// `value * 2^exponent`, in steps that neither overflow nor vanish early.
fn scale_by_power_of_two(mut value: f64, mut exponent: i32) -> f64 {
    while exponent != 0 && value != 0.0 && value.is_finite() {
        let step = exponent.clamp(-500, 500);
        value *= 2f64.powi(step);
        exponent -= step;
    }
    value
}

/// The shortest decimal text that reads back the same, never with an exponent: Go's `'f', -1`.
pub fn format_fixed(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        format!("{value}")
    }
}

/// Go's `%v`: shortest, with an exponent below 1e-04 and from 1e+06 up.
pub fn format_float(value: f64) -> String {
    if !value.is_finite() || value == 0.0 {
        return format_fixed(value);
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("the `e` form has an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent is a small number");
    if (-4..6).contains(&exponent) {
        return format_fixed(value);
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}
