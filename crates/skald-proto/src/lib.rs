//! Messages on the wire and in the write-ahead log.
//!
//! - [`encode_frame`] and [`decode_frame`]: one tenant's validated rows as columns, the record of the write-ahead log and what
//!   distributors send to ingesters. Written by hand over the generated message's layout, because it is mostly `memcpy` that way.
//! - [`read_push`]: a Loki push read in place, without building messages: a small hostile body cannot become a large tree.
//! - [`otlp`]: an export of OpenTelemetry logs read in place, for the same reason.
//! - [`loki`] and [`skald`]: the messages generated from `proto/`, for those who send.

mod frame;
pub mod otlp;
mod push;
mod wire;

pub use frame::{FrameError, decode_frame, encode_frame};
pub use push::{PushEntry, PushStream, read_push};
pub use wire::WireError;

/// Messages of `proto/loki`.
pub mod loki {
    /// A Loki push.
    #[allow(missing_docs, reason = "generated; the .proto file has the comments")]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/loki.v1.rs"));
    }
}

/// Messages of `proto/skald`.
pub mod skald {
    /// What Skald's processes say to each other.
    #[allow(missing_docs, reason = "generated; the .proto file has the comments")]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/skald.v1.rs"));
    }
}
