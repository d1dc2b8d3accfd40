//! Reads one container.

use super::board::{Assignment, Board, Labels};
use super::engine::{Engine, EngineError, next_chunk};
use super::frames::{Decoder, Line};
use super::metrics::DockerMetrics;
use super::place::{Place, Replay};
use crate::sink::EntrySink;
use crate::sources::tasks::Stop;
use skald_model::seam::Clock;
use skald_pipeline::Entry;
use skald_runtime::chain;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tracing::{debug, warn};
use xxhash_rust::xxh3::xxh3_64;

/// Pauses before a container is asked for its log again.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// The task that reads a container until it has ended and its log is read.
pub(super) struct Follower {
    id: String,
    labels: Arc<Labels>,
    place: Place,
    sink: EntrySink,
    /// Lines taken.
    taken: u64,
    tools: Tools,
}

/// What all followers of one engine share.
#[derive(Clone)]
pub(super) struct Tools {
    pub(super) engine: Arc<Engine>,
    pub(super) board: Board,
    pub(super) metrics: DockerMetrics,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) line_max: usize,
}

impl Follower {
    pub(super) fn new(assignment: Assignment, sink: EntrySink, tools: Tools) -> Self {
        let Assignment { id, labels, place } = assignment;
        Follower { id, labels, place, sink, taken: 0, tools }
    }

    pub(super) async fn run(mut self, stop: Stop) {
        tokio::select! {
            () = self.follow() => {}
            // What is in the sink goes with the flush.
            () = stop.told() => {}
        }
        self.sink.flush().await;
        self.tools.board.read_to(&self.id, &self.place);
        self.tools.board.ended(&self.id);
    }

    async fn follow(&mut self) {
        let mut pause = PAUSE;
        loop {
            let before = self.taken;
            match self.read_once().await {
                Ok(true) => return,
                Ok(false) => debug!(container = self.id, "the log of a running container ended, asking again"),
                Err(error) if error.is_gone() => return,
                Err(error) => {
                    self.tools.metrics.failures.inc();
                    warn!(container = self.id, error = chain(&error), "log of a container cannot be read, trying again");
                }
            }
            if self.taken > before {
                pause = PAUSE;
            }
            let over = self.tools.clock.sleep(pause);
            ticking(&mut self.sink, over).await;
            pause = (2 * pause).min(PAUSE_MAX);
        }
    }

    /// Reads what there is to read, and says whether the container has ended and that was all.
    async fn read_once(&mut self) -> Result<bool, EngineError> {
        let engine = Arc::clone(&self.tools.engine);
        let detail = ticking(&mut self.sink, engine.inspect(&self.id)).await?;
        if detail.state.running {
            self.read(true, detail.config.tty).await?;
            // A log that is followed may end a little early.
            if ticking(&mut self.sink, engine.inspect(&self.id)).await?.state.running {
                return Ok(false);
            }
        }
        let _leave = ticking(&mut self.sink, engine.ended.acquire()).await;
        self.read(false, detail.config.tty).await?;
        Ok(true)
    }

    /// Takes the lines that are new, of all there are or of all that come.
    async fn read(&mut self, follow: bool, is_terminal: bool) -> Result<(), EngineError> {
        let engine = Arc::clone(&self.tools.engine);
        self.labels = self.tools.board.labels(&self.id).unwrap_or_else(|| Arc::clone(&self.labels));
        let mut log = ticking(&mut self.sink, engine.logs(&self.id, self.place.since(), follow)).await?;
        let mut replay = self.place.replay();
        let mut decoder = Decoder::new(is_terminal, self.tools.line_max);
        let mut lines = Vec::new();
        while let Some(chunk) = ticking(&mut self.sink, next_chunk(&mut log)).await? {
            let fed = decoder.feed(&chunk, &mut lines);
            self.take_all(&mut lines, &mut replay).await;
            self.tools.metrics.errors.inc_by(decoder.take_malformed());
            fed?;
        }
        if !follow {
            decoder.finish(&mut lines);
            self.take_all(&mut lines, &mut replay).await;
        }
        Ok(())
    }

    async fn take_all(&mut self, lines: &mut Vec<Line>, replay: &mut Replay) {
        for line in lines.drain(..) {
            let hash = xxh3_64(line.text.as_bytes());
            if !replay.knows(line.stream, line.timestamp.0, hash) {
                self.take(line, hash).await;
            }
        }
        self.tools.board.read_to(&self.id, &self.place);
    }

    async fn take(&mut self, line: Line, hash: u64) {
        let Line { stream, timestamp, text, is_cut, begun } = line;
        self.taken += 1;
        self.place.take(stream, timestamp.0, hash, begun.map(|begun| begun.0));
        let metrics = &self.tools.metrics;
        let entry = self.labels.of_stream(stream).map(|labels| {
            metrics.entries.inc();
            metrics.cut.inc_by(u64::from(is_cut));
            Entry { labels, timestamp, line: text, metadata: Vec::new() }
        });
        self.sink.take(entry, Some((&self.id, self.place.to_string())));
        self.sink.settle().await;
        self.sink.rest().await;
    }
}

/// Waits for `work`, and lets go of what stages hold meanwhile.
async fn ticking<T>(sink: &mut EntrySink, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = sink.tick_when_due() => {}
        }
    }
}
