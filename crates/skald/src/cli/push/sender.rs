use super::batch::PushRequest;
use crate::cli::client::{Client, ClientError};
use crate::cli::console::Console;
use crate::cli::error::CliError;
use crate::cli::progress::Progress;
use std::time::Duration;

/// How often a batch is sent again, unless the user says otherwise.
const RETRIES: u32 = 10;
/// First wait before that.
const MIN_BACKOFF: Duration = Duration::from_millis(500);
/// Attempts after which a batch that exceeds a limit is sent in halves: one that is larger than the limit's burst never fits.
const SPLIT_AFTER: u32 = 2;
/// Refusals one after the other that raise the question whether anything will be taken.
const REFUSALS_MAX: u32 = 5;
/// Longest line with which that is tried, in bytes: one that no server finds too long.
const PROBE_LEN_MAX: usize = 4096;

/// Sends batches and knows which failures to try again.
pub struct Sender<'a> {
    client: &'a Client,
    quiet: bool,
    /// Whether the server ever answered. One that did may restart; one that did not is likely the wrong address.
    has_answered: bool,
    refusals: u32,
}

/// What to do after a failed push.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Send the same bytes again.
    Retry,
    /// The refusal concerns these entries, the next ones may be taken.
    Skip,
    /// The next batch would fail too.
    Stop,
}

impl<'a> Sender<'a> {
    /// A sender to the server of `client`.
    pub fn new(client: &'a Client, quiet: bool) -> Self {
        Sender { client, quiet, has_answered: false, refusals: 0 }
    }

    /// Sends a request until the server took or refused it; returns whether it took it.
    ///
    /// A refusal may concern single entries, of which every batch may hold one, or all that this run sends. After some refusals
    /// in a row one short line of the batch alone decides which it is; sending it twice is safe, it stays one entry.
    ///
    /// # Errors
    /// A failure that the next batch would meet too.
    pub fn send(&mut self, request: &PushRequest, progress: &Progress, console: &mut Console) -> Result<bool, CliError> {
        let Some(refusal) = self.deliver(request, progress, console)? else {
            self.refusals = 0;
            return Ok(true);
        };
        progress.aside(|| console.notice(&refusal.to_string()));
        let Some(probe) = request.shortest_entry(PROBE_LEN_MAX) else { return Ok(false) };
        self.refusals += 1;
        if self.refusals < REFUSALS_MAX {
            return Ok(false);
        }
        match self.deliver(&probe, progress, console)? {
            None => self.refusals = 0,
            Some(_) => return Err(CliError::GaveUp(self.refusals)),
        }
        Ok(false)
    }

    /// Sends a request, the same bytes again where that may help. Returns the refusal if there is one that concerns its entries.
    fn deliver(&mut self, request: &PushRequest, progress: &Progress, console: &mut Console) -> Result<Option<ClientError>, CliError> {
        let body = request.body();
        let mut attempt = 0;
        loop {
            let Err(error) = self.client.post("/loki/api/v1/push", "application/x-protobuf", &body) else {
                self.has_answered = true;
                return Ok(None);
            };
            self.has_answered |= matches!(error, ClientError::Refused { .. });
            match self.next(&error) {
                Next::Retry if attempt >= SPLIT_AFTER && is_limited(&error) && request.is_divisible() => {
                    return self.deliver_halves(request, progress, console);
                }
                Next::Retry => {
                    let wait = self.client.retry.wait(attempt, RETRIES, MIN_BACKOFF, error.retry_after());
                    let Some(wait) = wait else { return Err(error.into()) };
                    if !self.quiet {
                        progress.aside(|| console.notice(&format!("{error}; sending again in {:.1} s", wait.as_secs_f64())));
                    }
                    console.clock.sleep(wait);
                    attempt += 1;
                }
                Next::Skip => return Ok(Some(error)),
                Next::Stop => return Err(error.into()),
            }
        }
    }

    fn deliver_halves(
        &mut self,
        request: &PushRequest,
        progress: &Progress,
        console: &mut Console,
    ) -> Result<Option<ClientError>, CliError> {
        let mut refusal = None;
        for half in request.halves() {
            refusal = self.deliver(&half, progress, console)?.or(refusal);
        }
        Ok(refusal)
    }

    fn next(&self, error: &ClientError) -> Next {
        match error {
            ClientError::Refused { status: 429 | 500..=599, .. } => Next::Retry,
            ClientError::Refused { status: 400 | 413, .. } => Next::Skip,
            ClientError::Refused { .. } | ClientError::Unsendable(_) | ClientError::Answer(_) => Next::Stop,
            ClientError::Transport { .. } if self.has_answered || self.client.retry.retries.is_some() => Next::Retry,
            ClientError::Transport { .. } => Next::Stop,
        }
    }
}

fn is_limited(error: &ClientError) -> bool {
    matches!(error, ClientError::Refused { status: 429, .. })
}
