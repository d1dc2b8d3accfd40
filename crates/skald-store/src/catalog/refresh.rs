//! Objects that another process put.

use super::Catalog;
use super::slot::ManifestState;
use crate::{Origin, StoreError, TableFile};
use skald_model::DiskId;

impl Catalog {
    /// Lists the store once more and makes live what other disks flushed into it meanwhile: a process from which this one took the store over may have
    /// uploaded its last objects after this one's start. Gives how many it found.
    ///
    /// Objects of `own` disk are left alone: what this process puts it knows already. When objects were removed meanwhile nothing is taken from the
    /// listing, which may name them; the next call sees them.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub async fn refresh(&self, own: DiskId) -> Result<usize, StoreError> {
        let removals = self.removals();
        let mut found = 0;
        for meta in self.store.list("").await? {
            let Ok(TableFile::Object(name)) = meta.name.parse() else { continue };
            if !matches!(name.origin, Origin::Incoming { disk, .. } if disk != own) {
                continue;
            }
            let id = name.table.clone();
            found += self.change_slot(&id, |slot| {
                let is_absorbed = matches!(&slot.manifest, ManifestState::Known(current) if current.absorbed.contains(&meta.name));
                let is_known =
                    is_absorbed || slot.files.others.contains(&meta.name) || slot.table.objects.iter().any(|known| known.name == name);
                if is_known || self.removals() != removals {
                    return 0;
                }
                slot.add(self.count_in(name, meta.size));
                1
            });
        }
        Ok(found)
    }
}
