use crate::delivery::{Batch, BatchId, BatchSource, PayloadError};
use crate::spool::{self, SpoolReader};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;

/// What a client has to send, from the spool.
pub(super) struct SpoolBatches {
    reader: tokio::sync::Mutex<(SpoolReader, BatchId)>,
    /// Those that were given and are not acknowledged.
    given: Mutex<HashMap<BatchId, Arc<spool::Batch>>>,
}

impl SpoolBatches {
    pub(super) fn new(reader: SpoolReader) -> Self {
        SpoolBatches { reader: tokio::sync::Mutex::new((reader, BatchId { group: 0, index: 0 })), given: Mutex::default() }
    }
}

#[async_trait]
impl BatchSource for SpoolBatches {
    async fn next(&self) -> Option<Batch> {
        let mut reader = self.reader.lock().await;
        let (reader, last) = &mut *reader;
        let found = reader.next().await;
        let index = if found.group() == last.group { last.index + 1 } else { 0 };
        *last = BatchId { group: found.group(), index };
        let batch = Batch { id: *last, tenant: found.tenant().cloned(), entries: found.entries(), line_bytes: found.line_bytes() };
        self.given.lock().insert(batch.id, Arc::new(found));
        Some(batch)
    }

    async fn payload(&self, batch: &Batch) -> Result<Bytes, PayloadError> {
        let found = self.given.lock().get(&batch.id).cloned();
        let found = found.ok_or_else(|| PayloadError::Damaged("it was acknowledged already".to_owned()))?;
        found.payload().await.map_err(|error| match error {
            spool::PayloadError::Lost(_) => PayloadError::Damaged(error.to_string()),
            spool::PayloadError::Unreadable(_) | spool::PayloadError::Stopped => PayloadError::Read(io::Error::other(error)),
        })
    }

    fn ack(&self, batch: &Batch) {
        if let Some(found) = self.given.lock().remove(&batch.id) {
            found.ack();
        }
    }
}

/// For clients that are opened to see whether they can be.
pub(super) struct NoBatches;

#[async_trait]
impl BatchSource for NoBatches {
    async fn next(&self) -> Option<Batch> {
        None
    }

    async fn payload(&self, _batch: &Batch) -> Result<Bytes, PayloadError> {
        Err(PayloadError::Damaged("there is none".to_owned()))
    }

    fn ack(&self, _batch: &Batch) {}
}
