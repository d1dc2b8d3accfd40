//! What readers, the writer and the keeper of positions have in common.

use super::log::{LogReader, LogWriter, Place};
use super::state::{Held, State};
use crate::batcher::Batcher;
use crate::positions::{Fold, PositionsStore};
use bytes::Bytes;
use parking_lot::Mutex;
use skald_model::seam::{Clock, Spawner};
use skald_wal::{Wal, WalError};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::sync::watch;

use super::group::Group;

pub(crate) struct Shared {
    pub(crate) batcher: Batcher,
    pub(crate) state: Mutex<State>,
    pub(crate) wal: Arc<Wal>,
    /// Held while a group is appended, or a chunk removed.
    pub(crate) log: Mutex<LogWriter>,
    /// Held while positions are taken in from the log, and written. Taken before `log` and `state`.
    pub(crate) keeper: Mutex<Keeper>,
    /// Bytes that the log may have.
    pub(crate) size_max: u64,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) spawner: Arc<dyn Spawner>,
    /// The last group for clients to have.
    pub(crate) published: watch::Sender<u64>,
    /// The last group that all clients have.
    pub(crate) floor: watch::Sender<u64>,
    pub(crate) stopping: watch::Sender<bool>,
    pub(crate) write_failures: AtomicU64,
    pub(crate) save_failures: AtomicU64,
    pub(crate) _lock: Box<dyn Send + Sync>,
}

/// What keeping positions needs.
pub(crate) struct Keeper {
    pub(crate) store: PositionsStore,
    pub(crate) reader: LogReader,
    /// What was written last: the group of the positions and the watermarks of the clients.
    pub(crate) saved: Option<(u64, Vec<u64>)>,
    /// Positions at the end of the log as they were found at start.
    pub(crate) recovered: Option<Fold>,
}

impl Shared {
    /// The first published group from `from` on, in memory or in the log. Blocks on the disk.
    pub(crate) fn group_from(&self, reader: &mut LogReader, from: u64) -> Result<Option<Held>, WalError> {
        let state = self.state.lock();
        if let Some(held) = state.held(from) {
            return Ok(Some(held));
        }
        let (held, chunks, published) = (state.first_held(from), state.chunks_from(from), state.published());
        drop(state);
        // What lies in the log and is not published is being written, or was not.
        let logged = reader.next(from, &chunks)?.filter(|(group, _)| group.number <= published);
        let is_next = |group: &Group| held.as_ref().is_none_or(|held| group.number < held.group.number);
        Ok(match logged {
            Some((group, place)) if is_next(&group) => Some(Held::new(group, Some(place))),
            _ => held,
        })
    }

    /// The payload of a batch of a group that is not in memory. `None` when it is lost. Blocks on the disk.
    pub(crate) fn payload_at(&self, place: Place, group: u64, batch: usize) -> Result<Option<Bytes>, WalError> {
        let record = self.wal.record_at(place.generation, place.position)?;
        let decoded = record.and_then(|record| Group::decode(record.body).ok()).filter(|found| found.number == group);
        Ok(decoded.and_then(|found| found.batches.get(batch).map(|batch| batch.payload.clone())))
    }

    /// Makes a group known to readers; `place` where it is in the log.
    pub(crate) fn publish(&self, group: Arc<Group>, place: Option<Place>) {
        let number = group.number;
        let mut state = self.state.lock();
        state.publish(group);
        if let Some(place) = place {
            state.set_logged(number, place);
        }
        drop(state);
        self.published.send_replace(number);
    }

    pub(crate) fn ack(&self, client: &str, group: u64, batch: u32) {
        let mut state = self.state.lock();
        if state.ack(client, group, batch) {
            self.show_floor(&state);
        }
    }

    pub(crate) fn show_floor(&self, state: &State) {
        let floor = state.floor();
        self.floor.send_if_modified(|shown| std::mem::replace(shown, floor) != floor);
    }

    /// Completes when the spool is stopped.
    pub(crate) async fn stopped(&self) {
        let mut stopping = self.stopping.subscribe();
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }
}
