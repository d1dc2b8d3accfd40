use crate::Metrics;
use crossbeam::channel::{Receiver, Sender, unbounded};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use skald_model::seam::{CpuPool, Job};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tracing::error;

/// A fixed number of threads that take jobs from one queue. A panic ends only the job that it was in. The threads end, after what is queued, once the
/// pool is dropped.
pub struct CrossbeamPool {
    // Those who submit bound how many jobs of theirs are queued, so the queue has no bound of its own that could block an asynchronous caller.
    jobs: Sender<Job>,
    queued: Gauge,
    threads: usize,
}

impl CrossbeamPool {
    /// Starts `threads` threads.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn new(threads: usize, metrics: &Metrics) -> io::Result<Self> {
        let threads = threads.max(1);
        let (queued, panics) = (Gauge::default(), Counter::default());
        metrics.register(|registry| {
            registry.register("cpu_queue_length", "Jobs that wait for a thread of the processor pool", queued.clone());
            registry.register("cpu_job_panics", "Jobs of the processor pool that ended in a panic", panics.clone());
        });
        let (jobs, inbox) = unbounded::<Job>();
        for number in 0..threads {
            let (inbox, queued, panics) = (inbox.clone(), queued.clone(), panics.clone());
            std::thread::Builder::new().name(format!("cpu-{number}")).spawn(move || work(&inbox, &queued, &panics))?;
        }
        Ok(CrossbeamPool { jobs, queued, threads })
    }
}

fn work(inbox: &Receiver<Job>, queued: &Gauge, panics: &Counter) {
    for job in inbox {
        queued.dec();
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            panics.inc();
            error!("job of the processor pool ended in a panic");
        }
    }
}

impl CpuPool for CrossbeamPool {
    fn submit(&self, job: Job) {
        self.queued.inc();
        // Fails only without threads, and they live as long as the pool; then the job is dropped, which its owner sees.
        let _ = self.jobs.send(job);
    }

    fn threads(&self) -> usize {
        self.threads
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skald_model::seam::{Stopped, run_on_pool};

    #[tokio::test]
    async fn jobs_run_on_named_threads_and_survive_the_panic_of_another() {
        let metrics = Metrics::new("test");
        let pool = CrossbeamPool::new(1, &metrics).expect("threads can be started");
        assert_eq!(pool.threads(), 1);
        for _ in 0..4 {
            assert_eq!(run_on_pool(&pool, || panic!("on purpose")).await.map(|(): ()| ()), Err(Stopped));
        }
        let name = run_on_pool(&pool, || std::thread::current().name().map(str::to_owned)).await;
        assert!(name.is_ok_and(|name| name.is_some_and(|name| name.starts_with("cpu-"))));
        let text = metrics.encode();
        assert!(text.contains("skald_cpu_job_panics_total 4") && text.contains("skald_cpu_queue_length 0"), "{text}");
    }
}
