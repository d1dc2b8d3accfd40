//! What the services say to each other: the service traits and the one table from error kind to status.

mod ingester;
mod status;

pub use ingester::{
    Ingester, LabelMatcher, PushBatch, PushError, Refusal, SelectError, SelectRequest, Selected, SelectedStream, StreamRows,
};
pub use status::{grpc_code, http_status};
