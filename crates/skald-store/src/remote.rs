use skald_model::ErrorKind;
use std::error::Error;
use std::fmt;
use std::time::Duration;

/// A request that a remote store did not do.
#[derive(Debug, thiserror::Error)]
#[error("{operation} of '{object}': {problem}{}", Behind(.answer))]
pub struct RemoteFailure {
    /// The request, in the store's word for it, such as `PutObject`.
    pub operation: &'static str,
    /// What it was for, with the bucket: `s3://bucket/prefix/name`.
    pub object: String,
    /// What went wrong.
    pub problem: RemoteProblem,
    /// What the store said, when it answered.
    pub answer: Option<RemoteAnswer>,
    /// Cause, when there was no answer.
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

/// Kinds of failures. The first seven are worth another try; the others need someone to change something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteProblem {
    /// Another put or delete of the same name was under way. Nobody knows yet which of them the store has done.
    #[error("another put or delete of the name was under way")]
    Conflict,
    /// Too many requests.
    #[error("the store asks to slow down")]
    Throttled,
    /// Nothing came within the time allowed. The request may have been done.
    #[error("no answer in time")]
    Timeout,
    /// The connection was not made, or it broke. The request may have been done.
    #[error("no connection to the store")]
    Unreachable,
    /// The store says that it has a fault. The request may have been done.
    #[error("the store failed")]
    Failed,
    /// The answer is not whole, or not one to this request.
    #[error("the answer is not whole")]
    Broken,
    /// Whoever gives credentials did not answer.
    #[error("the credentials could not be had")]
    CredentialsUnavailable,
    /// There are no credentials.
    #[error("no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role for this machine")]
    NoCredentials,
    /// The store does not know the access key.
    #[error("the store does not know the access key")]
    UnknownAccessKey,
    /// The secret key does not belong to the access key.
    #[error("the secret key is wrong")]
    WrongSecretKey,
    /// The credentials may not do that.
    #[error("access denied")]
    Denied,
    /// No such bucket.
    #[error("the bucket does not exist")]
    NoBucket,
    /// The bucket lies elsewhere.
    #[error("the bucket is in {}: set storage.s3.region", .0.as_ref().map_or("another region".to_owned(), |region| format!("region '{region}'")))]
    WrongRegion(Option<String>),
    /// Anything else that the store will not do.
    #[error("the store refuses the request")]
    Refused,
}

/// What a store said to a request that it did not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteAnswer {
    /// HTTP status.
    pub status: u16,
    /// The store's code, such as `SlowDown`.
    pub code: Option<String>,
    /// The store's words.
    pub message: Option<String>,
    /// By which the store's owner finds the request.
    pub request_id: Option<String>,
    /// How long the store asks to be left alone.
    pub retry_after: Option<Duration>,
}

impl RemoteProblem {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Conflict
            | Self::Throttled
            | Self::Timeout
            | Self::Unreachable
            | Self::Failed
            | Self::Broken
            | Self::CredentialsUnavailable => ErrorKind::Unavailable,
            Self::NoCredentials
            | Self::UnknownAccessKey
            | Self::WrongSecretKey
            | Self::Denied
            | Self::NoBucket
            | Self::WrongRegion(_)
            | Self::Refused => ErrorKind::Internal,
        }
    }

    /// Whether the same request may succeed later without anybody's doing.
    pub fn may_pass(&self) -> bool {
        self.kind() == ErrorKind::Unavailable
    }

    /// Whether it is certain that the request was not done, nor will be.
    pub fn is_undone(&self) -> bool {
        match self {
            Self::Timeout | Self::Unreachable | Self::Failed | Self::Broken => false,
            Self::Conflict | Self::Throttled | Self::CredentialsUnavailable => true,
            Self::NoCredentials
            | Self::UnknownAccessKey
            | Self::WrongSecretKey
            | Self::Denied
            | Self::NoBucket
            | Self::WrongRegion(_)
            | Self::Refused => true,
        }
    }

    /// A short name for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Throttled => "throttled",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Failed => "failed",
            Self::Broken => "broken",
            Self::CredentialsUnavailable | Self::NoCredentials => "no_credentials",
            Self::UnknownAccessKey | Self::WrongSecretKey | Self::Denied => "denied",
            Self::NoBucket => "no_bucket",
            Self::WrongRegion(_) => "wrong_region",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for RemoteAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        if let Some(code) = &self.code {
            write!(f, " {code}")?;
        }
        if let Some(message) = &self.message {
            write!(f, ", '{message}'")?;
        }
        match &self.request_id {
            Some(id) => write!(f, ", request {id}"),
            None => Ok(()),
        }
    }
}

/// An answer in brackets, or nothing.
struct Behind<'a>(&'a Option<RemoteAnswer>);

impl fmt::Display for Behind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |answer| write!(f, " ({answer})"))
    }
}
