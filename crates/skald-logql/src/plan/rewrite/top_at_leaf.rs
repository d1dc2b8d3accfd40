//! Of the series of a leaf only those are made that can be among the largest or smallest, where nothing else is asked for.

use crate::ast::{VectorAggregation, VectorOp};
use crate::exec::Top;

/// How many series decide what an aggregation gives.
pub(in crate::plan) fn top_of(on: bool, vector: &VectorAggregation) -> Option<Top> {
    let chooses = matches!(vector.op, VectorOp::Topk | VectorOp::Bottomk | VectorOp::ApproxTopk);
    (on && chooses && vector.grouping.is_none()).then(|| Top::of(vector.op, vector.parameter))
}

#[cfg(test)]
mod tests {
    super::super::tests::same_answers_without!(TopAtLeaf);
}
