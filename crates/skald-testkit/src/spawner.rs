use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::task::AtomicWaker;
use parking_lot::Mutex;
use skald_model::seam::{CpuPool, Job, Spawner};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A processor pool without threads: work is done where it is submitted.
#[derive(Debug, Default, Clone, Copy)]
pub struct InlinePool;

impl CpuPool for InlinePool {
    fn submit(&self, job: Job) {
        job();
    }

    fn threads(&self) -> usize {
        1
    }
}

/// Tasks that advance only inside [`SimSpawner::run`], on its thread, in the order in which they were woken.
///
/// Blocking jobs run where they are submitted. A job that asks for a thread of its own gets a real one.
#[derive(Default)]
pub struct SimSpawner {
    new: Mutex<Vec<BoxFuture<'static, ()>>>,
    running: Mutex<FuturesUnordered<BoxFuture<'static, ()>>>,
    runner: AtomicWaker,
}

impl SimSpawner {
    /// A spawner without tasks.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Drives `main` and all tasks until `main` is done. Tasks that are not done then go on in the next call.
    ///
    /// # Panics
    /// When a task panics, and when called from inside itself.
    pub fn run<T>(&self, main: impl Future<Output = T>) -> T {
        let mut running = self.running.try_lock().expect("run is not called from inside a task");
        let mut main = pin!(main);
        futures::executor::block_on(poll_fn(|ctx| {
            self.runner.register(ctx.waker());
            if let Poll::Ready(value) = main.as_mut().poll(ctx) {
                return Poll::Ready(value);
            }
            self.poll_tasks(&mut running, ctx);
            main.as_mut().poll(ctx)
        }))
    }

    /// Drives all tasks until none can go on without something from outside.
    pub fn run_until_idle(&self) {
        let mut running = self.running.try_lock().expect("run_until_idle is not called from inside a task");
        futures::executor::block_on(poll_fn(|ctx| {
            self.poll_tasks(&mut running, ctx);
            Poll::Ready(())
        }));
    }

    /// Drops all tasks, and with them what they hold: a task that holds its spawner would else live for ever.
    ///
    /// # Panics
    /// When called from inside a task.
    pub fn drop_tasks(&self) {
        let tasks = std::mem::take(&mut *self.new.lock());
        let running = std::mem::take(&mut *self.running.try_lock().expect("drop_tasks is not called from inside a task"));
        drop((tasks, running));
    }

    fn poll_tasks(&self, running: &mut FuturesUnordered<BoxFuture<'static, ()>>, ctx: &mut Context<'_>) {
        loop {
            running.extend(self.new.lock().drain(..));
            let progress = matches!(running.poll_next_unpin(ctx), Poll::Ready(Some(())));
            if !progress && self.new.lock().is_empty() {
                return;
            }
        }
    }
}

impl Spawner for SimSpawner {
    fn spawn(&self, _name: &'static str, task: BoxFuture<'static, ()>) {
        self.new.lock().push(task);
        self.runner.wake();
    }

    fn spawn_blocking(&self, job: Job) {
        job();
    }

    fn spawn_thread(&self, name: &'static str, job: Job) {
        std::thread::Builder::new().name(name.to_owned()).spawn(job).expect("the system has threads left");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use futures::channel::{mpsc, oneshot};
    use skald_model::seam::{run_blocking, run_on_pool};

    #[test]
    fn tasks_run_beside_the_main_future_and_may_spawn_more() {
        let spawner = SimSpawner::new();
        let (send, receive) = mpsc::unbounded();
        let inner = (spawner.clone(), send.clone());
        spawner.spawn(
            "outer",
            async move {
                inner.1.unbounded_send(1).expect("still received");
                let deepest = inner.1.clone();
                inner.0.spawn("inner", async move { deepest.unbounded_send(2).expect("still received") }.boxed());
            }
            .boxed(),
        );
        assert_eq!(spawner.run(receive.take(2).collect::<Vec<i32>>()), [1, 2]);
    }

    #[test]
    fn a_task_goes_on_in_the_next_run() {
        let spawner = SimSpawner::new();
        let (go, wait) = oneshot::channel::<()>();
        let (done, result) = oneshot::channel();
        spawner.spawn("waits", async move { done.send(wait.await.is_ok()).expect("still received") }.boxed());
        spawner.run(async {});
        go.send(()).expect("the task waits");
        assert_eq!(spawner.run(result), Ok(true));
    }

    #[test]
    fn a_thread_can_wake_the_run() {
        let spawner = SimSpawner::new();
        let (done, result) = oneshot::channel();
        spawner.spawn_thread("sends", Box::new(move || done.send(7).expect("still received")));
        assert_eq!(spawner.run(result), Ok(7));
    }

    #[test]
    fn blocking_and_processor_work_is_done_at_once() {
        let spawner = SimSpawner::new();
        assert_eq!(run_blocking(&*spawner, || 1).now_or_never(), Some(Ok(1)));
        assert_eq!(run_on_pool(&InlinePool, || 2).now_or_never(), Some(Ok(2)));
        assert_eq!(InlinePool.threads(), 1);
    }
}
