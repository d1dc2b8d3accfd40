use crate::tail::{TailError, TailRequest, TailStream};
use async_trait::async_trait;
use skald_model::{DiskId, ErrorKind, GenerationPart, Labels, Rows, TenantId, TimeRange};
use std::sync::Arc;

/// One ingester, as seen from another service.
///
/// Implemented by the service itself and by the fake in `skald-testkit`; a gRPC client joins them with the cluster.
#[async_trait]
pub trait Ingester: Send + Sync + 'static {
    /// Appends `batch` to the tenant's streams and returns once it is fsynced in the WAL.
    ///
    /// If the caller stops waiting it may still be appended; retrying is safe, exact duplicates are one entry.
    ///
    /// # Errors
    /// [`PushError::Refused`] when some streams or entries were refused; everything else of the batch is durable then.
    async fn push(&self, tenant: &TenantId, batch: PushBatch) -> Result<(), PushError>;

    /// What memory holds of the tenant's streams, and which generations that covers.
    async fn select(&self, tenant: &TenantId, request: SelectRequest) -> Result<Selected, SelectError>;

    /// Follows the tenant's streams: every entry that is acknowledged after this returned comes, in the order of acknowledgement, or is counted as
    /// missed. What was acknowledged before is in the answer to a `select` that begins now; some entries may be in both.
    ///
    /// A reader that falls behind never slows pushes. Dropping the stream ends it.
    async fn tail(&self, tenant: &TenantId, request: TailRequest) -> Result<TailStream, TailError>;
}

/// Validated, normalised entries of one tenant, with derived metadata: nothing is left to decide but the out-of-order window and limits on streams.
#[derive(Debug, Clone, Default)]
pub struct PushBatch {
    /// Each label set at most once.
    pub streams: Vec<StreamRows>,
}

/// Entries of one stream.
#[derive(Debug, Clone)]
pub struct StreamRows {
    /// The stream.
    pub labels: Labels,
    /// Its entries in arrival order.
    pub rows: Rows,
}

/// Which rows of memory are asked for.
pub struct SelectRequest {
    /// Streams.
    pub matcher: Arc<dyn LabelMatcher>,
    /// Chunks of rows that have no entry in this range are left out; what comes may reach beyond it.
    pub range: TimeRange,
    /// Leave the rows out; only the streams are asked for.
    pub labels_only: bool,
}

/// Decides whether a stream is asked for.
pub trait LabelMatcher: Send + Sync + 'static {
    /// Whether the stream of `labels` is wanted.
    fn matches(&self, labels: &Labels) -> bool;
}

/// What memory holds.
#[derive(Debug, Clone)]
pub struct Selected {
    /// Disk of the ingester.
    pub disk: DiskId,
    /// Parts of generations whose rows are all in `streams`: data objects flushed from them must not be read beside it.
    pub generations: Vec<GenerationPart>,
    /// A stream may come several times, once per generation; the generation's place in arrival order decides between equal entries.
    pub streams: Vec<SelectedStream>,
}

/// Rows of one stream in one generation.
#[derive(Debug, Clone)]
pub struct SelectedStream {
    /// The stream.
    pub labels: Labels,
    /// Where the rows stand.
    pub generation: GenerationPart,
    /// In arrival order; not sorted by time, duplicates not removed.
    pub chunks: Vec<Arc<Rows>>,
}

/// One stream, or some entries of it, that an ingester would not take.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// What the caller can do about it: [`ErrorKind::InvalidInput`] or [`ErrorKind::LimitExceeded`].
    pub kind: ErrorKind,
    /// Reason label of the discard metrics, such as `too_far_behind`.
    pub reason: &'static str,
    /// Text for the client.
    pub message: String,
    /// Entries refused.
    pub entries: usize,
    /// Their bytes.
    pub bytes: usize,
}

/// Why an ingester did not take all of a push.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// Some streams or entries were refused; the rest of the batch is durable.
    #[error("{}", .0.last().map_or("refused", |refusal| refusal.message.as_str()))]
    Refused(Vec<Refusal>),
    /// The WAL could not be written; nothing of the batch is acknowledged.
    #[error("append to the write-ahead log")]
    Wal(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// Not ready, shutting down, out of memory budget or out of disk.
    #[error("{0}")]
    Unavailable(String),
}

impl PushError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused(refusals) => refusals.last().map_or(ErrorKind::InvalidInput, |refusal| refusal.kind),
            Self::Wal(_) => ErrorKind::Internal,
            Self::Unavailable(_) => ErrorKind::Unavailable,
        }
    }
}

/// Why an ingester did not answer.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// Not ready or shutting down; what memory holds is not known.
    #[error("{0}")]
    Unavailable(String),
}

impl SelectError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unavailable(_) => ErrorKind::Unavailable,
        }
    }
}
