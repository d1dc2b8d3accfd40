//! The task that writes groups, one after the other, and makes them known to readers.

use super::group::{Compressor, Group};
use super::keeper::Need;
use super::log::Place;
use super::shared::Shared;
use crate::batcher::OpenGroup;
use bytes::Bytes;
use futures::future::{Either, select};
use skald_model::seam::run_blocking;
use skald_runtime::chain;
use skald_wal::WalError;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tracing::{error, info};

/// Pauses between attempts to write a group.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LAST: Duration = Duration::from_secs(30);

/// What a record takes in the log beside its bytes, and a new segment with it.
const RECORD_COST: u64 = 80;

/// Why a group is not in the log.
enum Obstacle {
    /// The spool has no room for it.
    Full,
    /// The disk does not take it.
    Failed(WalError),
}

/// A group and its record.
struct Prepared {
    group: Arc<Group>,
    record: Bytes,
}

/// Writes what the batcher cuts until the spool is stopped.
pub(crate) async fn write_groups(shared: Arc<Shared>) {
    let mut compressor = Compressor::new();
    loop {
        let (number, open) = match select(pin!(shared.batcher.next_group()), pin!(shared.stopped())).await {
            Either::Left((group, _)) => group,
            Either::Right(_) => return,
        };
        let job = {
            let shared = shared.clone();
            move || {
                let prepared = shared.prepare(&mut compressor, number, &open);
                let written = shared.write_now(&prepared);
                (compressor, prepared, written)
            }
        };
        let Ok((returned, prepared, written)) = run_blocking(&*shared.spawner, job).await else {
            error!(group = number, "writing of a group was cut short, nothing is written any more");
            return;
        };
        compressor = returned;
        match select(pin!(shared.settle(prepared, written)), pin!(shared.stopped())).await {
            Either::Left(_) => shared.batcher.set_durable(number),
            Either::Right(_) => return,
        }
    }
}

impl Shared {
    fn prepare(&self, compressor: &mut Compressor, number: u64, open: &OpenGroup) -> Prepared {
        let previous = self.state.lock().logged();
        let group = compressor.group(number, previous, self.clock.now(), open);
        let record = group.encode().into();
        Prepared { group: Arc::new(group), record }
    }

    /// Blocks on the disk.
    fn write_now(&self, prepared: &Prepared) -> Result<Place, Obstacle> {
        let mut log = self.log.lock();
        if !self.has_room(prepared.record.len()) {
            return Err(Obstacle::Full);
        }
        log.append(&prepared.record).map_err(Obstacle::Failed)
    }

    /// Whether a record fits. When nothing waits for a client, it has to.
    fn has_room(&self, record_len: usize) -> bool {
        let state = self.state.lock();
        self.wal.bytes() + record_len as u64 + RECORD_COST <= self.size_max || state.floor() >= state.published()
    }

    /// Sees a group through: until it is in the log, or with all clients.
    async fn settle(self: &Arc<Self>, prepared: Prepared, mut written: Result<Place, Obstacle>) {
        let number = prepared.group.number;
        let prepared = Arc::new(prepared);
        let (mut is_published, mut pause) = (false, RETRY_FIRST);
        loop {
            match written {
                Ok(place) if is_published => {
                    info!(group = number, "spool can be written again");
                    return self.state.lock().set_logged(number, place);
                }
                Ok(place) => return self.publish(prepared.group.clone(), Some(place)),
                Err(Obstacle::Full) => self.wait_for_room(prepared.record.len()).await,
                Err(Obstacle::Failed(error)) => {
                    self.write_failures.fetch_add(1, Ordering::Relaxed);
                    error!(group = number, error = chain(&error), "spool cannot be written, sending from memory");
                    if !std::mem::replace(&mut is_published, true) {
                        self.publish(prepared.group.clone(), None);
                    }
                    if self.delivered_within(number, pause).await {
                        return;
                    }
                    pause = (pause * 2).min(RETRY_LAST);
                    self.keep(Need::Room).await;
                }
            }
            let (shared, again) = (self.clone(), prepared.clone());
            let Ok(result) = run_blocking(&*self.spawner, move || shared.write_now(&again)).await else { return };
            written = result;
        }
    }

    /// Waits until the log may take a record of this length; meanwhile no offer is taken.
    async fn wait_for_room(self: &Arc<Self>, record_len: usize) {
        let mut floor = self.floor.subscribe();
        self.batcher.set_blocked(true);
        loop {
            floor.mark_unchanged();
            self.keep(Need::Room).await;
            if self.has_room(record_len) {
                break;
            }
            let _ = floor.changed().await;
        }
        self.batcher.set_blocked(false);
    }

    /// Whether all clients have the group, and its positions are taken in, before the pause is over.
    async fn delivered_within(self: &Arc<Self>, number: u64, pause: Duration) -> bool {
        let mut floor = self.floor.subscribe();
        let delivered = pin!(async { floor.wait_for(|floor| *floor >= number).await.is_ok() });
        match select(delivered, self.clock.sleep(pause)).await {
            Either::Right(_) => false,
            Either::Left((is_delivered, _)) => {
                self.keep(Need::Sync).await;
                is_delivered && self.state.lock().fold().number >= number
            }
        }
    }
}
