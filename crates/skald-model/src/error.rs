/// What the caller of a failed operation can do about it: the one input to retry and status-code decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request itself is wrong; sending it again will fail again.
    InvalidInput,
    /// The request is larger than a limit on bodies.
    TooLarge,
    /// A rate or count limit of the tenant was reached; wait and send again.
    LimitExceeded,
    /// No such thing.
    NotFound,
    /// Understood, and not built.
    NotImplemented,
    /// A part is not ready or out of room; wait and send again.
    Unavailable,
    /// The deadline passed.
    DeadlineExceeded,
    /// The caller went away.
    Cancelled,
    /// Stored bytes are not what was written.
    Corrupt,
    /// A fault of ours.
    Internal,
}
