use super::client::ClientError;
use super::tail::TailError;
use super::time::TimeError;
use std::io;
use std::path::PathBuf;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// A flag or argument cannot be used as given.
    #[error("{0}")]
    Usage(String),
    /// A time or duration cannot be read.
    #[error("{flag}: {source}")]
    Time {
        /// The flag or argument that holds it.
        flag: &'static str,
        /// What is wrong with it.
        source: TimeError,
    },
    /// A file that a flag names cannot be read.
    #[error("read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A key or certificate, or a proxy address, that the HTTP client refuses.
    #[error("{what}: {source}")]
    Connection {
        /// Which setting.
        what: &'static str,
        /// The cause.
        source: ureq::Error,
    },
    /// The request failed.
    #[error(transparent)]
    Request(#[from] ClientError),
    /// A live tail ended, or did not begin.
    #[error(transparent)]
    Tail(#[from] TailError),
    /// The server said no to the query.
    #[error("{}", super::client::with_caret(source, query))]
    Query {
        /// The query.
        query: String,
        /// What the server said.
        source: ClientError,
    },
    /// The batch of one paging step is smaller than the number of entries at one time.
    #[error("all {batch} entries of a batch are at {at} ns: paging cannot get past them, use a larger --batch")]
    BatchTooSmall {
        /// Entries asked for.
        batch: usize,
        /// The time that they share.
        at: i64,
    },
    /// Standard output takes no more.
    #[error("write to standard output: {0}")]
    Output(#[source] io::Error),
    /// So many pushes were refused one after the other that the rest would be too.
    #[error("gave up: the last {0} batches were refused, and so was a single line of them")]
    GaveUp(u32),
}

impl CliError {
    /// Exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Time { .. } | Self::File { .. } | Self::Connection { .. } => 2,
            Self::Request(error) | Self::Query { source: error, .. } => error.exit_code(),
            Self::Tail(error) => error.exit_code(),
            Self::GaveUp(_) => 3,
            Self::BatchTooSmall { .. } | Self::Output(_) => 1,
        }
    }
}
