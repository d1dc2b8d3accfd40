//! Which files of a table nobody needs any more.

use super::{Listing, Manifest};
use crate::{ObjectStore, StoreError};
use bytes::Bytes;
use skald_model::Timestamp;
use skald_model::seam::Random;
use std::collections::HashSet;
use std::time::Duration;

/// How long a manifest is kept once it has a successor, with all that it names: readers may still work by it.
pub const GRACE: Duration = Duration::from_secs(24 * 3600);
/// How long a merged object or an index file that no manifest names is kept: the manifest may be on its way.
pub const ABANDONED_AFTER: Duration = Duration::from_secs(12 * 3600);

/// Folder of objects that are put to learn what time it is for the store.
const CLOCK: &str = "~clock/";

/// Numbers of the manifests that are kept: the newest, and those whose successor is younger than [`GRACE`]. A manifest may be in force for long; its age
/// says nothing, that of its successor does.
pub fn kept(listing: &Listing, now: Timestamp) -> Vec<u64> {
    let numbers: Vec<u64> = listing.manifests.keys().copied().collect();
    let successors = listing.manifests.values().skip(1).map(Some).chain([None]);
    let keeps = |successor: Option<&crate::ObjectMeta>| successor.is_none_or(|successor| successor.modified.plus(GRACE) > now);
    numbers.into_iter().zip(successors).filter(|(_, successor)| keeps(*successor)).map(|(number, _)| number).collect()
}

/// Files of a table that may be deleted, in the order in which they may be: manifests come last, the oldest first. `kept` are the manifests that
/// [`kept`] names, all of them; `now` is the time by the clock of the store, see [`store_now`].
///
/// - A merged object or index file goes when no kept manifest names it and it was put [`ABANDONED_AFTER`] ago.
/// - An incoming object goes when every kept manifest absorbs it.
/// - A manifest goes when it is not kept.
pub fn garbage(listing: &Listing, kept: &[Manifest], now: Timestamp) -> Vec<String> {
    let named: HashSet<&str> = kept
        .iter()
        .flat_map(|manifest| manifest.content.objects.iter().chain(&manifest.content.index))
        .map(|file| file.name.as_str())
        .collect();
    let absorbed: Vec<HashSet<&str>> = kept.iter().map(|manifest| manifest.content.absorbed.iter().map(String::as_str).collect()).collect();
    let is_absorbed = |name: &str| !absorbed.is_empty() && !named.contains(name) && absorbed.iter().all(|names| names.contains(name));
    let by_name = listing.merged.iter().map(|(_, meta)| meta).chain(&listing.index);
    let abandoned = by_name.filter(|meta| !named.contains(meta.name.as_str()) && meta.modified.plus(ABANDONED_AFTER) <= now);
    let absorbed = listing.incoming.iter().map(|(_, meta)| meta).filter(|meta| is_absorbed(&meta.name));
    let is_kept = |number: &u64| kept.iter().any(|manifest| manifest.number == *number);
    let outdated = listing.manifests.iter().filter(|(number, _)| !is_kept(number)).map(|(_, meta)| meta);
    absorbed.chain(abandoned).chain(outdated).map(|meta| meta.name.clone()).collect()
}

/// What time it is by the clock that dates objects: an empty object is put, listed, and removed.
///
/// # Errors
/// When the store fails.
pub async fn store_now(store: &dyn ObjectStore, random: &dyn Random) -> Result<Timestamp, StoreError> {
    let name = format!("{CLOCK}{:032x}", random.next_id());
    store.put(&name, Bytes::new()).await?;
    let found = store.list(CLOCK).await?.into_iter().find(|meta| meta.name == name);
    store.delete(&name).await?;
    found.map(|meta| meta.modified).ok_or(StoreError::NotFound(name))
}
