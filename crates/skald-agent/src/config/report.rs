//! What is wrong with a configuration, and where.

use serde_saphyr::Location;
use skald_model::ErrorKind;
use std::fmt;
use std::path::PathBuf;

/// A line and a column of the file, both from 1; zeros where there is no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The column.
    pub column: u64,
}

impl Place {
    pub(super) fn of(location: Location) -> Self {
        Place { line: location.line(), column: location.column() }
    }
}

/// One thing that is wrong, or odd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, or where else it was said.
    pub file: String,
    /// Where in it.
    pub place: Place,
    /// What it is.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { line, column } = self.place;
        match line {
            0 => write!(f, "{}: {}", self.file, self.message),
            _ => write!(f, "{}:{line}:{column}: {}", self.file, self.message),
        }
    }
}

/// Why a configuration was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The command line.
    #[error("{0}")]
    Usage(String),
    /// None of the files is there.
    #[error("no configuration file at {}", paths(.0))]
    NotFound(Vec<PathBuf>),
    /// A file could not be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// What was written is not a configuration; every problem that was found.
    #[error("{}", lines(.0))]
    Invalid(Vec<Problem>),
}

impl ConfigError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Usage(_) | Self::Invalid(_) => ErrorKind::InvalidInput,
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Read { .. } => ErrorKind::Unavailable,
        }
    }
}

fn paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" or ")
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Collects what is wrong with one file.
#[derive(Debug)]
pub(crate) struct Report {
    file: String,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

impl Report {
    pub(crate) fn new(file: &str) -> Self {
        Report { file: file.to_owned(), problems: Vec::new(), warnings: Vec::new() }
    }

    pub(crate) fn problem(&mut self, place: Place, message: String) {
        self.problems.push(Problem { file: self.file.clone(), place, message });
    }

    pub(crate) fn warning(&mut self, place: Place, message: String) {
        self.warnings.push(Problem { file: self.file.clone(), place, message });
    }

    pub(crate) fn count(&self) -> usize {
        self.problems.len()
    }

    /// What was reported, or an error if there was a problem.
    pub(crate) fn into_result(mut self) -> Result<Vec<Problem>, ConfigError> {
        if self.problems.is_empty() {
            return Ok(self.warnings);
        }
        self.problems.sort_by_key(|problem| problem.place);
        Err(ConfigError::Invalid(self.problems))
    }
}
