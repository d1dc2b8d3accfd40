use super::batch::{Batch, BatchSource};
use super::courier::{Courier, Ended, stopped};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use skald_pipeline::Text;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Most batches that a client has taken from the spool and not settled: some hundred bytes each.
pub(crate) const READ_AHEAD_MAX: usize = 16_384;

/// Sends all batches of `source` until there are no more, or the agent stops.
///
/// Batches of one tenant go one after the other, so that the entries of a stream keep their order; tenants do not wait for each other.
pub(crate) async fn run(courier: Arc<Courier>, mut source: Box<dyn BatchSource>) {
    let mut lanes = Lanes { courier: &courier, queues: HashMap::new(), running: FuturesUnordered::new(), pending: 0 };
    let mut stop = courier.stop_signal();
    let mut reading = true;
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop), if reading => {
                reading = false;
                lanes.forget_queues();
            }
            Some((batch, ended)) = lanes.running.next() => lanes.ended(&*batch, ended),
            next = source.next(), if reading && lanes.pending < READ_AHEAD_MAX => match next {
                Some(batch) => lanes.add(batch),
                None => reading = false,
            },
            else => return,
        }
    }
}

/// The batches of one client that are being sent, and those that wait for their turn.
struct Lanes<'a> {
    courier: &'a Courier,
    /// For each tenant with a batch on its way those behind it.
    queues: HashMap<Option<Text>, VecDeque<Box<dyn Batch>>>,
    running: FuturesUnordered<BoxFuture<'a, (Box<dyn Batch>, Ended)>>,
    pending: usize,
}

impl Lanes<'_> {
    fn add(&mut self, batch: Box<dyn Batch>) {
        self.count(1, &*batch);
        match self.queues.entry(self.courier.tenant_of(&*batch)) {
            Entry::Occupied(mut queue) => queue.get_mut().push_back(batch),
            Entry::Vacant(lane) => {
                lane.insert(VecDeque::new());
                self.start(batch);
            }
        }
    }

    fn start(&mut self, batch: Box<dyn Batch>) {
        let courier = self.courier;
        self.running.push(Box::pin(async move {
            let ended = courier.deliver(&*batch).await;
            (batch, ended)
        }));
    }

    fn ended(&mut self, batch: &dyn Batch, ended: Ended) {
        self.count(-1, batch);
        if ended == Ended::Settled {
            batch.ack();
        }
        let tenant = self.courier.tenant_of(batch);
        match self.queues.get_mut(&tenant).and_then(VecDeque::pop_front) {
            Some(next) => self.start(next),
            None => {
                self.queues.remove(&tenant);
            }
        }
    }

    /// What was not begun stays in the spool.
    fn forget_queues(&mut self) {
        let waiting: Vec<_> = self.queues.values_mut().flat_map(|queue| queue.drain(..)).collect();
        waiting.iter().for_each(|batch| self.count(-1, &**batch));
    }

    fn count(&mut self, batches: isize, batch: &dyn Batch) {
        self.pending = self.pending.strict_add_signed(batches);
        self.courier.metrics.pending(batches as i64, batches as i64 * batch.entries() as i64);
    }
}
