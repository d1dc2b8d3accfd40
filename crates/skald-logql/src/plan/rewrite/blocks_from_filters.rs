//! Blocks are skipped that cannot hold what line filters and label filters ask for.

use crate::exec::{LineMatcher, Probe, Step};

/// What every entry that passes satisfies, as far as filters of blocks can answer. `literals` are the questions of label filters behind parsers.
pub(super) fn probe(on: bool, line_filters: &[LineMatcher], steps: &[Step], literals: Vec<Probe>) -> Probe {
    if !on {
        return Probe::ANYTHING;
    }
    // In front of all other stages a filter on a name that is no stream label asks metadata.
    let metadata = steps.iter().map_while(|step| if let Step::Filter(condition) = step { Some(condition.probe()) } else { None });
    Probe::all(line_filters.iter().map(|filter| filter.probe().clone()).chain(metadata).chain(literals))
}

#[cfg(test)]
mod tests {
    super::super::tests::same_answers_without!(BlocksFromFilters);
}
