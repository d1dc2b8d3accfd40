use crate::config::settings::Hidden;
use skald_model::seam::{Disk, Seams, Spawner, Stopped, run_blocking};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Longest file of a secret or of certificates.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// A text that stands in the configuration or in a file, which is read anew each time: a secret can be replaced while the agent runs.
#[derive(Debug, Clone)]
pub(crate) enum Secret {
    Inline(String),
    File(String),
}

impl Secret {
    /// The text itself, or the file, or nothing.
    pub fn of(text: Option<&Hidden>, file: Option<&String>) -> Option<Self> {
        text.map(|text| Secret::Inline(text.0.clone())).or_else(|| file.cloned().map(Secret::File))
    }

    /// The text now; of a file without the blanks around it.
    pub async fn read(&self, files: &Files) -> Result<String, FileError> {
        match self {
            Self::Inline(text) => Ok(text.clone()),
            Self::File(path) => {
                let bytes = files.read(path).await?;
                let text = String::from_utf8(bytes).map_err(|_| FileError::wrong(path, "not UTF-8"))?;
                Ok(text.trim().to_owned())
            }
        }
    }
}

/// Reads small files without blocking the runtime.
#[derive(Clone)]
pub(crate) struct Files {
    disk: Arc<dyn Disk>,
    spawner: Arc<dyn Spawner>,
}

/// Why a file of the configuration cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("read {path}")]
pub(crate) struct FileError {
    path: String,
    source: io::Error,
}

impl FileError {
    fn wrong(path: &str, why: &'static str) -> Self {
        FileError { path: path.to_owned(), source: io::Error::new(io::ErrorKind::InvalidData, why) }
    }
}

impl Files {
    pub fn new(seams: &Seams) -> Self {
        Files { disk: seams.disk.clone(), spawner: seams.spawner.clone() }
    }

    /// All bytes of a file of bounded length.
    pub async fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        let (disk, at) = (self.disk.clone(), PathBuf::from(path));
        let read = move || {
            let file = disk.open(&at)?;
            let len = file.len()?;
            if len > FILE_BYTES_MAX {
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too large for a secret or a certificate"));
            }
            let mut bytes = vec![0; len as usize];
            file.read_exact_at(0, &mut bytes)?;
            Ok(bytes)
        };
        let done = self.run(read).await.unwrap_or_else(|stopped| Err(io::Error::other(stopped)));
        done.map_err(|source| FileError { path: path.to_owned(), source })
    }

    /// Runs work on files that may block.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Stopped> {
        run_blocking(&*self.spawner, work).await
    }
}
