//! Label filters.

use super::log::match_op;
use super::parser::Parser;
use super::token::{Token, TokenKind};
use super::{FILTER_DEPTH_MAX, ParseError};
use crate::ast::{CompareOp, LabelFilter, Matcher};
use crate::units::parse_float;

/// A condition and how deep it nests.
struct Filter {
    filter: LabelFilter,
    depth: usize,
}

/// What stands between two conditions.
#[derive(Clone, Copy, PartialEq)]
enum Joint {
    /// A comma, or nothing: takes all that follows as its right side.
    Comma,
    Or,
    And,
}

/// What waits for its end.
enum Waiting {
    Parenthesis,
    /// A left side for its right side.
    Left(Filter, Joint),
}

impl Parser<'_> {
    /// One or more conditions. `and` binds tighter than `or`; a comma or a blank takes everything to its right as its right side.
    pub fn label_filter(&mut self) -> Result<LabelFilter, ParseError> {
        let (mut waiting, mut open) = (Vec::new(), 0);
        loop {
            while self.accept("(")? {
                waiting.push(Waiting::Parenthesis);
                open += 1;
            }
            let name = self.demand_identifier(&["IDENTIFIER", "("])?;
            let mut filter = Filter { filter: self.predicate(name)?, depth: 1 };
            while open > 0 && self.accept(")")? {
                open -= 1;
                filter = join(&mut waiting, filter, &[Joint::And, Joint::Or, Joint::Comma])?;
                waiting.pop();
            }
            let (joint, before) = match self.peek()? {
                TokenKind::Identifier | TokenKind::Word("(") => (Joint::Comma, &[][..]),
                TokenKind::Word(",") => (Joint::Comma, &[][..]),
                TokenKind::Word("and") => (Joint::And, &[Joint::And][..]),
                TokenKind::Word("or") => (Joint::Or, &[Joint::And, Joint::Or][..]),
                _ => break self.finish(waiting, filter),
            };
            if matches!(self.word()?, Some("," | "and" | "or")) {
                self.take()?;
            }
            let left = join(&mut waiting, filter, before)?;
            waiting.push(Waiting::Left(left, joint));
        }
    }

    fn finish(&mut self, mut waiting: Vec<Waiting>, last: Filter) -> Result<LabelFilter, ParseError> {
        let whole = join(&mut waiting, last, &[Joint::And, Joint::Or, Joint::Comma])?;
        if waiting.is_empty() { Ok(whole.filter) } else { self.unexpected(&[]) }
    }

    /// What follows the name in a condition.
    fn predicate(&mut self, name: String) -> Result<LabelFilter, ParseError> {
        let Some(word) = self.word()? else {
            return self.unexpected(&[]);
        };
        let (text_op, number_op) = (match_op(word), compare_op(word));
        if text_op.is_none() && number_op.is_none() {
            return self.unexpected(&[]);
        }
        self.take()?;
        if let (Some(op), TokenKind::String(_)) = (text_op, self.peek()?) {
            let matcher = Matcher { name, op, value: self.demand_string(&["STRING"])? };
            self.check_matcher(&matcher)?;
            return Ok(LabelFilter::Text(matcher));
        }
        let Some(op) = number_op else {
            return self.unexpected(&["STRING"]);
        };
        if text_op.is_some() && self.accept("ip")? {
            return Ok(LabelFilter::Ip { name, negated: op == CompareOp::NotEqual, pattern: self.ip_argument()? });
        }
        match *self.peek()? {
            TokenKind::Duration(nanos) => {
                self.take()?;
                Ok(LabelFilter::Duration { name, op, nanos })
            }
            TokenKind::Bytes(bytes) => {
                self.take()?;
                Ok(LabelFilter::Bytes { name, op, bytes })
            }
            TokenKind::Number | TokenKind::Word("+" | "-") => Ok(LabelFilter::Number { name, op, value: self.signed_number()? }),
            _ => self.unexpected(&[]),
        }
    }

    /// A number with an optional sign.
    pub fn signed_number(&mut self) -> Result<f64, ParseError> {
        let negative = self.at("-")?;
        if negative || self.at("+")? {
            self.take()?;
        }
        let value = self.number()?;
        Ok(if negative { -value } else { value })
    }

    pub fn number(&mut self) -> Result<f64, ParseError> {
        match self.peek()? {
            TokenKind::Number => number_value(&self.take()?),
            _ => self.unexpected(&["NUMBER"]),
        }
    }
}

pub(super) fn number_value(token: &Token) -> Result<f64, ParseError> {
    parse_float(&token.text).map_err(|err| ParseError::new(format!("unable to parse literal as a float: {err}")))
}

/// Makes `right` the right side of those that wait for one, back to the first that is not among `joints`.
fn join(waiting: &mut Vec<Waiting>, mut right: Filter, joints: &[Joint]) -> Result<Filter, ParseError> {
    while let Some(Waiting::Left(left, joint)) = waiting.pop_if(|last| matches!(last, Waiting::Left(_, joint) if joints.contains(joint))) {
        let depth = left.depth.max(right.depth) + 1;
        if depth > FILTER_DEPTH_MAX {
            return Err(ParseError::new(format!("label filter nests too deeply (limit {FILTER_DEPTH_MAX})")));
        }
        let (left, right_side) = (Box::new(left.filter), Box::new(right.filter));
        let filter = if joint == Joint::Or { LabelFilter::Or(left, right_side) } else { LabelFilter::And(left, right_side) };
        right = Filter { filter, depth };
    }
    Ok(right)
}

fn compare_op(word: &str) -> Option<CompareOp> {
    Some(match word {
        "=" | "==" => CompareOp::Equal,
        "!=" => CompareOp::NotEqual,
        ">" => CompareOp::Greater,
        ">=" => CompareOp::GreaterOrEqual,
        "<" => CompareOp::Less,
        "<=" => CompareOp::LessOrEqual,
        _ => return None,
    })
}
