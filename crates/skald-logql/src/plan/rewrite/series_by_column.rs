//! Rows find their series by stream and dictionary word, where no stage makes labels.

use crate::exec::{Pipeline, Unwrapper};

/// Whether stream labels and metadata columns alone say of which series a row is. Whether they do it cheaply is seen batch by batch.
pub(in crate::plan) fn finds_series_by_column(on: bool, pipeline: &Pipeline, unwrap: Option<&Unwrapper>) -> bool {
    on && unwrap.is_none() && pipeline.is_decided_by_column()
}

#[cfg(test)]
mod tests {
    super::super::tests::same_answers_without!(SeriesByColumn);
}
