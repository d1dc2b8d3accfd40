//! Messages that answers are made of.

use prost::Message;
use prost::bytes::Bytes;

/// `google.rpc.Status`: what an error is answered with.
#[derive(Clone, PartialEq, Message)]
pub struct RpcStatus {
    /// Number of `google.rpc.Code`; left out over HTTP, where the status line says it.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// Text.
    #[prost(string, tag = "2")]
    pub message: String,
    /// More about it.
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Detail>,
}

/// `google.protobuf.Any`
#[derive(Clone, PartialEq, Message)]
pub struct Detail {
    /// Name of the message.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The message.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

/// `google.rpc.RetryInfo`: the push may come again after a while.
#[derive(Clone, PartialEq, Message)]
pub struct RetryInfo {
    /// How long to wait.
    #[prost(message, optional, tag = "1")]
    pub retry_delay: Option<Seconds>,
}

/// `google.protobuf.Duration` of whole seconds
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Seconds {
    /// Seconds.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
}

/// `ExportLogsServiceResponse`: what an export that was taken is answered with.
#[derive(Clone, PartialEq, Message)]
pub struct Exported {
    /// What was not taken; absent when all was.
    #[prost(message, optional, tag = "1")]
    pub partial_success: Option<PartialSuccess>,
}

/// `ExportLogsPartialSuccess`
#[derive(Clone, PartialEq, Message)]
pub struct PartialSuccess {
    /// Records that were refused.
    #[prost(int64, tag = "1")]
    pub rejected_log_records: i64,
    /// Why.
    #[prost(string, tag = "2")]
    pub error_message: String,
}

impl RetryInfo {
    /// As a detail of a status.
    pub fn after(seconds: i64) -> Detail {
        let info = RetryInfo { retry_delay: Some(Seconds { seconds }) };
        Detail { type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(), value: info.encode_to_vec().into() }
    }
}
