use super::batch::{Batch, Selection, Stats};
use super::column_test::ColumnTest;
use super::decolorize::decolorize;
use super::extract::{Extractor, PutBuffers, extract_keys, extract_paths};
use super::format::{LabelFormatter, LineFormatter, Origin};
use super::json::{self, JsonBuffers};
use super::json_path::PathPart;
use super::label_filter::{Condition, Named, Test};
use super::line_filter::LineMatcher;
use super::logfmt::{self, LogfmtBuffers, LogfmtOptions};
use super::probe::Probe;
use super::profile::{Profile, ProfileClock};
use super::row::{ERROR, EXTRACTED, RowLabels, names_error};
use super::text_parser::{PatternParser, RegexpParser};
use super::unpack;
use crate::plan::{Direction, ImpliedFilter, Rewrites, StreamTest};
use crate::template::Template;
use skald_model::{Column, Labels, Timestamp};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// What has to be read for a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// What of lines.
    pub lines: LineNeed,
    /// Which metadata columns.
    pub columns: Columns,
}

impl Needs {
    /// All of every entry.
    pub(crate) const EVERYTHING: Needs = Needs { lines: LineNeed::Bytes, columns: Columns::All };
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
    Names(BTreeSet<String>),
}

impl Columns {
    /// Whether the column `name` is needed. Errors always are.
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Columns::All => true,
            Columns::Names(names) => names_error(name) || names.contains(name),
        }
    }

    /// Adds what a template looks at.
    pub(crate) fn add_fields(&mut self, template: &Template) {
        if template.sees_all_labels() {
            *self = Columns::All;
        }
        template.fields().iter().for_each(|name| self.add(name));
    }

    /// Adds what the label `name` can come from.
    pub(crate) fn add(&mut self, name: &str) {
        if let Columns::Names(names) = self {
            // Metadata under a name of the stream is seen under the longer name.
            for name in [name, name.strip_suffix(EXTRACTED).unwrap_or(name)] {
                if name != ERROR && !names.contains(name) {
                    names.insert(name.to_owned());
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
    Regexp(RegexpParser),
    Pattern(PatternParser),
    Unpack,
    Decolorize,
    LineFormat(Box<LineFormatter>),
    LabelFormat(LabelFormatter),
    /// A line filter behind a step that changes lines.
    Line(LineMatcher),
    Drop(Vec<Named>),
    Keep(Vec<Named>),
}

impl Step {
    /// Whether it reads labels from the line.
    pub(crate) fn is_parser(&self) -> bool {
        matches!(
            self,
            Step::Json | Step::JsonPaths(_) | Step::Logfmt(_) | Step::LogfmtKeys { .. } | Step::Regexp(_) | Step::Pattern(_) | Step::Unpack
        )
    }

    /// Whether later steps see another line.
    pub(crate) fn changes_line(&self) -> bool {
        matches!(self, Step::Unpack | Step::Decolorize | Step::LineFormat(_))
    }

    /// Whether it looks at the line.
    pub(crate) fn reads_line(&self) -> bool {
        let by_template = matches!(self, Step::LabelFormat(format) if format.templates().any(Template::sees_line));
        by_template || self.is_parser() || self.changes_line() || matches!(self, Step::Line(_))
    }

    /// Whether it may make something else of an entry at another time.
    fn sees_clock(&self) -> bool {
        match self {
            Step::LineFormat(format) => format.template().sees_clock(),
            Step::LabelFormat(format) => format.templates().any(Template::sees_clock),
            _ => false,
        }
    }

    /// What the patterns of its templates cost, in the measure of [`crate::regex::cost`].
    pub(crate) fn template_cost(&self) -> usize {
        match self {
            Step::LineFormat(format) => format.template().regex_cost(),
            Step::LabelFormat(format) => format.templates().map(Template::regex_cost).sum(),
            _ => 0,
        }
    }

    /// Whether it looks at more of an entry than its labels.
    fn reads_entry(&self) -> bool {
        self.reads_line() || matches!(self, Step::LabelFormat(_))
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
    parts: PipelineParts,
}

/// What a pipeline is made of.
#[derive(Debug)]
pub(crate) struct PipelineParts {
    /// Asked of many lines at a time, before anything is done with single entries.
    pub(crate) line_filters: Vec<LineMatcher>,
    /// What steps demand of lines.
    pub(crate) implied: Vec<ImpliedFilter>,
    pub(crate) steps: Vec<Step>,
    /// All of these, as they run.
    pub(crate) stages: Vec<PlannedStage>,
    pub(crate) hints: Hints,
    pub(crate) needs: Needs,
    pub(crate) probe: Probe,
    pub(crate) stream_tests: Vec<StreamTest>,
    /// How many of the first steps are filters that columns may decide.
    pub(crate) by_column: usize,
    /// Rewrites that made a difference.
    pub(crate) applied: Rewrites,
}

/// A stage, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedStage {
    /// As the query could say it.
    pub text: String,
    /// How it runs.
    pub runs: StageRuns,
}

/// How a stage runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageRuns {
    /// On columns and stream labels; where they do not decide it, row by row.
    ByColumn,
    /// On the bytes of many lines at a time.
    OverLines,
    /// The same; a label filter implies it.
    OverLinesImplied,
    /// Entry by entry.
    ByRow,
}

impl StageRuns {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            StageRuns::ByColumn => "by column",
            StageRuns::OverLines => "over lines",
            StageRuns::OverLinesImplied => "over lines, implied",
            StageRuns::ByRow => "row by row",
        }
    }
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
    /// The line, where a step changed it.
    line: Vec<u8>,
    line_changed: bool,
    /// What stages do, where it is to be seen.
    pub(crate) profile: Option<Box<Profile>>,
}

impl Scratch {
    /// For runs of `pipeline`; with a clock they are profiled.
    pub(crate) fn for_runs(pipeline: &Pipeline, clock: Option<&ProfileClock>) -> Self {
        let profile = clock.map(|clock| Box::new(Profile::new(clock.clone(), pipeline.parts.stages.len())));
        Scratch { profile, ..Scratch::default() }
    }

    /// The line of the entry that went through last; `original` unless a step changed it.
    pub(crate) fn line<'a>(&'a self, original: &'a [u8]) -> &'a [u8] {
        if self.line_changed { &self.line } else { original }
    }

    /// Length of that line, where a step changed it.
    pub(crate) fn changed_line_len(&self) -> Option<usize> {
        self.line_changed.then_some(self.line.len())
    }
}

#[derive(Debug, Default)]
struct ParserBuffers {
    json: JsonBuffers,
    logfmt: LogfmtBuffers,
    put: PutBuffers,
    /// The line that a step makes.
    line: Vec<u8>,
}

impl Pipeline {
    /// Puts compiled parts together.
    pub(crate) fn new(parts: PipelineParts) -> Self {
        Pipeline { parts }
    }

    /// What has to be read.
    pub fn needs(&self) -> &Needs {
        &self.parts.needs
    }

    /// What every entry that passes satisfies.
    pub fn block_probe(&self) -> &Probe {
        &self.parts.probe
    }

    /// False when the stream's labels alone keep all its entries from passing.
    pub fn stream_can_match(&self, labels: &Labels) -> bool {
        self.parts.stream_tests.iter().all(|test| test.can_match(&self.parts.steps, labels))
    }

    /// Names and values: entries of a stream that has a label of the name pass only where it has one of the values.
    pub fn label_values(&self) -> impl Iterator<Item = (&str, Vec<String>)> {
        self.parts.stream_tests.iter().filter_map(|test| test.values(&self.parts.steps))
    }

    /// Line filters that label filters imply, as text.
    pub fn implied_filters(&self) -> impl Iterator<Item = &str> {
        self.parts.implied.iter().map(ImpliedFilter::text)
    }

    /// Everything that entries pass, in the order in which it runs.
    pub fn stages(&self) -> &[PlannedStage] {
        &self.parts.stages
    }

    /// Rewrites that changed what it does.
    pub fn applied(&self) -> Rewrites {
        self.parts.applied
    }

    /// Whether entries with an error are counted.
    pub(crate) fn preserves_errors(&self) -> bool {
        self.parts.hints.preserve_errors
    }

    /// Whether it looks at more of entries than their labels.
    pub(crate) fn reads_entries(&self) -> bool {
        !self.parts.line_filters.is_empty() || self.parts.steps.iter().any(Step::reads_entry)
    }

    /// Whether it may make something else of an entry at another time.
    pub(crate) fn sees_clock(&self) -> bool {
        self.parts.steps.iter().any(Step::sees_clock)
    }

    /// What the patterns of its templates cost, in the measure of [`crate::regex::cost`].
    pub(crate) fn template_cost(&self) -> usize {
        self.parts.steps.iter().map(Step::template_cost).sum()
    }

    /// What parsers are told about the rest of the query.
    pub(crate) fn hints(&self) -> &Hints {
        &self.parts.hints
    }

    /// The rows that pass what can be decided column by column, and the first step that is left to decide row by row.
    pub(crate) fn select(&self, batch: &Batch<'_>, selection: &Selection, profile: &mut Option<Box<Profile>>) -> (Selection, usize) {
        assert!(batch.lines.is_some() || self.parts.needs.lines == LineNeed::None, "lines are there where they are needed");
        let len = batch.len();
        let mut selection = selection.clone();
        let mut done = 0;
        for step in &self.parts.steps[..self.parts.by_column] {
            let condition = match step {
                Step::Filter(condition) => condition,
                // Nothing before can have failed, so there is no error to drop but one of metadata.
                Step::Drop(items) if items.iter().all(Named::is_of_error) && !batch.columns.iter().any(|c| names_error(c.name())) => {
                    done += 1;
                    continue;
                }
                _ => break,
            };
            let before = profile.as_ref().map(|profile| (profile.now(), selection.len(len)));
            match ColumnTest::new(condition, batch) {
                None => break,
                Some(ColumnTest::Constant(true)) => {}
                Some(ColumnTest::Constant(false)) => selection = Selection::Rows(Vec::new()),
                Some(test) => selection = selection.filter(len, |row| test.eval(batch, row)),
            }
            if let (Some(profile), Some((since, rows))) = (&mut *profile, before) {
                profile.add(done, rows, selection.len(len), since);
            }
            done += 1;
        }
        if let Some(lines) = &batch.lines {
            let implied = self.parts.implied.iter().map(|implied| implied.for_batch(batch));
            for (at, filter) in self.parts.line_filters.iter().map(Some).chain(implied).enumerate() {
                if selection.is_empty(len) {
                    break;
                }
                let Some(filter) = filter else { continue };
                let before = profile.as_ref().map(|profile| (profile.now(), selection.len(len)));
                selection = filter.filter(lines, &selection);
                if let (Some(profile), Some((since, rows))) = (&mut *profile, before) {
                    profile.add(self.parts.by_column + at, rows, selection.len(len), since);
                }
            }
        }
        (selection, done)
    }

    /// Whether columns may decide all steps.
    pub(crate) fn is_decided_by_column(&self) -> bool {
        self.parts.by_column == self.parts.steps.len()
    }

    /// Number of steps that work on single entries.
    pub(crate) fn step_count(&self) -> usize {
        self.parts.steps.len()
    }

    /// Runs the steps from `first` on over one entry; false drops it.
    pub(crate) fn run_steps(&self, first: usize, entry: Origin<'_>, scratch: &mut Scratch) -> bool {
        scratch.line_changed = false;
        if scratch.profile.is_some() {
            return self.run_steps_profiled(first, entry, scratch);
        }
        self.parts.steps[first..].iter().all(|step| self.run_step(step, entry, scratch))
    }

    /// The same, and notes what each step does.
    fn run_steps_profiled(&self, first: usize, entry: Origin<'_>, scratch: &mut Scratch) -> bool {
        let Some(mut profile) = scratch.profile.take() else { return false };
        let over_lines = self.parts.line_filters.len() + self.parts.implied.len();
        let passes = self.parts.steps.iter().enumerate().skip(first).all(|(at, step)| {
            let since = profile.now();
            let passes = self.run_step(step, entry, scratch);
            profile.add(if at < self.parts.by_column { at } else { over_lines + at }, 1, usize::from(passes), since);
            passes
        });
        scratch.profile = Some(profile);
        passes
    }

    /// Runs one step; false drops the entry.
    #[inline(always)]
    fn run_step(&self, step: &Step, entry: Origin<'_>, scratch: &mut Scratch) -> bool {
        let Scratch { row, parsers, line: changed, line_changed, .. } = scratch;
        let line = if *line_changed { changed.as_slice() } else { entry.line };
        match step {
            Step::Filter(condition) => {
                if !condition.eval(row) {
                    return false;
                }
            }
            Step::Json => {
                let mut out = Extractor::new(row, &self.parts.hints, &mut parsers.put);
                let result = json::extract(line, &mut parsers.json, &mut out);
                if out.dropped {
                    return false;
                }
                if let Err(details) = result {
                    row.set_error(json::JSON_ERROR, Some(details));
                }
            }
            Step::Logfmt(options) => {
                let mut out = Extractor::new(row, &self.parts.hints, &mut parsers.put);
                let result = logfmt::extract(line, *options, &mut parsers.logfmt, &mut out);
                if out.dropped {
                    return false;
                }
                if let Err(details) = result {
                    row.set_error(logfmt::LOGFMT_ERROR, Some(&details));
                }
            }
            Step::Regexp(parser) => {
                let mut out = Extractor::new(row, &self.parts.hints, &mut parsers.put);
                parser.extract(line, &mut out);
                if out.dropped {
                    return false;
                }
            }
            Step::Pattern(parser) => {
                let mut out = Extractor::new(row, &self.parts.hints, &mut parsers.put);
                parser.extract(line, &mut out);
                if out.dropped {
                    return false;
                }
            }
            Step::Unpack => {
                let mut out = Extractor::new(row, &self.parts.hints, &mut parsers.put);
                let result = unpack::extract(line, &mut parsers.json, &mut parsers.line, &mut out);
                if out.dropped {
                    return false;
                }
                match result {
                    Ok(true) => {
                        std::mem::swap(changed, &mut parsers.line);
                        *line_changed = true;
                    }
                    Ok(false) => {}
                    Err(details) => row.set_error(json::JSON_ERROR, Some(details)),
                }
            }
            Step::Decolorize => {
                if decolorize(line, &mut parsers.line) {
                    std::mem::swap(changed, &mut parsers.line);
                    *line_changed = true;
                }
            }
            Step::LineFormat(format) => {
                if format.format(Origin { line, ..entry }, row, &mut parsers.line) {
                    std::mem::swap(changed, &mut parsers.line);
                    *line_changed = true;
                }
            }
            Step::LabelFormat(format) => format.format(Origin { line, ..entry }, row),
            Step::Line(filter) => {
                if !filter.matches(line) {
                    return false;
                }
            }
            Step::JsonPaths(paths) => extract_paths(paths, line, row, &mut parsers.put),
            Step::LogfmtKeys { strict, keys } => extract_keys(*strict, keys, line, row, &mut parsers.logfmt),
            Step::Drop(items) => Named::drop_all(items, row),
            Step::Keep(items) => Named::keep_only(items, row),
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
        let (selected, first) = self.select(batch, selection, &mut scratch.profile);
        let mut stats = self.stats(batch, selection);
        let columns = self.columns(batch.columns);
        scratch.row.begin(batch.labels);
        let mut visit = |row: usize| {
            scratch.row.begin_next();
            scratch.row.add_row_metadata(batch, &columns, row);
            let line = batch.line(row);
            if !self.run_steps(first, Origin { line, timestamp: batch.timestamps[row] }, scratch) {
                return ControlFlow::Continue(());
            }
            stats.matched += 1;
            // Filters have not looked at this line, its reader will.
            stats.line_bytes += if self.reads_entries() { 0 } else { line.len() as u64 };
            let line = scratch.line(line);
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
        let lines = batch.lines.filter(|_| self.reads_entries());
        let bytes = |lines: super::Lines<'_>| selection.runs(len).map(|run| lines.byte_len(run) as u64).sum();
        Stats { rows: selection.len(len) as u64, matched: 0, line_bytes: lines.map_or(0, bytes) }
    }

    /// Places of the columns that are needed.
    pub(crate) fn columns(&self, columns: &[Column]) -> Vec<usize> {
        (0..columns.len()).filter(|at| self.parts.needs.columns.contains(columns[*at].name())).collect()
    }
}
