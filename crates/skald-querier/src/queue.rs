//! Who runs next: a bounded queue for each tenant, and turns that go round the tenants.
//!
//! At most `running_max` queries run. While tenants wait, each in turn gets the next place, so a tenant with one query waits for one place
//! and not behind another's hundred. Where there are several tenants one place is kept for those that run nothing: long queries of one
//! cannot take all. Who gives up waiting leaves the queue at once.

use futures::channel::oneshot;
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use skald_model::TenantId;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// The tenants that a query reads for; they queue together.
pub(crate) type Tenants = Arc<[TenantId]>;

/// How many queries run and wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueueBounds {
    /// Most that run at a time, at least one.
    pub(crate) running_max: usize,
    /// Most of a tenant that wait.
    pub(crate) waiting_max: usize,
    /// Places kept for tenants that run nothing, fewer than `running_max`.
    pub(crate) kept_free: usize,
}

/// The queries that wait, by tenant.
pub(crate) type Lengths = Family<OfTenants, Gauge>;

/// Tenants as a metric's label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OfTenants {
    tenant: String,
}

/// Gives turns. A cheap handle.
#[derive(Clone)]
pub(crate) struct Queue {
    inner: Arc<Inner>,
}

struct Inner {
    bounds: QueueBounds,
    state: Mutex<State>,
    lengths: Lengths,
}

#[derive(Default)]
struct State {
    in_use: usize,
    running: HashMap<Tenants, usize>,
    /// The tenants with waiting queries; the first has the next turn.
    lanes: VecDeque<Lane>,
    entered: u64,
}

struct Lane {
    tenants: Tenants,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    id: u64,
    wake: oneshot::Sender<Turn>,
}

/// The tenant has as many waiting queries as it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueueFull;

/// A place among the running queries; given back when dropped.
pub(crate) struct Turn {
    queue: Queue,
    tenants: Tenants,
}

impl Queue {
    /// An empty queue. What waits shows in `lengths`.
    pub(crate) fn new(bounds: QueueBounds, lengths: Lengths) -> Self {
        let running_max = bounds.running_max.max(1);
        let bounds = QueueBounds { running_max, kept_free: bounds.kept_free.min(running_max - 1), ..bounds };
        Queue { inner: Arc::new(Inner { bounds, state: Mutex::default(), lengths }) }
    }

    /// Waits for a turn. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// [`QueueFull`], at once.
    pub(crate) async fn turn(&self, tenants: &Tenants) -> Result<Turn, QueueFull> {
        let (id, woken) = {
            let mut state = self.inner.state.lock();
            if state.admits(&self.inner.bounds, tenants) {
                return Ok(self.start(&mut state, tenants));
            }
            self.enter(&mut state, tenants)?
        };
        let _waits = Waits { queue: self, tenants, id };
        woken.await.map_err(|_| QueueFull)
    }

    fn start(&self, state: &mut State, tenants: &Tenants) -> Turn {
        state.in_use += 1;
        *state.running.entry(tenants.clone()).or_default() += 1;
        Turn { queue: self.clone(), tenants: tenants.clone() }
    }

    fn enter(&self, state: &mut State, tenants: &Tenants) -> Result<(u64, oneshot::Receiver<Turn>), QueueFull> {
        let at = state.lanes.iter().position(|lane| lane.tenants == *tenants);
        if at.map_or(0, |at| state.lanes[at].waiting.len()) >= self.inner.bounds.waiting_max {
            return Err(QueueFull);
        }
        let at = at.unwrap_or_else(|| {
            state.lanes.push_back(Lane { tenants: tenants.clone(), waiting: VecDeque::new() });
            state.lanes.len() - 1
        });
        let (wake, woken) = oneshot::channel();
        state.entered += 1;
        let id = state.entered;
        state.lanes[at].waiting.push_back(Waiting { id, wake });
        self.show(&state.lanes[at]);
        Ok((id, woken))
    }

    /// Gives free places to those whose turn it is.
    fn give(&self) {
        loop {
            let (wake, turn) = {
                let mut state = self.inner.state.lock();
                let Some(at) = state.lanes.iter().position(|lane| state.admits(&self.inner.bounds, &lane.tenants)) else { return };
                let Some(mut lane) = state.lanes.remove(at) else { return };
                let next = lane.waiting.pop_front();
                self.show(&lane);
                let tenants = lane.tenants.clone();
                if !lane.waiting.is_empty() {
                    state.lanes.push_back(lane);
                }
                let Some(next) = next else { continue };
                (next.wake, self.start(&mut state, &tenants))
            };
            // Who has just given up waiting lets the turn drop, which comes back here.
            drop(wake.send(turn));
        }
    }

    fn leave(&self, tenants: &Tenants, id: u64) {
        let mut state = self.inner.state.lock();
        let Some(at) = state.lanes.iter().position(|lane| lane.tenants == *tenants) else { return };
        let lane = &mut state.lanes[at];
        lane.waiting.retain(|waiting| waiting.id != id);
        self.show(lane);
        if lane.waiting.is_empty() {
            state.lanes.remove(at);
        }
    }

    fn show(&self, lane: &Lane) {
        let names: Vec<&str> = lane.tenants.iter().map(TenantId::as_str).collect();
        let label = OfTenants { tenant: names.join("|") };
        match lane.waiting.len() {
            // Only tenants that wait have a line.
            0 => drop(self.inner.lengths.remove(&label)),
            waiting => drop(self.inner.lengths.get_or_create(&label).set(waiting as i64)),
        }
    }
}

impl State {
    /// Whether a query of these tenants may start.
    fn admits(&self, bounds: &QueueBounds, tenants: &Tenants) -> bool {
        let open = bounds.running_max - self.in_use;
        open > bounds.kept_free || (open > 0 && !self.running.contains_key(tenants))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        {
            let mut state = self.queue.inner.state.lock();
            state.in_use -= 1;
            if let Some(running) = state.running.get_mut(&self.tenants) {
                *running -= 1;
                if *running == 0 {
                    state.running.remove(&self.tenants);
                }
            }
        }
        self.queue.give();
    }
}

/// A query that waits; it leaves the queue when it is dropped.
struct Waits<'a> {
    queue: &'a Queue,
    tenants: &'a Tenants,
    id: u64,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.queue.leave(self.tenants, self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use futures::future::BoxFuture;
    use proptest::prelude::*;

    fn tenants(names: &[&str]) -> Tenants {
        names.iter().map(|name| TenantId::parse(name).expect("valid")).collect()
    }

    type Asked = BoxFuture<'static, Result<Turn, QueueFull>>;

    fn ask(queue: &Queue, tenants: &Tenants) -> Asked {
        let (queue, tenants) = (queue.clone(), tenants.clone());
        async move { queue.turn(&tenants).await }.boxed()
    }

    fn queue(running_max: usize, waiting_max: usize, kept_free: usize) -> Queue {
        Queue::new(QueueBounds { running_max, waiting_max, kept_free }, Lengths::default())
    }

    fn turn(asked: &mut Asked) -> Option<Turn> {
        asked.now_or_never().map(|turn| turn.expect("the queue is not full"))
    }

    #[test]
    fn one_query_does_not_wait_behind_a_hundred_of_another() {
        let queue = queue(2, 1000, 0);
        let (busy, quiet) = (tenants(&["busy"]), tenants(&["quiet"]));
        let mut many: Vec<Asked> = (0..100).map(|_| ask(&queue, &busy)).collect();
        let mut running: Vec<Turn> = many.iter_mut().filter_map(turn).collect();
        assert_eq!(running.len(), 2);
        let mut one = ask(&queue, &quiet);
        assert!(turn(&mut one).is_none());
        running.pop();
        // The place went to the busy tenant, whose turn it was before the other came.
        assert!(many[2..].iter_mut().find_map(turn).map(|turn| running.push(turn)).is_some() && turn(&mut one).is_none());
        running.pop();
        assert!(turn(&mut one).is_some());
    }

    #[test]
    fn a_place_is_kept_for_tenants_that_run_nothing() {
        let queue = queue(3, 1000, 1);
        let (busy, quiet) = (tenants(&["busy"]), tenants(&["busy", "quiet"]));
        let mut many: Vec<Asked> = (0..10).map(|_| ask(&queue, &busy)).collect();
        let running: Vec<Turn> = many.iter_mut().filter_map(turn).collect();
        assert_eq!(running.len(), 2);
        let kept = turn(&mut ask(&queue, &quiet));
        assert!(kept.is_some() && turn(&mut ask(&queue, &tenants(&["third"]))).is_none());
        drop(running);
        assert_eq!(many[2..].iter_mut().filter_map(turn).collect::<Vec<_>>().len(), 1, "one of three runs, one is kept free");
    }

    #[test]
    fn who_gives_up_leaves_at_once_and_a_full_queue_refuses() {
        let queue = queue(1, 2, 0);
        let (a, b) = (tenants(&["a"]), tenants(&["b"]));
        let running = turn(&mut ask(&queue, &a));
        let (mut first, mut second) = (ask(&queue, &a), ask(&queue, &a));
        assert!(turn(&mut first).is_none() && turn(&mut second).is_none());
        assert!(matches!(ask(&queue, &a).now_or_never(), Some(Err(QueueFull))));
        let mut other = ask(&queue, &b);
        assert!(turn(&mut other).is_none(), "the bound is that of each tenant");
        drop(first);
        let mut third = ask(&queue, &a);
        assert!(turn(&mut third).is_none());
        // A turn that was given and not taken goes to the next.
        drop(running);
        drop(second);
        assert!(turn(&mut other).is_some());
        assert!(turn(&mut third).is_some());
        assert!(queue.inner.state.lock().lanes.is_empty());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Ask(usize),
        GiveUp(usize),
        Finish(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![3 => (0usize..4).prop_map(Step::Ask), 1 => (0usize..20).prop_map(Step::GiveUp), 2 => (0usize..20).prop_map(Step::Finish)];
        proptest::collection::vec(step, 0..120)
    }

    proptest! {
        #![proptest_config(skald_testkit::property(128))]

        #[test]
        fn bounds_hold_and_everyone_gets_a_turn(steps in steps(), running_max in 1usize..5, waiting_max in 0usize..6, kept_free in 0usize..2) {
            let queue = queue(running_max, waiting_max, kept_free);
            let kept_free = kept_free.min(running_max - 1);
            let all: Vec<Tenants> = ["a", "b", "c", "d"].iter().map(|name| tenants(&[name])).collect();
            let (mut waiting, mut running): (Vec<(usize, Asked)>, Vec<(usize, Turn)>) = (Vec::new(), Vec::new());
            let collect = |waiting: &mut Vec<(usize, Asked)>, running: &mut Vec<(usize, Turn)>| {
                waiting.retain_mut(|(tenant, asked)| match turn(asked) {
                    Some(turn) => {
                        running.push((*tenant, turn));
                        false
                    }
                    None => true,
                });
            };
            for step in steps {
                match step {
                    Step::Ask(tenant) => {
                        let mut asked = ask(&queue, &all[tenant]);
                        let waits = waiting.iter().filter(|(of, _)| *of == tenant).count();
                        match (&mut asked).now_or_never() {
                            Some(Ok(turn)) => running.push((tenant, turn)),
                            Some(Err(QueueFull)) => prop_assert!(waits >= waiting_max),
                            None => {
                                prop_assert!(waits < waiting_max);
                                waiting.push((tenant, asked));
                            }
                        }
                    }
                    Step::GiveUp(at) if at < waiting.len() => drop(waiting.remove(at)),
                    Step::Finish(at) if at < running.len() => drop(running.remove(at)),
                    _ => {}
                }
                collect(&mut waiting, &mut running);
                prop_assert!(running.len() <= running_max);
                let open = running_max - running.len();
                for (tenant, _) in &waiting {
                    let runs = running.iter().any(|(of, _)| of == tenant);
                    prop_assert!(open <= kept_free && (open == 0 || runs), "a place is free and tenant {} waits", tenant);
                }
            }
            // From here nobody asks: as queries finish everyone who waits gets a turn, and no tenant twice before another once.
            while !waiting.is_empty() {
                prop_assert!(!running.is_empty());
                drop(running.remove(0));
                let before: Vec<usize> = waiting.iter().map(|(tenant, _)| *tenant).collect();
                let known = running.len();
                collect(&mut waiting, &mut running);
                prop_assert!(running.len() <= running_max);
                let started: Vec<usize> = running[known..].iter().map(|(tenant, _)| *tenant).collect();
                let idle = |tenant: &usize| before.contains(tenant) && !started.contains(tenant);
                for (i, tenant) in started.iter().enumerate() {
                    let again = started[..i].contains(tenant);
                    prop_assert!(!again || (0..4).all(|other| !idle(&other) || running[..known].iter().any(|(of, _)| *of == other)));
                }
            }
            drop(running);
            prop_assert_eq!(queue.inner.state.lock().in_use, 0);
            prop_assert!(queue.inner.state.lock().running.is_empty());
        }
    }
}
