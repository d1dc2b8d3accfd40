//! Files as a source: what the tailer reads, through the stages of its scrape config, into the intake.
//!
//! One thread reads all files of the process. It outlives a reload: files stay open, and those whose stages have not changed do not notice.

mod lines;
mod source;
mod view;

pub use source::FileSource;
pub use view::{FileMetrics, View};

use crate::discovery::TargetTable;
use crate::intake::Intake;
use futures::channel::oneshot;
use futures::future::{Either, select};
use lines::FileLines;
use parking_lot::Mutex;
use skald_model::seam::{Clock, Spawner};
use skald_pipeline::{Now, Pipeline, StageConfig};
use skald_tail::{FileTarget, Next, Tailer, Waker};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tracing::{debug, warn};

/// Longest that a request waits for a look at the files.
const VIEW_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest sleep of the thread.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// What is done to the lines of the files of one scrape config.
pub struct FileJob {
    /// Its name.
    pub name: String,
    /// Its stages.
    pub pipeline: Pipeline,
    /// The same, as they were written.
    pub stages: Vec<StageConfig>,
    /// Its targets.
    pub table: Arc<Mutex<TargetTable>>,
}

/// The thread that reads files; a cheap handle.
#[derive(Clone)]
pub struct FileReader(Arc<Shared>);

struct Shared {
    waker: Waker,
    clock: Arc<dyn Clock>,
    orders: Mutex<Orders>,
    last_view: Arc<Mutex<Arc<View>>>,
}

/// What the thread is asked for.
#[derive(Default)]
struct Orders {
    jobs: Option<(Vec<Arc<FileJob>>, oneshot::Sender<()>)>,
    targets: bool,
    views: Vec<oneshot::Sender<Arc<View>>>,
    /// Asked to stop, and who waits for that.
    stop: Option<Vec<oneshot::Sender<()>>>,
}

impl FileReader {
    /// Starts the thread, which owns `tailer` and offers to `intake`.
    pub fn start(tailer: Tailer, intake: Arc<dyn Intake>, clock: Arc<dyn Clock>, spawner: Arc<dyn Spawner>) -> Self {
        let shared =
            Arc::new(Shared { waker: tailer.waker(), clock: Arc::clone(&clock), orders: Mutex::default(), last_view: Arc::default() });
        let room = Room { intake: Arc::clone(&intake), waker: tailer.waker(), spawner: Arc::clone(&spawner), asked: Arc::default() };
        let thread = Thread { tailer, lines: FileLines::new(intake), jobs: None, clock, room, shared: Arc::clone(&shared) };
        spawner.spawn_thread("files", Box::new(move || thread.run()));
        FileReader(shared)
    }

    /// Replaces the scrape configs. Completes when the thread knows: a file whose target is another now goes over to it once that has found it, within a second.
    pub async fn set_jobs(&self, jobs: Vec<Arc<FileJob>>) {
        let (send, receive) = oneshot::channel();
        self.order(|orders| orders.jobs = Some((jobs, send)));
        // The thread is gone, and reads nothing more.
        let _ = receive.await;
    }

    /// Targets of a scrape config have changed.
    pub fn targets_changed(&self) {
        self.order(|orders| orders.targets = true);
    }

    /// A look at the files as they are now, or as they were when the thread last had time.
    pub async fn view(&self) -> Arc<View> {
        let (send, receive) = oneshot::channel();
        self.order(|orders| orders.views.push(send));
        match select(receive, self.0.clock.sleep(VIEW_TIMEOUT)).await {
            Either::Left((Ok(view), _)) => view,
            _ => self.last_view(),
        }
    }

    /// The last look that was taken.
    pub fn last_view(&self) -> Arc<View> {
        Arc::clone(&self.0.last_view.lock())
    }

    /// Reads no more. What was read is offered; what the stages hold is read again by the next process.
    pub async fn stop(&self) {
        let (send, receive) = oneshot::channel();
        self.order(|orders| orders.stop.get_or_insert_default().push(send));
        // The thread is gone: it has stopped.
        let _ = receive.await;
    }

    fn order(&self, order: impl FnOnce(&mut Orders)) {
        order(&mut self.0.orders.lock());
        self.0.waker.wake();
    }
}

/// Wakes the thread when the intake has room again.
struct Room {
    intake: Arc<dyn Intake>,
    waker: Waker,
    spawner: Arc<dyn Spawner>,
    asked: Arc<AtomicBool>,
}

impl Room {
    fn ask(&self) {
        if self.asked.swap(true, Ordering::AcqRel) {
            return;
        }
        let (room, waker, asked) = (self.intake.room(), self.waker.clone(), Arc::clone(&self.asked));
        let task = async move {
            room.await;
            asked.store(false, Ordering::Release);
            waker.wake();
        };
        self.spawner.spawn("room for files", Box::pin(task));
    }
}

/// All that the thread works with.
struct Thread {
    tailer: Tailer,
    lines: FileLines,
    /// `None` until it is told what to read.
    jobs: Option<Vec<Arc<FileJob>>>,
    clock: Arc<dyn Clock>,
    room: Room,
    shared: Arc<Shared>,
}

impl Thread {
    fn run(mut self) {
        loop {
            let orders = std::mem::take(&mut *self.shared.orders.lock());
            if let Some(waiting) = orders.stop {
                self.end(waiting);
                return;
            }
            let (jobs, taken) = orders.jobs.unzip();
            self.follow(jobs, orders.targets);
            if let Some(taken) = taken {
                // Whoever waits may have gone.
                let _ = taken.send(());
            }
            let now = Now { wall: self.clock.now(), monotonic: self.clock.monotonic() };
            self.lines.begin(now);
            let next = match self.jobs {
                Some(_) => self.tailer.round(now.monotonic, now.wall, &mut self.lines),
                None => Next::At(now.monotonic + SLEEP_MAX),
            };
            if self.lines.is_refused() {
                self.room.ask();
            }
            if !orders.views.is_empty() {
                self.show(orders.views);
            }
            if let Some(pause) = self.pause(next) {
                self.tailer.wait(pause);
            }
        }
    }

    /// How long there is nothing to do; `None` when there is.
    fn pause(&self, next: Next) -> Option<Duration> {
        let Next::At(at) = next else { return None };
        let at = self.lines.next_deadline().map_or(at, |deadline| at.min(deadline));
        Some(at.saturating_sub(self.clock.monotonic()).min(SLEEP_MAX))
    }

    fn follow(&mut self, jobs: Option<Vec<Arc<FileJob>>>, targets: bool) {
        let changed = targets || jobs.is_some();
        self.jobs = jobs.or(self.jobs.take());
        // Targets that come before the jobs are seen with them.
        let Some(jobs) = self.jobs.as_ref().filter(|_| changed) else { return };
        let mut files: Vec<FileTarget> = Vec::new();
        let mut known = Vec::new();
        for job in jobs {
            for found in job.table.lock().read() {
                files.push(found.file.clone());
                known.push((found.file.key.clone(), found.labels.clone(), Arc::clone(job)));
            }
        }
        debug!(targets = files.len(), "file targets changed");
        self.lines.set_targets(known);
        self.tailer.set_targets(files);
    }

    fn show(&self, waiting: Vec<oneshot::Sender<Arc<View>>>) {
        let view = Arc::new(View { files: self.tailer.files(), stats: self.tailer.stats() });
        *self.shared.last_view.lock() = Arc::clone(&view);
        for send in waiting {
            // Whoever asked may have gone.
            let _ = send.send(Arc::clone(&view));
        }
    }

    fn end(&mut self, waiting: Vec<oneshot::Sender<()>>) {
        if self.lines.end() > 0 {
            warn!("what was read of some files is not taken, and will be read again");
        }
        for send in waiting {
            let _ = send.send(());
        }
    }
}
