//! What the head of a request says of its push.

use crate::body::{Content, Format};
use crate::error::PushFailure;
use crate::intake::Sender;
use crate::json::Schema;
use http::{HeaderMap, Uri};

/// Where a push came in.
#[derive(Debug, Clone, Copy)]
pub enum Route<'a> {
    /// One of Loki's push routes, which the URI tells apart.
    Push(&'a Uri),
    /// OpenTelemetry logs over HTTP.
    Export,
    /// OpenTelemetry logs over gRPC.
    Grpc,
}

impl Route<'_> {
    /// Who sends there.
    pub fn sender(self) -> Sender {
        match self {
            Route::Push(_) => Sender::Loki,
            Route::Export | Route::Grpc => Sender::Otlp,
        }
    }
}

/// What the request line and headers say of a push.
#[derive(Debug)]
pub struct Head {
    /// What the body holds.
    pub format: Format,
    /// The shard of the header that marks a push as backfill.
    pub backfill: Option<String>,
    is_framed: bool,
}

/// Header that marks a push as backfill.
const BACKFILL_HEADER: &str = "x-loki-backfill-shard";
const BACKFILL_LEN_MAX: usize = 128;
/// What is before a message of a gRPC call: whether it is compressed, and its length.
const FRAME_HEAD_LEN: usize = 5;

impl Head {
    /// Reads the head of a request.
    ///
    /// # Errors
    /// When the body would be nothing that can be read, or the header for backfill is wrong.
    pub fn read(route: Route<'_>, headers: &HeaderMap) -> Result<Self, PushFailure> {
        let backfill = headers.get(BACKFILL_HEADER).map(|value| value.as_bytes()).filter(|value| !value.is_empty());
        let backfill = match backfill.map(|value| (value.len() <= BACKFILL_LEN_MAX, str::from_utf8(value))) {
            None => None,
            Some((true, Ok(shard))) => Some(shard.to_owned()),
            Some(_) => return Err(PushFailure::BackfillHeader),
        };
        let format = match route {
            Route::Push(uri) => Format::of_push(headers, schema(uri))?,
            Route::Export => Format::of_export(headers)?,
            Route::Grpc => Format::of_grpc(headers)?,
        };
        Ok(Head { format, backfill, is_framed: matches!(route, Route::Grpc) })
    }

    /// Takes the frame of a gRPC call, if this is one, off the body: there is one message, compressed or not.
    ///
    /// # Errors
    /// When that is not what the body is.
    pub fn unframe(&mut self, body: &mut Vec<u8>) -> Result<(), PushFailure> {
        if !self.is_framed {
            return Ok(());
        }
        let no_message = || PushFailure::Decode("the body is not one gRPC message".to_owned());
        let (head, message) = body.split_first_chunk::<FRAME_HEAD_LEN>().ok_or_else(no_message)?;
        let [is_compressed, len @ ..] = *head;
        if u32::from_be_bytes(len) as usize != message.len() || is_compressed > 1 {
            return Err(no_message());
        }
        if is_compressed == 0 {
            self.format = Format::plain(Content::OtlpProtobuf);
        }
        body.drain(..FRAME_HEAD_LEN);
        Ok(())
    }
}

fn schema(uri: &Uri) -> Schema {
    if uri.path().to_ascii_lowercase().contains("/loki/api/v1") { Schema::V1 } else { Schema::V0 }
}
