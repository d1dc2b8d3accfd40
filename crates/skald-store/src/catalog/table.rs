use super::DataObject;
use crate::TableId;
use std::sync::Arc;

/// A tenant's UTC day at one instant.
#[derive(Debug, Clone)]
pub struct Table {
    /// Which.
    pub id: TableId,
    /// Live objects, in the order in which they became live.
    pub objects: Vec<Arc<DataObject>>,
}

impl Table {
    pub(super) fn new(id: TableId) -> Self {
        Table { id, objects: Vec::new() }
    }

    /// Bytes of the live objects.
    pub fn bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.size).sum()
    }
}
