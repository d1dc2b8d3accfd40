use crate::RemoteFailure;
use async_trait::async_trait;
use bytes::Bytes;
use skald_model::{ErrorKind, Timestamp};
use std::ops::Range;
use std::time::Duration;

/// Named, immutable byte strings.
///
/// Names are `/`-separated paths of segments that are neither empty nor `.` nor `..`, without control characters, up to 255 bytes a segment and 1024
/// in all; `~tmp` and `~lock` are no first segments. A backend may refuse a name that is a folder of other objects, or that lies in an object. A put is atomic: a name is either not there or
/// has all its bytes, and once a put has returned it survives a power cut; so does the object on whose account `put_if_absent` was refused.
/// Implemented by the local file backend, by S3, and by the fakes; the suite in [`crate::conformance`] runs on all of them.
#[async_trait]
pub trait ObjectStore: Send + Sync + 'static {
    /// Stores `bytes` under `name`, replacing what is there. After a failure it may be stored nevertheless, now or later.
    async fn put(&self, name: &str, bytes: Bytes) -> Result<(), StoreError>;
    /// Stores `bytes` under `name`; [`StoreError::AlreadyExists`] when the name is taken. Of racing calls exactly one succeeds.
    ///
    /// After a failure ([`StoreError::is_answer`] is false) it may be stored nevertheless, now or later. So `AlreadyExists` in answer to another
    /// call with the same bytes may mean the caller's own object. Who needs to know compares: data objects by the digest in their footer, others by
    /// bytes into which the caller put an id drawn for this put. Bytes that another racer may have, too, do not tell who won.
    async fn put_if_absent(&self, name: &str, bytes: Bytes) -> Result<(), StoreError>;
    /// The bytes of `range`; [`StoreError::NotFound`] without the name, [`StoreError::OutOfRange`] when the object ends before the range does.
    async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, StoreError>;
    /// The bytes of several ranges of one object, in the order asked; fails as [`ObjectStore::get_range`] does.
    async fn get_ranges(&self, name: &str, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>, StoreError> {
        let mut parts = Vec::with_capacity(ranges.len());
        for range in ranges {
            parts.push(self.get_range(name, range).await?);
        }
        Ok(parts)
    }
    /// Names that begin with `prefix` (a whole folder, ending in `/`, or empty for all), with their sizes, sorted by name. No name is looked at later
    /// than one in a folder that comes behind its own: a listing that misses `a/x`, since it was removed, shows what was put into `b/` before that.
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StoreError>;
    /// Removes a name; no error when it is not there. Once it has returned, the name does not come back after a power cut.
    async fn delete(&self, name: &str) -> Result<(), StoreError>;
    /// Removes several names, as [`ObjectStore::delete`] does. On an error some may be gone; calling again is safe.
    async fn delete_many(&self, names: &[String]) -> Result<(), StoreError> {
        for name in names {
            self.delete(name).await?;
        }
        Ok(())
    }
    /// Says how large an object is of which parts are being read. A store with a cache may then fetch it whole when that is cheaper.
    fn note_size(&self, _name: &str, _size: u64) {}
    /// Whether reads of an object may be answered from a copy.
    fn may_read_copy(&self, _name: &str) -> bool {
        false
    }
    /// Says that bytes read of an object were damaged: its copy, if there is one, is not read again.
    async fn forget_copy(&self, _name: &str) {}
    /// Whether an object that is there has reached the place where it is to stay, so that others may be told of it.
    fn is_stored(&self, _name: &str) -> bool {
        true
    }
}

/// A name in the store and how large it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectMeta {
    /// Full name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// When it was put, by the clock of the store.
    pub modified: Timestamp,
}

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No object of that name.
    #[error("object '{0}' does not exist")]
    NotFound(String),
    /// `put_if_absent` of a taken name.
    #[error("object '{0}' exists already")]
    AlreadyExists(String),
    /// A read past the end.
    #[error("object '{name}' ends before byte {end}")]
    OutOfRange {
        /// Full name.
        name: String,
        /// End of the range asked for.
        end: u64,
    },
    /// A name that breaks the rules above, or that is a folder of other objects.
    #[error("'{0}' is not an object name")]
    InvalidName(String),
    /// Disk or network failed.
    #[error("{operation} object '{name}'")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// Full name.
        name: String,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// No answer came in time.
    #[error("{operation} object '{name}': no answer within {} ms", after.as_millis())]
    TimedOut {
        /// What was tried.
        operation: &'static str,
        /// Full name.
        name: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The store was not asked at all, since too many requests before failed.
    #[error(transparent)]
    Resting(Box<RestingStore>),
    /// A remote store failed, or refused.
    #[error(transparent)]
    Remote(Box<RemoteFailure>),
}

/// A request for which the store was not asked, since too many before failed.
#[derive(Debug, thiserror::Error)]
#[error(
    "{operation} object '{name}': the store is not asked for another {} s, since it failed too often for {} s; the last failure was to {last}",
    retry_in.as_secs_f32().ceil(), failing_for.as_secs()
)]
pub struct RestingStore {
    /// What was to be done.
    pub operation: &'static str,
    /// Full name.
    pub name: String,
    /// How long ago that began.
    pub failing_for: Duration,
    /// When it is tried again.
    pub retry_in: Duration,
    /// The failure after which it began.
    pub last: String,
}

impl StoreError {
    /// What the caller can do about it: `Unavailable` is worth another try, the others are not.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::AlreadyExists(_) | Self::OutOfRange { .. } | Self::InvalidName(_) => ErrorKind::InvalidInput,
            Self::Io { .. } | Self::TimedOut { .. } | Self::Resting(_) => ErrorKind::Unavailable,
            Self::Remote(failure) => failure.problem.kind(),
        }
    }

    /// Whether the store knows that it is so: trying again gets the same. All else are failures.
    pub fn is_answer(&self) -> bool {
        match self {
            Self::NotFound(_) | Self::AlreadyExists(_) | Self::OutOfRange { .. } | Self::InvalidName(_) => true,
            Self::Io { .. } | Self::TimedOut { .. } | Self::Resting(_) => false,
            Self::Remote(failure) => !failure.problem.may_pass(),
        }
    }

    /// Whether it is certain that nothing was done, nor will be.
    pub fn is_undone(&self) -> bool {
        match self {
            Self::Resting(_) => true,
            Self::Io { .. } | Self::TimedOut { .. } => false,
            Self::Remote(failure) => failure.problem.is_undone(),
            Self::NotFound(_) | Self::AlreadyExists(_) | Self::OutOfRange { .. } | Self::InvalidName(_) => true,
        }
    }

    /// How long the store asks to be left alone, where it said so.
    pub fn retry_in(&self) -> Option<Duration> {
        match self {
            Self::Resting(resting) => Some(resting.retry_in),
            Self::NotFound(_) | Self::AlreadyExists(_) | Self::OutOfRange { .. } | Self::InvalidName(_) => None,
            Self::Io { .. } | Self::TimedOut { .. } => None,
            Self::Remote(failure) => failure.answer.as_ref().and_then(|answer| answer.retry_after),
        }
    }
}
