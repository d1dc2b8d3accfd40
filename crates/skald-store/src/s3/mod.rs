//! Objects in a bucket of S3, or of a server that speaks its protocol.
//!
//! A name lies at the key `<prefix>/<name>`. One call is one request, except that lists come in pages of 1,000 names, several ranges in several requests,
//! and bodies above 128 MiB in parts. Nothing is tried again here, and no failure is hidden: [`StoreError::kind`] says which are worth another try.
//!
//! What is verified by whom: a body is sent with its CRC-32, which the server compares before it stores anything; over TLS nothing else is needed, over
//! plain HTTP the signature covers the body too. What is read is compared with the length asked for. Its bytes are compared by the reader: every
//! part of every file of ours has a checksum of its own, which also finds what went wrong while it lay there.

mod classify;
mod client;
mod metrics;
mod ranges;
mod requests;
mod upload;

#[cfg(test)]
mod tests;

pub use client::{ConnectError, Credentials};
pub use metrics::Metrics;

use crate::name::{NAME_LEN_MAX, check_name, check_prefix};
use crate::{ObjectMeta, ObjectStore, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use ranges::Part;
use requests::{DELETES_MAX, Requests};
use skald_config::{S3Config, S3Url};
use skald_model::seam::{Clock, Spawner};
use std::ops::Range;
use std::sync::Arc;

/// Requests for ranges of one object at a time.
const GETS_AT_A_TIME: usize = 8;

/// A bucket, or a folder in it, as an object store.
pub struct S3Store {
    requests: Arc<Requests>,
    spawner: Arc<dyn Spawner>,
}

/// What an [`S3Store`] is made of.
pub struct Parts {
    /// The bucket, and the folder in it.
    pub url: S3Url,
    /// How to ask for it.
    pub config: S3Config,
    /// By what right.
    pub credentials: Credentials,
    /// Signs requests with its time, and bounds them.
    pub clock: Arc<dyn Clock>,
    /// Cleans up after uploads that nobody waits for any more.
    pub spawner: Arc<dyn Spawner>,
    /// What is counted.
    pub metrics: Metrics,
}

impl S3Store {
    /// Makes the client of a bucket. Whether the bucket is there, and may be used, is found out by the first request.
    ///
    /// # Errors
    /// When nothing says where the bucket is.
    pub async fn connect(parts: Parts) -> Result<Self, ConnectError> {
        let Parts { url, config, credentials, clock, spawner, metrics } = parts;
        let connected = client::connect(&config, credentials, clock.clone()).await?;
        Ok(S3Store { requests: Arc::new(Requests::new(connected, url, &config, clock, metrics)), spawner })
    }

    fn check(&self, name: &str) -> Result<(), StoreError> {
        check_name(name)?;
        if self.requests.key(name).len() <= NAME_LEN_MAX { Ok(()) } else { Err(StoreError::InvalidName(name.to_owned())) }
    }

    async fn put_whole_or_in_parts(&self, name: &str, bytes: Bytes, if_absent: bool) -> Result<(), StoreError> {
        self.check(name)?;
        if bytes.len() <= upload::SINGLE_PUT_MAX {
            self.requests.put(name, bytes, if_absent).await
        } else {
            upload::put(&self.requests, &self.spawner, name, bytes, if_absent).await
        }
    }

    /// Parts that cover `ranges`, ascending, and what is known of the object's size: it, or where it ends at the latest.
    async fn fetch(&self, name: &str, ranges: &[Range<u64>]) -> Result<(Vec<Part>, u64), StoreError> {
        let fetch = |range: Range<u64>| async move {
            let fetched = self.requests.get(name, range.clone()).await?;
            let size = fetched.size.unwrap_or(range.start);
            // A range that begins behind the end says no more than that; nothing needs the parts behind it.
            let is_short = size < range.end;
            Ok::<_, StoreError>((Part { start: range.start, bytes: fetched.bytes }, size, is_short))
        };
        let mut fetched = stream::iter(ranges::plan(ranges)).map(fetch).buffered(GETS_AT_A_TIME);
        let (mut parts, mut end) = (Vec::new(), u64::MAX);
        while let Some((part, size, is_short)) = fetched.try_next().await? {
            parts.push(part);
            end = end.min(size);
            if is_short {
                break;
            }
        }
        Ok((parts, end))
    }
}

#[async_trait]
impl ObjectStore for S3Store {
    async fn put(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.put_whole_or_in_parts(name, bytes, false).await
    }

    async fn put_if_absent(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.put_whole_or_in_parts(name, bytes, true).await
    }

    async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let mut bytes = self.get_ranges(name, vec![range]).await?;
        Ok(bytes.pop().expect("one range gives one result"))
    }

    async fn get_ranges(&self, name: &str, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>, StoreError> {
        self.check(name)?;
        let (parts, end) = self.fetch(name, &ranges).await?;
        match ranges.iter().find(|range| range.start > range.end || range.end > end) {
            Some(wrong) => Err(StoreError::OutOfRange { name: name.to_owned(), end: wrong.end }),
            None => Ok(ranges.iter().map(|range| ranges::assemble(range, &parts)).collect()),
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StoreError> {
        check_prefix(prefix)?;
        let (mut objects, mut token) = (Vec::new(), None);
        loop {
            let (page, next) = self.requests.list_page(prefix, token).await?;
            objects.extend(page);
            if next.is_none() {
                break;
            }
            token = next;
        }
        // Not every server lists by the bytes of whole names.
        objects.sort();
        objects.dedup();
        Ok(objects)
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.check(name)?;
        self.requests.delete(name).await
    }

    async fn delete_many(&self, names: &[String]) -> Result<(), StoreError> {
        names.iter().try_for_each(|name| self.check(name))?;
        for batch in names.chunks(DELETES_MAX) {
            self.requests.delete_many(batch).await?;
        }
        Ok(())
    }
}
