//! What the services say to each other: the service traits and the one table from error kind to status.

mod ingester;
mod status;
mod tail;

pub use ingester::{
    Ingester, LabelMatcher, PushBatch, PushError, Refusal, SelectError, SelectRequest, Selected, SelectedStream, StreamRows,
};
pub use status::{grpc_code, http_status};
pub use tail::{MISSED_NAMED_MAX, Missed, TailBatch, TailError, TailRequest, TailRows, TailStream};
