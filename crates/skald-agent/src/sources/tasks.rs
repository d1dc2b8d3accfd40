use futures::FutureExt;
use futures::future::{BoxFuture, Either, select};
use skald_model::seam::{Clock, Spawner};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long tasks may take to offer what they have read once they were told to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The tasks of one source: told to stop together, and waited for. A cheap handle.
#[derive(Clone)]
pub(super) struct Tasks {
    spawner: Arc<dyn Spawner>,
    clock: Arc<dyn Clock>,
    stop: Arc<watch::Sender<bool>>,
    running: Arc<watch::Sender<usize>>,
}

/// Tells a task that it shall stop.
#[derive(Clone)]
pub(super) struct Stop(watch::Receiver<bool>);

impl Tasks {
    pub(super) fn new(spawner: &Arc<dyn Spawner>, clock: &Arc<dyn Clock>) -> Self {
        Tasks {
            spawner: Arc::clone(spawner),
            clock: Arc::clone(clock),
            stop: Arc::new(watch::Sender::new(false)),
            running: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Runs a task until it ends, or has not ended a while after it was told to stop.
    pub(super) fn spawn<F: Future<Output = ()> + Send + 'static>(&self, name: &'static str, task: impl FnOnce(Stop) -> F) {
        let running = Running::count(&self.running);
        let (task, stop, clock) = (task(self.stopping()), self.stopping(), Arc::clone(&self.clock));
        let bounded = async move {
            let late = async {
                stop.told().await;
                clock.sleep(STOP_TIMEOUT).await;
            };
            if let Either::Right(_) = select(pin!(task), pin!(late)).await {
                tracing::warn!(task = name, "task did not end in time");
            }
            drop(running);
        };
        self.spawner.spawn(name, bounded.boxed());
    }

    /// What tells a task to stop.
    pub(super) fn stopping(&self) -> Stop {
        Stop(self.stop.subscribe())
    }

    /// Tells all to stop, and waits until they have ended.
    pub(super) fn stop(&self) -> BoxFuture<'static, ()> {
        self.stop.send_replace(true);
        let mut running = self.running.subscribe();
        async move { drop(running.wait_for(|running| *running == 0).await) }.boxed()
    }
}

impl Stop {
    /// Completes once the task shall stop.
    pub(super) async fn told(&self) {
        // Where the source is gone without a word, nobody can stop its tasks later.
        let _ = self.0.clone().wait_for(|stop| *stop).await;
    }
}

/// Counts a task as long as it runs, also when it panics.
struct Running(Arc<watch::Sender<usize>>);

impl Running {
    fn count(running: &Arc<watch::Sender<usize>>) -> Self {
        running.send_modify(|running| *running += 1);
        Running(Arc::clone(running))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|running| *running -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skald_testkit::SimWorld;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn stopping_waits_for_every_task_and_no_longer_than_its_bound() {
        let world = SimWorld::new(1);
        let seams = world.seams();
        let tasks = Tasks::new(&seams.spawner, &seams.clock);
        let ended = Arc::new(AtomicU32::new(0));
        let done = Arc::clone(&ended);
        tasks.spawn("orderly", |stop| async move {
            stop.told().await;
            done.fetch_add(1, Ordering::Relaxed);
        });
        tasks.spawn("deaf", |_| futures::future::pending());
        world.spawner.run_until_idle();
        let mut stopped = tasks.stop();
        world.spawner.run_until_idle();
        assert_eq!(ended.load(Ordering::Relaxed), 1);
        assert!((&mut stopped).now_or_never().is_none());
        world.clock.advance(STOP_TIMEOUT);
        world.spawner.run_until_idle();
        assert!(stopped.now_or_never().is_some());
        assert!(tasks.stop().now_or_never().is_some());
    }
}
