//! Evaluates sources in parallel: blocks are fetched, then decoded and evaluated on the CPU pool, a bounded number at a time.

use crate::error::QueryError;
use crate::fetch::{self, BlockColumns, BlockRef, FramesOf};
use crate::filter;
use crate::gather::{Place, RunSource, Sources};
use crate::stats::QueryStats;
use parking_lot::Mutex;
use skald_block::{Decoder, FrameEntry, Run};
use skald_logql::exec::{Batch, EvalError, LineNeed, Lines, Needs, Probe, Selection, Stats};
use skald_model::seam::{CpuPool, run_on_pool};
use skald_model::{Labels, Rows, Timestamp};
use skald_runtime::chain;
use skald_store::{Catalog, ReadError};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Raw bytes of rows that one job evaluates at most, beside the unit that passes the bound.
const JOB_BYTES: u64 = 2 << 20;

/// What runs a query needs to be read.
pub(crate) struct Reader {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) pool: Arc<dyn CpuPool>,
    /// Bytes that the states of one query may hold.
    pub(crate) budget: u64,
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
struct Shared<S> {
    states: Mutex<Vec<S>>,
    /// Decoders that no job uses; they keep their buffers.
    decoders: Mutex<Vec<Decoder>>,
    new_state: Box<dyn Fn() -> S + Send + Sync>,
    needs: Needs,
    laziness: Laziness,
    held: AtomicU64,
    outcome: Mutex<Outcome>,
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
        use futures::TryStreamExt;
        let Reading { needs, probe, laziness } = reading;
        let mut outcome = Outcome::default();
        let units = filter::skip_blocks(&self.catalog, units, &probe, &mut outcome).await;
        let shared = Arc::new(Shared {
            states: Mutex::default(),
            decoders: Mutex::default(),
            new_state: Box::new(new_state),
            needs,
            laziness,
            held: AtomicU64::new(0),
            outcome: Mutex::new(outcome),
        });
        let at_once = self.pool.threads() * 2;
        let jobs = futures::stream::iter(into_jobs(units, shared.is_lazy()).into_iter().map(Ok));
        jobs.try_for_each_concurrent(at_once, |job| self.run_job(job, shared.clone())).await?;
        let states = std::mem::take(&mut *shared.states.lock());
        let outcome = std::mem::take(&mut *shared.outcome.lock());
        Ok((states, outcome))
    }

    async fn run_job<S: State>(&self, job: Vec<Unit>, shared: Arc<Shared<S>>) -> Result<(), QueryError> {
        let mut fetched = Vec::with_capacity(job.len());
        for unit in job {
            let (min, max) = unit.time_span();
            if shared.states.lock().iter().any(|state| state.is_settled(min, max)) {
                continue;
            }
            match self.fetch(&unit, &shared).await {
                Ok(raw) => fetched.push((unit, raw)),
                Err(error) => shared.warn(&error),
            }
        }
        let on_pool = shared.clone();
        let lazy = run_on_pool(self.pool.as_ref(), move || on_pool.evaluate(fetched)).await.map_err(|_| QueryError::Stopped)??;
        for block in lazy {
            self.read_frames(block, &shared).await?;
        }
        if shared.held.load(Ordering::Relaxed) > self.budget {
            return Err(QueryError::Memory { budget: self.budget });
        }
        Ok(())
    }

    async fn fetch<S: State>(&self, unit: &Unit, shared: &Shared<S>) -> Result<Option<fetch::RawBlock>, ReadError> {
        let Unit::Block { block, runs } = unit else { return Ok(None) };
        let extents = fetch::extents_needed(block.entry(), &shared.needs, &FramesOf(&shared.rows_at_once(runs)));
        let raw = fetch::read(&self.catalog, &block.open, &extents).await?;
        shared.outcome.lock().stats.compressed_bytes += raw.bytes;
        Ok(Some(raw))
    }

    /// Reads the frames of a block from the end that the query begins at, until the state is settled.
    async fn read_frames<S: State>(&self, block: LazyBlock, shared: &Arc<Shared<S>>) -> Result<(), QueryError> {
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
            let raw = match fetch::read(&self.catalog, &block.block.open, &[&frame.extent]).await {
                Ok(raw) => raw,
                Err(error) => {
                    shared.warn(&error);
                    continue;
                }
            };
            shared.outcome.lock().stats.compressed_bytes += raw.bytes;
            let (on_pool, of_block) = (shared.clone(), block.clone());
            let evaluate = move || on_pool.evaluate_frame(&of_block, &frame, &raw);
            run_on_pool(self.pool.as_ref(), evaluate).await.map_err(|_| QueryError::Stopped)??;
        }
        Ok(())
    }
}

/// Groups neighbouring units so that small ones share a job.
fn into_jobs(units: Vec<Unit>, lazy: bool) -> Vec<Vec<Unit>> {
    let (mut jobs, mut bytes) = (Vec::<Vec<Unit>>::new(), u64::MAX);
    for unit in units {
        let size = unit.raw_bytes();
        if bytes.saturating_add(size) > JOB_BYTES || lazy {
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

impl<S: State> Shared<S> {
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

    /// Lends a state to `work`. At most as many states exist as jobs run at a time.
    fn with_state<T>(&self, work: impl FnOnce(&mut S, &mut Decoder) -> Result<T, EvalError>) -> Result<T, QueryError> {
        let taken = self.states.lock().pop();
        let mut decoder = self.decoders.lock().pop().unwrap_or_default();
        let mut state = taken.unwrap_or_else(|| (self.new_state)());
        let before = state.heap_bytes() as u64;
        let result = work(&mut state, &mut decoder);
        let after = state.heap_bytes() as u64;
        if after >= before {
            self.held.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.held.fetch_sub(before - after, Ordering::Relaxed);
        }
        self.states.lock().push(state);
        self.decoders.lock().push(decoder);
        result.map_err(QueryError::Eval)
    }

    /// Evaluates fetched units; with lazy reading, gives back the blocks whose frames are to be read.
    fn evaluate(&self, fetched: Vec<(Unit, Option<fetch::RawBlock>)>) -> Result<Vec<LazyBlock>, QueryError> {
        let (mut stats, mut lazy) = (QueryStats::default(), Vec::new());
        let mut damaged = Vec::new();
        self.with_state(|state, decoder| {
            for (unit, raw) in fetched {
                match (unit, raw) {
                    (Unit::Memory { labels, rows, order, keep }, _) => {
                        let found = state.add(&Batch::new(&labels, &rows), &selection(keep), order)?;
                        stats.memory_lines += found.rows;
                        stats.memory_bytes += found.line_bytes;
                        stats.post_filter_lines += found.matched;
                    }
                    (Unit::Block { block, runs }, Some(raw)) => {
                        match raw.decode(decoder, block.entry(), &self.needs, &FramesOf(&self.rows_at_once(&runs))) {
                            Ok(columns) => {
                                stats.blocks_read += 1;
                                if self.is_lazy() {
                                    lazy.push(LazyBlock { block, runs, columns });
                                } else {
                                    add_block(state, &columns, &runs, &mut stats)?;
                                }
                            }
                            Err(error) => damaged.push(block.damaged(error)),
                        }
                    }
                    (Unit::Block { .. }, None) => {}
                }
            }
            Ok(())
        })?;
        self.outcome.lock().stats.add(&stats);
        damaged.iter().for_each(|error| self.warn(error));
        Ok(lazy)
    }

    fn evaluate_frame(&self, block: &LazyBlock, frame: &FrameEntry, raw: &fetch::RawBlock) -> Result<(), QueryError> {
        let mut stats = QueryStats::default();
        let rows: Vec<Range<usize>> = block.runs.iter().map(|run| run.run.row_range()).collect();
        let len = FramesOf(&rows).bytes_of(frame, &block.columns.line_ends);
        let damaged = self.with_state(|state, decoder| match raw.decode_frame(decoder, frame, len) {
            Ok(lines) => add_frame(state, &block.columns, &block.runs, frame, &lines, &mut stats).map(|()| None),
            Err(error) => Ok(Some(block.block.damaged(error))),
        })?;
        self.outcome.lock().stats.add(&stats);
        damaged.iter().for_each(|error| self.warn(error));
        Ok(())
    }
}

fn selection(keep: Option<Vec<u32>>) -> Selection {
    keep.map_or(Selection::All, Selection::Rows)
}

fn intersect(a: Range<usize>, b: Range<usize>) -> Range<usize> {
    a.start.max(b.start)..a.end.min(b.end).max(a.start.max(b.start))
}

/// Evaluates the runs of a decoded block: frame by frame when lines are there, else at once.
fn add_block<S: State>(state: &mut S, columns: &BlockColumns, runs: &[UnitRun], stats: &mut QueryStats) -> Result<(), EvalError> {
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
    state: &mut S,
    columns: &BlockColumns,
    runs: &[UnitRun],
    frame: &FrameEntry,
    lines: &[u8],
    stats: &mut QueryStats,
) -> Result<(), EvalError> {
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
    state: &mut S,
    columns: &BlockColumns,
    run: &UnitRun,
    rows: Range<usize>,
    lines: Option<Lines<'_>>,
    stats: &mut QueryStats,
) -> Result<(), EvalError> {
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
mod tests {
    use super::*;

    struct Holds(usize);

    impl State for Holds {
        fn add(&mut self, _batch: &Batch<'_>, _selection: &Selection, _order: (u64, u64)) -> Result<Stats, EvalError> {
            Ok(Stats::default())
        }

        fn heap_bytes(&self) -> usize {
            self.0
        }

        fn is_settled(&self, _min: Timestamp, _max: Timestamp) -> bool {
            false
        }
    }

    #[test]
    fn what_states_let_go_of_is_no_longer_held() {
        let shared = Shared {
            states: Mutex::default(),
            decoders: Mutex::default(),
            new_state: Box::new(|| Holds(0)),
            needs: Needs { lines: LineNeed::None, columns: skald_logql::exec::Columns::All },
            laziness: Laziness::Whole,
            held: AtomicU64::new(0),
            outcome: Mutex::default(),
        };
        for bytes in [100, 10, 100, 30] {
            let resize = |state: &mut Holds, _: &mut Decoder| {
                state.0 = bytes;
                Ok(())
            };
            shared.with_state(resize).expect("nothing fails");
            assert_eq!(shared.held.load(Ordering::Relaxed), bytes as u64);
        }
    }
}
