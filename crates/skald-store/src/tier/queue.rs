use super::{TierMetrics, is_queueable};
use crate::{LocalStore, ObjectMeta, ObjectName, ObjectStore, StoreError};
use bytes::Bytes;
use parking_lot::Mutex;
use skald_model::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tracing::{info, warn};

/// An object that waits to be uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// What its name says.
    pub name: ObjectName,
    /// Its name.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Since when it waits.
    pub since: Timestamp,
}

/// Objects on the local disk that are not known to be in the remote store.
pub(super) struct Queue {
    files: Arc<LocalStore>,
    waiting: Mutex<BTreeMap<String, Waiting>>,
    came: Notify,
    metrics: TierMetrics,
}

struct Waiting {
    name: ObjectName,
    size: u64,
    since: Timestamp,
    /// An upload of it ended without an answer.
    unclear: bool,
}

impl Queue {
    pub(super) async fn open(files: LocalStore, metrics: TierMetrics) -> Result<Self, StoreError> {
        let queue = Queue { files: Arc::new(files), waiting: Mutex::default(), came: Notify::new(), metrics };
        for ObjectMeta { name, size, modified } in queue.files.list("").await? {
            if is_queueable(&name) {
                queue.add(&name, size, modified);
            } else if matches!(name.split('/').nth(2), Some("index" | "manifest")) {
                info!(name, "removing what tells of a store of local files alone");
                queue.files.delete(&name).await?;
            } else {
                warn!(name, "left alone a file that is not to be uploaded");
            }
        }
        Ok(queue)
    }

    fn add(&self, path: &str, size: u64, since: Timestamp) {
        let Ok(name) = path.parse::<ObjectName>() else { return };
        let mut waiting = self.waiting.lock();
        waiting.entry(path.to_owned()).or_insert(Waiting { name, size, since, unclear: false });
        drop(waiting);
        self.came.notify_one();
    }

    pub(super) fn files(&self) -> &Arc<LocalStore> {
        &self.files
    }

    pub(super) async fn wait(&self) {
        self.came.notified().await;
    }

    pub(super) async fn put_if_absent(&self, name: &str, bytes: Bytes, now: Timestamp) -> Result<(), StoreError> {
        let size = bytes.len() as u64;
        let put = self.files.put_if_absent(name, bytes).await;
        match &put {
            Ok(()) => self.add(name, size, now),
            // A put whose caller left may have gone on to its end.
            Err(StoreError::AlreadyExists(_)) if !self.holds(name) => {
                let found = self.files.list(folder_of(name)).await?.into_iter().find(|meta| meta.name == name);
                found.into_iter().for_each(|meta| self.add(name, meta.size, meta.modified));
            }
            Err(_) => {}
        }
        self.observe(now);
        put
    }

    pub(super) fn holds(&self, name: &str) -> bool {
        self.waiting.lock().contains_key(name)
    }

    /// Of a queued object, whether an upload of it ended without an answer.
    pub(super) fn unclear(&self, name: &str) -> Option<bool> {
        self.waiting.lock().get(name).map(|waiting| waiting.unclear)
    }

    pub(super) fn note_unclear(&self, name: &str, unclear: bool) {
        if let Some(waiting) = self.waiting.lock().get_mut(name) {
            waiting.unclear = unclear;
        }
    }

    pub(super) fn all(&self) -> Vec<Queued> {
        let waiting = self.waiting.lock();
        let queued = |(path, waiting): (&String, &Waiting)| Queued {
            name: waiting.name.clone(),
            path: path.clone(),
            size: waiting.size,
            since: waiting.since,
        };
        waiting.iter().map(queued).collect()
    }

    pub(super) fn list(&self, prefix: &str) -> Vec<ObjectMeta> {
        let waiting = self.waiting.lock();
        let inside = waiting.range(prefix.to_owned()..).take_while(|(name, _)| name.starts_with(prefix));
        inside.map(|(name, waiting)| ObjectMeta { name: name.clone(), size: waiting.size, modified: waiting.since }).collect()
    }

    /// Removes the object itself: nothing else has its rows, and nobody wants them.
    pub(super) async fn delete(&self, name: &str) -> Result<(), StoreError> {
        // The file first: where that fails, it is still known to be there.
        self.files.delete(name).await?;
        self.waiting.lock().remove(name);
        Ok(())
    }

    /// Removes the object after its upload: from now on its name is that of the remote object.
    pub(super) async fn let_go(&self, name: &str) -> Result<(), StoreError> {
        // The name first: readers that come now find the remote object.
        self.waiting.lock().remove(name);
        self.files.delete(name).await
    }

    pub(super) fn observe(&self, now: Timestamp) {
        let waiting = self.waiting.lock();
        let oldest = waiting.values().map(|waiting| waiting.since).min();
        self.metrics.queue_objects.set(waiting.len() as i64);
        self.metrics.queue_bytes.set(waiting.values().map(|waiting| waiting.size).sum::<u64>() as i64);
        let age = oldest.map_or(Duration::ZERO, |oldest| age(oldest, now));
        self.metrics.queue_oldest_seconds.set(age.as_secs() as i64);
    }
}

/// Time since an instant; none where it lies ahead.
pub(crate) fn age(since: Timestamp, now: Timestamp) -> Duration {
    Duration::from_nanos(u64::try_from(now.0.saturating_sub(since.0)).unwrap_or(0))
}

/// The folder of an object, with its last `/`.
pub(crate) fn folder_of(name: &str) -> &str {
    name.rfind('/').map_or("", |slash| &name[..=slash])
}
