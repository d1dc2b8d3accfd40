use async_trait::async_trait;
use bytes::Bytes;
use skald_model::ErrorKind;
use skald_pipeline::Text;
use std::error::Error;

/// What one client has to send, in the order in which it was read. Implemented by the spool's reader.
#[async_trait]
pub trait BatchSource: Send + 'static {
    /// The next batch, once there is one; `None` when no more will come. Who waits may stop at any time and ask again.
    async fn next(&mut self) -> Option<Box<dyn Batch>>;
}

/// A batch that is to be sent. Many may wait, so it does not hold its entries. One that is dropped without [`Batch::ack`] is sent again by another run.
#[async_trait]
pub trait Batch: Send + Sync + 'static {
    /// Number of the group that it was cut in, for the log; ascends.
    fn group(&self) -> u64;

    /// Its tenant, where its entries named one.
    fn tenant(&self) -> Option<&Text>;

    /// Number of entries.
    fn entries(&self) -> u64;

    /// Bytes of their lines and metadata.
    fn line_bytes(&self) -> u64;

    /// Its entries, before it is acknowledged: a push request without the client's external labels, compressed by snappy. Asked for anew with each try after
    /// a wait, so that what waits takes no memory.
    async fn payload(&self) -> Result<Bytes, PayloadError>;

    /// Says that nothing of it is to be sent again: its entries were taken, or given up and counted. Batches may be acknowledged in any order.
    fn ack(&self);
}

/// Why the entries of a batch cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// The spool does not give them now.
    #[error("read a batch from the spool")]
    Unreadable(#[source] Box<dyn Error + Send + Sync>),
    /// What is there is not what was written.
    #[error("a batch in the spool is damaged: {0}")]
    Damaged(String),
}

impl PayloadError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unreadable(_) => ErrorKind::Unavailable,
            Self::Damaged(_) => ErrorKind::Corrupt,
        }
    }
}
