//! Expressions: functions, numbers and operators between them.

use super::filter::number_value;
use super::parser::Parser;
use super::token::{Token, TokenKind};
use super::{METRIC_DEPTH_MAX, ParseError, check};
use crate::ast::{
    BinaryExpr, BinaryOp, Expr, Grouping, LabelReplace, MatchGroup, MetricExpr, RangeOp, VectorAggregation, VectorMatching, VectorOp,
};

/// An expression and how deep it nests. Boxed, so that the stack stays small where the grammar nests.
struct Node {
    expr: Box<Expr>,
    depth: usize,
}

impl Node {
    fn metric(expr: MetricExpr, depth: usize) -> Self {
        Node { expr: Box::new(Expr::Metric(expr)), depth }
    }

    /// What [`Parser::inner`] read.
    fn into_numbers(self) -> MetricExpr {
        match *self.expr {
            Expr::Metric(expr) => expr,
            Expr::Log(_) => unreachable!("a function's inner expression gives numbers"),
        }
    }
}

/// What can stand between an operator and its right side.
struct Modifiers {
    return_bool: bool,
    matching: VectorMatching,
}

impl Parser<'_> {
    /// The whole text.
    pub fn query(&mut self) -> Result<Expr, ParseError> {
        let node = self.binary(0, None)?;
        if *self.peek()? == TokenKind::End { Ok(*node.expr) } else { self.unexpected(&[]) }
    }

    /// An expression of operators that bind at least as tight as `least`; `left` was read already.
    fn binary(&mut self, least: u8, left: Option<Node>) -> Result<Node, ParseError> {
        let mut left = match left {
            Some(left) => left,
            None => self.operand()?,
        };
        while let Some(op) = self.word()?.and_then(binary_op).filter(|op| op.binding() >= least) {
            self.take()?;
            let modifiers = self.modifiers()?;
            let right = if op == BinaryOp::Pow {
                self.nested(|parser| parser.binary(op.binding(), None))?
            } else {
                self.binary(op.binding() + 1, None)?
            };
            left = combine(op, modifiers, left, right)?;
        }
        Ok(left)
    }

    fn operand(&mut self) -> Result<Node, ParseError> {
        match *self.peek()? {
            TokenKind::Word("{") => self.log_operand(),
            TokenKind::Word("(") => self.parenthesised(),
            TokenKind::Number | TokenKind::Word("+" | "-") => self.literal(),
            TokenKind::RangeOp(op) => self.range_operand(op),
            TokenKind::VectorOp(op) => self.vector_aggregation(op),
            TokenKind::Word("vector") => self.vector_literal(),
            TokenKind::Word("label_replace") => self.label_replace(),
            _ => self.unexpected(&[]),
        }
    }

    fn log_operand(&mut self) -> Result<Node, ParseError> {
        Ok(Node { expr: Box::new(Expr::Log(self.log_query()?)), depth: 1 })
    }

    fn parenthesised(&mut self) -> Result<Node, ParseError> {
        self.take()?;
        let node = self.nested(|parser| parser.binary(0, None))?;
        self.demand(")", &[])?;
        Ok(node)
    }

    fn literal(&mut self) -> Result<Node, ParseError> {
        Ok(Node::metric(MetricExpr::Literal(self.signed_number()?), 1))
    }

    fn range_operand(&mut self, op: RangeOp) -> Result<Node, ParseError> {
        self.take()?;
        Ok(Node::metric(MetricExpr::Range(self.range_aggregation(op)?), 1))
    }

    fn vector_literal(&mut self) -> Result<Node, ParseError> {
        self.take()?;
        self.demand("(", &["("])?;
        let value = self.number()?;
        self.demand(")", &[")"])?;
        Ok(Node::metric(MetricExpr::VectorLiteral(value), 1))
    }

    /// An expression that gives numbers, inside a function; `left` was read already.
    fn inner(&mut self, left: Option<Node>) -> Result<Node, ParseError> {
        let node = self.nested(|parser| parser.binary(0, left))?;
        match *node.expr {
            Expr::Metric(_) => Ok(Node { depth: deeper(node.depth)?, ..node }),
            Expr::Log(_) => self.unexpected(&[]),
        }
    }

    fn vector_aggregation(&mut self, op: VectorOp) -> Result<Node, ParseError> {
        self.take()?;
        let mut grouping = self.grouping()?;
        self.demand("(", &["("])?;
        let (mut parameter, mut left) = (None, None);
        if *self.peek()? == TokenKind::Number {
            let number = self.take()?;
            if self.accept(",")? {
                parameter = Some(number);
            } else {
                left = Some(Node::metric(MetricExpr::Literal(number_value(&number)?), 1));
            }
        }
        let inner = self.inner(left)?;
        self.demand(")", &[])?;
        if grouping.is_none() {
            grouping = self.grouping()?;
        }
        let parameter = vector_parameter(op, parameter.as_ref(), grouping.as_ref())?;
        Ok(aggregate(op, parameter, inner, grouping))
    }

    fn label_replace(&mut self) -> Result<Node, ParseError> {
        self.take()?;
        self.demand("(", &["("])?;
        let inner = self.inner(None)?;
        self.demand(",", &[])?;
        let mut strings: [String; 4] = Default::default();
        for (i, string) in strings.iter_mut().enumerate() {
            if i > 0 {
                self.demand(",", &[","])?;
            }
            *string = self.demand_string(&["STRING"])?;
        }
        self.demand(")", &[")"])?;
        self.count_regex(&strings[3])?;
        check::label_replace(&strings[3])?;
        Ok(replace(inner, strings))
    }

    fn modifiers(&mut self) -> Result<Modifiers, ParseError> {
        let return_bool = self.accept("bool")?;
        let mut matching = VectorMatching { on: self.at("on")?, ..VectorMatching::default() };
        if matching.on || self.at("ignoring")? {
            self.take()?;
            matching.labels = self.label_list()?;
            matching.group = match self.word()? {
                Some("group_left") => MatchGroup::Left,
                Some("group_right") => MatchGroup::Right,
                _ => MatchGroup::OneToOne,
            };
            if matching.group != MatchGroup::OneToOne {
                self.take()?;
                if self.at("(")? {
                    matching.include = self.label_list()?;
                }
            }
        }
        Ok(Modifiers { return_bool, matching })
    }
}

fn aggregate(op: VectorOp, parameter: Option<u64>, inner: Node, grouping: Option<Grouping>) -> Node {
    // `by ()` is one group, as no grouping is.
    let grouping = grouping.filter(|grouping| grouping.without || !grouping.labels.is_empty());
    let depth = inner.depth;
    Node::metric(MetricExpr::Vector(VectorAggregation { op, parameter, inner: Box::new(inner.into_numbers()), grouping }), depth)
}

fn replace(inner: Node, [dst, replacement, src, regex]: [String; 4]) -> Node {
    let depth = inner.depth;
    let replace = LabelReplace { inner: inner.into_numbers(), dst, replacement, src, regex };
    Node::metric(MetricExpr::LabelReplace(Box::new(replace)), depth)
}

/// Refuses parameters and groupings that the function does not take; gives `k`.
fn vector_parameter(op: VectorOp, parameter: Option<&Token>, grouping: Option<&Grouping>) -> Result<Option<u64>, ParseError> {
    let refuse = |message: String| Err(ParseError::new(message));
    let value = match (op, parameter) {
        (VectorOp::Topk | VectorOp::Bottomk | VectorOp::ApproxTopk, Some(parameter)) => match parameter.text.parse::<i64>() {
            Err(_) => return refuse(format!("invalid parameter {op}({},", parameter.text)),
            Ok(..=0) => return refuse(format!("invalid parameter (must be greater than 0) {op}({}", parameter.text)),
            Ok(value) => Some(value.unsigned_abs()),
        },
        (VectorOp::Topk | VectorOp::Bottomk | VectorOp::ApproxTopk, None) => {
            return refuse(format!("parameter required for operation {op}"));
        }
        (_, Some(parameter)) => return refuse(format!("unsupported parameter for operation {op}({},", parameter.text)),
        (_, None) => None,
    };
    match op {
        VectorOp::ApproxTopk if grouping.is_some() => refuse(format!("grouping not allowed for {op} aggregation")),
        VectorOp::Sort | VectorOp::SortDesc if grouping.is_some_and(|grouping| !grouping.labels.is_empty()) => {
            refuse("sort and sort_desc doesn't allow grouping by ".to_owned())
        }
        _ => Ok(value),
    }
}

fn combine(op: BinaryOp, modifiers: Modifiers, left: Node, right: Node) -> Result<Node, ParseError> {
    let depth = deeper(left.depth.max(right.depth))?;
    let (left, right) = (numbers(op, "left", *left.expr)?, numbers(op, "right", *right.expr)?);
    if matches!(op, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless) {
        for (side, expr) in [("left", &left), ("right", &right)] {
            if let MetricExpr::Literal(value) = expr {
                let message = format!("unexpected literal for {side} leg of logical/set binary operation ({op}): {value:.6}");
                return Err(ParseError::new(message));
            }
        }
    }
    if let (MetricExpr::Literal(left), MetricExpr::Literal(right)) = (&left, &right) {
        return Ok(Node::metric(MetricExpr::Literal(fold(op, *left, *right)), 1));
    }
    let Modifiers { return_bool, matching } = modifiers;
    Ok(Node::metric(MetricExpr::Binary(Box::new(BinaryExpr { op, return_bool, matching, left, right })), depth))
}

/// Refuses a side that gives lines.
fn numbers(op: BinaryOp, side: &str, expr: Expr) -> Result<MetricExpr, ParseError> {
    let kind = match expr {
        Expr::Metric(expr) => return Ok(expr),
        Expr::Log(log) if log.stages.is_empty() => "MatchersExpr",
        Expr::Log(_) => "PipelineExpr",
    };
    Err(ParseError::new(format!("unexpected type for {side} leg of binary operation ({op}): *syntax.{kind}")))
}

fn deeper(depth: usize) -> Result<usize, ParseError> {
    if depth < METRIC_DEPTH_MAX {
        return Ok(depth + 1);
    }
    Err(ParseError::new(format!("query nests too deeply (limit {METRIC_DEPTH_MAX})")))
}

/// The value of an operator between two numbers. Division by zero gives NaN.
fn fold(op: BinaryOp, left: f64, right: f64) -> f64 {
    let truth = |holds: bool| if holds { 1.0 } else { 0.0 };
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Sub => left - right,
        BinaryOp::Mul => left * right,
        BinaryOp::Div | BinaryOp::Mod if right == 0.0 => f64::NAN,
        BinaryOp::Div => left / right,
        BinaryOp::Mod => left % right,
        BinaryOp::Pow => left.powf(right),
        BinaryOp::Equal => truth(left == right),
        BinaryOp::NotEqual => truth(left != right),
        BinaryOp::Greater => truth(left > right),
        BinaryOp::GreaterOrEqual => truth(left >= right),
        BinaryOp::Less => truth(left < right),
        BinaryOp::LessOrEqual => truth(left <= right),
        BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => unreachable!("set operators take no numbers"),
    }
}

fn binary_op(word: &str) -> Option<BinaryOp> {
    BinaryOp::ALL.into_iter().find(|op| op.name() == word)
}
