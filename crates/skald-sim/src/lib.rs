//! A whole node over a simulated disk, clock and pool: what a crash leaves, what a query then says.
//!
//! A [`World`] outlives its nodes; a [`Node`] is one life of the process. Pushes and queries go through the real ingester, catalogue and querier.

use async_trait::async_trait;
use prometheus_client::registry::Registry;
use skald_compactor::Compactor;
use skald_config::{ByteSize, Config, Limits, Mode};
use skald_ingester::Ingester;
use skald_logql::plan::Rewrites;
use skald_model::seam::{Connection, CpuPool, Listener, Network, Seams};
use skald_model::{Labels, TenantId, Timestamp};
use skald_querier::{Answer, AnswerData, Caller, Querier, QueryError, QueryRequest};
use skald_rpc::{Ingester as _, PushBatch, PushError, StreamRows};
use skald_store::tier::{Tier, TierMetrics, TierSettings};
use skald_store::upload::{UploadMetrics, UploadParts, UploadSettings, Uploader, settle};
use skald_store::{CacheSizes, Catalog, DataDir, LocalStore, ObjectStore, Publisher};
use skald_testkit::{InlinePool, SeededRandom, SimClock, SimDisk, SimSpawner, rows};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Where the node keeps its data.
pub const DATA_DIR: &str = "/data";

/// What stays when a process dies.
pub struct World {
    /// The disk.
    pub disk: Arc<SimDisk>,
    /// The clock.
    pub clock: Arc<SimClock>,
    /// Limits of every tenant.
    pub limits: Limits,
    /// Configuration of the nodes.
    pub config: Config,
    /// Where the nodes compute.
    pub cpu: Arc<dyn CpuPool>,
    /// The store behind queue and cache of the nodes; without one, objects lie on the disk.
    pub remote: Option<Arc<dyn ObjectStore>>,
    seed: u64,
    lives: AtomicU64,
}

/// One life of the process.
pub struct Node {
    /// Drives its tasks.
    pub spawner: Arc<SimSpawner>,
    /// Its ingester.
    pub ingester: Ingester,
    /// Its objects.
    pub catalog: Arc<Catalog>,
    /// Its querier.
    pub querier: Querier,
    /// What brings objects into the remote store.
    pub uploader: Option<Uploader>,
    seams: Seams,
    data_dir: DataDir,
}

/// Why a node did not start.
pub type StartError = Box<dyn std::error::Error + Send + Sync>;

impl World {
    /// An empty disk, and limits that are not in the way.
    pub fn new(seed: u64) -> Self {
        let mut config = Config::defaults(Mode::SingleProcess, ByteSize(1 << 30));
        config.storage.data_dir = PathBuf::from(DATA_DIR);
        config.storage.free_space_floor = ByteSize(0);
        let limits = Limits {
            per_stream_rate_limit: ByteSize(1 << 40),
            per_stream_rate_limit_burst: ByteSize(1 << 40),
            max_query_length: Duration::ZERO,
            max_entries_limit_per_query: 0,
            query_timeout: Duration::ZERO,
            ..Limits::default()
        };
        let clock = SimClock::new(Timestamp::from_secs(1_768_435_200));
        World { disk: SimDisk::with_clock(clock.clone()), clock, limits, config, cpu: Arc::new(InlinePool), remote: None, seed, lives: AtomicU64::new(0) }
    }

    /// Starts a process on the disk as it is.
    ///
    /// # Errors
    /// What a process would print and exit with.
    pub fn start(&self) -> Result<Node, StartError> {
        let spawner = SimSpawner::new();
        // Each life draws other ids, as a process does.
        let random = SeededRandom::new(self.seed.wrapping_add(self.lives.fetch_add(1, Ordering::Relaxed) << 32));
        let seams = Seams {
            clock: self.clock.clone(),
            random: Arc::new(random),
            spawner: spawner.clone(),
            cpu: self.cpu.clone(),
            disk: self.disk.clone(),
            network: Arc::new(NoNetwork),
        };
        let data_dir = DataDir::open(seams.disk.as_ref(), Path::new(DATA_DIR), seams.random.as_ref())?;
        let mut registry = Registry::default();
        let tier = self.remote.clone().map(|remote| self.open_tier(remote, &seams, &spawner, &mut registry)).transpose()?;
        let store: Arc<dyn ObjectStore> = match &tier {
            Some(tier) => Arc::new(tier.clone()),
            None => Arc::new(LocalStore::open(seams.disk.clone(), seams.spawner.clone(), &self.config.objects_dir())?),
        };
        let sizes = CacheSizes { footers: 64 << 20, pages: 64 << 20, indexes: 64 << 20 };
        let metrics = skald_store::Metrics::register(&mut registry, sizes);
        let catalog = Arc::new(spawner.run(Catalog::open(store, seams.clock.clone(), sizes, metrics))?);
        let (config, limits) = (Arc::new(self.config.clone()), Arc::new(self.limits.clone()));
        let (ingester, found) = Ingester::open(skald_ingester::Parts {
            seams: seams.clone(),
            config: config.clone(),
            limits: limits.clone(),
            catalog: catalog.clone(),
            disk_id: data_dir.disk_id(),
            metrics: skald_ingester::Metrics::register(&mut registry),
            // Pushes that are refused from then on fail the test.
            on_failure: Arc::new(|_| {}),
        })?;
        spawner.run(ingester.recover(found))?;
        let querier = Querier::new(skald_querier::Parts {
            seams: seams.clone(),
            config,
            limits,
            ingester: Arc::new(ingester.clone()),
            catalog: catalog.clone(),
            metrics: skald_querier::Metrics::register(&mut registry),
        });
        let uploader = tier.map(|tier| self.uploader(tier, &catalog, &data_dir, &ingester, &seams, &mut registry));
        Ok(Node { spawner, ingester, catalog, querier, uploader, seams, data_dir })
    }

    fn open_tier(
        &self,
        remote: Arc<dyn ObjectStore>,
        seams: &Seams,
        spawner: &SimSpawner,
        registry: &mut Registry,
    ) -> Result<Tier, StartError> {
        let storage = &self.config.storage;
        let settings = TierSettings {
            queue_dir: self.config.objects_dir(),
            cache_dir: self.config.cache_dir(),
            cache_size: storage.cache_size.map(|size| size.0),
            free_space_floor: storage.free_space_floor.0,
            fill_memory: self.config.fill_memory(),
        };
        let tier = spawner.run(Tier::open(remote, &settings, seams.clone(), TierMetrics::register(registry)))?;
        spawner.run(settle(&tier))?;
        Ok(tier)
    }

    fn uploader(
        &self,
        tier: Tier,
        catalog: &Arc<Catalog>,
        data_dir: &DataDir,
        ingester: &Ingester,
        seams: &Seams,
        registry: &mut Registry,
    ) -> Uploader {
        let (storage, ingester) = (&self.config.storage, ingester.clone());
        let uploader = Uploader::new(UploadParts {
            seams: seams.clone(),
            settings: UploadSettings { target_size: storage.upload_target_size.0, max_delay: storage.upload_max_delay },
            tier,
            catalog: catalog.clone(),
            disk_id: data_dir.disk_id(),
            oldest_in_log: Arc::new(move || ingester.oldest_in_log()),
            metrics: UploadMetrics::register(registry),
        });
        uploader.start();
        uploader
    }
}

/// The life of a process ends, and with it its tasks and threads.
impl Drop for Node {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.spawner.drop_tasks();
        }
    }
}

/// The tenant of a name. Panics when it is not valid.
pub fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).expect("tests name valid tenants")
}

impl Node {
    /// Pushes entries of one stream.
    ///
    /// # Errors
    /// When they are not acknowledged.
    pub fn push(&self, owner: &str, labels: &Labels, entries: &[(i64, &str)]) -> Result<(), PushError> {
        self.push_streams(owner, vec![StreamRows { labels: labels.clone(), rows: rows(entries) }])
    }

    /// Pushes entries of several streams at once.
    ///
    /// # Errors
    /// When they are not acknowledged.
    pub fn push_streams(&self, owner: &str, streams: Vec<StreamRows>) -> Result<(), PushError> {
        self.spawner.run(self.ingester.push(&tenant(owner), PushBatch { streams }))
    }

    /// Seals and flushes everything.
    pub fn flush(&self) {
        self.spawner.run(self.ingester.flush("test"));
    }

    /// Tries to upload all that is queued; how many objects are left.
    ///
    /// # Panics
    /// When there is no remote store.
    pub fn upload(&self) -> usize {
        let uploader = self.uploader.as_ref().expect("there is a remote store");
        self.spawner.run(uploader.flush_all())
    }

    /// The compactor over its objects.
    pub fn compactor(&self, world: &World) -> Compactor {
        let (config, limits) = (Arc::new(world.config.clone()), Arc::new(world.limits.clone()));
        let metrics = skald_compactor::Metrics::register(&mut Registry::default());
        let disk_id = self.data_dir.disk_id();
        Compactor::new(skald_compactor::Parts {
            config,
            limits,
            catalog: self.catalog.clone(),
            disk_id,
            seams: self.seams.clone(),
            metrics,
        })
    }

    /// In whose name the node publishes manifests.
    pub fn publisher(&self) -> Publisher {
        Publisher { disk: self.data_dir.disk_id(), random: self.seams.random.clone() }
    }

    /// Answers a query over all of time: instant for metric queries, forward for log queries.
    ///
    /// # Errors
    /// As the querier says.
    pub fn query(&self, owner: &str, text: &str) -> Result<Answer, QueryError> {
        let is_log = text.trim_start().starts_with('{');
        let request = QueryRequest {
            text: text.to_owned(),
            start: Timestamp(if is_log { 0 } else { END }),
            end: Timestamp(END),
            step: is_log.then(|| Duration::from_secs(1 << 30)),
            interval: Duration::ZERO,
            limit: 10_000_000,
            forward: true,
        };
        self.ask(owner, request)
    }

    /// Answers a query. Several owners are joined by `|`.
    ///
    /// # Errors
    /// As the querier says.
    pub fn ask(&self, owner: &str, request: QueryRequest) -> Result<Answer, QueryError> {
        self.spawner.run(self.querier.query(&self.caller(owner), request))
    }

    /// Answers a query without the result cache, by a plan that uses these rewrites alone.
    ///
    /// # Errors
    /// As the querier says.
    pub fn ask_plainly(&self, owner: &str, request: QueryRequest, rewrites: Rewrites) -> Result<Answer, QueryError> {
        self.spawner.run(self.querier.with_rewrites(rewrites).query(&self.caller(owner).without_cache(), request))
    }

    fn caller(&self, owner: &str) -> Caller {
        self.querier.caller(owner.split('|').map(tenant).collect(), Default::default())
    }

    /// Lines of a log query, oldest first, streams merged.
    ///
    /// # Panics
    /// When the query fails.
    pub fn lines(&self, owner: &str, text: &str) -> Vec<(i64, String)> {
        let answer = self.query(owner, text).expect("the query is answered");
        let AnswerData::Entries(entries) = answer.data else { return Vec::new() };
        let streams = entries.streams();
        let all = streams.iter().flat_map(|stream| &stream.entries);
        let mut lines: Vec<(i64, String)> =
            all.map(|entry| (entry.timestamp.0, String::from_utf8_lossy(&entry.line).into_owned())).collect();
        lines.sort();
        lines
    }

    /// The sum of a metric query's samples; 0 without any.
    ///
    /// # Panics
    /// When the query fails.
    pub fn sum(&self, owner: &str, text: &str) -> f64 {
        let answer = self.query(owner, text).expect("the query is answered");
        match answer.data {
            AnswerData::Metric(skald_logql::exec::MetricResult::Vector(samples)) => samples.iter().map(|sample| sample.value).sum(),
            _ => panic!("'{text}' does not give a vector"),
        }
    }
}

/// After every entry that tests push.
const END: i64 = 4_000_000_000_000_000_000;

/// No node of this world talks to another.
struct NoNetwork;

#[async_trait]
impl Network for NoNetwork {
    async fn listen(&self, _address: SocketAddr) -> io::Result<Box<dyn Listener>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn connect(&self, _address: &str) -> io::Result<Box<dyn Connection>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
