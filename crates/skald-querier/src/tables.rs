//! The data objects of a tenant that a question looks at, and the streams of each that it wants.

use crate::budget::Held;
use crate::error::QueryError;
use crate::read::Reader;
use futures::{Stream, StreamExt};
use skald_block::StreamTable;
use skald_logql::exec::Selector;
use skald_model::{Labels, TenantId, TimeRange};
use skald_rpc::Selected;
use skald_runtime::chain;
use skald_store::{DataObject, OpenObject, ReadError};
use std::collections::HashSet;
use std::sync::Arc;

/// Objects that are opened at a time.
pub(crate) const OPEN_MAX: usize = 16;

/// An object, and its streams that are wanted, by ascending number; at least one. Counted until it is dropped.
pub(crate) struct Matched {
    pub(crate) open: Arc<OpenObject>,
    pub(crate) streams: Vec<(u32, Labels)>,
    pub(crate) held: Held,
}

/// Which streams of an object are wanted.
pub(crate) type Choose = dyn Fn(&StreamTable) -> Vec<(u32, Labels)> + Send + Sync;

/// The live objects of a tenant that may have entries in `range`, without those that memory answered for.
pub(crate) fn live_objects(reader: &Reader, tenant: &TenantId, range: TimeRange, selected: &Selected) -> Vec<Arc<DataObject>> {
    let covered: HashSet<_> = selected.generations.iter().collect();
    let live = reader.catalog.objects(tenant, range).into_iter();
    live.filter(|object| object.name.flushed_from(selected.disk).is_none_or(|at| !covered.contains(&at))).collect()
}

/// Opens objects, several at a time, and lets go of those of which `choose` wants nothing. One that cannot be read becomes a warning: its entries
/// are missing from the answer.
pub(crate) fn open<'a>(
    reader: &'a Reader,
    objects: Vec<Arc<DataObject>>,
    range: TimeRange,
    choose: Arc<Choose>,
) -> impl Stream<Item = Result<Result<Matched, String>, QueryError>> + 'a {
    let one = move |object: Arc<DataObject>| {
        let choose = choose.clone();
        async move {
            let (open, table) = match reader.catalog.open_with_streams(&object, reader.pool.as_ref()).await {
                Ok(opened) => opened,
                Err(error) => return Ok(Some(Err(missing(&error)))),
            };
            let (min, max) = open.footer.summary.time_span();
            if !range.overlaps(min, max) {
                return Ok(None);
            }
            let mut held = reader.work.budget().hold((open.heap_bytes() + table.heap_bytes()) as u64)?;
            let streams = reader.work.on_pool(move || Ok(choose(&table))).await?;
            held.resize(open.heap_bytes() as u64)?;
            held.grow(streams.iter().map(|(_, labels)| label_bytes(labels)).sum())?;
            Ok((!streams.is_empty()).then_some(Ok(Matched { open, streams, held })))
        }
    };
    let opened = futures::stream::iter(objects.into_iter().map(one)).buffered(OPEN_MAX);
    opened.filter_map(async |opened: Result<_, QueryError>| opened.transpose())
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
