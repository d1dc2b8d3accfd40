//! What an upload asks of the catalogue.

use super::{Catalog, DataObject, PublishError};
use crate::{ObjectName, Origin, TableId};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Why a name cannot be given to new rows as if it were free.
pub(super) enum Taken {
    /// A live object has it.
    Live(Arc<DataObject>),
    /// The object that had it was joined into a live one.
    Joined,
}

impl Catalog {
    /// The live objects of a table that have one of these names.
    pub(crate) fn live_of(&self, table: &TableId, names: &HashSet<&str>) -> Vec<Arc<DataObject>> {
        let objects = self.objects_of(table).into_iter();
        objects.filter(|object| names.contains(object.path.as_str())).collect()
    }

    fn objects_of(&self, table: &TableId) -> Vec<Arc<DataObject>> {
        // Those that only a manifest names were uploaded long ago.
        let live = self.live.read();
        live.get(&table.tenant).and_then(|days| days.get(&table.day)).map(|slot| slot.table.objects.clone()).unwrap_or_default()
    }

    /// Whether nothing else may be put under a name, though the store may not have it any more.
    pub(super) async fn taken(&self, name: &ObjectName) -> Result<Option<Taken>, PublishError> {
        let mut path = None;
        for object in self.objects_of(&name.table) {
            if object.name == *name {
                return Ok(Some(Taken::Live(object)));
            }
            if covers(&object.name, name) {
                let path = path.get_or_insert_with(|| name.to_string());
                let footer = self.load_footer(&object).await.map_err(PublishError::Compare)?;
                if footer.info.replaces.contains(path) {
                    return Ok(Some(Taken::Joined));
                }
            }
        }
        Ok(None)
    }

    /// Sees to it that an object goes which is in the store, or may be, and was never live.
    pub(crate) fn discard(&self, name: ObjectName) {
        let object = DataObject::new(self.next_id.fetch_add(1, Ordering::Relaxed), name, 0);
        let mut retired = self.retired.lock();
        retired.push(Arc::new(object));
        self.metrics.retired.set(retired.len() as i64);
    }
}

/// Whether one object was joined from several, and by its name another may be among these.
pub(crate) fn covers(joined: &ObjectName, name: &ObjectName) -> bool {
    let (Origin::Incoming { disk, first, last, .. }, Origin::Incoming { disk: of, first: from, last: to, .. }) =
        (&joined.origin, &name.origin)
    else {
        return false;
    };
    joined.table == name.table && joined.class == name.class && joined != name && disk == of && first <= from && to <= last
}
