//! Receiving and unpacking bodies within bounds.

use super::decode::Content;
use axum::body::Body;
use flate2::read::MultiGzDecoder;
use futures::StreamExt;
use http::{HeaderMap, StatusCode, header};
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a body was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// Larger than the limit, as sent or unpacked.
    #[error("the body has more than {0} bytes")]
    TooLarge(u64),
    /// Too much is being worked on.
    #[error("too many pushes at a time")]
    Busy,
    /// The client stopped sending.
    #[error("the body ends early: {0}")]
    Broken(#[from] axum::Error),
    /// It took too long to come.
    #[error("the body did not come in time")]
    Late,
    /// The encoding is none of ours.
    #[error("Content-Encoding \"{0}\" is not supported")]
    Encoding(String),
    /// Not what its encoding says.
    #[error("the body is not {0}")]
    Corrupt(&'static str),
}

impl BodyError {
    /// Status of the answer.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Late => StatusCode::REQUEST_TIMEOUT,
            Self::Broken(_) | Self::Encoding(_) | Self::Corrupt(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// Bytes of bodies being worked on, and their limit.
#[derive(Debug)]
pub(super) struct Budget {
    used: AtomicU64,
    max: u64,
}

/// What one request holds of a budget; given back when dropped.
#[derive(Debug)]
pub(super) struct Held {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Budget {
    pub(super) fn new(max: u64) -> Arc<Self> {
        Arc::new(Budget { used: AtomicU64::new(0), max })
    }

    pub(super) fn hold_none(self: &Arc<Self>) -> Held {
        Held { budget: Arc::clone(self), bytes: 0 }
    }
}

impl Held {
    fn grow(&mut self, bytes: u64) -> Result<(), BodyError> {
        let more = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.budget.max);
        self.budget.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).map_err(|_| BodyError::Busy)?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Reads a body of at most `max` bytes.
pub(super) async fn receive(body: Body, max: u64, held: &mut Held) -> Result<Vec<u8>, BodyError> {
    let mut bytes = Vec::new();
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        if (bytes.len() + chunk.len()) as u64 > max {
            return Err(BodyError::TooLarge(max));
        }
        held.grow(chunk.len() as u64)?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// What the headers of a push say that its body holds.
pub(super) fn content(headers: &HeaderMap) -> Content {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") { Content::Json } else { Content::Protobuf }
}

/// Takes all layers off a body, which may have at most `max` bytes then.
pub(super) fn unpack(body: Vec<u8>, content: Content, headers: &HeaderMap, max: u64, held: &mut Held) -> Result<Vec<u8>, BodyError> {
    let encoding = headers.get(header::CONTENT_ENCODING).map(|encoding| String::from_utf8_lossy(encoding.as_bytes()));
    let body = match encoding.as_deref().unwrap_or_default() {
        // Snappy is a part of the protobuf format, whether it is named or not.
        "" | "identity" | "snappy" => body,
        "gzip" => gunzip(&body, max, held)?,
        other => return Err(BodyError::Encoding(other.to_owned())),
    };
    if content == Content::Protobuf { unsnap(&body, max, held) } else { Ok(body) }
}

/// Bytes unpacked between two looks at the limits.
const STEP: u64 = 64 << 10;

fn gunzip(body: &[u8], max: u64, held: &mut Held) -> Result<Vec<u8>, BodyError> {
    let (mut from, mut out) = (MultiGzDecoder::new(body), Vec::new());
    loop {
        held.grow(STEP)?;
        let read = from.by_ref().take(STEP).read_to_end(&mut out).map_err(|_| BodyError::Corrupt("gzip"))?;
        if out.len() as u64 > max {
            return Err(BodyError::TooLarge(max));
        }
        if (read as u64) < STEP {
            return Ok(out);
        }
    }
}

/// Three bytes of a snappy block say at most 64: one that declares more than this many times its length lies, and gets no memory for it.
const SNAPPY_RATIO_MAX: u64 = 22;

fn unsnap(body: &[u8], max: u64, held: &mut Held) -> Result<Vec<u8>, BodyError> {
    let corrupt = || BodyError::Corrupt("a snappy block");
    let declared = snap::raw::decompress_len(body).map_err(|_| corrupt())? as u64;
    if declared > max {
        return Err(BodyError::TooLarge(max));
    }
    if declared > SNAPPY_RATIO_MAX * body.len() as u64 {
        return Err(corrupt());
    }
    held.grow(declared)?;
    snap::raw::Decoder::new().decompress_vec(body).map_err(|_| corrupt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use futures::executor::block_on;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn headers(encoding: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_ENCODING, encoding.parse().unwrap())])
    }

    #[track_caller]
    fn check(body: Vec<u8>, content: Content, encoding: &'static str, want: Result<&[u8], &str>) {
        let found = unpack(body, content, &headers(encoding), 1000, &mut Budget::new(1 << 20).hold_none());
        assert_eq!(found.as_deref().map_err(ToString::to_string), want.map_err(str::to_owned));
    }

    #[test]
    fn layers_are_taken_off_within_the_limit() {
        let snappy = |bytes: &[u8]| snap::raw::Encoder::new().compress_vec(bytes).unwrap();
        check(snappy(b"abc"), Content::Protobuf, "snappy", Ok(b"abc"));
        check(gzip(&snappy(b"abc")), Content::Protobuf, "gzip", Ok(b"abc"));
        check(gzip(b"abc"), Content::Json, "gzip", Ok(b"abc"));
        check(b"abc".to_vec(), Content::Raw, "", Ok(b"abc"));
        check(snappy(&[0; 1001]), Content::Protobuf, "", Err("the body has more than 1000 bytes"));
        check(gzip(&[0; 1001]), Content::Raw, "gzip", Err("the body has more than 1000 bytes"));
        check(b"\xe8\x07\0".to_vec(), Content::Protobuf, "", Err("the body is not a snappy block"));
        check(b"abc".to_vec(), Content::Json, "gzip", Err("the body is not gzip"));
        check(b"abc".to_vec(), Content::Json, "br", Err("Content-Encoding \"br\" is not supported"));
    }

    #[test]
    fn bodies_share_a_budget() {
        let budget = Budget::new(10);
        let (mut one, mut two) = (budget.hold_none(), budget.hold_none());
        assert_eq!(block_on(receive(Body::from("123456"), 6, &mut one)).unwrap(), b"123456");
        assert!(matches!(block_on(receive(Body::from("1234567"), 6, &mut two)), Err(BodyError::TooLarge(6))));
        assert!(matches!(block_on(receive(Body::from("123456"), 6, &mut two)), Err(BodyError::Busy)));
        drop(one);
        assert!(block_on(receive(Body::from("123456"), 6, &mut two)).is_ok());
    }

    #[test]
    fn a_push_is_protobuf_unless_it_says_json() {
        let of = |kind: &'static str| content(&HeaderMap::from_iter([(header::CONTENT_TYPE, kind.parse().unwrap())]));
        assert_eq!([of("application/json"), of("Application/JSON; charset=utf-8")], [Content::Json; 2]);
        assert_eq!([of("application/x-protobuf"), of("text/plain"), content(&HeaderMap::new())], [Content::Protobuf; 3]);
    }
}
