//! Relabeling: rules that rewrite a set of labels or drop what has it.

mod replacement;
mod rule;

use crate::{LabelSet, Text};
use rule::Rule;
use serde::{Deserialize, Serialize};
use skald_logql::regex::RegexError;
use skald_model::ErrorKind;

/// One item of `relabel_configs`, as written. What is absent or null has its default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RelabelConfig {
    /// Labels whose values are joined; none give the empty text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_labels: Option<Vec<String>>,
    /// Between them: `;`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
    /// Label that is set or compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_label: Option<String>,
    /// What the whole joined text has to match: `(.*)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// Number of buckets of `hashmod`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modulus: Option<u64>,
    /// New value or name, with `$1` or `${name}` for what groups matched: `$1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replacement: Option<String>,
    /// What the rule does, in any case: `replace`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
}

/// Compiled relabeling rules.
#[derive(Debug, Clone, Default)]
pub struct Relabel {
    rules: Vec<Rule>,
}

/// Why rules were refused.
#[derive(Debug, thiserror::Error)]
#[error("relabel rule {number}")]
pub struct RelabelError {
    /// Counted from 1.
    pub number: usize,
    /// What is wrong with it.
    #[source]
    pub source: RuleError,
}

/// Why one rule was refused.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// No such action.
    #[error("unknown action {0:?}")]
    UnknownAction(String),
    /// The action sets a label or compares with one.
    #[error("action {action} needs a target_label")]
    MissingTarget {
        /// The action.
        action: &'static str,
    },
    /// No label can have that name.
    #[error("{name:?} cannot be the target_label of action {action}")]
    InvalidTarget {
        /// The action.
        action: &'static str,
        /// As written.
        name: String,
    },
    /// New names of labels that no label can have.
    #[error("{0:?} cannot be the replacement of action labelmap")]
    InvalidName(String),
    /// `hashmod` by nothing.
    #[error("action hashmod needs a modulus above 0")]
    MissingModulus,
    /// Options that the action does not look at.
    #[error("action {action} takes no {option}")]
    Superfluous {
        /// The action.
        action: &'static str,
        /// The first such option.
        option: &'static str,
    },
    /// A pattern that is none.
    #[error("regex is no regular expression")]
    Regex(#[source] RegexError),
}

impl RelabelError {
    /// Who has to do something about it.
    pub fn kind(&self) -> ErrorKind {
        self.source.kind()
    }
}

impl RuleError {
    /// Who has to do something about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownAction(_)
            | Self::MissingTarget { .. }
            | Self::InvalidTarget { .. }
            | Self::InvalidName(_)
            | Self::MissingModulus
            | Self::Superfluous { .. }
            | Self::Regex(_) => ErrorKind::InvalidInput,
        }
    }
}

impl Relabel {
    /// Compiles rules.
    ///
    /// # Errors
    /// [`RelabelError`] with the number of the first rule that is wrong.
    pub fn new(rules: &[RelabelConfig]) -> Result<Relabel, RelabelError> {
        let compile = |(at, rule)| Rule::new(rule).map_err(|source| RelabelError { number: at + 1, source });
        Ok(Relabel { rules: rules.iter().enumerate().map(compile).collect::<Result<_, _>>()? })
    }

    /// Applies the rules in order; `false` means that what has the labels is dropped. A label that gets an empty value is removed.
    pub fn apply(&self, labels: &mut LabelSet) -> bool {
        self.rules.iter().all(|rule| rule.apply(labels))
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

/// Whether `name` may be the name of a label.
pub(crate) fn is_label_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn set_or_remove(labels: &mut LabelSet, name: &str, value: &str) {
    if value.is_empty() {
        labels.remove(name);
    } else if labels.get(name) != Some(value) {
        labels.set(Text::from(name), value);
    }
}

#[cfg(test)]
mod tests;
