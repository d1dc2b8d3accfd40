//! Words for requests that are refused before any route sees them, and time to read them.

use super::HEAD_BYTES_MAX;
use futures::future::BoxFuture;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use skald_model::seam::{Clock, Connection};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Longest URL that can be parsed.
const URL_BYTES_MAX: usize = 65_534;
/// Most bytes that are still read of a request that is answered already, and for how long.
const DRAINED_BYTES_MAX: usize = 64 << 20;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// How hyper begins its answer to a head that is too large, behind the status line; it has no body and is the connection's last.
const BARE: &str = "connection: close\r\ncontent-length: 0\r\n";
const TOO_LONG: &str = "HTTP/1.1 414 URI Too Long\r\n";
const TOO_LARGE: &str = "HTTP/1.1 431 Request Header Fields Too Large\r\n";

/// A server's connection. hyper answers a head of a request that is too large with a bare status and closes; here a text is put behind that.
///
/// What a client is still sending when the connection closes is read and dropped for a while: else its end could meet those bytes and be a
/// reset, which would take the answer away from the client.
pub(super) struct Explained {
    connection: Box<dyn Connection>,
    clock: Arc<dyn Clock>,
    /// Whether a line has ended in what came since the last answer; the first line of a request has the URL.
    line_ended: bool,
    /// A refusal, and how much of it is written.
    refusal: Option<(Vec<u8>, usize)>,
    unread: Unread,
    end: End,
}

/// Whether the request in progress has a body that is not read to its end.
#[derive(Clone, Default)]
pub(super) struct Unread(Arc<AtomicBool>);

/// A body that tells [`Unread`] of its end.
pub(super) struct TrackedBody {
    body: Incoming,
    unread: Unread,
}

/// How far a connection is closed.
enum End {
    Open,
    /// Nothing is written any more. Bytes dropped so far, and when to stop dropping.
    Draining(usize, BoxFuture<'static, ()>),
}

impl Explained {
    /// Explains what is said on `connection`, whose requests have bodies that `unread` tracks.
    pub(super) fn new(connection: Box<dyn Connection>, clock: Arc<dyn Clock>, unread: Unread) -> Self {
        Explained { connection, clock, line_ended: false, refusal: None, unread, end: End::Open }
    }

    /// Writes what is left of a refusal.
    fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some((answer, written)) = &mut self.refusal else { return Poll::Ready(Ok(())) };
        while *written < answer.len() {
            match ready!(Pin::new(&mut self.connection).poll_write(cx, &answer[*written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => *written += count,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads until the client ends, or has had its chance. Only one that may be in the midst of its request is waited for.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_sending = self.refusal.is_some() || self.unread.0.load(Ordering::Relaxed);
        let End::Draining(dropped, deadline) = &mut self.end else { return Poll::Ready(()) };
        if !is_sending {
            return Poll::Ready(());
        }
        let mut scratch = [0; 8192];
        while *dropped < DRAINED_BYTES_MAX && deadline.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.connection).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => *dropped += buffer.filled().len(),
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(())
    }
}

impl Unread {
    /// The request's body, tracked. Requests of HTTP/2 share a connection and close none.
    pub(super) fn track(&self, request: http::Request<Incoming>) -> http::Request<TrackedBody> {
        self.0.store(request.version() < http::Version::HTTP_2 && !request.body().is_end_stream(), Ordering::Relaxed);
        request.map(|body| TrackedBody { body, unread: self.clone() })
    }
}

impl Body for TrackedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() || self.body.is_end_stream() {
            self.unread.0.store(false, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// hyper's bare refusal with a text behind it, if `bytes` are one.
fn explain(bytes: &[u8], line_ended: bool) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() < 1024 && text.ends_with("\r\n\r\n"))?;
    let rest = text.strip_prefix(TOO_LONG).or_else(|| text.strip_prefix(TOO_LARGE))?.strip_prefix(BARE)?;
    // A head that is too large before its first line ends is a URL.
    let (status, why) = if text.starts_with(TOO_LONG) || !line_ended {
        (TOO_LONG, format!("the URL is longer than {URL_BYTES_MAX} bytes; a long query can be sent as a form, by POST"))
    } else {
        (TOO_LARGE, format!("the head of the request has more than {HEAD_BYTES_MAX} bytes, or too many fields"))
    };
    let kind = "content-type: text/plain; charset=utf-8\r\nx-content-type-options: nosniff\r\n";
    Some(format!("{status}connection: close\r\n{kind}content-length: {}\r\n{rest}{why}", why.len()).into_bytes())
}

impl AsyncRead for Explained {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.connection).poll_read(cx, buffer);
        self.line_ended = self.line_ended || buffer.filled()[before..].contains(&b'\n');
        read
    }
}

impl AsyncWrite for Explained {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(answer) = explain(bytes, self.line_ended) {
            self.refusal = Some((answer, 0));
            // The caller's bytes are taken; the flush that follows writes the rest of ours.
            return match self.poll_refusal(cx) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(bytes.len())),
            };
        }
        self.line_ended = false;
        Pin::new(&mut self.connection).poll_write(cx, bytes)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match slices {
            [one] => self.poll_write(cx, one),
            _ => {
                self.line_ended = false;
                Pin::new(&mut self.connection).poll_write_vectored(cx, slices)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_refusal(cx))?;
        Pin::new(&mut self.connection).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.end, End::Open) {
            ready!(self.poll_refusal(cx))?;
            ready!(Pin::new(&mut self.connection).poll_shutdown(cx))?;
            self.end = End::Draining(0, self.clock.sleep(DRAIN_TIMEOUT));
        }
        ready!(self.poll_drain(cx));
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answer: &str, line_ended: bool, want: Option<&str>) {
        let found = explain(answer.as_bytes(), line_ended).map(|answer| String::from_utf8(answer).expect("text"));
        assert_eq!(found.as_deref().and_then(|answer| answer.lines().next()), want, "{answer:?}");
        let body = found.as_deref().and_then(|answer| answer.split_once("\r\n\r\n"));
        assert!(body.is_none_or(|(head, body)| head.contains(&format!("content-length: {}\r\n", body.len())) && !body.is_empty()));
    }

    #[test]
    fn bare_refusals_get_a_text_and_other_answers_stay() {
        let bare = |status: &str| format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\ndate: x\r\n\r\n");
        check(&bare("414 URI Too Long"), true, Some("HTTP/1.1 414 URI Too Long"));
        check(&bare("431 Request Header Fields Too Large"), true, Some("HTTP/1.1 431 Request Header Fields Too Large"));
        check(&bare("431 Request Header Fields Too Large"), false, Some("HTTP/1.1 414 URI Too Long"));
        check(&bare("400 Bad Request"), true, None);
        check("HTTP/1.1 414 URI Too Long\r\ncontent-length: 0\r\n\r\n", true, None);
        check(&format!("{}more", bare("414 URI Too Long")), true, None);
    }
}
