//! From an entry as a source has it to the intake: relabeling, stages, waiting for room.

use crate::intake::{Intake, NoRoom, PositionUpdate, Ticket};
use skald_model::Timestamp;
use skald_model::seam::Clock;
use skald_pipeline::{Entry, Instance, LabelSet, Mark, Now, Pipeline, Relabel, Text};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Label that names the tenant of an entry; the only one with two underscores that stays.
pub(crate) const TENANT_LABEL: &str = "__tenant_id__";
/// Most cursors that wait for held entries. Beyond that positions move in larger steps.
const CURSORS_MAX: usize = 1024;

/// What all entry sinks of one scrape config share.
#[derive(Clone)]
pub struct SinkParts {
    /// `relabel_configs`, applied to each entry.
    pub relabel: Arc<Relabel>,
    /// `pipeline_stages`.
    pub pipeline: Pipeline,
    /// Where entries go.
    pub intake: Arc<dyn Intake>,
    /// Time of processing.
    pub clock: Arc<dyn Clock>,
}

impl SinkParts {
    /// The labels that an entry has behind `relabel_configs`, `None` when these drop it.
    pub fn labels_of(&self, labels: LabelSet) -> Option<LabelSet> {
        relabeled(&self.relabel, labels)
    }
}

fn relabeled(rules: &Relabel, mut labels: LabelSet) -> Option<LabelSet> {
    if !rules.apply(&mut labels) {
        return None;
    }
    labels.retain(|name, _| !name.starts_with("__") || name == TENANT_LABEL);
    Some(labels)
}

/// One per connection, container, journal: relabels each entry, drops its `__*` labels (`__tenant_id__` stays), runs the stages, offers, waits
/// for room, pauses as told.
///
/// Entries that have passed the stages wait inside until the intake has taken them. So a caller may stop waiting for any call: what was handed
/// over goes with the next one.
pub struct EntrySink {
    relabel: Arc<Relabel>,
    intake: Arc<dyn Intake>,
    clock: Arc<dyn Clock>,
    instance: Instance,
    next: Mark,
    cursors: Cursors,
    /// What has passed the stages and is not offered yet.
    outbox: Vec<Entry>,
    /// Until when a stage wants the source to be silent, by the monotonic clock.
    paused_until: Duration,
}

impl EntrySink {
    /// The sink of a new source.
    pub fn new(parts: &SinkParts) -> Self {
        EntrySink {
            relabel: Arc::clone(&parts.relabel),
            intake: Arc::clone(&parts.intake),
            clock: Arc::clone(&parts.clock),
            instance: parts.pipeline.instance(),
            next: Mark::default(),
            cursors: Cursors::default(),
            outbox: Vec::new(),
            paused_until: Duration::ZERO,
        }
    }

    /// Hands an entry over and waits until the intake has taken what came out, and as long as a stage wants the source to pause.
    ///
    /// `cursor` = (key, value) of the position after this entry; it is offered once nothing before it is held by a stage. The answer is the group
    /// that took what came out, `None` when nothing did.
    pub async fn push(
        &mut self,
        labels: LabelSet,
        timestamp: Timestamp,
        line: String,
        metadata: Vec<(Text, Text)>,
        cursor: Option<(&str, String)>,
    ) -> Option<Ticket> {
        let entry = self.relabel(labels).map(|labels| Entry { labels, timestamp, line, metadata });
        self.take(entry, cursor);
        let ticket = self.settle().await;
        self.rest().await;
        ticket
    }

    /// Like [`EntrySink::push`] for a source that can neither wait nor pause. `None` also when the entry waits inside for room.
    ///
    /// # Errors
    /// [`NoRoom`] when earlier entries still wait, or a stage wants a pause: this one was not looked at.
    pub fn try_push(
        &mut self,
        labels: LabelSet,
        timestamp: Timestamp,
        line: String,
        metadata: Vec<(Text, Text)>,
        cursor: Option<(&str, String)>,
    ) -> Result<Option<Ticket>, NoRoom> {
        if self.clock.monotonic() < self.paused_until {
            return Err(NoRoom);
        }
        let earlier = self.offer()?;
        let entry = self.relabel(labels).map(|labels| Entry { labels, timestamp, line, metadata });
        self.take(entry, cursor);
        Ok(self.offer().unwrap_or_default().or(earlier))
    }

    /// The labels that an entry has behind `relabel_configs`, `None` when these drop it.
    pub fn relabel(&self, labels: LabelSet) -> Option<LabelSet> {
        relabeled(&self.relabel, labels)
    }

    /// Runs the stages on an entry that is relabeled already, without offering what comes out: [`EntrySink::settle`] does. With `None` only the
    /// cursor moves.
    pub fn take(&mut self, entry: Option<Entry>, cursor: Option<(&str, String)>) {
        let mark = self.next;
        self.next = Mark(mark.0 + 1);
        if let Some(entry) = entry {
            let now = self.now();
            let pause = self.instance.process(entry, mark, now, &mut self.outbox);
            self.paused_until = self.paused_until.max(now.monotonic + pause);
        }
        if let Some((key, value)) = cursor {
            self.cursors.add(mark, PositionUpdate::Cursor { key: key.to_owned(), value });
        }
        self.cursors.release(self.instance.oldest_held());
    }

    /// Lets go of what stages have held for too long; to be called at [`EntrySink::next_deadline`].
    pub async fn tick(&mut self) -> Option<Ticket> {
        let now = self.now();
        self.instance.tick(now, &mut self.outbox);
        self.settle().await
    }

    /// When a stage wants to be asked again, by the monotonic clock.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.instance.next_deadline()
    }

    /// Waits until a stage has held something for long enough, and lets go of it; for ever where none holds anything. A caller may stop waiting.
    pub async fn tick_when_due(&mut self) {
        match self.next_deadline() {
            Some(deadline) => {
                self.clock.sleep(deadline.saturating_sub(self.clock.monotonic())).await;
                self.tick().await;
            }
            None => futures::future::pending().await,
        }
    }

    /// Lets go of all that stages hold: the source has ended.
    pub async fn flush(&mut self) -> Option<Ticket> {
        let now = self.now();
        self.instance.flush(now, &mut self.outbox);
        self.settle().await
    }

    /// Ends a sink whose entries somebody else offers: what came out of the stages, with all that they held, and for how long one wants the source
    /// to pause.
    pub fn into_entries(mut self) -> (Vec<Entry>, Duration) {
        let now = self.now();
        self.instance.flush(now, &mut self.outbox);
        (self.outbox, self.paused_until.saturating_sub(now.monotonic))
    }

    /// Waits until the intake has taken all that came out of the stages.
    pub async fn settle(&mut self) -> Option<Ticket> {
        self.cursors.release(self.instance.oldest_held());
        loop {
            match self.offer() {
                Ok(ticket) => return ticket,
                Err(NoRoom) => self.intake.room().await,
            }
        }
    }

    /// Waits until no stage wants the source to pause.
    pub async fn rest(&mut self) {
        let pause = self.paused_until.saturating_sub(self.clock.monotonic());
        if !pause.is_zero() {
            self.clock.sleep(pause).await;
        }
    }

    fn offer(&mut self) -> Result<Option<Ticket>, NoRoom> {
        if self.outbox.is_empty() && self.cursors.ready.is_none() {
            return Ok(None);
        }
        let ticket = self.intake.offer(&mut self.outbox, self.cursors.ready.clone())?;
        self.cursors.ready = None;
        Ok(Some(ticket))
    }

    fn now(&self) -> Now {
        Now { wall: self.clock.now(), monotonic: self.clock.monotonic() }
    }
}

/// Bytes of lines that are offered together.
const OFFER_BYTES: usize = 1 << 20;

/// Offers entries in pieces, in their order, and waits for room for each. The answer is the group that took the last.
pub async fn offer_all(intake: &dyn Intake, entries: Vec<Entry>) -> Option<Ticket> {
    let (mut entries, mut ticket) = (entries.into_iter().peekable(), None);
    while entries.peek().is_some() {
        let mut bytes = 0;
        let mut piece = Vec::new();
        while let Some(entry) = entries.next_if(|entry| bytes == 0 || bytes + entry.line.len() <= OFFER_BYTES) {
            // An empty line is an entry, too.
            bytes += entry.line.len() + 1;
            piece.push(entry);
        }
        ticket = loop {
            match intake.offer(&mut piece, None) {
                Ok(ticket) => break Some(ticket),
                Err(NoRoom) => intake.room().await,
            }
        };
    }
    ticket
}

/// Positions of the source that stages may still hold entries before.
#[derive(Debug, Default)]
struct Cursors {
    pending: VecDeque<(Mark, PositionUpdate)>,
    /// The newest that nothing is held before.
    ready: Option<PositionUpdate>,
}

impl Cursors {
    fn add(&mut self, mark: Mark, position: PositionUpdate) {
        if self.pending.len() == CURSORS_MAX {
            self.pending.pop_back();
        }
        self.pending.push_back((mark, position));
    }

    fn release(&mut self, oldest_held: Option<Mark>) {
        let free = |mark: Mark| oldest_held.is_none_or(|held| mark < held);
        while let Some((_, position)) = self.pending.pop_front_if(|(mark, _)| free(*mark)) {
            self.ready = Some(position);
        }
    }
}

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
