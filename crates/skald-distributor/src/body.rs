//! Bodies: how large they may be, and what their headers say they are.

use crate::error::PushFailure;
use crate::inflight::Reservation;
use crate::json::Schema;
use axum::body::Body;
use flate2::read::{DeflateDecoder, MultiGzDecoder};
use futures::StreamExt;
use http::header::AsHeaderName;
use http::{HeaderMap, header};
use lz4_flex::frame::FrameDecoder;
use skald_config::DistributorConfig;
use std::borrow::Cow;
use std::io::{self, Read};

/// What a body holds, outermost layer first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// What is within all layers.
    pub content: Content,
    outer: Outer,
}

/// What a body holds once it is decompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A Loki push as JSON.
    Json(Schema),
    /// A Loki push as protobuf, in a snappy block.
    Protobuf,
    /// An export of OpenTelemetry logs as JSON.
    OtlpJson,
    /// An export of OpenTelemetry logs as protobuf.
    OtlpProtobuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outer {
    None,
    Gzip,
    /// Without a zlib header.
    Deflate,
    Zstd,
    /// Frames.
    Lz4,
}

fn text(headers: &HeaderMap, name: impl AsHeaderName) -> Cow<'_, str> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes())).unwrap_or_default()
}

impl Format {
    /// What the headers of a Loki push say; `schema` is the form of its JSON.
    ///
    /// # Errors
    /// When the type is missing or no media type, or the encoding is none of ours.
    pub fn of_push(headers: &HeaderMap, schema: Schema) -> Result<Self, PushFailure> {
        let is_json = media_type(&text(headers, header::CONTENT_TYPE))? == "application/json";
        let outer = match &*text(headers, header::CONTENT_ENCODING) {
            // Snappy is a part of the protobuf format; JSON is never in it, and is read as it is.
            "" | "snappy" => Outer::None,
            "gzip" => Outer::Gzip,
            "deflate" => Outer::Deflate,
            other => return Err(PushFailure::Decode(format!("Content-Encoding \"{other}\" not supported"))),
        };
        Ok(Format { content: if is_json { Content::Json(schema) } else { Content::Protobuf }, outer })
    }

    /// What the headers of an export of OpenTelemetry logs say.
    ///
    /// # Errors
    /// When type or encoding is none of ours; the type must be exact.
    pub fn of_export(headers: &HeaderMap) -> Result<Self, PushFailure> {
        let outer = match &*text(headers, header::CONTENT_ENCODING) {
            "" => Outer::None,
            "gzip" => Outer::Gzip,
            "zstd" => Outer::Zstd,
            "lz4" => Outer::Lz4,
            other => {
                let message = format!("unsupported content encoding {other}: only gzip, lz4 and zstd are supported");
                return Err(PushFailure::Decode(message));
            }
        };
        let content = match &*text(headers, header::CONTENT_TYPE) {
            "application/json" => Content::OtlpJson,
            "application/x-protobuf" => Content::OtlpProtobuf,
            other => return Err(PushFailure::Decode(format!("content type: {other} is not supported"))),
        };
        Ok(Format { content, outer })
    }

    /// What a message of a gRPC call holds that is compressed as its headers say.
    ///
    /// # Errors
    /// [`PushFailure::Encoding`] when the encoding is none of ours.
    pub fn of_grpc(headers: &HeaderMap) -> Result<Self, PushFailure> {
        let outer = match &*text(headers, "grpc-encoding") {
            "" | "identity" => Outer::None,
            "gzip" => Outer::Gzip,
            "zstd" => Outer::Zstd,
            other => return Err(PushFailure::Encoding(other.to_owned())),
        };
        Ok(Format { content: Content::OtlpProtobuf, outer })
    }

    /// A body that is not compressed.
    pub fn plain(content: Content) -> Self {
        Format { content, outer: Outer::None }
    }

    /// About the most bytes that `body` can open to, for the choice of where to do it.
    pub fn expanded_len(&self, body: &[u8]) -> u64 {
        match self.outer {
            Outer::None if self.content == Content::Protobuf => snap::raw::decompress_len(body).unwrap_or(0) as u64,
            Outer::None => body.len() as u64,
            Outer::Gzip | Outer::Deflate => DEFLATE_RATIO_MAX * body.len() as u64,
            Outer::Zstd | Outer::Lz4 => u64::MAX,
        }
    }

    /// Takes all layers off `body`. What is held in memory is reserved before, and never more than the limit.
    ///
    /// # Errors
    /// When a layer is not what it should be, or decompresses to more than the limit.
    pub fn open<'a>(&self, body: &'a [u8], config: &DistributorConfig, held: &mut Reservation) -> Result<Cow<'a, [u8]>, PushFailure> {
        let max = config.max_decompressed_size.0;
        let inner = match self.outer {
            Outer::None => Cow::Borrowed(body),
            Outer::Gzip => Cow::Owned(inflate(check_gzip(body)?, max, held)?),
            Outer::Deflate => Cow::Owned(inflate(DeflateDecoder::new(body), max, held)?),
            Outer::Zstd => Cow::Owned(inflate(zstd(body)?, max, held)?),
            Outer::Lz4 => Cow::Owned(inflate(FrameDecoder::new(body), max, held)?),
        };
        if self.content == Content::Protobuf { Ok(Cow::Owned(unsnap(&inner, max, held)?)) } else { Ok(inner) }
    }
}

/// Largest window of a zstd frame, as a power of two: 8 MiB, what all levels up to 19 keep to.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

fn zstd(body: &[u8]) -> Result<impl Read, PushFailure> {
    let failed = |error: io::Error| PushFailure::Decode(inflate_text(&error));
    let mut decoder = zstd::Decoder::with_buffer(body).map_err(failed)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(failed)?;
    Ok(decoder)
}

/// The media type in lower case, without parameters.
fn media_type(text: &str) -> Result<String, PushFailure> {
    let media = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let token = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&b));
    let error = |text: &str| Err(PushFailure::Decode(text.to_owned()));
    match media.split_once('/') {
        _ if media.is_empty() => error("mime: no media type"),
        Some((_, "")) => error("mime: expected token after slash"),
        Some((kind, sub)) if token(kind) && token(sub) => Ok(media),
        None if token(&media) => Ok(media),
        _ => error("mime: unexpected content after media subtype"),
    }
}

/// Reads a body of at most `max_recv_msg_size` bytes.
///
/// # Errors
/// When it is larger, too much is in flight, or the client stops sending.
pub async fn receive(headers: &HeaderMap, body: Body, config: &DistributorConfig, held: &mut Reservation) -> Result<Vec<u8>, PushFailure> {
    let max = config.max_recv_msg_size.0;
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok()).unwrap_or(0);
    check_wire_size(declared, max)?;
    let mut bytes = Vec::with_capacity(declared.min(CAPACITY_UNSEEN_MAX) as usize);
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(PushFailure::Body)?;
        check_wire_size((bytes.len() + chunk.len()) as u64, max)?;
        held.grow(chunk.len() as u64)?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Most bytes allocated because a header says so, before any came.
const CAPACITY_UNSEEN_MAX: u64 = 64 << 10;

fn check_wire_size(size: u64, max: u64) -> Result<(), PushFailure> {
    if size > max { Err(PushFailure::TooLarge(format!("message size too large than max ({size} vs {max})"))) } else { Ok(()) }
}

fn check_decompressed_size(size: u64, max: u64) -> Result<(), PushFailure> {
    if size > max { Err(PushFailure::TooLarge(format!("decompressed message size too large than max ({size} vs {max})"))) } else { Ok(()) }
}

const GZIP_HEADER_LEN: usize = 10;

fn check_gzip(body: &[u8]) -> Result<MultiGzDecoder<&[u8]>, PushFailure> {
    if body.len() < GZIP_HEADER_LEN {
        return Err(PushFailure::Decode(UNEXPECTED_END.to_owned()));
    }
    if !body.starts_with(&[0x1f, 0x8b]) {
        return Err(PushFailure::Decode("gzip: invalid header".to_owned()));
    }
    Ok(MultiGzDecoder::new(body))
}

const UNEXPECTED_END: &str = "unexpected EOF";
/// Bytes decompressed between two looks at the limits.
const STEP: usize = 64 << 10;

fn inflate(mut from: impl Read, max: u64, held: &mut Reservation) -> Result<Vec<u8>, PushFailure> {
    let mut out = Vec::new();
    loop {
        let before = out.len();
        held.grow(STEP as u64)?;
        let read = from.by_ref().take(STEP as u64).read_to_end(&mut out).map_err(|error| PushFailure::Decode(inflate_text(&error)))?;
        check_decompressed_size(out.len() as u64, max)?;
        debug_assert_eq!(out.len(), before + read);
        if read < STEP {
            return Ok(out);
        }
    }
}

fn inflate_text(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => UNEXPECTED_END.to_owned(),
        _ => error.to_string(),
    }
}

/// Deflate says at most 258 bytes with two bits.
const DEFLATE_RATIO_MAX: u64 = 1032;
/// Three bytes of a snappy block say at most 64 bytes: one that declares more lies, and gets no memory for it.
const SNAPPY_RATIO_MAX: u64 = 22;

fn unsnap(body: &[u8], max: u64, held: &mut Reservation) -> Result<Vec<u8>, PushFailure> {
    let corrupt = || PushFailure::Decode("snappy: corrupt input".to_owned());
    let declared = snap::raw::decompress_len(body).map_err(|_| corrupt())? as u64;
    check_decompressed_size(declared, max)?;
    if declared > SNAPPY_RATIO_MAX * body.len() as u64 {
        return Err(corrupt());
    }
    held.grow(declared)?;
    snap::raw::Decoder::new().decompress_vec(body).map_err(|_| corrupt())
}

#[cfg(test)]
mod tests;
