use super::{LineMatcher, Selector};
use crate::ast::{Expr, Stage};
use crate::parse::{ParseError, read};
use skald_model::ErrorKind;

/// A selector with line filters, for entries that are looked at one by one.
#[derive(Debug)]
pub struct EntrySelector {
    labels: Selector,
    lines: Vec<LineMatcher>,
}

/// Why a text is no selector with line filters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntrySelectorError {
    /// Not even a query.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A query with other stages.
    #[error("only label matchers and line filters are supported")]
    NotFilters,
    /// A regular expression, pattern or address that is none.
    #[error("{0}")]
    Filter(String),
}

impl EntrySelectorError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Parse(err) => err.kind(),
            Self::NotFilters | Self::Filter(_) => ErrorKind::InvalidInput,
        }
    }
}

impl EntrySelector {
    /// Compiles `{a="b"} |= "c"`; the matchers may all hold for entries without labels, as those of `{}` do.
    ///
    /// # Errors
    /// [`EntrySelectorError`].
    pub fn parse(text: &str) -> Result<Self, EntrySelectorError> {
        let Expr::Log(log) = read(text)? else {
            return Err(EntrySelectorError::NotFilters);
        };
        let line = |stage: &Stage| match stage {
            Stage::LineFilter(filter) => LineMatcher::compile(filter).map_err(EntrySelectorError::Filter),
            _ => Err(EntrySelectorError::NotFilters),
        };
        Ok(EntrySelector {
            lines: log.stages.iter().map(line).collect::<Result<_, _>>()?,
            labels: Selector::compile(&log.matchers).map_err(EntrySelectorError::Filter)?,
        })
    }

    /// Whether an entry with these labels and this line is meant; a label that there is not counts as the empty text.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>, line: &str) -> bool {
        let holds = |(at, name): (usize, &str)| self.labels.matcher_matches(at, label(name).unwrap_or_default());
        self.labels.matchers().iter().map(|matcher| matcher.name.as_str()).enumerate().all(holds)
            && self.lines.iter().all(|filter| filter.matches(line.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(selector: &str, line: &str, want: bool) {
        let selector = EntrySelector::parse(selector).unwrap_or_else(|err| panic!("{selector}: {err}"));
        let label = |name: &str| [("app", "web"), ("env", "prod")].iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        assert_eq!(selector.matches(label, line), want, "{selector:?} on {line}");
    }

    #[test]
    fn matchers_and_line_filters_all_hold() {
        check(r#"{}"#, "", true);
        check(r#"{app="web", env!="dev"}"#, "x", true);
        check(r#"{app="web", env=~"pro"}"#, "x", false);
        check(r#"{none=""}"#, "x", true);
        check(r#"{none=~".+"}"#, "x", false);
        check(r#"{app=~`w.b`} |= "a" != "b" |~ "c$" !~ "^d""#, "a c", true);
        check(r#"{app="web"} |= "a" != "b" |~ "c$" !~ "^d""#, "a b c", false);
        check(r#"{app="web"} |= "a" != "b" |~ "c$" !~ "^d""#, "d a c", false);
        check(r#"{app="api"} |= "a""#, "a", false);
        check(r#"{app="web"} |= "a" or "b""#, "b", true);
    }

    #[test]
    fn other_stages_are_refused() {
        for (selector, want) in [
            (r#"{app="web"} | json"#, "only label matchers and line filters are supported"),
            (r#"{app="web"} | level="x""#, "only label matchers and line filters are supported"),
            (r#"rate({app="web"}[5m])"#, "only label matchers and line filters are supported"),
            (r#"{app=}"#, "parse error at line 1, col 6: syntax error: unexpected }, expecting STRING"),
            (r#"{app="web"} |~ "(""#, "error parsing regexp: missing closing ): `(`"),
        ] {
            assert_eq!(EntrySelector::parse(selector).err().map(|err| err.to_string()).as_deref(), Some(want), "{selector}");
        }
    }
}
