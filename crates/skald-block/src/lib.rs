//! Turns sorted rows into a *data object* and back: columns, compression, filters, footer, checksums.
//!
//! A data object holds many streams of one tenant, one UTC day and one retention class: a body of **blocks** (up to 1 MiB of lines each, rows
//! sorted by stream, then time), pages of substring **filters**, the **stream table**, a **footer** and a fixed **trailer**. Everything here is pure:
//! bytes in, bytes out. The byte layout is in `docs/formats/data-object.md`.
//!
//! Writing: [`merge_rows`] sorts the chunks of a stream, [`ObjectWriter`] takes streams in label order and gives an [`EncodedObject`].
//!
//! Joining: [`join_objects`] makes one object of several, in bounded memory.
//!
//! Reading, in pieces of the caller's choice:
//! 1. the last [`Trailer::LEN`] bytes → [`Trailer::parse`] → [`Trailer::footer_range`] → [`Footer::parse`];
//! 2. [`Footer::open_streams`] → [`StreamTable`] leads from labels to numbers of streams, for readers who do not know these; [`Footer::runs_of`] from
//!    numbers of streams to blocks and runs with their times and counts;
//! 3. [`FilterIndex::pages_needed`] and [`FilterIndex::matching_blocks`] drop blocks that cannot hold a text;
//! 4. [`Decoder`] opens one timestamp column, one metadata column or one frame of lines at a time.
//!
//! Every part has a checksum that is verified before the part is decoded; damage is a [`FormatError`] that names part and offset.

mod block;
mod column;
mod decode;
mod digest;
mod directory;
mod error;
mod extent;
mod filter;
mod footer;
mod info;
mod join;
mod merge;
mod packed;
mod rewrite;
mod streams;
mod trailer;
mod verify;
mod wire;
mod writer;

pub use decode::Decoder;
pub use digest::{RowDigest, RowHasher};
pub use directory::{BlockEntry, ColumnEntry, DERIVED_VALUE_BYTES, FrameEntry, LEVEL_SLOTS, OTHER_LEVEL, Run};
pub use error::{EncodeError, FormatError, Part};
pub use extent::Extent;
pub use filter::{BlockSet, FilterBuilder, FilterIndex, FilterPage, FilterQuery};
pub use footer::{Footer, RunRef};
pub use info::{ObjectInfo, ObjectSummary};
pub use join::{JoinError, JoinInput, ReadAt, join_objects};
pub use merge::{MergeError, Merged, merge_rows, slice_rows};
pub use rewrite::{parts_of, rewrite_part};
pub use streams::StreamTable;
pub use trailer::{Section, Trailer};
pub use verify::verify_object;
pub use writer::{EncodedObject, ObjectWriter, WriterOptions};

/// Most raw line bytes of a block, unless one line alone is longer.
pub const BLOCK_LINE_BYTES: usize = 1 << 20;
/// Most rows of a block.
pub const BLOCK_ROWS_MAX: usize = 1 << 17;
/// Longest line, and most metadata bytes of one row.
pub const ROW_BYTES_MAX: usize = 64 << 20;
/// Most raw bytes of any column, frame or footer section.
pub(crate) const PART_RAW_MAX: usize = 256 << 20;
