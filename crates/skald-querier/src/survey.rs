//! Questions about streams that no line, no column and no block is read for: which there are, how much they have, and when.
//!
//! Memory is asked first and the catalogue then, as for queries. What a table's index covers is answered from its references; an object is opened
//! only where a reference does not say enough, or where no index covers it; and then its directory is all that is read.

use crate::budget::Held;
use crate::caller::Caller;
use crate::error::QueryError;
use crate::gather::{self, Matching, Place};
use crate::overlap;
use crate::piece::Piece;
use crate::read::Reader;
use crate::service::Querier;
use crate::stats::QueryStats;
use crate::tables::{self, Matched};
use crate::tenants::View;
use futures::StreamExt;
use skald_block::StreamTable;
use skald_logql::exec::Selector;
use skald_model::{Labels, Rows, TenantId, TimeRange, Timestamp};
use skald_rpc::{Ingester, LabelMatcher, SelectRequest, Selected};
use skald_store::DataObject;
use std::collections::BTreeMap;
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
        survey: S,
    ) -> Result<(S, Vec<String>, QueryStats), QueryError> {
        let mut by_tenant = BTreeMap::<TenantId, Vec<View>>::new();
        for selector in selectors {
            for view in View::of_all(caller.tenants(), selector) {
                by_tenant.entry(view.tenant().clone()).or_default().push(view);
            }
        }
        let (reader, held) = (self.reader(caller), caller.work().budget().hold_nothing());
        let mut asking = Asking { reader, range, survey: Some(survey), held, warnings: Vec::new(), stats: QueryStats::default() };
        for (tenant, views) in by_tenant {
            asking.ask(self.ingester(), &tenant, views.into()).await?;
        }
        let Asking { survey, held, mut warnings, mut stats, .. } = asking;
        caller.work().keep(held);
        warnings.sort();
        warnings.dedup();
        stats.unreadable += warnings.len() as u64;
        Ok((survey.expect("every job gave it back"), warnings, stats))
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

impl<S: Survey> Asking<S> {
    /// Asks a tenant, all from one look at memory and store.
    async fn ask(&mut self, ingester: &dyn Ingester, tenant: &TenantId, views: Arc<[View]>) -> Result<(), QueryError> {
        let matcher = Arc::new(AnyOf(views.iter().map(|view| Matching(view.selector().clone())).collect()));
        let request = SelectRequest { matcher, range: self.range, labels_only: !S::COUNTS };
        let selected = ingester.select(tenant, request).await.map_err(QueryError::Select)?;
        let objects = tables::live_objects(&self.reader, tenant, self.range, &selected);
        self.add_memory(&views, selected).await?;
        self.add_objects(&views, objects).await
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

    /// Objects that no index covers: their footers know their streams.
    async fn add_objects(&mut self, views: &Arc<[View]>, objects: Vec<Arc<DataObject>>) -> Result<(), QueryError> {
        let of_views = views.clone();
        let choose = move |table: &StreamTable| match &*of_views {
            [view] => tables::matching_streams(table, view.selector(), &[]),
            views => {
                let found = views.iter().flat_map(|view| tables::matching_streams(table, view.selector(), &[]));
                found.collect::<BTreeMap<u32, Labels>>().into_iter().collect()
            }
        };
        let reader = self.reader.clone();
        let mut opened = pin!(tables::open(&reader, objects, self.range, Arc::new(choose)));
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
