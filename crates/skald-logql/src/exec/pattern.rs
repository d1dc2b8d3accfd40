//! The one place where regular expressions are compiled.

use crate::regex::{Flags, compile as compile_with};
use ::regex::bytes::Regex;

/// Compiles a regular expression that may match anywhere. The error is the text for the user.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    compile_with(pattern, Flags::SEARCH).map_err(|error| error.to_string())
}

/// Compiles one that has to match the whole text; the dot then excludes line feeds.
pub(crate) fn compile_anchored(pattern: &str) -> Result<Regex, String> {
    compile_with(pattern, Flags::WHOLE).map_err(|error| error.to_string())
}

/// Compiles one of a stream selector: it has to match the whole text, and the dot matches line feeds.
pub(crate) fn compile_selector(pattern: &str) -> Result<Regex, String> {
    compile_with(pattern, Flags::SELECTOR).map_err(|error| error.to_string())
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
