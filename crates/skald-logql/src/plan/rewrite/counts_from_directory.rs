//! Rows are counted by the numbers in the directory of their object: rows, line bytes and rows per level of each run.
//!
//! A run is all rows of one stream in one block. Its numbers do where no stage looks at an entry, the labels of the stream and levels
//! decide filters and series, and each window holds all of the run or nothing of it.

use crate::exec::{Pipeline, Unwrapper};

/// Whether runs can be counted without reading them, as far as the query says.
pub(in crate::plan) fn counts_runs(on: bool, pipeline: &Pipeline, unwrap: Option<&Unwrapper>) -> bool {
    on && unwrap.is_none() && !pipeline.reads_entries()
}

#[cfg(test)]
mod tests {
    super::super::tests::same_answers_without!(CountsFromDirectory);
}
