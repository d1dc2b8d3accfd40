use super::options::{regex, required};
use super::source::Source;
use crate::extracted::Value;
use crate::stage::{Build, Compiled, Options, Stage, Verdict, Work};
use crate::{Now, StageError, Text};
use regex::bytes::{CaptureLocations, Regex};
use serde::{Deserialize, Serialize};
use skald_logql::regex::capture_groups;
use std::sync::Arc;

/// Extracts what named groups of a regular expression match.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RegexOptions {
    /// In Go's syntax, not anchored.
    expression: Option<String>,
    /// Name of the value to read; else the line.
    source: Option<String>,
}

impl Options for RegexOptions {
    fn compile(&self, _build: &Build<'_>) -> Result<Compiled, StageError> {
        let expression = required("expression", self.expression.as_deref())?;
        let regex = regex("expression", expression)?;
        let locations = regex.capture_locations();
        let groups = named_groups(expression);
        let source = Source::optional(self.source.as_deref())?;
        Ok(Compiled::each(Groups { regex, groups, source, locations }))
    }
}

/// Numbers and names of the named groups of an expression that compiles.
pub(super) fn named_groups(expression: &str) -> Arc<[(usize, Text)]> {
    capture_groups(expression).into_iter().map(|(number, name)| (number, name.into())).collect()
}

#[derive(Clone)]
struct Groups {
    regex: Arc<Regex>,
    groups: Arc<[(usize, Text)]>,
    source: Source,
    locations: CaptureLocations,
}

impl Stage for Groups {
    fn process(&mut self, work: &mut Work, _now: Now) -> Verdict {
        let Groups { regex, groups, source, locations } = self;
        source.read(work, |text, extracted| {
            if regex.captures_read(locations, text.as_bytes()).is_none() {
                return;
            }
            for (number, name) in groups.iter() {
                let (from, to) = locations.get(*number).unwrap_or((0, 0));
                extracted.set(name, Value::Text(String::from_utf8_lossy(&text.as_bytes()[from..to]).into_owned()));
            }
        });
        Verdict::Keep
    }
}

#[cfg(test)]
mod tests {
    use crate::stages::testing::{check, refused};

    #[test]
    fn named_groups_of_the_first_match_are_extracted() {
        check(
            r"[{regex: {expression: '(?P<level>[A-Z]+)(?: (?P<code>\d+))? (?P<rest>é.*)?(x)?'}}, {labels: {level: , code: , rest: }}]",
            &["at INFO 77 élan", "a WARN B", "{level=keep} no match"],
            &[
                r#"{code="77", level="INFO", rest="élan"} at INFO 77 élan"#,
                r#"{code="", level="WARN", rest=""} a WARN B"#,
                r#"{level="keep"} no match"#,
            ],
        );
    }

    #[test]
    fn a_value_can_be_read_instead_of_the_line() {
        check(
            "[{regex: {expression: '(?P<a>.)$', source: app}}, {output: {source: a}}]",
            &["{app=web} line", "line"],
            &[r#"{app="web"} b"#, "{} line"],
        );
    }

    #[test]
    fn the_expression_must_be_there_and_compile() {
        refused("- regex:", "stage 1 (regex): option expression is required");
        refused(
            "- regex: {expression: '('}",
            "stage 1 (regex): option expression is no regular expression: error parsing regexp: missing closing ): `(`",
        );
        refused("- regex: {expression: a, source: ''}", "option source: may be left out, but not be empty");
    }
}
