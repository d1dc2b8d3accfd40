//! LogQL: text to [`ast`], to a checked plan, to an answer over batches of columns.
//!
//! Pure: it knows columns, not where they are stored; bytes and time are arguments.

pub mod ast;
pub mod exec;
mod format;
pub mod parse;
pub mod plan;
pub mod regex;
pub mod units;

pub use format::pretty;
pub use parse::{MatchersError, ParseError, parse, parse_matchers};
