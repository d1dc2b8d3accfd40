//! The one place where regular expressions are compiled.

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ast;

/// Largest compiled form of one regular expression.
const SIZE_MAX: usize = 4 << 20;

/// Compiles a regular expression that may match anywhere. The error is the text for the user.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    build(pattern, pattern, false)
}

/// Compiles one that has to match the whole text; the dot then excludes line feeds.
pub(crate) fn compile_anchored(pattern: &str) -> Result<Regex, String> {
    build(pattern, &format!("^(?:{pattern})$"), false)
}

/// Compiles one of a stream selector: it has to match the whole text, and the dot matches line feeds.
pub(crate) fn compile_selector(pattern: &str) -> Result<Regex, String> {
    build(pattern, &format!("^(?:{pattern})$"), true)
}

fn build(written: &str, pattern: &str, dot_all: bool) -> Result<Regex, String> {
    // Checked as written first: a closing bracket too many would fit the group around it.
    ast::parse::Parser::new().parse(written).map_err(|error| parse_error(written, &error))?;
    let built = RegexBuilder::new(pattern).dot_matches_new_line(dot_all).size_limit(SIZE_MAX).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => format!("error parsing regexp: expression nests too deeply: `{written}`"),
        _ => format!("error parsing regexp: invalid or unsupported syntax: `{written}`"),
    })
}

fn parse_error(pattern: &str, error: &ast::Error) -> String {
    use ast::ErrorKind as Kind;
    let span = error.span();
    let at = pattern.get(span.start.offset..span.end.offset).unwrap_or(pattern);
    let rest = pattern.get(span.start.offset..).unwrap_or(pattern);
    let (cause, shown) = match error.kind() {
        Kind::GroupUnclosed => ("missing closing )", pattern),
        Kind::GroupUnopened => ("unexpected )", pattern),
        Kind::ClassUnclosed => ("missing closing ]", rest),
        Kind::RepetitionMissing => ("missing argument to repetition operator", rest.get(..1).unwrap_or(rest)),
        Kind::ClassRangeInvalid => ("invalid character class range", at),
        Kind::EscapeUnexpectedEof => ("trailing backslash at end of expression", ""),
        Kind::EscapeUnrecognized => ("invalid escape sequence", at),
        Kind::UnsupportedLookAround => ("invalid or unsupported Perl syntax", at),
        Kind::NestLimitExceeded(_) => ("expression nests too deeply", pattern),
        _ => ("invalid or unsupported syntax", pattern),
    };
    format!("error parsing regexp: {cause}: `{shown}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_what_is_wrong() {
        for (pattern, want) in [
            ("(", "missing closing ): `(`"),
            ("a)", "unexpected ): `a)`"),
            ("a[b", "missing closing ]: `[b`"),
            ("*", "missing argument to repetition operator: `*`"),
            ("(?=x)", "invalid or unsupported Perl syntax: `(?=`"),
        ] {
            assert_eq!(compile(pattern).map(|_| ()), Err(format!("error parsing regexp: {want}")));
        }
    }

    #[test]
    fn only_selectors_have_dots_for_line_feeds() {
        assert!(compile_selector("we.b").is_ok_and(|regex| regex.is_match(b"we\nb") && !regex.is_match(b"xwe\nb")));
        assert!(compile_anchored("we.b").is_ok_and(|regex| !regex.is_match(b"we\nb")));
    }
}
