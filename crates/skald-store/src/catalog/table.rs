use super::DataObject;
use crate::manifest::LoadError;
use crate::{TableId, TableIndex};
use std::sync::Arc;

/// A tenant's UTC day at one instant.
#[derive(Debug, Clone)]
pub struct Table {
    /// Which.
    pub id: TableId,
    /// Live objects, in the order in which they became live.
    pub objects: Vec<Arc<DataObject>>,
    /// Its index, which covers some of the objects.
    pub index: Option<Arc<TableIndex>>,
    /// Why its manifest is not known. Merged objects are missing then; what an answer says must say so.
    pub problem: Option<Arc<LoadError>>,
}

impl Table {
    pub(super) fn new(id: TableId) -> Self {
        Table { id, objects: Vec::new(), index: None, problem: None }
    }

    /// Bytes of the live objects.
    pub fn bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.size).sum()
    }
}
