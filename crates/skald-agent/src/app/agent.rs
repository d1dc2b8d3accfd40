use super::World;
use super::cursors::Cursors;
use super::plan::{Plan, PlanError};
use super::settings::{limits, log_warnings, losses, open_outlet, rate, tail_config};
use super::start::{StartError, start_source};
use crate::config::{Config, ConfigError, Loaded};
use crate::delivery::{Client, ClientError, Delivery};
use crate::discovery::Synced;
use crate::files::{FileJob, FileMetrics, FileReader};
use crate::http::Operations;
use crate::intake::Intake;
use crate::limit::Limited;
use crate::positions::PositionsError;
use crate::source::{Source, SourceStatus};
use crate::spool::{Spool, SpoolError};
use async_trait::async_trait;
use futures::FutureExt;
use futures::future::{BoxFuture, Either, join_all, select};
use parking_lot::Mutex;
use skald_model::ErrorKind;
use skald_model::seam::{Clock, Seams, run_blocking};
use skald_runtime::chain;
use skald_tail::Tailer;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tracing::{error, info, warn};

/// Longest that a reload waits for discovery before it lets go of the old targets.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest that a start waits for discovery, so that what is found at once is looked for at once.
const DISCOVERY_PAUSE: Duration = Duration::from_millis(500);
/// Longest that stopping waits for servers to take what is read. What they have not is in the spool.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Everything between sources and servers, as long as the process runs.
pub struct Agent {
    pub(super) world: Arc<World>,
    pub(super) outlet: Outlet,
    limited: Arc<Limited>,
    cursors: Arc<Cursors>,
    pub(super) reader: FileReader,
    /// Held by who changes what runs.
    running: tokio::sync::Mutex<Running>,
    /// What runs, to be looked at.
    pub(super) shown: Mutex<Shown>,
}

/// Where entries go.
pub(super) enum Outlet {
    Spool(Spool),
    Print,
}

/// What a reload replaces.
#[derive(Default)]
struct Running {
    delivery: Option<Delivery>,
    sources: Vec<Arc<dyn Source>>,
}

/// A configuration that can be started.
struct Prepared {
    loaded: Arc<Loaded>,
    plan: Plan,
    clients: Vec<Client>,
}

/// What the thread that reads files shall do.
struct Files {
    jobs: Vec<Arc<FileJob>>,
    /// Completes once all their targets are found.
    found: BoxFuture<'static, ()>,
}

/// What is in force.
pub(super) struct Shown {
    pub(super) loaded: Arc<Loaded>,
    pub(super) sources: Vec<Arc<dyn Source>>,
}

/// Why an agent did not start, or did not take another configuration.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It says the same as the one in force.
    #[error("config has not changed")]
    Unchanged,
    /// Rules or stages.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The spool, or the positions.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The positions of a dry run.
    #[error("read positions")]
    Positions(#[source] PositionsError),
    /// A client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A source.
    #[error(transparent)]
    Source(#[from] StartError),
    /// The system gives nothing to follow files by.
    #[error("cannot follow files")]
    Files(#[source] io::Error),
    /// The process is stopping.
    #[error("the process is stopping")]
    Stopping,
}

impl AgentError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(error) => error.kind(),
            Self::Unchanged => ErrorKind::InvalidInput,
            Self::Plan(error) => error.kind(),
            Self::Spool(error) => error.kind(),
            Self::Positions(error) => error.kind(),
            Self::Client(error) => error.kind(),
            Self::Source(error) => error.kind(),
            Self::Files(_) | Self::Stopping => ErrorKind::Unavailable,
        }
    }
}

impl Agent {
    /// Opens the spool, and all else that outlives a reload; reads and sends nothing yet.
    ///
    /// # Errors
    /// See [`AgentError`].
    pub async fn open(world: Arc<World>, loaded: Loaded) -> Result<Arc<Self>, AgentError> {
        let config = &loaded.config;
        let (outlet, intake, positions) = open_outlet(&world, config).await?;
        let cursors = Arc::new(Cursors::new(intake, positions.cursors));
        let dropped = world.context.counters.reason("global_rate_limiter_drop");
        let clock = Arc::clone(&world.seams.clock);
        let limited = Arc::new(Limited::new(Arc::clone(&cursors) as _, Arc::clone(&clock), dropped));
        let tailer = Tailer::new(tail_config(config), Arc::clone(&world.seams.random), positions.known, positions.plain);
        let tailer = tailer.map_err(AgentError::Files)?;
        let reader = FileReader::start(tailer, Arc::clone(&limited) as _, clock, Arc::clone(&world.seams.spawner));
        world.metrics.register_unprefixed(|registry| registry.register_collector(Box::new(FileMetrics::new(reader.clone()))));
        let shown = Mutex::new(Shown { loaded: Arc::new(loaded), sources: Vec::new() });
        Ok(Arc::new(Agent { world, outlet, limited, cursors, reader, running: tokio::sync::Mutex::default(), shown }))
    }

    /// Begins to read and to send.
    ///
    /// # Errors
    /// See [`AgentError`].
    pub async fn begin(&self) -> Result<(), AgentError> {
        let mut running = self.running.lock().await;
        let prepared = self.prepare(self.loaded()).await?;
        let files = self.switch(&mut running, prepared).await?;
        // What takes longer to be found is read as it comes.
        self.within(DISCOVERY_PAUSE, files.found).await;
        self.reader.set_jobs(files.jobs).await;
        Ok(())
    }

    /// Takes the configuration as it is now. The old one goes on where the new one is refused, and comes back where the new one does not start.
    ///
    /// # Errors
    /// See [`AgentError`].
    pub async fn reload(&self) -> Result<(), AgentError> {
        let result = self.try_reload().await;
        if let Err(error) = &result {
            warn!(error = %chain(error), "configuration not taken");
        }
        let counter = if result.is_ok() { &self.world.reloads.done } else { &self.world.reloads.failed };
        counter.inc();
        result
    }

    async fn try_reload(&self) -> Result<(), AgentError> {
        // One reload at a time, and none while the process stops.
        let mut running = self.running.lock().await;
        let old = self.loaded();
        let world = Arc::clone(&self.world);
        let loaded = run_blocking(&*self.world.seams.spawner, move || world.load()).await.map_err(|_| AgentError::Stopping)??;
        if loaded.text == old.text {
            return Err(AgentError::Unchanged);
        }
        log_warnings(&loaded);
        let prepared = self.prepare(Arc::new(loaded)).await?;
        let (files, result) = match self.switch(&mut running, prepared).await {
            Ok(files) => (files, Ok(())),
            Err(error) => {
                error!(error = %chain(&error), "new configuration does not start, going back to the old one");
                let old = self.prepare(old).await?;
                (self.switch(&mut running, old).await?, Err(error))
            }
        };
        // Until then the old targets are read: they would else be let go of, and found again.
        if !self.within(DISCOVERY_TIMEOUT, files.found).await {
            warn!("discovery has not found everything yet, going on with what there is");
        }
        self.reader.set_jobs(files.jobs).await;
        if result.is_ok() {
            info!("configuration was read anew");
        }
        result
    }

    /// All of a configuration that can be refused before anything is stopped.
    async fn prepare(&self, loaded: Arc<Loaded>) -> Result<Prepared, AgentError> {
        let plan = Plan::new(&loaded.config, &self.world.context)?;
        let clients = self.open_clients(&loaded.config).await?;
        Ok(Prepared { loaded, plan, clients })
    }

    /// Stops what runs, but for the reading of files, and starts what was prepared.
    async fn switch(&self, running: &mut Running, prepared: Prepared) -> Result<Files, AgentError> {
        let Prepared { loaded, plan, clients } = prepared;
        stop_sources(&std::mem::take(&mut running.sources)).await;
        if let Some(delivery) = running.delivery.take() {
            delivery.stop().await;
        }
        self.limited.set_rate(rate(&loaded.config));
        running.delivery = self.start_delivery(&loaded.config, clients);
        let cursors = self.cursors.known();
        let mut files = Vec::new();
        for job in &plan.jobs {
            match start_source(job, &self.world, &self.reader, &self.intake(), &cursors).await {
                Ok(started) => {
                    running.sources.push(started.source);
                    files.extend(started.files);
                }
                Err(error) => {
                    stop_sources(&std::mem::take(&mut running.sources)).await;
                    return Err(error.into());
                }
            }
        }
        *self.shown.lock() = Shown { loaded, sources: running.sources.clone() };
        let (jobs, synced): (Vec<_>, Vec<_>) = files.into_iter().unzip();
        let found = async { drop(join_all(synced.into_iter().map(Synced::told)).await) }.boxed();
        Ok(Files { jobs, found })
    }

    /// The clients of a configuration, ready to be started.
    pub(super) async fn open_clients(&self, config: &Config) -> Result<Vec<Client>, AgentError> {
        let mut clients = Vec::with_capacity(config.clients.len());
        for client in &config.clients {
            clients.push(Client::open(client, &self.world.seams).await?);
        }
        Ok(clients)
    }

    /// Gives each client what it has not had, unless nothing is sent at all.
    pub(super) fn start_delivery(&self, config: &Config, clients: Vec<Client>) -> Option<Delivery> {
        let Outlet::Spool(spool) = &self.outlet else { return None };
        let ids: Vec<String> = config.clients.iter().map(|client| client.id()).collect();
        spool.set_clients(&ids);
        spool.intake().set_limits(limits(config), losses(config, &self.world));
        let sources = ids.iter().map(|id| Box::new(spool.reader(id)) as _);
        Some(Delivery::start(clients.into_iter().zip(sources).collect(), &self.world.seams, &self.world.delivery))
    }

    /// The configuration in force.
    pub fn config(&self) -> Config {
        self.loaded().config.clone()
    }

    /// Clock, disk, network and the like.
    pub fn seams(&self) -> &Seams {
        &self.world.seams
    }

    /// Time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.world.seams.clock
    }

    fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.shown.lock().loaded)
    }

    /// Where entries are offered.
    pub(super) fn intake(&self) -> Arc<dyn Intake> {
        Arc::clone(&self.limited) as _
    }

    /// A look at all sources.
    pub async fn statuses(&self) -> Vec<SourceStatus> {
        // Files are looked at by their own thread.
        self.reader.view().await;
        let sources = self.shown.lock().sources.clone();
        sources.iter().map(|source| source.status()).collect()
    }

    /// Reads no more, gives servers a while to take what was read, and keeps the rest in the spool.
    pub async fn stop(&self) {
        let mut running = self.running.lock().await;
        stop_sources(&std::mem::take(&mut running.sources)).await;
        self.reader.stop().await;
        let Outlet::Spool(spool) = &self.outlet else { return };
        let timeout = self.loaded().config.server.graceful_shutdown_timeout.0;
        let drain = DRAIN_MAX.min(timeout / 3);
        if !self.within(drain, spool.drained()).await {
            info!("servers have not taken everything yet, the rest stays in the spool");
        }
        if let Some(delivery) = running.delivery.take() {
            delivery.stop().await;
        }
        if !self.within(drain, spool.stop()).await {
            warn!("the disk does not take what was read; files will be read again");
            spool.abort().await;
        }
    }

    /// Whether `done` completes before `bound`.
    async fn within(&self, bound: Duration, done: impl Future<Output = ()>) -> bool {
        matches!(select(pin!(done), self.world.seams.clock.sleep(bound)).await, Either::Left(_))
    }
}

#[async_trait]
impl Operations for Agent {
    fn config(&self) -> String {
        self.loaded().config.render()
    }

    async fn sources(&self) -> Vec<SourceStatus> {
        self.statuses().await
    }

    async fn metrics(&self) -> String {
        let active = self.statuses().await.iter().map(|source| source.active.len()).sum::<usize>();
        self.world.targets_active.set(active as i64);
        self.world.metrics.encode()
    }

    fn needs_target(&self) -> bool {
        self.loaded().config.server.health_check_target
    }

    async fn reload(&self) -> Result<(), String> {
        Agent::reload(self).await.map_err(|error| chain(&error))
    }
}

/// Tells all to stop, and waits for them.
async fn stop_sources(sources: &[Arc<dyn Source>]) {
    join_all(sources.iter().map(|source| source.stop())).await;
}
