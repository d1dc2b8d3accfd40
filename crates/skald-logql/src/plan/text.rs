//! The text of stages, for errors.

use crate::ast::{LineFilter, LineOp, LineOperand, Stage};
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

/// A `json` or `logfmt` stage.
pub(super) fn parser(stage: &Stage) -> String {
    let (mut out, extractions) = match stage {
        Stage::Json(extractions) => ("| json".to_owned(), extractions.as_slice()),
        Stage::Logfmt { strict, keep_empty, extractions } => {
            let flag = |set: bool, text: &'static str| if set { text } else { "" };
            (format!("| logfmt{}{}", flag(*strict, " --strict"), flag(*keep_empty, " --keep-empty")), extractions.as_slice())
        }
        _ => return String::new(),
    };
    for (at, item) in extractions.iter().enumerate() {
        out.push_str(if at == 0 { " " } else { "," });
        out.push_str(&item.name);
        out.push('=');
        quote(&mut out, &item.expression);
    }
    out
}
