use super::batch::{Batch, Selection, Stats};
use super::error::EvalError;
use super::format::Origin;
use super::label_set::LabelSet;
use super::pipeline::{Columns, Needs, Pipeline, Scratch};
use super::profile::{Profile, ProfileClock};
use super::row::{EXTRACTED, names_error};
use super::samples::{SampleFold, Samples};
use super::selector::Selector;
use super::series_key::SeriesKey;
use super::series_table::SeriesTable;
use super::steps::{Differences, Span, SpanCursor, Windows};
use super::top::contenders;
use super::unwrap::Unwrapper;
use crate::ast::VectorOp;
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
    /// See [`RangeLeaf::fragment`].
    pub(crate) fragment: Option<Arc<str>>,
    /// Whether rows may find their series by column.
    pub(crate) by_column: bool,
    /// Whether runs may be counted without reading them.
    pub(crate) counts_runs: bool,
    /// Reads the time where what stages do is to be seen.
    pub(crate) profile: Option<ProfileClock>,
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

    /// What a count in a window comes to.
    pub(crate) fn result(&self, sum: i64) -> f64 {
        match self.value {
            LeafValue::Rate | LeafValue::BytesRate => sum as f64 / (self.windows.range as f64 / 1e9),
            _ => sum as f64,
        }
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
    pub(super) leaf: Arc<RangeLeaf>,
    /// Those of the leaf, or the ones around a part of its rows.
    pub(super) windows: Windows,
    pub(super) series: SeriesTable,
    /// By series: rows; of what is not asked for there are none here and below.
    pub(super) rows: Vec<Differences>,
    /// By series: line bytes.
    pub(super) bytes: Vec<Differences>,
    /// By series: unwrapped values; then nothing else is counted.
    pub(super) samples: Vec<Samples>,
    pub(super) failed: Option<Failure>,
    scratch: Scratch,
    key: Vec<u8>,
    /// Bytes that the counts hold beside their places in the lists.
    pub(super) nested: usize,
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

/// Most words of a column that are counted a span of rows at a time.
const TALLY_WORDS: usize = 16;

/// The earliest entry with an error.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Failure {
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
        let windows = leaf.windows;
        LeafState::over(leaf, windows)
    }

    pub(super) fn over(leaf: Arc<RangeLeaf>, windows: Windows) -> Self {
        let scratch = Scratch::for_runs(&leaf.pipeline, leaf.profile.as_ref());
        LeafState {
            leaf,
            windows,
            series: SeriesTable::default(),
            rows: Vec::new(),
            bytes: Vec::new(),
            samples: Vec::new(),
            failed: None,
            scratch,
            key: Vec::new(),
            nested: 0,
        }
    }

    /// Counts the selected rows of a batch. Sorted timestamps are counted faster.
    ///
    /// # Errors
    /// [`EvalError::TooManySeries`].
    pub fn add_batch(&mut self, batch: &Batch<'_>, selection: &Selection) -> Result<Stats, EvalError> {
        let leaf = Arc::clone(&self.leaf);
        let mut stats = leaf.pipeline.stats(batch, selection);
        let (selected, first) = leaf.pipeline.select(batch, selection, &mut self.scratch.profile);
        if selected.is_empty(batch.len()) {
            return Ok(stats);
        }
        self.scratch.row.begin(batch.labels);
        let keying = if leaf.by_column && first == leaf.pipeline.step_count() { keying(&leaf, batch) } else { Keying::Row };
        stats.matched = match keying {
            Keying::One => self.count_one(batch, &selected)?,
            Keying::Word { column, ids, words } => self.count_words(batch, &selected, batch.columns[column].name(), ids, &words)?,
            Keying::Row => self.count_rows(batch, &selected, first)?,
        };
        Ok(stats)
    }

    /// Counts rows that are all of the series of the stream's labels.
    fn count_one(&mut self, batch: &Batch<'_>, selected: &Selection) -> Result<u64, EvalError> {
        let windows = self.windows;
        let mut series = None;
        if *selected == Selection::All && batch.timestamps.is_sorted() {
            let mut row = 0;
            while row < batch.len() {
                let span = windows.span(batch.timestamps[row]);
                let end = end_of(batch.timestamps, row, span);
                if !span.is_empty() {
                    let series = known(&mut series, || self.current_series())?;
                    let bytes = batch.lines.map_or(0, |lines| lines.byte_len(row..end));
                    self.add(series, span, (end - row) as u64, bytes as u64);
                }
                row = end;
            }
            return Ok(batch.len() as u64);
        }
        let mut cursor = SpanCursor::new(&windows);
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
        let windows = self.windows;
        let mut by_word: Vec<Option<usize>> = vec![None; words.len()];
        let is_few = words.len() <= TALLY_WORDS && *selected == Selection::All && !self.leaf.value.counts_bytes();
        if is_few && batch.timestamps.is_sorted() {
            return self.tally_words(batch, name, ids, words);
        }
        let mut cursor = SpanCursor::new(&windows);
        for row in selected.iter(batch.len()) {
            let span = cursor.span(batch.timestamps[row]);
            if span.is_empty() {
                continue;
            }
            let word = ids[batch.column_offset + row] as usize;
            let series = known(&mut by_word[word], || self.series_of_word(name, words[word]))?;
            self.add(series, span, 1, batch.lines.map_or(0, |lines| lines.line_len(row)) as u64);
        }
        Ok(selected.len(batch.len()) as u64)
    }

    /// Counts all rows of a sorted batch by their words, of which there are few, a span at a time.
    fn tally_words(&mut self, batch: &Batch<'_>, name: &str, ids: &[u32], words: &[&[u8]]) -> Result<u64, EvalError> {
        let windows = self.windows;
        let ids = &ids[batch.column_offset..batch.column_offset + batch.len()];
        let mut series = [None; TALLY_WORDS];
        let mut row = 0;
        while row < batch.len() {
            let span = windows.span(batch.timestamps[row]);
            let end = end_of(batch.timestamps, row, span);
            if !span.is_empty() {
                // Two tallies in turn: the next row need not wait for the count of a word that is the same again.
                let mut tallies = [[0u32; TALLY_WORDS]; 2];
                ids[row..end].iter().enumerate().for_each(|(i, id)| tallies[i % 2][*id as usize % TALLY_WORDS] += 1);
                for (word, text) in words.iter().enumerate() {
                    let rows = tallies[0][word] + tallies[1][word];
                    if rows > 0 {
                        let series = known(&mut series[word], || self.series_of_word(name, text))?;
                        self.add(series, span, u64::from(rows), 0);
                    }
                }
            }
            row = end;
        }
        Ok(batch.len() as u64)
    }

    /// The series of entries whose metadata `name` is `word`.
    fn series_of_word(&mut self, name: &str, word: &[u8]) -> Result<usize, EvalError> {
        self.scratch.row.begin_next();
        if !word.is_empty() {
            self.scratch.row.add_metadata(name, word);
        }
        self.current_series()
    }

    /// Runs the steps from `first` on over each row.
    fn count_rows(&mut self, batch: &Batch<'_>, selected: &Selection, first: usize) -> Result<u64, EvalError> {
        let leaf = Arc::clone(&self.leaf);
        let columns = leaf.pipeline.columns(batch.columns);
        let windows = self.windows;
        let mut cursor = SpanCursor::new(&windows);
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
                LeafValue::Folded(fold) => self.nested += self.samples[series].add(fold, span, value, batch.timestamps[row]),
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
        let mut key = std::mem::take(&mut self.key);
        self.leaf.key.write(&self.scratch.row, &mut key);
        let series = self.series_of(&key);
        self.key = key;
        series
    }

    pub(super) fn series_of(&mut self, key: &[u8]) -> Result<usize, EvalError> {
        let hash = match self.series.find(key) {
            Ok(series) => return Ok(series),
            Err(hash) => hash,
        };
        let (number, steps) = (self.series.len(), self.windows.steps.count());
        if number >= self.leaf.series_max {
            return Err(EvalError::TooManySeries { max: self.leaf.series_max });
        }
        self.series.insert(hash, key);
        match self.leaf.value {
            LeafValue::Folded(_) => self.samples.push(Samples::default()),
            value => {
                self.rows.push(Differences::new(steps));
                self.bytes.extend(value.counts_bytes().then(|| Differences::new(steps)));
            }
        }
        Ok(number)
    }

    /// Length of the line that went through the stages last.
    fn line_len(&self, batch: &Batch<'_>, row: usize) -> u64 {
        let original = batch.lines.map_or(0, |lines| lines.line_len(row));
        self.scratch.changed_line_len().unwrap_or(original) as u64
    }

    fn add(&mut self, series: usize, span: Span, rows: u64, bytes: u64) {
        let steps = self.windows.steps.count();
        let mut grown = self.rows[series].add(span, rows as i64, steps);
        if let Some(sums) = self.bytes.get_mut(series) {
            grown += sums.add(span, bytes as i64, steps);
        }
        self.nested = self.nested.wrapping_add_signed(grown);
    }

    /// Counts a whole run of rows without reading it. False when that cannot be exact; then nothing was added. `metadata` names all that
    /// the rows may have.
    ///
    /// It can when no line is looked at, stream labels and levels decide series and filters, and all windows hold either all of the run
    /// or nothing of it.
    ///
    /// # Errors
    /// [`EvalError::TooManySeries`].
    pub fn add_run<'a>(
        &mut self,
        labels: &Labels,
        run: &RunCounts,
        metadata: impl IntoIterator<Item = &'a str>,
    ) -> Result<bool, EvalError> {
        let leaf = Arc::clone(&self.leaf);
        let span = self.windows.span(run.min.0);
        if !leaf.counts_runs || run.max.0 > span.until {
            return Ok(false);
        }
        let Some(by_level) = by_level(leaf.needs(), labels, metadata) else { return Ok(false) };
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

    /// Adds what another state of the same leaf, and of the same part, counted over other rows.
    ///
    /// # Errors
    /// [`EvalError::TooManySeries`].
    pub fn merge(&mut self, other: LeafState) -> Result<(), EvalError> {
        debug_assert_eq!(self.windows, other.windows, "states of one leaf");
        let steps = self.windows.steps.count();
        Profile::merge(&mut self.scratch.profile, other.scratch.profile);
        self.failed = match (self.failed.take(), other.failed) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        if self.series.len() == 0 {
            (self.series, self.nested) = (other.series, other.nested);
            (self.rows, self.bytes, self.samples) = (other.rows, other.bytes, other.samples);
            return Ok(());
        }
        let mut rows = other.rows.into_iter();
        let mut bytes = other.bytes.into_iter();
        let mut samples = other.samples.into_iter();
        for number in 0..other.series.len() {
            let series = self.series_of(other.series.key(number))?;
            let before = self.nested_of(series);
            if let Some(rows) = rows.next() {
                self.rows[series].merge(rows, steps);
            }
            if let Some(bytes) = bytes.next() {
                self.bytes[series].merge(bytes, steps);
            }
            if let (LeafValue::Folded(fold), Some(samples)) = (self.leaf.value, samples.next()) {
                self.samples[series].merge(fold, samples);
            }
            self.nested = self.nested + self.nested_of(series) - before;
        }
        Ok(())
    }

    pub(super) fn nested_of(&self, series: usize) -> usize {
        let counts = |list: &[Differences]| list.get(series).map_or(0, Differences::heap_bytes);
        counts(&self.rows) + counts(&self.bytes) + self.samples.get(series).map_or(0, Samples::heap_bytes)
    }

    /// Bytes of memory held, about. Costs nothing.
    pub fn heap_bytes(&self) -> usize {
        let counts = (self.rows.capacity() + self.bytes.capacity()) * size_of::<Differences>();
        self.series.heap_bytes() + counts + self.samples.capacity() * size_of::<Samples>() + self.nested
    }

    /// Takes over what the stages of another state did, but nothing that it counted.
    pub fn add_profile_of(&mut self, other: &mut LeafState) {
        Profile::merge(&mut self.scratch.profile, other.scratch.profile.take());
    }

    /// What the stages did, where the plan was made with a clock.
    pub fn profile(&self) -> Option<&Profile> {
        self.scratch.profile.as_deref()
    }

    /// The leaf that it counts for.
    pub fn leaf(&self) -> &Arc<RangeLeaf> {
        &self.leaf
    }

    /// The series, ordered by labels. Where only the `k` largest (or smallest) are asked for, those that cannot change which they are may
    /// be missing.
    ///
    /// # Errors
    /// [`EvalError::Pipeline`] when an entry carried an error.
    pub(crate) fn into_series(mut self, top: Option<Top>) -> Result<Vec<Counted>, EvalError> {
        let chosen = top.and_then(|top| self.contenders(top));
        if let Some(failed) = self.failed {
            return Err(EvalError::Pipeline { error: failed.error, series: failed.series });
        }
        let mut series = Vec::with_capacity(chosen.as_ref().map_or(self.series.len(), Vec::len));
        let take = |counts: &mut [Differences], number| counts.get_mut(number).map(Differences::take);
        let mut add = |number| {
            let labels = self.leaf.key.labels(self.series.key(number));
            let rows = take(&mut self.rows, number).unwrap_or(Differences::One(0));
            let samples = self.samples.get_mut(number).map(std::mem::take).unwrap_or_default();
            series.push(Counted { labels, rows, bytes: take(&mut self.bytes, number), samples });
        };
        match chosen {
            Some(chosen) => chosen.into_iter().for_each(&mut add),
            None => (0..self.series.len()).for_each(&mut add),
        }
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(series)
    }

    /// Numbers of the series, ascending, that decide which stay, where that can be said beforehand: of counts at an instant.
    fn contenders(&self, Top { smallest, k }: Top) -> Option<Vec<usize>> {
        let sums = if self.leaf.value.counts_bytes() { &self.bytes } else { &self.rows };
        let values = sums.iter().map(|sum| sum.only_sum().map(|sum| self.leaf.result(sum))).collect::<Option<Vec<f64>>>()?;
        let key = |number| self.series.key(number);
        contenders(smallest, k, &values, |a, b| self.leaf.key.compare(key(a), key(b)))
    }
}

/// Most series that `approx_topk` gives.
const APPROX_TOPK_MAX: u64 = 10_000;

/// The `k` largest or smallest values are all that is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Top {
    pub(crate) smallest: bool,
    pub(crate) k: usize,
}

impl Top {
    /// What the parameter of `topk`, `bottomk` or `approx_topk` says.
    pub(crate) fn of(op: VectorOp, parameter: Option<u64>) -> Self {
        let bound = if op == VectorOp::ApproxTopk { APPROX_TOPK_MAX } else { u64::MAX };
        let k = usize::try_from(parameter.unwrap_or(1).min(bound)).unwrap_or(usize::MAX);
        Top { smallest: op == VectorOp::Bottomk, k }
    }
}

/// The value in `slot`, worked out the first time.
fn known(slot: &mut Option<usize>, find: impl FnOnce() -> Result<usize, EvalError>) -> Result<usize, EvalError> {
    match slot {
        Some(series) => Ok(*series),
        None => find().inspect(|series| *slot = Some(*series)),
    }
}

/// First row from `row` on whose time is not in the same windows, in sorted times.
fn end_of(timestamps: &[i64], row: usize, span: Span) -> usize {
    let rest = &timestamps[row..];
    // Mostly the end is near.
    let mut near = 16;
    while rest.get(near).is_some_and(|timestamp| *timestamp <= span.until) {
        near *= 4;
    }
    let rest = &rest[..near.min(rest.len())];
    row + rest.partition_point(|timestamp| *timestamp <= span.until)
}

fn keying<'a>(leaf: &RangeLeaf, batch: &Batch<'a>) -> Keying<'a> {
    if batch.columns.iter().any(|column| names_error(column.name())) {
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

/// Whether levels are needed beside the stream's labels; `None` when other metadata may be. `metadata` names all that there may be.
fn by_level<'a>(needs: &Needs, labels: &Labels, metadata: impl IntoIterator<Item = &'a str>) -> Option<bool> {
    let mut by_level = false;
    for name in metadata.into_iter().filter(|name| needs.columns.contains(name)) {
        let hidden = labels.get(name).is_some();
        match &needs.columns {
            // Under a name of the stream it is seen under the longer name alone.
            Columns::Names(names) if hidden && !names_error(name) && !names.contains(&format!("{name}{EXTRACTED}")) => {}
            _ if !hidden && name == Level::METADATA_NAME => by_level = true,
            _ => return None,
        }
    }
    Some(by_level)
}
