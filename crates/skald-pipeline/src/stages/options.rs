//! How options are read that several stages have.

use crate::relabel::is_label_name;
use crate::{StageError, Text};
use ::regex::bytes::Regex;
use skald_logql::regex::{Flags, compile};
use skald_logql::units::parse_go_duration;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// An option that may be left out, but not be empty.
pub(crate) fn not_empty<'a>(option: &'static str, text: Option<&'a str>) -> Result<Option<&'a str>, StageError> {
    match text {
        Some("") => Err(StageError::invalid(option, "may be left out, but not be empty")),
        text => Ok(text),
    }
}

/// An option that has to be there.
pub(crate) fn required<'a>(option: &'static str, text: Option<&'a str>) -> Result<&'a str, StageError> {
    text.filter(|text| !text.is_empty()).ok_or(StageError::Missing { option })
}

/// The reason under which dropped lines are counted.
pub(crate) fn reason<'a>(text: Option<&'a str>, default: &'a str) -> &'a str {
    text.filter(|text| !text.is_empty()).unwrap_or(default)
}

/// A pattern that is searched for, in Go's syntax.
pub(crate) fn regex(option: &'static str, pattern: &str) -> Result<Arc<Regex>, StageError> {
    compile(pattern, Flags::SEARCH).map(Arc::new).map_err(|source| StageError::Regex { option, source })
}

/// A duration as Go writes it, not below zero.
pub(crate) fn duration(option: &'static str, text: &str) -> Result<Duration, StageError> {
    let nanos = parse_go_duration(text).map_err(|err| StageError::invalid(option, err.to_string()))?;
    u64::try_from(nanos).map(Duration::from_nanos).map_err(|_| StageError::invalid(option, "may not be negative"))
}

/// A size: a number with a unit in any case; `kb` is 1024.
pub(crate) fn bytes(option: &'static str, text: &str) -> Result<usize, StageError> {
    let invalid = || StageError::invalid(option, format!("{text:?} is no size, such as 8192 or 8kb"));
    let text = text.trim();
    let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..end].parse().map_err(|_| invalid())?;
    let power = match text[end..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        _ => return Err(invalid()),
    };
    let bytes = number.checked_mul(1 << (10 * power)).and_then(|bytes| usize::try_from(bytes).ok());
    bytes.ok_or_else(invalid)
}

/// A map from names of labels to names of values; no value is the label's own name.
pub(crate) fn sources(names: &BTreeMap<String, Option<String>>) -> Result<Arc<[(Text, Text)]>, StageError> {
    let pair = |(label, source): (&String, &Option<String>)| {
        if !is_label_name(label) {
            return Err(StageError::Name(label.clone()));
        }
        let source = source.as_deref().filter(|source| !source.is_empty()).unwrap_or(label);
        Ok((Text::from(label.as_str()), Text::from(source)))
    };
    names.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_count_in_1024s() {
        for (text, want) in
            [("0", Some(0)), ("8192", Some(8192)), ("8kb", Some(8192)), (" 2 MiB ", Some(2 << 20)), ("1G", Some(1 << 30)), ("7B", Some(7))]
        {
            assert_eq!(bytes("size", text).ok(), want, "{text}");
        }
        for text in ["", "kb", "-1", "1.5kb", "1 parsec", "99999999999tb"] {
            assert!(bytes("size", text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_not_negative() {
        assert_eq!(duration("wait", "1m30s").ok(), Some(Duration::from_secs(90)));
        assert!(duration("wait", "-1s").is_err());
        assert!(duration("wait", "3").is_err());
    }
}
