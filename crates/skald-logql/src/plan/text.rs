//! The text of stages, for errors.

use crate::ast::{LineFilter, LineOp, LineOperand};
use skald_model::quote;

/// Line filters that stand together, as one text.
pub(super) fn line_filters(filters: &[&LineFilter]) -> String {
    filters.iter().map(|filter| line_filter(filter)).collect::<Vec<_>>().join(" ")
}

fn line_filter(filter: &LineFilter) -> String {
    let mut out = match filter.op {
        LineOp::Contains => "|= ",
        LineOp::NotContains => "!= ",
        LineOp::Regex => "|~ ",
        LineOp::NotRegex => "!~ ",
        LineOp::Pattern => "|> ",
        LineOp::NotPattern => "!> ",
    }
    .to_owned();
    for (at, operand) in filter.operands.iter().enumerate() {
        if at > 0 {
            out.push_str(" or ");
        }
        match operand {
            LineOperand::Text(text) => quote(&mut out, text),
            LineOperand::Ip(text) => {
                out.push_str("ip(");
                quote(&mut out, text);
                out.push(')');
            }
        }
    }
    out
}
