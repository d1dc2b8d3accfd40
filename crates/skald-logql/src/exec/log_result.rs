use super::batch::{Batch, Selection, Stats};
use super::error::EvalError;
use super::label_set::LabelSet;
use super::pipeline::{Entry, Pipeline, Scratch};
use super::profile::{Profile, ProfileClock};
use super::row::Category;
use crate::plan::Direction;
use skald_model::{TimeRange, Timestamp};
use std::collections::{BTreeMap, BinaryHeap};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Most bytes that a collector holds; only a query with an interval, which keeps `limit` entries of each hour, can come near it.
const HELD_BYTES_MAX: usize = 256 << 20;

const HOUR_NANOS: i64 = 3_600_000_000_000;

/// What a log query asks for.
#[derive(Debug)]
pub(crate) struct LogRequest {
    pub(crate) pipeline: Pipeline,
    pub(crate) range: TimeRange,
    pub(crate) direction: Direction,
    pub(crate) limit: usize,
    /// Nanoseconds; 0 takes all.
    pub(crate) interval: i64,
    /// Reads the time where what stages do is to be seen.
    pub(crate) profile: Option<ProfileClock>,
}

/// Keeps the first `limit` entries in the order of the query, whatever order batches come in.
#[derive(Debug)]
pub struct LogCollector {
    request: Arc<LogRequest>,
    /// The first `limit` entries, with an interval of each hour; the last in order on top.
    kept: BTreeMap<i64, BinaryHeap<Kept>>,
    held_bytes: usize,
    scratch: Scratch,
}

/// Place of an entry in the answer; the least comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    time: i64,
    stream: u64,
    source: u64,
    row: u64,
}

#[derive(Debug, Clone)]
struct Kept {
    rank: Rank,
    timestamp: Timestamp,
    line: Vec<u8>,
    stream: LabelSet,
    metadata: LabelSet,
    parsed: LabelSet,
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Kept {}

impl Ord for Kept {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank.cmp(&other.rank)
    }
}

impl PartialOrd for Kept {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Kept {
    fn new(rank: Rank, entry: &Entry<'_>) -> Self {
        let category = |category| entry.labels.to_set(Some(category));
        let (stream, metadata, parsed) = (category(Category::Stream), category(Category::Metadata), category(Category::Parsed));
        Kept { rank, timestamp: entry.timestamp, line: entry.line.to_vec(), stream, metadata, parsed }
    }

    fn heap_bytes(&self) -> usize {
        let labels = self.stream.heap_bytes() + self.metadata.heap_bytes() + self.parsed.heap_bytes();
        std::mem::size_of::<Kept>() + self.line.len() + labels
    }

    fn all_labels(&self) -> LabelSet {
        let pairs = self.stream.iter().chain(self.metadata.iter()).chain(self.parsed.iter());
        LabelSet::from_pairs(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

impl LogCollector {
    pub(crate) fn new(request: Arc<LogRequest>) -> Self {
        let scratch = Scratch::for_runs(&request.pipeline, request.profile.as_ref());
        LogCollector { request, kept: BTreeMap::new(), held_bytes: 0, scratch }
    }

    /// Takes the selected rows of a batch that are in the range and pass the stages.
    ///
    /// `order` is the place of the batch's source and the number of its first row there; it orders equal timestamps of a stream.
    ///
    /// # Errors
    /// [`EvalError::TooLarge`], with an interval only.
    pub fn add_batch(&mut self, batch: &Batch<'_>, selection: &Selection, order: (u64, u64)) -> Result<Stats, EvalError> {
        let request = Arc::clone(&self.request);
        let mut scratch = std::mem::take(&mut self.scratch);
        let in_range = |row: usize| request.range.contains(Timestamp(batch.timestamps[row]));
        let horizon = self.horizon();
        let useful =
            |row: usize| in_range(row) && !horizon.is_some_and(|horizon| request.is_beyond(Timestamp(batch.timestamps[row]), horizon));
        let selected = if *selection == Selection::All && (0..batch.len()).all(useful) {
            Selection::All
        } else {
            selection.filter(batch.len(), useful)
        };
        let stream = batch.labels.fingerprint().0;
        let sorted = batch.timestamps.is_sorted();
        let mut result = Ok(());
        let stats = request.pipeline.run(batch, &selected, request.direction, &mut scratch, &mut |entry| {
            let rank = request.rank(entry.timestamp, stream, order.0, order.1 + entry.row as u64);
            result = self.offer(rank, entry);
            // In a sorted batch nothing after an entry beyond the horizon can enter.
            let done = sorted && self.horizon().is_some_and(|horizon| request.is_beyond(entry.timestamp, horizon));
            if done || result.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        self.scratch = scratch;
        result.map(|()| stats)
    }

    /// Whether there is no place for an entry of this rank.
    fn has_no_place(&self, part: i64, rank: Rank) -> bool {
        let full = self.kept.get(&part).filter(|heap| heap.len() >= self.request.limit);
        self.request.limit == 0 || full.and_then(BinaryHeap::peek).is_some_and(|last| last.rank <= rank)
    }

    fn offer(&mut self, rank: Rank, entry: &Entry<'_>) -> Result<(), EvalError> {
        if self.has_no_place(self.request.part(entry.timestamp), rank) {
            return Ok(());
        }
        self.push(Kept::new(rank, entry))
    }

    fn push(&mut self, kept: Kept) -> Result<(), EvalError> {
        let part = self.request.part(kept.timestamp);
        if self.has_no_place(part, kept.rank) {
            return Ok(());
        }
        let heap = self.kept.entry(part).or_default();
        self.held_bytes += kept.heap_bytes();
        heap.push(kept);
        if heap.len() > self.request.limit
            && let Some(gone) = heap.pop()
        {
            self.held_bytes -= gone.heap_bytes();
        }
        if self.request.interval > 0 && self.held_bytes > HELD_BYTES_MAX {
            return Err(EvalError::TooLarge { what: "bytes of lines", max: HELD_BYTES_MAX });
        }
        Ok(())
    }

    /// Once there are enough entries: the time of the last. What lies beyond it (older going backward, newer going forward) cannot enter.
    pub fn horizon(&self) -> Option<Timestamp> {
        let all = self.kept.get(&0).filter(|heap| self.request.interval == 0 && heap.len() >= self.request.limit)?;
        all.peek().map(|last| last.timestamp)
    }

    /// Adds what another collector of the same query took from other rows.
    ///
    /// # Errors
    /// [`EvalError::TooLarge`], with an interval only.
    pub fn merge(&mut self, other: LogCollector) -> Result<(), EvalError> {
        Profile::merge(&mut self.scratch.profile, other.scratch.profile);
        other.kept.into_values().flatten().try_for_each(|kept| self.push(kept))
    }

    /// What the stages did, where the plan was made with a clock.
    pub fn profile(&self) -> Option<&Profile> {
        self.scratch.profile.as_deref()
    }

    /// Bytes of memory held, about.
    pub fn heap_bytes(&self) -> usize {
        self.held_bytes
    }

    /// The entries in order.
    pub fn finish(self) -> LogEntries {
        let mut parts: Vec<Vec<Kept>> = self.kept.into_values().map(BinaryHeap::into_sorted_vec).collect();
        if self.request.direction == Direction::Backward {
            parts.reverse();
        }
        if self.request.interval > 0 {
            parts.iter_mut().for_each(|part| thin(part, self.request.interval as u64));
        }
        let mut entries: Vec<Kept> = parts.into_iter().flatten().collect();
        entries.truncate(self.request.limit);
        LogEntries { entries }
    }
}

/// Takes out entries that follow one that stays by less than `interval`.
fn thin(entries: &mut Vec<Kept>, interval: u64) {
    let mut last: Option<i64> = None;
    entries.retain(|entry| {
        let taken = last.is_none_or(|last| entry.timestamp.0.abs_diff(last) >= interval);
        if taken {
            last = Some(entry.timestamp.0);
        }
        taken
    });
}

impl LogRequest {
    /// What is limited and thinned by itself: with an interval an hour, else everything.
    fn part(&self, timestamp: Timestamp) -> i64 {
        if self.interval > 0 { timestamp.0.div_euclid(HOUR_NANOS) } else { 0 }
    }

    /// Backward is the exact reverse of forward.
    fn rank(&self, timestamp: Timestamp, stream: u64, source: u64, row: u64) -> Rank {
        match self.direction {
            Direction::Forward => Rank { time: timestamp.0, stream, source, row },
            Direction::Backward => Rank { time: !timestamp.0, stream: !stream, source: !source, row: !row },
        }
    }

    fn is_beyond(&self, timestamp: Timestamp, horizon: Timestamp) -> bool {
        match self.direction {
            Direction::Forward => timestamp > horizon,
            Direction::Backward => timestamp < horizon,
        }
    }
}

/// The entries of an answer, in the order of the query.
#[derive(Debug)]
pub struct LogEntries {
    entries: Vec<Kept>,
}

/// Entries with equal labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogStream {
    /// Their labels.
    pub labels: LabelSet,
    /// In the order of the query.
    pub entries: Vec<LogEntry>,
}

/// One entry of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Its time.
    pub timestamp: Timestamp,
    /// Its line after all stages.
    pub line: Vec<u8>,
    /// Structured metadata; empty where it stands in the stream's labels.
    pub metadata: Vec<(String, String)>,
    /// Labels that stages made; empty where they stand in the stream's labels.
    pub parsed: Vec<(String, String)>,
}

impl LogEntries {
    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of memory held, about.
    pub fn heap_bytes(&self) -> usize {
        self.entries.iter().map(Kept::heap_bytes).sum()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Entries by all their labels, streams ordered by label text.
    pub fn streams(&self) -> Vec<LogStream> {
        self.grouped(Kept::all_labels, |_| (Vec::new(), Vec::new()))
    }

    /// Entries by stream labels alone, with metadata and parsed labels at each entry.
    pub fn categorised(&self) -> Vec<LogStream> {
        let pairs = |labels: &LabelSet| labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        self.grouped(|kept| kept.stream.clone(), |kept| (pairs(&kept.metadata), pairs(&kept.parsed)))
    }

    fn grouped(
        &self,
        labels: impl Fn(&Kept) -> LabelSet,
        extra: impl Fn(&Kept) -> (Vec<(String, String)>, Vec<(String, String)>),
    ) -> Vec<LogStream> {
        let mut streams: BTreeMap<String, LogStream> = BTreeMap::new();
        for kept in &self.entries {
            let labels = labels(kept);
            let stream = streams.entry(labels.to_string()).or_insert_with(|| LogStream { labels, entries: Vec::new() });
            let (metadata, parsed) = extra(kept);
            stream.entries.push(LogEntry { timestamp: kept.timestamp, line: kept.line.clone(), metadata, parsed });
        }
        streams.into_values().collect()
    }
}
