use async_trait::async_trait;
use bytes::Bytes;
use skald_model::ErrorKind;
use skald_pipeline::Text;
use std::io;

/// Which batch: the group that it was cut in, and its place there. Ascends in the order of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId {
    /// The group.
    pub group: u64,
    /// Its place in the group.
    pub index: u32,
}

/// A batch that is to be sent, without its entries: those are loaded when it is its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Which one.
    pub id: BatchId,
    /// Its tenant, where its entries named one.
    pub tenant: Option<Text>,
    /// Number of entries.
    pub entries: u64,
    /// Bytes of their lines and metadata.
    pub line_bytes: u64,
}

/// What one client has to send, in the order in which it was read. Implemented by the spool's reader.
#[async_trait]
pub trait BatchSource: Send + Sync + 'static {
    /// The next batch, once there is one; `None` when no more will come. One call at a time.
    async fn next(&self) -> Option<Batch>;

    /// The entries of `batch`, which was not acknowledged yet: a push request without the client's external labels, compressed by snappy. Asked for anew
    /// with each attempt after a wait, so that what waits takes no memory.
    async fn payload(&self, batch: &Batch) -> Result<Bytes, PayloadError>;

    /// Says that nothing of `batch` is to be sent again: its entries were taken, or given up and counted. In any order.
    fn ack(&self, batch: &Batch);
}

/// Why the entries of a batch cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// The disk does not give them now.
    #[error("read a batch from the spool")]
    Read(#[source] io::Error),
    /// What is there is not what was written.
    #[error("a batch in the spool is damaged: {0}")]
    Damaged(String),
}

impl PayloadError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Read(_) => ErrorKind::Unavailable,
            Self::Damaged(_) => ErrorKind::Corrupt,
        }
    }
}
