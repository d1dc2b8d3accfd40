//! The distributor takes pushes over HTTP and keeps nothing on disk.
//!
//! A push is read into memory within bounds (`body`), decoded (`json`, `protobuf`, `otlp`) straight into the columns of its streams, entry by
//! entry checked against the tenant's limits, normalised and given its level (`intake`), checked against the tenant's rate, and handed to the
//! ingester, which answers once it is durable. Entries that limits refuse cost only themselves; labels that cannot be read refuse the whole push.

mod body;
mod distributor;
mod error;
mod grpc;
mod head;
mod http;
mod identity;
mod inflight;
mod intake;
mod json;
mod labels;
mod level;
mod metadata;
mod metrics;
mod otlp;
mod protobuf;
mod rate;
mod stream;
#[cfg(test)]
mod testing;
mod validate;

pub use distributor::Distributor;
pub use error::PushFailure;
pub use labels::{LabelsParseError, parse_labels};
pub use level::LevelDetector;
pub use metadata::MetadataNameError;
