use crate::pattern::{Part, parts};
use memchr::memmem;

/// The pattern of `|>`: texts with something between them.
#[derive(Debug)]
pub struct LinePattern {
    literals: Vec<memmem::Finder<'static>>,
    /// Whether a wildcard stands before the first literal.
    open_start: bool,
    /// Whether a wildcard stands behind the last literal.
    open_end: bool,
}

impl LinePattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// The text for the user, where captures have names or stand side by side.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts = parts(text);
        for (at, part) in parts.iter().enumerate() {
            match part {
                Part::Capture("_") if at > 0 && matches!(parts[at - 1], Part::Capture(_)) => {
                    return Err("found consecutive capture '<_><_>': invalid expression".to_owned());
                }
                Part::Capture(name) if *name != "_" => return Err(format!("named captures are not allowed: found '<{name}>'")),
                Part::Capture(_) | Part::Literal(_) => {}
            }
        }
        let open = |part: Option<&Part<'_>>| matches!(part, Some(Part::Capture(_)));
        let literal = |part: &Part<'_>| match part {
            Part::Literal(text) => Some(memmem::Finder::new(text).into_owned()),
            Part::Capture(_) => None,
        };
        let (open_start, open_end) = (open(parts.first()), open(parts.last()));
        Ok(LinePattern { literals: parts.iter().filter_map(literal).collect(), open_start, open_end })
    }

    /// Texts that a matching line holds.
    pub(crate) fn literals(&self) -> impl Iterator<Item = &[u8]> {
        self.literals.iter().map(memmem::Finder::needle)
    }

    /// Whether the texts follow each other in `line`, each at its first place, with at least a byte for each wildcard.
    pub fn matches(&self, line: &[u8]) -> bool {
        let mut at = 0;
        for (i, literal) in self.literals.iter().enumerate() {
            let Some(found) = literal.find(&line[at..]) else { return false };
            if found == 0 && (i > 0 || self.open_start) {
                return false;
            }
            at += found + literal.needle().len();
        }
        if self.open_end { at < line.len() } else { at == line.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, matches: &[&str], fails: &[&str]) {
        let pattern = LinePattern::parse(pattern).expect("is a pattern");
        matches.iter().for_each(|line| assert!(pattern.matches(line.as_bytes()), "{line}"));
        fails.iter().for_each(|line| assert!(!pattern.matches(line.as_bytes()), "{line}"));
    }

    #[test]
    fn literals_follow_each_other_at_their_first_places() {
        check("foo<_>", &["xx foo bar", "foofoo", "a foo foo"], &["bar", "foo"]);
        check("<_>foo", &["a foo"], &["xx foo bar", "foofoo", "a foo foo"]);
        check("bar", &["xbar", "bar"], &["bar bar"]);
        check("<_>", &["a", " "], &[""]);
        check("", &[""], &["a"]);
        check("a<_>b<1x>", &["a-b<1x>"], &["ab<1x>", "a-b"]);
    }

    #[test]
    fn captures_must_be_unnamed_and_apart() {
        assert_eq!(LinePattern::parse("<a>").err().as_deref(), Some("named captures are not allowed: found '<a>'"));
        assert_eq!(LinePattern::parse("x<_><_>").err().as_deref(), Some("found consecutive capture '<_><_>': invalid expression"));
        assert_eq!(LinePattern::parse("<_><_>").err().as_deref(), Some("found consecutive capture '<_><_>': invalid expression"));
    }
}
