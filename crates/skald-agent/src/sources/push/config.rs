use crate::config::ServerConfig;
use crate::config::settings::{Names, settings};
use skald_config::ByteSize;

settings! {
    /// `loki_push_api`: takes pushes of other agents and clients.
    pub struct PushConfig {
        /// The listener: address, port, TLS, timeouts.
        pub server: ServerConfig = ServerConfig::default(),
        /// Labels of every entry; they win over those that a stream was pushed with.
        pub labels: Names = Names::default(),
        /// Whether entries keep the time that they were pushed with; else they have the time at which they came.
        pub use_incoming_timestamp: bool = false,
        /// Most bytes of a body, as sent and unpacked.
        pub max_send_msg_size: ByteSize = ByteSize::mib(100),
    }
}
