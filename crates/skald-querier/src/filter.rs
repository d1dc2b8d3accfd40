//! Leaves out blocks that cannot hold what a query looks for.

use crate::fetch::BlockRef;
use crate::read::{Outcome, Unit, UnitRun};
use skald_block::{BlockSet, FilterQuery};
use skald_logql::exec::Probe;
use skald_runtime::chain;
use skald_store::{Catalog, OpenObject};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// The units that may have a match. A filter that cannot be read passes everything: it costs time, not entries.
pub(crate) async fn skip_blocks(catalog: &Catalog, units: Vec<Unit>, probe: &Probe, outcome: &mut Outcome) -> Vec<Unit> {
    outcome.stats.blocks_matched += units.iter().filter(|unit| matches!(unit, Unit::Block { .. })).count() as u64;
    if probe.is_anything() {
        return units;
    }
    let names = probe.metadata_names();
    let mut passed: HashMap<Question, Option<BlockSet>> = HashMap::new();
    for unit in &units {
        let Unit::Block { block, runs } = unit else { continue };
        if let Entry::Vacant(place) = passed.entry(Question::new(block, runs, &names)) {
            let blocks = matching_blocks(catalog, &block.open, &place.key().filter_query(probe, &names)).await;
            place.insert(blocks);
        }
    }
    let before = units.len();
    let passes = |unit: &Unit| match unit {
        Unit::Memory { .. } => true,
        Unit::Block { block, runs } => {
            let blocks = passed.get(&Question::new(block, runs, &names)).and_then(Option::as_ref);
            blocks.is_none_or(|blocks| blocks.contains(block.number))
        }
    };
    let units: Vec<Unit> = units.into_iter().filter(passes).collect();
    outcome.stats.blocks_skipped += (before - units.len()) as u64;
    units
}

/// The blocks of an object that may hold what is asked; `None` where its filters cannot be read.
async fn matching_blocks(catalog: &Catalog, open: &OpenObject, query: &FilterQuery) -> Option<BlockSet> {
    let filters = match &open.footer.filters {
        Ok(filters) => filters,
        Err(error) => {
            tracing::warn!(object = open.object.path, error = chain(error), "cannot use the filters of a data object");
            return None;
        }
    };
    match catalog.filter_pages(open, filters, &filters.pages_needed(query)).await {
        Ok(pages) => Some(filters.matching_blocks(query, &|number| pages.get(&number))),
        Err(error) => {
            tracing::warn!(error = chain(&error), "cannot use the filters of a data object");
            None
        }
    }
}

/// What decides how a probe is asked of a block. Blocks of one object mostly share it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Question {
    object: u64,
    /// By name of the probe: whether an asked-for stream of the block has a label of this name. It then decides filters on the name, not the metadata.
    is_label: Vec<bool>,
    /// By name of the probe: whether the block has metadata of this name.
    is_metadata: Vec<bool>,
}

impl Question {
    fn new(block: &BlockRef, runs: &[UnitRun], names: &[&str]) -> Self {
        Question {
            object: block.open.object.id(),
            is_label: names.iter().map(|name| runs.iter().any(|run| run.labels.get(name).is_some())).collect(),
            is_metadata: names.iter().map(|name| block.entry().columns_named(name).next().is_some()).collect(),
        }
    }

    /// What a block must hold, in the words of the filters.
    fn filter_query(&self, probe: &Probe, names: &[&str]) -> FilterQuery {
        let each = |probes: &[Probe]| probes.iter().map(|probe| self.filter_query(probe, names)).collect();
        let has = |holds: &[bool], name: &str| names.iter().zip(holds).any(|(known, holds)| *known == name && *holds);
        let (anything, nothing) = (FilterQuery::And(Vec::new()), FilterQuery::Or(Vec::new()));
        match probe {
            Probe::All(members) => FilterQuery::And(each(members)),
            Probe::Any(members) => FilterQuery::Or(each(members)),
            Probe::Contains { literal, ignore_case } => FilterQuery::Contains { literal: literal.clone(), ignore_case: *ignore_case },
            Probe::MetadataEquals { name, .. } | Probe::HasMetadata { name } if has(&self.is_label, name) => anything,
            Probe::MetadataEquals { name, .. } | Probe::HasMetadata { name } if !has(&self.is_metadata, name) => nothing,
            Probe::MetadataEquals { name, value } => FilterQuery::MetadataEquals { name: name.clone(), value: value.clone().into_bytes() },
            Probe::HasMetadata { .. } => anything,
        }
    }
}
