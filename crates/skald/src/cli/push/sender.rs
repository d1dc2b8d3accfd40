use crate::cli::client::{Client, ClientError};
use crate::cli::console::Console;
use crate::cli::error::CliError;
use crate::cli::progress::Progress;
use std::time::Duration;

/// How often a batch is sent again, unless the user says otherwise.
const RETRIES: u32 = 10;
/// First wait before that.
const MIN_BACKOFF: Duration = Duration::from_millis(500);
/// Refusals one after the other that end the run.
const REFUSALS_MAX: u32 = 5;

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
    /// Tell, and go on with the next batch: the refusal concerns these entries.
    Skip,
    /// The next batch would fail too.
    Stop,
}

impl<'a> Sender<'a> {
    /// A sender to the server of `client`.
    pub fn new(client: &'a Client, quiet: bool) -> Self {
        Sender { client, quiet, has_answered: false, refusals: 0 }
    }

    /// Sends a request body until the server took or refused it; returns whether it took it.
    ///
    /// # Errors
    /// A failure that the next batch would meet too.
    pub fn send(&mut self, body: &[u8], progress: &Progress, console: &mut Console) -> Result<bool, CliError> {
        let mut attempt = 0;
        loop {
            let error = match self.client.post("/loki/api/v1/push", "application/x-protobuf", body) {
                Ok(_) => {
                    (self.has_answered, self.refusals) = (true, 0);
                    return Ok(true);
                }
                Err(error) => error,
            };
            self.has_answered |= matches!(error, ClientError::Refused { .. });
            match self.next(&error) {
                Next::Retry => {
                    let wait = self.client.retry.wait(attempt, RETRIES, MIN_BACKOFF, error.retry_after());
                    let Some(wait) = wait else { return Err(error.into()) };
                    if !self.quiet {
                        progress.aside(|| console.notice(&format!("{error}; sending again in {:.1} s", wait.as_secs_f64())));
                    }
                    console.clock.sleep(wait);
                    attempt += 1;
                }
                Next::Skip => {
                    self.refusals += 1;
                    progress.aside(|| console.notice(&error.to_string()));
                    return if self.refusals < REFUSALS_MAX { Ok(false) } else { Err(CliError::GaveUp(self.refusals)) };
                }
                Next::Stop => return Err(error.into()),
            }
        }
    }

    fn next(&self, error: &ClientError) -> Next {
        match error {
            ClientError::Refused { status: 429 | 500..=599, .. } => Next::Retry,
            ClientError::Refused { status: 400 | 413, .. } => Next::Skip,
            ClientError::Refused { .. } | ClientError::Answer(_) => Next::Stop,
            ClientError::Transport { .. } if self.has_answered || self.client.retry.retries.is_some() => Next::Retry,
            ClientError::Transport { .. } => Next::Stop,
        }
    }
}
