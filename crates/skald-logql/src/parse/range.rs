//! Range aggregations: `rate({…} | … [5m] offset 1h)`.

use super::log::Next;
use super::parser::Parser;
use super::token::TokenKind;
use super::{ParseError, check, filter};
use crate::ast::{Grouping, LogExpr, RangeAggregation, RangeOp, Unwrap};
use std::time::Duration;

/// A selector with all that can stand around its range.
struct LogRange {
    log: LogExpr,
    unwrap: Option<Unwrap>,
    range: Duration,
    offset_nanos: i64,
}

/// What stood in parentheses: whole with its range, or what the range after the parenthesis belongs to.
enum Inside {
    Whole(LogRange),
    Open(LogExpr, Option<Unwrap>),
}

impl Parser<'_> {
    /// What follows the function's name.
    pub fn range_aggregation(&mut self, op: RangeOp) -> Result<RangeAggregation, ParseError> {
        self.demand("(", &["("])?;
        let parameter = match self.peek()? {
            TokenKind::Number => {
                let value = filter::number_value(&self.take()?)?;
                self.demand(",", &[","])?;
                Some(value)
            }
            TokenKind::Word("{" | "(") => None,
            _ => return self.unexpected(&["NUMBER", "{", "("]),
        };
        let LogRange { log, unwrap, range, offset_nanos } = self.log_range()?;
        self.demand(")", &[")"])?;
        let grouping = self.grouping()?;
        let aggregation = RangeAggregation { op, parameter, log, unwrap, range, offset_nanos, grouping };
        check::range_aggregation(&aggregation)?;
        Ok(aggregation)
    }

    fn log_range(&mut self) -> Result<LogRange, ParseError> {
        match self.word()? {
            Some("(") => self.nested(Self::parenthesised_range),
            Some("{") => match self.inside_range(false)? {
                Inside::Whole(range) => Ok(range),
                Inside::Open(..) => self.unexpected(&[]),
            },
            _ => self.unexpected(&["{", "("]),
        }
    }

    fn parenthesised_range(&mut self) -> Result<LogRange, ParseError> {
        self.take()?;
        if self.at("(")? {
            let range = self.log_range()?;
            self.demand(")", &[")"])?;
            return Ok(range);
        }
        let (log, mut unwrap) = match self.inside_range(true)? {
            Inside::Whole(range) => {
                self.demand(")", &[")"])?;
                return Ok(range);
            }
            Inside::Open(log, unwrap) => (log, unwrap),
        };
        self.take()?;
        let Some(range) = self.accept_range()? else {
            return self.unexpected(&["RANGE"]);
        };
        let offset_nanos = self.offset()?;
        if log.stages.is_empty() && unwrap.is_none() && self.accept("|")? {
            self.demand("unwrap", &["unwrap"])?;
            unwrap = Some(self.unwrap()?);
        }
        Ok(LogRange { log, unwrap, range, offset_nanos })
    }

    /// From the selector on. In parentheses it may end before the closing one without a range.
    fn inside_range(&mut self, parenthesised: bool) -> Result<Inside, ParseError> {
        let matchers = self.selector()?;
        let early = match self.accept_range()? {
            Some(range) => Some((range, self.offset()?)),
            None => None,
        };
        let mut stages = Vec::new();
        let unwrap = loop {
            match self.stage(&mut stages, true)? {
                Next::Stage => {}
                Next::Unwrap => break Some(self.unwrap()?),
                Next::End => break None,
            }
        };
        let log = LogExpr { matchers, stages };
        if let Some((range, offset_nanos)) = early {
            return Ok(Inside::Whole(LogRange { log, unwrap, range, offset_nanos }));
        }
        if let Some(range) = self.accept_range()? {
            let offset_nanos = self.offset()?;
            return Ok(Inside::Whole(LogRange { log, unwrap, range, offset_nanos }));
        }
        match (parenthesised, unwrap) {
            (true, unwrap) if self.at(")")? => Ok(Inside::Open(log, unwrap)),
            (_, None) => self.unexpected(&[]),
            (true, Some(_)) => self.unexpected(&["RANGE", ")", "|"]),
            (false, Some(_)) => self.unexpected(&["RANGE", "|"]),
        }
    }

    fn accept_range(&mut self) -> Result<Option<Duration>, ParseError> {
        match *self.peek()? {
            TokenKind::Range(range) => {
                self.take()?;
                Ok(Some(range))
            }
            _ => Ok(None),
        }
    }

    fn offset(&mut self) -> Result<i64, ParseError> {
        if !self.accept("offset")? {
            return Ok(0);
        }
        match *self.peek()? {
            TokenKind::Duration(nanos) => {
                self.take()?;
                Ok(nanos)
            }
            _ => self.unexpected(&["DURATION"]),
        }
    }

    /// What follows `unwrap`.
    fn unwrap(&mut self) -> Result<Unwrap, ParseError> {
        let (label, conversion) = match *self.peek()? {
            TokenKind::Conversion(conversion) => {
                self.take()?;
                self.demand("(", &["("])?;
                let label = self.demand_identifier(&["IDENTIFIER"])?;
                self.demand(")", &[")"])?;
                (label, Some(conversion))
            }
            _ => (self.demand_identifier(&["IDENTIFIER", "BYTES_CONV", "DURATION_CONV", "DURATION_SECONDS_CONV"])?, None),
        };
        let mut filters = Vec::new();
        while self.accept("|")? {
            filters.push(self.label_filter()?);
        }
        Ok(Unwrap { label, conversion, filters })
    }

    /// `by (…)` or `without (…)`, if it comes next.
    pub fn grouping(&mut self) -> Result<Option<Grouping>, ParseError> {
        let without = self.at("without")?;
        if !without && !self.at("by")? {
            return Ok(None);
        }
        self.take()?;
        Ok(Some(Grouping { without, labels: self.label_list()? }))
    }

    /// `(a, b)`, perhaps empty.
    pub fn label_list(&mut self) -> Result<Vec<String>, ParseError> {
        self.demand("(", &["("])?;
        let mut labels = Vec::new();
        if self.accept(")")? {
            return Ok(labels);
        }
        let mut expecting: &[&str] = &["IDENTIFIER", ")"];
        loop {
            labels.push(self.demand_identifier(expecting)?);
            if self.accept(")")? {
                return Ok(labels);
            }
            self.demand(",", &[",", ")"])?;
            expecting = &["IDENTIFIER"];
        }
    }
}
