//! Go's regular expressions on Rust's engine: the same texts are accepted, refused with the same words, and match the same.
//!
//! [`translate()`] reads the Go syntax and writes the Rust one; where they differ in meaning (`\d`, `\w`, `\s` and `\b` know only ASCII
//! in Go; `{,3}` and `[a&&b]` are plain characters) the translation says it in full.

mod class;
mod cost;
mod error;
mod simplify;
mod translate;

pub use cost::{COST_MAX, cost};
pub use error::RegexError;
pub use simplify::simplifies;
pub(crate) use simplify::{Piece, Simple, simplify};
pub use translate::{WIDE_CLASSES_MAX, capture_groups, capture_names, translate, wide_classes};

use regex_syntax::hir::{Hir, HirKind, Look};

/// Bytes that one compiled program may take.
const COMPILED_SIZE_MAX: usize = 10 << 20;
/// How deep groups may nest; more is "expression nests too deeply".
const NEST_MAX: u32 = 250;

/// How a pattern is to be taken as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// Whether it must match the whole text.
    pub anchored: bool,
    /// Whether `.` matches a line feed, until the pattern says otherwise.
    pub dot_matches_newline: bool,
}

impl Flags {
    /// How stream selectors and the matchers of `drop` and `keep` take a pattern.
    pub const SELECTOR: Flags = Flags { anchored: true, dot_matches_newline: true };
    /// How label filters and `label_replace` take a pattern.
    pub const WHOLE: Flags = Flags { anchored: true, dot_matches_newline: false };
    /// How line filters and the `regexp` stage take a pattern.
    pub const SEARCH: Flags = Flags { anchored: false, dot_matches_newline: false };

    fn wrap(self, translated: &str) -> String {
        match (self.anchored, self.dot_matches_newline) {
            (true, true) => format!("^(?s:{translated})$"),
            (true, false) => format!("^(?:{translated})$"),
            (false, true) => format!("(?s:{translated})"),
            (false, false) => translated.to_owned(),
        }
    }
}

/// Compiles a Go pattern for search in bytes.
///
/// # Errors
/// [`RegexError`] in Go's words; also when the compiled program would pass 10 MiB.
pub fn compile(pattern: &str, flags: Flags) -> Result<::regex::bytes::Regex, RegexError> {
    let whole = flags.wrap(&translate(pattern)?);
    ::regex::bytes::RegexBuilder::new(&whole)
        .size_limit(COMPILED_SIZE_MAX)
        .dfa_size_limit(COMPILED_SIZE_MAX)
        .nest_limit(NEST_MAX)
        .build()
        .map_err(|_| RegexError::TooLarge(pattern.to_owned()))
}

/// What a Go pattern means, for those who look for literals in it.
///
/// # Errors
/// [`RegexError`] in Go's words.
pub fn parse(pattern: &str, flags: Flags) -> Result<Hir, RegexError> {
    let whole = flags.wrap(&translate(pattern)?);
    regex_syntax::ParserBuilder::new().utf8(false).nest_limit(NEST_MAX).build().parse(&whole).map_err(|err| refused(pattern, &err))
}

/// What Rust's parser still refuses in a translated pattern.
fn refused(pattern: &str, err: &regex_syntax::Error) -> RegexError {
    match err {
        regex_syntax::Error::Parse(err) if matches!(err.kind(), regex_syntax::ast::ErrorKind::NestLimitExceeded(_)) => {
            RegexError::NestsTooDeeply(pattern.to_owned())
        }
        _ => RegexError::TooLarge(pattern.to_owned()),
    }
}

/// Whether the empty text is a whole match.
pub fn matches_empty(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Empty => true,
        HirKind::Literal(_) | HirKind::Class(_) => false,
        HirKind::Look(look) => !matches!(
            look,
            Look::WordAscii | Look::WordUnicode | Look::WordStartAscii | Look::WordEndAscii | Look::WordStartUnicode | Look::WordEndUnicode
        ),
        HirKind::Repetition(repetition) => repetition.min == 0 || matches_empty(&repetition.sub),
        HirKind::Capture(capture) => matches_empty(&capture.sub),
        HirKind::Concat(parts) => parts.iter().all(matches_empty),
        HirKind::Alternation(branches) => branches.iter().any(matches_empty),
    }
}

#[cfg(test)]
mod tests;
