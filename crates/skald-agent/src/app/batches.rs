//! What a client has to send, from the spool.

use crate::delivery::{Batch, BatchSource, PayloadError};
use crate::spool::{self, SpoolReader};
use async_trait::async_trait;
use bytes::Bytes;
use skald_pipeline::Text;

#[async_trait]
impl BatchSource for SpoolReader {
    async fn next(&mut self) -> Option<Box<dyn Batch>> {
        Some(Box::new(SpoolReader::next(self).await))
    }
}

#[async_trait]
impl Batch for spool::Batch {
    fn group(&self) -> u64 {
        spool::Batch::group(self)
    }

    fn tenant(&self) -> Option<&Text> {
        spool::Batch::tenant(self)
    }

    fn entries(&self) -> u64 {
        spool::Batch::entries(self)
    }

    fn line_bytes(&self) -> u64 {
        spool::Batch::line_bytes(self)
    }

    async fn payload(&self) -> Result<Bytes, PayloadError> {
        spool::Batch::payload(self).await.map_err(|error| match error {
            spool::PayloadError::Lost(_) => PayloadError::Damaged(error.to_string()),
            spool::PayloadError::Unreadable(_) | spool::PayloadError::Stopped => PayloadError::Unreadable(error.into()),
        })
    }

    fn ack(&self) {
        spool::Batch::ack(self);
    }
}
