use crate::coding::Coding;
use crate::glob::Pattern;
use skald_model::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Which files to read, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileTarget {
    /// Tells it from other targets, over restarts too; positions belong to it.
    pub key: Arc<str>,
    /// Path or glob (`*`, `**`, `?`, `[…]`, `{a,b}`). Taken as it is when it names a file. A relative one counts from the working directory.
    pub path: String,
    /// Glob of paths that are left out.
    pub exclude: Option<String>,
    /// IANA name of the encoding; UTF-8 when absent.
    pub encoding: Option<String>,
    /// How the files are compressed.
    pub decompression: Option<Decompression>,
}

impl FileTarget {
    /// Whether the target can be read at all.
    ///
    /// # Errors
    /// A glob that is none, or an unknown encoding.
    pub fn check(&self) -> Result<(), TargetError> {
        Target::new(self, 0).map(drop)
    }
}

/// How the files of a target are compressed. Each is read once, from its beginning, and its position is a number of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decompression {
    /// The format.
    pub format: Format,
    /// How long a file must not have been written until it is read.
    pub initial_delay: Duration,
}

/// A compression format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// gzip, also several members.
    Gzip,
    /// zlib.
    Zlib,
    /// bzip2.
    Bzip2,
    /// Zstandard.
    Zstd,
    /// LZ4 frames.
    Lz4,
}

impl Format {
    /// By the name that the configuration uses.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "gz" => Format::Gzip,
            "z" => Format::Zlib,
            "bz2" => Format::Bzip2,
            "zst" => Format::Zstd,
            "lz4" => Format::Lz4,
            _ => return None,
        })
    }
}

/// Why a target cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The path or the exclusion is no glob.
    #[error("glob {pattern:?}: {problem}")]
    Pattern {
        /// As it was given.
        pattern: String,
        /// What is wrong.
        problem: String,
    },
    /// No such encoding.
    #[error("unknown encoding {name:?}")]
    Encoding {
        /// As it was given.
        name: String,
    },
}

impl TargetError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Pattern { .. } | Self::Encoding { .. } => ErrorKind::InvalidInput,
        }
    }
}

/// A target, compiled.
#[derive(Debug)]
pub(crate) struct Target {
    /// Ascends with each target of a process.
    pub number: u32,
    pub key: Arc<str>,
    pub pattern: Pattern,
    exclude: Option<Pattern>,
    pub coding: Coding,
    pub decompression: Option<Decompression>,
}

impl Target {
    pub(crate) fn new(target: &FileTarget, number: u32) -> Result<Self, TargetError> {
        Ok(Target {
            number,
            key: target.key.clone(),
            pattern: Pattern::new(&target.path)?,
            exclude: target.exclude.as_deref().filter(|text| !text.is_empty()).map(Pattern::new).transpose()?,
            coding: Coding::named(target.encoding.as_deref().unwrap_or_default())?,
            decompression: target.decompression,
        })
    }

    /// Whether a file at `path` is left out.
    pub(crate) fn excludes(&self, path: &Path) -> bool {
        self.exclude.as_ref().is_some_and(|pattern| pattern.matches(path))
    }

    /// Whether a file at `path` is read.
    pub(crate) fn wants(&self, path: &Path) -> bool {
        self.pattern.matches(path) && !self.excludes(path)
    }
}
