//! A sum of counts, or of sums, is counted by its own groups in the first place, instead of by all labels and then summed.

use crate::ast::{Grouping, RangeAggregation, RangeOp};
use crate::exec::{SeriesKey, sorted_names};

/// How the entries of a range aggregation are grouped, where a `sum` may stand directly above it.
pub(in crate::plan) struct LeafGrouping {
    /// What the range aggregation and the sum above it leave of labels; `None` leaves all.
    ///
    /// The language has parsers look for these, whoever groups.
    pub(in crate::plan) wanted: Option<SeriesKey>,
    /// By what entries are counted.
    pub(in crate::plan) key: SeriesKey,
    /// Whether the sum is still to be made of what is counted.
    pub(in crate::plan) sum_above: bool,
}

impl LeafGrouping {
    /// Of `range` under a sum: `Some(None)` is the sum over everything. `on` counts by the groups of the sum.
    pub(in crate::plan) fn new(on: bool, range: &RangeAggregation, sum: Option<Option<&Grouping>>) -> Self {
        let wanted = match sum {
            None => range.grouping.as_ref().map(|grouping| grouped(grouping, false)),
            Some(None) => Some(SeriesKey::By(Vec::new())),
            Some(Some(grouping)) => Some(grouped(grouping, true)),
        };
        let all = || SeriesKey::Without { names: Vec::new(), drop_empty: false };
        let sum_above = sum.is_some() && !on;
        let mut key = wanted.clone().filter(|_| !sum_above).unwrap_or_else(all);
        // What was unwrapped is no label of the series, unless it is asked for.
        let asked_for = matches!(wanted, Some(SeriesKey::By(_)));
        if let (SeriesKey::Without { names, .. }, Some(unwrap), false) = (&mut key, &range.unwrap, asked_for) {
            names.push(unwrap.label.clone());
            *names = sorted_names(names);
        }
        LeafGrouping { wanted, key, sum_above }
    }
}

/// Whether a sum over series is the sum over their entries.
pub(in crate::plan) fn adds_up(range: &RangeAggregation) -> bool {
    let additive =
        matches!(range.op, RangeOp::Rate | RangeOp::CountOverTime | RangeOp::BytesRate | RangeOp::BytesOverTime | RangeOp::SumOverTime);
    additive && range.grouping.is_none()
}

fn grouped(grouping: &Grouping, drop_empty: bool) -> SeriesKey {
    let names = sorted_names(&grouping.labels);
    if grouping.without { SeriesKey::Without { names, drop_empty } } else { SeriesKey::By(names) }
}

#[cfg(test)]
mod tests {
    super::super::tests::same_answers_without!(SumAtLeaf);
}
