use skald_model::ErrorKind;

/// Why a pattern is refused, in the words of Go's `regexp`; each holds the part of the pattern at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant is its message")]
pub enum RegexError {
    #[error("error parsing regexp: missing closing ): `{0}`")]
    MissingParen(String),
    #[error("error parsing regexp: unexpected ): `{0}`")]
    UnexpectedParen(String),
    #[error("error parsing regexp: missing closing ]: `{0}`")]
    MissingBracket(String),
    #[error("error parsing regexp: invalid character class range: `{0}`")]
    CharRange(String),
    #[error("error parsing regexp: invalid escape sequence: `{0}`")]
    Escape(String),
    #[error("error parsing regexp: trailing backslash at end of expression: ``")]
    TrailingBackslash,
    #[error("error parsing regexp: missing argument to repetition operator: `{0}`")]
    MissingRepeatArgument(String),
    #[error("error parsing regexp: invalid nested repetition operator: `{0}`")]
    NestedRepeat(String),
    #[error("error parsing regexp: invalid repeat count: `{0}`")]
    RepeatCount(String),
    #[error("error parsing regexp: invalid named capture: `{0}`")]
    NamedCapture(String),
    #[error("error parsing regexp: invalid or unsupported Perl syntax: `{0}`")]
    PerlSyntax(String),
    #[error("error parsing regexp: expression nests too deeply: `{0}`")]
    NestsTooDeeply(String),
    #[error("error parsing regexp: expression too large: `{0}`")]
    TooLarge(String),
}

impl RegexError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::MissingParen(_)
            | Self::UnexpectedParen(_)
            | Self::MissingBracket(_)
            | Self::CharRange(_)
            | Self::Escape(_)
            | Self::TrailingBackslash
            | Self::MissingRepeatArgument(_)
            | Self::NestedRepeat(_)
            | Self::RepeatCount(_)
            | Self::NamedCapture(_)
            | Self::PerlSyntax(_)
            | Self::NestsTooDeeply(_)
            | Self::TooLarge(_) => ErrorKind::InvalidInput,
        }
    }
}
