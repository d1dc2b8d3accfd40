use skald_logql::regex::RegexError;
use skald_model::ErrorKind;

/// Why a pipeline could not be made of its stages.
#[derive(Debug, thiserror::Error)]
#[error("stage {number} ({name})")]
pub struct PipelineError {
    /// Counted from 1.
    pub number: usize,
    /// The stage's name in the configuration.
    pub name: &'static str,
    /// What is wrong with it.
    #[source]
    pub source: StageError,
}

/// Why a stage's options were refused.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// An option without which the stage does nothing.
    #[error("option {option} is required")]
    Missing {
        /// Its name.
        option: &'static str,
    },
    /// An option with a value that cannot be.
    #[error("option {option}: {reason}")]
    Invalid {
        /// Its name.
        option: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A list or map without which the stage does nothing.
    #[error("at least one of {0} is required")]
    Empty(&'static str),
    /// Options of which some exclude or need others.
    #[error("{0}")]
    Choice(&'static str),
    /// A text that cannot name a label.
    #[error("{0:?} cannot be the name of a label")]
    Name(String),
    /// An option that is no regular expression.
    #[error("option {option} is no regular expression")]
    Regex {
        /// Its name.
        option: &'static str,
        /// In Go's words.
        #[source]
        source: RegexError,
    },
    /// A stage inside this one.
    #[error("option stages")]
    Nested(#[source] Box<PipelineError>),
    /// A stage that is known but not built in.
    #[error("not supported by this build")]
    Unsupported,
}

impl PipelineError {
    /// Who has to do something about it.
    pub fn kind(&self) -> ErrorKind {
        self.source.kind()
    }
}

impl StageError {
    /// Says what is wrong with an option.
    pub(crate) fn invalid(option: &'static str, reason: impl Into<String>) -> Self {
        StageError::Invalid { option, reason: reason.into() }
    }

    /// Who has to do something about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing { .. }
            | Self::Invalid { .. }
            | Self::Empty(_)
            | Self::Choice(_)
            | Self::Name(_)
            | Self::Regex { .. }
            | Self::Unsupported => ErrorKind::InvalidInput,
            Self::Nested(inner) => inner.kind(),
        }
    }
}
