use super::batch::Batch;
use super::courier::{Courier, Ended, stopped};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use skald_pipeline::Text;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Most batches that a client has taken from the spool and not settled: some 60 bytes each.
pub(crate) const READ_AHEAD_MAX: usize = 32_768;

/// Sends all batches that `courier`'s source gives until there are no more, or the agent stops.
///
/// Batches of one tenant go one after the other, so that the entries of a stream keep their order; tenants do not wait for each other.
pub(crate) async fn run(courier: Arc<Courier>) {
    let mut lanes = Lanes { courier: &courier, queues: HashMap::new(), running: FuturesUnordered::new(), pending: 0 };
    let mut stop = courier.stop_signal();
    let mut reading = Some(courier.source.next());
    loop {
        let room = lanes.pending < READ_AHEAD_MAX;
        tokio::select! {
            biased;
            () = stopped(&mut stop), if reading.is_some() => {
                reading = None;
                lanes.forget_queues();
            }
            Some((batch, ended)) = lanes.running.next(), if !lanes.running.is_empty() => lanes.ended(batch, ended),
            batch = async { reading.as_mut().expect("asked only while reading").await }, if room && reading.is_some() => match batch {
                Some(batch) => {
                    lanes.add(batch);
                    reading = Some(courier.source.next());
                }
                None => reading = None,
            },
            else => return,
        }
    }
}

/// The batches of one client that are being sent, and those that wait for their turn.
struct Lanes<'a> {
    courier: &'a Courier,
    /// For each tenant with a batch on its way those behind it.
    queues: HashMap<Option<Text>, VecDeque<Batch>>,
    running: FuturesUnordered<BoxFuture<'a, (Batch, Ended)>>,
    pending: usize,
}

impl Lanes<'_> {
    fn add(&mut self, batch: Batch) {
        self.count(1, &batch);
        match self.queues.get_mut(&self.courier.tenant_of(&batch)) {
            Some(queue) => queue.push_back(batch),
            None => {
                self.queues.insert(self.courier.tenant_of(&batch), VecDeque::new());
                self.start(batch);
            }
        }
    }

    fn start(&mut self, batch: Batch) {
        let courier = self.courier;
        self.running.push(Box::pin(async move {
            let ended = courier.deliver(&batch).await;
            (batch, ended)
        }));
    }

    fn ended(&mut self, batch: Batch, ended: Ended) {
        self.count(-1, &batch);
        if ended == Ended::Settled {
            self.courier.source.ack(&batch);
        }
        let tenant = self.courier.tenant_of(&batch);
        match self.queues.get_mut(&tenant).and_then(VecDeque::pop_front) {
            Some(next) => self.start(next),
            None => {
                self.queues.remove(&tenant);
            }
        }
    }

    /// What was not begun stays in the spool.
    fn forget_queues(&mut self) {
        let waiting: Vec<Batch> = self.queues.values_mut().flat_map(|queue| queue.drain(..)).collect();
        waiting.iter().for_each(|batch| self.count(-1, batch));
    }

    fn count(&mut self, batches: isize, batch: &Batch) {
        self.pending = self.pending.strict_add_signed(batches);
        self.courier.metrics.pending(batches as i64, batches as i64 * batch.entries as i64);
    }
}
