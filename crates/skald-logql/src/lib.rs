//! LogQL: text to [`ast`], to a checked plan, to an answer over batches of columns.
//!
//! Pure: it knows columns, not where they are stored; bytes and time are arguments.

pub mod ast;
