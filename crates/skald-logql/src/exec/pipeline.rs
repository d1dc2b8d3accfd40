use super::batch::{Batch, Selection, Stats};
use super::json::{self, JsonBuffers};
use super::json_path::{self, PathPart};
use super::label_filter::{Condition, Named, Test, Verdict};
use super::line_filter::LineMatcher;
use super::logfmt::{self, LogfmtBuffers, LogfmtOptions};
use super::probe::Probe;
use super::row::{ERROR, ERROR_DETAILS, EXTRACTED, RowLabels};
use crate::plan::Direction;
use skald_model::{Column, Labels, Timestamp};
use std::ops::ControlFlow;

/// What has to be read for a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// What of lines.
    pub lines: LineNeed,
    /// Which metadata columns.
    pub columns: Columns,
}

/// What of lines has to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LineNeed {
    /// Nothing.
    None,
    /// Where they end.
    Lengths,
    /// All of them.
    Bytes,
}

/// Which metadata columns have to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Columns {
    /// Every one.
    All,
    /// Those of these names.
    Names(Vec<String>),
}

impl Columns {
    /// Whether the column `name` is needed.
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Columns::All => true,
            Columns::Names(names) => names.iter().any(|n| n == name),
        }
    }

    fn add(&mut self, name: &str) {
        if let Columns::Names(names) = self {
            // Metadata under a name of the stream is seen under the longer name.
            for name in [name, name.strip_suffix(EXTRACTED).unwrap_or(name)] {
                if name != ERROR && !names.iter().any(|n| n == name) {
                    names.push(name.to_owned());
                }
            }
        }
    }
}

/// One step that works on the labels of single entries.
#[derive(Debug)]
pub(crate) enum Step {
    Filter(Condition),
    Json,
    /// Label and path of each value.
    JsonPaths(Vec<(String, Vec<PathPart>)>),
    Logfmt(LogfmtOptions),
    /// Label and key of each value.
    LogfmtKeys {
        strict: bool,
        keys: Vec<(String, String)>,
    },
    Drop(Vec<Named>),
    Keep(Vec<Named>),
}

impl Step {
    /// Whether it reads labels from the line.
    pub(crate) fn is_parser(&self) -> bool {
        matches!(self, Step::Json | Step::JsonPaths(_) | Step::Logfmt(_) | Step::LogfmtKeys { .. })
    }
}

/// What parsers are told about the rest of the query. It decides which labels, and which errors, are seen.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    /// Labels to extract; `None` extracts all. Parsers stop when they have found them all.
    pub(crate) required: Option<Vec<String>>,
    /// Filters that are asked as soon as a parser writes their label.
    pub(crate) early: Vec<(String, Test)>,
    /// Whether entries with an error are counted instead of failing the query.
    pub(crate) preserve_errors: bool,
}

/// The compiled stages of a log query.
#[derive(Debug)]
pub struct Pipeline {
    line_filters: Vec<LineMatcher>,
    steps: Vec<Step>,
    hints: Hints,
    needs: Needs,
    probe: Probe,
}

/// One entry that passed.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Row of the batch.
    pub row: usize,
    /// Its time.
    pub timestamp: Timestamp,
    /// Its line; the one of the batch where no stage changed it.
    pub line: &'a [u8],
    /// Its labels.
    pub labels: &'a RowLabels,
}

/// Buffers of a run, used again for the next one.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(crate) row: RowLabels,
    parsers: ParserBuffers,
}

#[derive(Debug, Default)]
struct ParserBuffers {
    json: JsonBuffers,
    logfmt: LogfmtBuffers,
    put: PutBuffers,
}

impl Pipeline {
    /// Puts compiled parts together. `needs` is what the use of its result needs.
    pub(crate) fn new(line_filters: Vec<LineMatcher>, steps: Vec<Step>, hints: Hints, mut needs: Needs) -> Self {
        let line_filters: Vec<_> = line_filters.into_iter().filter(|filter| !filter.is_always_true()).collect();
        let parses = steps.iter().any(Step::is_parser);
        if parses || !line_filters.is_empty() {
            needs.lines = LineNeed::Bytes;
        }
        for step in &steps {
            match step {
                Step::Filter(condition) => condition.each_name(&mut |name| needs.columns.add(name)),
                Step::Json | Step::Logfmt(_) => hints.required.iter().flatten().for_each(|name| needs.columns.add(name)),
                Step::JsonPaths(paths) => paths.iter().for_each(|(name, _)| needs.columns.add(name)),
                Step::LogfmtKeys { keys, .. } => keys.iter().for_each(|(name, _)| needs.columns.add(name)),
                Step::Drop(items) | Step::Keep(items) => items.iter().for_each(|item| needs.columns.add(&item.name)),
            }
        }
        let metadata = steps.iter().map_while(|step| if let Step::Filter(condition) = step { Some(condition.probe()) } else { None });
        let probe = Probe::all(line_filters.iter().map(|filter| filter.probe().clone()).chain(metadata));
        Pipeline { line_filters, steps, hints, needs, probe }
    }

    /// What has to be read.
    pub fn needs(&self) -> &Needs {
        &self.needs
    }

    /// What every entry that passes satisfies.
    pub fn block_probe(&self) -> &Probe {
        &self.probe
    }

    /// False when the stream's labels alone keep all its entries from passing.
    pub fn stream_can_match(&self, labels: &Labels) -> bool {
        for step in &self.steps {
            match step {
                Step::Filter(condition) if condition.eval_stream(labels) == Some(false) => return false,
                // Parsers never write a label that the stream has.
                Step::Filter(_) | Step::Json | Step::JsonPaths(_) | Step::Logfmt(_) | Step::LogfmtKeys { .. } => {}
                Step::Drop(_) | Step::Keep(_) => return true,
            }
        }
        true
    }

    /// Whether entries with an error are counted.
    pub(crate) fn preserves_errors(&self) -> bool {
        self.hints.preserve_errors
    }

    /// Whether it looks at lines.
    pub(crate) fn reads_lines(&self) -> bool {
        !self.line_filters.is_empty() || self.steps.iter().any(Step::is_parser)
    }

    /// The rows that pass what can be decided column by column, and the first step that is left to decide row by row.
    pub(crate) fn select(&self, batch: &Batch<'_>, selection: &Selection) -> (Selection, usize) {
        assert!(batch.lines.is_some() || self.needs.lines == LineNeed::None, "lines are there where they are needed");
        let len = batch.len();
        let mut selection = selection.clone();
        let mut done = 0;
        for step in &self.steps {
            let Step::Filter(condition) = step else { break };
            match ColumnTest::new(condition, batch) {
                None => break,
                Some(ColumnTest::Constant(true)) => {}
                Some(ColumnTest::Constant(false)) => selection = Selection::Rows(Vec::new()),
                Some(test) => selection = selection.filter(len, |row| test.eval(batch, row)),
            }
            done += 1;
        }
        if let Some(lines) = &batch.lines {
            for filter in &self.line_filters {
                if selection.is_empty(len) {
                    break;
                }
                selection = filter.filter(lines, &selection);
            }
        }
        (selection, done)
    }

    /// Number of steps that work on single entries.
    pub(crate) fn step_count(&self) -> usize {
        self.steps.len()
    }

    /// Runs the steps from `first` on over one entry; false drops it.
    pub(crate) fn run_steps(&self, first: usize, line: &[u8], scratch: &mut Scratch) -> bool {
        let Scratch { row, parsers } = scratch;
        for step in &self.steps[first..] {
            match step {
                Step::Filter(condition) => {
                    if !condition.eval(row) {
                        return false;
                    }
                }
                Step::Json => {
                    let mut out = Extractor::new(row, &self.hints, &mut parsers.put);
                    let result = json::extract(line, &mut parsers.json, &mut out);
                    if out.dropped {
                        return false;
                    }
                    if let Err(details) = result {
                        row.set_error(json::JSON_ERROR, Some(details));
                    }
                }
                Step::Logfmt(options) => {
                    let mut out = Extractor::new(row, &self.hints, &mut parsers.put);
                    let result = logfmt::extract(line, *options, &mut parsers.logfmt, &mut out);
                    if out.dropped {
                        return false;
                    }
                    if let Err(details) = result {
                        row.set_error(logfmt::LOGFMT_ERROR, Some(&details));
                    }
                }
                Step::JsonPaths(paths) => extract_paths(paths, line, row, &mut parsers.put),
                Step::LogfmtKeys { strict, keys } => extract_keys(*strict, keys, line, row, parsers),
                Step::Drop(items) => Named::drop_all(items, row),
                Step::Keep(items) => Named::keep_only(items, row),
            }
        }
        true
    }

    /// Runs the stages over the selected rows and gives `sink` each entry that passes, in `direction` by row, until it breaks.
    pub fn run(
        &self,
        batch: &Batch<'_>,
        selection: &Selection,
        direction: Direction,
        scratch: &mut Scratch,
        sink: &mut dyn FnMut(&Entry<'_>) -> ControlFlow<()>,
    ) -> Stats {
        let (selected, first) = self.select(batch, selection);
        let mut stats = self.stats(batch, selection);
        let columns = self.columns(batch.columns);
        scratch.row.begin(batch.labels);
        let mut visit = |row: usize| {
            scratch.row.begin_next();
            scratch.row.add_row_metadata(batch, &columns, row);
            let line = batch.line(row);
            if !self.run_steps(first, line, scratch) {
                return ControlFlow::Continue(());
            }
            stats.matched += 1;
            sink(&Entry { row, timestamp: Timestamp(batch.timestamps[row]), line, labels: &scratch.row })
        };
        let mut rows = selected.iter(batch.len());
        let _ = match direction {
            Direction::Forward => rows.try_for_each(&mut visit),
            Direction::Backward => rows.rev().try_for_each(&mut visit),
        };
        stats
    }

    /// What looking at the selected rows costs.
    pub(crate) fn stats(&self, batch: &Batch<'_>, selection: &Selection) -> Stats {
        let len = batch.len();
        let lines = batch.lines.filter(|_| self.reads_lines());
        let bytes = |lines: super::Lines<'_>| selection.runs(len).map(|run| lines.byte_len(run) as u64).sum();
        Stats { rows: selection.len(len) as u64, matched: 0, line_bytes: lines.map_or(0, bytes) }
    }

    /// Places of the columns that are needed.
    pub(crate) fn columns(&self, columns: &[Column]) -> Vec<usize> {
        (0..columns.len()).filter(|at| self.needs.columns.contains(columns[*at].name()) || is_error(&columns[*at])).collect()
    }
}

/// Sets each label to the value at its path; labels without one are empty.
fn extract_paths(paths: &[(String, Vec<PathPart>)], line: &[u8], row: &mut RowLabels, buffers: &mut PutBuffers) {
    match line.first() {
        None => return,
        Some(b'{' | b'[' | b'"') => {}
        Some(_) => return row.set_error(json::JSON_ERROR, None),
    }
    for (name, path) in paths {
        let mut value = std::mem::take(&mut buffers.value);
        value.clear();
        let found = json_path::value_at(line, path, &mut value);
        if let Err(details) = found {
            row.set_error(json::JSON_ERROR, Some(details));
        }
        if found == Ok(false) {
            preset(row, name);
        } else {
            overwrite(row, name, &value);
        }
        buffers.value = value;
    }
}

/// Sets each label to the last value of its key; labels without one are empty.
fn extract_keys(strict: bool, keys: &[(String, String)], line: &[u8], row: &mut RowLabels, parsers: &mut ParserBuffers) {
    keys.iter().for_each(|(name, _)| preset(row, name));
    let done = logfmt::each_pair(line, strict, &mut parsers.logfmt, |key, value| {
        // A key that has the name of a label sets it too.
        for (name, _) in keys.iter().filter(|(name, wanted)| wanted.as_bytes() == key || name.as_bytes() == key) {
            overwrite(row, name, value);
        }
    });
    if let Err(details) = done {
        row.set_error(logfmt::LOGFMT_ERROR, Some(&details));
    }
}

/// Makes a label that nothing else has empty.
fn preset(row: &mut RowLabels, name: &str) {
    if !row.collides(name.as_bytes()) {
        row.set_parsed(name.as_bytes(), b"");
    }
}

/// Sets a label, under the longer name where its own is taken.
fn overwrite(row: &mut RowLabels, name: &str, value: &[u8]) {
    if row.collides(name.as_bytes()) {
        row.set_parsed(format!("{name}{EXTRACTED}").as_bytes(), value);
    } else {
        row.set_parsed(name.as_bytes(), value);
    }
}

/// Whether a metadata column sets the error of entries.
pub(crate) fn is_error(column: &Column) -> bool {
    &**column.name() == ERROR
}

/// A condition that columns and stream labels decide, with the answer for each dictionary word worked out once.
enum ColumnTest<'a> {
    Constant(bool),
    Words {
        ids: &'a [u32],
        verdicts: Vec<bool>,
    },
    /// Metadata of one name stands in these columns, in at most one of them for a row.
    Values {
        columns: Vec<&'a Column>,
        test: &'a Test,
    },
    And(Box<ColumnTest<'a>>, Box<ColumnTest<'a>>),
    Or(Box<ColumnTest<'a>>, Box<ColumnTest<'a>>),
}

impl<'a> ColumnTest<'a> {
    /// `None` when the condition may mark entries with errors, or see one.
    fn new(condition: &'a Condition, batch: &Batch<'a>) -> Option<Self> {
        Some(match condition {
            Condition::And(a, b) => match (Self::new(a, batch)?, Self::new(b, batch)?) {
                (ColumnTest::Constant(true), other) | (other, ColumnTest::Constant(true)) => other,
                (ColumnTest::Constant(false), _) | (_, ColumnTest::Constant(false)) => ColumnTest::Constant(false),
                (a, b) => ColumnTest::And(Box::new(a), Box::new(b)),
            },
            Condition::Or(a, b) => match (Self::new(a, batch)?, Self::new(b, batch)?) {
                (ColumnTest::Constant(false), other) | (other, ColumnTest::Constant(false)) => other,
                (ColumnTest::Constant(true), _) | (_, ColumnTest::Constant(true)) => ColumnTest::Constant(true),
                (a, b) => ColumnTest::Or(Box::new(a), Box::new(b)),
            },
            Condition::One { name, test } => Self::of_name(name, test, batch)?,
        })
    }

    fn of_name(name: &str, test: &'a Test, batch: &Batch<'a>) -> Option<Self> {
        let constant = |value: &str| ColumnTest::Constant(test.check(value.as_bytes()) == Verdict::Pass);
        if !matches!(test, Test::Text { .. }) || name.starts_with(ERROR) || name.ends_with(EXTRACTED) || name == ERROR_DETAILS {
            return None;
        }
        if let Some(value) = batch.labels.get(name) {
            return Some(constant(value));
        }
        let columns: Vec<&Column> = batch.columns.iter().filter(|column| **column.name() == *name).collect();
        Some(match columns.as_slice() {
            [] => constant(""),
            [column] => match column.dictionary() {
                Some((ids, words)) => {
                    ColumnTest::Words { ids, verdicts: words.into_iter().map(|word| test.check(word) == Verdict::Pass).collect() }
                }
                None => ColumnTest::Values { columns, test },
            },
            _ => ColumnTest::Values { columns, test },
        })
    }

    fn eval(&self, batch: &Batch<'_>, row: usize) -> bool {
        let at = batch.column_offset + row;
        match self {
            ColumnTest::Constant(answer) => *answer,
            ColumnTest::Words { ids, verdicts } => verdicts[ids[at] as usize],
            ColumnTest::Values { columns, test } => {
                let value = columns.iter().map(|column| column.value(at)).find(|value| !value.is_empty());
                test.check(value.unwrap_or_default()) == Verdict::Pass
            }
            ColumnTest::And(a, b) => a.eval(batch, row) && b.eval(batch, row),
            ColumnTest::Or(a, b) => a.eval(batch, row) || b.eval(batch, row),
        }
    }
}

/// Whether a parser goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Continue,
    /// All that is needed was found, or the entry is out.
    Stop,
}

#[derive(Debug, Default)]
struct PutBuffers {
    name: Vec<u8>,
    value: Vec<u8>,
}

/// Takes what a parser reads and makes labels of it, under the rules about names that are taken.
pub(crate) struct Extractor<'a> {
    row: &'a mut RowLabels,
    hints: &'a Hints,
    buffers: &'a mut PutBuffers,
    /// Required labels not found yet.
    missing: usize,
    dropped: bool,
}

impl<'a> Extractor<'a> {
    fn new(row: &'a mut RowLabels, hints: &'a Hints, buffers: &'a mut PutBuffers) -> Self {
        let missing = hints.required.as_ref().map_or(usize::MAX, Vec::len);
        Extractor { row, hints, buffers, missing, dropped: false }
    }

    fn is_required(&self, name: &[u8]) -> bool {
        self.hints.required.as_ref().is_none_or(|names| names.iter().any(|n| n.as_bytes() == name))
    }

    /// Whether a label of this name, as the parser reads it, is of use.
    #[inline]
    pub(crate) fn wants(&self, name: &[u8]) -> bool {
        self.is_required(name)
    }

    /// Whether a label whose name begins with `path` and `_` can be of use.
    #[inline]
    pub(crate) fn wants_prefix(&self, path: &[u8]) -> bool {
        let below = |name: &String| {
            path.is_empty() || (name.len() > path.len() && name.as_bytes().starts_with(path) && name.as_bytes()[path.len()] == b'_')
        };
        self.hints.required.as_ref().is_none_or(|names| names.iter().any(below))
    }

    /// Writes a label; the first of a name stays. What is not UTF-8, and U+FFFD, becomes a blank.
    pub(crate) fn put_text(&mut self, name: &[u8], value: &[u8]) -> Flow {
        if value.is_ascii() {
            return self.put(name, value);
        }
        match std::str::from_utf8(value) {
            Ok(text) if !text.contains('\u{fffd}') => self.put(name, value),
            _ => {
                let cleaned = String::from_utf8_lossy(value).replace('\u{fffd}', " ");
                self.put(name, cleaned.as_bytes())
            }
        }
    }

    fn put(&mut self, name: &[u8], value: &[u8]) -> Flow {
        let mut longer = std::mem::take(&mut self.buffers.name);
        let name = if self.row.collides(name) {
            longer.clear();
            longer.extend_from_slice(name);
            longer.extend_from_slice(EXTRACTED.as_bytes());
            &longer
        } else {
            name
        };
        let flow = self.put_named(name, value);
        self.buffers.name = longer;
        flow
    }

    fn put_named(&mut self, name: &[u8], value: &[u8]) -> Flow {
        if !self.is_required(name) || self.row.was_parsed(name) {
            return Flow::Continue;
        }
        self.row.set_parsed(name, value);
        self.missing -= 1;
        let early = self.hints.early.iter().find(|(filtered, _)| filtered.as_bytes() == name);
        // Under the names of errors a filter sees the error, whatever a parser wrote there.
        let seen = match name {
            _ if name == ERROR.as_bytes() => self.row.error().unwrap_or_default().as_bytes(),
            _ if name == ERROR_DETAILS.as_bytes() => b"",
            _ => value,
        };
        self.dropped = early.is_some_and(|(_, test)| test.check(seen) == Verdict::Fail);
        if self.dropped || self.missing == 0 { Flow::Stop } else { Flow::Continue }
    }
}
