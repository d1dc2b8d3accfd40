//! Leaves out blocks that cannot hold what a query looks for.

use crate::error::QueryError;
use crate::fetch::BlockRef;
use crate::read::{Outcome, Reader, Unit, UnitRun};
use crate::tables::OPEN_MAX;
use futures::{StreamExt, TryStreamExt};
use skald_block::{BlockSet, FilterQuery};
use skald_logql::exec::Probe;
use skald_runtime::chain;
use skald_store::OpenObject;
use std::collections::HashMap;
use std::sync::Arc;

/// The units that may have a match. A filter that cannot be read passes everything: it costs time, not entries.
pub(crate) async fn skip_blocks(reader: &Reader, units: Vec<Unit>, probe: &Probe, outcome: &mut Outcome) -> Result<Vec<Unit>, QueryError> {
    outcome.stats.blocks_matched += units.iter().filter(|unit| matches!(unit, Unit::Block { .. })).count() as u64;
    if probe.is_anything() {
        return Ok(units);
    }
    let before = units.len();
    let of_probe = probe.clone();
    let (units, asked, queries) = reader.work.on_pool(move || Ok(ask(units, &of_probe))).await?;
    let passed = futures::stream::iter(queries.into_iter().map(|(open, query)| matching_blocks(reader, open, query)));
    let passed: Vec<Option<BlockSet>> = passed.buffered(OPEN_MAX).try_collect().await?;
    let passes = |unit: &Unit, asked: Option<usize>| match unit {
        Unit::Memory { .. } => true,
        Unit::Block { block, .. } => asked.and_then(|at| passed[at].as_ref()).is_none_or(|blocks| blocks.contains(block.number)),
    };
    let units: Vec<Unit> = units.into_iter().zip(asked).filter(|(unit, asked)| passes(unit, *asked)).map(|(unit, _)| unit).collect();
    outcome.stats.blocks_skipped += (before - units.len()) as u64;
    Ok(units)
}

/// The units, by unit the number of what is asked of its object's filters, and all that is asked.
fn ask(units: Vec<Unit>, probe: &Probe) -> (Vec<Unit>, Vec<Option<usize>>, Vec<(Arc<OpenObject>, FilterQuery)>) {
    let names = probe.metadata_names();
    let (mut numbers, mut queries) = (HashMap::<Question, usize>::new(), Vec::new());
    let mut number = |unit: &Unit| {
        let Unit::Block { block, runs } = unit else { return None };
        let new = |question: &Question| {
            queries.push((block.open.clone(), question.filter_query(probe, &names)));
            queries.len() - 1
        };
        Some(*numbers.entry(Question::new(block, runs, &names)).or_insert_with_key(new))
    };
    let asked = units.iter().map(&mut number).collect();
    (units, asked, queries)
}

/// The blocks of an object that may hold what is asked; `None` where its filters cannot be read.
async fn matching_blocks(reader: &Reader, open: Arc<OpenObject>, query: FilterQuery) -> Result<Option<BlockSet>, QueryError> {
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
    reader.work.on_pool(find).await
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
