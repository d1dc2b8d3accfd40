//! How far each source has been delivered: `positions.yaml` in promtail's form, and a file beside it that knows more.

mod fold;
mod plain;
mod sidecar;
mod store;
#[cfg(test)]
mod tests;

pub(crate) use fold::{Fold, Updates};
use skald_model::ErrorKind;
use skald_model::seam::{Clock, Disk};
use skald_tail::FilePosition;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
pub(crate) use store::{Loaded, PositionsStore};

/// Where positions are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionsConfig {
    /// The file in promtail's form. Its directory must be writable: the file is replaced, not written to.
    pub filename: PathBuf,
    /// How often both files are written when something has moved.
    pub sync_period: Duration,
    /// Whether a file that cannot be understood counts as empty instead of as an error.
    pub ignore_invalid_yaml: bool,
    /// Whether nothing is written.
    pub read_only: bool,
}

impl Default for PositionsConfig {
    fn default() -> Self {
        PositionsConfig {
            filename: "/var/log/positions.yaml".into(),
            sync_period: Duration::from_secs(10),
            ignore_invalid_yaml: false,
            read_only: false,
        }
    }
}

impl PositionsConfig {
    /// The file beside it.
    pub fn sidecar(&self) -> PathBuf {
        with_suffix(&self.filename, ".skald")
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Where sources begin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StartPositions {
    /// Files that are known by more than their path.
    pub known: Vec<FilePosition>,
    /// Offsets (of compressed files: lines) of files that are known by their path alone, as promtail leaves them.
    pub plain: HashMap<PathBuf, u64>,
    /// Positions of other sources under their whole keys: `cursor-<key>`, or promtail's older `journal-<job>`.
    pub cursors: BTreeMap<String, String>,
}

impl StartPositions {
    /// What the files say, with nothing of a spool: for a dry run.
    ///
    /// # Errors
    /// See [`PositionsError`].
    pub fn read(config: PositionsConfig, disk: Arc<dyn Disk>, clock: Arc<dyn Clock>) -> Result<Self, PositionsError> {
        PositionsStore::new(config, disk, clock).load().map(|loaded| Self::of(&loaded.fold))
    }

    pub(crate) fn of(fold: &Fold) -> Self {
        StartPositions {
            known: fold.files.values().map(|file| file.position.clone()).collect(),
            plain: fold.plain.iter().map(|(path, offset)| (path.clone(), *offset)).collect(),
            cursors: fold.cursors.clone(),
        }
    }

    /// Position of the source that offers [`crate::intake::PositionUpdate::Cursor`] with this key.
    pub fn cursor(&self, key: &str) -> Option<&str> {
        self.cursors.get(&format!("{}{key}", fold::CURSOR)).map(String::as_str)
    }
}

/// Why positions cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum PositionsError {
    /// The disk failed.
    #[error("{operation} '{}'", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The positions file is not what it should be.
    #[error("positions file '{}' is invalid: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A later release wrote the state.
    #[error("'{}' has version {version}, which this release does not know", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
}

impl PositionsError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } => ErrorKind::Unavailable,
            Self::Invalid { .. } => ErrorKind::InvalidInput,
            Self::Newer { .. } => ErrorKind::NotImplemented,
        }
    }
}
