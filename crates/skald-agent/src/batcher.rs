//! Gathers what sources read into groups: all open batches and the positions that belong to them.

mod encode;
mod open_group;
#[cfg(test)]
mod tests;

use crate::intake::{Intake, NoRoom, PositionUpdate, Ticket};
use futures::FutureExt;
use futures::future::{BoxFuture, Either, select};
pub(crate) use open_group::OpenGroup;
use parking_lot::Mutex;
use skald_model::seam::Clock;
use skald_pipeline::Entry;
use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// Batches of the configured size that the open group may hold, those of all tenants and the cost of their streams together.
const OPEN_BATCHES_MAX: usize = 4;
/// What they may cost however small batches are.
const COST_MIN: usize = 64 << 10;
/// What a batch may have whatever is configured.
const BATCH_SIZE_MAX: usize = 64 << 20;

/// When a batch is cut, and what it does not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchLimits {
    /// Bytes of lines and metadata of one batch: `batchsize`. A longer entry has a batch of its own.
    pub batch_size: usize,
    /// Age of the oldest entry at which all batches are cut: `batchwait`.
    pub batch_wait: Duration,
    /// Streams of one batch; more are dropped. 0: any number.
    pub max_streams: usize,
    /// Bytes of a line; 0: any length.
    pub max_line_size: usize,
    /// Whether longer lines are cut instead of dropped.
    pub truncate_lines: bool,
}

impl Default for BatchLimits {
    fn default() -> Self {
        BatchLimits { batch_size: 1 << 20, batch_wait: Duration::from_secs(1), max_streams: 0, max_line_size: 0, truncate_lines: false }
    }
}

impl BatchLimits {
    fn is_unlimited_line(&self, line: &str) -> bool {
        self.max_line_size == 0 || line.len() <= self.max_line_size
    }

    /// Bytes in memory that the open batches of all tenants may have.
    fn cost_max(&self) -> usize {
        self.batch_size.saturating_mul(OPEN_BATCHES_MAX).saturating_add(COST_MIN)
    }

    fn bounded(mut self) -> Self {
        self.batch_size = self.batch_size.clamp(1, BATCH_SIZE_MAX);
        self
    }
}

/// Why a limit of the agent itself refused or changed an entry; the metrics' `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// `max_line_size`.
    LineTooLong,
    /// `max_streams`.
    StreamLimited,
}

impl DropReason {
    /// As in `promtail_dropped_entries_total`.
    pub fn as_str(self) -> &'static str {
        match self {
            DropReason::LineTooLong => "line_too_long",
            DropReason::StreamLimited => "stream_limited",
        }
    }
}

/// Is told what limits of the agent took away: `promtail_dropped_*` and `promtail_mutated_*` of every client, as no client gets it.
pub trait Losses: Send + Sync + 'static {
    /// Entries that are not sent. `tenant` is what the entry itself named.
    fn dropped(&self, tenant: Option<&str>, reason: DropReason, entries: u64, bytes: u64);
    /// Entries that were cut by so many bytes.
    fn mutated(&self, tenant: Option<&str>, reason: DropReason, entries: u64, bytes: u64);
}

/// The intake in front of the spool. Cheap to clone.
///
/// Memory: one group is open, one may wait to be written, one is being written; each has at most a few batches, unless a single offer is larger.
#[derive(Clone)]
pub struct Batcher(Arc<Shared>);

struct Shared {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Wakes who writes: there is something new to wait for.
    wake: Notify,
    progress: watch::Sender<Progress>,
}

struct State {
    limits: BatchLimits,
    losses: Arc<dyn Losses>,
    open: OpenGroup,
    /// Number of `open`.
    number: u64,
    /// Cut, and not taken yet.
    ready: VecDeque<(u64, OpenGroup)>,
    /// Positions of what was taken last.
    taken: Option<(u64, Vec<PositionUpdate>)>,
    /// Whether somebody waits for the open group to be on disk.
    asked: bool,
    blocked: bool,
}

/// What waiting sources look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Progress {
    room: bool,
    /// Groups up to this one are on disk, or with all clients.
    durable: u64,
}

impl Batcher {
    /// An intake whose first group will be number `first`.
    pub(crate) fn new(limits: BatchLimits, first: u64, losses: Arc<dyn Losses>, clock: Arc<dyn Clock>) -> Self {
        let state = State {
            limits: limits.bounded(),
            losses,
            open: OpenGroup::default(),
            number: first,
            ready: VecDeque::new(),
            taken: None,
            asked: false,
            blocked: false,
        };
        let progress = watch::Sender::new(Progress { room: true, durable: first - 1 });
        Batcher(Arc::new(Shared { clock, state: Mutex::new(state), wake: Notify::new(), progress }))
    }

    /// Goes by other limits from now on, and tells somebody else what they take away.
    pub fn set_limits(&self, limits: BatchLimits, losses: Arc<dyn Losses>) {
        let mut state = self.0.state.lock();
        (state.limits, state.losses) = (limits.bounded(), losses);
        self.0.wake.notify_one();
    }

    /// Waits for a group that is due: full, old enough, or asked for. For one caller, which may stop waiting at any time.
    pub(crate) async fn next_group(&self) -> (u64, OpenGroup) {
        let Shared { clock, wake, .. } = &*self.0;
        loop {
            let due = match self.take_due() {
                Ok(group) => return group,
                Err(due) => due,
            };
            let woken = pin!(wake.notified());
            match due {
                None => woken.await,
                Some(due) => {
                    let timer = clock.sleep(due.saturating_sub(clock.monotonic()));
                    // Whichever it was, it is looked at again.
                    let (Either::Left(_) | Either::Right(_)) = select(woken, timer).await;
                }
            }
        }
    }

    /// A group that is due now, or when the open one will be.
    fn take_due(&self) -> Result<(u64, OpenGroup), Option<Duration>> {
        let mut state = self.0.state.lock();
        if state.ready.is_empty() {
            if state.open.is_empty() {
                return Err(None);
            }
            let due = state.open.begun.unwrap_or_default().saturating_add(state.limits.batch_wait);
            if !state.asked && self.0.clock.monotonic() < due && !state.open.is_full(&state.limits) {
                return Err(Some(due));
            }
            state.cut();
        }
        let (number, group) = state.ready.pop_front().expect("it was cut now if not before");
        state.taken = Some((number, group.positions()));
        self.show_room(&state);
        Ok((number, group))
    }

    /// Says that no offer is taken while the spool is full.
    pub(crate) fn set_blocked(&self, blocked: bool) {
        let mut state = self.0.state.lock();
        state.blocked = blocked;
        self.show_room(&state);
    }

    /// Says that the group `number` and all before are on disk, or with all clients.
    pub(crate) fn set_durable(&self, number: u64) {
        self.0.state.lock().taken.take_if(|(taken, _)| *taken <= number);
        self.0.progress.send_modify(|progress| progress.durable = progress.durable.max(number));
    }

    /// Cuts what is open, and waits until it is on disk or with all clients.
    pub async fn flush(&self) {
        let ticket = self.0.state.lock().ticket();
        self.durable(ticket).await;
    }

    /// Positions of the groups that were offered and may not be in the spool yet, in order.
    pub(crate) fn unwritten_positions(&self) -> Vec<(u64, Vec<PositionUpdate>)> {
        let state = self.0.state.lock();
        let cut = state.ready.iter().map(|(number, group)| (*number, group.positions()));
        state.taken.iter().cloned().chain(cut).chain([(state.number, state.open.positions())]).collect()
    }

    /// Notes that what is offered from now on goes by the acknowledged positions: the sources begin again from them.
    pub(crate) fn set_resumes(&self) {
        let mut state = self.0.state.lock();
        if !state.open.is_empty() {
            state.cut();
            self.show_room(&state);
            self.0.wake.notify_one();
        }
        state.open.resumes = true;
    }

    /// How long the oldest entry waits that is not in a group being written.
    pub(crate) fn oldest_wait(&self) -> Option<Duration> {
        let state = self.0.state.lock();
        let begun = state.ready.front().and_then(|(_, group)| group.begun).or(state.open.begun)?;
        Some(self.0.clock.monotonic().saturating_sub(begun))
    }

    fn show_room(&self, state: &State) {
        let room = state.ready.is_empty() && !state.blocked;
        self.0.progress.send_if_modified(|progress| std::mem::replace(&mut progress.room, room) != room);
    }

    fn wait_for(&self, what: impl Fn(&Progress) -> bool + Send + Sync + 'static) -> BoxFuture<'static, ()> {
        // The shared part is held, so that the sender outlives the wait.
        let (shared, mut progress) = (self.0.clone(), self.0.progress.subscribe());
        async move {
            let seen = progress.wait_for(|progress| what(progress)).await.is_ok();
            debug_assert!(seen, "the sender is alive");
            drop(shared);
        }
        .boxed()
    }
}

impl State {
    fn cut(&mut self) {
        self.ready.push_back((self.number, std::mem::take(&mut self.open)));
        self.number += 1;
        self.asked = false;
    }

    /// Stands for all that was offered so far.
    fn ticket(&self) -> Ticket {
        Ticket(if self.open.is_empty() { self.number - 1 } else { self.number })
    }
}

impl Intake for Batcher {
    fn offer(&self, entries: &mut Vec<Entry>, position: Option<PositionUpdate>) -> Result<Ticket, NoRoom> {
        let mut state = self.0.state.lock();
        let state = &mut *state;
        if state.blocked {
            return Err(NoRoom);
        }
        if !state.open.has_room(entries, &state.limits) {
            if !state.ready.is_empty() {
                return Err(NoRoom);
            }
            state.cut();
            self.show_room(state);
            self.0.wake.notify_one();
        }
        let was_empty = state.open.is_empty();
        state.open.add(entries, &state.limits, &*state.losses);
        if let Some(update) = position {
            state.open.set_position(update);
        }
        if was_empty && !state.open.is_empty() {
            state.open.begun = Some(self.0.clock.monotonic());
            self.0.wake.notify_one();
        } else if state.open.is_full(&state.limits) {
            self.0.wake.notify_one();
        }
        Ok(state.ticket())
    }

    fn room(&self) -> BoxFuture<'static, ()> {
        self.wait_for(|progress| progress.room)
    }

    fn durable(&self, ticket: Ticket) -> BoxFuture<'static, ()> {
        let mut state = self.0.state.lock();
        if ticket.0 == state.number && !state.open.is_empty() {
            state.asked = true;
            self.0.wake.notify_one();
        }
        drop(state);
        self.wait_for(move |progress| progress.durable >= ticket.0)
    }
}
