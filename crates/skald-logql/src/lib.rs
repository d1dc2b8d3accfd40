//! LogQL: text to [`ast`], to a checked [`plan`], to an answer over batches of columns ([`exec`]).
//!
//! Pure: it knows columns, not where they are stored; bytes and time are arguments.

pub mod ast;
pub mod exec;
pub mod plan;
