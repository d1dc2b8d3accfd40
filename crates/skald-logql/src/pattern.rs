//! Patterns: plain text with `<name>` between, of the `pattern` stage and of pattern line filters.

/// A part of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// Plain text, not empty.
    Literal(&'a str),
    /// `<name>`; the name `_` keeps nothing.
    Capture(&'a str),
}

/// Reads a pattern. What stands in `<>` and is no name is plain text; no two literals follow each other.
pub(crate) fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let (mut literal_from, mut at) = (0, 0);
    while let Some(start) = text[at..].find('<').map(|found| at + found) {
        at = start + 1;
        if let Some(name) = name(&text[at..]) {
            if literal_from < start {
                parts.push(Part::Literal(&text[literal_from..start]));
            }
            parts.push(Part::Capture(name));
            at += name.len() + 1;
            literal_from = at;
        }
    }
    if literal_from < text.len() {
        parts.push(Part::Literal(&text[literal_from..]));
    }
    parts
}

/// The name at the start of `text`, which `>` must follow.
fn name(text: &str) -> Option<&str> {
    let len = text.bytes().take_while(|c| *c == b'_' || c.is_ascii_alphanumeric()).count();
    let name = &text[..len];
    (text[len..].starts_with('>') && name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic())).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &str) {
        let show = |part: &Part<'_>| match part {
            Part::Literal(text) => format!("[{text}]"),
            Part::Capture(name) => format!("<{name}>"),
        };
        assert_eq!(parts(text).iter().map(show).collect::<String>(), want);
    }

    #[test]
    fn names_between_plain_text_are_found() {
        check("", "");
        check("<a>", "<a>");
        check("x<a><_>y", "[x]<a><_>[y]");
        check("<1a> <a b> <é> <a", "[<1a> <a b> <é> <a]");
        check("<<a>>", "[<]<a>[>]");
    }
}
