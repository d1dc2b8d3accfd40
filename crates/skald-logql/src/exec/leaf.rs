use super::batch::{Batch, Selection, Stats};
use super::error::EvalError;
use super::format::Origin;
use super::label_set::LabelSet;
use super::pipeline::{Columns, Needs, Pipeline, Scratch, is_error};
use super::row::EXTRACTED;
use super::samples::{SampleFold, Samples};
use super::selector::Selector;
use super::series_key::SeriesKey;
use super::steps::{Differences, Span, SpanCursor, Windows};
use super::unwrap::Unwrapper;
use rustc_hash::FxHashMap;
use skald_model::{Labels, Level, TimeRange, Timestamp};
use std::sync::Arc;

/// One range aggregation of a metric query: what to read, and how its rows become series.
#[derive(Debug)]
pub struct RangeLeaf {
    pub(crate) selector: Selector,
    pub(crate) pipeline: Pipeline,
    /// Where the value of an entry comes from, if not from its being there.
    pub(crate) unwrap: Option<Unwrapper>,
    pub(crate) windows: Windows,
    pub(crate) value: LeafValue,
    pub(crate) key: SeriesKey,
    pub(crate) series_max: usize,
}

/// What a leaf gives per step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum LeafValue {
    Count,
    Rate,
    Bytes,
    BytesRate,
    /// Made of unwrapped values.
    Folded(SampleFold),
}

impl LeafValue {
    pub(crate) fn counts_bytes(self) -> bool {
        matches!(self, LeafValue::Bytes | LeafValue::BytesRate)
    }
}

impl RangeLeaf {
    /// Streams to read.
    pub fn selector(&self) -> &Selector {
        &self.selector
    }

    /// Stages that entries pass.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// Times to read. Entries outside, and between windows, are ignored when added.
    pub fn fetch(&self) -> TimeRange {
        self.windows.fetch()
    }

    /// What has to be read of entries.
    pub fn needs(&self) -> &Needs {
        self.pipeline.needs()
    }
}

/// Rows of a stream, counted without reading them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunCounts {
    /// Number of rows.
    pub rows: u64,
    /// Bytes of their lines.
    pub line_bytes: u64,
    /// Earliest of them.
    pub min: Timestamp,
    /// Latest of them.
    pub max: Timestamp,
    /// Rows whose `detected_level` is exactly the text of a [`Level`], by its number.
    pub levels: [u64; 8],
}

/// What a leaf has counted so far. States over different rows merge exactly.
#[derive(Debug)]
pub struct LeafState {
    leaf: Arc<RangeLeaf>,
    index: FxHashMap<Box<[u8]>, usize>,
    series: Vec<Counted>,
    failed: Option<Failure>,
    scratch: Scratch,
    key: Vec<u8>,
    label_bytes: usize,
}

/// Counts of one series.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) labels: LabelSet,
    pub(crate) rows: Differences,
    /// Line bytes, where they are asked for.
    pub(crate) bytes: Option<Differences>,
    /// Unwrapped values; then nothing else is counted.
    pub(crate) samples: Samples,
}

/// The earliest entry with an error.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Failure {
    timestamp: i64,
    series: String,
    error: String,
}

/// How rows find their series when no label is left to work out row by row.
enum Keying<'a> {
    /// All rows are of one series.
    One,
    /// The word of one column decides.
    Word { column: usize, ids: &'a [u32], words: Vec<&'a [u8]> },
    /// Each row has to be looked at.
    Row,
}

impl LeafState {
    /// Nothing counted yet.
    pub fn new(leaf: Arc<RangeLeaf>) -> Self {
        let (index, series) = (FxHashMap::default(), Vec::new());
        LeafState { leaf, index, series, failed: None, scratch: Scratch::default(), key: Vec::new(), label_bytes: 0 }
    }

    /// Counts the selected rows of a batch. Sorted timestamps are counted faster.
    ///
    /// # Errors
    /// [`EvalError::TooManySeries`].
    pub fn add_batch(&mut self, batch: &Batch<'_>, selection: &Selection) -> Result<Stats, EvalError> {
        let leaf = Arc::clone(&self.leaf);
        let mut stats = leaf.pipeline.stats(batch, selection);
        let (selected, first) = leaf.pipeline.select(batch, selection);
        if selected.is_empty(batch.len()) {
            return Ok(stats);
        }
        self.scratch.row.begin(batch.labels);
        let keying = if first == leaf.pipeline.step_count() && leaf.unwrap.is_none() { keying(&leaf, batch) } else { Keying::Row };
        stats.matched = match keying {
            Keying::One => self.count_one(batch, &selected)?,
            Keying::Word { column, ids, words } => self.count_words(batch, &selected, batch.columns[column].name(), ids, &words)?,
            Keying::Row => self.count_rows(batch, &selected, first)?,
        };
        Ok(stats)
    }

    /// Counts rows that are all of the series of the stream's labels.
    fn count_one(&mut self, batch: &Batch<'_>, selected: &Selection) -> Result<u64, EvalError> {
        let leaf = Arc::clone(&self.leaf);
        let mut series = None;
        if *selected == Selection::All && batch.timestamps.is_sorted() {
            let mut row = 0;
            while row < batch.len() {
                let span = leaf.windows.span(batch.timestamps[row]);
                let end = row + batch.timestamps[row..].partition_point(|timestamp| *timestamp <= span.until);
                if !span.is_empty() {
                    let series = known(&mut series, || self.current_series())?;
                    let bytes = batch.lines.map_or(0, |lines| lines.byte_len(row..end));
                    self.add(series, span, (end - row) as u64, bytes as u64);
                }
                row = end;
            }
            return Ok(batch.len() as u64);
        }
        let mut cursor = SpanCursor::new(&leaf.windows);
        for row in selected.iter(batch.len()) {
            let span = cursor.span(batch.timestamps[row]);
            if !span.is_empty() {
                let series = known(&mut series, || self.current_series())?;
                self.add(series, span, 1, batch.lines.map_or(0, |lines| lines.line_len(row)) as u64);
            }
        }
        Ok(selected.len(batch.len()) as u64)
    }

    /// Counts rows whose series follows from the stream and the word of one column.
    fn count_words(&mut self, batch: &Batch<'_>, selected: &Selection, name: &str, ids: &[u32], words: &[&[u8]]) -> Result<u64, EvalError> {
        let leaf = Arc::clone(&self.leaf);
        let mut by_word: Vec<Option<usize>> = vec![None; words.len()];
        let mut cursor = SpanCursor::new(&leaf.windows);
        for row in selected.iter(batch.len()) {
            let span = cursor.span(batch.timestamps[row]);
            if span.is_empty() {
                continue;
            }
            let word = ids[batch.column_offset + row] as usize;
            let series = known(&mut by_word[word], || {
                self.scratch.row.begin_next();
                if !words[word].is_empty() {
                    self.scratch.row.add_metadata(name, words[word]);
                }
                self.current_series()
            })?;
            self.add(series, span, 1, batch.lines.map_or(0, |lines| lines.line_len(row)) as u64);
        }
        Ok(selected.len(batch.len()) as u64)
    }

    /// Runs the steps from `first` on over each row.
    fn count_rows(&mut self, batch: &Batch<'_>, selected: &Selection, first: usize) -> Result<u64, EvalError> {
        let leaf = Arc::clone(&self.leaf);
        let columns = leaf.pipeline.columns(batch.columns);
        let mut cursor = SpanCursor::new(&leaf.windows);
        let mut stream_series = None;
        let mut matched = 0;
        for row in selected.iter(batch.len()) {
            let span = cursor.span(batch.timestamps[row]);
            if span.is_empty() {
                continue;
            }
            self.scratch.row.begin_next();
            self.scratch.row.add_row_metadata(batch, &columns, row);
            if !leaf.pipeline.run_steps(first, Origin { line: batch.line(row), timestamp: batch.timestamps[row] }, &mut self.scratch) {
                continue;
            }
            let mut value = 0.0;
            if let Some(unwrap) = &leaf.unwrap {
                match unwrap.value(&mut self.scratch.row) {
                    Some(unwrapped) => value = unwrapped,
                    None => continue,
                }
            }
            matched += 1;
            if self.fail(batch.timestamps[row]) {
                continue;
            }
            let series = if self.scratch.row.is_stream_only() {
                known(&mut stream_series, || self.current_series())?
            } else {
                self.current_series()?
            };
            match leaf.value {
                LeafValue::Folded(fold) => self.series[series].samples.add(fold, span, value, batch.timestamps[row]),
                _ => self.add(series, span, 1, self.line_len(batch, row)),
            }
        }
        Ok(matched)
    }

    /// Notes the error of the current entry, unless errors are counted.
    fn fail(&mut self, timestamp: i64) -> bool {
        let row = &self.scratch.row;
        let Some(error) = row.error().filter(|_| !self.leaf.pipeline.preserves_errors()) else { return false };
        if self.failed.as_ref().is_none_or(|failed| timestamp <= failed.timestamp) {
            let failure = Failure { timestamp, series: row.to_set(None).to_string(), error: error.to_owned() };
            self.failed = Some(self.failed.take().map_or(failure.clone(), |failed| failed.min(failure)));
        }
        true
    }

    /// The series of the entry in `scratch`.
    fn current_series(&mut self) -> Result<usize, EvalError> {
        self.leaf.key.write(&self.scratch.row, &mut self.key);
        if let Some(series) = self.index.get(self.key.as_slice()) {
            return Ok(*series);
        }
        let labels = self.leaf.key.labels(&self.scratch.row);
        self.insert(self.key.clone().into_boxed_slice(), labels)
    }

    fn insert(&mut self, key: Box<[u8]>, labels: LabelSet) -> Result<usize, EvalError> {
        if self.series.len() >= self.leaf.series_max {
            return Err(EvalError::TooManySeries { max: self.leaf.series_max });
        }
        self.label_bytes += labels.heap_bytes() + key.len();
        self.index.insert(key, self.series.len());
        let bytes = self.leaf.value.counts_bytes().then(Differences::new);
        self.series.push(Counted { labels, rows: Differences::new(), bytes, samples: Samples::default() });
        Ok(self.series.len() - 1)
    }

    /// Length of the line that went through the stages last.
    fn line_len(&self, batch: &Batch<'_>, row: usize) -> u64 {
        let original = batch.lines.map_or(0, |lines| lines.line_len(row));
        self.scratch.changed_line_len().unwrap_or(original) as u64
    }

    fn add(&mut self, series: usize, span: Span, rows: u64, bytes: u64) {
        let steps = self.leaf.windows.steps.count();
        let counted = &mut self.series[series];
        counted.rows.add(span, rows as i64, steps);
        if let Some(sums) = &mut counted.bytes {
            sums.add(span, bytes as i64, steps);
        }
    }

    /// Counts a whole run of rows without reading it. False when that cannot be exact; then nothing was added.
    ///
    /// It can when no line is looked at, stream labels and levels decide series and filters, and all windows hold either all of the run or nothing of it.
    ///
    /// # Errors
    /// [`EvalError::TooManySeries`].
    pub fn add_run(&mut self, labels: &Labels, run: &RunCounts) -> Result<bool, EvalError> {
        let leaf = Arc::clone(&self.leaf);
        let span = leaf.windows.span(run.min.0);
        let Some(by_level) = by_level(&leaf, labels) else { return Ok(false) };
        if leaf.pipeline.reads_entries() || leaf.unwrap.is_some() || run.max.0 > span.until {
            return Ok(false);
        }
        if span.is_empty() || run.rows == 0 {
            return Ok(true);
        }
        self.scratch.row.begin(labels);
        if !by_level {
            self.add_synthetic(&leaf, run.min.0, span, run.rows, run.line_bytes)?;
            return Ok(true);
        }
        let one_level = run.levels.contains(&run.rows);
        if run.levels.iter().sum::<u64>() != run.rows || (leaf.value.counts_bytes() && !one_level) {
            return Ok(false);
        }
        for (level, rows) in Level::ALL.into_iter().zip(run.levels) {
            if rows > 0 {
                self.scratch.row.begin_next();
                self.scratch.row.add_metadata(Level::METADATA_NAME, level.as_str().as_bytes());
                self.add_synthetic(&leaf, run.min.0, span, rows, run.line_bytes)?;
            }
        }
        Ok(true)
    }

    /// Passes the entry in `scratch`, which stands for `rows` rows, through the stages.
    fn add_synthetic(&mut self, leaf: &RangeLeaf, timestamp: i64, span: Span, rows: u64, bytes: u64) -> Result<(), EvalError> {
        if leaf.pipeline.run_steps(0, Origin { line: b"", timestamp }, &mut self.scratch) && !self.fail(timestamp) {
            let series = self.current_series()?;
            self.add(series, span, rows, bytes);
        }
        Ok(())
    }

    /// Adds what another state of the same leaf counted over other rows.
    ///
    /// # Errors
    /// [`EvalError::TooManySeries`].
    pub fn merge(&mut self, other: LeafState) -> Result<(), EvalError> {
        let steps = self.leaf.windows.steps.count();
        self.failed = match (self.failed.take(), other.failed) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        let mut keys: Vec<_> = other.index.into_iter().collect();
        keys.sort_unstable_by_key(|(_, at)| *at);
        for ((key, _), counted) in keys.into_iter().zip(other.series) {
            let at = match self.index.get(&key) {
                Some(at) => *at,
                None => self.insert(key, counted.labels)?,
            };
            let mine = &mut self.series[at];
            mine.rows.merge(counted.rows, steps);
            if let LeafValue::Folded(fold) = self.leaf.value {
                mine.samples.merge(fold, counted.samples);
            }
            if let (Some(mine), Some(other)) = (&mut mine.bytes, counted.bytes) {
                mine.merge(other, steps);
            }
        }
        Ok(())
    }

    /// Bytes of memory held, about.
    pub fn heap_bytes(&self) -> usize {
        let counts = |counted: &Counted| {
            counted.rows.heap_bytes() + counted.bytes.as_ref().map_or(0, Differences::heap_bytes) + counted.samples.heap_bytes()
        };
        self.label_bytes + self.series.iter().map(|counted| counts(counted) + std::mem::size_of::<Counted>() + 48).sum::<usize>()
    }

    /// The leaf that it counts for.
    pub fn leaf(&self) -> &Arc<RangeLeaf> {
        &self.leaf
    }

    /// The series, ordered by labels.
    ///
    /// # Errors
    /// [`EvalError::Pipeline`] when an entry carried an error.
    pub(crate) fn into_series(self) -> Result<Vec<Counted>, EvalError> {
        if let Some(failed) = self.failed {
            return Err(EvalError::Pipeline { error: failed.error, series: failed.series });
        }
        let mut series = self.series;
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(series)
    }
}

/// The value in `slot`, worked out the first time.
fn known(slot: &mut Option<usize>, find: impl FnOnce() -> Result<usize, EvalError>) -> Result<usize, EvalError> {
    match slot {
        Some(series) => Ok(*series),
        None => find().inspect(|series| *slot = Some(*series)),
    }
}

fn keying<'a>(leaf: &RangeLeaf, batch: &Batch<'a>) -> Keying<'a> {
    if batch.columns.iter().any(is_error) {
        return Keying::Row;
    }
    let mut relevant = (0..batch.columns.len()).filter(|at| leaf.key.depends_on(&batch.columns[*at], batch.labels));
    match (relevant.next(), relevant.next()) {
        (None, _) => Keying::One,
        (Some(column), None) => match batch.columns[column].dictionary() {
            Some((ids, words)) => Keying::Word { column, ids, words },
            None => Keying::Row,
        },
        _ => Keying::Row,
    }
}

/// Whether levels are needed beside the stream's labels; `None` when other metadata is.
fn by_level(leaf: &RangeLeaf, labels: &Labels) -> Option<bool> {
    let needs = leaf.needs();
    let Columns::Names(names) = &needs.columns else { return None };
    let mut by_level = false;
    for name in names {
        match name.strip_suffix(EXTRACTED) {
            Some(short) if labels.get(short).is_some() => return None,
            _ if labels.get(name).is_some() => {}
            _ if name == Level::METADATA_NAME => by_level = true,
            _ => return None,
        }
    }
    Some(by_level)
}
