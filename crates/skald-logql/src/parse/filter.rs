//! Label filters.

use super::log::match_op;
use super::parser::Parser;
use super::token::{Token, TokenKind};
use super::{FILTER_DEPTH_MAX, ParseError, check};
use crate::ast::{CompareOp, LabelFilter, Matcher};
use crate::units::parse_float;

/// A condition and how deep it nests.
struct Filter {
    filter: LabelFilter,
    depth: usize,
}

/// The operator that waits for the right side which is read now.
#[derive(Clone, Copy, PartialEq)]
enum Waiting {
    /// A comma, a blank or none: takes all that follows.
    Nothing,
    Or,
    And,
}

impl Parser<'_> {
    /// One or more conditions. `and` binds tighter than `or`; a comma or a blank takes everything to its right as its right side.
    pub fn label_filter(&mut self) -> Result<LabelFilter, ParseError> {
        Ok(self.filter_chain(Waiting::Nothing, 1)?.filter)
    }

    fn filter_chain(&mut self, waiting: Waiting, level: usize) -> Result<Filter, ParseError> {
        if level > FILTER_DEPTH_MAX {
            return too_deep();
        }
        let mut left = self.condition(level)?;
        loop {
            let (is_and, right) = match self.peek()? {
                TokenKind::Identifier | TokenKind::Word("(") => (true, self.filter_chain(Waiting::Nothing, level + 1)?),
                TokenKind::Word(",") => {
                    self.take()?;
                    (true, self.filter_chain(Waiting::Nothing, level + 1)?)
                }
                TokenKind::Word("and") if waiting != Waiting::And => {
                    self.take()?;
                    (true, self.filter_chain(Waiting::And, level + 1)?)
                }
                TokenKind::Word("or") if waiting == Waiting::Nothing => {
                    self.take()?;
                    (false, self.filter_chain(Waiting::Or, level + 1)?)
                }
                _ => return Ok(left),
            };
            let depth = left.depth.max(right.depth) + 1;
            if depth > FILTER_DEPTH_MAX {
                return too_deep();
            }
            let (a, b) = (Box::new(left.filter), Box::new(right.filter));
            left = Filter { filter: if is_and { LabelFilter::And(a, b) } else { LabelFilter::Or(a, b) }, depth };
        }
    }

    fn condition(&mut self, level: usize) -> Result<Filter, ParseError> {
        if self.accept("(")? {
            let inner = self.filter_chain(Waiting::Nothing, level + 1)?;
            self.demand(")", &[])?;
            return Ok(inner);
        }
        let name = self.demand_identifier(&["IDENTIFIER", "("])?;
        Ok(Filter { filter: self.predicate(name)?, depth: 1 })
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
            check::matcher(&matcher)?;
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

fn too_deep<T>() -> Result<T, ParseError> {
    Err(ParseError::new(format!("label filter nests too deeply (limit {FILTER_DEPTH_MAX})")))
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
