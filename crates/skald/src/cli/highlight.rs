//! Marks in a line what the query's line filters looked for.

use regex::Regex;
use std::borrow::Cow;

/// What to mark.
pub struct Highlight(Option<Regex>);

impl Highlight {
    /// Marks nothing.
    pub fn none() -> Self {
        Highlight(None)
    }

    /// Marks what the `|=` and `|~` filters of `query` look for. A pattern that is not understood is not marked; the query is
    /// the server's to judge.
    pub fn of_query(query: &str) -> Self {
        let patterns: Vec<String> = filters(query)
            .into_iter()
            .map(|(is_regex, text)| if is_regex { text } else { regex::escape(&text) })
            .filter(|pattern| !pattern.is_empty() && Regex::new(pattern).is_ok())
            .map(|pattern| format!("(?:{pattern})"))
            .collect();
        Highlight(if patterns.is_empty() { None } else { Regex::new(&patterns.join("|")).ok() })
    }

    /// `line` with the marks in it.
    pub fn mark<'a>(&self, line: &'a str) -> Cow<'a, str> {
        match &self.0 {
            Some(regex) => regex.replace_all(line, |found: &regex::Captures<'_>| match &found[0] {
                "" => String::new(),
                text => format!("\x1b[1;7m{text}\x1b[22;27m"),
            }),
            None => Cow::Borrowed(line),
        }
    }
}

/// The string after each `|=` and `|~` and after each `or` that follows one, and whether it is a regular expression.
fn filters(query: &str) -> Vec<(bool, String)> {
    let (mut found, mut operator, mut rest) = (Vec::new(), None, query);
    while let Some(first) = rest.chars().next() {
        if let Some((text, after)) = string_literal(rest) {
            if let Some(is_regex) = operator {
                found.push((is_regex, text));
            }
            let then = after.trim_start();
            match then.strip_prefix("or").filter(|after| after.trim_start().starts_with(['"', '`'])) {
                Some(after) => rest = after,
                None => (operator, rest) = (None, then),
            }
            continue;
        }
        if rest.starts_with("|=") || rest.starts_with("|~") {
            operator = Some(rest.starts_with("|~"));
            rest = &rest[2..];
            continue;
        }
        if !first.is_whitespace() {
            operator = None;
        }
        rest = &rest[first.len_utf8()..];
    }
    found
}

/// The string that `text` begins with, without its quotes and escapes, and what follows it.
fn string_literal(text: &str) -> Option<(String, &str)> {
    if let Some(rest) = text.strip_prefix('`') {
        let (inside, after) = rest.split_once('`')?;
        return Some((inside.to_owned(), after));
    }
    let inside = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut chars = inside.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &inside[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                'r' => value.push('\r'),
                c @ ('\\' | '"' | '\'') => value.push(c),
                other => value.extend(['\\', other]),
            },
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positive_line_filters_are_found() {
        let check = |query: &str, want: &[(bool, &str)]| {
            let want: Vec<(bool, String)> = want.iter().map(|(r, t)| (*r, (*t).to_owned())).collect();
            assert_eq!(filters(query), want, "{query}");
        };
        check(r#"{app="|= \"x"} |= "a b" != "no" |~ `\d+` | json | level="error""#, &[(false, "a b"), (true, r"\d+")]);
        check(r#"{app="x"} |= "a" or "b" or `c` != "d""#, &[(false, "a"), (false, "b"), (false, "c")]);
        check(r#"{app="x"} |~ "a\\d\"""#, &[(true, "a\\d\"")]);
        check(r#"{app="x"} |= ip("1.2.3.4")"#, &[]);
        check(r#"{app="x"} |= "unterminated"#, &[]);
    }

    #[test]
    fn matches_are_marked() {
        let mark = |query: &str, line: &str| Highlight::of_query(query).mark(line).into_owned();
        assert_eq!(mark(r#"{a="b"} |= "a.c""#, "abc a.c"), "abc \x1b[1;7ma.c\x1b[22;27m");
        assert_eq!(mark(r#"{a="b"} |~ "[0-9]*""#, "a12"), "a\x1b[1;7m12\x1b[22;27m");
        assert_eq!(mark(r#"{a="b"} |~ "(""#, "a("), "a(");
        assert_eq!(mark(r#"{a="b"}"#, "b"), "b");
    }

    proptest::proptest! {
        #![proptest_config(skald_testkit::property(256))]
        #[test]
        fn no_query_is_too_strange(query in "[|=~!or \"`\\\\(aé{}]{0,24}", line in "[aé( ]{0,8}") {
            let _ = Highlight::of_query(&query).mark(&line);
        }
    }
}
