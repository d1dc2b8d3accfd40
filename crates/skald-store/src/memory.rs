use crate::name::{check_name, check_prefix};
use crate::{ObjectMeta, ObjectStore, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use skald_model::Timestamp;
use skald_model::seam::Clock;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::sync::Arc;

/// Objects in memory, for tests.
#[derive(Default)]
pub struct MemoryStore {
    objects: Mutex<BTreeMap<String, (Bytes, Timestamp)>>,
    clock: Option<Arc<dyn Clock>>,
}

impl MemoryStore {
    /// A store without objects. Those that come have no dates.
    pub fn new() -> Self {
        Self::default()
    }

    /// A store without objects, which dates them by `clock`.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        MemoryStore { clock: Some(clock), ..Self::default() }
    }

    fn now(&self) -> Timestamp {
        self.clock.as_ref().map_or(Timestamp(0), |clock| clock.now())
    }
}

#[async_trait]
impl ObjectStore for MemoryStore {
    async fn put(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        check_name(name)?;
        self.objects.lock().insert(name.to_owned(), (bytes, self.now()));
        Ok(())
    }

    async fn put_if_absent(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        check_name(name)?;
        match self.objects.lock().entry(name.to_owned()) {
            Entry::Occupied(taken) => Err(StoreError::AlreadyExists(taken.key().clone())),
            Entry::Vacant(free) => {
                free.insert((bytes, self.now()));
                Ok(())
            }
        }
    }

    async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        check_name(name)?;
        let objects = self.objects.lock();
        let (bytes, _) = objects.get(name).ok_or_else(|| StoreError::NotFound(name.to_owned()))?;
        if range.start > range.end || range.end > bytes.len() as u64 {
            return Err(StoreError::OutOfRange { name: name.to_owned(), end: range.end });
        }
        Ok(bytes.slice(range.start as usize..range.end as usize))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StoreError> {
        check_prefix(prefix)?;
        let objects = self.objects.lock();
        let inside = objects.range(prefix.to_owned()..).take_while(|(name, _)| name.starts_with(prefix));
        let meta = |(name, (bytes, modified)): (&String, &(Bytes, Timestamp))| ObjectMeta {
            name: name.clone(),
            size: bytes.len() as u64,
            modified: *modified,
        };
        Ok(inside.map(meta).collect())
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        check_name(name)?;
        self.objects.lock().remove(name);
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
