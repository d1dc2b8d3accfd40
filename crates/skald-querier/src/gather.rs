//! Where the rows of a query stand: chunks of memory and runs of blocks, by stream.

use crate::budget::Held;
use crate::error::QueryError;
use crate::read::{Reader, UnitRun};
use crate::stats::QueryStats;
use crate::tenants::{TENANT_LABEL, View};
use rustc_hash::FxHashMap;
use skald_block::{ColumnEntry, Run};
use skald_logql::exec::{Pipeline, RangeLeaf, RunCounts, Selector};
use skald_logql::plan::LogPlan;
use skald_model::{GenerationPart, Labels, Rows, TenantId, TimeRange, Timestamp};
use skald_rpc::{Ingester, LabelMatcher, SelectRequest};
use skald_runtime::chain;
use skald_store::{OpenObject, ReadError};
use std::collections::HashSet;
use std::sync::Arc;

/// Objects that are opened at a time.
pub(crate) const OPEN_MAX: usize = 16;
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
    /// Of these, the ones that have wanted streams with rows outside of the range.
    pub(crate) outside: HashSet<usize>,
    /// Of these, the ones of which runs were left out because they cannot be read.
    pub(crate) damaged: HashSet<usize>,
    pub(crate) streams: Vec<StreamSources>,
    pub(crate) warnings: Vec<String>,
    pub(crate) stats: QueryStats,
    /// Memory of footers and runs.
    pub(crate) held: Vec<Held>,
}

/// What a query wants of the streams.
pub(crate) trait Wanted: Send + Sync + 'static {
    fn selector(&self) -> &Selector;
    fn pipeline(&self) -> &Pipeline;
}

impl Wanted for LogPlan {
    fn selector(&self) -> &Selector {
        LogPlan::selector(self)
    }

    fn pipeline(&self) -> &Pipeline {
        LogPlan::pipeline(self)
    }
}

impl Wanted for RangeLeaf {
    fn selector(&self) -> &Selector {
        RangeLeaf::selector(self)
    }

    fn pipeline(&self) -> &Pipeline {
        RangeLeaf::pipeline(self)
    }
}

/// Asks memory first and the catalogue then: what is flushed in between is in the first answer, and its objects are left out of the second.
pub(crate) async fn gather(
    ingester: &dyn Ingester,
    reader: &Reader,
    tenants: &[TenantId],
    wanted: Arc<dyn Wanted>,
    range: TimeRange,
) -> Result<Sources, QueryError> {
    let mut found = Vec::new();
    for view in View::of_all(tenants, wanted.selector()) {
        let matcher = Arc::new(MatchingWanted { view: view.clone(), wanted: wanted.clone() });
        let request = SelectRequest { matcher, range, labels_only: false };
        let selected = ingester.select(view.tenant(), request).await.map_err(QueryError::Select)?;
        let (of_view, of_wanted) = (view.clone(), wanted.clone());
        let streams = move |open: &OpenObject| {
            let label_values: Vec<_> = of_wanted.pipeline().label_values().filter(|(name, _)| *name != TENANT_LABEL).collect();
            matching_streams(open, of_view.selector(), &label_values)
        };
        let opened = open_objects(reader, view.tenant(), streams, range, &selected).await?;
        found.push((view, selected, opened));
    }
    let work = reader.work.clone();
    let build = move || {
        let (by_labels, held) = (FxHashMap::default(), work.budget().hold_nothing());
        let mut builder = Builder { pipeline: wanted.pipeline(), range, by_labels, sources: Sources::default(), held };
        for (view, selected, opened) in found {
            for stream in selected.streams {
                builder.add_memory(&view.labels(&stream.labels), stream.generation, stream.chunks)?;
            }
            for matched in opened.objects {
                work.check()?;
                if let Some(profiler) = work.profiler() {
                    let can_match =
                        |stream: &&u32| builder.pipeline.stream_can_match(&view.labels(&matched.open.labels[**stream as usize]));
                    let wanted: Vec<u32> = matched.streams.iter().filter(can_match).copied().collect();
                    profiler.object(&matched.open, &wanted, range);
                }
                builder.add_object(&view, matched)?;
            }
            builder.sources.stats.unreadable += opened.warnings.len() as u64;
            builder.sources.warnings.extend(opened.warnings);
            builder.sources.held.push(opened.held);
        }
        builder.sources.held.push(builder.held);
        Ok(builder.sources)
    };
    reader.work.on_pool(build).await
}

/// The objects with streams that a query wants.
pub(crate) struct Opened {
    pub(crate) objects: Vec<Matched>,
    /// What could not be opened.
    pub(crate) warnings: Vec<String>,
    /// Memory of the footers.
    pub(crate) held: Held,
}

/// An object, and the numbers of its streams that are wanted, ascending; at least one.
pub(crate) struct Matched {
    pub(crate) open: Arc<OpenObject>,
    pub(crate) streams: Vec<u32>,
}

/// Opens the objects that memory did not answer for and lets go of those of which `streams` wants none. One that cannot be read becomes a
/// warning: its entries are missing from the answer.
pub(crate) async fn open_objects(
    reader: &Reader,
    tenant: &TenantId,
    streams: impl Fn(&OpenObject) -> Vec<u32> + Send + Sync + 'static,
    range: TimeRange,
    selected: &skald_rpc::Selected,
) -> Result<Opened, QueryError> {
    use futures::StreamExt;
    let covered: HashSet<_> = selected.generations.iter().collect();
    let live = reader.catalog.objects(tenant, range).await;
    let wanted = live.into_iter().filter(|object| object.name.flushed_from(selected.disk).is_none_or(|at| !covered.contains(&at)));
    let streams = Arc::new(streams);
    let open = |object| {
        let streams = streams.clone();
        async move {
            let open = match reader.catalog.open_object(&object, reader.pool.as_ref()).await {
                Ok(open) => open,
                Err(error) => return Ok(Err(error)),
            };
            let (min, max) = open.footer.summary.time_span();
            if !range.overlaps(min, max) {
                return Ok(Ok(None));
            }
            let of_object = open.clone();
            let streams = reader.work.on_pool(move || Ok(streams(&of_object))).await?;
            Ok::<Result<_, ReadError>, QueryError>(Ok((!streams.is_empty()).then_some(Matched { open, streams })))
        }
    };
    let mut opening = futures::stream::iter(wanted.map(open)).buffered(OPEN_MAX);
    let mut opened = Opened { objects: Vec::new(), warnings: Vec::new(), held: reader.work.budget().hold_nothing() };
    while let Some(next) = opening.next().await {
        match next? {
            Ok(Some(matched)) => {
                opened.held.grow((matched.open.heap_bytes() + 4 * matched.streams.capacity()) as u64)?;
                opened.objects.push(matched);
            }
            Ok(None) => {}
            Err(error) => opened.warnings.push(format!("entries are missing from this answer: {}", chain(&error))),
        }
    }
    Ok(opened)
}

/// A selector, as ingesters ask it.
pub(crate) struct Matching(pub(crate) Selector);

impl LabelMatcher for Matching {
    fn matches(&self, labels: &Labels) -> bool {
        self.0.matches(labels)
    }
}

/// A selector and what label filters demand of labels, as ingesters ask it.
struct MatchingWanted {
    view: View,
    wanted: Arc<dyn Wanted>,
}

impl LabelMatcher for MatchingWanted {
    fn matches(&self, labels: &Labels) -> bool {
        self.view.selector().matches(labels) && self.wanted.pipeline().stream_can_match(&self.view.labels(labels))
    }
}

struct Builder<'a> {
    pipeline: &'a Pipeline,
    range: TimeRange,
    by_labels: FxHashMap<Labels, usize>,
    sources: Sources,
    held: Held,
}

impl Builder<'_> {
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
        let Matched { open, streams } = matched;
        let (number, range) = (self.sources.objects.len(), self.range);
        for stream in streams {
            let labels = view.labels(&open.labels[stream as usize]);
            if !self.pipeline.stream_can_match(&labels) {
                continue;
            }
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
        self.sources.objects.push(open);
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

/// Streams of an object that a selector wants. Equality matchers go through the postings, the others look at what those leave.
pub(crate) fn matching_streams(open: &OpenObject, selector: &Selector, label_values: &[(&str, Vec<String>)]) -> Vec<u32> {
    let table = &open.streams;
    let mut narrowed: Option<Vec<u32>> = None;
    for (name, value) in selector.equalities() {
        let with = table.streams_with(name, value);
        narrowed = Some(match narrowed {
            None => with.to_vec(),
            Some(streams) => streams.into_iter().filter(|stream| with.binary_search(stream).is_ok()).collect(),
        });
    }
    for (name, values) in label_values {
        let with_label: usize = table.values(name).map(|(_, streams)| streams.len()).sum();
        if with_label < table.len() {
            continue;
        }
        let lists: Vec<&[u32]> = values.iter().map(|value| table.streams_with(name, value)).collect();
        narrowed = Some(match narrowed {
            None => merged(&lists),
            Some(streams) => streams.into_iter().filter(|stream| lists.iter().any(|list| list.binary_search(stream).is_ok())).collect(),
        });
    }
    let streams = narrowed.unwrap_or_else(|| (0..table.len() as u32).collect());
    streams.into_iter().filter(|stream| selector.matches(&open.labels[*stream as usize])).collect()
}

/// The members of ascending lists, ascending, each once.
fn merged(lists: &[&[u32]]) -> Vec<u32> {
    let mut all = lists.concat();
    all.sort_unstable();
    all.dedup();
    all
}

fn run_counts(run: &Run) -> RunCounts {
    let mut levels = [0; 8];
    levels.iter_mut().zip(run.levels).for_each(|(to, from)| *to = u64::from(from));
    RunCounts { rows: u64::from(run.rows), line_bytes: u64::from(run.line_bytes), min: run.min_time, max: run.max_time, levels }
}
