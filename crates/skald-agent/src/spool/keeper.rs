//! Takes positions of delivered groups in, writes them, and removes what is no longer needed of the log.

use super::log::{Chunk, LogReader};
use super::shared::{Keeper, Shared};
use crate::positions::{Fold, PositionsError, StartPositions, Updates};
use futures::FutureExt;
use futures::future::select;
use skald_model::seam::run_blocking;
use skald_runtime::chain;
use skald_wal::WalError;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tracing::{error, warn};

/// Why the keeper looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// It is time.
    Sync,
    /// There is no room for the next group: what is delivered goes, even if its positions cannot be written.
    Room,
}

/// Looks every `sync_period`, and once more at the end.
pub(crate) async fn keep_positions(shared: Arc<Shared>) {
    let period = shared.keeper.lock().store.config().sync_period;
    while !*shared.stopping.borrow() {
        let stopped = pin!(shared.stopped());
        select(shared.clock.sleep(period), stopped).await;
        shared.keep(Need::Sync).await;
    }
}

impl Shared {
    /// Looks once.
    pub(crate) async fn keep(self: &Arc<Self>, need: Need) {
        let shared = self.clone();
        // If the job is dropped, the process ends.
        run_blocking(&*self.spawner, move || shared.keep_now(need)).map(|_| ()).await;
    }

    /// Blocks on the disk. What fails is tried again next time.
    pub(crate) fn keep_now(&self, need: Need) {
        let mut keeper = self.keeper.lock();
        if let Err(error) = self.fold_from_log(&mut keeper.reader) {
            warn!(error = chain(&error), "spool cannot be read to move positions");
        }
        let saved = match self.save(&mut keeper) {
            // Without its positions, what is delivered would be read and sent again after a crash; without room nothing would be sent at all.
            Err(_) if need == Need::Room => {
                self.remove_done(None, need);
                self.save(&mut keeper)
            }
            saved => saved,
        };
        match saved {
            Ok(saved) => self.remove_done(Some(saved), need),
            Err(error) => {
                self.save_failures.fetch_add(1, Ordering::Relaxed);
                error!(error = chain(&error), "positions cannot be written");
            }
        }
    }

    /// Takes in the groups that all clients have and that are not in memory.
    fn fold_from_log(&self, reader: &mut LogReader) -> Result<(), WalError> {
        loop {
            let mut state = self.state.lock();
            state.advance();
            let (from, floor) = (state.fold().number + 1, state.floor());
            drop(state);
            if from > floor {
                return Ok(());
            }
            match self.group_from(reader, from)? {
                Some(held) if held.group.number <= floor => self.state.lock().fold_in(&held.group),
                _ => return Ok(()),
            }
        }
    }

    /// Writes positions and watermarks if they have moved. Gives the group whose positions are on disk.
    fn save(&self, keeper: &mut Keeper) -> Result<u64, PositionsError> {
        let mut state = self.state.lock();
        let (mut fold, clients) = (state.fold().clone(), state.watermarks());
        drop(state);
        let now = (fold.number, clients.values().copied().collect());
        if keeper.saved.as_ref() != Some(&now) {
            keeper.store.save(&mut fold, clients)?;
            self.state.lock().fold().forget_as(&fold);
            keeper.saved = Some(now);
        }
        Ok(fold.number)
    }

    /// Removes chunks that all clients have, up to the group `saved` if one is given; the chunk that is written to only where room is needed.
    fn remove_done(&self, saved: Option<u64>, need: Need) {
        let mut log = self.log.lock();
        loop {
            let done = self.state.lock().oldest_done();
            let removable =
                |chunk: &Chunk| saved.is_none_or(|saved| chunk.last <= saved) && (need == Need::Room || log.is_full(chunk.generation));
            let Some(chunk) = done.filter(removable) else { return };
            if let Err(error) = log.remove(chunk.generation) {
                warn!(generation = %chunk.generation, error = chain(&error), "chunk of the spool cannot be removed");
                return;
            }
            self.state.lock().forget_chunk(chunk.generation);
        }
    }

    /// Where sources begin: behind all that was offered so far and is not lost. Blocks on the disk.
    pub(crate) fn start_positions(&self) -> Result<StartPositions, WalError> {
        let mut keeper = self.keeper.lock();
        // Looked at first: what goes from here into the log meanwhile is then met twice, and not never.
        let unwritten = self.batcher.unwritten_positions();
        let mut fold = match keeper.recovered.take() {
            Some(recovered) => recovered,
            None => self.state.lock().fold().clone(),
        };
        self.fold_to_end(&mut fold)?;
        for (number, positions) in &unwritten {
            fold.apply(Updates { number: *number, previous: 0, resumes: false, positions });
        }
        if fold.held {
            warn!("groups of the spool are lost, sources begin again before them");
            self.batcher.set_resumes();
        }
        Ok(StartPositions::of(&fold))
    }

    fn fold_to_end(&self, fold: &mut Fold) -> Result<(), WalError> {
        let mut reader = LogReader::new(self.wal.clone());
        while let Some(held) = self.group_from(&mut reader, fold.number + 1)? {
            let group = &*held.group;
            fold.apply(Updates { number: group.number, previous: group.previous, resumes: group.resumes, positions: &group.positions });
        }
        Ok(())
    }
}
