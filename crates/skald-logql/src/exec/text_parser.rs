//! The parsers that cut labels out of plain text: `regexp` and `pattern`.

use super::extract::{Extractor, Flow};
use super::json::push_sanitised;
use crate::pattern::{Part, parts};
use crate::regex::{Flags, RegexError, capture_groups, compile};
use memchr::memmem::Finder;
use regex::bytes::Regex;

/// The compiled `regexp` stage.
#[derive(Debug)]
pub(crate) struct RegexpParser {
    regex: Regex,
    /// Group and label of each.
    groups: Vec<(usize, Vec<u8>)>,
}

impl RegexpParser {
    pub(crate) fn compile(pattern: &str) -> Result<Self, RegexError> {
        let regex = compile(pattern, Flags::SEARCH)?;
        let label = |name: &str| {
            let mut label = Vec::new();
            push_sanitised(&mut label, name.as_bytes(), true);
            label
        };
        let groups = capture_groups(pattern).into_iter().map(|(group, name)| (group, label(&name))).collect();
        Ok(RegexpParser { regex, groups })
    }

    /// Makes a label of each named group of the first match; of one that took no part an empty one.
    pub(crate) fn extract(&self, line: &[u8], out: &mut Extractor<'_>) {
        let Some(captures) = self.regex.captures(line) else { return };
        for (group, label) in &self.groups {
            let value = captures.get(*group).map_or(&b""[..], |found| found.as_bytes());
            if out.put(label, value) == Flow::Stop {
                return;
            }
        }
    }
}

/// The compiled `pattern` stage.
#[derive(Debug)]
pub(crate) struct PatternParser {
    /// What the line has to begin with.
    start: Vec<u8>,
    /// Label, empty for none, and the text at which its value ends, none for the end of the line.
    captures: Vec<(String, Option<Finder<'static>>)>,
}

impl PatternParser {
    pub(crate) fn new(pattern: &str) -> Self {
        let mut parser = PatternParser { start: Vec::new(), captures: Vec::new() };
        for part in parts(pattern) {
            match (part, parser.captures.last_mut()) {
                (Part::Literal(text), None) => parser.start = text.as_bytes().to_vec(),
                (Part::Literal(text), Some((_, end))) => *end = Some(Finder::new(text).into_owned()),
                (Part::Capture(name), _) => parser.captures.push((if name == "_" { String::new() } else { name.to_owned() }, None)),
            }
        }
        parser
    }

    /// Makes labels of what stands between the texts. Where a text is missing, the value before it takes the rest, and is the last.
    pub(crate) fn extract(&self, line: &[u8], out: &mut Extractor<'_>) {
        let Some(mut rest) = line.strip_prefix(self.start.as_slice()).filter(|_| !line.is_empty()) else { return };
        for (label, end) in &self.captures {
            let found = end.as_ref().and_then(|end| end.find(rest).map(|at| (at, at + end.needle().len())));
            let (len, next) = found.unwrap_or((rest.len(), rest.len()));
            let done = !label.is_empty() && out.put(label.as_bytes(), &rest[..len]) == Flow::Stop;
            if done || found.is_none() {
                return;
            }
            rest = &rest[next..];
        }
    }
}
