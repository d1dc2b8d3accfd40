//! The CPU pool, shared between tenants: jobs of each wait in a lane of their own, and the lanes take turns.
//!
//! No more jobs are handed to the pool than it has threads. So a job waits for those that run and for one of each other tenant, however many
//! another has queued; and other work of the process, such as flushing, finds the pool's own queue short.

use crate::queue::Tenants;
use parking_lot::Mutex;
use skald_model::seam::{CpuPool, Job};
use std::collections::VecDeque;
use std::sync::Arc;

/// Lanes onto a pool.
pub(crate) struct Lanes {
    pool: Arc<dyn CpuPool>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    handed_over: usize,
    /// The tenants with waiting jobs; the first has the next turn.
    lanes: VecDeque<(Tenants, VecDeque<Job>)>,
}

/// The lane of one tenant. Those who submit bound how many of their jobs are queued.
pub(crate) struct Lane {
    lanes: Arc<Lanes>,
    tenants: Tenants,
}

impl Lanes {
    /// No jobs yet.
    pub(crate) fn new(pool: Arc<dyn CpuPool>) -> Arc<Self> {
        Arc::new(Lanes { pool, state: Mutex::default() })
    }

    /// The lane of these tenants.
    pub(crate) fn of(self: &Arc<Self>, tenants: &Tenants) -> Arc<dyn CpuPool> {
        Arc::new(Lane { lanes: self.clone(), tenants: tenants.clone() })
    }

    /// Hands the next job over, where the pool has a thread for it.
    fn next(self: &Arc<Self>) {
        let job = {
            let mut state = self.state.lock();
            if state.handed_over >= self.pool.threads() {
                return;
            }
            let Some((tenants, mut jobs)) = state.lanes.pop_front() else { return };
            let Some(job) = jobs.pop_front() else { return };
            if !jobs.is_empty() {
                state.lanes.push_back((tenants, jobs));
            }
            state.handed_over += 1;
            job
        };
        let place = Place(self.clone());
        self.pool.submit(Box::new(move || {
            let _place = place;
            job();
        }));
    }
}

impl CpuPool for Lane {
    fn submit(&self, job: Job) {
        {
            let mut state = self.lanes.state.lock();
            match state.lanes.iter_mut().find(|(tenants, _)| *tenants == self.tenants) {
                Some((_, jobs)) => jobs.push_back(job),
                None => state.lanes.push_back((self.tenants.clone(), VecDeque::from([job]))),
            }
        }
        self.lanes.next();
    }

    fn threads(&self) -> usize {
        self.lanes.pool.threads()
    }
}

/// The place of a job that was handed over; free again when the job has ended, also by a panic, or was dropped.
struct Place(Arc<Lanes>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.state.lock().handed_over -= 1;
        self.0.next();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skald_model::TenantId;

    /// A pool whose jobs run when told.
    #[derive(Default)]
    struct Gate(Mutex<VecDeque<Job>>);

    impl Gate {
        fn run_one(&self) -> bool {
            let job = self.0.lock().pop_front();
            job.map(|job| job()).is_some()
        }
    }

    impl CpuPool for Gate {
        fn submit(&self, job: Job) {
            self.0.lock().push_back(job);
        }

        fn threads(&self) -> usize {
            2
        }
    }

    fn tenants(name: &str) -> Tenants {
        [TenantId::parse(name).expect("valid")].into_iter().collect()
    }

    #[test]
    fn a_tenants_job_waits_for_the_running_and_one_of_each_other() {
        let gate = Arc::new(Gate::default());
        let lanes = Lanes::new(gate.clone());
        let ran = Arc::new(Mutex::new(String::new()));
        let submit = |name: &str| {
            let (ran, text) = (ran.clone(), name.to_owned());
            lanes.of(&tenants(name)).submit(Box::new(move || ran.lock().push_str(&text)));
        };
        (0..6).for_each(|_| submit("a"));
        assert_eq!(gate.0.lock().len(), 2, "no more than the pool has threads");
        submit("b");
        submit("c");
        while gate.run_one() {
            assert!(gate.0.lock().len() <= 2);
        }
        assert_eq!(*ran.lock(), "aaabcaaa");
    }

    #[test]
    fn a_job_that_is_dropped_frees_its_place() {
        let gate = Arc::new(Gate::default());
        let lanes = Lanes::new(gate.clone());
        let lane = lanes.of(&tenants("a"));
        (0..4).for_each(|_| lane.submit(Box::new(|| {})));
        for left in [2, 2, 1, 0] {
            let dropped = gate.0.lock().pop_front();
            drop(dropped);
            assert_eq!(gate.0.lock().len(), left);
        }
    }
}
