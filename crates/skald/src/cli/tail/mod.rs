//! `tail`: follows a query over a websocket.

mod connect;
mod resume;

use super::answer;
use super::args::{Cli, EntryArgs, TailArgs};
use super::client::{Client, ClientError};
use super::console::Console;
use super::entries::EntryPrinter;
use super::error::CliError;
use super::query::epoch_nanos;
use super::time;
use connect::{Connector, Socket};
use futures::{SinkExt, StreamExt};
use resume::Resume;
use serde::Deserialize;
use serde_json::Value;
use skald_model::Timestamp;
use skald_model::seam::Clock;
use skald_runtime::SystemClock;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};

/// How often a lost connection is made anew before a message comes.
const RECONNECTS_MAX: u32 = 5;
/// First wait before that; each further one is twice as long.
const WAIT_MIN: Duration = Duration::from_secs(1);
/// Longest wait before that.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// Entries that are asked for at least after a connection was lost: those that came in between.
const MISSED_LIMIT: u64 = 1000;
/// Silence after which a connection counts as lost; servers ping every second.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How long the server may take to answer a goodbye.
const GOODBYE_WAIT: Duration = Duration::from_secs(1);
/// Label sets of dropped entries that are named.
const DROPPED_NAMED_MAX: usize = 3;

/// What to follow.
pub struct Follow<'a> {
    /// The query.
    pub query: &'a str,
    /// Where to begin.
    pub start: Timestamp,
    /// Most entries to begin with.
    pub limit: u64,
    /// Seconds to wait for late entries.
    pub delay_for: u8,
    /// How to print entries.
    pub entries: &'a EntryArgs,
}

/// Why a live tail ended, or did not begin.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    /// A certificate or key cannot be used.
    #[error("{what}: {why}")]
    Tls {
        /// Which setting.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The system gives no runtime or no signals.
    #[error("cannot wait for the network: {0}")]
    System(#[source] io::Error),
    /// The server could not be reached.
    #[error("no answer from {host}: {source}")]
    Unreachable {
        /// Which server.
        host: String,
        /// The cause.
        source: io::Error,
    },
    /// The server answered, but not as a live tail.
    #[error(transparent)]
    Refused(ClientError),
    /// What came is no websocket.
    #[error("the websocket of {host}: {source}")]
    Handshake {
        /// Which server.
        host: String,
        /// The cause.
        source: tungstenite::Error,
    },
    /// The server ended it.
    #[error("the server ended the tail: {reason} ({code})")]
    Closed {
        /// Of the close frame.
        code: u16,
        /// Its own words.
        reason: String,
        /// Before it sent anything.
        at_once: bool,
    },
    /// The connection broke.
    #[error("the connection was lost: {0}")]
    Lost(String),
}

impl TailError {
    /// Exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Tls { .. } => 2,
            Self::Refused(error) => error.exit_code(),
            Self::Closed { at_once: true, .. } => 3,
            Self::Closed { at_once: false, .. } | Self::System(_) => 1,
            Self::Unreachable { .. } | Self::Handshake { .. } | Self::Lost(_) => 4,
        }
    }

    /// Whether a new connection may help; `again` says that one stood before, so that the server is known to take the query.
    fn may_pass(&self, again: bool) -> bool {
        match self {
            Self::Lost(_) => true,
            Self::Unreachable { .. } | Self::Refused(_) | Self::Handshake { .. } => again,
            Self::Closed { at_once, .. } => again && *at_once,
            Self::Tls { .. } | Self::System(_) => false,
        }
    }
}

/// Follows a query until it is interrupted.
///
/// # Errors
/// See [`CliError`].
pub fn run(client: &Client, args: &TailArgs, cli: &Cli, console: &mut Console) -> Result<(), CliError> {
    let since = time::parse_duration(&args.since).map_err(|source| CliError::Time { flag: "--since", source })?;
    let TailArgs { query, limit, delay_for, entries, .. } = args;
    let start = console.clock.now().minus(since);
    follow(client, &Follow { query, start, limit: *limit, delay_for: *delay_for, entries }, cli, console)
}

/// Follows a query until it is interrupted.
///
/// # Errors
/// See [`CliError`].
pub fn follow(client: &Client, follow: &Follow<'_>, cli: &Cli, console: &mut Console) -> Result<(), CliError> {
    let connector = Connector::new(&cli.connection, client.headers().clone())?;
    let printer = EntryPrinter::new(cli, follow.entries, follow.query, console);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(TailError::System)?;
    let resume = Resume::new(follow.start);
    let mut tail = Tail { client, connector, follow, printer, console, clock: SystemClock::new(), resume, gap: None };
    let result = runtime.block_on(tail.run());
    // A lookup of an address that still runs must not keep the process.
    runtime.shutdown_background();
    result
}

struct Tail<'a, 'c> {
    client: &'a Client,
    connector: Connector,
    follow: &'a Follow<'a>,
    printer: EntryPrinter<'a>,
    console: &'c mut Console,
    clock: SystemClock,
    resume: Resume,
    gap: Option<Gap>,
}

/// What may have come while there was no connection.
struct Gap {
    until: Timestamp,
    /// Entries that the server still sends of it at most.
    left: u64,
}

/// The end that was asked for.
struct Interrupted;

impl Tail<'_, '_> {
    async fn run(&mut self) -> Result<(), CliError> {
        let mut interrupted = pin!(tokio::signal::ctrl_c());
        let (mut failures, mut again) = (0, false);
        loop {
            let mut received = false;
            let error = match self.session(again, &mut received, interrupted.as_mut()).await {
                Ok(Interrupted) => return Ok(()),
                Err(CliError::Tail(error)) if error.may_pass(again) => error,
                Err(error) => return Err(error),
            };
            failures = if received { 0 } else { failures };
            if failures == RECONNECTS_MAX {
                return Err(error.into());
            }
            let wait = (WAIT_MIN * (1 << failures)).min(WAIT_MAX);
            self.console.notice(&format!("{error}; connecting again in {} s", wait.as_secs()));
            tokio::select! {
                () = self.clock.sleep(wait) => {}
                _ = interrupted.as_mut() => return Ok(()),
            }
            (failures, again) = (failures + 1, true);
        }
    }

    /// One connection from its beginning to its end.
    async fn session(
        &mut self,
        again: bool,
        received: &mut bool,
        mut interrupted: impl Future<Output = io::Result<()>> + Unpin,
    ) -> Result<Interrupted, CliError> {
        self.resume.begin();
        let Follow { query, limit, delay_for, .. } = self.follow;
        let limit = if again { (*limit).max(MISSED_LIMIT) } else { *limit };
        self.gap = again.then(|| Gap { until: self.clock.now(), left: limit });
        let mut parameters = vec![("limit", limit.to_string()), ("query", (*query).to_owned())];
        parameters.push(("start", epoch_nanos(self.resume.start())));
        if *delay_for > 0 {
            parameters.push(("delay_for", delay_for.to_string()));
        }
        let url = self.client.announce("/loki/api/v1/tail", &parameters, self.console);
        let mut socket = tokio::select! {
            socket = self.connector.connect(&url) => socket?,
            _ = &mut interrupted => return Ok(Interrupted),
        };
        loop {
            tokio::select! {
                frame = socket.next() => match frame {
                    Some(Ok(Message::Text(text))) => {
                        *received = true;
                        self.show(text.as_bytes())?;
                    }
                    Some(Ok(Message::Close(frame))) => {
                        // The answer to it; the server may be gone already.
                        let _ = socket.flush().await;
                        return closed(frame, !*received);
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(TailError::Lost(error.to_string()).into()),
                    None => return Err(TailError::Lost("no close frame came".to_owned()).into()),
                },
                () = self.clock.sleep(SILENCE_MAX) => {
                    return Err(TailError::Lost(format!("nothing came for {} s", SILENCE_MAX.as_secs())).into());
                }
                _ = &mut interrupted => {
                    self.say_goodbye(socket).await;
                    return Ok(Interrupted);
                }
            }
        }
    }

    async fn say_goodbye(&self, mut socket: Socket) {
        let goodbye = async {
            let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
            if socket.close(Some(frame)).await.is_ok() {
                while let Some(Ok(_)) = socket.next().await {}
            }
        };
        tokio::select! {
            () = goodbye => {}
            () = self.clock.sleep(GOODBYE_WAIT) => {}
        }
    }

    fn show(&mut self, message: &[u8]) -> Result<(), CliError> {
        let Received { streams, dropped_entries, warnings } = serde_json::from_slice(message).map_err(ClientError::Answer)?;
        for warning in warnings.unwrap_or_default() {
            self.console.notice(&format!("warning of the server: {warning}"));
        }
        let streams = if streams.is_null() { Value::Array(Vec::new()) } else { streams };
        let mut entries = answer::read_streams(streams)?;
        self.note_gap(&entries);
        entries.retain(|entry| self.resume.is_new(entry));
        self.printer.follow(&entries, self.console)?;
        if let Some(dropped) = dropped_entries.filter(|dropped| !dropped.is_empty()) {
            self.console.notice(&dropped_text(&dropped));
        }
        Ok(())
    }

    /// Says so when the server sent as many entries of the time without a connection as it was asked for: there may be more.
    fn note_gap(&mut self, entries: &[answer::Entry]) {
        let Some(gap) = &mut self.gap else { return };
        let inside = entries.iter().filter(|entry| entry.at < gap.until).count() as u64;
        gap.left = gap.left.saturating_sub(inside);
        if gap.left == 0 {
            self.gap = None;
            self.console.notice("more entries may have come while there was no connection than were sent now");
        }
    }
}

#[derive(Deserialize)]
struct Received {
    #[serde(default)]
    streams: Value,
    #[serde(default)]
    dropped_entries: Option<Vec<Dropped>>,
    #[serde(default)]
    warnings: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Dropped {
    timestamp: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

fn dropped_text(dropped: &[Dropped]) -> String {
    let times = || dropped.iter().filter_map(|entry| entry.timestamp.parse().ok());
    let time =
        |nanos: Option<i128>| nanos.and_then(|n| jiff::Timestamp::from_nanosecond(n).ok()).map_or("?".to_owned(), |at| at.to_string());
    let streams: BTreeSet<String> = dropped.iter().map(|entry| skald_model::label_text(pairs(&entry.labels))).collect();
    let named: Vec<&str> = streams.iter().take(DROPPED_NAMED_MAX).map(String::as_str).collect();
    let more = if streams.len() > named.len() { ", …" } else { "" };
    let (count, first, last) = (dropped.len(), time(times().min()), time(times().max()));
    format!("the server dropped {count} entries or more, from {first} to {last}, of {}{more}", named.join(", "))
}

fn pairs(labels: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    labels.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

/// What a close frame means. A server that goes away is expected back.
fn closed(frame: Option<CloseFrame>, at_once: bool) -> Result<Interrupted, CliError> {
    let (code, reason) = frame.map_or((CloseCode::Abnormal, String::new()), |frame| (frame.code, frame.reason.to_string()));
    match code {
        CloseCode::Normal => Ok(Interrupted),
        CloseCode::Away | CloseCode::Restart | CloseCode::Again | CloseCode::Abnormal | CloseCode::Status => {
            Err(TailError::Lost(if reason.is_empty() { "the server is going away".to_owned() } else { reason }).into())
        }
        other => Err(TailError::Closed { code: other.into(), reason, at_once }.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(code: CloseCode) -> Option<CloseFrame> {
        Some(CloseFrame { code, reason: "why".into() })
    }

    #[track_caller]
    fn check(frame: Option<CloseFrame>, at_once: bool, again: bool, want: Result<(), (u8, bool)>) {
        let found = match closed(frame, at_once) {
            Ok(Interrupted) => Ok(()),
            Err(CliError::Tail(error)) => Err((error.exit_code(), error.may_pass(again))),
            Err(other) => panic!("{other}"),
        };
        assert_eq!(found, want);
    }

    #[test]
    fn only_a_lost_connection_is_made_anew_unless_one_stood_before() {
        check(frame(CloseCode::Normal), false, false, Ok(()));
        check(None, false, false, Err((4, true)));
        check(frame(CloseCode::Away), true, false, Err((4, true)));
        check(frame(CloseCode::Error), true, false, Err((3, false)));
        check(frame(CloseCode::Error), true, true, Err((3, true)));
        check(frame(CloseCode::Error), false, true, Err((1, false)));
    }

    #[test]
    fn dropped_entries_are_summed_up() {
        let dropped =
            |at: &str, app: &str| Dropped { timestamp: at.to_owned(), labels: BTreeMap::from([("app".to_owned(), app.to_owned())]) };
        let all = [dropped("2000000000", "a"), dropped("1000000000", "b"), dropped("3000000000", "a")];
        assert_eq!(
            dropped_text(&all),
            r#"the server dropped 3 entries or more, from 1970-01-01T00:00:01Z to 1970-01-01T00:00:03Z, of {app="a"}, {app="b"}"#
        );
        let many: Vec<Dropped> = ["a", "b", "c", "d"].iter().map(|app| dropped("x", app)).collect();
        assert_eq!(dropped_text(&many), r#"the server dropped 4 entries or more, from ? to ?, of {app="a"}, {app="b"}, {app="c"}, …"#);
    }
}
