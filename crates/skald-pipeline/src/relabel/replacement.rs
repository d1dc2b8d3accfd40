use ::regex::bytes::{Captures, Regex};

/// A text with references to groups, as Go's `Regexp.Expand` reads it: `$1`, `$name`, `${name}`, `$$`. A `$` that begins none of them is itself.
///
/// `$name` takes all letters, digits and underscores that follow, so `$1x` is the group named `1x`. A group that there is not is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Replacement {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Group(usize),
}

impl Replacement {
    pub(super) fn new(template: &str, regex: &Regex) -> Self {
        let mut this = Replacement { parts: Vec::new() };
        let mut rest = template;
        while let Some(at) = rest.find('$') {
            this.literal(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                this.literal("$");
                rest = after;
            } else if let Some((name, after)) = reference(rest) {
                this.parts.extend(group(name, regex).map(Part::Group));
                rest = after;
            } else {
                this.literal("$");
            }
        }
        this.literal(rest);
        this
    }

    /// The whole text, when it refers to no group.
    pub(super) fn fixed(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    pub(super) fn expand(&self, captures: &Captures<'_>) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Group(group) => {
                    // Groups of a pattern over text are text.
                    let matched = captures.get(*group).and_then(|matched| std::str::from_utf8(matched.as_bytes()).ok());
                    text.push_str(matched.unwrap_or_default());
                }
            }
        }
        text
    }

    fn literal(&mut self, text: &str) {
        match self.parts.last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Literal(last)) => last.push_str(text),
            _ => self.parts.push(Part::Literal(text.to_owned())),
        }
    }
}

/// Name of the group at the beginning of `text`, which comes after a `$`, and what follows it.
fn reference(text: &str) -> Option<(&str, &str)> {
    let name_end = |text: &str| text.find(|char: char| !char.is_alphanumeric() && char != '_').unwrap_or(text.len());
    let (name, rest) = match text.strip_prefix('{') {
        Some(braced) => {
            let (name, rest) = braced.split_at(name_end(braced));
            (name, rest.strip_prefix('}')?)
        }
        None => text.split_at(name_end(text)),
    };
    (!name.is_empty()).then_some((name, rest))
}

fn group(name: &str, regex: &Regex) -> Option<usize> {
    let number = !name.starts_with('0') || name.len() == 1;
    match name.parse::<usize>() {
        Ok(group) if number && !name.starts_with('+') => (group < regex.captures_len()).then_some(group),
        _ => regex.capture_names().position(|known| known == Some(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skald_logql::regex::{Flags, compile};

    #[track_caller]
    fn check(pattern: &str, text: &str, template: &str, want: &str) {
        let regex = compile(pattern, Flags::SELECTOR).expect("the pattern is good");
        let captures = regex.captures(text.as_bytes()).expect("the pattern matches");
        assert_eq!(Replacement::new(template, &regex).expand(&captures), want, "{template}");
    }

    #[test]
    fn groups_are_named_as_in_go() {
        let pattern = r"(\w+)-(?P<second>\w+)(-x)?";
        for (template, want) in [
            ("$1", "a"),
            ("$0", "a-b"),
            ("${1}_$2", "a_b"),
            ("$1_$2", "b"),
            ("$second${second}", "bb"),
            ("$3$4$none", ""),
            ("$$1", "$1"),
            ("$01", ""),
            ("$", "$"),
            ("100$ $", "100$ $"),
            ("${1", "${1"),
            ("${}${1-}", "${}${1-}"),
            ("$-$1", "$-a"),
            ("$1é", ""),
            ("plain", "plain"),
            ("", ""),
        ] {
            check(pattern, "a-b", template, want);
        }
    }

    #[test]
    fn a_text_without_groups_is_fixed() {
        let regex = compile("(.*)", Flags::SELECTOR).expect("the pattern is good");
        for (template, want) in [("", Some("")), ("a$$b", Some("a$b")), ("a$1", None), ("$1", None)] {
            assert_eq!(Replacement::new(template, &regex).fixed(), want, "{template}");
        }
    }
}
