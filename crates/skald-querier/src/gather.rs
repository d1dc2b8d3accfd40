//! Where the rows of a query stand: chunks of memory and runs of blocks, by stream.

use crate::error::QueryError;
use crate::read::Reader;
use crate::stats::QueryStats;
use crate::tenants::{TENANT_LABEL, View};
use rustc_hash::FxHashMap;
use skald_block::{ColumnEntry, Run};
use skald_logql::exec::{Pipeline, RangeLeaf, RunCounts, Selector};
use skald_logql::plan::LogPlan;
use skald_model::seam::run_on_pool;
use skald_model::{GenerationPart, Labels, Rows, TenantId, TimeRange, Timestamp};
use skald_rpc::{Ingester, LabelMatcher, SelectRequest};
use skald_runtime::chain;
use skald_store::{Catalog, OpenObject};
use std::collections::HashSet;
use std::sync::Arc;

/// Objects that are opened at a time.
const OPEN_MAX: usize = 16;

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
    pub(crate) streams: Vec<StreamSources>,
    pub(crate) warnings: Vec<String>,
    pub(crate) stats: QueryStats,
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
    for view in View::of_all(tenants, wanted.selector())? {
        let matcher = Arc::new(MatchingWanted { view: view.clone(), wanted: wanted.clone() });
        let request = SelectRequest { matcher, range, labels_only: false };
        let selected = ingester.select(view.tenant(), request).await.map_err(QueryError::Select)?;
        let (objects, warnings) = open_objects(&reader.catalog, view.tenant(), range, &selected).await?;
        found.push((view, selected, objects, warnings));
    }
    let build = move || {
        let pipeline = wanted.pipeline();
        let label_values = pipeline.label_values().filter(|(name, _)| *name != TENANT_LABEL).collect();
        let mut builder = Builder { pipeline, label_values, range, by_labels: FxHashMap::default(), sources: Sources::default() };
        for (view, selected, objects, warnings) in found {
            for stream in selected.streams {
                builder.add_memory(&view.labels(&stream.labels), stream.generation, stream.chunks);
            }
            objects.into_iter().for_each(|open| builder.add_object(&view, open));
            builder.sources.stats.unreadable += warnings.len() as u64;
            builder.sources.warnings.extend(warnings);
        }
        builder.sources
    };
    run_on_pool(reader.pool.as_ref(), build).await.map_err(|_| QueryError::Stopped)
}

/// Opens the objects that memory did not answer for. One that cannot be read becomes a warning: its entries are missing from the answer.
pub(crate) async fn open_objects(
    catalog: &Catalog,
    tenant: &TenantId,
    range: TimeRange,
    selected: &skald_rpc::Selected,
) -> Result<(Vec<Arc<OpenObject>>, Vec<String>), QueryError> {
    use futures::StreamExt;
    let covered: HashSet<_> = selected.generations.iter().collect();
    let live = catalog.objects(tenant, range);
    let wanted = live.into_iter().filter(|object| object.name.disk != selected.disk || !covered.contains(&object.name.at));
    let opened = futures::stream::iter(wanted.map(|object| async move { catalog.open_object(&object).await }));
    let opened: Vec<_> = opened.buffered(OPEN_MAX).collect().await;
    let (mut objects, mut warnings) = (Vec::new(), Vec::new());
    for open in opened {
        match open {
            Ok(open) => {
                let (min, max) = open.footer.summary.time_span();
                if range.overlaps(min, max) {
                    objects.push(open);
                }
            }
            Err(error) => warnings.push(format!("entries are missing from this answer: {}", chain(&error))),
        }
    }
    Ok((objects, warnings))
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
    /// Values that label filters demand of labels of streams.
    label_values: Vec<(&'a str, Vec<String>)>,
    range: TimeRange,
    by_labels: FxHashMap<Labels, usize>,
    sources: Sources,
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

    fn add_memory(&mut self, labels: &Labels, at: GenerationPart, chunks: Vec<Arc<Rows>>) {
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
    }

    fn add_object(&mut self, view: &View, open: Arc<OpenObject>) {
        let (number, range) = (self.sources.objects.len(), self.range);
        for stream in matching_streams(&open, view.selector(), &self.label_values) {
            let labels = view.labels(&open.labels[stream as usize]);
            if !self.pipeline.stream_can_match(&labels) {
                continue;
            }
            let mut first_row = 0;
            let sources = self.stream(&labels);
            for (at, run) in open.footer.runs_of(stream) {
                let run = *run;
                let order = order(open.object.name.at, first_row);
                first_row += u64::from(run.rows);
                if range.overlaps(run.min_time, run.max_time) {
                    let place = Place::Block { object: number, block: at.block, run };
                    sources.runs.push(RunSource { min: run.min_time, max: run.max_time, rows: run.rows, order, place, keep: None });
                }
            }
        }
        self.sources.objects.push(open);
    }
}

/// Sources come in the order of their generations, rows of a part of one after those of the part before.
fn order(at: GenerationPart, row: u64) -> (u64, u64) {
    (at.generation.0, u64::from(at.part) << 40 | row)
}

/// Streams of an object that a selector wants. Equality matchers go through the postings, the others look at what those leave.
/// So do values that label filters demand, where all streams have the label.
pub(crate) fn matching_streams(open: &OpenObject, selector: &Selector, label_values: &[(&str, Vec<String>)]) -> Vec<u32> {
    let table = &open.footer.streams;
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
