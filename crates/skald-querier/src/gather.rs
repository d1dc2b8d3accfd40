//! Where the rows of a query stand: chunks of memory and runs of blocks, by stream.

use crate::budget::{Budget, Held};
use crate::error::QueryError;
use crate::read::{Reader, UnitRun};
use crate::stats::QueryStats;
use crate::tables::{self, Matched, Tables};
use crate::tenants::View;
use crate::wanted::{self, MatchingWanted, Wanted};
use futures::TryStreamExt;
use rustc_hash::FxHashMap;
use skald_block::{ColumnEntry, Run};
use skald_logql::exec::RunCounts;
use skald_model::{GenerationPart, Labels, Rows, TenantId, TimeRange, Timestamp};
use skald_rpc::{Ingester, SelectRequest, Selected};
use skald_store::OpenObject;
use std::collections::HashSet;
use std::sync::Arc;

/// Bytes that a run takes until it has been read.
const RUN_BYTES: u64 = (size_of::<RunSource>() + size_of::<UnitRun>()) as u64;

/// Rows of one stream that stand together.
pub(crate) struct RunSource {
    pub(crate) min: Timestamp,
    pub(crate) max: Timestamp,
    pub(crate) rows: u32,
    /// Source and first row: of equal entries the one with the lowest wins, and equal timestamps come in this order.
    pub(crate) order: (u64, u64),
    pub(crate) place: Place,
    /// The rows that no earlier source has; `None` means all.
    pub(crate) keep: Option<Vec<u32>>,
}

/// Where rows stand.
#[derive(Clone)]
pub(crate) enum Place {
    Memory(Arc<Rows>),
    Block { object: usize, block: u32, run: Run },
}

impl Place {
    /// The object that the rows are in, if they are in one.
    pub(crate) fn object(&self) -> Option<usize> {
        match self {
            Place::Memory(_) => None,
            Place::Block { object, .. } => Some(*object),
        }
    }

    /// What the directory says of a run, and the metadata columns that its block has.
    pub(crate) fn counts<'a>(&self, objects: &'a [Arc<OpenObject>]) -> Option<(RunCounts, &'a [ColumnEntry])> {
        match self {
            Place::Memory(_) => None,
            Place::Block { object, block, run } => Some((run_counts(run), &objects[*object].footer.blocks[*block as usize].columns)),
        }
    }

    pub(crate) fn line_bytes(&self) -> u64 {
        match self {
            Place::Memory(rows) => rows.line_bytes().len() as u64,
            Place::Block { run, .. } => u64::from(run.line_bytes),
        }
    }
}

/// All rows of one stream that a query may need.
pub(crate) struct StreamSources {
    pub(crate) labels: Labels,
    pub(crate) runs: Vec<RunSource>,
}

/// Everything that a query reads.
#[derive(Default)]
pub(crate) struct Sources {
    pub(crate) objects: Vec<Arc<OpenObject>>,
    /// Of these, the ones that have, or may have, wanted streams with rows outside of the range.
    pub(crate) outside: HashSet<usize>,
    /// Of these, the ones of which runs were left out because they cannot be read.
    pub(crate) damaged: HashSet<usize>,
    pub(crate) streams: Vec<StreamSources>,
    pub(crate) warnings: Vec<String>,
    pub(crate) stats: QueryStats,
    /// Memory of footers and runs.
    pub(crate) held: Vec<Held>,
}

/// Asks memory first and the catalogue then: what is flushed in between is in the first answer, and its objects are left out of the second.
pub(crate) async fn gather(
    ingester: &dyn Ingester,
    reader: &Reader,
    tenants: &[TenantId],
    wanted: Arc<dyn Wanted>,
    range: TimeRange,
) -> Result<Sources, QueryError> {
    let (mut found, mut sources) = (Vec::new(), Sources::default());
    for view in View::of_all(tenants, wanted.selector()) {
        let matcher = Arc::new(MatchingWanted { view: view.clone(), wanted: wanted.clone() });
        let request = SelectRequest { matcher: matcher.clone(), range, labels_only: false };
        let selected = ingester.select(view.tenant(), request).await.map_err(QueryError::Select)?;
        let tables = Tables::look_up(reader, view.tenant(), range, &selected, &HashSet::new()).await;
        let objects = wanted::objects(reader, &matcher, range, tables, &mut sources).await?;
        let opened: Vec<_> = tables::open(reader, objects, range).try_collect().await?;
        found.push((view, selected, opened));
    }
    let work = reader.work.clone();
    let build = move || {
        let mut builder = Builder::new(range, work.budget());
        builder.sources = sources;
        for (view, selected, opened) in found {
            for stream in selected.streams {
                builder.add_memory(&view.labels(&stream.labels), stream.generation, stream.chunks)?;
            }
            for matched in opened {
                work.check()?;
                match matched {
                    Ok(matched) => {
                        if let Some(profiler) = work.profiler() {
                            profiler.object(&matched, range);
                        }
                        builder.add_object(&view, matched)?;
                    }
                    Err(warning) => {
                        builder.sources.stats.unreadable += 1;
                        builder.sources.warnings.push(warning);
                    }
                }
            }
        }
        Ok(builder.finish())
    };
    reader.work.on_pool(build).await
}

/// What memory has of a tenant.
pub(crate) async fn memory(reader: &Reader, selected: Selected, range: TimeRange) -> Result<Sources, QueryError> {
    let work = reader.work.clone();
    let build = move || {
        let mut builder = Builder::new(range, work.budget());
        for stream in selected.streams {
            builder.add_memory(&stream.labels, stream.generation, stream.chunks)?;
        }
        Ok(builder.finish())
    };
    reader.work.on_pool(build).await
}

struct Builder {
    range: TimeRange,
    by_labels: FxHashMap<Labels, usize>,
    sources: Sources,
    held: Held,
}

impl Builder {
    fn new(range: TimeRange, budget: &Budget) -> Self {
        Builder { range, by_labels: FxHashMap::default(), sources: Sources::default(), held: budget.hold_nothing() }
    }

    fn finish(mut self) -> Sources {
        self.sources.held.push(self.held);
        self.sources
    }

    fn stream(&mut self, labels: &Labels) -> &mut StreamSources {
        let streams = &mut self.sources.streams;
        let at = *self.by_labels.entry(labels.clone()).or_insert_with(|| {
            streams.push(StreamSources { labels: labels.clone(), runs: Vec::new() });
            streams.len() - 1
        });
        &mut streams[at]
    }

    /// Chunks are counted where they are, in the memtable; one that nobody else holds any more is counted here.
    fn add_memory(&mut self, labels: &Labels, at: GenerationPart, chunks: Vec<Arc<Rows>>) -> Result<(), QueryError> {
        let own = chunks.iter().filter(|chunk| Arc::strong_count(chunk) == 1).map(|chunk| chunk.heap_bytes() as u64);
        self.held.grow(own.sum::<u64>() + chunks.len() as u64 * RUN_BYTES)?;
        let range = self.range;
        let stream = self.stream(labels);
        let mut first_row = 0;
        for rows in chunks {
            let Some((min, max)) = rows.time_span() else { continue };
            let order = order(at, first_row);
            first_row += rows.len() as u64;
            if range.overlaps(min, max) {
                stream.runs.push(RunSource { min, max, rows: rows.len() as u32, order, place: Place::Memory(rows), keep: None });
            }
        }
        Ok(())
    }

    fn add_object(&mut self, view: &View, matched: Matched) -> Result<(), QueryError> {
        let Matched { open, streams, has_all, held } = matched;
        let (number, range) = (self.sources.objects.len(), self.range);
        for (stream, labels) in streams {
            let labels = view.labels(&labels);
            self.held.grow(open.footer.runs_of(stream).len() as u64 * RUN_BYTES)?;
            let mut first_row = 0;
            let sources = self.stream(&labels);
            let mut is_inside = true;
            for (at, run) in open.footer.runs_of(stream) {
                let run = *run;
                let order = order(at_of(&open), first_row);
                first_row += u64::from(run.rows);
                is_inside &= range.covers(run.min_time, run.max_time);
                if range.overlaps(run.min_time, run.max_time) {
                    let place = Place::Block { object: number, block: at.block, run };
                    sources.runs.push(RunSource { min: run.min_time, max: run.max_time, rows: run.rows, order, place, keep: None });
                }
            }
            if !is_inside {
                self.sources.outside.insert(number);
            }
        }
        let (min, max) = open.footer.summary.time_span();
        if !has_all && !range.covers(min, max) {
            self.sources.outside.insert(number);
        }
        self.sources.objects.push(open);
        self.sources.held.push(held);
        Ok(())
    }
}

/// The earliest rows of an object.
fn at_of(open: &OpenObject) -> GenerationPart {
    GenerationPart { generation: open.footer.info.generation, part: open.footer.info.part }
}

/// Sources come in the order of their generations, rows of a part of one after those of the part before.
fn order(at: GenerationPart, row: u64) -> (u64, u64) {
    (at.generation.0, u64::from(at.part) << 40 | row)
}

fn run_counts(run: &Run) -> RunCounts {
    let mut levels = [0; 8];
    levels.iter_mut().zip(run.levels).for_each(|(to, from)| *to = u64::from(from));
    RunCounts { rows: u64::from(run.rows), line_bytes: u64::from(run.line_bytes), min: run.min_time, max: run.max_time, levels }
}
