//! A log query without filters reads from the end that it begins at, piece by piece, and stops once it has its lines.
//!
//! With a filter that skips blocks most of what is read is likely to be needed, and reading whole blocks at once is quicker.

use crate::exec::Pipeline;

/// Whether blocks are to be read piece by piece.
pub(in crate::plan) fn stops(on: bool, pipeline: &Pipeline) -> bool {
    on && pipeline.block_probe().is_anything()
}

#[cfg(test)]
mod tests {
    super::super::tests::same_answers_without!(StopAtLimit);
}
