use crate::setting::{Key, Kind};
use figment::value::{Dict, Value};
use skald_model::ErrorKind;
use std::fmt;
use std::path::PathBuf;

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it was written, such as `skald.yaml:3:5` or `flag --data-dir`; empty for a default.
    pub origin: String,
    /// The key that it is about, with dots between levels; empty for the whole.
    pub key: String,
    /// What is wrong.
    pub message: String,
}

impl Problem {
    pub(crate) fn new(key: &str, message: String) -> Self {
        Problem { origin: String::new(), key: key.to_owned(), message }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.origin, &self.key] {
            if !part.is_empty() {
                write!(f, "{part}: ")?;
            }
        }
        f.write_str(&self.message)
    }
}

/// Why a configuration was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file could not be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// A file is larger than any configuration is.
    #[error("{} has {bytes} bytes, more than a configuration may have", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// What was written is not a configuration; every problem that was found.
    #[error("{}", lines(.0))]
    Invalid(Vec<Problem>),
}

impl ConfigError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Read { .. } => ErrorKind::Unavailable,
            Self::TooLarge { .. } | Self::Invalid(_) => ErrorKind::InvalidInput,
        }
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

/// Adds the unknown keys and wrong values of `section` to `found`.
pub(crate) fn check_section(keys: &[Key], section: &Dict, path: &mut Vec<String>, found: &mut dyn FnMut(&[String], &Value, String)) {
    for (name, value) in section {
        path.push(name.clone());
        match keys.iter().find(|key| key.name == name) {
            None => found(path, value, unknown_key(keys, name)),
            Some(key) => check_value(&key.kind, value, path, found),
        }
        path.pop();
    }
}

fn check_value(kind: &Kind, value: &Value, path: &mut Vec<String>, found: &mut dyn FnMut(&[String], &Value, String)) {
    match (kind, value) {
        (Kind::Section { keys, .. }, Value::Dict(_, dict)) => check_section(&keys(), dict, path, found),
        (Kind::Section { .. }, other) => found(path, other, format!("expected a section of keys, found {}", shown(other))),
        (Kind::Value { accepts, .. }, value) if accepts(value) => {}
        (Kind::Value { expected, .. }, other) => found(path, other, format!("expected {expected}, found {}", shown(other))),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Dict(..) => "a section of keys".to_owned(),
        Value::Array(..) => "a list".to_owned(),
        Value::Empty(..) => "nothing".to_owned(),
        Value::String(_, text) => format!("'{}'", text.chars().take(100).collect::<String>()),
        Value::Char(_, character) => format!("'{character}'"),
        Value::Bool(_, truth) => truth.to_string(),
        Value::Num(_, number) => {
            let whole = number.to_u128().map(|n| n.to_string()).or_else(|| number.to_i128().map(|n| n.to_string()));
            whole.or_else(|| number.to_f64().map(|n| n.to_string())).unwrap_or_default()
        }
    }
}

fn unknown_key(keys: &[Key], name: &str) -> String {
    match nearest(name, keys.iter().map(|key| key.name)) {
        Some(nearest) => format!("unknown key; did you mean '{nearest}'?"),
        None => format!("unknown key; known here: {}", keys.iter().map(|key| key.name).collect::<Vec<_>>().join(", ")),
    }
}

/// Which of `known` is most like `name`, if any is so like it that it may have been meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, nearest) = known.into_iter().map(|known| (distance(known, name), known)).min()?;
    (distance <= 2.max(name.chars().count() / 3)).then_some(nearest)
}

/// Insertions, deletions and replacements that lead from one text to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().take(100).collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, from_char) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to_char) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(from_char != *to_char);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        for (from, to, edits) in [("", "abc", 3), ("kitten", "sitting", 3), ("port", "port", 0), ("prot", "port", 2)] {
            assert_eq!(distance(from, to), edits, "{from} → {to}");
            assert_eq!(distance(to, from), edits, "{to} → {from}");
        }
    }
}
