use super::options::{regex, required};
use super::regex::named_groups;
use super::rendering::{Rendering, Seen};
use super::source::Source;
use crate::extracted::Value;
use crate::stage::{Build, Compiled, Options, Stage, Verdict, Work};
use crate::{Now, StageError, Text};
use regex::bytes::Regex;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;

/// A text that would become longer by more than this stays as it is.
const GROWTH_MAX: usize = 1 << 20;

/// Puts something else in the place of what groups of a regular expression match.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Replace {
    /// In Go's syntax, not anchored.
    expression: Option<String>,
    /// Name of the value to change; else the line.
    source: Option<String>,
    /// Template of what is put there.
    replace: Option<String>,
}

impl Options for Replace {
    fn compile(&self, _build: &Build<'_>) -> Result<Compiled, StageError> {
        let expression = required("expression", self.expression.as_deref())?;
        let regex = regex("expression", expression)?;
        if regex.captures_len() < 2 {
            return Err(StageError::invalid("expression", "needs a group whose match is replaced"));
        }
        let groups = named_groups(expression);
        let source = Source::optional(self.source.as_deref())?;
        let rendering = Rendering::compile("replace", self.replace.as_deref().unwrap_or_default())?;
        Ok(Compiled::each(Replacing { regex, groups, source, rendering }))
    }
}

#[derive(Clone)]
struct Replacing {
    regex: Arc<Regex>,
    /// Numbers and names of groups that have one.
    groups: Arc<[(usize, Text)]>,
    source: Source,
    rendering: Rendering,
}

/// A text with the replacements, and what stands for the named groups now.
type Replaced = (String, Vec<(Text, String)>);

impl Stage for Replacing {
    fn process(&mut self, work: &mut Work, now: Now) -> Verdict {
        let Some((text, named)) = self.replace(work, now) else { return Verdict::Keep };
        for (name, value) in named {
            work.extracted.set(&name, Value::Text(value));
        }
        match self.source.name() {
            None => work.entry.line = text,
            Some(name) => work.extracted.set(name, Value::Text(text)),
        }
        Verdict::Keep
    }
}

impl Replacing {
    /// `None` where nothing matches, there is nothing to change, or the template fails.
    fn replace(&self, work: &Work, now: Now) -> Option<Replaced> {
        let text = match self.source.name() {
            None => Cow::Borrowed(work.entry.line.as_str()),
            Some(name) => work.extracted.text(name)?,
        };
        if !self.regex.is_match(text.as_bytes()) {
            return None;
        }
        self.rebuild(&text, &self.rendering.seen(work, now))
    }

    fn rebuild(&self, text: &str, seen: &Seen<'_>) -> Option<Replaced> {
        let (mut out, mut named) = (String::with_capacity(text.len()), Vec::new());
        // Everything before it is in `out`.
        let mut done = 0;
        for captures in self.regex.captures_iter(text.as_bytes()) {
            for group in 1..captures.len() {
                // A group inside one that was replaced is gone.
                let Some(found) = captures.get(group).filter(|found| found.start() >= done) else { continue };
                out.push_str(text.get(done..found.start())?);
                let value = self.rendering.render(seen, text.get(found.range())?)?;
                out.push_str(&value);
                named.extend(self.groups.iter().find(|(number, _)| *number == group).map(|(_, name)| (Text::clone(name), value)));
                done = found.end();
            }
            if out.len() > GROWTH_MAX + text.len() {
                return None;
            }
        }
        out.push_str(text.get(done..)?);
        Some((out, named))
    }
}

#[cfg(test)]
mod tests {
    use crate::stages::testing::{check, refused};
    use proptest::prelude::*;

    /// What becomes of the line `line` of the app `web`.
    #[track_caller]
    fn check_line(expression: &str, replace: &str, line: &str, want: &str) {
        let yaml = format!("- replace: {{expression: '{expression}', replace: '{replace}'}}");
        check(&yaml, &[&format!("{{app=web}} {line}")], &[&format!("{{app=\"web\"}} {want}")]);
    }

    #[test]
    fn each_group_of_each_match_is_replaced() {
        check_line(r"password=(\S+)", "****", "password=a b password=c", "password=**** b password=****");
        check_line("(a)x(b)", "<{{ .Value }}>", "axb-axb", "<a>x<b>-<a>x<b>");
        check_line("(a)|(b)", "", "xaybz", "xyz");
        check_line("((a)b)", "-", "xab", "x-");
        check_line("()é", "{{ .app }}", "éé", "webéwebé");
        check_line("(q)", "x", "nothing", "nothing");
        check_line("(b*)", "-", "abc", "-a-c-");
        check_line(r"(?P<ip>\d+\.\d+)", "{{ .Value | Hash \"s\" | trunc 4 }}", "at 10.1", "at 2b38");
    }

    #[test]
    fn named_groups_are_extracted_as_they_became() {
        check(
            r"[{replace: {expression: '(?P<user>\w+)=(?P<id>\d+)?', replace: '{{ .Value | ToUpper }}!'}}, {labels: {user: , id: }}]",
            &["bob=7", "bob="],
            &[r#"{id="7!", user="BOB!"} BOB!=7!"#, r#"{user="BOB!"} BOB!="#],
        );
    }

    #[test]
    fn a_value_can_be_changed_instead_of_the_line() {
        check(
            "[{replace: {expression: 'w(e)b', source: app, replace: x}}, {output: {source: app}}]",
            &["{app=web} web", "{app=y} web", "web"],
            &[r#"{app="web"} wxb"#, r#"{app="y"} y"#, "{} web"],
        );
    }

    #[test]
    fn what_fails_or_grows_without_bound_changes_nothing() {
        check_line("(a)", "{{ index .Value 9 }}", "aa", "aa");
        check_line("(a)", "{{ repeat 300000 .Value }}", "aaaa", "aaaa");
    }

    #[test]
    fn wrong_options_are_refused() {
        refused("- replace: {replace: x}", "stage 1 (replace): option expression is required");
        refused("- replace: {expression: a}", "stage 1 (replace): option expression: needs a group whose match is replaced");
        refused("- replace: {expression: '('}", "option expression is no regular expression");
        refused("- replace: {expression: '(a)', replace: '{{'}", "option replace: template: replace:1: ");
        refused("- replace: {expression: '(a)', source: ''}", "option source: may be left out, but not be empty");
    }

    proptest! {
        #![proptest_config(skald_testkit::property(200))]

        #[test]
        fn a_group_around_everything_is_plain_replacement(line in "[a-cé ]{0,30}", replacement in "[x-z]{0,3}") {
            let want: Vec<String> = line.split("ab").map(|part| part.replace('c', &replacement)).collect();
            check_line("(ab|c)", &replacement, &line, &want.join(&replacement));
            check_line("([a-cé]*)x?", "{{ .Value }}", &line, &line);
        }
    }
}
