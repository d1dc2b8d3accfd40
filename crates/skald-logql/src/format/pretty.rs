//! A query laid out over several lines.

use super::Quoted;
use crate::ast::{
    BinaryExpr, BinaryOp, Expr, Grouping, LabelReplace, LogExpr, MatchGroup, MetricExpr, RangeAggregation, Stage, VectorAggregation,
};
use crate::units::{format_duration, format_fixed, format_go_duration};
use std::fmt::Display;
use std::time::Duration;

/// Bytes that still stand on one line.
const LINE_BYTES_MAX: usize = 100;

/// Prints a query for people: canonically where that is short, else over several lines with two blanks a level.
///
/// What it prints means the same query, within what the canonical text keeps.
pub fn pretty(expr: &Expr) -> String {
    let mut layout = Layout { out: String::new() };
    match expr {
        Expr::Log(log) => layout.log(log, 0),
        Expr::Metric(metric) => layout.metric(metric, 0),
    }
    layout.out
}

struct Layout {
    out: String,
}

impl Layout {
    fn indent(&mut self, level: usize) {
        self.out.extend(std::iter::repeat_n("  ", level));
    }

    fn text(&mut self, level: usize, text: &str) {
        self.indent(level);
        self.out.push_str(text);
    }

    fn line(&mut self, level: usize, text: &str) {
        self.text(level, text);
        self.out.push('\n');
    }

    /// Prints `node` on one line if it is short enough.
    fn short(&mut self, level: usize, node: &impl Display) -> bool {
        let text = node.to_string();
        let fits = text.len() <= LINE_BYTES_MAX;
        if fits {
            self.text(level, &text);
        }
        fits
    }

    fn log(&mut self, log: &LogExpr, level: usize) {
        if self.short(level, log) {
            return;
        }
        let selector = LogExpr { matchers: log.matchers.clone(), stages: Vec::new() };
        self.text(level, &selector.to_string());
        let both_filter = |a: &Stage, b: &Stage| matches!((a, b), (Stage::LineFilter(_), Stage::LineFilter(_)));
        for group in log.stages.chunk_by(both_filter) {
            let texts: Vec<String> = group.iter().map(Stage::to_string).collect();
            let together = texts.join(" ");
            let lines = if together.len() <= LINE_BYTES_MAX { vec![together] } else { texts };
            for line in lines {
                self.out.push('\n');
                // This stage alone stands at the margin, as in Loki's layout.
                let level = if matches!(group[0], Stage::Decolorize) { 0 } else { level + 1 };
                self.text(level, &line);
            }
        }
    }

    fn metric(&mut self, expr: &MetricExpr, level: usize) {
        if self.short(level, expr) {
            return;
        }
        match expr {
            MetricExpr::Range(aggregation) => self.range(aggregation, level),
            MetricExpr::Vector(aggregation) => self.vector(aggregation, level),
            MetricExpr::Binary(binary) => self.binary(binary, level),
            MetricExpr::LabelReplace(replace) => self.label_replace(replace, level),
            MetricExpr::Literal(_) | MetricExpr::VectorLiteral(_) => self.text(level, &expr.to_string()),
        }
    }

    fn range(&mut self, aggregation: &RangeAggregation, level: usize) {
        self.line(level, &format!("{}(", aggregation.op));
        if let Some(parameter) = aggregation.parameter {
            self.line(level + 1, &format!("{},", format_fixed(parameter)));
        }
        self.log_range(aggregation, level + 1);
        self.out.push('\n');
        self.text(level, ")");
        if let Some(grouping) = &aggregation.grouping {
            self.out.push_str(&spaced(grouping));
        }
    }

    fn log_range(&mut self, aggregation: &RangeAggregation, level: usize) {
        let whole = aggregation.to_string();
        let brackets = aggregation.grouping.as_ref().map_or(0, |grouping| grouping.to_string().len() + 1);
        let parameter = aggregation.parameter.map_or(0, |parameter| format_fixed(parameter).len() + 1);
        let inside = &whole[aggregation.op.name().len() + 1 + parameter..whole.len() - 1 - brackets];
        if inside.len() <= LINE_BYTES_MAX {
            return self.text(level, inside);
        }
        self.log(&aggregation.log, level);
        if let Some(unwrap) = &aggregation.unwrap {
            self.out.push('\n');
            let filters = unwrap.filters.iter().map(|filter| format!("| {filter}"));
            let bare = crate::ast::Unwrap { filters: Vec::new(), ..unwrap.clone() }.to_string();
            let lines: Vec<String> = std::iter::once(bare).chain(filters).collect();
            for (i, line) in lines.iter().enumerate() {
                self.out.push_str(if i == 0 { "" } else { "\n" });
                self.text(level + 1, line);
            }
        }
        self.out.push_str(&format!(" [{}]", format_duration(aggregation.range)));
        if aggregation.offset_nanos != 0 {
            self.out.push_str(&format!(" offset {}", offset(aggregation.offset_nanos)));
        }
    }

    fn vector(&mut self, aggregation: &VectorAggregation, level: usize) {
        let grouping = aggregation.grouping.as_ref().map(spaced).unwrap_or_default();
        self.line(level, &format!("{}{grouping}(", aggregation.op));
        if let Some(parameter) = aggregation.parameter {
            self.line(level + 1, &format!("{parameter},"));
        }
        self.metric(&aggregation.inner, level + 1);
        self.out.push('\n');
        self.text(level, ")");
    }

    fn binary(&mut self, binary: &BinaryExpr, level: usize) {
        let binding = binary.op.binding();
        let is_pow = binary.op == BinaryOp::Pow;
        self.side(&binary.left, level + 1, |left| left < binding || (left == binding && is_pow));
        let mut operator = binary.op.to_string();
        if binary.return_bool {
            operator.push_str(" bool");
        }
        let matching = &binary.matching;
        if matching.on || !matching.labels.is_empty() || matching.group != MatchGroup::OneToOne {
            let word = if matching.on { "on" } else { "ignoring" };
            operator.push_str(&format!(" {word} ({})", matching.labels.join(", ")));
        }
        match matching.group {
            MatchGroup::OneToOne => {}
            MatchGroup::Left => operator.push_str(&format!(" group_left ({})", matching.include.join(", "))),
            MatchGroup::Right => operator.push_str(&format!(" group_right ({})", matching.include.join(", "))),
        }
        self.out.push('\n');
        self.line(level, &operator);
        self.side(&binary.right, level + 1, |right| right < binding || (right == binding && !is_pow));
    }

    /// A side of an operator, in parentheses where it would else be read with the operator.
    fn side(&mut self, expr: &MetricExpr, level: usize, binds_less: impl Fn(u8) -> bool) {
        let broken = |binary: &BinaryExpr| binds_less(binary.op.binding()) && expr.to_string().len() > LINE_BYTES_MAX;
        if !matches!(expr, MetricExpr::Binary(binary) if broken(binary)) {
            return self.metric(expr, level);
        }
        self.line(level, "(");
        self.metric(expr, level + 1);
        self.out.push('\n');
        self.text(level, ")");
    }

    fn label_replace(&mut self, replace: &LabelReplace, level: usize) {
        self.line(level, "label_replace(");
        self.metric(&replace.inner, level + 1);
        for text in [&replace.dst, &replace.replacement, &replace.src, &replace.regex] {
            self.out.push_str(",\n");
            self.text(level + 1, &Quoted(text).to_string());
        }
        self.out.push('\n');
        self.text(level, ")");
    }
}

fn spaced(grouping: &Grouping) -> String {
    format!(" {} ({})", if grouping.without { "without" } else { "by" }, grouping.labels.join(", "))
}

/// As a range is printed, unless that would lose something: only Go durations have signs and parts of a millisecond.
fn offset(nanos: i64) -> String {
    match u64::try_from(nanos) {
        Ok(nanos) if nanos % 1_000_000 == 0 => format_duration(Duration::from_nanos(nanos)),
        _ => format_go_duration(nanos),
    }
}
