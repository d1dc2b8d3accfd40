//! What the spool knows of its groups and of what clients have. Pure.

use super::acks::Acks;
use super::group::Group;
use super::log::{Chunk, Place};
use crate::positions::{Fold, Updates};
use skald_model::Generation;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};

/// Bytes of groups on disk that are kept in memory as well, for clients that are not behind.
const WINDOW_BYTES: usize = 2 << 20;

/// A group in memory.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) group: Arc<Group>,
    /// Where it lies in the log, once it does.
    pub(crate) place: Arc<OnceLock<Place>>,
}

impl Held {
    pub(crate) fn new(group: Arc<Group>, place: Option<Place>) -> Self {
        let cell = OnceLock::new();
        if let Some(place) = place {
            cell.get_or_init(|| place);
        }
        Held { group, place: Arc::new(cell) }
    }
}

/// Groups from the oldest that a client lacks to the newest.
#[derive(Debug)]
pub(crate) struct State {
    /// Groups in memory: the newest, and those that are not in the log.
    window: BTreeMap<u64, Held>,
    window_bytes: usize,
    /// The last group that is for clients to have.
    published: u64,
    /// The last group in the log.
    logged: u64,
    chunks: VecDeque<Chunk>,
    clients: BTreeMap<String, Acks>,
    fold: Fold,
    /// Groups that were found to be lost.
    lost: u64,
    /// Something after this group was given to a client no more.
    skipped_after: Option<u64>,
}

impl State {
    /// `logged` is the last group of `chunks`; no group has a number above `published` yet.
    pub(crate) fn new(fold: Fold, chunks: VecDeque<Chunk>, logged: u64, published: u64) -> Self {
        State {
            window: BTreeMap::new(),
            window_bytes: 0,
            published,
            logged,
            chunks,
            clients: BTreeMap::new(),
            fold,
            lost: 0,
            skipped_after: None,
        }
    }

    /// From now on these are all clients. A new one is at `known`, or where all have everything.
    pub(crate) fn set_clients(&mut self, names: &[String], known: &BTreeMap<String, u64>) {
        let floor = self.fold.number;
        let mut before = std::mem::take(&mut self.clients);
        let mut acks =
            |name: &String| before.remove(name).unwrap_or_else(|| Acks::at(known.get(name).copied().unwrap_or_default().max(floor)));
        self.clients = names.iter().map(|name| (name.clone(), acks(name))).collect();
        self.advance();
    }

    /// Makes a group known to readers.
    pub(crate) fn publish(&mut self, group: Arc<Group>) {
        let number = group.number;
        self.window_bytes += group.size();
        self.window.insert(number, Held::new(group, None));
        self.published = self.published.max(number);
    }

    /// A published group is in the log.
    pub(crate) fn set_logged(&mut self, number: u64, place: Place) {
        if let Some(held) = self.window.get(&number) {
            held.place.get_or_init(|| place);
        }
        self.logged = self.logged.max(number);
        match self.chunks.back_mut().filter(|chunk| chunk.generation == place.generation) {
            Some(chunk) => chunk.last = number,
            None => self.chunks.push_back(Chunk { generation: place.generation, last: number }),
        }
        self.prune();
    }

    /// The group of this number, in memory.
    pub(crate) fn held(&self, number: u64) -> Option<Held> {
        self.window.get(&number).cloned()
    }

    /// The first group in memory from this number on.
    pub(crate) fn first_held(&self, from: u64) -> Option<Held> {
        self.window.range(from..).next().map(|(_, held)| held.clone())
    }

    /// Chunks that may hold groups from this number on.
    pub(crate) fn chunks_from(&self, from: u64) -> Vec<Chunk> {
        self.chunks.iter().filter(|chunk| chunk.last >= from).copied().collect()
    }

    /// What a client has had acknowledged, from its reader's point of view.
    pub(crate) fn acks(&mut self, client: &str) -> &mut Acks {
        let floor = self.fold.number;
        // A client that nobody named counts from the floor on.
        self.clients.entry(client.to_owned()).or_insert_with(|| Acks::at(floor))
    }

    /// A client has a batch. Gives whether more is with all clients than before.
    pub(crate) fn ack(&mut self, client: &str, group: u64, batch: u32) -> bool {
        let before = self.floor();
        if let Some(acks) = self.clients.get_mut(client) {
            acks.ack(group, batch);
        }
        self.advance();
        self.floor() > before
    }

    /// The last group that all clients have with all before; without clients nothing moves.
    pub(crate) fn floor(&self) -> u64 {
        self.clients.values().map(Acks::watermark).min().unwrap_or(self.fold.number)
    }

    /// Takes in what all clients have, as far as it is in memory, and lets go of it.
    pub(crate) fn advance(&mut self) {
        while let Some(held) = self.next_to_fold() {
            self.fold_in(&held.group);
        }
        self.prune();
    }

    /// Takes a group of the log into the positions, if it is what comes next.
    pub(crate) fn fold_in(&mut self, group: &Group) {
        let Group { number, previous, resumes, ref positions, .. } = *group;
        let skipped = self.skipped_after.take_if(|after| number > *after).is_some();
        self.fold.held |= skipped;
        let lost = self.fold.apply(Updates { number, previous, resumes: resumes && !skipped, positions });
        self.lost += lost.max(u64::from(skipped));
    }

    /// A client could not be given something that comes after the group `number`: positions do not pass it.
    pub(crate) fn skip_after(&mut self, number: u64) {
        let known = self.skipped_after.get_or_insert(number);
        *known = number.min(*known);
    }

    /// The group that comes next for the fold, if all clients have it and it is in memory. Where others lie in the log before it, those come first.
    fn next_to_fold(&self) -> Option<Held> {
        let (floor, folded) = (self.floor(), self.fold.number);
        self.first_held(folded + 1).filter(|held| held.group.number <= floor && held.group.previous <= folded)
    }

    /// Lets go of groups in memory that nobody needs there.
    fn prune(&mut self) {
        let (folded, floor) = (self.fold.number, self.floor());
        let mut excess = self.window_bytes.saturating_sub(WINDOW_BYTES);
        let mut freed = 0;
        self.window.retain(|number, held| {
            let is_logged = held.place.get().is_some();
            let goes = *number <= folded || is_logged && (*number <= floor || excess > 0);
            if goes {
                freed += held.group.size();
                excess = excess.saturating_sub(held.group.size());
            }
            !goes
        });
        self.window_bytes -= freed;
    }

    /// The oldest chunk, if all clients have all of it and its positions are taken in.
    pub(crate) fn oldest_done(&self) -> Option<Chunk> {
        self.chunks.front().filter(|chunk| chunk.last <= self.fold.number).copied()
    }

    pub(crate) fn forget_chunk(&mut self, generation: Generation) {
        self.chunks.retain(|chunk| chunk.generation != generation);
    }

    pub(crate) fn fold(&mut self) -> &mut Fold {
        &mut self.fold
    }

    pub(crate) fn published(&self) -> u64 {
        self.published
    }

    pub(crate) fn logged(&self) -> u64 {
        self.logged
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    pub(crate) fn add_lost(&mut self, groups: u64) {
        self.lost += groups;
    }

    pub(crate) fn window_bytes(&self) -> usize {
        self.window_bytes
    }

    /// Watermark of each client.
    pub(crate) fn watermarks(&self) -> BTreeMap<String, u64> {
        self.clients.iter().map(|(name, acks)| (name.clone(), acks.watermark())).collect()
    }

    /// When the oldest group was cut that a client was given and has not acknowledged.
    pub(crate) fn oldest_cut_at(&self) -> Option<i64> {
        self.clients.values().filter_map(Acks::oldest_cut_at).min()
    }
}
