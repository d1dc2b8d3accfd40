//! What of a tenant's tables a question has to look at: by their indexes where they have one, else object by object.

use crate::budget::Held;
use crate::error::QueryError;
use crate::read::Reader;
use futures::{Stream, StreamExt};
use skald_block::StreamTable;
use skald_logql::exec::Selector;
use skald_model::{Labels, TenantId, TimeRange};
use skald_rpc::Selected;
use skald_runtime::chain;
use skald_store::{DataObject, OpenIndex, OpenObject, ReadError, Table};
use std::collections::HashSet;
use std::sync::Arc;

/// Objects that are opened at a time.
pub(crate) const OPEN_MAX: usize = 16;

/// The tables of a tenant, all at one instant, without the objects that memory answered for.
#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) indexed: Vec<IndexedTable>,
    /// Objects whose streams only their footers know.
    pub(crate) others: Vec<Arc<DataObject>>,
    /// What is missing.
    pub(crate) warnings: Vec<String>,
}

/// A table whose index knows the streams of some of its objects.
pub(crate) struct IndexedTable {
    pub(crate) index: Arc<OpenIndex>,
    /// By its number in the index, an object that is asked for. Others are gone, or memory answered for them.
    pub(crate) objects: Vec<Option<Arc<DataObject>>>,
    /// Whether all objects of the index are live, so that there are no other streams in it.
    pub(crate) is_whole: bool,
}

/// An object, and its streams that are wanted, by ascending number; at least one. Counted until it is dropped.
pub(crate) struct Matched {
    pub(crate) open: Arc<OpenObject>,
    pub(crate) streams: Vec<(u32, Labels)>,
    /// Whether wanted streams without rows in the range are among them: an index leaves these out.
    pub(crate) has_all: bool,
    pub(crate) held: Held,
}

/// Which streams of an object are wanted.
pub(crate) type Choose = dyn Fn(&StreamTable) -> Vec<(u32, Labels)> + Send + Sync;

/// What is known of an object's streams before it is opened.
pub(crate) enum StreamChoice {
    /// The streams, as an index told.
    Known(Vec<(u32, Labels)>),
    /// How to find them among all.
    Among(Arc<Choose>),
}

impl Tables {
    /// Looks up the tables of a tenant that may have entries in `range`, after memory answered. Indexes whose names are in `avoid` are left aside, and
    /// those that do not answer; the store says why in the log.
    pub(crate) async fn look_up(
        reader: &Reader,
        tenant: &TenantId,
        range: TimeRange,
        selected: &Selected,
        avoid: &HashSet<String>,
    ) -> Self {
        let in_memory: HashSet<_> = selected.generations.iter().collect();
        let is_asked = |object: &DataObject| object.name.flushed_from(selected.disk).is_none_or(|at| !in_memory.contains(&at));
        let tables = reader.catalog.tables(tenant, range).await;
        let opened = futures::stream::iter(tables).map(|table| open_index(reader, table, avoid)).buffered(OPEN_MAX);
        let opened: Vec<(Arc<Table>, Option<Arc<OpenIndex>>)> = opened.collect().await;
        let mut found = Tables::default();
        for (table, index) in opened {
            if let Some(problem) = &table.problem {
                found.warnings.push(format!("entries may be missing from this answer: {}", chain(problem.as_ref())));
            }
            found.add(&table, index, range, is_asked);
        }
        found
    }

    fn add(&mut self, table: &Table, index: Option<Arc<OpenIndex>>, range: TimeRange, is_asked: impl Fn(&DataObject) -> bool) {
        let Some(index) = index else {
            self.others.extend(table.objects.iter().filter(|object| is_asked(object)).cloned());
            return;
        };
        let mut objects = vec![None; index.objects().len()];
        let mut live = 0;
        for object in &table.objects {
            let number = index.number_of(object);
            live += usize::from(number.is_some());
            match number {
                _ if !is_asked(object) => {}
                Some(number) => objects[number as usize] = Some(object.clone()),
                None => self.others.push(object.clone()),
            }
        }
        let is_whole = live == objects.len();
        let in_range = index.time_span().is_some_and(|(min, max)| range.overlaps(min, max));
        if in_range && objects.iter().any(Option::is_some) {
            self.indexed.push(IndexedTable { index, objects, is_whole });
        }
    }
}

async fn open_index(reader: &Reader, table: Arc<Table>, avoid: &HashSet<String>) -> (Arc<Table>, Option<Arc<OpenIndex>>) {
    let index = table.index.as_ref().filter(|index| !avoid.contains(index.name())).cloned();
    let open = match index {
        Some(index) => index.open(reader.pool.as_ref()).await.ok(),
        None => None,
    };
    (table, open)
}

/// Opens objects, several at a time, and lets go of those that have nothing wanted. One that cannot be read becomes a warning: its entries are
/// missing from the answer.
pub(crate) fn open<'a>(
    reader: &'a Reader,
    objects: Vec<(Arc<DataObject>, StreamChoice)>,
    range: TimeRange,
) -> impl Stream<Item = Result<Result<Matched, String>, QueryError>> + 'a {
    let opened = futures::stream::iter(objects).map(move |(object, wanted)| open_one(reader, object, wanted, range)).buffered(OPEN_MAX);
    opened.filter_map(|opened| std::future::ready(opened.transpose()))
}

async fn open_one(
    reader: &Reader,
    object: Arc<DataObject>,
    wanted: StreamChoice,
    range: TimeRange,
) -> Result<Option<Result<Matched, String>>, QueryError> {
    let (pool, budget) = (reader.pool.as_ref(), reader.work.budget());
    reader.work.check()?;
    let opened = match &wanted {
        StreamChoice::Known(_) => reader.catalog.open_object(&object, pool).await.map(|open| (open, None)),
        StreamChoice::Among(_) => reader.catalog.open_with_streams(&object, pool).await.map(|(open, table)| (open, Some(table))),
    };
    let (open, table) = match opened {
        Ok(opened) => opened,
        Err(error) => return Ok(Some(Err(missing(&error)))),
    };
    let (min, max) = open.footer.summary.time_span();
    if !range.overlaps(min, max) {
        return Ok(None);
    }
    let table_bytes = table.as_ref().map_or(0, |table| table.heap_bytes());
    let has_all = table.is_some();
    let mut held = budget.hold((open.heap_bytes() + table_bytes) as u64)?;
    let streams = match (wanted, table) {
        (StreamChoice::Among(choose), Some(table)) => reader.work.on_pool(move || Ok(choose(&table))).await?,
        (StreamChoice::Known(streams), _) => streams,
        (StreamChoice::Among(_), None) => Vec::new(),
    };
    held.resize(open.heap_bytes() as u64 + streams.iter().map(|(_, labels)| label_bytes(labels)).sum::<u64>())?;
    Ok((!streams.is_empty()).then_some(Ok(Matched { open, streams, has_all, held })))
}

/// Memory of a label set, about.
pub(crate) fn label_bytes(labels: &Labels) -> u64 {
    (labels.text_len() + 8 * labels.len() + 64) as u64
}

/// What an answer says of a part that could not be read.
pub(crate) fn missing(error: &ReadError) -> String {
    format!("entries are missing from this answer: {}", chain(error))
}

/// Streams of an object that a selector wants, and that have one of the values wherever all streams have the name. Equality matchers go through the
/// postings, the others look at what those leave.
pub(crate) fn matching_streams(table: &StreamTable, selector: &Selector, label_values: &[(String, Vec<String>)]) -> Vec<(u32, Labels)> {
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
    let labeled = streams.into_iter().map(|stream| (stream, table.labels(stream)));
    labeled.filter(|(_, labels)| selector.matches(labels)).collect()
}

/// The members of ascending lists, ascending, each once.
fn merged(lists: &[&[u32]]) -> Vec<u32> {
    let mut all = lists.concat();
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests;
