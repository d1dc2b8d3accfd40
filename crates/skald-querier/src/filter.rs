//! Leaves out blocks that cannot hold what a query looks for.

use crate::read::{Outcome, Unit};
use skald_block::FilterQuery;
use skald_logql::exec::Probe;
use skald_runtime::chain;
use skald_store::{Catalog, OpenObject};
use std::collections::HashMap;
use std::sync::Arc;

/// The units that may have a match. A filter that cannot be read passes everything: it costs time, not entries.
pub(crate) async fn skip_blocks(catalog: &Catalog, units: Vec<Unit>, probe: &Probe, outcome: &mut Outcome) -> Vec<Unit> {
    outcome.stats.blocks_matched += units.iter().filter(|unit| matches!(unit, Unit::Block { .. })).count() as u64;
    if matches!(probe, Probe::All(all) if all.is_empty()) {
        return units;
    }
    let mut objects: HashMap<u64, Arc<OpenObject>> = HashMap::new();
    for unit in &units {
        if let Unit::Block { block, .. } = unit {
            objects.entry(block.open.object.id()).or_insert_with(|| block.open.clone());
        }
    }
    let mut passed = HashMap::new();
    for (key, open) in objects {
        let filters = match &open.footer.filters {
            Ok(filters) => filters,
            Err(error) => {
                tracing::warn!(object = open.object.path, error = chain(error), "cannot use the filters of a data object");
                continue;
            }
        };
        let has_column = |name: &str| open.footer.blocks.iter().flat_map(|block| &block.columns).any(|column| *column.name == *name);
        let query = filter_query(probe, &|name| has_label(&units, &open, name), &has_column);
        match catalog.filter_pages(&open, filters, &filters.pages_needed(&query)).await {
            Ok(pages) => {
                passed.insert(key, filters.matching_blocks(&query, &|number| pages.get(&number)));
            }
            Err(error) => tracing::warn!(error = chain(&error), "cannot use the filters of a data object"),
        }
    }
    let before = units.len();
    let passes = |unit: &Unit| match unit {
        Unit::Memory { .. } => true,
        Unit::Block { block, .. } => passed.get(&block.open.object.id()).is_none_or(|blocks| blocks.contains(block.number)),
    };
    let units: Vec<Unit> = units.into_iter().filter(passes).collect();
    outcome.stats.blocks_skipped += (before - units.len()) as u64;
    units
}

/// Whether an asked-for stream of the object has a label of this name: it then decides filters on the name, not the metadata.
fn has_label(units: &[Unit], open: &Arc<OpenObject>, name: &str) -> bool {
    units.iter().any(|unit| match unit {
        Unit::Block { block, runs } => Arc::ptr_eq(&block.open, open) && runs.iter().any(|run| run.labels.get(name).is_some()),
        Unit::Memory { .. } => false,
    })
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
