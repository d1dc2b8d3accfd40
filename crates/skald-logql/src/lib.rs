//! LogQL: text to [`ast`], to a checked [`plan`], to an answer over batches of columns ([`exec`]).
//!
//! Pure: it knows columns, not where they are stored; bytes and time are arguments.

pub mod ast;
pub mod exec;
mod format;
pub mod layout;
mod parse;
mod pattern;
pub mod plan;
pub mod regex;
pub mod template;
pub mod units;

pub use format::pretty;
pub use parse::{FILTER_DEPTH_MAX, METRIC_DEPTH_MAX, MatchersError, ParseError, TEXT_BYTES_MAX, parse, parse_matchers};
