//! Which process owns a store that several could reach.
//!
//! An owner writes `~owner/<n>` with a number that nobody had before, and a beat into it every [`BEAT`]. The highest number owns. A starting process
//! takes the next number by put-if-absent
//! - at once where there is no owner, where the last one released the store when it stopped, or where it was this disk's: the lock on the data
//!   directory says that its process is gone;
//! - else when the owner was silent for three beats by the starter's own clock, while the store answered the starter. If the beat goes on, the owner
//!   lives, and the starter is refused.
//!
//! # What an owner does when the store fails
//!
//! It goes on. Two owners damage nothing: data objects carry the disk in their names, and manifests are put if absent, so that of two writers of one
//! number the second learns of the first. What two owners cost is that each does not see at once what the other flushed, and that both compact. An
//! owner that stopped whenever it could not write a beat for three of them would make every outage of the store one of Skald: pushes would be refused
//! that its own disk could have taken. So only the *sight of a higher number* ends an owner. It looks at every beat, before it writes its own;
//! one that was paused or cut off looks as soon as it can, and stops. For as long as it is cut off, it cannot write to the store either.
//!
//! A beat that arrives late, after the owner was taken over and its object removed, brings the object back. Its number is not the highest: it means
//! nothing, and the next owner removes it. One that arrives after the store was released lets the next process on another disk wait for three beats.

mod record;
#[cfg(test)]
mod tests;

pub use record::Holder;

use crate::within::within;
use crate::{ObjectStore, StoreError};
use futures::FutureExt;
use futures::future::select;
use record::{LEN, Record};
use skald_model::seam::{Clock, Seams, Spawner};
use skald_model::{DiskId, ErrorKind};
use std::error::Error;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify};
use tracing::{info, warn};

/// Folder of the owner objects.
pub const FOLDER: &str = "~owner/";
/// How often an owner says that it lives.
pub const BEAT: Duration = Duration::from_secs(30);
/// How long a silent owner counts as alive.
pub const SILENCE_MAX: Duration = Duration::from_secs(90);
/// Pause between two looks at another owner, and after the store failed.
const LOOK: Duration = Duration::from_secs(10);
/// Pause where another process was faster, or a listing behind.
const RACE: Duration = Duration::from_secs(1);
/// Time for one request. Two fit into a beat.
const PATIENCE: Duration = Duration::from_secs(15);

/// A process that owns a store. Made by [`Owner::take`], kept by [`Owner::keep`], given back by [`Owner::release`].
pub struct Owner {
    objects: Objects,
    spawner: Arc<dyn Spawner>,
    number: u64,
    /// Held while a beat is written, so that none is after the store was released.
    state: Mutex<State>,
    ended: Notify,
}

struct State {
    record: Record,
    /// Lost or released: nothing is written any more.
    is_over: bool,
}

/// What a starting process waits for.
#[derive(Debug)]
pub enum Waiting {
    /// The store does not answer.
    Store(StoreError),
    /// Another process owns the store; whether it lives is not known yet.
    Owner {
        /// Who.
        holder: Holder,
        /// How long nothing has been heard of it; after [`SILENCE_MAX`] it is taken for gone.
        silent_for: Duration,
    },
    /// Another process is starting on the store, too.
    Race,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => write!(f, "the object store does not say who owns it: {error}"),
            Self::Owner { holder, silent_for } => {
                write!(f, "{holder} did not release the object store; silent for {} of {} s", silent_for.as_secs(), SILENCE_MAX.as_secs())
            }
            Self::Race => f.write_str("another process is starting on the object store"),
        }
    }
}

/// Why a process does not own the store.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// Another process owns it, and lives.
    #[error("the object store is in use: {0} owns it and is alive")]
    Taken(Holder),
    /// An owner object is not one of ours.
    #[error("'{0}' does not say who owns the object store; remove it if no process uses the store")]
    Damaged(String),
    /// The store refused.
    #[error("find out who owns the object store")]
    Store(#[source] StoreError),
}

impl OwnerError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Taken(_) => ErrorKind::Unavailable,
            Self::Damaged(_) => ErrorKind::Corrupt,
            Self::Store(source) => source.kind(),
        }
    }
}

/// Another process has taken the store over: this one was silent for too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Number of its owner object.
    pub number: u64,
    /// Who it is, if that could be read.
    pub by: Option<Holder>,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.by {
            Some(holder) => write!(f, "{holder} has taken the object store over"),
            None => write!(f, "another process has taken the object store over (owner number {})", self.number),
        }
    }
}

impl Owner {
    /// Makes the process with the data directory `disk` on `host` the owner of `store`. Waits for as long as it must: for the store, and for another
    /// owner to be gone; `on_wait` hears of what, again and again.
    ///
    /// `store` should not be one that queries can fill or hold up: its beats would wait behind them. It needs no retries.
    ///
    /// # Errors
    /// [`OwnerError::Taken`] when the owner lives. When the store refuses, or holds an owner object that cannot be read.
    pub async fn take(
        store: Arc<dyn ObjectStore>,
        disk: DiskId,
        host: &str,
        seams: &Seams,
        mut on_wait: impl FnMut(&Waiting) + Send,
    ) -> Result<Arc<Self>, OwnerError> {
        let objects = Objects { store, clock: seams.clock.clone() };
        let record = Record::new(disk, host, seams.random.next_id());
        let mut watched = None;
        let number = loop {
            let (waiting, pause) = match look(&objects, &record, &mut watched).await? {
                Look::Ours(number) => break number,
                Look::Wait(waiting, pause) => (waiting, pause),
            };
            // After a put of its own it has only to look once more.
            if !pause.is_zero() {
                on_wait(&waiting);
            }
            objects.clock.sleep(pause).await;
        };
        objects.remove_below(number).await;
        info!(number, "this process owns the object store");
        let state = Mutex::new(State { record, is_over: false });
        Ok(Arc::new(Owner { objects, spawner: seams.spawner.clone(), number, state, ended: Notify::new() }))
    }

    /// Number of the owner object: higher than those of all owners before.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Starts the task that writes the beats, until [`Owner::release`], or until another process owns the store: then it calls `on_lost` and ends.
    pub fn keep(self: &Arc<Self>, on_lost: impl FnOnce(Lost) + Send + 'static) {
        let owner = self.clone();
        let task = async move {
            if let Some(lost) = owner.beat_until_over().await {
                on_lost(lost);
            }
        };
        self.spawner.spawn("owner", task.boxed());
    }

    /// Gives the store to whoever starts next, unless another has it already. No beat is written after that. Takes a minute at most.
    ///
    /// # Errors
    /// When the store fails. The next process on another disk then waits for three beats.
    pub async fn release(&self) -> Result<(), StoreError> {
        let mut state = self.state.lock().await;
        if std::mem::replace(&mut state.is_over, true) {
            return Ok(());
        }
        self.ended.notify_one();
        if matches!(self.objects.newest().await, Ok(Some(newest)) if newest > self.number) {
            return Ok(());
        }
        state.record.released = true;
        self.objects.put(self.number, &state.record).await
    }

    async fn beat_until_over(&self) -> Option<Lost> {
        let clock = &self.objects.clock;
        let mut last = clock.monotonic();
        loop {
            let rest = (last + BEAT).saturating_sub(clock.monotonic());
            select(clock.sleep(rest), pin!(self.ended.notified())).await;
            last = clock.monotonic();
            let mut state = self.state.lock().await;
            if state.is_over {
                return None;
            }
            let lost = self.beat(&mut state).await;
            state.is_over = lost.is_some();
            if lost.is_some() {
                return lost;
            }
        }
    }

    /// Looks for a higher number; if there is none, or none can be seen, says that this owner lives.
    async fn beat(&self, state: &mut State) -> Option<Lost> {
        match self.objects.newest().await {
            Ok(Some(number)) if number > self.number => {
                let by = self.objects.get(number).await.ok().and_then(|bytes| Record::decode(&bytes));
                return Some(Lost { number, by: by.map(|record| record.holder(number)) });
            }
            Ok(_) => {}
            Err(error) => warn!(error = &error as &dyn Error, "cannot see whether another process owns the object store"),
        }
        state.record.beat += 1;
        if let Err(error) = self.objects.put(self.number, &state.record).await {
            warn!(error = &error as &dyn Error, "cannot tell the object store that its owner lives");
        }
        None
    }
}

/// What a starting process saw.
enum Look {
    /// This process owns the store by this number.
    Ours(u64),
    /// Nobody knows yet.
    Wait(Waiting, Duration),
}

/// An owner that is watched, and since when it has been as it is.
struct Watched {
    number: u64,
    record: Record,
    since: Duration,
}

/// Looks who owns the store, and tries to where nobody does. Whether that went well is for the next look to find out: by the record of this start.
async fn look(objects: &Objects, ours: &Record, watched: &mut Option<Watched>) -> Result<Look, OwnerError> {
    let failed =
        |error: StoreError| if error.is_answer() { Err(OwnerError::Store(error)) } else { Ok(Look::Wait(Waiting::Store(error), LOOK)) };
    // Silence counts only while the store answers: before, the owner could not have been heard.
    let last_seen = watched.take();
    let number = match objects.newest().await {
        Ok(number) => number.unwrap_or(0),
        Err(error) => return failed(error),
    };
    if number > 0 {
        let record = match objects.get(number).await {
            Ok(bytes) => Record::decode(&bytes).ok_or_else(|| OwnerError::Damaged(name(number)))?,
            Err(StoreError::OutOfRange { name, .. }) => return Err(OwnerError::Damaged(name)),
            Err(StoreError::NotFound(_)) => return Ok(Look::Wait(Waiting::Race, RACE)),
            Err(error) => return failed(error),
        };
        if record.is_of_start(ours) {
            return Ok(Look::Ours(number));
        }
        if !record.released && !record.is_of_disk(ours) {
            let since = match last_seen {
                Some(last) if last.number == number && last.record == record => last.since,
                Some(last) if last.number == number => return Err(OwnerError::Taken(record.holder(number))),
                _ => objects.clock.monotonic(),
            };
            let silent_for = objects.clock.monotonic().saturating_sub(since);
            if silent_for < SILENCE_MAX {
                let waiting = Waiting::Owner { holder: record.holder(number), silent_for };
                *watched = Some(Watched { number, record, since });
                return Ok(Look::Wait(waiting, LOOK.min(SILENCE_MAX - silent_for)));
            }
        }
    }
    let next = number.checked_add(1).ok_or_else(|| OwnerError::Damaged(name(number)))?;
    match objects.put_if_absent(next, ours).await {
        Ok(()) => Ok(Look::Wait(Waiting::Race, Duration::ZERO)),
        Err(StoreError::AlreadyExists(_)) => Ok(Look::Wait(Waiting::Race, RACE)),
        Err(error) => failed(error),
    }
}

fn name(number: u64) -> String {
    format!("{FOLDER}{number:020}")
}

/// The owner objects of a store. Every request ends in time.
struct Objects {
    store: Arc<dyn ObjectStore>,
    clock: Arc<dyn Clock>,
}

impl Objects {
    /// The highest number, if there is any.
    async fn newest(&self) -> Result<Option<u64>, StoreError> {
        Ok(self.numbers().await?.into_iter().max())
    }

    async fn numbers(&self) -> Result<Vec<u64>, StoreError> {
        let listed = self.in_time("list", FOLDER, self.store.list(FOLDER)).await?;
        Ok(listed.iter().filter_map(|meta| meta.name.strip_prefix(FOLDER)?.parse().ok()).collect())
    }

    async fn get(&self, number: u64) -> Result<bytes::Bytes, StoreError> {
        let name = name(number);
        self.in_time("get", &name, self.store.get_range(&name, 0..LEN as u64)).await
    }

    async fn put(&self, number: u64, record: &Record) -> Result<(), StoreError> {
        let name = name(number);
        self.in_time("put", &name, self.store.put(&name, record.encode().into())).await
    }

    async fn put_if_absent(&self, number: u64, record: &Record) -> Result<(), StoreError> {
        let name = name(number);
        self.in_time("put", &name, self.store.put_if_absent(&name, record.encode().into())).await
    }

    /// Removes what earlier owners left behind. What cannot be removed is left to the next.
    async fn remove_below(&self, number: u64) {
        let Ok(numbers) = self.numbers().await else { return };
        let names: Vec<String> = numbers.into_iter().filter(|older| *older < number).map(name).collect();
        if let Err(error) = self.in_time("delete", FOLDER, self.store.delete_many(&names)).await {
            warn!(error = &error as &dyn Error, "left owner objects of earlier processes in the object store");
        }
    }

    async fn in_time<T>(
        &self,
        operation: &'static str,
        name: &str,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let timed_out = || Err(StoreError::TimedOut { operation, name: name.to_owned(), after: PATIENCE });
        within(&*self.clock, PATIENCE, work).await.unwrap_or_else(timed_out)
    }
}
