//! Single requests to S3: each measured, counted, bounded in time, and its failure named.

use super::classify::{Reason, of_answer, plain, reason};
use super::client::Connected;
use super::metrics::{Metrics, PriceClass, Prices};
use crate::name::check_name;
use crate::{ObjectMeta, RemoteAnswer, RemoteFailure, RemoteProblem, StoreError};
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier};
use bytes::{Bytes, BytesMut};
use futures::future::{Either, select};
use skald_config::{S3Config, S3Url};
use skald_model::Timestamp;
use skald_model::seam::Clock;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// Names that S3 deletes by one request.
pub(super) const DELETES_MAX: usize = 1000;

/// What is asked of S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Put,
    Get,
    List,
    Delete,
    DeleteMany,
    CreateUpload,
    UploadPart,
    CompleteUpload,
    AbortUpload,
}

impl Operation {
    /// S3's own word.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Put => "PutObject",
            Self::Get => "GetObject",
            Self::List => "ListObjectsV2",
            Self::Delete => "DeleteObject",
            Self::DeleteMany => "DeleteObjects",
            Self::CreateUpload => "CreateMultipartUpload",
            Self::UploadPart => "UploadPart",
            Self::CompleteUpload => "CompleteMultipartUpload",
            Self::AbortUpload => "AbortMultipartUpload",
        }
    }

    pub(super) fn price_class(self) -> PriceClass {
        match self {
            Self::Put | Self::List | Self::CreateUpload | Self::UploadPart | Self::CompleteUpload => PriceClass::Put,
            Self::Get => PriceClass::Get,
            Self::Delete | Self::DeleteMany | Self::AbortUpload => PriceClass::Free,
        }
    }
}

/// One bucket and how to ask it.
pub(super) struct Requests {
    client: Client,
    url: S3Url,
    signs_bodies: bool,
    timeout: Duration,
    prices: Prices,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

/// What the object has of a range, and its size.
pub(super) struct Fetched {
    pub(super) bytes: Bytes,
    /// `None` when the range begins at or behind the end.
    pub(super) size: Option<u64>,
}

impl Requests {
    pub(super) fn new(connected: Connected, url: S3Url, config: &S3Config, clock: Arc<dyn Clock>, metrics: Metrics) -> Self {
        Requests {
            client: connected.client,
            url,
            // TLS keeps a body from being changed on its way; hashing it once more only costs.
            signs_bodies: !connected.is_tls,
            timeout: config.request_timeout,
            prices: Prices { put: config.put_price / 1000.0, get: config.get_price / 1000.0 },
            clock,
            metrics,
        }
    }

    /// The key of a name in the bucket.
    pub(super) fn key(&self, name: &str) -> String {
        if self.url.prefix.is_empty() { name.to_owned() } else { format!("{}/{name}", self.url.prefix) }
    }

    pub(super) async fn put(&self, name: &str, bytes: Bytes, if_absent: bool) -> Result<(), StoreError> {
        let len = bytes.len() as u64;
        let put = self.client.put_object().bucket(&self.url.bucket).key(self.key(name)).content_type("application/octet-stream");
        let put = put.set_if_none_match(if_absent.then(|| "*".to_owned())).body(ByteStream::from(bytes)).customize();
        let put = if self.signs_bodies { put } else { put.disable_payload_signing() };
        let sent = self.call(Operation::Put, async { put.send().await.map_err(reason) }).await;
        self.metrics.sent_bytes.inc_by(len);
        sent.map(drop).map_err(|reason| self.failure(Operation::Put, name, reason))
    }

    /// What the object has of `range`, which is not empty.
    pub(super) async fn get(&self, name: &str, range: Range<u64>) -> Result<Fetched, StoreError> {
        let asked = format!("bytes={}-{}", range.start, range.end - 1);
        let get = self.client.get_object().bucket(&self.url.bucket).key(self.key(name)).range(asked);
        let fetched = self.call(Operation::Get, async {
            let output = get.send().await.map_err(reason)?;
            let size = object_size(output.content_range(), output.content_length(), &range)?;
            let bytes = read_body(output.body, range.end.min(size).saturating_sub(range.start)).await?;
            Ok(Fetched { bytes, size: Some(size) })
        });
        match fetched.await {
            Ok(fetched) => {
                self.metrics.received_bytes.inc_by(fetched.bytes.len() as u64);
                Ok(fetched)
            }
            Err(Reason::OutOfRange) => Ok(Fetched { bytes: Bytes::new(), size: None }),
            Err(reason) => Err(self.failure(Operation::Get, name, reason)),
        }
    }

    /// A page of the names below `prefix`, and where the next one goes on.
    pub(super) async fn list_page(&self, prefix: &str, token: Option<String>) -> Result<(Vec<ObjectMeta>, Option<String>), StoreError> {
        let below = self.key(prefix);
        let list = self.client.list_objects_v2().bucket(&self.url.bucket).prefix(&below).set_continuation_token(token.clone());
        let failed = |reason| self.failure(Operation::List, prefix, reason);
        let output = self.call(Operation::List, async { list.send().await.map_err(reason) }).await.map_err(failed)?;
        let next = output.next_continuation_token.filter(|_| output.is_truncated == Some(true));
        if output.is_truncated == Some(true) && (next.is_none() || next == token) {
            return Err(failed(Reason::caused_by(RemoteProblem::Broken, "the list goes on, and nothing says where")));
        }
        let ours = self.key("").len();
        let meta = |object: aws_sdk_s3::types::Object| {
            // Markers of folders, and what others put here, have names that are none of ours.
            let name = object.key.filter(|key| key.starts_with(&below))?.split_off(ours);
            let size = u64::try_from(object.size?).ok()?;
            check_name(&name).ok().map(|()| ObjectMeta { name, size, modified: timestamp(object.last_modified) })
        };
        Ok((output.contents.unwrap_or_default().into_iter().filter_map(meta).collect(), next))
    }

    pub(super) async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let delete = self.client.delete_object().bucket(&self.url.bucket).key(self.key(name));
        match self.call(Operation::Delete, async { delete.send().await.map_err(reason) }).await {
            Ok(_) | Err(Reason::NotFound) => Ok(()),
            Err(reason) => Err(self.failure(Operation::Delete, name, reason)),
        }
    }

    /// Removes up to [`DELETES_MAX`] names.
    pub(super) async fn delete_many(&self, names: &[String]) -> Result<(), StoreError> {
        let object = |name: &String| ObjectIdentifier::builder().key(self.key(name)).build().expect("it has a key");
        let all = Delete::builder().set_objects(Some(names.iter().map(object).collect())).quiet(true).build().expect("it has objects");
        let delete = self.client.delete_objects().bucket(&self.url.bucket).delete(all);
        let first = names.first().map(String::as_str).unwrap_or_default();
        let failed = |name: &str, reason| self.failure(Operation::DeleteMany, name, reason);
        let output = self
            .call(Operation::DeleteMany, async { delete.send().await.map_err(reason) })
            .await
            .map_err(|reason| failed(first, reason))?;
        for error in output.errors() {
            let (code, message) = (error.code().map(plain), error.message().map(plain));
            match of_answer(RemoteAnswer { status: 200, code, message, request_id: None, retry_after: None }, None) {
                Reason::Problem { answer: Some(answer), .. } if answer.code.as_deref() == Some("NoSuchKey") => {}
                reason => {
                    let key = error.key().unwrap_or_default();
                    return Err(failed(key.strip_prefix(&self.key("")).unwrap_or(key), reason));
                }
            }
        }
        Ok(())
    }

    /// Begins a multipart upload and gives its id.
    pub(super) async fn create_upload(&self, name: &str) -> Result<String, StoreError> {
        let create = self.client.create_multipart_upload().bucket(&self.url.bucket).key(self.key(name));
        let create = create.content_type("application/octet-stream").checksum_algorithm(ChecksumAlgorithm::Crc32);
        let id = self.call(Operation::CreateUpload, async {
            let output = create.send().await.map_err(reason)?;
            output.upload_id.ok_or_else(|| Reason::caused_by(RemoteProblem::Broken, "the upload has no id"))
        });
        id.await.map_err(|reason| self.failure(Operation::CreateUpload, name, reason))
    }

    /// Uploads part `number`, from 1 on.
    pub(super) async fn upload_part(&self, name: &str, upload: &str, number: i32, bytes: Bytes) -> Result<CompletedPart, StoreError> {
        let len = bytes.len() as u64;
        let put = self.client.upload_part().bucket(&self.url.bucket).key(self.key(name)).upload_id(upload).part_number(number);
        let put = put.checksum_algorithm(ChecksumAlgorithm::Crc32).body(ByteStream::from(bytes)).customize();
        let put = if self.signs_bodies { put } else { put.disable_payload_signing() };
        let sent = self.call(Operation::UploadPart, async { put.send().await.map_err(reason) }).await;
        self.metrics.sent_bytes.inc_by(len);
        let output = sent.map_err(|reason| self.failure(Operation::UploadPart, name, reason))?;
        let part = CompletedPart::builder().part_number(number).set_e_tag(output.e_tag).set_checksum_crc32(output.checksum_crc32);
        Ok(part.build())
    }

    pub(super) async fn complete_upload(
        &self,
        name: &str,
        upload: &str,
        parts: Vec<CompletedPart>,
        if_absent: bool,
    ) -> Result<(), StoreError> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let complete = self.client.complete_multipart_upload().bucket(&self.url.bucket).key(self.key(name)).upload_id(upload);
        let complete = complete.multipart_upload(parts).set_if_none_match(if_absent.then(|| "*".to_owned()));
        let completed = self.call(Operation::CompleteUpload, async { complete.send().await.map_err(reason) }).await;
        completed.map(drop).map_err(|reason| self.failure(Operation::CompleteUpload, name, reason))
    }

    pub(super) async fn abort_upload(&self, name: &str, upload: &str) -> Result<(), StoreError> {
        let abort = self.client.abort_multipart_upload().bucket(&self.url.bucket).key(self.key(name)).upload_id(upload);
        let aborted = self.call(Operation::AbortUpload, async { abort.send().await.map_err(reason) }).await;
        aborted.map(drop).map_err(|reason| self.failure(Operation::AbortUpload, name, reason))
    }

    /// Waits for a request no longer than it may take, and counts it; also when the caller stops waiting.
    async fn call<T>(&self, operation: Operation, request: impl Future<Output = Result<T, Reason>>) -> Result<T, Reason> {
        let mut running = Running { requests: self, operation, begun: self.clock.monotonic(), ended: ("dropped", true) };
        let result = match select(pin!(request), self.clock.sleep(self.timeout)).await {
            Either::Left((result, _)) => result,
            Either::Right(((), _)) => Err(Reason::problem(RemoteProblem::Timeout)),
        };
        running.ended = result.as_ref().map_or_else(|reason| (reason.label(), reason.is_charged()), |_| ("success", true));
        result
    }

    fn failure(&self, operation: Operation, name: &str, reason: Reason) -> StoreError {
        let (problem, answer, source) = match reason {
            Reason::NotFound => return StoreError::NotFound(name.to_owned()),
            Reason::Exists => return StoreError::AlreadyExists(name.to_owned()),
            Reason::OutOfRange => (RemoteProblem::Refused, None, None),
            Reason::Problem { problem, answer, source } => (problem, answer.map(|answer| *answer), source),
        };
        let object = format!("s3://{}/{}", self.url.bucket, self.key(name));
        StoreError::Remote(Box::new(RemoteFailure { operation: operation.name(), object, problem, answer, source }))
    }
}

/// A request under way; counted when it is over.
struct Running<'a> {
    requests: &'a Requests,
    operation: Operation,
    begun: Duration,
    /// Its outcome, and whether it is likely to be charged for.
    ended: (&'static str, bool),
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let Requests { clock, metrics, prices, .. } = self.requests;
        let took = clock.monotonic().saturating_sub(self.begun);
        metrics.ended(self.operation, self.ended.0, took, self.ended.1, *prices);
    }
}

/// The size of an object from the answer to a range: `bytes 0-9/100`. A server may give a whole object where that is what was asked for.
fn object_size(content_range: Option<&str>, content_length: Option<i64>, asked: &Range<u64>) -> Result<u64, Reason> {
    let broken = |what: String| Reason::caused_by(RemoteProblem::Broken, what);
    let Some(text) = content_range else {
        let len = content_length.and_then(|len| u64::try_from(len).ok());
        let is_whole = |len: &u64| asked.start == 0 && *len <= asked.end;
        return len.filter(is_whole).ok_or_else(|| broken("the server does not answer by ranges".to_owned()));
    };
    let parse = || {
        let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?, size.parse::<u64>().ok()?))
    };
    match parse() {
        Some((first, last, size)) if first == asked.start && last.checked_add(1) == Some(asked.end.min(size)) => Ok(size),
        _ => Err(broken(format!("asked for bytes {}-{}, got '{}'", asked.start, asked.end - 1, plain(text)))),
    }
}

/// A body of exactly `len` bytes.
async fn read_body(mut body: ByteStream, len: u64) -> Result<Bytes, Reason> {
    let broken = |what: String| Reason::caused_by(RemoteProblem::Broken, what);
    let mut bytes = BytesMut::with_capacity(len as usize);
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| Reason::caused_by(RemoteProblem::Broken, error))?;
        if (bytes.len() + chunk.len()) as u64 > len {
            return Err(broken(format!("more than {len} bytes")));
        }
        if chunk.len() as u64 == len {
            return Ok(chunk);
        }
        bytes.extend_from_slice(&chunk);
    }
    if bytes.len() as u64 == len { Ok(bytes.freeze()) } else { Err(broken(format!("{} of {len} bytes", bytes.len()))) }
}

fn timestamp(at: Option<DateTime>) -> Timestamp {
    let nanos = at.map_or(0, |at| at.as_nanos());
    Timestamp(i64::try_from(nanos).unwrap_or(i64::MAX))
}
