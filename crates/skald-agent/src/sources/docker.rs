//! Containers of a Docker engine, read by its API.
//!
//! A task for each engine lists its containers, and again whenever one starts; a task for each container follows its log, from the line on that was the last to be
//! taken. Containers that have ended are read to their end.

mod api;
mod board;
mod config;
mod engine;
mod follower;
mod frames;
mod keeper;
mod labels;
mod metrics;
mod place;

pub use config::{DockerFilter, DockerSdConfig};
pub use metrics::DockerMetrics;

use super::tasks::Tasks;
use crate::sink::SinkParts;
use crate::source::{Source, SourceStatus};
use engine::Engine;
use follower::Tools;
use futures::future::BoxFuture;
use keeper::{Keeper, State};
use skald_model::ErrorKind;
use skald_model::seam::Seams;
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Longest line where the configuration allows no longer ones.
const LINE_BYTES_MAX: usize = 256 << 10;

/// Reads the containers of one or more engines.
pub struct DockerSource {
    job: String,
    engines: Vec<Arc<State>>,
    is_running: AtomicBool,
    tasks: Tasks,
}

/// Why an engine cannot be spoken to: its certificates cannot be read or used.
#[derive(Debug, thiserror::Error)]
#[error("docker_sd_configs: engine {host}")]
pub struct DockerError {
    host: String,
    source: Box<dyn Error + Send + Sync>,
}

impl DockerError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidInput
    }
}

impl DockerSource {
    /// Begins to read. An engine that is not there is asked again and again.
    ///
    /// `cursors` says where containers were read to before, by their keys in the positions file. `max_line_size` is what the configuration allows;
    /// 0 is nothing in particular.
    ///
    /// # Errors
    /// See [`DockerError`].
    pub async fn start(
        job: &str,
        configs: &[DockerSdConfig],
        cursors: &BTreeMap<String, String>,
        max_line_size: usize,
        sink: SinkParts,
        metrics: DockerMetrics,
        seams: &Seams,
    ) -> Result<Self, DockerError> {
        let tasks = Tasks::new(&seams.spawner, &seams.clock);
        let cursors = Arc::new(cursors.clone());
        let mut keepers = Vec::new();
        for config in configs {
            let failed = |source| DockerError { host: config.host.clone(), source: Box::new(source) };
            let engine = Arc::new(Engine::open(config, seams).await.map_err(failed)?);
            let state = Arc::new(State { host: config.host.clone(), ..State::default() });
            let tools = Tools {
                engine,
                board: state.board.clone(),
                metrics: metrics.clone(),
                clock: Arc::clone(&seams.clock),
                // One byte more than is allowed shows that a line is too long.
                line_max: LINE_BYTES_MAX.max(max_line_size.saturating_add(1)),
            };
            keepers.push(Keeper {
                job: job.to_owned(),
                config: config.clone(),
                sink: sink.clone(),
                cursors: Arc::clone(&cursors),
                tools,
                tasks: tasks.clone(),
                state,
            });
        }
        let engines = keepers.iter().map(|keeper| Arc::clone(&keeper.state)).collect();
        keepers.into_iter().for_each(|keeper| tasks.spawn("docker", |stop| keeper.run(stop)));
        Ok(DockerSource { job: job.to_owned(), engines, is_running: AtomicBool::new(true), tasks })
    }
}

impl Source for DockerSource {
    fn status(&self) -> SourceStatus {
        let is_known = |state: &Arc<State>| state.is_known.load(Ordering::Relaxed);
        let ready = self.is_running.load(Ordering::Relaxed) && self.engines.iter().any(is_known);
        let (mut active, mut dropped) = (Vec::new(), Vec::new());
        self.engines.iter().for_each(|state| state.board.show(&state.host, &mut active, &mut dropped));
        SourceStatus { job: self.job.clone(), kind: "docker", ready, active, dropped }
    }

    fn stop(&self) -> BoxFuture<'static, ()> {
        self.is_running.store(false, Ordering::Relaxed);
        self.tasks.stop()
    }
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
