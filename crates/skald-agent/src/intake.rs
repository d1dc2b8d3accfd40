//! Where sources hand over what they read.

use futures::future::BoxFuture;
use skald_pipeline::Entry;
use skald_tail::{FileId, FilePosition};

/// Takes entries from all sources, in order within each source.
///
/// Implemented by the batcher in front of the spool, by the printer of a dry run, and by fakes in tests.
pub trait Intake: Send + Sync + 'static {
    /// Adds `entries` (taken out of the vector) and, in the same step, moves the position of their source. Entries of one call and the position
    /// go to the same spool record. Does not block on disk or network.
    ///
    /// # Errors
    /// [`NoRoom`]: nothing was taken; wait for [`Intake::room`] and offer again.
    fn offer(&self, entries: &mut Vec<Entry>, position: Option<PositionUpdate>) -> Result<Ticket, NoRoom>;

    /// Completes when an offer that was refused may succeed.
    fn room(&self) -> BoxFuture<'static, ()>;

    /// Completes when what this ticket stands for is on disk: from then on a restart does not lose it. Asks for a cut soon, so that nobody waits for `batchwait`.
    fn durable(&self, ticket: Ticket) -> BoxFuture<'static, ()>;
}

/// The group that took an offer; ascends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Too much is waiting already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too much is waiting to be sent")]
pub struct NoRoom;

/// How far a source has been read, in entries that were offered together with it or before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PositionUpdate {
    /// A file.
    File(FilePosition),
    /// A file that will not be read again.
    FileDone(FileId),
    /// A source with a cursor: `cursor-<key>` in the positions file.
    Cursor {
        /// What follows `cursor-`.
        key: String,
        /// Opaque to all but the source. The positions file shows what stands before the first line break, the file beside it all.
        value: String,
    },
}
