use super::FileJob;
use crate::intake::{Intake, NoRoom, PositionUpdate};
use rustc_hash::{FxHashMap, FxHashSet};
use skald_model::Timestamp;
use skald_pipeline::{Entry, Instance, LabelSet, Mark, Now, Text};
use skald_tail::{Closed, FileId, FilePosition, Flow, Lines, OpenedFile};
use std::sync::Arc;
use std::time::Duration;
use tracing::{debug, info, warn};

/// What becomes of the lines of files: the stages of their scrape config, and then the intake.
///
/// Lines of one run go to the intake in one step with the position behind them, or behind the last before the oldest that a stage holds. What was refused waits in its
/// file, of which no further line is taken meanwhile.
pub(super) struct FileLines {
    intake: Arc<dyn Intake>,
    targets: FxHashMap<Text, Target>,
    files: FxHashMap<FileId, File>,
    /// What is left of files that are not read any more.
    left: Vec<Offer>,
    /// Files with an offer that was refused.
    refused: FxHashSet<FileId>,
    /// Files of which stages hold something until a certain time.
    holding: FxHashSet<FileId>,
    now: Now,
}

struct Target {
    labels: LabelSet,
    job: Arc<FileJob>,
}

struct File {
    key: Text,
    job: Arc<FileJob>,
    labels: LabelSet,
    instance: Instance,
    /// Time of the last line: no other line of the file has it.
    stamp: Timestamp,
    outbox: Vec<Entry>,
    /// Behind the last line.
    position: Option<FilePosition>,
    /// The last that was taken.
    offered: Option<FilePosition>,
}

struct Offer {
    entries: Vec<Entry>,
    position: PositionUpdate,
}

impl FileLines {
    pub(super) fn new(intake: Arc<dyn Intake>) -> Self {
        FileLines {
            intake,
            targets: FxHashMap::default(),
            files: FxHashMap::default(),
            left: Vec::new(),
            refused: FxHashSet::default(),
            holding: FxHashSet::default(),
            now: Now { wall: Timestamp(0), monotonic: Duration::ZERO },
        }
    }

    /// Replaces the targets. Where the stages are others now, the old ones let go of what they hold.
    pub(super) fn set_targets(&mut self, targets: Vec<(Text, LabelSet, Arc<FileJob>)>) {
        self.targets = targets.into_iter().map(|(key, labels, job)| (key, Target { labels, job })).collect();
        for (id, file) in &mut self.files {
            let Some(target) = self.targets.get(&file.key) else { continue };
            if target.job.stages != file.job.stages {
                file.instance.flush(self.now, &mut file.outbox);
                file.instance = target.job.pipeline.instance();
                // Offered with the next round.
                self.refused.insert(*id);
            }
            file.job = Arc::clone(&target.job);
        }
    }

    /// Before each round: offers what was refused, and lets go of what stages have held for too long.
    pub(super) fn begin(&mut self, now: Now) {
        self.now = now;
        let due: Vec<FileId> = self.holding.iter().copied().filter(|id| self.deadline(*id).is_none_or(|at| at <= now.monotonic)).collect();
        for id in due {
            if let Some(file) = self.files.get_mut(&id) {
                file.instance.tick(now, &mut file.outbox);
            }
            self.offer(id);
        }
        self.offer_left();
        for id in std::mem::take(&mut self.refused) {
            self.offer(id);
        }
    }

    /// When a stage wants to let go of something.
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.holding.iter().filter_map(|id| self.deadline(*id)).min()
    }

    /// Whether something waits for room.
    pub(super) fn is_refused(&self) -> bool {
        !self.refused.is_empty() || !self.left.is_empty()
    }

    /// Offers for the last time; answers of how many files something was not taken.
    pub(super) fn end(&mut self) -> usize {
        self.offer_left();
        for id in std::mem::take(&mut self.refused) {
            self.offer(id);
        }
        self.refused.len() + self.left.len()
    }

    fn deadline(&self, id: FileId) -> Option<Duration> {
        self.files.get(&id)?.instance.next_deadline()
    }

    /// Offers what came out of the stages of one file, and how far it is read.
    fn offer(&mut self, id: FileId) {
        let Some(file) = self.files.get_mut(&id) else { return };
        match file.instance.next_deadline() {
            Some(_) => self.holding.insert(id),
            None => self.holding.remove(&id),
        };
        if file.offer(&*self.intake).is_err() {
            self.refused.insert(id);
        }
    }

    fn offer_left(&mut self) {
        let intake = &self.intake;
        self.left.retain_mut(|left| intake.offer(&mut left.entries, Some(left.position.clone())).is_err());
    }
}

impl File {
    fn offer(&mut self, intake: &dyn Intake) -> Result<(), NoRoom> {
        let position = self.free_position();
        if self.outbox.is_empty() && position == self.offered {
            return Ok(());
        }
        intake.offer(&mut self.outbox, position.clone().map(PositionUpdate::File))?;
        self.offered = position;
        Ok(())
    }

    /// Up to where nothing is held.
    fn free_position(&self) -> Option<FilePosition> {
        let mut position = self.position.clone()?;
        if let Some(Mark(held)) = self.instance.oldest_held() {
            position.offset = position.offset.min(held);
        }
        Some(position)
    }
}

impl Lines for FileLines {
    fn opened(&mut self, opened: &OpenedFile<'_>) {
        let Some(target) = self.targets.get(opened.target_key) else {
            // Targets are set here before they are set there.
            warn!(path = %opened.path.display(), "file of an unknown target");
            return;
        };
        info!(path = %opened.path.display(), offset = opened.offset, job = target.job.name, "reading a file");
        let mut labels = target.labels.clone();
        labels.set("filename", opened.path.to_string_lossy());
        let file = File {
            key: Text::clone(opened.target_key),
            job: Arc::clone(&target.job),
            labels,
            instance: target.job.pipeline.instance(),
            stamp: Timestamp(0),
            outbox: Vec::new(),
            position: Some(opened.position.clone()),
            offered: opened.resumed.then(|| opened.position.clone()),
        };
        self.files.insert(opened.id, file);
        self.offer(opened.id);
    }

    fn line(&mut self, id: FileId, start: u64, line: &str) -> Flow {
        let Some(file) = self.files.get_mut(&id) else { return Flow::Go };
        if !self.refused.is_empty() && self.refused.contains(&id) {
            return Flow::NoRoom;
        }
        file.stamp = Timestamp(self.now.wall.0.max(file.stamp.0.saturating_add(1)));
        let entry = Entry { labels: file.labels.clone(), timestamp: file.stamp, line: line.to_owned(), metadata: Vec::new() };
        match file.instance.process(entry, Mark(start), self.now, &mut file.outbox) {
            Duration::ZERO => Flow::Go,
            pause => Flow::Pause(pause),
        }
    }

    fn caught_up(&mut self, id: FileId, position: &FilePosition) {
        if let Some(file) = self.files.get_mut(&id) {
            file.position = Some(position.clone());
        }
        self.offer(id);
    }

    fn closed(&mut self, id: FileId, position: &FilePosition, why: Closed) {
        debug!(path = %position.path.display(), offset = position.offset, ?why, "file is not read any more");
        self.refused.remove(&id);
        self.holding.remove(&id);
        let mut entries = Vec::new();
        if let Some(mut file) = self.files.remove(&id) {
            file.instance.flush(self.now, &mut file.outbox);
            entries = file.outbox;
        }
        let position = if why.is_final() { PositionUpdate::FileDone(id) } else { PositionUpdate::File(position.clone()) };
        self.left.push(Offer { entries, position });
        self.offer_left();
    }
}

#[cfg(test)]
mod tests;
