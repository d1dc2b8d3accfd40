//! Following files that others write: which exist, which is which, what is new in them.
//!
//! The crate knows files and lines, nothing of labels or servers. A file is itself by device, inode and a fingerprint of its first bytes, not by its path, so it is
//! followed through renames, and its path may hold another file a moment later.

mod position;

pub use position::{FileId, FilePosition, Fingerprint};
