//! Label filters in front of all other stages are decided column by column, before lines are searched.
//!
//! Such a filter sees stream labels and metadata alone. The answer for each word of a dictionary column is worked out once.
//! Filters that can mark entries with an error are left to be run row by row, and so is what follows them.

use crate::exec::{Named, Step};

/// How many stages are filters that columns can decide.
pub(super) fn leading(steps: &[Step]) -> usize {
    let decides = |step: &&Step| match step {
        Step::Filter(condition) => condition.is_text_only(),
        // Clients end their queries with it; there is nothing to drop yet.
        Step::Drop(items) => items.iter().all(Named::is_of_error),
        _ => false,
    };
    steps.iter().take_while(decides).count()
}

#[cfg(test)]
mod tests {
    super::super::tests::same_answers_without!(FiltersByColumn);
}
