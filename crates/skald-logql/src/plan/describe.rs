//! What a plan does, for people: a tree of operators from the answer down to what is read.

use super::metric::Node;
use super::rewrite::{Rewrite, Rewrites};
use super::{Direction, LogPlan, MetricPlan, Plan};
use crate::ast::{Expr, MetricExpr, RangeAggregation};
use crate::exec::{Columns, LineNeed, Pipeline, PlannedStage, Selector, SeriesKey};
use crate::units::format_fixed;
use skald_model::TimeRange;

/// A part of a plan. What it works on comes from its inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Operator {
    /// What it is, such as `sum` or `count_over_time`.
    pub name: String,
    /// What else is to be said of it, by name.
    pub properties: Vec<(&'static str, Property)>,
    /// Of an operator that reads: all that entries pass, in the order in which it runs.
    pub stages: Vec<PlannedStage>,
    /// Of an operator that reads: its place among those of the plan.
    pub leaf: Option<usize>,
    /// What it works on.
    pub inputs: Vec<Operator>,
}

/// Something said of an operator.
#[derive(Debug, Clone, PartialEq)]
pub enum Property {
    /// A text.
    Text(String),
    /// Texts.
    List(Vec<String>),
    /// A first instant and one that is no longer in.
    Range(TimeRange),
}

impl Plan {
    /// The operators of the plan of `expr`, from the answer down.
    pub fn describe(&self, expr: &Expr) -> Operator {
        match (self, expr) {
            (Plan::Log(plan), _) => plan.describe(),
            (Plan::Metric(plan), Expr::Metric(expr)) => {
                let mut ranges = Vec::new();
                add_ranges(expr, &mut ranges);
                plan.operator(&plan.root, &ranges)
            }
            (Plan::Metric(plan), Expr::Log(_)) => plan.operator(&plan.root, &[]),
        }
    }
}

/// The range aggregations of an expression in the order in which leaves are made of them.
fn add_ranges<'a>(expr: &'a MetricExpr, ranges: &mut Vec<&'a RangeAggregation>) {
    match expr {
        MetricExpr::Range(range) => ranges.push(range),
        MetricExpr::Vector(vector) => add_ranges(&vector.inner, ranges),
        MetricExpr::Binary(binary) => {
            add_ranges(&binary.left, ranges);
            add_ranges(&binary.right, ranges);
        }
        MetricExpr::LabelReplace(replace) => add_ranges(&replace.inner, ranges),
        MetricExpr::Literal(_) | MetricExpr::VectorLiteral(_) => {}
    }
}

impl Operator {
    fn new(name: impl Into<String>, inputs: Vec<Operator>) -> Self {
        Operator { name: name.into(), properties: Vec::new(), stages: Vec::new(), leaf: None, inputs }
    }

    fn text(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.properties.push((name, Property::Text(text.into())));
        self
    }

    fn list(mut self, name: &'static str, list: Vec<String>) -> Self {
        self.properties.push((name, Property::List(list)));
        self
    }

    /// Says what is read, and what happens to it.
    fn reads(mut self, leaf: usize, selector: &Selector, range: TimeRange, pipeline: &Pipeline, rewrites: Rewrites) -> Self {
        self.leaf = Some(leaf);
        self.stages = pipeline.stages().to_vec();
        let matchers: Vec<String> = selector.matchers().iter().map(ToString::to_string).collect();
        let lines = match pipeline.needs().lines {
            LineNeed::None => "none",
            LineNeed::Lengths => "lengths",
            LineNeed::Bytes => "all",
        };
        let mut said = self.text("selector", format!("{{{}}}", matchers.join(", "))).text("lines", lines);
        said = match &pipeline.needs().columns {
            Columns::All => said.text("metadata", "all"),
            Columns::Names(names) => said.list("metadata", names.iter().cloned().collect()),
        };
        said.properties.insert(1, ("range", Property::Range(range)));
        if !pipeline.block_probe().is_anything() {
            said = said.text("blocks_must_hold", pipeline.block_probe().to_string());
        }
        let rewrites = pipeline.applied().iter().chain(rewrites.iter()).map(|rewrite| rewrite.name().to_owned());
        said.list("rewrites", rewrites.collect())
    }
}

impl LogPlan {
    fn describe(&self) -> Operator {
        let order = match self.direction() {
            Direction::Forward => "oldest first",
            Direction::Backward => "newest first",
        };
        let rewrites = if self.stops_at_limit() { Rewrites::NONE.with(Rewrite::StopAtLimit) } else { Rewrites::NONE };
        let read = Operator::new("select", Vec::new()).reads(0, self.selector(), self.range(), self.pipeline(), rewrites);
        Operator::new("limit", vec![read]).text("entries", self.limit().to_string()).text("order", order)
    }
}

impl MetricPlan {
    fn operator(&self, node: &Node, ranges: &[&RangeAggregation]) -> Operator {
        let input = |inner: &Node| vec![self.operator(inner, ranges)];
        match node {
            Node::Number(value) => Operator::new(format_fixed(*value), Vec::new()),
            Node::Constant(value) => Operator::new("vector", Vec::new()).text("value", format_fixed(*value)),
            Node::Leaf(leaf) => self.leaf_operator(*leaf, ranges),
            Node::Absent { leaf, labels } => {
                Operator::new("absent_over_time", vec![self.leaf_operator(*leaf, ranges)]).text("labels", labels.to_string())
            }
            Node::LabelReplace { inner, .. } => Operator::new("label_replace", input(inner)),
            Node::Aggregate { op, parameter, grouping, inner } => {
                let mut operator = Operator::new(op.to_string(), input(inner));
                if let Some(parameter) = parameter {
                    operator = operator.text("parameter", parameter.to_string());
                }
                match grouping {
                    Some(grouping) => operator.text("groups", grouping.to_string()),
                    None => operator,
                }
            }
            Node::Binary { op, return_bool, matching, left, right } => {
                let bool_word = if *return_bool { " bool" } else { "" };
                let operator = Operator::new(format!("{op}{bool_word}"), vec![self.operator(left, ranges), self.operator(right, ranges)]);
                match matching.to_string().trim() {
                    "" => operator,
                    matching => operator.text("pairs", matching),
                }
            }
        }
    }

    fn leaf_operator(&self, at: usize, ranges: &[&RangeAggregation]) -> Operator {
        let leaf = &self.leaves[at];
        let mut rewrites = Rewrites::NONE;
        let mut note = |rewrite, applies: bool| {
            if applies {
                rewrites = rewrites.with(rewrite);
            }
        };
        note(Rewrite::SeriesByColumn, leaf.by_column);
        note(Rewrite::SumAtLeaf, self.sums[at]);
        note(Rewrite::TopAtLeaf, self.tops[at].is_some());
        note(Rewrite::CountsFromDirectory, leaf.counts_runs && leaf.needs().lines != LineNeed::Bytes);
        let name = ranges.get(at).map_or("count_over_time", |range| range.op.name());
        let mut operator = Operator::new(name, Vec::new()).reads(at, leaf.selector(), leaf.fetch(), leaf.pipeline(), rewrites);
        if let Some(range) = ranges.get(at) {
            operator = operator.text("window", crate::units::format_duration(range.range));
            if range.offset_nanos != 0 {
                operator = operator.text("offset", crate::units::format_go_duration(range.offset_nanos));
            }
            if let Some(unwrap) = &range.unwrap {
                operator = operator.text("value", unwrap.to_string());
            }
        }
        let groups = match &leaf.key {
            SeriesKey::By(names) => format!("by ({})", names.join(", ")),
            SeriesKey::Without { names, .. } if names.is_empty() => "all labels".to_owned(),
            SeriesKey::Without { names, .. } => format!("without ({})", names.join(", ")),
        };
        operator.text("groups", groups)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rewrite::tests::plan_of;
    use super::*;

    /// Names and some properties, one operator a line.
    fn shown(operator: &Operator, level: usize, out: &mut String) {
        use std::fmt::Write;
        let property = |name: &str| operator.properties.iter().find(|(known, _)| *known == name).map(|(_, property)| property);
        let _ = write!(out, "{}{}", "  ".repeat(level), operator.name);
        for name in
            ["entries", "order", "parameter", "groups", "pairs", "selector", "lines", "metadata", "blocks_must_hold", "window", "rewrites"]
        {
            match property(name) {
                Some(Property::Text(text)) => drop(write!(out, " {name}={text}")),
                Some(Property::List(list)) => drop(write!(out, " {name}={}", list.join("+"))),
                _ => {}
            }
        }
        out.push('\n');
        for stage in &operator.stages {
            let _ = writeln!(out, "{}- {} ({})", "  ".repeat(level + 1), stage.text, stage.runs.name());
        }
        operator.inputs.iter().for_each(|input| shown(input, level + 1, out));
    }

    #[track_caller]
    fn check(query: &str, want: &str) {
        let expr = crate::parse(query).expect("parses");
        let plan = plan_of(query, Rewrites::ALL).expect("plans");
        let mut out = String::new();
        shown(&plan.describe(&expr), 0, &mut out);
        assert_eq!(out, want, "{out}");
    }

    #[test]
    fn operators_are_told_from_the_answer_down() {
        check(
            r#"{app="a"} | pod="p" | json | status="200" |= "x" | line_format "{{.a}}""#,
            r#"limit entries=1000 order=oldest first
  select selector={app="a"} lines=all metadata=all blocks_must_hold=(x & pod=p & (status=200 | 200 | "\u0032 | "2\u0030 | "20\u0030)) rewrites=matchers_from_filters+literals_from_filters+blocks_from_filters+filters_by_column
    - | pod="p" (by column)
    - |= "x" (over lines)
    - |= "200" or "\\u00" (over lines, implied)
    - | json (row by row)
    - | status="200" (row by row)
    - | line_format "{{.a}}" (row by row)
"#,
        );
        check(
            r#"topk(2, sum by (level) (rate({app="a"} | level!="" [1m]))) / on (level) group_left () vector(2)"#,
            r#"/ pairs=on (level) group_left ()
  topk parameter=2
    rate groups=by (level) selector={app="a"} lines=none metadata=level window=1m rewrites=needed_columns+matchers_from_filters+filters_by_column+series_by_column+sum_at_leaf+top_at_leaf+counts_from_directory
      - | level!="" (by column)
  vector
"#,
        );
        check(
            r#"absent_over_time({app="a"} | json [5m])"#,
            r#"absent_over_time
  absent_over_time groups=by () selector={app="a"} lines=none metadata= window=5m rewrites=needed_columns+series_by_column+sum_at_leaf+counts_from_directory
"#,
        );
    }
}
