use super::http::PrepareError;
use super::verdict::Cause;
use async_trait::async_trait;
use bytes::Bytes;
use std::time::Duration;

/// Sends one push request, once.
#[async_trait]
pub(crate) trait Transport: Send + Sync + 'static {
    /// Sends a compressed push request for a tenant (none: the header is left out) and gives the answer.
    async fn push(&self, tenant: Option<&str>, body: Bytes) -> Result<Answer, TransportError>;
}

/// What a server says to a push.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub status: u16,
    /// When to come again, as it stands in the header.
    pub retry_after: Option<String>,
    /// Whether it is a page for people: no log server sends one, whatever stands before it may.
    pub page: bool,
    /// The beginning of its text.
    pub message: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    #[error("send the request")]
    Request(#[source] reqwest::Error),
    #[error("more than {0} redirects")]
    Redirects(usize),
    /// Reading a secret, getting a token, loading certificates.
    #[error("prepare the request")]
    Prepare(#[source] PrepareError),
}

impl TransportError {
    /// Why the batch waits then.
    pub fn cause(&self) -> Cause {
        match self {
            Self::TimedOut(_) | Self::Request(_) => Cause::Connection,
            Self::Redirects(_) => Cause::Misrouted,
            Self::Prepare(error) => error.cause(),
        }
    }
}
