use crate::name::{check_name, check_prefix};
use crate::{ObjectMeta, ObjectStore, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use skald_model::Timestamp;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

/// Objects in memory, for tests.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<BTreeMap<String, Bytes>>);

impl MemoryStore {
    /// A store without objects.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl ObjectStore for MemoryStore {
    async fn put(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        check_name(name)?;
        self.0.lock().insert(name.to_owned(), bytes);
        Ok(())
    }

    async fn put_if_absent(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        check_name(name)?;
        match self.0.lock().entry(name.to_owned()) {
            Entry::Occupied(taken) => Err(StoreError::AlreadyExists(taken.key().clone())),
            Entry::Vacant(free) => {
                free.insert(bytes);
                Ok(())
            }
        }
    }

    async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        check_name(name)?;
        let objects = self.0.lock();
        let bytes = objects.get(name).ok_or_else(|| StoreError::NotFound(name.to_owned()))?;
        if range.start > range.end || range.end > bytes.len() as u64 {
            return Err(StoreError::OutOfRange { name: name.to_owned(), end: range.end });
        }
        Ok(bytes.slice(range.start as usize..range.end as usize))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StoreError> {
        check_prefix(prefix)?;
        let objects = self.0.lock();
        let inside = objects.range(prefix.to_owned()..).take_while(|(name, _)| name.starts_with(prefix));
        Ok(inside.map(|(name, bytes)| ObjectMeta { name: name.clone(), size: bytes.len() as u64, modified: Timestamp(0) }).collect())
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        check_name(name)?;
        self.0.lock().remove(name);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_promises_of_an_object_store() {
        futures::executor::block_on(crate::conformance::suite(&MemoryStore::new(), "suite"));
    }
}
