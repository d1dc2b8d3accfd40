//! Evaluates sources in parallel: blocks are fetched, then decoded and evaluated on the CPU pool, a bounded number at a time.
//!
//! What is fetched and decoded is taken from the query's budget before, what states grow by after each unit. A job looks every few thousand rows
//! whether somebody still waits.

use crate::budget::Held;
use crate::error::QueryError;
use crate::explain::Step;
use crate::fetch::{self, BlockColumns, BlockRef, Fetch, FramesOf, RawBlock};
use crate::filter;
use crate::gather::{Place, RunSource, Sources};
use crate::stats::QueryStats;
use crate::work::Work;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use skald_block::{Decoder, Extent, FrameEntry, Run};
use skald_logql::exec::{Batch, EvalError, LineNeed, Lines, Needs, Probe, Selection, Stats};
use skald_model::seam::CpuPool;
use skald_model::{Labels, Rows, Timestamp};
use skald_runtime::chain;
use skald_store::{Catalog, ReadError};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Raw bytes of rows that one job evaluates at most, beside the unit that passes the bound.
const JOB_BYTES: u64 = 2 << 20;
/// What a job may hold beside its state, in raw bytes of rows: as they are stored, decoded, and copied where they are taken apart.
const JOB_HOLDS: u64 = 8;
/// Blocks that one job reads at a time.
const FETCHES_MAX: usize = 8;
/// Rows, and bytes of lines, that are evaluated before a job looks again whether somebody still waits.
const SLICE_ROWS: usize = 4096;
const SLICE_BYTES: usize = 128 << 10;

/// Reads for one request, within what it may hold.
#[derive(Clone)]
pub(crate) struct Reader {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) pool: Arc<dyn CpuPool>,
    pub(crate) work: Work,
}

/// Rows that are read and evaluated together.
#[derive(Clone)]
pub(crate) enum Unit {
    Memory { labels: Labels, rows: Arc<Rows>, order: (u64, u64), keep: Option<Vec<u32>> },
    Block { block: BlockRef, runs: Vec<UnitRun> },
}

/// A run of a block.
#[derive(Clone)]
pub(crate) struct UnitRun {
    pub(crate) labels: Labels,
    pub(crate) run: Run,
    pub(crate) order: (u64, u64),
    pub(crate) keep: Option<Vec<u32>>,
}

impl Unit {
    /// Bytes of all lines of its rows, or of its block.
    pub(crate) fn raw_bytes(&self) -> u64 {
        match self {
            Unit::Memory { rows, .. } => rows.line_bytes().len() as u64,
            Unit::Block { block, .. } => u64::from(block.entry().line_bytes),
        }
    }

    /// Earliest and latest row.
    pub(crate) fn time_span(&self) -> (Timestamp, Timestamp) {
        match self {
            Unit::Memory { rows, .. } => rows.time_span().unwrap_or_default(),
            Unit::Block { runs, .. } => {
                let min = runs.iter().map(|run| run.run.min_time).min().unwrap_or_default();
                (min, runs.iter().map(|run| run.run.max_time).max().unwrap_or_default())
            }
        }
    }
}

/// What evaluates batches: the state of a leaf, or a collector of lines.
pub(crate) trait State: Send + 'static {
    fn add(&mut self, batch: &Batch<'_>, selection: &Selection, order: (u64, u64)) -> Result<Stats, EvalError>;
    fn heap_bytes(&self) -> usize;
    /// Whether nothing between two times can change the result any more.
    fn is_settled(&self, min: Timestamp, max: Timestamp) -> bool;
    /// Whether later rows are better added first.
    fn is_backward(&self) -> bool {
        false
    }
}

/// Which units count together.
///
/// Units of one part are evaluated into states of their own, which are handed over once the last of them is through; parts mostly end one
/// after the other. Units of no part share states to the end.
pub(crate) trait Evaluation: Send + Sync + 'static {
    type State: State;

    /// The part of a unit.
    fn part(&self, unit: &Unit) -> Option<usize>;

    fn new_state(&self, part: Option<usize>) -> Self::State;

    /// Takes the states of a part; it is complete unless one of its units could not be read. `rest` is a state of no part.
    fn finish_part(&self, part: usize, states: Vec<Self::State>, is_complete: bool, rest: &mut Self::State) -> Result<(), EvalError>;
}

/// An evaluation without parts.
struct Together<F>(F);

impl<S: State, F: Fn() -> S + Send + Sync + 'static> Evaluation for Together<F> {
    type State = S;

    fn part(&self, _unit: &Unit) -> Option<usize> {
        None
    }

    fn new_state(&self, _part: Option<usize>) -> S {
        (self.0)()
    }

    fn finish_part(&self, _part: usize, _states: Vec<S>, _is_complete: bool, _rest: &mut S) -> Result<(), EvalError> {
        Ok(())
    }
}

/// One unit for each chunk of memory and each block, with all its runs.
pub(crate) fn units(sources: &mut Sources) -> Vec<Unit> {
    let mut blocks: BTreeMap<(usize, u32), Vec<UnitRun>> = BTreeMap::new();
    let mut units = Vec::new();
    for stream in &mut sources.streams {
        for RunSource { order, place, keep, .. } in stream.runs.drain(..) {
            let labels = stream.labels.clone();
            match place {
                Place::Memory(rows) => units.push(Unit::Memory { labels, rows, order, keep }),
                Place::Block { object, block, run } => {
                    blocks.entry((object, block)).or_default().push(UnitRun { labels, run, order, keep })
                }
            }
        }
    }
    for ((object, number), runs) in blocks {
        units.push(Unit::Block { block: BlockRef { open: sources.objects[object].clone(), number }, runs });
    }
    units
}

/// Everything that all jobs of one evaluation share.
struct Shared<E: Evaluation> {
    evaluation: Arc<E>,
    /// Those of no part that no job uses.
    states: Mutex<Vec<E::State>>,
    parts: Mutex<FxHashMap<usize, OpenPart<E::State>>>,
    /// Decoders that no job uses; they keep their buffers.
    decoders: Mutex<Vec<Decoder>>,
    needs: Needs,
    laziness: Laziness,
    work: Work,
    /// What the states hold.
    held: Mutex<Held>,
    outcome: Mutex<Outcome>,
}

/// A part with units that are not through.
struct OpenPart<S> {
    /// Those that no job uses.
    states: Vec<S>,
    units_left: usize,
    is_complete: bool,
}

/// What an evaluation did, beside its states.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) stats: QueryStats,
    pub(crate) warnings: Vec<String>,
}

/// How units are to be read.
pub(crate) struct Reading {
    pub(crate) needs: Needs,
    pub(crate) probe: Probe,
    pub(crate) laziness: Laziness,
}

/// Whether blocks are read whole, or frame by frame until the state is settled: for queries that want few rows and filter none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Laziness {
    Whole,
    NewestFirst,
    OldestFirst,
}

impl Reader {
    /// Evaluates `units` in their order, several at a time; the states, to be merged by the caller.
    ///
    /// A block that cannot be read is left out, with a warning.
    pub(crate) async fn evaluate<S: State>(
        &self,
        units: Vec<Unit>,
        reading: Reading,
        new_state: impl Fn() -> S + Send + Sync + 'static,
    ) -> Result<(Vec<S>, Outcome), QueryError> {
        self.evaluate_parts(units, reading, Arc::new(Together(new_state))).await
    }

    /// As [`Reader::evaluate`]; the states are those of no part.
    pub(crate) async fn evaluate_parts<E: Evaluation>(
        &self,
        units: Vec<Unit>,
        reading: Reading,
        evaluation: Arc<E>,
    ) -> Result<(Vec<E::State>, Outcome), QueryError> {
        use futures::TryStreamExt;
        let Reading { needs, probe, laziness } = reading;
        let mut outcome = Outcome::default();
        let timer = self.work.time(Step::Filters);
        let units = filter::skip_blocks(self, units, &probe, &mut outcome).await?;
        drop(timer);
        let shared = Arc::new(Shared {
            parts: Mutex::new(open_parts(evaluation.as_ref(), &units)),
            evaluation,
            states: Mutex::default(),
            decoders: Mutex::default(),
            needs,
            laziness,
            work: self.work.clone(),
            held: Mutex::new(self.work.budget().hold_nothing()),
            outcome: Mutex::new(outcome),
        });
        let (at_once, job_bytes) = self.jobs();
        let jobs = futures::stream::iter(into_jobs(units, shared.is_lazy(), job_bytes).into_iter().map(Ok));
        jobs.try_for_each_concurrent(at_once, |job| self.run_job(job, shared.clone())).await?;
        // States are counted until the request has ended.
        self.work.keep(std::mem::replace(&mut *shared.held.lock(), self.work.budget().hold_nothing()));
        let states = std::mem::take(&mut *shared.states.lock());
        let outcome = std::mem::take(&mut *shared.outcome.lock());
        Ok((states, outcome))
    }

    /// How many jobs run at a time, and the raw bytes of each: so that they take half of the budget at most, and keep the pool busy.
    fn jobs(&self) -> (usize, u64) {
        let half = self.work.budget().limit() / 2;
        let job_bytes = JOB_BYTES.min(half / JOB_HOLDS);
        let fit = half / (JOB_HOLDS * job_bytes).max(1);
        (usize::try_from(fit).unwrap_or(usize::MAX).clamp(1, self.pool.threads() * 2), job_bytes)
    }

    async fn run_job<E: Evaluation>(&self, job: Vec<Unit>, shared: Arc<Shared<E>>) -> Result<(), QueryError> {
        use futures::{StreamExt, TryStreamExt};
        self.work.check()?;
        let is_wanted = |unit: &Unit| {
            let (min, max) = unit.time_span();
            !shared.states.lock().iter().any(|state| state.is_settled(min, max))
        };
        let wanted: Vec<Unit> = job.into_iter().filter(is_wanted).collect();
        let fetching = futures::stream::iter(wanted).map(|unit| self.fetch(unit, &shared)).buffered(FETCHES_MAX);
        let fetched: Vec<(Unit, Option<RawBlock>)> = fetching.try_collect().await?;
        let on_pool = shared.clone();
        let lazy = self.work.on_pool(move || on_pool.evaluate(fetched)).await?;
        for block in lazy {
            self.read_frames(block, &shared).await?;
        }
        Ok(())
    }

    /// What a unit needs of its block; nothing for a chunk of memory, or where it cannot be read.
    async fn fetch<E: Evaluation>(&self, unit: Unit, shared: &Shared<E>) -> Result<(Unit, Option<RawBlock>), QueryError> {
        let Unit::Block { block, runs } = &unit else { return Ok((unit, None)) };
        let extents = fetch::extents_needed(block.entry(), &shared.needs, &FramesOf(&shared.rows_at_once(runs)));
        let raw = self.fetch_parts(block, &extents, shared).await?.inspect_err(|error| shared.warn(error));
        Ok((unit, raw.ok()))
    }

    async fn fetch_parts<E: Evaluation>(
        &self,
        block: &BlockRef,
        extents: &[&Extent],
        shared: &Shared<E>,
    ) -> Result<Result<RawBlock, ReadError>, QueryError> {
        let _timer = self.work.time(Step::Fetch);
        let raw = Fetch::new(&self.work, block.entry(), extents)?.read(&self.catalog, &block.open).await;
        Ok(raw.inspect(|raw| shared.outcome.lock().stats.compressed_bytes += raw.bytes))
    }

    /// Reads the frames of a block from the end that the query begins at, until the state is settled.
    async fn read_frames<E: Evaluation>(&self, block: LazyBlock, shared: &Arc<Shared<E>>) -> Result<(), QueryError> {
        let block = Arc::new(block);
        let mut frames: Vec<(Timestamp, Timestamp, FrameEntry)> = block.frames().collect();
        match shared.laziness {
            Laziness::OldestFirst => frames.sort_by_key(|(min, _, _)| *min),
            Laziness::NewestFirst | Laziness::Whole => frames.sort_by_key(|(_, max, _)| std::cmp::Reverse(*max)),
        }
        for (min, max, frame) in frames {
            if shared.states.lock().iter().any(|state| state.is_settled(min, max)) {
                continue;
            }
            let raw = match self.fetch_parts(&block.block, &[&frame.extent], shared).await? {
                Ok(raw) => raw,
                Err(error) => {
                    shared.warn(&error);
                    continue;
                }
            };
            let (on_pool, of_block) = (shared.clone(), block.clone());
            let evaluate = move || on_pool.evaluate_frame(&of_block, &frame, &raw);
            self.work.on_pool(evaluate).await?;
        }
        Ok(())
    }
}

/// The parts that some of the units are of.
fn open_parts<E: Evaluation>(evaluation: &E, units: &[Unit]) -> FxHashMap<usize, OpenPart<E::State>> {
    let mut parts = FxHashMap::default();
    for part in units.iter().filter_map(|unit| evaluation.part(unit)) {
        parts.entry(part).or_insert_with(|| OpenPart { states: Vec::new(), units_left: 0, is_complete: true }).units_left += 1;
    }
    parts
}

/// Groups neighbouring units so that small ones share a job.
fn into_jobs(units: Vec<Unit>, lazy: bool, job_bytes: u64) -> Vec<Vec<Unit>> {
    let (mut jobs, mut bytes) = (Vec::<Vec<Unit>>::new(), u64::MAX);
    for unit in units {
        let size = unit.raw_bytes();
        if bytes.saturating_add(size) > job_bytes || lazy {
            jobs.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        jobs.last_mut().expect("the first unit makes one").push(unit);
    }
    jobs
}

/// A block whose frames are still to be read.
pub(crate) struct LazyBlock {
    block: BlockRef,
    runs: Vec<UnitRun>,
    columns: BlockColumns,
    /// What the columns were decoded of, which keeps both counted.
    _raw: RawBlock,
}

impl LazyBlock {
    /// Frames that hold rows of the runs, with the times of those rows.
    fn frames(&self) -> impl Iterator<Item = (Timestamp, Timestamp, FrameEntry)> {
        self.block.entry().frames.iter().filter_map(|frame| {
            let of_runs = self.runs.iter().map(|run| intersect(run.run.row_range(), frame.row_range())).filter(|rows| !rows.is_empty());
            let spans = of_runs.map(|rows| (self.columns.timestamps[rows.start], self.columns.timestamps[rows.end - 1]));
            let (min, max) = spans.reduce(|one, two| (one.0.min(two.0), one.1.max(two.1)))?;
            Some((Timestamp(min), Timestamp(max), *frame))
        })
    }
}

impl<E: Evaluation> Shared<E> {
    fn is_lazy(&self) -> bool {
        self.laziness != Laziness::Whole && self.needs.lines == LineNeed::Bytes
    }

    /// Rows whose lines are read together with the other columns: none, when frames are read one by one.
    fn rows_at_once(&self, runs: &[UnitRun]) -> Vec<Range<usize>> {
        if self.is_lazy() { Vec::new() } else { runs.iter().map(|run| run.run.row_range()).collect() }
    }

    fn warn(&self, error: &ReadError) {
        let mut outcome = self.outcome.lock();
        outcome.stats.unreadable += 1;
        outcome.warnings.push(format!("entries are missing from this answer: {}", chain(error)));
    }

    /// Lends a state of a part to `work`. Of each part, at most as many states exist as jobs run at a time.
    fn with_state<T>(
        &self,
        part: Option<usize>,
        work: impl FnOnce(&mut Lent<'_, E::State>, &mut Decoder) -> Result<T, QueryError>,
    ) -> Result<T, QueryError> {
        let taken = match part {
            None => self.states.lock().pop(),
            Some(part) => self.parts.lock().get_mut(&part).and_then(|open| open.states.pop()),
        };
        let mut decoder = self.decoders.lock().pop().unwrap_or_default();
        let counted = taken.as_ref().map_or(0, State::heap_bytes) as u64;
        let state = taken.unwrap_or_else(|| self.evaluation.new_state(part));
        let mut lent = Lent { state, counted, held: &self.held, work: &self.work };
        let result = work(&mut lent, &mut decoder).and_then(|done| lent.settle().map(|()| done));
        match part {
            None => self.states.lock().push(lent.state),
            Some(part) => self.parts.lock().get_mut(&part).expect("a part is open while it has units").states.push(lent.state),
        }
        self.decoders.lock().push(decoder);
        result
    }

    /// One unit of a part is through; the last one finishes it.
    fn unit_is_through(&self, part: Option<usize>, is_readable: bool) -> Result<(), QueryError> {
        let Some(part) = part else { return Ok(()) };
        let finished = {
            let mut parts = self.parts.lock();
            let open = parts.get_mut(&part).expect("a part is open while it has units");
            open.units_left -= 1;
            open.is_complete &= is_readable;
            if open.units_left == 0 { parts.remove(&part) } else { None }
        };
        let Some(OpenPart { states, is_complete, .. }) = finished else { return Ok(()) };
        let bytes: usize = states.iter().map(State::heap_bytes).sum();
        self.with_state(None, |rest, _| Ok(self.evaluation.finish_part(part, states, is_complete, &mut rest.state)?))?;
        let mut held = self.held.lock();
        let left = held.bytes().saturating_sub(bytes as u64);
        Ok(held.resize(left)?)
    }

    /// Evaluates fetched units; with lazy reading, gives back the blocks whose frames are to be read.
    fn evaluate(&self, fetched: Vec<(Unit, Option<RawBlock>)>) -> Result<Vec<LazyBlock>, QueryError> {
        let (mut stats, mut lazy) = (QueryStats::default(), Vec::new());
        for (unit, raw) in fetched {
            let part = self.evaluation.part(&unit);
            let mut is_readable = raw.is_some() || matches!(unit, Unit::Memory { .. });
            self.with_state(part, |state, decoder| {
                match (unit, raw) {
                    (Unit::Memory { labels, rows, order, keep }, _) => {
                        let _timer = self.work.time(Step::Evaluate);
                        let found = state.add(&Batch::new(&labels, &rows), &selection(keep), order)?;
                        stats.memory_lines += found.rows;
                        stats.memory_bytes += found.line_bytes;
                        stats.post_filter_lines += found.matched;
                    }
                    (Unit::Block { block, runs }, Some(raw)) => {
                        let timer = self.work.time(Step::Decode);
                        let decoded = raw.decode(decoder, block.entry(), &self.needs, &FramesOf(&self.rows_at_once(&runs)));
                        drop(timer);
                        match decoded {
                            Ok(columns) => {
                                let _timer = self.work.time(Step::Evaluate);
                                stats.blocks_read += 1;
                                if self.is_lazy() {
                                    lazy.push(LazyBlock { block, runs, columns, _raw: raw });
                                } else {
                                    add_block(state, &columns, &runs, &mut stats)?;
                                }
                            }
                            Err(error) => {
                                is_readable = false;
                                self.warn(&block.damaged(error));
                            }
                        }
                    }
                    (Unit::Block { .. }, None) => {}
                }
                Ok(())
            })?;
            self.unit_is_through(part, is_readable)?;
        }
        self.outcome.lock().stats.add(&stats);
        Ok(lazy)
    }

    fn evaluate_frame(&self, block: &LazyBlock, frame: &FrameEntry, raw: &RawBlock) -> Result<(), QueryError> {
        let mut stats = QueryStats::default();
        let rows: Vec<Range<usize>> = block.runs.iter().map(|run| run.run.row_range()).collect();
        let len = FramesOf(&rows).bytes_of(frame, &block.columns.line_ends);
        let decode = |decoder: &mut Decoder| {
            let _timer = self.work.time(Step::Decode);
            raw.decode_frame(decoder, frame, len)
        };
        let damaged = self.with_state(None, |state, decoder| match decode(decoder) {
            Ok(lines) => {
                let _timer = self.work.time(Step::Evaluate);
                add_frame(state, &block.columns, &block.runs, frame, &lines, &mut stats).map(|()| None)
            }
            Err(error) => Ok(Some(block.block.damaged(error))),
        })?;
        self.outcome.lock().stats.add(&stats);
        damaged.iter().for_each(|error| self.warn(error));
        Ok(())
    }
}

/// A state while a job has it.
struct Lent<'a, S> {
    state: S,
    /// Bytes of it that are counted.
    counted: u64,
    held: &'a Mutex<Held>,
    work: &'a Work,
}

impl<S: State> Lent<'_, S> {
    /// Adds rows slice by slice, as long as somebody waits.
    fn add(&mut self, batch: &Batch<'_>, selection: &Selection, order: (u64, u64)) -> Result<Stats, QueryError> {
        let mut slices = slices(batch);
        if let [_] = slices[..] {
            self.work.check()?;
            return Ok(self.state.add(batch, selection, order)?);
        }
        if self.state.is_backward() {
            slices.reverse();
        }
        let mut stats = Stats::default();
        for rows in slices {
            self.work.check()?;
            let first = order.1 + rows.start as u64;
            stats.add(self.state.add(&batch.slice(rows.clone()), &part(selection, &rows), (order.0, first))?);
        }
        Ok(stats)
    }

    /// Counts what the state has grown by.
    fn settle(&mut self) -> Result<(), QueryError> {
        let bytes = self.state.heap_bytes() as u64;
        let mut held = self.held.lock();
        let all = held.bytes() + bytes - self.counted;
        held.resize(all)?;
        self.counted = bytes;
        Ok(())
    }
}

/// Cuts the rows of a batch so that each part is evaluated quickly.
fn slices(batch: &Batch<'_>) -> Vec<Range<usize>> {
    let bytes = |rows: Range<usize>| batch.lines.filter(|lines| !lines.bytes.is_empty()).map_or(0, |lines| lines.byte_len(rows));
    let (mut found, mut start) = (Vec::with_capacity(1), 0);
    while start < batch.len() {
        let mut end = batch.len().min(start + SLICE_ROWS);
        while end - start > 1 && bytes(start..end) > SLICE_BYTES {
            end = start + (end - start) / 2;
        }
        found.push(start..end);
        start = end;
    }
    found
}

/// What is selected of some rows, counted from the first of them.
fn part(selection: &Selection, rows: &Range<usize>) -> Selection {
    match selection {
        Selection::All => Selection::All,
        Selection::Rows(selected) => {
            let from = selected.partition_point(|row| (*row as usize) < rows.start);
            let until = selected.partition_point(|row| (*row as usize) < rows.end);
            Selection::Rows(selected[from..until].iter().map(|row| row - rows.start as u32).collect())
        }
    }
}

fn selection(keep: Option<Vec<u32>>) -> Selection {
    keep.map_or(Selection::All, Selection::Rows)
}

fn intersect(a: Range<usize>, b: Range<usize>) -> Range<usize> {
    a.start.max(b.start)..a.end.min(b.end).max(a.start.max(b.start))
}

/// Evaluates the runs of a decoded block: frame by frame when lines are there, else at once.
fn add_block<S: State>(
    state: &mut Lent<'_, S>,
    columns: &BlockColumns,
    runs: &[UnitRun],
    stats: &mut QueryStats,
) -> Result<(), QueryError> {
    if !columns.frames.is_empty() {
        return columns.frames.iter().try_for_each(|(frame, lines)| add_frame(state, columns, runs, frame, lines, stats));
    }
    for run in runs {
        let rows = run.run.row_range();
        let lines = (!columns.line_ends.is_empty()).then(|| line_bounds(columns, rows.clone()));
        add_rows(state, columns, run, rows, lines, stats)?;
    }
    Ok(())
}

/// Bounds of lines whose bytes are not there: only their lengths are known.
fn line_bounds(columns: &BlockColumns, rows: Range<usize>) -> Lines<'_> {
    let start = if rows.start == 0 { 0 } else { columns.line_ends[rows.start - 1] };
    Lines { bytes: &[], start, ends: &columns.line_ends[rows] }
}

fn add_frame<S: State>(
    state: &mut Lent<'_, S>,
    columns: &BlockColumns,
    runs: &[UnitRun],
    frame: &FrameEntry,
    lines: &[u8],
    stats: &mut QueryStats,
) -> Result<(), QueryError> {
    let ends = columns.frame_line_ends(frame);
    let first = frame.first_row as usize;
    for run in runs {
        let rows = intersect(run.run.row_range(), frame.row_range());
        if rows.is_empty() {
            continue;
        }
        let start = if rows.start == first { 0 } else { ends[rows.start - first - 1] };
        let of_rows = Lines { bytes: lines, start, ends: &ends[rows.start - first..rows.end - first] };
        add_rows(state, columns, run, rows, Some(of_rows), stats)?;
    }
    Ok(())
}

fn add_rows<S: State>(
    state: &mut Lent<'_, S>,
    columns: &BlockColumns,
    run: &UnitRun,
    rows: Range<usize>,
    lines: Option<Lines<'_>>,
    stats: &mut QueryStats,
) -> Result<(), QueryError> {
    let first_of_run = rows.start - run.run.first_row as usize;
    let batch = Batch {
        labels: &run.labels,
        timestamps: &columns.timestamps[rows.clone()],
        lines,
        columns: &columns.columns,
        column_offset: rows.start,
    };
    let selection = match &run.keep {
        None => Selection::All,
        Some(keep) => {
            let of_rows = keep.iter().map(|row| *row as usize).filter(|row| (first_of_run..first_of_run + rows.len()).contains(row));
            Selection::Rows(of_rows.map(|row| (row - first_of_run) as u32).collect())
        }
    };
    let found = state.add(&batch, &selection, (run.order.0, run.order.1 + first_of_run as u64))?;
    stats.object_lines += found.rows;
    stats.object_bytes += found.line_bytes;
    stats.post_filter_lines += found.matched;
    Ok(())
}

#[cfg(test)]
mod tests;
