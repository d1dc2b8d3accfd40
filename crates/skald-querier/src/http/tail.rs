//! Live tails over websockets.

use super::query::encoding_flags;
use super::{Asked, Refused, asked};
use crate::caller::Caller;
use crate::encode;
use crate::error::QueryError;
use crate::query_log::{Ending, Record};
use crate::service::Querier;
use crate::tail::{Form, Message, Outbox, TailRequest};
use axum::extract::ws::{CloseFrame, Message as Frame, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use skald_model::ErrorKind;
use skald_model::seam::Clock;
use skald_runtime::{chain, tenancy};
use std::time::Duration;

/// Time between pings.
const PING_EVERY: Duration = Duration::from_secs(1);
/// How long a client may leave a message in its socket before it counts as gone.
const STALLED_AFTER: Duration = Duration::from_secs(60);
/// How long the end of a tail may take: what waits, the reason, the client's answer to it.
const CLOSE_WAIT: Duration = Duration::from_secs(2);
/// Largest frame that a client may send; it has nothing to say.
const FRAME_BYTES_MAX: usize = 64 << 10;
/// Longest reason that a close frame holds.
const REASON_BYTES_MAX: usize = 123;
/// Why tails end when the process does.
const STOPPING: &str = "the server is shutting down";

pub(super) async fn tail(State(querier): State<Querier>, request: Request) -> Response {
    upgrade(querier, request, false).await
}

/// The oldest route, with the oldest form of messages.
pub(super) async fn legacy(State(querier): State<Querier>, request: Request) -> Response {
    upgrade(querier, request, true).await
}

/// A tail, and how its messages are written.
struct Wanted {
    request: TailRequest,
    flags: Vec<String>,
}

async fn upgrade(querier: Querier, mut request: Request, legacy: bool) -> Response {
    let mut ending = Ending::of(&querier, &mut request);
    match begin(&querier, request, legacy).await {
        Ok((upgrade, caller, wanted)) => {
            upgrade.on_upgrade(move |socket| async move { serve(&querier, &caller, wanted, socket, ending).await })
        }
        Err(refused) => {
            let response = refused.into_response();
            ending.answered(&response);
            response
        }
    }
}

async fn begin(querier: &Querier, request: Request, legacy: bool) -> Result<(WebSocketUpgrade, Caller, Wanted), Refused> {
    let (mut parts, body) = request.into_parts();
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await;
    let Asked { caller, params, headers } = asked(querier, Request::from_parts(parts, body)).await?;
    if caller.tenants().len() > 1 {
        return Err(Refused::Tenancy(tenancy::TenancyError::Multiple));
    }
    let flags = if legacy { Vec::new() } else { encoding_flags(&headers) };
    let form = match legacy {
        true => Form::Legacy,
        false if flags.iter().any(|flag| flag == encode::CATEGORIZE_LABELS) => Form::Categorised,
        false => Form::Merged,
    };
    let (start, end) = params.bounds(querier.now())?;
    caller.work().record().asked("tail", params.get("query"), (start, end), None);
    let request = TailRequest {
        expr: skald_logql::parse(params.get("query")).map_err(QueryError::from)?,
        start,
        limit: params.limit()?,
        delay: params.delay_for()?,
        form,
    };
    let upgrade = upgrade.map_err(|_| QueryError::Unsupported("Bad Request"))?;
    let upgrade = upgrade.max_message_size(FRAME_BYTES_MAX).max_frame_size(FRAME_BYTES_MAX);
    Ok((upgrade, caller, Wanted { request, flags }))
}

/// Why a tail ended.
enum End {
    /// The client left, or takes nothing.
    ClientGone,
    /// The process stops.
    Stopping,
    Failed(QueryError),
}

impl End {
    /// For the log. That its client left is how a tail should end.
    fn why(&self) -> String {
        match self {
            End::ClientGone => String::new(),
            End::Stopping => STOPPING.to_owned(),
            End::Failed(error) => chain(error),
        }
    }
}

async fn serve(querier: &Querier, caller: &Caller, wanted: Wanted, socket: WebSocket, mut ending: Ending) {
    let (sink, mut frames) = socket.split();
    let outbox = Outbox::new(querier.metrics().tail_dropped.clone());
    let mut writer = Writer { sink, outbox: &outbox, wanted: &wanted, querier, record: caller.work().record() };
    let (running, end) = match querier.tails().begin(&caller.tenants()[0], caller.limits().max_concurrent_tail_requests) {
        Ok(running) => (Some(running), follow(caller, &mut writer, &mut frames).await),
        Err(error) => (None, End::Failed(error)),
    };
    ending.ended(StatusCode::SWITCHING_PROTOCOLS, end.why());
    outbox.close();
    tokio::select! {
        () = say_goodbye(end, &mut writer, &mut frames) => {}
        () = querier.clock().sleep(CLOSE_WAIT) => {}
    }
    drop(running);
}

/// Serves a tail until there is a reason not to.
async fn follow(caller: &Caller, writer: &mut Writer<'_>, frames: &mut SplitStream<WebSocket>) -> End {
    let (querier, outbox, wanted) = (writer.querier, writer.outbox, writer.wanted);
    tokio::select! {
        Err(error) = querier.tail(caller, &wanted.request, outbox) => End::Failed(error),
        () = writer.run() => End::ClientGone,
        () = until_left(frames) => End::ClientGone,
        () = querier.tails().stopping() => End::Stopping,
        () = querier.clock().sleep(querier.config().querier.tail_max_duration) => End::Failed(QueryError::TailDuration),
    }
}

/// Sends what waits and then the reason, and waits for the client's answer to it.
async fn say_goodbye(end: End, writer: &mut Writer<'_>, frames: &mut SplitStream<WebSocket>) {
    let frame = match end {
        End::ClientGone => return,
        End::Stopping => close_frame(close_code::AWAY, STOPPING),
        End::Failed(error) => close_frame(close_code::ERROR, &text_of(&error)),
    };
    writer.run().await;
    // A client that is gone needs no goodbye.
    let _ = writer.sink.send(Frame::Close(Some(frame))).await;
    until_left(frames).await;
}

/// What the client is told of an error.
fn text_of(error: &QueryError) -> String {
    match error.kind() {
        ErrorKind::Internal | ErrorKind::Corrupt => chain(error),
        ErrorKind::Unavailable if !matches!(error, QueryError::IngestersGone) => chain(error),
        _ => error.to_string(),
    }
}

fn close_frame(code: u16, reason: &str) -> CloseFrame {
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    CloseFrame { code, reason: reason[..end].into() }
}

/// Reads until the client closes or is gone; answers to pings go out on the way.
async fn until_left(frames: &mut SplitStream<WebSocket>) {
    while let Some(Ok(_)) = frames.next().await {}
}

/// Sends what is in the outbox, and pings.
struct Writer<'a> {
    sink: SplitSink<WebSocket, Frame>,
    outbox: &'a Outbox,
    wanted: &'a Wanted,
    querier: &'a Querier,
    record: &'a Record,
}

impl Writer<'_> {
    /// Returns when the outbox is closed and empty, or the client takes nothing any more.
    async fn run(&mut self) {
        let clock = self.querier.clock().clone();
        let mut ping_at = clock.monotonic() + PING_EVERY;
        loop {
            let frame = tokio::select! {
                message = self.outbox.next() => match message {
                    Some(message) => self.frame(&message),
                    None => return,
                },
                () = clock.sleep(ping_at.saturating_sub(clock.monotonic())) => {
                    ping_at = clock.monotonic() + PING_EVERY;
                    Frame::Ping(bytes::Bytes::new())
                }
            };
            if !self.send(frame, clock.as_ref()).await {
                return;
            }
        }
    }

    async fn send(&mut self, frame: Frame, clock: &dyn Clock) -> bool {
        tokio::select! {
            sent = self.sink.send(frame) => sent.is_ok(),
            () = clock.sleep(STALLED_AFTER) => false,
        }
    }

    fn frame(&self, message: &Message) -> Frame {
        let Wanted { request, flags } = self.wanted;
        let json = encode::tail_message(&message.streams, &message.missed.named, flags, &message.warnings, request.form == Form::Legacy);
        self.querier.metrics().tail_bytes.inc_by(json.len() as u64);
        self.record.sent(message.entries, !message.missed.is_empty());
        Frame::Text(Utf8Bytes::try_from(json).expect("JSON that is written from text is UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_fits_a_close_frame_and_is_not_cut_within_a_character() {
        assert_eq!(close_frame(1011, "short").reason.as_str(), "short");
        let long = close_frame(1011, &format!("a{}", "é".repeat(100)));
        assert_eq!((long.reason.len(), long.code), (123, 1011));
        assert_eq!(close_frame(1011, &"é".repeat(100)).reason.len(), 122);
    }
}
