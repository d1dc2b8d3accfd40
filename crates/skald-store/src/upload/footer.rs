//! What objects say of themselves, before the catalogue knows them.

use crate::tier::folder_of;
use crate::{ObjectStore, StoreError};
use skald_block::{Footer, FormatError, Trailer};

/// The footer of a stored object; `None` when it is not there, or damaged, so that nothing is known of its rows.
pub(super) async fn stored_footer(store: &dyn ObjectStore, name: &str) -> Result<Option<Footer>, StoreError> {
    let listed = store.list(folder_of(name)).await?;
    let Some(meta) = listed.into_iter().find(|meta| meta.name == name) else { return Ok(None) };
    footer(store, name, meta.size).await
}

/// The footer of an object of this size; `None` when it is damaged.
pub(super) async fn footer(store: &dyn ObjectStore, name: &str, size: u64) -> Result<Option<Footer>, StoreError> {
    let tail_start = size.saturating_sub(Trailer::LEN as u64);
    let tail = store.get_range(name, tail_start..size).await?;
    let Ok(trailer) = Trailer::parse(&tail, size) else { return Ok(None) };
    let bytes = store.get_range(name, trailer.footer_range()).await?;
    Ok(Footer::parse(&trailer, &bytes).ok())
}

/// The footer of an object that is in memory as a whole.
pub(super) fn footer_of(bytes: &[u8]) -> Result<Footer, FormatError> {
    let trailer = Trailer::parse(&bytes[bytes.len().saturating_sub(Trailer::LEN)..], bytes.len() as u64)?;
    let range = trailer.footer_range();
    Footer::parse(&trailer, &bytes[range.start as usize..range.end as usize])
}
