//! Manifests: the numbered lists that say which files of a table are live.
//!
//! A table's live data objects are `(incoming listed − absorbed − objects) ∪ objects` of its newest manifest: what was flushed is live by existing,
//! what was merged is live by being named. The rules that keep this true while one publishes, one reads and one removes are each in one place:
//! - [`load_table`] lists incoming objects before it reads the newest manifest;
//! - [`publish`] puts the next number if it is absent, settles an unclear put by the writer that stands there, and checks that no higher number exists;
//! - [`garbage`] keeps old manifests and all they name for [`GRACE`], and files that none names for [`ABANDONED_AFTER`], by the store's clock;
//! - names are drawn at random or numbered, so that one that was removed does not come back.

mod garbage;
mod load;
mod publish;
mod text;

#[cfg(test)]
mod tests;

pub use garbage::{ABANDONED_AFTER, GRACE, garbage, kept, store_now};
pub(crate) use load::LISTINGS_MAX;
pub use load::{Listing, LoadError, TableFiles, list_table, load_table, read_manifest};
pub use publish::{PublishError, publish};
pub use text::ManifestError;

use skald_model::DiskId;
use skald_model::seam::Random;

/// What is live in a table, from one publication to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// From 1, one more than the number of the one before.
    pub number: u64,
    /// Number of the manifest that it follows; 0 for the first.
    pub previous: u64,
    /// Who put it.
    pub writer: Writer,
    /// What it says.
    pub content: Content,
}

/// What a manifest says of a table. Names are whole names in the store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// Live data objects, incoming ones among them.
    pub objects: Vec<NamedFile>,
    /// Live index files.
    pub index: Vec<NamedFile>,
    /// Incoming objects that are no longer live, whether or not they still exist.
    pub absorbed: Vec<String>,
    /// Names that were removed; nothing is put under them again.
    pub removed: Vec<String>,
}

/// A file and how large it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFile {
    /// Whole name.
    pub name: String,
    /// Bytes.
    pub size: u64,
}

/// Who put a manifest: no two puts have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Writer {
    /// Disk of the process.
    pub disk: DiskId,
    /// Drawn for this put.
    pub put: u128,
}

impl Writer {
    /// The writer of one put.
    pub fn draw(disk: DiskId, random: &dyn Random) -> Self {
        Writer { disk, put: random.next_id() }
    }
}
