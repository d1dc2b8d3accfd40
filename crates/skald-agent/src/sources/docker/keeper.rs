//! Finds the containers of one engine, and has each read.

use super::board::{Board, Labels};
use super::config::DockerSdConfig;
use super::engine::{Engine, EngineError, Events};
use super::follower::{Follower, Tools};
use super::labels::Listing;
use super::place::Place;
use crate::sink::{EntrySink, SinkParts};
use crate::sources::tasks::{Stop, Tasks};
use skald_runtime::chain;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tracing::{info, warn};

/// Pauses before an engine that does not answer is asked again.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Shortest time between two lists, however many containers start.
const LIST_GAP: Duration = Duration::from_millis(200);
/// Most containers that are looked for with each list, as it lacks them.
const UNLISTED_MAX: usize = 100;

/// The task of one engine.
pub(super) struct Keeper {
    pub(super) job: String,
    pub(super) config: DockerSdConfig,
    pub(super) sink: SinkParts,
    /// Where containers were read to before, by id with `cursor-` in front.
    pub(super) cursors: Arc<BTreeMap<String, String>>,
    pub(super) tools: Tools,
    pub(super) tasks: Tasks,
    pub(super) state: Arc<State>,
}

/// What is shown of an engine.
#[derive(Default)]
pub(super) struct State {
    pub(super) host: String,
    pub(super) board: Board,
    /// Whether its containers are known.
    pub(super) is_known: AtomicBool,
}

impl Keeper {
    pub(super) async fn run(self, stop: Stop) {
        tokio::select! {
            () = self.keep() => {}
            () = stop.told() => {}
        }
    }

    async fn keep(&self) {
        let mut pause = PAUSE;
        loop {
            let Err(error) = self.watch(&mut pause).await;
            self.tools.metrics.failures.inc();
            warn!(job = self.job, engine = self.config.host, error = chain(&error), "containers cannot be listed, trying again");
            self.tools.clock.sleep(pause).await;
            pause = (2 * pause).min(PAUSE_MAX);
        }
    }

    /// Lists containers again and again, until the engine does not answer.
    async fn watch(&self, pause: &mut Duration) -> Result<Never, EngineError> {
        let mut events = None;
        loop {
            if events.is_none() {
                // Before the list, so that no start comes between both.
                events = self.events().await?;
                self.state.board.any_started();
            }
            self.list().await?;
            *pause = PAUSE;
            let gap = self.tools.clock.sleep(LIST_GAP);
            self.wait(&mut events).await;
            gap.await;
        }
    }

    /// An engine, or what stands before it, may refuse to tell of events: then there are the lists alone.
    async fn events(&self) -> Result<Option<Events>, EngineError> {
        match self.tools.engine.events().await {
            Ok(events) => Ok(Some(events)),
            Err(error) if error.is_refusal() => {
                if !self.state.is_known.load(Ordering::Relaxed) {
                    warn!(job = self.job, engine = self.config.host, error = chain(&error), "no events of containers, only listing them");
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Waits until a container starts, or it is time for the next list.
    async fn wait(&self, events: &mut Option<Events>) {
        let due = self.tools.clock.sleep(self.config.refresh_interval.0);
        let Some(listening) = events else { return due.await };
        let event = tokio::select! {
            event = listening.next() => event,
            () = due => return,
        };
        match event {
            Ok(Some(id)) => self.state.board.started(&id),
            // The list that follows tells whether the engine is still there.
            Ok(None) | Err(_) => *events = None,
        }
    }

    async fn list(&self) -> Result<(), EngineError> {
        let engine: &Engine = &self.tools.engine;
        let containers = engine.containers().await?;
        let networks = match engine.networks().await {
            Err(error) if error.is_refusal() => Vec::new(),
            networks => networks?,
        };
        let listing = Listing::new(containers, networks);
        for container in listing.containers() {
            let labels = Labels::choose(listing.targets(container, &self.config), &self.sink);
            let start = || self.cursors.get(&format!("cursor-{}", container.id)).map(|place| Place::parse(place)).unwrap_or_default();
            let Some(assignment) = self.state.board.see(&container.id, labels, container.is_running(), start) else { continue };
            let follower = Follower::new(assignment, EntrySink::new(&self.sink), self.tools.clone());
            self.tasks.spawn("docker-container", |stop| follower.run(stop));
        }
        let listed: HashSet<&str> = listing.containers().iter().map(|container| container.id.as_str()).collect();
        for id in self.state.board.unlisted(&listed).iter().take(UNLISTED_MAX) {
            // One that only does not pass the filters any more may do so again, and goes on from where it was.
            if engine.inspect(id).await.is_err_and(|error| error.is_gone()) {
                self.state.board.forget(id);
            }
        }
        if !self.state.is_known.swap(true, Ordering::Relaxed) {
            info!(job = self.job, engine = self.config.host, containers = listing.containers().len(), "reading containers");
        }
        Ok(())
    }
}

/// Nothing is of this type.
enum Never {}
