//! `drop`.

use super::options;
use crate::stage::{Build, Compiled, Options, Stage, Verdict, Work};
use crate::{Counter, Now, StageError};
use ::regex::bytes::Regex;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Drops the entries for which all its conditions hold.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Drop {
    /// Extracted values that must be there.
    source: Option<Names>,
    /// Between them, when they are compared: `;`.
    separator: Option<String>,
    /// What they are, exactly.
    value: Option<String>,
    /// What is found in them; without `source`, in the line.
    expression: Option<String>,
    /// Least age.
    older_than: Option<String>,
    /// Most bytes that a line may have.
    longer_than: Option<String>,
    /// The reason under which entries are counted.
    drop_counter_reason: Option<String>,
}

/// One name or several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Names {
    One(String),
    Several(Vec<String>),
}

impl Options for Drop {
    fn compile(&self, build: &Build<'_>) -> Result<Compiled, StageError> {
        let reason = options::reason(self.drop_counter_reason.as_deref(), "drop_stage");
        let conditions = Conditions {
            longer_than: self.longer_than.as_deref().map(|text| options::bytes("longer_than", text)).transpose()?,
            older_than: self.older_than.as_deref().map(|text| options::duration("older_than", text)).transpose()?,
            text: self.text()?,
            dropped: build.context.counters.reason(reason),
        };
        if conditions.longer_than.is_none() && conditions.older_than.is_none() && conditions.text.is_none() {
            return Err(StageError::Choice("at least one of source, expression, older_than and longer_than is required"));
        }
        Ok(Compiled::each(conditions))
    }
}

impl Drop {
    fn text(&self) -> Result<Option<TextCondition>, StageError> {
        let sources: Option<Arc<[String]>> = self.source.as_ref().map(|names| match names {
            Names::One(name) => [name.clone()].into(),
            Names::Several(names) => names.as_slice().into(),
        });
        if sources.as_deref().is_some_and(|names| names.is_empty() || names.iter().any(String::is_empty)) {
            return Err(StageError::invalid("source", "may be left out, but not be empty"));
        }
        let wanted = match (&self.value, &self.expression) {
            (Some(_), Some(_)) => return Err(StageError::Choice("only one of value and expression can be given")),
            (Some(value), None) => Some(Wanted::Value(value.as_str().into())),
            (None, Some(expression)) => Some(Wanted::Expression(options::regex("expression", expression)?)),
            (None, None) => None,
        };
        let separator = self.separator.as_deref().unwrap_or(";").into();
        match (sources, wanted) {
            (None, None) => Ok(None),
            (None, Some(Wanted::Value(_))) => Err(StageError::Choice("option value needs a source")),
            (None, Some(Wanted::Expression(expression))) => Ok(Some(TextCondition::Line(expression))),
            (Some(sources), wanted) => Ok(Some(TextCondition::Values { sources, separator, wanted })),
        }
    }
}

#[derive(Clone)]
struct Conditions {
    longer_than: Option<usize>,
    older_than: Option<Duration>,
    text: Option<TextCondition>,
    dropped: Counter,
}

#[derive(Clone)]
enum TextCondition {
    Line(Arc<Regex>),
    Values {
        sources: Arc<[String]>,
        separator: Arc<str>,
        /// `None` if it is enough that they are there.
        wanted: Option<Wanted>,
    },
}

#[derive(Clone)]
enum Wanted {
    Value(Arc<str>),
    Expression(Arc<Regex>),
}

impl Stage for Conditions {
    fn process(&mut self, work: &mut Work, now: Now) -> Verdict {
        let long = self.longer_than.is_none_or(|bytes| work.entry.line.len() > bytes);
        let old = || self.older_than.is_none_or(|age| work.entry.timestamp < now.wall.minus(age));
        let text = || self.text.as_ref().is_none_or(|condition| condition.holds(work));
        if !(long && old() && text()) {
            return Verdict::Keep;
        }
        self.dropped.add(1);
        Verdict::Drop
    }
}

impl TextCondition {
    fn holds(&self, work: &Work) -> bool {
        match self {
            TextCondition::Line(expression) => expression.is_match(work.entry.line.as_bytes()),
            TextCondition::Values { sources, wanted: None, .. } => sources.iter().all(|name| work.extracted.text(name).is_some()),
            TextCondition::Values { sources, separator, wanted: Some(wanted) } => {
                let texts: Option<Vec<_>> = sources.iter().map(|name| work.extracted.text(name)).collect();
                texts.is_some_and(|texts| wanted.is(&texts.join(&**separator)))
            }
        }
    }
}

impl Wanted {
    fn is(&self, text: &str) -> bool {
        match self {
            Wanted::Value(value) => **value == *text,
            Wanted::Expression(expression) => expression.is_match(text.as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::stages::testing::{Bench, entry, refused, show};
    use crate::{Mark, Now};
    use std::time::Duration;

    /// Whether the stage drops a line that was written some seconds ago.
    #[track_caller]
    fn check_age(options: &str, line: &str, age: u64, want: bool) {
        let mut bench = Bench::new(&format!("- drop: {{{options}}}"));
        let then = Now { wall: bench.now.wall.minus(Duration::from_secs(age)), ..bench.now };
        let mut out = Vec::new();
        bench.instance.process(entry(line, then), Mark(0), bench.now, &mut out);
        assert_eq!(out.is_empty(), want, "{options} on {line}, {age} s old: {:?}", out.iter().map(show).collect::<Vec<_>>());
    }

    #[track_caller]
    fn check(options: &str, line: &str, want: bool) {
        check_age(options, line, 0, want);
    }

    #[test]
    fn sources_alone_must_be_there() {
        check("source: a", "{a=1} x", true);
        check("source: a", "{b=1} x", false);
        check("source: [a, b]", "{a=1, b=} x", true);
        check("source: [a, b]", "{a=1} x", false);
    }

    #[test]
    fn values_are_compared_as_a_whole() {
        check("source: a, value: '1'", "{a=1} x", true);
        check("source: a, value: 1", "{a=12} x", false);
        check("source: [a, b], value: 1;2", "{a=1, b=2} x", true);
        check("source: [a, b], separator: '#', value: '1#2'", "{a=1, b=2} x", true);
        check("source: [a, b], value: '1;'", "{a=1} x", false);
        check("source: a, value: ''", "{a=} x", true);
        check("source: a, value: ''", "{b=} x", false);
    }

    #[test]
    fn expressions_are_searched_for() {
        check("expression: b+", "abbc", true);
        check("expression: ^b", "abbc", false);
        check("source: a, expression: b", "{a=xbx} -", true);
        check("source: a, expression: b", "{a=x} b", false);
        check("source: [a, b], expression: 'x;y'", "{a=x, b=y} -", true);
        check("source: none, expression: .*", "x", false);
    }

    #[test]
    fn long_and_old_lines_go() {
        check("longer_than: 3", "abc", false);
        check("longer_than: 3", "abcd", true);
        check("longer_than: 1kb", &"x".repeat(1024), false);
        check("longer_than: 1KB", &"x".repeat(1025), true);
        check_age("older_than: 1m", "x", 60, false);
        check_age("older_than: 1m", "x", 61, true);
    }

    #[test]
    fn all_conditions_must_hold() {
        check("source: a, longer_than: 2", "{a=1} xx", false);
        check("source: a, longer_than: 2", "xxx", false);
        check("source: a, longer_than: 2", "{a=1} xxx", true);
        check_age("expression: x, older_than: 1m, longer_than: 2", "xxx", 0, false);
        check_age("expression: x, older_than: 1m, longer_than: 2", "yyy", 90, false);
        check_age("expression: x, older_than: 1m, longer_than: 2", "xxx", 90, true);
    }

    #[test]
    fn what_is_dropped_is_counted() {
        let mut bench = Bench::new("- drop: {expression: a}\n- drop: {expression: b, drop_counter_reason: why}");
        ["a", "b", "ab", "c"].iter().for_each(|line| drop(bench.push(line)));
        assert_eq!(bench.dropped(), ["drop_stage:2", "why:1"]);
    }

    #[test]
    fn options_go_together() {
        refused("- drop:", "at least one of source, expression, older_than and longer_than is required");
        refused("- drop: {separator: x}", "at least one of source, expression, older_than and longer_than is required");
        refused("- drop: {value: x}", "option value needs a source");
        refused("- drop: {source: a, value: x, expression: y}", "only one of value and expression can be given");
        refused("- drop: {source: ''}", "option source: may be left out, but not be empty");
        refused("- drop: {source: []}", "option source: may be left out, but not be empty");
        refused("- drop: {expression: '('}", "option expression is no regular expression: error parsing regexp: missing closing )");
        refused("- drop: {older_than: soon}", "option older_than: ");
        refused("- drop: {longer_than: far}", "option longer_than: \"far\" is no size");
    }
}
