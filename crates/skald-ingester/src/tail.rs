//! Who follows which streams, and what waits for each of them.

use crate::commit::PendingStream;
use crate::metrics::Metrics;
use futures::stream::{self, StreamExt};
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;
use skald_model::TenantId;
use skald_rpc::{LabelMatcher, TailBatch, TailRows, TailStream};
use std::sync::Arc;
use tokio::sync::Notify;

/// Entries that wait for one reader at most, beside a push that alone has more.
const QUEUED_ENTRIES_MAX: usize = 32 << 10;
/// Bytes of memory that wait for one reader at most, beside a push that alone has more.
const QUEUED_BYTES_MAX: usize = 8 << 20;

/// The readers of all tenants.
///
/// The commit thread publishes; it takes a lock that only the coming and going of readers holds otherwise, and a lock of each reader that wants the
/// stream. What a reader has no room for is counted and left out.
pub(crate) struct Tails {
    readers: RwLock<Readers>,
    metrics: Metrics,
}

#[derive(Default)]
struct Readers {
    by_tenant: FxHashMap<TenantId, Vec<Arc<Reader>>>,
    closed: bool,
}

struct Reader {
    matcher: Arc<dyn LabelMatcher>,
    queue: Mutex<Queue>,
    changed: Notify,
    metrics: Metrics,
}

#[derive(Default)]
struct Queue {
    batch: TailBatch,
    entries: usize,
    bytes: usize,
    closed: bool,
}

impl Tails {
    pub(crate) fn new(metrics: Metrics) -> Self {
        Tails { readers: RwLock::default(), metrics }
    }

    /// Hands durable rows, which stand in the memtable already, to those who want them.
    ///
    /// In that order: who subscribes too late for these rows finds them in the memtable afterwards.
    pub(crate) fn publish(&self, tenant: &TenantId, streams: &[PendingStream]) {
        let readers = self.readers.read();
        for reader in readers.by_tenant.get(tenant).into_iter().flatten() {
            for stream in streams.iter().filter(|stream| reader.matcher.matches(&stream.labels)) {
                reader.offer(stream);
            }
        }
    }

    /// Follows what is published from now on; nothing when the ingester stops.
    pub(crate) fn subscribe(self: &Arc<Self>, tenant: &TenantId, matcher: Arc<dyn LabelMatcher>) -> Option<TailStream> {
        let reader = Arc::new(Reader { matcher, queue: Mutex::default(), changed: Notify::new(), metrics: self.metrics.clone() });
        {
            let mut readers = self.readers.write();
            if readers.closed {
                return None;
            }
            readers.by_tenant.entry(tenant.clone()).or_default().push(reader.clone());
        }
        self.metrics.tail_readers.inc();
        let subscription = Subscription { tails: self.clone(), tenant: tenant.clone(), reader };
        let next = |subscription: Subscription| async move { subscription.reader.next().await.map(|batch| (Ok(batch), subscription)) };
        Some(stream::unfold(subscription, next).boxed())
    }

    /// Ends all streams once what waits is read, and takes no more readers.
    pub(crate) fn close(&self) {
        let mut readers = self.readers.write();
        readers.closed = true;
        for reader in readers.by_tenant.values().flatten() {
            reader.queue.lock().closed = true;
            reader.changed.notify_one();
        }
    }
}

impl Reader {
    fn offer(&self, stream: &PendingStream) {
        let (entries, bytes) = (stream.rows.len(), stream.rows.heap_bytes());
        let mut queue = self.queue.lock();
        let fits = queue.entries + entries <= QUEUED_ENTRIES_MAX && queue.bytes + bytes <= QUEUED_BYTES_MAX;
        if fits || queue.entries == 0 {
            queue.batch.rows.push(TailRows { labels: stream.labels.clone(), rows: stream.rows.clone() });
            queue.entries += entries;
            queue.bytes += bytes;
            self.metrics.tail_queue_bytes.inc_by(bytes as i64);
        } else {
            queue.batch.missed.add_rows(&stream.labels, &stream.rows);
            self.metrics.tail_missed_entries.inc_by(entries as u64);
        }
        drop(queue);
        self.changed.notify_one();
    }

    /// Everything that waits, as soon as something does; nothing once closed.
    async fn next(&self) -> Option<TailBatch> {
        loop {
            {
                let mut queue = self.queue.lock();
                if !queue.batch.rows.is_empty() || !queue.batch.missed.is_empty() {
                    return Some(self.take(&mut queue));
                }
                if queue.closed {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    fn take(&self, queue: &mut Queue) -> TailBatch {
        self.metrics.tail_queue_bytes.dec_by(queue.bytes as i64);
        (queue.entries, queue.bytes) = (0, 0);
        std::mem::take(&mut queue.batch)
    }
}

/// A reader for as long as somebody reads.
struct Subscription {
    tails: Arc<Tails>,
    tenant: TenantId,
    reader: Arc<Reader>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut readers = self.tails.readers.write();
        if let Some(of_tenant) = readers.by_tenant.get_mut(&self.tenant) {
            of_tenant.retain(|reader| !Arc::ptr_eq(reader, &self.reader));
            if of_tenant.is_empty() {
                readers.by_tenant.remove(&self.tenant);
            }
        }
        drop(readers);
        self.tails.metrics.tail_readers.dec();
        // Nobody offers to a reader that is not in the list.
        self.reader.take(&mut self.reader.queue.lock());
    }
}

#[cfg(test)]
mod tests;
