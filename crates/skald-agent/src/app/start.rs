//! From a scrape config to a source that runs.

use super::World;
use super::plan::Job;
use crate::config::{DiscoveryConfig, SourceConfig};
use crate::discovery::{Discovering, Rules, Synced, TargetTable};
use crate::files::{FileJob, FileReader, FileSource};
use crate::intake::Intake;
use crate::sink::SinkParts;
use crate::source::Source;
use crate::sources::docker::{DockerError, DockerSource};
use crate::sources::journal::{JournalSource, ReaderError};
use crate::sources::push::{PushError, PushSource};
use crate::sources::syslog::{SyslogError, SyslogSource};
use parking_lot::Mutex;
use skald_discovery::{Discovery, FileDiscovery, FilePatternError, KubernetesDiscovery, KubernetesError, KubernetesSeams, StaticDiscovery};
use skald_model::ErrorKind;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The machine's own reader of its journal.
const JOURNALCTL: &str = "journalctl";

/// A source that runs.
pub(super) struct Started {
    pub(super) source: Arc<dyn Source>,
    /// For files: what the thread that reads them shall do, once all of them are found.
    pub(super) files: Option<(Arc<FileJob>, Synced)>,
}

/// Why a source did not start.
#[derive(Debug, thiserror::Error)]
#[error("scrape config \"{job}\"")]
pub struct StartError {
    /// Whose.
    job: String,
    #[source]
    source: SourceError,
}

#[derive(Debug, thiserror::Error)]
enum SourceError {
    #[error(transparent)]
    Syslog(#[from] SyslogError),
    #[error(transparent)]
    Push(#[from] PushError),
    #[error(transparent)]
    Journal(#[from] ReaderError),
    #[error(transparent)]
    Docker(#[from] DockerError),
    #[error("kubernetes_sd_configs")]
    Kubernetes(#[from] KubernetesError),
    #[error("file_sd_configs")]
    FileSd(#[from] FilePatternError),
}

impl StartError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match &self.source {
            SourceError::Syslog(error) => error.kind(),
            SourceError::Push(error) => error.kind(),
            SourceError::Journal(error) => error.kind(),
            SourceError::Docker(error) => error.kind(),
            SourceError::Kubernetes(error) => error.kind(),
            SourceError::FileSd(_) => ErrorKind::InvalidInput,
        }
    }
}

/// Starts the source of a scrape config, which goes on from `cursors` if it has one there.
pub(super) async fn start_source(
    job: &Job,
    world: &World,
    reader: &FileReader,
    intake: &Arc<dyn Intake>,
    cursors: &BTreeMap<String, String>,
) -> Result<Started, StartError> {
    let name = job.config.job_name.as_str();
    let sink = || SinkParts {
        relabel: Arc::clone(&job.relabel),
        pipeline: job.pipeline.clone(),
        intake: Arc::clone(intake),
        clock: Arc::clone(&world.seams.clock),
    };
    let failed = |source: SourceError| StartError { job: name.to_owned(), source };
    let source: Arc<dyn Source> = match &job.config.source {
        SourceConfig::Files(discovery) => return start_files(job, discovery, world, reader).await.map_err(failed),
        SourceConfig::Syslog(config) => {
            let (names, metrics) = (Arc::clone(&world.names), world.syslog.clone());
            let started = SyslogSource::start(name, (**config).clone(), sink(), names, metrics, &world.seams).await;
            Arc::new(started.map_err(|error| failed(error.into()))?)
        }
        SourceConfig::Push(config) => {
            let started = PushSource::start(name, (**config).clone(), sink(), world.push.clone(), &world.seams).await;
            Arc::new(started.map_err(|error| failed(error.into()))?)
        }
        SourceConfig::Journal(config) => {
            let resume = cursors.get(&format!("cursor-{name}")).or_else(|| cursors.get(&format!("journal-{name}"))).cloned();
            let metrics = world.journal.clone();
            let started = JournalSource::start(name, config.clone(), JOURNALCTL.into(), resume, sink(), metrics, &world.seams);
            Arc::new(started.map_err(|error| failed(error.into()))?)
        }
        SourceConfig::Docker(engines) => {
            let (longest, metrics) = (job.max_line_size, world.docker.clone());
            let started = DockerSource::start(name, engines, cursors, longest, sink(), metrics, &world.seams).await;
            Arc::new(started.map_err(|error| failed(error.into()))?)
        }
    };
    Ok(Started { source, files: None })
}

async fn start_files(job: &Job, config: &DiscoveryConfig, world: &World, reader: &FileReader) -> Result<Started, SourceError> {
    let rules = Rules {
        job: job.config.job_name.clone(),
        relabel: Arc::clone(&job.relabel),
        hostname: world.hostname.clone(),
        encoding: job.config.encoding.clone(),
        decompression: job.decompression(),
    };
    let table = Arc::new(Mutex::new(TargetTable::new(rules, world.failures.clone())));
    let discoveries = discoveries(config, world).await?;
    let thread = reader.clone();
    let discovering = Discovering::start(discoveries, &table, Arc::new(move || thread.targets_changed()), &*world.seams.spawner);
    let synced = discovering.synced();
    let name = job.config.job_name.clone();
    let files = FileJob {
        name: name.clone(),
        pipeline: job.pipeline.clone(),
        stages: job.config.pipeline_stages.clone(),
        table: Arc::clone(&table),
    };
    let source = Arc::new(FileSource::new(&name, table, reader.clone(), discovering));
    Ok(Started { source, files: Some((Arc::new(files), synced)) })
}

async fn discoveries(config: &DiscoveryConfig, world: &World) -> Result<Vec<Box<dyn Discovery>>, SourceError> {
    let mut discoveries: Vec<Box<dyn Discovery>> = Vec::new();
    if !config.static_configs.is_empty() {
        discoveries.push(Box::new(StaticDiscovery::new(&config.static_configs)));
    }
    for files in &config.file_sd_configs {
        let (seams, stats) = (&world.seams, Arc::clone(&world.discovery));
        let (disk, clock, spawner) = (Arc::clone(&seams.disk), Arc::clone(&seams.clock), Arc::clone(&seams.spawner));
        discoveries.push(Box::new(FileDiscovery::new(files, disk, clock, spawner, stats)?));
    }
    for kubernetes in &config.kubernetes_sd_configs {
        let seams = KubernetesSeams {
            clock: Arc::clone(&world.seams.clock),
            random: Arc::clone(&world.seams.random),
            disk: Arc::clone(&world.seams.disk),
        };
        let discovery = KubernetesDiscovery::connect(kubernetes, &world.hostname, seams, Arc::clone(&world.discovery)).await?;
        discoveries.push(Box::new(discovery));
    }
    Ok(discoveries)
}
