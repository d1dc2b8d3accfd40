//! Questions about streams that no line, no column and no block is read for: which there are, how much they have, and when.
//!
//! Memory is asked first and the catalogue then, as for queries. What a table's index covers is answered from its references; an object is opened
//! only where a reference does not say enough, or where no index covers it; and then its directory is all that is read.

use crate::budget::Held;
use crate::caller::Caller;
use crate::error::QueryError;
use crate::gather::{self, Place};
use crate::lookup::{self, Chosen, IndexBatch, Silent};
use crate::overlap;
use crate::piece::Piece;
use crate::read::Reader;
use crate::service::Querier;
use crate::stats::QueryStats;
use crate::tables::{self, Choose, IndexedTable, Matched, StreamChoice, Tables};
use crate::tenants::View;
use crate::wanted::Matching;
use futures::StreamExt;
use parking_lot::Mutex;
use skald_block::StreamTable;
use skald_index::{IndexedStream, LabelValues, Reference};
use skald_logql::exec::Selector;
use skald_model::{Labels, Rows, TenantId, TimeRange, Timestamp};
use skald_rpc::{Ingester, LabelMatcher, SelectRequest, Selected};
use skald_store::DataObject;
use std::collections::{BTreeMap, HashSet};
use std::pin::pin;
use std::sync::Arc;

/// Streams that are looked at before a job looks again whether somebody still waits.
const STREAMS_UNCHECKED: usize = 1024;

/// What is made of the streams that a question finds.
pub(crate) trait Survey: Send + Sized + 'static {
    /// Whether it counts entries; else it is enough that a stream has any in the range.
    const COUNTS: bool;

    /// Whether nothing closer need be known of rows between these times.
    fn is_enough(&self, min: Timestamp, max: Timestamp) -> bool;

    /// Takes what a source has of a stream. A stream comes once for each source that has entries of it in the range.
    fn add(&mut self, stream: &Stream<'_>, found: &Found<'_>) -> Result<(), QueryError>;

    /// Bytes of memory held, about.
    fn heap_bytes(&self) -> usize;

    /// What of labels is enough, where all streams that are wanted have entries in the range.
    fn listing(&self) -> Option<Listing> {
        None
    }

    /// Takes what it is [listing](Survey::listing).
    fn add_text(&mut self, _text: String) {}
}

/// Names of labels, or the values of one: an index lists them without reading what streams have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Listing {
    Names,
    Values(String),
}

/// A stream, and the tenant that it is of.
pub(crate) struct Stream<'a> {
    pub(crate) view: &'a View,
    pub(crate) labels: &'a Labels,
}

/// What a source has of a stream.
pub(crate) enum Found<'a> {
    /// Any entries in the range; only where a survey does not count.
    Some,
    /// A chunk of memory, and the rows of it that no other has; all where none are named.
    Rows(&'a Rows, Option<&'a [u32]>),
    /// What an object has, by runs or as a whole; each piece reaches into the range.
    Pieces(&'a [Piece]),
}

impl Querier {
    /// Asks `survey` about the streams that any of `selectors` wants and that have entries in `range`. With it come what is missing and what it cost.
    pub(crate) async fn survey<S: Survey>(
        &self,
        caller: &Caller,
        selectors: &[Selector],
        range: TimeRange,
        new: impl Fn() -> S,
    ) -> Result<(S, Vec<String>, QueryStats), QueryError> {
        let mut by_tenant = BTreeMap::<TenantId, Vec<View>>::new();
        for selector in selectors {
            for view in View::of_all(caller.tenants(), selector) {
                by_tenant.entry(view.tenant().clone()).or_default().push(view);
            }
        }
        let by_tenant: Vec<(TenantId, Arc<[View]>)> = by_tenant.into_iter().map(|(tenant, views)| (tenant, views.into())).collect();
        let reader = self.reader(caller);
        let mut avoid = HashSet::new();
        // Once more for each index that turns out not to answer: what came of it before cannot be told from the rest.
        'anew: loop {
            let mut asking = Asking::new(&reader, range, new());
            for (tenant, views) in &by_tenant {
                if let Some(index) = asking.ask(self.ingester(), tenant, views, &avoid).await? {
                    avoid.insert(index);
                    continue 'anew;
                }
            }
            let Asking { survey, held, mut warnings, mut stats, .. } = asking;
            caller.work().keep(held);
            warnings.sort();
            warnings.dedup();
            stats.unreadable += warnings.len() as u64;
            return Ok((survey.expect("every job gave it back"), warnings, stats));
        }
    }
}

/// A survey under way.
struct Asking<S> {
    reader: Reader,
    range: TimeRange,
    survey: Option<S>,
    /// What the survey holds.
    held: Held,
    warnings: Vec<String>,
    stats: QueryStats,
}

/// Streams of which an index does not say enough, by number of the object.
type Cut = BTreeMap<usize, Vec<(u32, Labels)>>;

impl<S: Survey> Asking<S> {
    fn new(reader: &Reader, range: TimeRange, survey: S) -> Self {
        let held = reader.work.budget().hold_nothing();
        Asking { reader: reader.clone(), range, survey: Some(survey), held, warnings: Vec::new(), stats: QueryStats::default() }
    }

    /// Asks a tenant, all from one look at memory and store. Gives the name of an index that did not answer.
    async fn ask(
        &mut self,
        ingester: &dyn Ingester,
        tenant: &TenantId,
        views: &Arc<[View]>,
        avoid: &HashSet<String>,
    ) -> Result<Option<String>, QueryError> {
        let matcher = Arc::new(AnyOf(views.iter().map(|view| Matching(view.selector().clone())).collect()));
        let request = SelectRequest { matcher, range: self.range, labels_only: !S::COUNTS };
        let selected = ingester.select(tenant, request).await.map_err(QueryError::Select)?;
        let tables = Tables::look_up(&self.reader, tenant, self.range, &selected, avoid).await;
        self.warnings.extend(tables.warnings);
        self.add_memory(views, selected).await?;
        if let Some(Silent { table }) = self.add_indexed(views, &tables.indexed).await? {
            return Ok(Some(tables.indexed[table].index.file().name().to_owned()));
        }
        let of_views = views.clone();
        let choose = move |table: &StreamTable| match &*of_views {
            [view] => tables::matching_streams(table, view.selector(), &[]),
            views => {
                let found = views.iter().flat_map(|view| tables::matching_streams(table, view.selector(), &[]));
                found.collect::<BTreeMap<u32, Labels>>().into_iter().collect()
            }
        };
        let choose: Arc<Choose> = Arc::new(choose);
        let others = tables.others.into_iter().map(|object| (object, StreamChoice::Among(choose.clone()))).collect();
        self.add_objects(views, others).await?;
        Ok(None)
    }

    /// Hands the survey to a job on the CPU pool, and counts what it holds then.
    async fn on_pool(
        &mut self,
        job: impl FnOnce(&mut S, &mut QueryStats) -> Result<(), QueryError> + Send + 'static,
    ) -> Result<(), QueryError> {
        let mut survey = self.survey.take().expect("it is given back by each job, and no job follows one that failed");
        let mut stats = QueryStats::default();
        let job = move || job(&mut survey, &mut stats).map(|()| (survey, stats));
        let (survey, stats) = self.reader.work.on_pool(job).await?;
        self.stats.add(&stats);
        self.held.resize(survey.heap_bytes() as u64)?;
        self.survey = Some(survey);
        Ok(())
    }

    async fn add_memory(&mut self, views: &Arc<[View]>, selected: Selected) -> Result<(), QueryError> {
        let (views, work) = (views.clone(), self.reader.work.clone());
        if !S::COUNTS {
            let list = move |survey: &mut S, _: &mut QueryStats| {
                selected.streams.iter().try_for_each(|stream| survey.add(&Stream { view: &views[0], labels: &stream.labels }, &Found::Some))
            };
            return self.on_pool(list).await;
        }
        let sources = gather::memory(&self.reader, selected, self.range).await?;
        let sources = overlap::drop_duplicates(&self.reader, sources).await?;
        self.stats.add(&sources.stats);
        let count = move |survey: &mut S, counted: &mut QueryStats| {
            for stream in &sources.streams {
                work.check()?;
                let of = Stream { view: &views[0], labels: &stream.labels };
                for run in &stream.runs {
                    if let Place::Memory(rows) = &run.place {
                        counted.memory_lines += run.keep.as_ref().map_or(rows.len(), Vec::len) as u64;
                        counted.memory_bytes += rows.line_bytes().len() as u64;
                        let found = Found::Rows(rows, run.keep.as_deref());
                        survey.add(&of, &found)?;
                    }
                }
            }
            Ok(())
        };
        self.on_pool(count).await
    }

    /// What the indexes of tables know, and what the directories of objects add where that is not enough.
    async fn add_indexed(&mut self, views: &Arc<[View]>, tables: &[IndexedTable]) -> Result<Option<Silent>, QueryError> {
        let reader = self.reader.clone();
        let mut cuts: Vec<Cut> = tables.iter().map(|_| Cut::new()).collect();
        let mut held = reader.work.budget().hold_nothing();
        for view in views.iter() {
            let matchers = lookup::matchers(view.selector(), &[]);
            let mut to_read = Vec::new();
            for chosen in lookup::choose(&reader, tables, matchers.as_deref(), self.range, &mut self.stats.index).await? {
                match chosen {
                    Ok(chosen) => match self.list(&tables[chosen.table], &chosen).await? {
                        Listed::All => {}
                        Listed::Nothing => to_read.push(chosen),
                        Listed::Silent(silent) => return Ok(Some(silent)),
                    },
                    Err(silent) => return Ok(Some(silent)),
                }
            }
            let mut batches = pin!(lookup::read(&reader, to_read));
            while let Some(batch) = batches.next().await {
                let batch = match batch? {
                    Ok(batch) => batch,
                    Err(silent) => return Ok(Some(silent)),
                };
                self.stats.index.requests += 1;
                self.stats.index.bytes += batch.bytes;
                let number = batch.table;
                let cut = self.add_batch(view, &tables[number], batch).await?;
                let bytes = |cut: &Cut| cut.values().flatten().map(|(_, labels)| tables::label_bytes(labels)).sum::<u64>();
                held.grow(bytes(&cut))?;
                cut.into_iter().for_each(|(object, streams)| cuts[number].entry(object).or_default().extend(streams));
            }
        }
        let mut objects = Vec::new();
        for (table, cut) in tables.iter().zip(cuts) {
            self.stats.index.objects_skipped += (table.objects.iter().flatten().count() - cut.len()) as u64;
            for (object, mut streams) in cut {
                streams.sort_unstable_by_key(|(stream, _)| *stream);
                streams.dedup_by_key(|(stream, _)| *stream);
                objects.extend(table.objects[object].clone().map(|object| (object, StreamChoice::Known(streams))));
            }
        }
        self.add_objects(views, objects).await?;
        Ok(None)
    }

    /// Lists names or values, where the dictionary of an index is enough: all of its streams have entries in the range, and none but live objects.
    async fn list(&mut self, table: &IndexedTable, chosen: &Chosen) -> Result<Listed, QueryError> {
        let listing = self.survey.as_ref().and_then(Survey::listing);
        let is_inside = table.index.time_span().is_some_and(|(min, max)| self.range.covers(min, max));
        let Some(listing) = listing.filter(|_| is_inside && table.is_whole) else { return Ok(Listed::Nothing) };
        let (pool, selection) = (self.reader.pool.clone(), Some(chosen.selection.as_ref()));
        let found = match &listing {
            Listing::Names => table.index.label_names(selection, pool.as_ref()).await.map(LabelValues::Known),
            Listing::Values(name) => table.index.label_values(name, selection, pool.as_ref()).await,
        };
        match found {
            Ok(LabelValues::Known(texts)) => {
                let add = move |survey: &mut S, _: &mut QueryStats| {
                    texts.into_iter().for_each(|text| survey.add_text(text));
                    Ok(())
                };
                self.on_pool(add).await?;
                Ok(Listed::All)
            }
            Ok(LabelValues::InRows) => Ok(Listed::Nothing),
            Err(_) => Ok(Listed::Silent(Silent { table: chosen.table })),
        }
    }

    /// Takes what is enough of streams of an index, and gives the others.
    async fn add_batch(&mut self, view: &View, table: &IndexedTable, batch: IndexBatch) -> Result<Cut, QueryError> {
        let (view, range) = (view.clone(), self.range);
        let is_asked: Vec<bool> = table.objects.iter().map(Option::is_some).collect();
        let cut = Arc::new(Mutex::new(Cut::new()));
        let of_job = cut.clone();
        let add = move |survey: &mut S, counted: &mut QueryStats| {
            let mut cut = of_job.lock();
            for IndexedStream { labels, references } in &batch.streams {
                let of = Stream { view: &view, labels };
                let in_range = |one: &&Reference| is_asked[one.object as usize] && range.overlaps(one.min_time, one.max_time);
                let found = references.iter().filter(in_range);
                let (enough, closer): (Vec<&Reference>, Vec<&Reference>) =
                    found.partition(|one| survey.is_enough(one.min_time, one.max_time));
                if !S::COUNTS && !enough.is_empty() {
                    survey.add(&of, &Found::Some)?;
                    continue;
                }
                for reference in enough {
                    let pieces = [Piece::of_reference(reference)];
                    count_pieces(counted, &pieces);
                    survey.add(&of, &Found::Pieces(&pieces))?;
                }
                closer.iter().for_each(|one| cut.entry(one.object as usize).or_default().push((one.stream, labels.clone())));
            }
            Ok(())
        };
        self.on_pool(add).await?;
        let cut = std::mem::take(&mut *cut.lock());
        Ok(cut)
    }

    /// What the directories of objects say.
    async fn add_objects(&mut self, views: &Arc<[View]>, objects: Vec<(Arc<DataObject>, StreamChoice)>) -> Result<(), QueryError> {
        let reader = self.reader.clone();
        self.stats.footers += objects.len() as u64;
        let mut opened = pin!(tables::open(&reader, objects, self.range));
        while let Some(matched) = opened.next().await {
            match matched? {
                Ok(matched) => self.add_runs(views, matched).await?,
                Err(warning) => self.warnings.push(warning),
            }
        }
        Ok(())
    }

    /// What the directory of an object says of streams.
    async fn add_runs(&mut self, views: &Arc<[View]>, matched: Matched) -> Result<(), QueryError> {
        let (views, range, work) = (views.clone(), self.range, self.reader.work.clone());
        let add = move |survey: &mut S, counted: &mut QueryStats| {
            let mut pieces = Vec::new();
            for (at, (stream, labels)) in matched.streams.iter().enumerate() {
                if at % STREAMS_UNCHECKED == 0 {
                    work.check()?;
                }
                let mut runs = matched.open.footer.runs_of(*stream).map(|(_, run)| run);
                let of = Stream { view: &views[0], labels };
                if !S::COUNTS {
                    if runs.any(|run| range.overlaps(run.min_time, run.max_time)) {
                        survey.add(&of, &Found::Some)?;
                    }
                    continue;
                }
                pieces.clear();
                pieces.extend(runs.filter(|run| range.overlaps(run.min_time, run.max_time)).map(Piece::of_run));
                if !pieces.is_empty() {
                    count_pieces(counted, &pieces);
                    survey.add(&of, &Found::Pieces(&pieces))?;
                }
            }
            Ok(())
        };
        self.on_pool(add).await
    }
}

/// What an index listed.
enum Listed {
    All,
    Nothing,
    Silent(Silent),
}

/// Entries that were counted by what a directory says of them.
fn count_pieces(counted: &mut QueryStats, pieces: &[Piece]) {
    counted.object_lines += pieces.iter().map(|piece| piece.rows).sum::<u64>();
    counted.object_bytes += pieces.iter().map(|piece| piece.line_bytes).sum::<u64>();
}

/// Streams that any of several selectors wants.
struct AnyOf(Vec<Matching>);

impl LabelMatcher for AnyOf {
    fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().any(|selector| selector.matches(labels))
    }
}
