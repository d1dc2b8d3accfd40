//! The blocks of the file that are not clients and not scrape configs.

use super::settings::{Hidden, Period, settings};
use skald_config::{ByteSize, LogFormat, LogLevel};

settings! {
    /// `server`: the HTTP listener of the agent itself.
    pub struct ServerConfig {
        /// No listener at all: no metrics, no readiness, no reload by HTTP.
        pub disable: bool = false,
        /// Address of the listener; empty is all.
        pub http_listen_address: String = String::new(),
        /// Port of the listener; 0 picks a free one.
        pub http_listen_port: u16 = 80,
        /// Whether `/metrics` is served.
        pub register_instrumentation: bool = true,
        /// How long stopping may take.
        pub graceful_shutdown_timeout: Period = Period::seconds(30),
        /// Longest that a request may take to come.
        pub http_server_read_timeout: Period = Period::seconds(30),
        /// Longest that the head of a request may take to come.
        pub http_server_read_header_timeout: Period = Period::seconds(0),
        /// Longest that an answer may take to go.
        pub http_server_write_timeout: Period = Period::seconds(30),
        /// Longest that a connection may be silent.
        pub http_server_idle_timeout: Period = Period::seconds(120),
        /// Most connections at a time; 0 is the built-in bound.
        pub http_listen_conn_limit: usize = 0,
        /// Certificate, key and client CA of the listener.
        pub http_tls_config: Option<ServerTlsConfig> = None,
        /// Lowest level that is logged.
        pub log_level: LogLevel = LogLevel::Info,
        /// Form of the log.
        pub log_format: LogFormat = LogFormat::Logfmt,
        /// Stands in front of every route.
        pub http_path_prefix: String = String::new(),
        /// Under which address others reach the agent; shown alone.
        pub external_url: String = String::new(),
        /// Whether `/ready` asks for a source that works; else it is always ready.
        pub health_check_target: bool = true,
        /// Accepted; there is no profiler to serve.
        pub profiling_enabled: bool = false,
        /// Whether `/reload` reads the configuration anew.
        pub enable_runtime_reload: bool = false,
        /// Accepted and without effect, as is all that follows: the agent serves no gRPC.
        pub grpc_listen_address: String = String::new(),
        /// Without effect.
        pub grpc_listen_port: u16 = 9095,
        /// Without effect.
        pub grpc_listen_network: String = String::new(),
        /// Without effect.
        pub grpc_listen_conn_limit: u64 = 0,
        /// Without effect.
        pub grpc_tls_config: Option<ServerTlsConfig> = None,
        /// Without effect.
        pub grpc_server_max_recv_msg_size: u64 = 4 << 20,
        /// Without effect.
        pub grpc_server_max_send_msg_size: u64 = 4 << 20,
        /// Without effect.
        pub grpc_server_max_concurrent_streams: u64 = 100,
        /// Without effect.
        pub grpc_server_max_connection_idle: Option<String> = None,
        /// Without effect.
        pub grpc_server_max_connection_age: Option<String> = None,
        /// Without effect.
        pub grpc_server_max_connection_age_grace: Option<String> = None,
        /// Without effect.
        pub grpc_server_keepalive_time: Option<String> = None,
        /// Without effect.
        pub grpc_server_keepalive_timeout: Option<String> = None,
        /// Without effect.
        pub grpc_server_min_time_between_pings: Option<String> = None,
        /// Without effect.
        pub grpc_server_ping_without_stream_allowed: Option<bool> = None,
        /// Without effect.
        pub grpc_server_num_workers: Option<u64> = None,
        /// Without effect.
        pub grpc_server_stats_tracking_enabled: Option<bool> = None,
        /// Without effect.
        pub grpc_server_recv_buffer_pools_enabled: Option<bool> = None,
        /// Without effect.
        pub http_listen_network: String = String::new(),
        /// Without effect.
        pub proxy_protocol_enabled: bool = false,
        /// Without effect.
        pub tls_cipher_suites: Option<String> = None,
        /// Without effect.
        pub tls_min_version: Option<String> = None,
        /// Without effect.
        pub report_grpc_codes_in_instrumentation_label_enabled: Option<bool> = None,
        /// Without effect.
        pub log_source_ips_enabled: bool = false,
        /// Without effect.
        pub log_source_ips_full: bool = false,
        /// Without effect.
        pub log_source_ips_header: Option<String> = None,
        /// Without effect.
        pub log_source_ips_regex: Option<String> = None,
        /// Without effect.
        pub log_request_headers: bool = false,
        /// Without effect.
        pub log_request_exclude_headers_list: Option<String> = None,
        /// Without effect.
        pub log_request_at_info_level_enabled: bool = false,
        /// Without effect.
        pub http_log_closed_connections_without_response_enabled: bool = false,
        /// Without effect.
        pub cluster_validation: Option<serde_json::Value> = None,
        /// Without effect.
        pub throughput: Option<serde_json::Value> = None,
    }
}

settings! {
    /// TLS of a listener.
    pub struct ServerTlsConfig {
        /// File with the certificate and its chain, PEM.
        pub cert_file: Option<String> = None,
        /// File with the key, PEM.
        pub key_file: Option<String> = None,
        /// File with the CA that client certificates must come from.
        pub client_ca_file: Option<String> = None,
        /// `NoClientCert`, `RequestClientCert`, `RequireAnyClientCert`, `VerifyClientCertIfGiven` or `RequireAndVerifyClientCert`.
        pub client_auth_type: Option<String> = None,
        /// The certificate itself, in the place of a file.
        pub cert: Option<String> = None,
        /// The key itself.
        pub key: Option<Hidden> = None,
        /// The client CA itself.
        pub client_ca: Option<String> = None,
    }
}

settings! {
    /// `positions`: where it is kept how far each source has been read.
    pub struct PositionsConfig {
        /// The file.
        pub filename: String = "/var/log/positions.yaml".to_owned(),
        /// How often it is written.
        pub sync_period: Period = Period::seconds(10),
        /// Whether a file that cannot be read counts as empty; else it stops the start.
        pub ignore_invalid_yaml: bool = false,
    }
}

settings! {
    /// `spool`: what waits on the disk to be sent. Not known to promtail.
    pub struct SpoolConfig {
        /// The directory; empty is `spool` beside the positions file.
        pub dir: String = String::new(),
        /// Most that may wait; sources wait when it is full.
        pub max_size: ByteSize = ByteSize::gib(1),
    }
}

settings! {
    /// `wal`: promtail's experimental buffer. Its directory is taken for the spool; the rest has no effect, since the spool is always there.
    pub struct WalConfig {
        /// Without effect.
        pub enabled: bool = false,
        /// The directory.
        pub dir: String = String::new(),
        /// Without effect.
        #[serde(rename = "cleanSegmentsOlderThan")]
        pub clean_segments_older_than: Period = Period::seconds(3600),
        /// Without effect.
        #[serde(rename = "watchConfig")]
        pub watch_config: WalWatchConfig = WalWatchConfig::default(),
    }
}

settings! {
    /// `wal.watchConfig`, without effect.
    pub struct WalWatchConfig {
        /// Without effect.
        #[serde(rename = "minReadFrequency")]
        pub min_read_frequency: Period = Period::milliseconds(250),
        /// Without effect.
        #[serde(rename = "maxReadFrequency")]
        pub max_read_frequency: Period = Period::seconds(1),
        /// Without effect.
        #[serde(rename = "drainTimeout")]
        pub drain_timeout: Period = Period::seconds(15),
    }
}

settings! {
    /// `limits_config`: bounds for the whole process.
    pub struct LimitsConfig {
        /// Whether `readline_rate` holds.
        pub readline_rate_enabled: bool = false,
        /// Lines a second.
        pub readline_rate: f64 = 10_000.0,
        /// Lines that may come at once.
        pub readline_burst: u64 = 10_000,
        /// Whether lines above the rate are dropped; else sources wait.
        pub readline_rate_drop: bool = true,
        /// Most streams in one batch; 0 is no bound.
        pub max_streams: u64 = 0,
        /// Longest line; 0 is no bound.
        pub max_line_size: ByteSize = ByteSize(0),
        /// Whether longer lines are cut; else they are dropped.
        pub max_line_size_truncate: bool = false,
    }
}

settings! {
    /// `target_config`.
    pub struct TargetConfig {
        /// How often globs are looked at again.
        pub sync_period: Period = Period::seconds(10),
        /// Lines come from standard input; the flag `-stdin` says the same.
        pub stdin: bool = false,
    }
}

settings! {
    /// `global`.
    pub struct GlobalConfig {
        /// How often files are looked at.
        pub file_watch_config: FileWatchConfig = FileWatchConfig::default(),
    }
}

settings! {
    /// `global.file_watch_config`.
    pub struct FileWatchConfig {
        /// Soonest.
        pub min_poll_frequency: Period = Period::milliseconds(250),
        /// Latest, for files that are idle.
        pub max_poll_frequency: Period = Period::milliseconds(250),
    }
}

settings! {
    /// `options`.
    pub struct OptionsConfig {
        /// Accepted, without effect; so is it in promtail.
        pub stream_lag_labels: Option<serde_json::Value> = None,
    }
}

settings! {
    /// `tracing`.
    pub struct TracingConfig {
        /// Accepted; the agent sends no traces.
        pub enabled: bool = false,
    }
}
