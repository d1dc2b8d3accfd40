use crate::Metrics;
use futures::FutureExt;
use futures::future::BoxFuture;
use prometheus_client::metrics::counter::Counter;
use skald_model::seam::{Job, Spawner};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokio::runtime::Handle;
use tracing::error;

/// Tasks and blocking jobs on the tokio runtime, whose number of blocking threads is bounded; a panic ends only the task that it was in.
pub struct TokioSpawner {
    handle: Handle,
    panics: Counter,
}

impl TokioSpawner {
    /// A spawner onto the tokio runtime in which this is called.
    pub fn new(metrics: &Metrics) -> Self {
        let panics = Counter::default();
        metrics.register(|registry| registry.register("task_panics", "Background tasks and jobs that ended in a panic", panics.clone()));
        TokioSpawner { handle: Handle::current(), panics }
    }

    fn guarded(&self, name: &'static str, job: Job) -> impl FnOnce() + Send + 'static {
        let panics = self.panics.clone();
        move || {
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                panics.inc();
                error!(task = name, "background job ended in a panic");
            }
        }
    }
}

impl Spawner for TokioSpawner {
    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) {
        let panics = self.panics.clone();
        self.handle.spawn(async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                panics.inc();
                error!(task = name, "background task ended in a panic");
            }
        });
    }

    fn spawn_blocking(&self, job: Job) {
        self.handle.spawn_blocking(self.guarded("blocking", job));
    }

    fn spawn_thread(&self, name: &'static str, job: Job) {
        // Within the runtime, so that the job may wait for futures by the current handle.
        let (handle, job) = (self.handle.clone(), self.guarded(name, job));
        let started = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let _within = handle.enter();
            job();
        });
        if let Err(error) = started {
            // The job is dropped, and with it what its owner waits on.
            error!(thread = name, %error, "thread not started");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skald_model::seam::{Stopped, run_blocking};
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn a_panic_ends_only_its_task() {
        let metrics = Metrics::new("test");
        let spawner = TokioSpawner::new(&metrics);
        spawner.spawn("bad", Box::pin(async { panic!("on purpose") }));
        assert_eq!(run_blocking(&spawner, || panic!("on purpose")).await.map(|(): ()| ()), Err(Stopped));
        assert_eq!(run_blocking(&spawner, || 7).await, Ok(7));
        let (tell, told) = oneshot::channel();
        spawner
            .spawn_thread("own", Box::new(move || tell.send(std::thread::current().name().map(str::to_owned)).expect("it is waited for")));
        assert_eq!(told.await.expect("the thread ran").as_deref(), Some("own"));
        // A panic is counted just after what waited for it has learnt of it.
        while !metrics.encode().contains("skald_task_panics_total 2") {
            tokio::task::yield_now().await;
        }
    }
}
