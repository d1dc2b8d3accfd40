use crate::setting::settings;
use crate::{BlockedQuery, ByteSize, OtlpConfig, Problem};
use skald_model::TenantId;
use std::sync::Arc;
use std::time::Duration;

settings! {
    /// Limits of one tenant. Names and defaults are those of Loki's `limits_config`.
    pub struct Limits {
        /// Bytes a second that a tenant may push, in MiB.
        pub ingestion_rate_mb: f64,
        /// Bytes that a tenant may push at once, in MiB; a larger request can never pass.
        pub ingestion_burst_size_mb: f64,
        /// Longest label name in bytes.
        pub max_label_name_length: usize,
        /// Longest label value in bytes.
        pub max_label_value_length: usize,
        /// Most labels of a stream, `service_name` not counted.
        pub max_label_names_per_series: usize,
        /// Whether entries older than `reject_old_samples_max_age` are refused.
        pub reject_old_samples: bool,
        /// Age from which entries are refused.
        pub reject_old_samples_max_age: Duration,
        /// How far in the future an entry may lie.
        pub creation_grace_period: Duration,
        /// Longest line; 0 is no limit.
        pub max_line_size: ByteSize,
        /// Cut longer lines instead of refusing them.
        pub max_line_size_truncate: bool,
        /// Put at the end of a line that was cut; counts towards the limit.
        pub max_line_size_truncate_identifier: String,
        /// Move an entry that has the timestamp of the one before it and another line 1 ns on.
        pub increment_duplicate_timestamp: bool,
        /// Labels from which `service_name` is taken, first non-empty first; empty switches it off.
        pub discover_service_name: Vec<String>,
        /// Whether `detected_level` is added to entries.
        pub discover_log_levels: bool,
        /// Where to look for a level, in this order.
        pub log_level_fields: Vec<String>,
        /// How many levels of nested JSON objects are searched for a level; 0 or less is no limit.
        pub log_level_from_json_max_depth: i64,
        /// Whether entries may carry structured metadata.
        pub allow_structured_metadata: bool,
        /// Most bytes of structured metadata of an entry.
        pub max_structured_metadata_size: ByteSize,
        /// Most pairs of structured metadata of an entry.
        pub max_structured_metadata_entries_count: usize,
        /// Until when (RFC 3339) pushes are refused.
        pub block_ingestion_until: Option<String>,
        /// Status of refused pushes; 200 drops them silently.
        pub block_ingestion_status_code: u16,
        /// Labels that every stream must have.
        pub enforced_labels: Vec<String>,
        /// What becomes of the attributes of OpenTelemetry logs.
        pub otlp_config: OtlpConfig,
        /// Most streams of a tenant in memory of one ingester; 0 is no limit.
        pub max_streams_per_user: usize,
        /// Most streams of a tenant in memory of all ingesters; 0 is no limit.
        pub max_global_streams_per_user: usize,
        /// Bytes a second of one stream.
        pub per_stream_rate_limit: ByteSize,
        /// Bytes of one stream at once.
        pub per_stream_rate_limit_burst: ByteSize,
        /// Loki's automatic sharding of streams; here it decides only whether a stream's part of a push is refused as a whole.
        pub shard_streams: ShardStreams,
        /// How far behind the newest entry of its stream an entry may lie.
        pub out_of_order_time_window: Duration,
        /// Most lines that a log query may ask for; 0 is no limit.
        pub max_entries_limit_per_query: usize,
        /// Most series in the answer to a metric query.
        pub max_query_series: usize,
        /// Longest span of a query; 0 is no limit.
        pub max_query_length: Duration,
        /// How far back a query may look; 0 is no limit.
        pub max_query_lookback: Duration,
        /// Longest `[range]`; 0 is no limit.
        pub max_query_range: Duration,
        /// Longest time a query may take.
        pub query_timeout: Duration,
        /// Most matchers in a selector.
        pub max_streams_matchers_per_query: usize,
        /// Most bytes a query may read; 0 is no limit.
        pub max_query_bytes_read: ByteSize,
        /// Most bytes that one querier may read for a query; 0 is no limit.
        pub max_querier_bytes_read: ByteSize,
        /// Loki's parts of a query at a time; here only 0 has a meaning: it switches queries off.
        pub max_query_parallelism: usize,
        /// As `max_query_parallelism`: 0 switches queries off.
        pub tsdb_max_query_parallelism: usize,
        /// Queries that are refused, as a list of rules with `pattern` (the whole query, or with `regex: true` a regular expression found in it), `hash` (FNV-1a,
        /// 32 bits, of the query's text; the query log shows it), `types` (of `metric`, `filter` for log queries with stages, `limited` for those without) and
        /// `query_tags` (names, and regular expressions of their whole values). What a rule names must all hold.
        pub blocked_queries: Vec<BlockedQuery>,
        /// Matchers that every selector must have.
        pub required_labels: Vec<String>,
        /// Fewest matchers in a selector; 0 is no limit.
        pub minimum_labels_number: usize,
        /// Aggregations that may be approximate. Only `approx_topk` means something here: it is refused unless it is listed; its answers are exact.
        pub shard_aggregations: Vec<String>,
        /// Whether the volume endpoints answer.
        pub volume_enabled: bool,
        /// Most series in a volume answer.
        pub volume_max_series: usize,
        /// Most live tails at once.
        pub max_concurrent_tail_requests: usize,
        /// Age from which entries are removed; 0 keeps them for ever. Whole days.
        pub retention_period: Duration,
        /// Whether deletes are taken, and how they act: `disabled`, `filter-only` or `filter-and-delete`.
        pub deletion_mode: String,
    }
}

settings! {
    /// Loki's `shard_streams` block.
    pub struct ShardStreams {
        /// Whether a stream's part of a push is refused as a whole by the per-stream rate.
        pub enabled: bool,
    }
}

impl Default for Limits {
    fn default() -> Self {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Limits {
            ingestion_rate_mb: 4.0,
            ingestion_burst_size_mb: 6.0,
            max_label_name_length: 1024,
            max_label_value_length: 2048,
            max_label_names_per_series: 15,
            reject_old_samples: true,
            reject_old_samples_max_age: Duration::from_secs(7 * 86_400),
            creation_grace_period: Duration::from_secs(600),
            max_line_size: ByteSize(256 * 1024),
            max_line_size_truncate: false,
            max_line_size_truncate_identifier: String::new(),
            increment_duplicate_timestamp: false,
            discover_service_name: texts(&[
                "service",
                "app",
                "application",
                "app_name",
                "name",
                "app_kubernetes_io_name",
                "container",
                "container_name",
                "k8s_container_name",
                "component",
                "workload",
                "job",
                "k8s_job_name",
            ]),
            discover_log_levels: true,
            log_level_fields: texts(&[
                "level",
                "LEVEL",
                "Level",
                "log.level",
                "severity",
                "SEVERITY",
                "Severity",
                "SeverityText",
                "lvl",
                "LVL",
                "Lvl",
                "severity_text",
                "Severity_Text",
                "SEVERITY_TEXT",
            ]),
            log_level_from_json_max_depth: 2,
            allow_structured_metadata: true,
            max_structured_metadata_size: ByteSize(64 * 1024),
            max_structured_metadata_entries_count: 128,
            block_ingestion_until: None,
            block_ingestion_status_code: 260,
            enforced_labels: Vec::new(),
            otlp_config: OtlpConfig::default(),
            max_streams_per_user: 0,
            max_global_streams_per_user: 5000,
            per_stream_rate_limit: ByteSize(3 << 20),
            per_stream_rate_limit_burst: ByteSize(15 << 20),
            shard_streams: ShardStreams::default(),
            out_of_order_time_window: Duration::from_secs(3600),
            max_entries_limit_per_query: 5000,
            max_query_series: 500,
            max_query_length: Duration::from_secs(721 * 3600),
            max_query_lookback: Duration::ZERO,
            max_query_range: Duration::ZERO,
            query_timeout: Duration::from_secs(60),
            max_streams_matchers_per_query: 1000,
            max_query_bytes_read: ByteSize(0),
            max_querier_bytes_read: ByteSize(150 << 30),
            max_query_parallelism: 32,
            tsdb_max_query_parallelism: 128,
            blocked_queries: Vec::new(),
            required_labels: Vec::new(),
            minimum_labels_number: 0,
            shard_aggregations: Vec::new(),
            volume_enabled: true,
            volume_max_series: 1000,
            max_concurrent_tail_requests: 10,
            retention_period: Duration::ZERO,
            deletion_mode: "filter-and-delete".to_owned(),
        }
    }
}

impl Default for ShardStreams {
    fn default() -> Self {
        ShardStreams { enabled: true }
    }
}

const DAY: Duration = Duration::from_secs(86_400);

/// The smaller of two bounds, of which zero is none.
fn tighter<T: Ord + Default + Copy>(one: T, other: T) -> T {
    if one == T::default() || other == T::default() { one.max(other) } else { one.min(other) }
}

impl Limits {
    /// Limits on a query over two tenants: of each the one that bounds more.
    pub fn strictest(&self, other: &Limits) -> Limits {
        let mut required_labels = self.required_labels.clone();
        required_labels.extend(other.required_labels.iter().cloned());
        required_labels.sort();
        required_labels.dedup();
        let blocked_queries = self.blocked_queries.iter().chain(&other.blocked_queries).cloned().collect();
        let of_both = |name: &&String| other.shard_aggregations.contains(name);
        Limits {
            shard_aggregations: self.shard_aggregations.iter().filter(of_both).cloned().collect(),
            max_entries_limit_per_query: tighter(self.max_entries_limit_per_query, other.max_entries_limit_per_query),
            max_query_series: tighter(self.max_query_series, other.max_query_series),
            max_query_length: tighter(self.max_query_length, other.max_query_length),
            max_query_lookback: tighter(self.max_query_lookback, other.max_query_lookback),
            max_query_range: tighter(self.max_query_range, other.max_query_range),
            query_timeout: tighter(self.query_timeout, other.query_timeout),
            max_streams_matchers_per_query: tighter(self.max_streams_matchers_per_query, other.max_streams_matchers_per_query),
            max_query_bytes_read: tighter(self.max_query_bytes_read, other.max_query_bytes_read),
            max_querier_bytes_read: tighter(self.max_querier_bytes_read, other.max_querier_bytes_read),
            // Zero is no missing bound here: a tenant whose queries are off is not read with others either.
            max_query_parallelism: self.max_query_parallelism.min(other.max_query_parallelism),
            tsdb_max_query_parallelism: self.tsdb_max_query_parallelism.min(other.tsdb_max_query_parallelism),
            blocked_queries,
            minimum_labels_number: self.minimum_labels_number.max(other.minimum_labels_number),
            volume_enabled: self.volume_enabled && other.volume_enabled,
            volume_max_series: tighter(self.volume_max_series, other.volume_max_series),
            max_concurrent_tail_requests: tighter(self.max_concurrent_tail_requests, other.max_concurrent_tail_requests),
            required_labels,
            ..self.clone()
        }
    }

    /// Adds what is wrong with the values to `found`; keys begin with `prefix`.
    pub(crate) fn problems(&self, prefix: &str, found: &mut Vec<Problem>) {
        let mut must = |holds: bool, key: &str, message: String| {
            if !holds {
                found.push(Problem::new(&format!("{prefix}.{key}"), message));
            }
        };
        for (key, value) in [("ingestion_rate_mb", self.ingestion_rate_mb), ("ingestion_burst_size_mb", self.ingestion_burst_size_mb)] {
            must(value.is_finite() && value >= 0.0, key, format!("{value} is not a number of MiB, 0 or more"));
        }
        if let Some(until) = &self.block_ingestion_until {
            must(until.parse::<jiff::Timestamp>().is_ok(), "block_ingestion_until", format!("'{until}' is not an RFC 3339 time"));
        }
        let status = self.block_ingestion_status_code;
        must((200..=599).contains(&status), "block_ingestion_status_code", format!("{status} is not a status from 200 to 599"));
        let mode = self.deletion_mode.as_str();
        let known = ["disabled", "filter-only", "filter-and-delete"].contains(&mode);
        must(known, "deletion_mode", format!("'{mode}' is not one of disabled, filter-only, filter-and-delete"));
        let whole_days = self.retention_period.as_nanos().is_multiple_of(DAY.as_nanos());
        must(whole_days, "retention_period", format!("{} is not a whole number of days", crate::format_duration(self.retention_period)));
        let (mut blocked, key) = (Vec::new(), format!("{prefix}.blocked_queries"));
        self.blocked_queries.iter().for_each(|rule| rule.problems(&key, &mut blocked));
        let identifier_fits = !self.max_line_size_truncate
            || self.max_line_size == ByteSize(0)
            || self.max_line_size_truncate_identifier.len() as u64 <= self.max_line_size.0;
        must(identifier_fits, "max_line_size_truncate_identifier", format!("is longer than max_line_size ({})", self.max_line_size));
        found.append(&mut blocked);
        self.otlp_config.problems(&format!("{prefix}.otlp_config"), found);
    }
}

/// Where services look up the limits of a tenant. Cheap enough to ask once a request.
pub trait TenantLimits: Send + Sync + 'static {
    /// The limits in force now.
    fn limits(&self, tenant: &TenantId) -> Arc<Limits>;
}

/// The same limits for every tenant.
impl TenantLimits for Limits {
    fn limits(&self, _tenant: &TenantId) -> Arc<Limits> {
        Arc::new(self.clone())
    }
}
