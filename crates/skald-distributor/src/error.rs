use crate::labels::LabelsParseError;
use crate::metadata::MetadataNameError;
use http::StatusCode;
use skald_model::ErrorKind;
use skald_proto::WireError;
use skald_rpc::{PushError, http_status};
use skald_runtime::tenancy::TenancyError;

/// Why a push was answered with an error. Its text is what the client reads.
#[derive(Debug, thiserror::Error)]
pub enum PushFailure {
    /// No tenant that may push.
    #[error(transparent)]
    Tenancy(#[from] TenancyError),
    /// Too many bytes are being worked on.
    #[error("The server cannot accept more requests at this time.")]
    Busy,
    /// The client did not send the whole body.
    #[error("read the request body")]
    Body(#[source] axum::Error),
    /// The body is too large.
    #[error("request body too large: {0}")]
    TooLarge(String),
    /// The body is not what its headers say.
    #[error("{0}")]
    Decode(String),
    /// The message of a gRPC call is compressed in a way that is none of ours.
    #[error("grpc-encoding {0} is not supported: only gzip and zstd are")]
    Encoding(String),
    /// The body is no protobuf message.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Some stream's labels cannot be read; nothing of the push was taken.
    #[error("couldn't parse labels: {0}")]
    Labels(#[from] LabelsParseError),
    /// Labels that only servers set.
    #[error(
        "streams must not contain the reserved labels __backfill__ or __backfill_shard__; set the X-Loki-Backfill-Shard header to mark a push as backfill data"
    )]
    ReservedLabels,
    /// The header that marks backfill cannot be used.
    #[error("X-Loki-Backfill-Shard must be valid UTF-8 of at most 128 bytes")]
    BackfillHeader,
    /// The entries are spread too widely over time.
    #[error("entries span more than {max} UTC days; send them in several pushes")]
    TooManyDays {
        /// Most days.
        max: usize,
    },
    /// A metadata name that cannot be used.
    #[error(transparent)]
    MetadataName(#[from] MetadataNameError),
    /// There was no stream.
    #[error("error at least one valid stream is required for ingestion")]
    NoStreams,
    /// Some entries or streams were refused; all others were stored.
    #[error("{message}")]
    Validation {
        /// Text.
        message: String,
        /// Entries refused.
        entries: usize,
    },
    /// The tenant may not push for now.
    #[error("{message}")]
    Blocked {
        /// Status that its limits ask for.
        status: u16,
        /// Text.
        message: String,
    },
    /// The tenant pushes more than it may; nothing was stored.
    #[error("{0}")]
    RateLimited(String),
    /// The processor pool stopped.
    #[error("the server is shutting down")]
    Stopped,
    /// Ingesters did not take all of it.
    #[error("{error}")]
    Ingester {
        /// Why.
        #[source]
        error: PushError,
        /// Entries refused, by ingesters or before.
        entries: usize,
    },
}

impl PushFailure {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Tenancy(error) => error.kind(),
            Self::Busy | Self::Stopped => ErrorKind::Unavailable,
            Self::Body(_) => ErrorKind::Cancelled,
            Self::TooLarge(_) => ErrorKind::TooLarge,
            Self::Wire(error) => error.kind(),
            Self::Encoding(_) => ErrorKind::NotImplemented,
            Self::Decode(_)
            | Self::Labels(_)
            | Self::ReservedLabels
            | Self::BackfillHeader
            | Self::TooManyDays { .. }
            | Self::NoStreams
            | Self::Validation { .. }
            | Self::Blocked { .. } => ErrorKind::InvalidInput,
            // Sending it again is no use, but this is what clients know of it: Loki answers 500.
            Self::MetadataName(_) => ErrorKind::Internal,
            Self::RateLimited(_) => ErrorKind::LimitExceeded,
            Self::Ingester { error, .. } => error.kind(),
        }
    }

    /// How many entries were refused, where all others were stored and it is no use to send the refused ones again.
    pub fn refused_entries(&self) -> Option<usize> {
        match self {
            Self::Validation { entries, .. } => Some(*entries),
            Self::Ingester { error: PushError::Refused(refusals), entries } => {
                refusals.iter().all(|refusal| refusal.kind == ErrorKind::InvalidInput).then_some(*entries)
            }
            _ => None,
        }
    }

    /// Status of the answer: that of the kind, but for the few that the push API sets apart.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Tenancy(error) => error.status(),
            Self::NoStreams => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Blocked { status, .. } => StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_REQUEST),
            other => http_status(other.kind()),
        }
    }
}
