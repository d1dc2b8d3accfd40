//! From the queue on the local disk to the remote store.
//!
//! Objects of one table, retention class and disk are a group. A group is due when it holds [`UploadSettings::target_size`] or its oldest object has waited
//! [`UploadSettings::max_delay`]. Its objects are **joined** into one, which names them as replaced; that one is put, the catalogue swaps it for them in one
//! step, and their files go once no query reads them. One object alone is put as it is, under its own name.
//!
//! A put that failed may have been done. So the next attempt puts the same object: whatever was tried is tried again with the same members, until it
//! is known to be there. "The name is taken" means that, if the digest of the rows is the same; else the next name is tried.
//! A crash between any two steps leaves objects whose rows stand in the store as well; [`settle`] takes these out of the queue at the next start.
//!
//! An object is not uploaded before the log of its generation is gone. So nothing is ever flushed under the name of an object that was joined.

mod footer;
mod group;
mod join;
mod metrics;
mod settle;
#[cfg(test)]
mod tests;

pub use metrics::UploadMetrics;
pub use settle::{Settled, settle};

use crate::chain::chain;
use crate::tier::{Queued, Tier};
use crate::{Catalog, DataObject, ObjectName, ObjectStore, StoreError};
use bytes::Bytes;
use footer::{footer_of, stored_footer};
use futures::channel::oneshot;
use futures::future::select;
use futures::stream::StreamExt;
use group::{Batch, Due, GroupId, batches, group_of, joined_name};
use parking_lot::Mutex;
use skald_block::{JoinError, RowDigest};
use skald_model::seam::{Seams, Stopped, run_on_pool};
use skald_model::{DiskId, ErrorKind, Generation};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tracing::{debug, info, warn};

/// Uploads at a time. Each holds an object of the target size in memory, or one queued object that is larger.
const UPLOADS_MAX: usize = 2;
/// Time between looks at the queue.
const TICK: Duration = Duration::from_secs(10);
/// How long a group whose upload failed is left alone: at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));
/// Names tried for an object whose first name another object has.
const ATTEMPTS_MAX: u32 = 16;

/// When to upload.
#[derive(Debug, Clone)]
pub struct UploadSettings {
    /// Stored bytes of a group at which it is uploaded, and at which it is cut.
    pub target_size: u64,
    /// Longest time that an object waits for others of its group.
    pub max_delay: Duration,
}

/// What an uploader is made of.
pub struct UploadParts {
    /// Clock, pool and the like.
    pub seams: Seams,
    /// When to upload.
    pub settings: UploadSettings,
    /// The queue, and the store behind it.
    pub tier: Tier,
    /// Where uploaded objects take the place of queued ones.
    pub catalog: Arc<Catalog>,
    /// Identity of this disk.
    pub disk_id: DiskId,
    /// The oldest generation of this disk whose log is still there; `None` when there is none.
    pub oldest_in_log: Arc<dyn Fn() -> Option<Generation> + Send + Sync>,
    /// Metrics, registered.
    pub metrics: UploadMetrics,
}

/// Uploads what is queued. A cheap handle of a task that runs as long as the process.
#[derive(Clone)]
pub struct Uploader(Arc<Inner>);

struct Inner {
    parts: UploadParts,
    pauses: Mutex<HashMap<GroupId, Pause>>,
    /// Objects that the store may have since their put began, and the paths of their members.
    tried: Mutex<BTreeMap<ObjectName, Vec<String>>>,
    /// Objects that could not be joined, since they are damaged: they are uploaded as they are.
    alone: Mutex<HashSet<String>>,
    asked: Mutex<Vec<oneshot::Sender<usize>>>,
    wake: Notify,
    started: AtomicBool,
}

/// How long a group is left alone.
struct Pause {
    until: Duration,
    next: Duration,
}

/// Why an object was not uploaded.
#[derive(Debug, thiserror::Error)]
enum UploadError {
    #[error("read a queued data object")]
    Queue(#[source] StoreError),
    #[error("join data objects of the queue")]
    Join(#[source] JoinError),
    #[error("put data object '{name}'")]
    Put {
        name: String,
        #[source]
        source: StoreError,
    },
    #[error("compare with data object '{name}', which is in the store already")]
    Compare {
        name: String,
        #[source]
        source: StoreError,
    },
    #[error("'{0}' and its successors are taken by other objects")]
    NamesTaken(String),
    #[error("uploading was stopped")]
    Stopped,
}

impl UploadError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Queue(source) | Self::Put { source, .. } | Self::Compare { source, .. } => source.kind(),
            Self::Join(source) => source.kind(),
            Self::NamesTaken(_) => ErrorKind::Internal,
            Self::Stopped => ErrorKind::Unavailable,
        }
    }
}

impl Uploader {
    /// Joins the parts. Nothing is uploaded before [`Uploader::start`].
    pub fn new(parts: UploadParts) -> Self {
        Uploader(Arc::new(Inner {
            parts,
            pauses: Mutex::default(),
            tried: Mutex::default(),
            alone: Mutex::default(),
            asked: Mutex::default(),
            wake: Notify::new(),
            started: AtomicBool::new(false),
        }))
    }

    /// Starts the task: once what the log held is in memory again, so that it is known of what the log is still there.
    pub fn start(&self) {
        self.0.started.store(true, Ordering::Release);
        let task = self.clone();
        self.0.parts.seams.spawner.spawn("uploader", Box::pin(async move { task.0.run().await }));
    }

    /// Tries at once to upload everything that is queued and whose log is gone. Gives how many objects are left.
    pub async fn flush_all(&self) -> usize {
        if !self.0.started.load(Ordering::Acquire) {
            return self.0.parts.tier.queued().len();
        }
        let (done, wait) = oneshot::channel();
        self.0.asked.lock().push(done);
        self.0.wake.notify_one();
        wait.await.unwrap_or_else(|_| self.0.parts.tier.queued().len())
    }
}

impl Inner {
    async fn run(&self) {
        loop {
            let asked = std::mem::take(&mut *self.asked.lock());
            self.pass(!asked.is_empty()).await;
            self.parts.tier.tend().await;
            let left = self.parts.tier.queued().len();
            // Who stopped waiting need not know.
            for asked in asked {
                let _ = asked.send(left);
            }
            let (wake, queued) = (pin!(self.wake.notified()), pin!(self.parts.tier.wait_for_queued()));
            select(select(wake, queued), self.parts.seams.clock.sleep(TICK)).await;
        }
    }

    /// Uploads what is due.
    async fn pass(&self, all: bool) {
        let due = self.due(all);
        if due.is_empty() {
            return;
        }
        futures::stream::iter(due).for_each_concurrent(UPLOADS_MAX, |batch| self.attempt(batch)).await;
        if let Err(error) = self.parts.catalog.sweep().await {
            debug!(%error, "cannot delete objects that were replaced, trying again later");
        }
    }

    fn due(&self, all: bool) -> Vec<Batch> {
        let in_log = (self.parts.oldest_in_log)();
        let flushed = |object: &Queued| object.name.last_generation(self.parts.disk_id).zip(in_log).is_none_or(|(of, in_log)| of < in_log);
        let queued: Vec<Queued> = self.parts.tier.queued().into_iter().filter(flushed).collect();
        // The queue may be long: it is looked through once, whatever there is to compare it with.
        let by_path: HashMap<&str, &Queued> = queued.iter().map(|object| (object.path.as_str(), object)).collect();
        self.alone.lock().retain(|path| by_path.contains_key(path.as_str()));
        let mut pauses = self.pauses.lock();
        if !pauses.is_empty() {
            let groups: HashSet<GroupId> = queued.iter().filter_map(|object| Some(group_of(&object.name)?.0)).collect();
            pauses.retain(|id, _| groups.contains(id));
        }
        let now = self.parts.seams.clock.monotonic();
        let rests = |id: &GroupId| !all && pauses.get(id).is_some_and(|pause| now < pause.until);
        let tried = self.tried_again(&by_path);
        let of_tried: HashSet<&str> = tried.iter().flat_map(|batch| &batch.members).map(|member| member.path.as_str()).collect();
        let rest = queued.iter().filter(|object| !of_tried.contains(object.path.as_str())).cloned().collect();
        let alone = self.alone.lock();
        let UploadSettings { target_size, max_delay } = self.parts.settings;
        let due = batches(rest, &Due { target_size, max_delay, now: self.parts.seams.clock.now(), all, alone: &alone });
        tried.into_iter().chain(due).filter(|batch| !rests(&batch.id)).collect()
    }

    /// What was tried, with those members that are still there, in the order of the first attempt: so the bytes are the same.
    fn tried_again(&self, queued: &HashMap<&str, &Queued>) -> Vec<Batch> {
        let mut tried = self.tried.lock();
        let of = |members: &[String]| members.iter().filter_map(|path| queued.get(path.as_str()).copied().cloned()).collect::<Vec<_>>();
        // Nobody wants the rows of an object all of whose members are gone: they were removed.
        let gone = tried.extract_if(.., |_, members| of(members).is_empty());
        gone.for_each(|(name, _)| self.parts.catalog.discard(name));
        let batch = |(name, members): (&ObjectName, &Vec<String>)| Some(Batch { id: group_of(name)?.0, members: of(members) });
        tried.iter().filter_map(batch).collect()
    }

    /// Uploads a batch; one that fails rests, and nothing else does.
    async fn attempt(&self, batch: Batch) {
        let started = self.parts.seams.clock.monotonic();
        let bytes = batch.bytes() as i64;
        self.parts.metrics.memory.inc_by(bytes);
        let done = self.upload(&batch).await;
        self.parts.metrics.memory.dec_by(bytes);
        let now = self.parts.seams.clock.monotonic();
        match done {
            Ok(()) => {
                self.pauses.lock().remove(&batch.id);
                self.parts.metrics.seconds.observe((now - started).as_secs_f64());
            }
            Err(error) => {
                self.parts.metrics.failures.inc();
                let mut pauses = self.pauses.lock();
                let pause = pauses.entry(batch.id.clone()).or_insert(Pause { until: now, next: PAUSE.0 });
                pause.until = now + pause.next;
                pause.next = (pause.next * 2).min(PAUSE.1);
                let objects = batch.members.len();
                warn!(table = %batch.id.table, objects, kind = ?error.kind(), error = chain(&error), "upload failed, trying again later");
            }
        }
    }

    async fn upload(&self, batch: &Batch) -> Result<(), UploadError> {
        let UploadParts { tier, catalog, metrics, .. } = &self.parts;
        // An earlier process may have removed the day, and left its queue. Only the manifest tells.
        catalog.table(&batch.id.table).await;
        // While these are held nothing of them is deleted.
        let names: HashSet<&str> = batch.members.iter().map(|member| member.path.as_str()).collect();
        let objects = catalog.live_of(&batch.id.table, &names);
        let is_live = |member: &Queued| objects.iter().any(|object| object.path == member.path);
        let batch = Batch { id: batch.id.clone(), members: batch.members.iter().filter(|member| is_live(member)).cloned().collect() };
        let members: Vec<ObjectName> = batch.members.iter().map(|member| member.name.clone()).collect();
        let name = joined_name(&members);
        self.discard_others(&names, name.as_ref());
        let Some(name) = name else { return Ok(()) };
        let (bytes, digest) = self.prepare(&batch, &name).await?;
        let paths = batch.members.iter().map(|member| member.path.clone()).collect();
        self.tried.lock().insert(name.clone(), paths);
        let stored = self.put(&batch, name.clone(), &bytes, digest).await?;
        self.tried.lock().remove(&name);
        let path = stored.to_string();
        tier.keep(&path, bytes.clone()).await;
        self.swap(&objects, stored, bytes.len() as u64).await?;
        metrics.objects.inc();
        metrics.bytes.inc_by(bytes.len() as u64);
        if objects.len() > 1 {
            metrics.joined.inc_by(objects.len() as u64);
        }
        info!(name = path, objects = objects.len(), bytes = bytes.len(), "uploaded a data object");
        Ok(())
    }

    /// What was tried of these objects under another name than `name` had members that are no longer live: its rows were removed, nobody wants it.
    fn discard_others(&self, members: &HashSet<&str>, name: Option<&ObjectName>) {
        let is_other =
            |tried: &ObjectName, of: &mut Vec<String>| Some(tried) != name && of.iter().any(|path| members.contains(path.as_str()));
        let others = self.tried.lock().extract_if(.., is_other).collect::<Vec<_>>();
        others.into_iter().for_each(|(name, _)| self.parts.catalog.discard(name));
    }

    /// The bytes to be put, and the digest of their rows. The digest of a damaged object is not known.
    async fn prepare(&self, batch: &Batch, name: &ObjectName) -> Result<(Bytes, Option<RowDigest>), UploadError> {
        let files = self.parts.tier.queue_files().clone();
        if let [member] = &batch.members[..] {
            let bytes = files.get_range(&member.path, 0..member.size).await.map_err(UploadError::Queue)?;
            let digest = footer_of(&bytes).ok().map(|footer| footer.summary.digest);
            return Ok((bytes, digest));
        }
        let (batch, name, unwanted) = (batch.clone(), name.clone(), Arc::new(AtomicBool::new(false)));
        let _wanted = Unwanted(unwanted.clone());
        let join = move || join::join(&batch, &name, &files, &unwanted);
        let joined = run_on_pool(self.parts.seams.cpu.as_ref(), join).await.map_err(|Stopped| UploadError::Stopped)?;
        let joined = joined.inspect_err(|error| {
            if let JoinError::Damaged { name, .. } | JoinError::Foreign { name, .. } = error {
                self.alone.lock().insert(name.clone());
            }
        });
        let joined = joined.map_err(UploadError::Join)?;
        Ok((joined.bytes, Some(joined.summary.digest)))
    }

    /// Puts an object that is to be called `name`; the name that it got.
    async fn put(&self, batch: &Batch, mut name: ObjectName, bytes: &Bytes, digest: Option<RowDigest>) -> Result<ObjectName, UploadError> {
        let tier = &self.parts.tier;
        for _ in 0..ATTEMPTS_MAX {
            let path = name.to_string();
            match tier.remote().put_if_absent(&path, bytes.clone()).await {
                Ok(()) => return Ok(name),
                Err(StoreError::AlreadyExists(_)) => {
                    let compare = |source| UploadError::Compare { name: path.clone(), source };
                    let theirs = stored_footer(tier.remote(), &path).await.map_err(compare)?;
                    if digest.is_some() && theirs.map(|footer| footer.summary.digest) == digest {
                        return Ok(name);
                    }
                    // It is not ours, whatever happened before.
                    tier.note_unclear(&path, false);
                    name = name.next_attempt();
                    while batch.members.iter().any(|member| member.name == name) {
                        name = name.next_attempt();
                    }
                }
                Err(source) => {
                    if !source.is_undone() {
                        tier.note_unclear(&path, true);
                    }
                    return Err(UploadError::Put { name: path, source });
                }
            }
        }
        Err(UploadError::NamesTaken(name.to_string()))
    }

    /// From now on readers take the stored object.
    async fn swap(&self, objects: &[Arc<DataObject>], stored: ObjectName, size: u64) -> Result<(), UploadError> {
        if let [object] = objects
            && object.name == stored
        {
            return self.parts.tier.dequeue(&object.path).await.map_err(UploadError::Queue);
        }
        if !self.parts.catalog.replace(objects, stored.clone(), size) {
            // Retention was faster: what it removed is not to come back.
            self.parts.catalog.discard(stored);
        }
        Ok(())
    }
}

/// Ends a join that nobody waits for any more.
struct Unwanted(Arc<AtomicBool>);

impl Drop for Unwanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
