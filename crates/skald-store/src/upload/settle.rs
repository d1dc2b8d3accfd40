//! What an earlier process left in the queue although its rows are stored.

use super::footer::footer;
use crate::catalog::covers;
use crate::tier::{Queued, Tier};
use crate::{ObjectMeta, ObjectName, ObjectStore, Origin, StoreError};
use skald_block::RowDigest;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use tracing::info;

/// Tables that are listed one by one; beyond it one listing of everything is cheaper.
const TABLES_MAX: usize = 16;

/// What was found out about the queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settled {
    /// Objects whose rows were stored already; they left the queue.
    pub stored: usize,
    /// Objects whose name another stored object has; they got a name of their own.
    pub renamed: usize,
    /// Objects that wait to be uploaded.
    pub waiting: usize,
}

/// Takes objects out of the queue whose rows stand in the remote store: under the same name with the same digest, or joined into another object, which
/// names them as replaced. To be called before the catalogue lists the tier, since it would count their rows twice.
///
/// Each step can be cut short and done again.
///
/// # Errors
/// When the store or the disk fails.
pub async fn settle(tier: &Tier) -> Result<Settled, StoreError> {
    let queued = tier.queued();
    let mut settled = Settled { waiting: queued.len(), ..Settled::default() };
    if queued.is_empty() {
        return Ok(settled);
    }
    let stored = list_tables(tier, &queued).await?;
    let mut replaced: HashMap<String, HashSet<String>> = HashMap::new();
    for object in &queued {
        if is_joined(tier, object, &stored, &mut replaced).await? {
            tier.dequeue(&object.path).await?;
            settled.stored += 1;
        } else if let Some(size) = stored.get(&object.name) {
            if settle_name(tier, object, *size, &stored).await? {
                settled.stored += 1;
            } else {
                settled.renamed += 1;
            }
        }
    }
    settled.waiting = tier.queued().len();
    info!(stored = settled.stored, renamed = settled.renamed, waiting = settled.waiting, "compared the upload queue with the store");
    Ok(settled)
}

/// Incoming objects that are stored, of the tables that are in the queue, with their sizes.
async fn list_tables(tier: &Tier, queued: &[Queued]) -> Result<BTreeMap<ObjectName, u64>, StoreError> {
    let tables: BTreeSet<_> = queued.iter().map(|object| &object.name.table).collect();
    let mut listed: Vec<ObjectMeta> = Vec::new();
    if tables.len() > TABLES_MAX {
        listed = tier.remote().list("").await?;
    } else {
        for table in &tables {
            listed.extend(tier.remote().list(&format!("{table}/incoming/")).await?);
        }
    }
    let named = listed.into_iter().filter_map(|meta| Some((meta.name.parse::<ObjectName>().ok()?, meta.size)));
    Ok(named.filter(|(name, _)| matches!(name.origin, Origin::Incoming { .. }) && tables.contains(&name.table)).collect())
}

/// Whether a stored object names it as replaced. What these replace is read once for all.
async fn is_joined(
    tier: &Tier,
    object: &Queued,
    stored: &BTreeMap<ObjectName, u64>,
    replaced: &mut HashMap<String, HashSet<String>>,
) -> Result<bool, StoreError> {
    for (name, size) in stored.iter().filter(|(name, _)| covers(name, &object.name)) {
        let path = name.to_string();
        if !replaced.contains_key(&path) {
            let footer = footer(tier.remote(), &path, *size).await?;
            let names = footer.map(|footer| footer.info.replaces.into_iter().collect()).unwrap_or_default();
            replaced.insert(path.clone(), names);
        }
        if replaced[&path].contains(&object.path) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Decides whose rows a name has that is both queued and stored. `true` when they are the same.
async fn settle_name(tier: &Tier, object: &Queued, size: u64, stored: &BTreeMap<ObjectName, u64>) -> Result<bool, StoreError> {
    let ours = digest(tier.queue_files().as_ref(), &object.path, object.size).await?;
    let theirs = digest(tier.remote(), &object.path, size).await?;
    let is_same = ours.is_some() && ours == theirs;
    if !is_same {
        let bytes = tier.queue_files().get_range(&object.path, 0..object.size).await?;
        let mut name = object.name.next_attempt();
        loop {
            let path = name.to_string();
            if !stored.contains_key(&name) {
                match tier.requeue(&path, bytes.clone()).await {
                    Ok(()) => break,
                    // An earlier start got this far.
                    Err(StoreError::AlreadyExists(_)) if queued_digest(tier, &path).await? == ours => break,
                    Err(StoreError::AlreadyExists(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            name = name.next_attempt();
        }
    }
    tier.dequeue(&object.path).await?;
    Ok(is_same)
}

async fn digest(store: &dyn ObjectStore, name: &str, size: u64) -> Result<Option<RowDigest>, StoreError> {
    Ok(footer(store, name, size).await?.map(|footer| footer.summary.digest))
}

async fn queued_digest(tier: &Tier, name: &str) -> Result<Option<RowDigest>, StoreError> {
    match tier.queued().into_iter().find(|queued| queued.path == name) {
        Some(queued) => digest(tier.queue_files().as_ref(), name, queued.size).await,
        None => Ok(None),
    }
}
