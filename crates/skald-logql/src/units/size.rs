use super::{ParseFloatError, parse_float};
use skald_model::ErrorKind;

/// Why a text is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseSizeError {
    /// The number is none.
    #[error(transparent)]
    Number(#[from] ParseFloatError),
    /// A unit that does not exist.
    #[error("unhandled size name: {0}")]
    Unit(String),
    /// More than 64 bits hold.
    #[error("too large: {0}")]
    TooLarge(String),
}

impl ParseSizeError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Number(_) | Self::Unit(_) | Self::TooLarge(_) => ErrorKind::InvalidInput,
        }
    }
}

/// Reads a size for people: a number (commas allowed), blanks, a unit in any case (`B`, `kB` = 1000, `KiB` = 1024, … `EiB`).
/// Fractions of a byte are cut.
///
/// # Errors
/// [`ParseSizeError`] for any other text.
pub fn parse_size(text: &str) -> Result<u64, ParseSizeError> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ',')).unwrap_or(text.len());
    let number = parse_float(&text[..end].replace(',', ""))?;
    let unit = text[end..].trim().to_lowercase();
    let factor: u64 = match unit.as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1000,
        "ki" | "kib" => 1 << 10,
        "m" | "mb" => 1_000_000,
        "mi" | "mib" => 1 << 20,
        "g" | "gb" => 1_000_000_000,
        "gi" | "gib" => 1 << 30,
        "t" | "tb" => 1_000_000_000_000,
        "ti" | "tib" => 1 << 40,
        "p" | "pb" => 1_000_000_000_000_000,
        "pi" | "pib" => 1 << 50,
        "e" | "eb" => 1_000_000_000_000_000_000,
        "ei" | "eib" => 1 << 60,
        _ => return Err(ParseSizeError::Unit(unit)),
    };
    let bytes = number * factor as f64;
    if bytes >= u64::MAX as f64 { Err(ParseSizeError::TooLarge(text.to_owned())) } else { Ok(bytes as u64) }
}

/// Prints a size with two or three digits and a unit of a thousand, without a blank: `1024` is `1.0kB`, `123456789` is `124MB`.
pub fn format_size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 10 {
        return format!("{bytes}B");
    }
    let power = (bytes as f64).log10().div_euclid(3.0).min(6.0) as usize;
    let value = (bytes as f64 / 1000f64.powi(power as i32) * 10.0 + 0.5).floor() / 10.0;
    if value < 10.0 { format!("{value:.1}{}", UNITS[power]) } else { format!("{value:.0}{}", UNITS[power]) }
}
