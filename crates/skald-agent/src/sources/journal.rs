//! systemd's journal, read by the machine's own `journalctl`.
//!
//! The place that is kept is the cursor of the last entry that no stage holds; reading goes on behind it, after a restart of the agent as after one of
//! journalctl.

mod config;
mod entry;
mod metrics;
mod reader;

pub use config::JournalConfig;
pub use entry::{EntryError, JournalEntry, cursor_time};
pub use metrics::JournalMetrics;
pub use reader::{JournalQuery, ReaderError, StartAt};

use super::tasks::{Stop, Tasks};
use super::{label_set, one_target};
use crate::sink::{EntrySink, SinkParts};
use crate::source::{Source, SourceStatus};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use reader::{Reader, TooLong};
use skald_model::seam::{Clock, Seams, Spawner};
use skald_pipeline::{Entry, LabelSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tracing::{debug, warn};

/// Pauses before journalctl is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(60);

/// Follows a journal.
pub struct JournalSource {
    job: String,
    labels: LabelSet,
    path: String,
    /// Of the last entry that was taken.
    cursor: Arc<Mutex<Option<String>>>,
    is_running: AtomicBool,
    tasks: Tasks,
}

impl JournalSource {
    /// Begins to read behind `resume`, a cursor that was kept under the name of the job, unless it is older than `max_age`.
    ///
    /// # Errors
    /// [`ReaderError`] when journalctl cannot be started. When it ends later, it is started again.
    pub fn start(
        job: &str,
        config: JournalConfig,
        program: PathBuf,
        resume: Option<String>,
        sink: SinkParts,
        metrics: JournalMetrics,
        seams: &Seams,
    ) -> Result<Self, ReaderError> {
        let query = JournalQuery {
            program,
            directory: Some(PathBuf::from(&config.path)).filter(|path| !path.as_os_str().is_empty()),
            terms: config.terms().map(str::to_owned).collect(),
            follow: true,
        };
        let labels = label_set(&config.labels);
        let cursor = Arc::new(Mutex::new(resume));
        let (path, tasks) = (config.path.clone(), Tasks::new(&seams.spawner, &seams.clock));
        let follower = Follower {
            job: job.to_owned(),
            sink: EntrySink::new(&sink),
            labels: labels.clone(),
            cursor: Arc::clone(&cursor),
            clock: Arc::clone(&seams.clock),
            spawner: Arc::clone(&seams.spawner),
            config,
            query,
            metrics,
        };
        let reader = follower.begin()?;
        tasks.spawn("journal", |stop| follower.run(reader, stop));
        tracing::info!(job, path, "reading the journal");
        Ok(JournalSource { job: job.to_owned(), labels, path, cursor, is_running: AtomicBool::new(true), tasks })
    }
}

impl Source for JournalSource {
    fn status(&self) -> SourceStatus {
        let cursor = self.cursor.lock().clone();
        let mut details = vec![("path", self.path.as_str())];
        details.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        one_target(&self.job, "journal", self.is_running.load(Ordering::Relaxed), &self.labels, &details)
    }

    fn stop(&self) -> BoxFuture<'static, ()> {
        self.is_running.store(false, Ordering::Relaxed);
        self.tasks.stop()
    }
}

/// The task that reads.
struct Follower {
    job: String,
    config: JournalConfig,
    query: JournalQuery,
    labels: LabelSet,
    sink: EntrySink,
    cursor: Arc<Mutex<Option<String>>>,
    metrics: JournalMetrics,
    clock: Arc<dyn Clock>,
    spawner: Arc<dyn Spawner>,
}

impl Follower {
    async fn run(mut self, reader: Reader, stop: Stop) {
        let mut reader = Some(reader);
        let mut pause = RESTART_PAUSE;
        loop {
            if let Some(reader) = reader.take() {
                let Some(taken) = self.follow(reader, &stop).await else { break };
                pause = if taken > 0 { RESTART_PAUSE } else { pause };
            }
            if !self.wait(pause, &stop).await {
                break;
            }
            pause = (2 * pause).min(RESTART_PAUSE_MAX);
            self.metrics.restarts.inc();
            reader = self.begin().inspect_err(|error| warn!(job = self.job, %error, "journalctl not started")).ok();
        }
        self.sink.flush().await;
    }

    /// Starts journalctl behind the last entry that was taken.
    fn begin(&self) -> Result<Reader, ReaderError> {
        let oldest = self.clock.now().minus(self.config.max_age.0);
        let from = match &*self.cursor.lock() {
            // One without a time is taken at its word.
            Some(cursor) if cursor_time(cursor).is_none_or(|time| time >= oldest) => StartAt::Behind(cursor.clone()),
            _ => StartAt::Since(oldest),
        };
        Reader::start(&self.query, &from, &*self.spawner)
    }

    /// Takes entries until journalctl ends, and says how many; `None` when the source shall stop.
    async fn follow(&mut self, mut reader: Reader, stop: &Stop) -> Option<u64> {
        let mut taken = 0;
        loop {
            let line = tokio::select! {
                line = reader.next() => line,
                () = self.sink.tick_when_due() => continue,
                () = stop.told() => return None,
            };
            match line {
                Some(Ok(line)) => {
                    tokio::select! {
                        () = self.take(&line) => taken += 1,
                        // What is in the sink goes with the flush; its cursor is not offered before.
                        () = stop.told() => return None,
                    }
                }
                Some(Err(TooLong(bytes))) => {
                    warn!(job = self.job, bytes, "entry of the journal is too large, skipping it");
                    self.metrics.error("too_large");
                }
                None => break,
            }
        }
        let (status, said) = reader.end().await;
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        warn!(job = self.job, status, said, "journalctl ended, starting it again");
        if taken == 0 {
            self.forget_refused_cursor(&said);
        }
        Some(taken)
    }

    /// A cursor that journalctl does not understand would be refused for ever.
    fn forget_refused_cursor(&self, said: &str) {
        let mut cursor = self.cursor.lock();
        if said.contains("cursor") && cursor.is_some() {
            warn!(job = self.job, "the saved place is refused, reading from max_age on");
            *cursor = None;
        }
    }

    async fn take(&mut self, line: &[u8]) {
        let mut read = match JournalEntry::read(line) {
            Ok(read) => read,
            Err(error) => {
                debug!(job = self.job, %error, "line of journalctl that is no entry");
                return self.metrics.error("malformed");
            }
        };
        let labels = self.sink.relabel(read.labels(&self.labels));
        let entry = match (labels, read.line(self.config.json)) {
            (_, None) => {
                self.metrics.error("no_message");
                None
            }
            (None, _) => None,
            (Some(labels), _) if labels.is_empty() => {
                self.metrics.error("empty_labels");
                None
            }
            (Some(labels), Some(line)) => {
                self.metrics.lines.inc();
                Some(Entry { labels, timestamp: read.timestamp, line, metadata: Vec::new() })
            }
        };
        *self.cursor.lock() = Some(read.cursor.clone());
        self.sink.take(entry, Some((&self.job, read.cursor)));
        self.sink.settle().await;
        self.sink.rest().await;
    }

    /// Waits, and lets go of what stages hold meanwhile; false when the source shall stop.
    async fn wait(&mut self, pause: Duration, stop: &Stop) -> bool {
        let mut over = self.clock.sleep(pause);
        loop {
            tokio::select! {
                () = &mut over => return true,
                () = self.sink.tick_when_due() => {}
                () = stop.told() => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests;
