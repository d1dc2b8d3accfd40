//! Builds, merges and asks the **index file** of a table (a tenant's UTC day): from labels to streams, and to the objects that hold their rows.
//!
//! Everything here is pure: bytes in, bytes out; no thread, file, clock or lock. The byte layout is in `docs/formats/index.md`.
//!
//! Writing: [`IndexWriter`] takes streams in label order, each with its [`Reference`]s, and gives the file; [`merge()`] makes one file of several. Equal input
//! gives equal bytes.
//!
//! Reading, in pieces of the caller's choice:
//! 1. the last [`Layout::TAIL_LEN`] bytes → [`Layout::parse`] → [`Layout::core`], the part behind the rows;
//! 2. [`Index::open`] checks all of it and answers from it: [`Index::select`] leads from [`Matcher`]s (or a [`Question`], which is compiled once for many indexes) to a [`Selection`] of stream numbers,
//!    [`Index::label_names`] and [`Index::label_values`] list labels;
//! 3. [`Index::row_blocks`] says which pieces of the file hold the labels and references of a selection, [`Index::streams`] reads one.
//!
//! The dictionary of labels and the streams of each are tantivy's; all of it stays inside one module. Every part has a checksum that is verified before
//! the part is decoded, since tantivy trusts its bytes; damage is a [`FormatError`] that names the part.

mod error;
mod index;
mod layout;
mod long_labels;
mod matcher;
mod merge;
mod names;
mod pattern;
mod rows;
mod select;
mod selection;
mod terms;
mod wire;
mod writer;

pub use error::{BuildError, FormatError, MergeError, Part, QueryError};
pub use index::{Index, RowBlock};
pub use layout::Layout;
pub use matcher::{Matcher, Question, Test};
pub use merge::{InputError, MergeInput, merge};
pub use names::LabelValues;
pub use rows::{IndexedStream, Reference};
pub use selection::Selection;
pub use writer::IndexWriter;

/// Streams of a row block.
pub(crate) const BLOCK_STREAMS: u32 = 32;
