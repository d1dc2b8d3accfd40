//! Which streams a query wants, and which objects may have them.

use crate::budget::Held;
use crate::error::QueryError;
use crate::gather::Sources;
use crate::lookup::{self, IndexBatch, Silent};
use crate::read::Reader;
use crate::tables::{self, Choose, StreamChoice, Tables};
use crate::tenants::{TENANT_LABEL, View};
use futures::StreamExt;
use skald_block::StreamTable;
use skald_index::{IndexedStream, Matcher};
use skald_logql::exec::{Pipeline, RangeLeaf, Selector};
use skald_logql::plan::LogPlan;
use skald_model::{Labels, TimeRange};
use skald_rpc::LabelMatcher;
use skald_store::DataObject;
use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::sync::Arc;

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

/// A selector, as ingesters ask it.
pub(crate) struct Matching(pub(crate) Selector);

impl LabelMatcher for Matching {
    fn matches(&self, labels: &Labels) -> bool {
        self.0.matches(labels)
    }
}

/// A selector and what label filters demand of labels, as ingesters ask it.
pub(crate) struct MatchingWanted {
    pub(crate) view: View,
    pub(crate) wanted: Arc<dyn Wanted>,
}

impl MatchingWanted {
    /// Values of which entries need one, where their stream has the label.
    fn label_values(&self) -> Vec<(String, Vec<String>)> {
        let values = self.wanted.pipeline().label_values().filter(|(name, _)| *name != TENANT_LABEL);
        values.map(|(name, values)| (name.to_owned(), values)).collect()
    }

    /// The streams of an object that are wanted.
    fn choose(&self, table: &StreamTable, label_values: &[(String, Vec<String>)]) -> Vec<(u32, Labels)> {
        let mut streams = tables::matching_streams(table, self.view.selector(), label_values);
        streams.retain(|(_, labels)| self.can_match(labels));
        streams
    }

    /// Whether any entry of a stream can pass the stages.
    fn can_match(&self, labels: &Labels) -> bool {
        self.wanted.pipeline().stream_can_match(&self.view.labels(labels))
    }
}

impl LabelMatcher for MatchingWanted {
    fn matches(&self, labels: &Labels) -> bool {
        self.view.selector().matches(labels) && self.can_match(labels)
    }
}

/// The objects of a tenant that may have wanted streams: where an index knows them, only those that have.
pub(crate) async fn objects(
    reader: &Reader,
    matcher: &Arc<MatchingWanted>,
    range: TimeRange,
    mut tables: Tables,
    sources: &mut Sources,
) -> Result<Vec<(Arc<DataObject>, StreamChoice)>, QueryError> {
    let label_values = matcher.label_values();
    let matchers = lookup::matchers(matcher.view.selector(), &label_values);
    let Known { mut streams, silent, .. } = known(reader, matcher, range, &tables, matchers.as_deref(), sources).await?;
    let choose: Arc<Choose> = {
        let matcher = matcher.clone();
        Arc::new(move |table| matcher.choose(table, &label_values))
    };
    let mut objects = Vec::new();
    for (number, table) in tables.indexed.iter_mut().enumerate() {
        for (object, live) in (0..).zip(&mut table.objects) {
            let Some(live) = live.take() else { continue };
            match streams.remove(&(number, object)) {
                _ if silent.contains(&number) => objects.push((live, StreamChoice::Among(choose.clone()))),
                Some(mut streams) => {
                    streams.sort_unstable_by_key(|(stream, _)| *stream);
                    objects.push((live, StreamChoice::Known(streams)));
                }
                None => sources.stats.index.objects_skipped += 1,
            }
        }
    }
    objects.extend(tables.others.into_iter().map(|object| (object, StreamChoice::Among(choose.clone()))));
    sources.stats.footers += objects.len() as u64;
    sources.stats.unreadable += tables.warnings.len() as u64;
    sources.warnings.extend(tables.warnings);
    Ok(objects)
}

/// What indexes know of wanted streams.
struct Known {
    /// By number of the table and of the object in its index.
    streams: HashMap<(usize, u32), Vec<(u32, Labels)>>,
    /// Numbers of the tables whose index did not answer.
    silent: BTreeSet<usize>,
    held: Held,
}

async fn known(
    reader: &Reader,
    matcher: &Arc<MatchingWanted>,
    range: TimeRange,
    tables: &Tables,
    matchers: Option<&[Matcher]>,
    sources: &mut Sources,
) -> Result<Known, QueryError> {
    let used = &mut sources.stats.index;
    let mut known = Known { streams: HashMap::new(), silent: BTreeSet::new(), held: reader.work.budget().hold_nothing() };
    let chosen = lookup::choose(reader, &tables.indexed, matchers, range, used).await?;
    known.silent.extend(chosen.iter().filter_map(|chosen| chosen.as_ref().err()).map(|silent| silent.table));
    let mut batches = pin!(lookup::read(reader, chosen.into_iter().flatten().collect()));
    while let Some(batch) = batches.next().await {
        let batch = match batch? {
            Ok(batch) => batch,
            Err(Silent { table }) => {
                known.silent.insert(table);
                continue;
            }
        };
        used.requests += 1;
        used.bytes += batch.bytes;
        let (table, matcher) = (batch.table, matcher.clone());
        let wanted = reader.work.on_pool(move || Ok(wanted_references(&matcher, range, batch))).await?;
        for (object, stream, labels) in wanted {
            if tables.indexed[table].objects[object as usize].is_some() {
                known.held.grow(tables::label_bytes(&labels))?;
                known.streams.entry((table, object)).or_default().push((stream, labels));
            }
        }
    }
    Ok(known)
}

/// Objects and numbers of the streams that are wanted, and may have rows in the range.
fn wanted_references(matcher: &MatchingWanted, range: TimeRange, batch: IndexBatch) -> Vec<(u32, u32, Labels)> {
    let mut found = Vec::new();
    for IndexedStream { labels, references } in batch.streams {
        if matcher.can_match(&labels) {
            let in_range = references.iter().filter(|one| range.overlaps(one.min_time, one.max_time));
            found.extend(in_range.map(|one| (one.object, one.stream, labels.clone())));
        }
    }
    found
}
