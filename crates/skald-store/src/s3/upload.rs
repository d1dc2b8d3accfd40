//! Multipart uploads: large bodies in parts side by side. One that fails, or whose caller stops waiting, is aborted, so that its parts cost nothing.

use super::requests::Requests;
use crate::StoreError;
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use skald_model::seam::Spawner;
use std::sync::Arc;
use tracing::warn;

/// Bodies above it go up in parts. One put costs as much as each part does, so a data object of the usual size is put whole.
pub(super) const SINGLE_PUT_MAX: usize = 128 << 20;
/// Bytes of a part; the last has the rest.
const PART_LEN: usize = 32 << 20;
/// Parts on their way at a time.
const PARTS_AT_A_TIME: usize = 4;

/// Puts a body in parts.
pub(super) async fn put(
    requests: &Arc<Requests>,
    spawner: &Arc<dyn Spawner>,
    name: &str,
    bytes: Bytes,
    if_absent: bool,
) -> Result<(), StoreError> {
    let id = requests.create_upload(name).await?;
    let mut upload = Upload { requests: requests.clone(), spawner: spawner.clone(), name: name.to_owned(), id, is_settled: false };
    let put = upload.put(bytes, if_absent).await;
    if put.is_err() {
        abort(&upload.requests, &upload.name, &upload.id).await;
    }
    upload.is_settled = true;
    put
}

/// An upload that was begun.
struct Upload {
    requests: Arc<Requests>,
    spawner: Arc<dyn Spawner>,
    name: String,
    id: String,
    /// Completed or aborted.
    is_settled: bool,
}

impl Upload {
    async fn put(&self, bytes: Bytes, if_absent: bool) -> Result<(), StoreError> {
        let part = |number: usize| bytes.slice((number - 1) * PART_LEN..bytes.len().min(number * PART_LEN));
        let numbers = 1..=bytes.len().div_ceil(PART_LEN);
        let uploads = numbers.map(|number| self.requests.upload_part(&self.name, &self.id, number as i32, part(number)));
        let parts = stream::iter(uploads).buffered(PARTS_AT_A_TIME).try_collect().await?;
        self.requests.complete_upload(&self.name, &self.id, parts, if_absent).await
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.is_settled {
            let (requests, name, id) = (self.requests.clone(), std::mem::take(&mut self.name), std::mem::take(&mut self.id));
            self.spawner.spawn("abort multipart upload", Box::pin(async move { abort(&requests, &name, &id).await }));
        }
    }
}

async fn abort(requests: &Requests, name: &str, id: &str) {
    match requests.abort_upload(name, id).await {
        Ok(()) | Err(StoreError::NotFound(_)) => {}
        Err(error) => warn!(name, upload = id, %error, "parts of an upload are left in the bucket until its lifecycle rule removes them"),
    }
}
