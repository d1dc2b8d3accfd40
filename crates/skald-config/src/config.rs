use crate::setting::{plain, settings};
use crate::{ByteSize, Limits, Problem, StoreUrl};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// What kind of process is configured; decides two defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `skald serve`: tenants are off and only this machine can connect, until asked otherwise.
    SingleProcess,
    /// A separate service: tenants are on, and it listens on every address.
    Service,
}

settings! {
    /// The whole configuration.
    pub struct Config {
        /// Whether requests must name their tenant in `X-Scope-OrgID`. Off, everything belongs to the tenant `fake`. `skald serve` has it off by default.
        pub auth_enabled: bool,
        /// Memory that the process may use, from which the memory budgets and cache sizes below take their shares. Found from the cgroup, else from the machine.
        pub memory_limit: ByteSize,
        /// Ports, logs and stopping.
        pub server: ServerConfig,
        /// Where data lies.
        pub storage: StorageConfig,
        /// Taking pushes.
        pub distributor: DistributorConfig,
        /// Keeping and flushing recent entries.
        pub ingester: IngesterConfig,
        /// Answering queries.
        pub querier: QuerierConfig,
        /// Indexing and removing data objects.
        pub compactor: CompactorConfig,
        /// Limits of every tenant that `runtime_config.file` does not override.
        pub limits_config: Limits,
        /// Limits of single tenants, from a file that may change at any time.
        pub runtime_config: RuntimeConfig,
    }
}

settings! {
    /// Ports, logs and stopping.
    pub struct ServerConfig {
        /// IP address of the HTTP port. `skald serve` listens on 127.0.0.1 by default. Empty is every address.
        pub http_listen_address: String,
        /// Port of the HTTP API; 0 picks a free one.
        pub http_listen_port: u16,
        /// Most connections at a time on each of the two ports; more wait to be accepted. Higher takes more clients, each with memory for its buffers.
        pub http_listen_conn_limit: usize,
        /// IP address of the gRPC port. `skald serve` listens on 127.0.0.1 by default. Empty is every address.
        pub grpc_listen_address: String,
        /// Port of gRPC, which the other processes talk to; 0 picks a free one.
        pub grpc_listen_port: u16,
        /// Lowest level of log messages that are written. `/log_level` changes it while the process runs.
        pub log_level: LogLevel,
        /// Form of log messages.
        pub log_format: LogFormat,
        /// Time for requests to end and data to be flushed after SIGTERM. Longer leaves less to replay at the next start; what is not flushed stays in the WAL.
        pub graceful_shutdown_timeout: Duration,
        /// Threads for compression, search and sorting; 0 is one for each core. Fewer leaves cores to other processes.
        pub cpu_threads: usize,
        /// Threads that may wait for the disk. More keeps a deep disk queue busy, each costs a stack.
        pub blocking_threads: usize,
    }
}

settings! {
    /// Where data lies.
    pub struct StorageConfig {
        /// Directory of everything that this process keeps on its disk. One process owns it.
        pub data_dir: PathBuf,
        /// Object store of data objects: `file:///directory`, or `s3://bucket/prefix` (the prefix may be left out). Unset is `objects` in `data_dir`.
        pub url: Option<String>,
        /// Free space on the disk below which pushes are refused with 503. Larger keeps more room for flushing and compaction, smaller lets the disk fill further.
        pub free_space_floor: ByteSize,
        /// Most bytes of the cache of data objects in `data_dir`, in front of a remote store. Unset is a quarter of the disk, at most 50GB. Larger asks the store for
        /// less; the cache gives way before `free_space_floor` is reached.
        pub cache_size: Option<ByteSize>,
        /// Stored bytes of a tenant's day that are joined and uploaded as one object, in front of a remote store. Default: a thirty-second of `memory_limit`, at most
        /// 64MB. Larger makes fewer objects and requests, and takes three times as much memory.
        pub upload_target_size: ByteSize,
        /// Longest time that flushed entries wait on the local disk to be uploaded with others. Shorter loses less when the disk is lost, for more requests.
        pub upload_max_delay: Duration,
        /// S3 and what speaks its protocol, where `storage.url` is `s3://…`.
        pub s3: S3Config,
    }
}

settings! {
    /// S3 and what speaks its protocol, where `storage.url` is `s3://…`. Credentials are never part of the configuration: they come from the environment, a profile, or the machine's role ([storage](storage.md)).
    pub struct S3Config {
        /// Address of the server, such as `https://s3.example.com` or `http://127.0.0.1:9000`. Unset is that of `AWS_ENDPOINT_URL`, else Amazon's for the region.
        pub endpoint: Option<String>,
        /// Region of the bucket. Unset is that of `AWS_REGION`, the profile or the machine; with an `endpoint` and none of these, `us-east-1`.
        pub region: Option<String>,
        /// Whether the bucket stands in the path of requests, not in the host name. Unset is on with an endpoint of one's own, off with Amazon's.
        pub force_path_style: Option<bool>,
        /// Longest time that one request may take with its body, up to 128 MiB. Shorter notices a dead store sooner, longer lets large objects through a slow line.
        pub request_timeout: Duration,
        /// Longest time for a connection to be made. Shorter notices a dead store sooner.
        pub connect_timeout: Duration,
        /// Dollars for 1,000 requests that put, copy or list; for the metric of what the requests cost. The default is that of S3 Standard.
        pub put_price: f64,
        /// Dollars for 1,000 requests that get; for the metric of what the requests cost. The default is that of S3 Standard.
        pub get_price: f64,
    }
}

settings! {
    /// Taking pushes.
    pub struct DistributorConfig {
        /// Largest body of a push as it comes. Default: a twentieth of `memory_limit`, at most 100MB. Larger takes bigger batches, and memory for each.
        pub max_recv_msg_size: ByteSize,
        /// Largest body of a push once decompressed, at most 2GB; what stops a decompression bomb. Default: an eighth of `memory_limit`, at most 512MB. Larger takes better compressed batches, and memory for each.
        pub max_decompressed_size: ByteSize,
        /// Bytes of all pushes in progress; more are refused with 503. Default: a fifth of `memory_limit`, at most 2GB. Larger takes more pushes at once.
        pub max_inflight_bytes: ByteSize,
        /// What is the same for the OpenTelemetry logs of all tenants.
        pub otlp_config: OtlpDefaults,
    }
}

settings! {
    /// What is the same for the OpenTelemetry logs of all tenants; what tenants may set is `limits_config.otlp_config`.
    pub struct OtlpDefaults {
        /// Attributes of resources that become labels of the stream, unless a tenant has `ignore_defaults`. More labels make more, smaller streams.
        pub default_resource_attributes_as_index_labels: Vec<String>,
    }
}

settings! {
    /// Keeping and flushing recent entries.
    pub struct IngesterConfig {
        /// Memory for entries that are not yet in data objects; over it generations are sealed early, then pushes are refused with 503. Default: a quarter of
        /// `memory_limit`, at most 8GB. Larger rides out a slow disk or store for longer.
        pub memory_budget: ByteSize,
        /// When the entries in memory become data objects.
        pub generation: GenerationConfig,
        /// The write-ahead log.
        pub wal: WalConfig,
    }
}

settings! {
    /// When the entries in memory become data objects.
    pub struct GenerationConfig {
        /// Raw size at which a generation is sealed, at most 1GB; one push may overshoot it. Larger writes fewer, larger objects and replays longer. Default: 48MB, less where
        /// the memory budget is small.
        pub target_size: ByteSize,
        /// Age at which a generation is sealed. Shorter frees memory and WAL sooner, longer writes fewer, larger objects.
        pub max_age: Duration,
        /// Sealed generations that may wait in memory to be flushed before pushes are refused with 503. More rides out a slow disk, and takes memory.
        pub max_sealed: usize,
    }
}

settings! {
    /// The write-ahead log.
    pub struct WalConfig {
        /// Directory of the log. Unset is `wal` in `storage.data_dir`. A disk of its own keeps other writes from delaying pushes.
        pub dir: Option<PathBuf>,
        /// Size at which a segment file is followed by the next. Larger makes fewer files, smaller loses less to an error on one.
        pub segment_size: ByteSize,
        /// Size of all segments at which pushes are refused with 503. Larger rides out a longer outage of the object store, and replays longer.
        pub max_size: ByteSize,
    }
}

settings! {
    /// Answering queries.
    pub struct QuerierConfig {
        /// Whether a query may name several tenants (`a|b`).
        pub multi_tenant_queries_enabled: bool,
        /// Whether the header `X-Loki-Query-Limits` may tighten the limits of a query.
        pub per_request_limits_enabled: bool,
        /// Queries that run at a time. With `auth_enabled` one place of several is kept for tenants that run nothing. More shares the processor and the memory budget among more.
        pub max_concurrent: usize,
        /// Queries of a tenant that may wait to run; more are refused with 429. Longer queues answer later instead of refusing.
        pub max_queued_per_tenant: usize,
        /// Longest time that a live tail may last. Shorter frees the connections of clients that forgot theirs sooner.
        pub tail_max_duration: Duration,
        /// Memory of all running queries. Default: a fifth of `memory_limit`, at most 8GB. Larger lets more big queries run at once.
        pub memory_budget: ByteSize,
        /// Memory of one query, which fails with the reason beyond it. Default: half of `memory_budget`. Larger answers bigger queries and lets one crowd out others.
        pub query_memory_budget: ByteSize,
        /// Cache of index files and of the footers of data objects, a half each. Default: a twentieth of `memory_limit`, at most 1GB. Larger opens them without reading.
        pub footer_cache_size: ByteSize,
        /// Cache of filter pages. Default: a twentieth of `memory_limit`, at most 2GB. Larger finds needles in more data without reading filters.
        pub filter_cache_size: ByteSize,
        /// Cache of what metric queries counted over data objects; 0 keeps nothing. Default: a twentieth of `memory_limit`, at most 1GB. Larger refreshes more, and longer, dashboards
        /// without counting again.
        pub result_cache_size: ByteSize,
    }
}

settings! {
    /// Merging and removing data objects.
    pub struct CompactorConfig {
        /// Time between runs. Shorter removes old objects and indexes new ones sooner, for more looks at what there is.
        pub compaction_interval: Duration,
        /// Data objects of a tenant's day that the day's index does not cover, from which on it is built anew; 64MiB of them, or two of a day that is over, suffice as well. Fewer lets
        /// queries open fewer footers; more writes the index less often.
        pub index_min_objects: usize,
        /// Size of all data objects above which the oldest days are removed, whatever the tenants' `retention_period`. Unset removes nothing for its size.
        pub retention_size: Option<ByteSize>,
    }
}

settings! {
    /// Limits of single tenants, from a file that may change at any time.
    pub struct RuntimeConfig {
        /// YAML file with `overrides: {tenant: {limit: value}}`. A relative path is relative to the configuration file.
        pub file: Option<PathBuf>,
        /// Time between looks at the file. Shorter puts changes into force sooner.
        pub period: Duration,
    }
}

/// Lowest level of log messages that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Everything, also what happens in single blocks.
    Trace,
    /// Also single requests.
    Debug,
    /// The life of the process.
    Info,
    /// What went wrong and was handled.
    Warn,
    /// What someone must act on.
    Error,
}

/// Form of log messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `key=value` pairs.
    Logfmt,
    /// One JSON object a line.
    Json,
}

plain! {
    LogLevel => "trace, debug, info, warn or error",
    LogFormat => "logfmt or json",
}

impl Default for Config {
    /// The defaults of a separate service with 4 GiB of memory.
    fn default() -> Self {
        Self::defaults(Mode::Service, ByteSize::gib(4))
    }
}

impl Config {
    /// The defaults of a process with so much memory.
    pub fn defaults(mode: Mode, memory: ByteSize) -> Self {
        let mut config = Config {
            auth_enabled: mode == Mode::Service,
            memory_limit: memory,
            server: ServerConfig::default(),
            storage: StorageConfig::of_memory(memory),
            distributor: DistributorConfig::of_memory(memory),
            ingester: IngesterConfig::of_memory(memory),
            querier: QuerierConfig::of_memory(memory),
            compactor: CompactorConfig::default(),
            limits_config: Limits::default(),
            runtime_config: RuntimeConfig::default(),
        };
        if mode == Mode::SingleProcess {
            config.server.http_listen_address = Ipv4Addr::LOCALHOST.to_string();
            config.server.grpc_listen_address = Ipv4Addr::LOCALHOST.to_string();
        }
        config
    }

    /// Directory of the write-ahead log.
    pub fn wal_dir(&self) -> PathBuf {
        self.ingester.wal.dir.clone().unwrap_or_else(|| self.storage.data_dir.join("wal"))
    }

    /// Directory of the data objects on this machine's disk.
    pub fn objects_dir(&self) -> PathBuf {
        match self.store_url() {
            Some(StoreUrl::File(directory)) => directory,
            Some(StoreUrl::S3(_)) | None => self.storage.data_dir.join("objects"),
        }
    }

    /// Whether data objects go to a store that is not a disk of this machine.
    pub fn is_remote(&self) -> bool {
        matches!(self.store_url(), Some(StoreUrl::S3(_)))
    }

    /// Memory for objects that are fetched whole for the cache: one of the usual size, and somewhat larger.
    pub fn fill_memory(&self) -> u64 {
        self.storage.upload_target_size.0.saturating_add(self.storage.upload_target_size.0 / 2)
    }

    /// Directory of the cache of data objects.
    pub fn cache_dir(&self) -> PathBuf {
        self.storage.data_dir.join("cache")
    }

    /// What `storage.url` says; `None` when it is unset, or wrong, which [`Config::validate`] refuses.
    pub fn store_url(&self) -> Option<StoreUrl> {
        self.storage.url.as_deref().and_then(|url| url.parse().ok())
    }

    /// Where HTTP listens; `None` when the address is not one, which [`Config::validate`] refuses.
    pub fn http_address(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(ip(&self.server.http_listen_address)?, self.server.http_listen_port))
    }

    /// Where gRPC listens; `None` when the address is not one, which [`Config::validate`] refuses.
    pub fn grpc_address(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(ip(&self.server.grpc_listen_address)?, self.server.grpc_listen_port))
    }

    /// Checks what a value's own form cannot say.
    ///
    /// # Errors
    /// Every problem, each with the key that it is about.
    pub fn validate(&self) -> Result<(), Vec<Problem>> {
        let mut found = Vec::new();
        let mut must = |holds: bool, key: &str, message: String| {
            if !holds {
                found.push(Problem::new(key, message));
            }
        };
        let (server, generation, wal, querier) = (&self.server, &self.ingester.generation, &self.ingester.wal, &self.querier);
        for (key, address) in
            [("server.http_listen_address", &server.http_listen_address), ("server.grpc_listen_address", &server.grpc_listen_address)]
        {
            must(ip(address).is_some(), key, format!("'{address}' is not an IP address"));
        }
        let same_port = server.http_listen_port == server.grpc_listen_port && server.http_listen_port != 0;
        must(!same_port, "server.grpc_listen_port", format!("is {} too, like server.http_listen_port", server.grpc_listen_port));
        must(!self.storage.data_dir.as_os_str().is_empty(), "storage.data_dir", "must not be empty".to_owned());
        if let Some(Err(wrong)) = self.storage.url.as_deref().map(str::parse::<StoreUrl>) {
            must(false, "storage.url", wrong.to_string());
        }
        let s3 = &self.storage.s3;
        if let Some(endpoint) = &s3.endpoint {
            must(is_http(endpoint), "storage.s3.endpoint", format!("'{endpoint}' is not of the form https://host or http://host:port"));
        }
        must(s3.region.as_deref() != Some(""), "storage.s3.region", "must not be empty".to_owned());
        for (key, price) in [("storage.s3.put_price", s3.put_price), ("storage.s3.get_price", s3.get_price)] {
            must(price.is_finite() && price >= 0.0, key, format!("{price} is not a price"));
        }
        let DistributorConfig { max_recv_msg_size, max_decompressed_size, max_inflight_bytes, otlp_config: _ } = &self.distributor;
        must(max_recv_msg_size.0 > 0, "distributor.max_recv_msg_size", "must not be 0".to_owned());
        let fits = max_recv_msg_size <= max_decompressed_size && *max_decompressed_size <= DECOMPRESSED_SIZE_MAX;
        let bounds = format!("must be between max_recv_msg_size and {DECOMPRESSED_SIZE_MAX}");
        must(fits, "distributor.max_decompressed_size", bounds);
        let largest = max_recv_msg_size.0.saturating_add(max_decompressed_size.0);
        let takes_largest = max_inflight_bytes.0 == 0 || max_inflight_bytes.0 >= largest;
        let needed = "must hold the largest push: max_recv_msg_size and max_decompressed_size together".to_owned();
        must(takes_largest, "distributor.max_inflight_bytes", needed);
        for (key, value) in [
            ("server.http_listen_conn_limit", server.http_listen_conn_limit),
            ("server.blocking_threads", server.blocking_threads),
            ("ingester.generation.max_sealed", generation.max_sealed),
            ("querier.max_concurrent", querier.max_concurrent),
        ] {
            must(value >= 1, key, "must be 1 or more".to_owned());
        }
        for (key, threads) in [("server.cpu_threads", server.cpu_threads), ("server.blocking_threads", server.blocking_threads)] {
            must(threads <= 1024, key, format!("{threads} is above 1024"));
        }
        for (key, value) in [
            ("ingester.generation.max_age", generation.max_age),
            ("compactor.compaction_interval", self.compactor.compaction_interval),
            ("runtime_config.period", self.runtime_config.period),
            ("querier.tail_max_duration", querier.tail_max_duration),
            ("storage.upload_max_delay", self.storage.upload_max_delay),
            ("storage.s3.request_timeout", s3.request_timeout),
            ("storage.s3.connect_timeout", s3.connect_timeout),
        ] {
            must(value >= Duration::from_secs(1), key, "must be 1s or more".to_owned());
        }
        for (key, value, least) in [
            ("distributor.max_recv_msg_size", self.distributor.max_recv_msg_size, ByteSize(1 << 10)),
            ("distributor.max_decompressed_size", self.distributor.max_decompressed_size, ByteSize(1 << 10)),
            ("distributor.max_inflight_bytes", self.distributor.max_inflight_bytes, ByteSize::mib(1)),
            ("ingester.memory_budget", self.ingester.memory_budget, ByteSize::mib(1)),
            ("ingester.generation.target_size", generation.target_size, ByteSize(64 << 10)),
            ("ingester.wal.segment_size", wal.segment_size, ByteSize(64 << 10)),
            ("querier.query_memory_budget", querier.query_memory_budget, ByteSize::mib(1)),
            ("storage.upload_target_size", self.storage.upload_target_size, ByteSize(64 << 10)),
        ] {
            must(value >= least, key, format!("{value} is below {least}"));
        }
        must(wal.segment_size <= ByteSize::gib(1), "ingester.wal.segment_size", format!("{} is above 1GB", wal.segment_size));
        let target_size = generation.target_size;
        must(target_size <= ByteSize::gib(1), "ingester.generation.target_size", format!("{target_size} is above 1GB"));
        must(wal.max_size >= wal.segment_size, "ingester.wal.max_size", format!("{} is below ingester.wal.segment_size", wal.max_size));
        let fits = querier.query_memory_budget <= querier.memory_budget;
        must(fits, "querier.query_memory_budget", format!("{} is above querier.memory_budget", querier.query_memory_budget));
        // Two uploads, and what is fetched for the cache meanwhile.
        let uploads =
            if self.is_remote() { self.storage.upload_target_size.0.saturating_mul(2).saturating_add(self.fill_memory()) } else { 0 };
        let budgets = [
            ByteSize(uploads),
            self.distributor.max_inflight_bytes,
            self.ingester.memory_budget,
            querier.memory_budget,
            querier.footer_cache_size,
            querier.filter_cache_size,
            querier.result_cache_size,
        ];
        let together = ByteSize(budgets.iter().fold(0, |sum: u64, budget| sum.saturating_add(budget.0)));
        must(
            together <= self.memory_limit,
            "memory_limit",
            format!("{} is less than {together}, which the memory budgets and caches take together", self.memory_limit),
        );
        self.limits_config.problems("limits_config", &mut found);
        if found.is_empty() { Ok(()) } else { Err(found) }
    }
}

/// Whether it is the address of an HTTP server: a scheme and a host.
fn is_http(endpoint: &str) -> bool {
    let rest = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://"));
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '?' | '#' | '@');
    rest.is_some_and(|rest| !rest.starts_with(['/', ':']) && !rest.is_empty() && rest.chars().all(is_plain))
}

fn ip(address: &str) -> Option<IpAddr> {
    if address.is_empty() { Some(Ipv4Addr::UNSPECIFIED.into()) } else { address.parse().ok() }
}

/// Largest `max_decompressed_size`: lines of one stream are counted with 32 bits.
const DECOMPRESSED_SIZE_MAX: ByteSize = ByteSize(2 << 30);

/// A share of `memory`, at most `most`, rounded down to whole MiB where it is large.
fn share(memory: ByteSize, divisor: u64, most: ByteSize) -> ByteSize {
    let bytes = (memory.0 / divisor).min(most.0);
    let unit = if bytes >= 16 << 20 { 1 << 20 } else { 1 << 10 };
    ByteSize(bytes / unit * unit)
}

impl Default for ServerConfig {
    fn default() -> Self {
        ServerConfig {
            http_listen_address: Ipv4Addr::UNSPECIFIED.to_string(),
            http_listen_port: 3100,
            http_listen_conn_limit: 4096,
            grpc_listen_address: Ipv4Addr::UNSPECIFIED.to_string(),
            grpc_listen_port: 9095,
            log_level: LogLevel::Info,
            log_format: LogFormat::Logfmt,
            graceful_shutdown_timeout: Duration::from_secs(30),
            cpu_threads: 0,
            blocking_threads: 32,
        }
    }
}

impl StorageConfig {
    fn of_memory(memory: ByteSize) -> Self {
        StorageConfig {
            data_dir: PathBuf::from("data"),
            url: None,
            free_space_floor: ByteSize::gib(1),
            cache_size: None,
            upload_target_size: share(memory, 32, ByteSize::mib(64)),
            upload_max_delay: Duration::from_secs(900),
            s3: S3Config::default(),
        }
    }
}

impl Default for S3Config {
    fn default() -> Self {
        S3Config {
            endpoint: None,
            region: None,
            force_path_style: None,
            request_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(3),
            put_price: 0.005,
            get_price: 0.0004,
        }
    }
}

impl DistributorConfig {
    fn of_memory(memory: ByteSize) -> Self {
        DistributorConfig {
            max_recv_msg_size: share(memory, 20, ByteSize::mib(100)),
            max_decompressed_size: share(memory, 8, ByteSize::mib(512)),
            max_inflight_bytes: share(memory, 5, ByteSize::gib(2)),
            otlp_config: OtlpDefaults::default(),
        }
    }
}

impl Default for OtlpDefaults {
    fn default() -> Self {
        let names = [
            "service.name",
            "service.namespace",
            "service.instance.id",
            "deployment.environment",
            "deployment.environment.name",
            "cloud.region",
            "cloud.availability_zone",
            "k8s.cluster.name",
            "k8s.namespace.name",
            "k8s.pod.name",
            "k8s.container.name",
            "container.name",
            "k8s.replicaset.name",
            "k8s.deployment.name",
            "k8s.statefulset.name",
            "k8s.daemonset.name",
            "k8s.cronjob.name",
            "k8s.job.name",
        ];
        OtlpDefaults { default_resource_attributes_as_index_labels: names.map(str::to_owned).to_vec() }
    }
}

impl IngesterConfig {
    fn of_memory(memory: ByteSize) -> Self {
        let memory_budget = share(memory, 4, ByteSize::gib(8));
        let target_size = share(memory_budget, 2, ByteSize::mib(48));
        IngesterConfig {
            memory_budget,
            generation: GenerationConfig { target_size, max_age: Duration::from_secs(1800), max_sealed: 4 },
            wal: WalConfig::default(),
        }
    }
}

impl QuerierConfig {
    fn of_memory(memory: ByteSize) -> Self {
        let memory_budget = share(memory, 5, ByteSize::gib(8));
        QuerierConfig {
            multi_tenant_queries_enabled: false,
            per_request_limits_enabled: false,
            max_concurrent: 4,
            max_queued_per_tenant: 100,
            tail_max_duration: Duration::from_secs(3600),
            memory_budget,
            query_memory_budget: share(memory_budget, 2, memory_budget),
            footer_cache_size: share(memory, 20, ByteSize::gib(1)),
            filter_cache_size: share(memory, 20, ByteSize::gib(2)),
            result_cache_size: share(memory, 20, ByteSize::gib(1)),
        }
    }
}

impl Default for WalConfig {
    fn default() -> Self {
        WalConfig { dir: None, segment_size: ByteSize::mib(16), max_size: ByteSize::gib(10) }
    }
}

impl Default for CompactorConfig {
    fn default() -> Self {
        CompactorConfig { compaction_interval: Duration::from_secs(600), index_min_objects: 8, retention_size: None }
    }
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        RuntimeConfig { file: None, period: Duration::from_secs(10) }
    }
}

/// A section whose defaults depend on memory has those of [`Config::default`].
macro_rules! default_within_config {
    ($($type:ty => $($field:ident).+),*) => {
        $(impl Default for $type {
            fn default() -> Self {
                Config::default().$($field).+
            }
        })*
    };
}

default_within_config! {
    StorageConfig => storage, DistributorConfig => distributor, IngesterConfig => ingester, GenerationConfig => ingester.generation, QuerierConfig => querier
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_whatever_the_memory() {
        for mib in [32, 64, 128, 512, 4096, 1 << 20] {
            for mode in [Mode::SingleProcess, Mode::Service] {
                assert_eq!(Config::defaults(mode, ByteSize::mib(mib)).validate(), Ok(()), "{mib} MiB");
            }
        }
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let mut config = Config::default();
        config.server.http_listen_address = "here".to_owned();
        config.server.grpc_listen_port = 3100;
        config.storage.url = Some("ftp://x".to_owned());
        config.ingester.generation.max_sealed = 0;
        config.querier.query_memory_budget = ByteSize::gib(3);
        config.ingester.memory_budget = ByteSize::gib(4);
        config.ingester.generation.target_size = ByteSize::gib(2);
        config.limits_config.deletion_mode = "perhaps".to_owned();
        let keys: Vec<_> = config.validate().expect_err("eight things are wrong").into_iter().map(|problem| problem.key).collect();
        assert_eq!(
            keys,
            [
                "server.http_listen_address",
                "server.grpc_listen_port",
                "storage.url",
                "ingester.generation.max_sealed",
                "ingester.generation.target_size",
                "querier.query_memory_budget",
                "memory_limit",
                "limits_config.deletion_mode"
            ]
        );
    }

    #[test]
    fn settings_of_s3_that_cannot_work_are_refused() {
        let mut config = Config::default();
        for endpoint in ["https://s3.example.com", "http://127.0.0.1:9000", "http://[::1]:9000/"] {
            config.storage.s3.endpoint = Some(endpoint.to_owned());
            assert_eq!(config.validate(), Ok(()), "{endpoint}");
        }
        for endpoint in
            ["", "s3.example.com", "minio:9000", "http://", "http://:9000", "https:///x", "http://a b", "http://key:secret@host"]
        {
            config.storage.s3.endpoint = Some(endpoint.to_owned());
            let problems = config.validate().expect_err(endpoint);
            assert_eq!((problems.len(), problems[0].key.as_str()), (1, "storage.s3.endpoint"), "{endpoint}");
        }
        let half_second = Duration::from_millis(500);
        config.storage.s3 = S3Config {
            region: Some(String::new()),
            put_price: -1.0,
            get_price: f64::NAN,
            request_timeout: half_second,
            connect_timeout: half_second,
            ..S3Config::default()
        };
        let keys: Vec<_> = config.validate().expect_err("five things are wrong").into_iter().map(|problem| problem.key).collect();
        let want = ["region", "put_price", "get_price", "request_timeout", "connect_timeout"].map(|key| format!("storage.s3.{key}"));
        assert_eq!(keys, want);
    }

    #[test]
    fn directories_lie_in_the_data_directory_unless_told() {
        let mut config = Config::default();
        assert_eq!((config.wal_dir(), config.objects_dir()), ("data/wal".into(), "data/objects".into()));
        config.ingester.wal.dir = Some("/fast".into());
        config.storage.url = Some("file:///big/store".to_owned());
        assert_eq!((config.wal_dir(), config.objects_dir()), ("/fast".into(), "/big/store".into()));
        config.storage.url = Some("s3://bucket/prefix".to_owned());
        assert_eq!(config.objects_dir(), PathBuf::from("data/objects"));
    }
}
