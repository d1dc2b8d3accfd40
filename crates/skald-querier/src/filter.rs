//! Leaves out blocks that cannot hold what a query looks for.

use crate::error::QueryError;
use crate::gather::OPEN_MAX;
use crate::read::{Outcome, Reader, Unit};
use futures::{StreamExt, TryStreamExt};
use skald_block::{BlockSet, FilterQuery};
use skald_logql::exec::Probe;
use skald_runtime::chain;
use skald_store::OpenObject;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// The units that may have a match. A filter that cannot be read passes everything: it costs time, not entries.
pub(crate) async fn skip_blocks(reader: &Reader, units: Vec<Unit>, probe: &Probe, outcome: &mut Outcome) -> Result<Vec<Unit>, QueryError> {
    outcome.stats.blocks_matched += units.iter().filter(|unit| matches!(unit, Unit::Block { .. })).count() as u64;
    if matches!(probe, Probe::All(all) if all.is_empty()) {
        return Ok(units);
    }
    let before = units.len();
    let of_probe = probe.clone();
    let (units, queries) = reader.work.on_pool(move || Ok(queries_of(units, &of_probe))).await?;
    let passed = futures::stream::iter(queries.into_iter().map(|(open, query)| passed_blocks(reader, open, query)));
    let passed: HashMap<u64, BlockSet> = passed.buffer_unordered(OPEN_MAX).try_filter_map(futures::future::ok).try_collect().await?;
    let leave_out = move || {
        let passes = |unit: &Unit| match unit {
            Unit::Memory { .. } => true,
            Unit::Block { block, .. } => passed.get(&block.open.object.id()).is_none_or(|blocks| blocks.contains(block.number)),
        };
        Ok(units.into_iter().filter(passes).collect::<Vec<_>>())
    };
    let units = reader.work.on_pool(leave_out).await?;
    outcome.stats.blocks_skipped += (before - units.len()) as u64;
    Ok(units)
}

/// For each object what its filters are asked. A name that is a label of an asked-for stream is none of metadata: the label decides then.
fn queries_of(units: Vec<Unit>, probe: &Probe) -> (Vec<Unit>, Vec<(Arc<OpenObject>, FilterQuery)>) {
    let mut names = BTreeSet::new();
    metadata_names(probe, &mut names);
    let mut objects: HashMap<u64, (Arc<OpenObject>, HashSet<&str>)> = HashMap::new();
    for unit in &units {
        let Unit::Block { block, runs } = unit else { continue };
        let (_, labels) = objects.entry(block.open.object.id()).or_insert_with(|| (block.open.clone(), HashSet::new()));
        for name in &names {
            if !labels.contains(name) && runs.iter().any(|run| run.labels.get(name).is_some()) {
                labels.insert(*name);
            }
        }
    }
    let query = |(open, labels): (Arc<OpenObject>, HashSet<&str>)| {
        let has_column = |name: &str| open.footer.blocks.iter().flat_map(|block| &block.columns).any(|column| *column.name == *name);
        let query = filter_query(probe, &|name| labels.contains(name), &has_column);
        (open, query)
    };
    let queries = objects.into_values().map(query).collect();
    (units, queries)
}

fn metadata_names<'a>(probe: &'a Probe, names: &mut BTreeSet<&'a str>) {
    match probe {
        Probe::All(members) | Probe::Any(members) => members.iter().for_each(|member| metadata_names(member, names)),
        Probe::MetadataEquals { name, .. } | Probe::HasMetadata { name } => drop(names.insert(name)),
        Probe::Contains { .. } => {}
    }
}

/// The blocks of an object that may have a match, with its number; `None` when its filters cannot be used.
async fn passed_blocks(reader: &Reader, open: Arc<OpenObject>, query: FilterQuery) -> Result<Option<(u64, BlockSet)>, QueryError> {
    let filters = match &open.footer.filters {
        Ok(filters) => filters,
        Err(error) => {
            tracing::warn!(object = open.object.path, error = chain(error), "cannot use the filters of a data object");
            return Ok(None);
        }
    };
    let numbers = filters.pages_needed(&query);
    let bytes: u64 = numbers.iter().map(|number| filters.page_range(*number)).map(|range| range.end - range.start).sum();
    let held = reader.work.budget().hold(2 * bytes)?;
    let pages = match reader.catalog.filter_pages(&open, filters, &numbers).await {
        Ok(pages) => pages,
        Err(error) => {
            tracing::warn!(error = chain(&error), "cannot use the filters of a data object");
            return Ok(None);
        }
    };
    let of_object = open.clone();
    let find = move || {
        let _held = held;
        let filters = of_object.footer.filters.as_ref().ok();
        Ok(filters.map(|filters| filters.matching_blocks(&query, &|number| pages.get(&number))))
    };
    Ok(reader.work.on_pool(find).await?.map(|blocks| (open.object.id(), blocks)))
}

/// What a block must hold, in the words of the filters. The object's columns of metadata are known.
fn filter_query(probe: &Probe, is_label: &dyn Fn(&str) -> bool, has_column: &dyn Fn(&str) -> bool) -> FilterQuery {
    let each = |probes: &[Probe]| probes.iter().map(|probe| filter_query(probe, is_label, has_column)).collect();
    match probe {
        Probe::All(all) => FilterQuery::And(each(all)),
        Probe::Any(any) => FilterQuery::Or(each(any)),
        Probe::Contains { literal, ignore_case } => FilterQuery::Contains { literal: literal.clone(), ignore_case: *ignore_case },
        Probe::MetadataEquals { name, .. } | Probe::HasMetadata { name } if is_label(name) => FilterQuery::And(Vec::new()),
        Probe::HasMetadata { name } if has_column(name) => FilterQuery::And(Vec::new()),
        Probe::HasMetadata { .. } => FilterQuery::Or(Vec::new()),
        Probe::MetadataEquals { name, value } => FilterQuery::MetadataEquals { name: name.clone(), value: value.clone().into_bytes() },
    }
}
