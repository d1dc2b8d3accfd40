//! Selectors and pipelines.

use super::parser::Parser;
use super::token::{Flag, TokenKind};
use super::{ParseError, check, pattern};
use crate::ast::{Extraction, LabelFormat, LineFilter, LineOp, LineOperand, LogExpr, MatchOp, Matcher, NamedOrMatcher, Stage};

const MATCH_OPS: [&str; 4] = ["=", "=~", "!~", "!="];
const OPERANDS: [&str; 2] = ["STRING", "ip"];

/// What [`Parser::stage`] read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Stage,
    /// `| unwrap`; what it unwraps comes next.
    Unwrap,
    /// Nothing.
    End,
}

impl Parser<'_> {
    /// A selector and all stages after it.
    pub fn log_query(&mut self) -> Result<LogExpr, ParseError> {
        let matchers = self.selector()?;
        let mut stages = Vec::new();
        while self.stage(&mut stages, false)? == Next::Stage {}
        Ok(LogExpr { matchers, stages })
    }

    pub fn selector(&mut self) -> Result<Vec<Matcher>, ParseError> {
        self.demand("{", &["{"])?;
        let mut matchers = Vec::new();
        if self.accept("}")? {
            return Ok(matchers);
        }
        let mut expecting: &[&str] = &["IDENTIFIER", "}"];
        loop {
            let name = self.demand_identifier(expecting)?;
            matchers.push(self.matcher(name)?);
            if self.accept("}")? {
                return Ok(matchers);
            }
            self.demand(",", &["}", ","])?;
            expecting = &["IDENTIFIER"];
        }
    }

    /// What follows a name in a matcher.
    fn matcher(&mut self, name: String) -> Result<Matcher, ParseError> {
        let Some(op) = self.word()?.and_then(match_op) else {
            return self.unexpected(&MATCH_OPS);
        };
        self.take()?;
        let value = self.demand_string(&["STRING"])?;
        let matcher = Matcher { name, op, value };
        self.check_matcher(&matcher)?;
        Ok(matcher)
    }

    /// Refuses a matcher with a bad regular expression.
    pub fn check_matcher(&mut self, matcher: &Matcher) -> Result<(), ParseError> {
        if matches!(matcher.op, MatchOp::Regex | MatchOp::NotRegex) {
            self.count_regex(&matcher.value)?;
            check::matcher_regex(&matcher.value)?;
        }
        Ok(())
    }

    /// Adds the next stage to `stages`, if one comes. `| unwrap` is taken as such only inside a range.
    pub fn stage(&mut self, stages: &mut Vec<Stage>, in_range: bool) -> Result<Next, ParseError> {
        if let Some(op) = self.word()?.and_then(line_op) {
            self.take()?;
            self.line_filter(op, stages)?;
            return Ok(Next::Stage);
        }
        if !self.accept("|")? {
            return Ok(Next::End);
        }
        if in_range && self.accept("unwrap")? {
            return Ok(Next::Unwrap);
        }
        let stage = self.piped_stage()?;
        stages.push(stage);
        Ok(Next::Stage)
    }

    fn line_filter(&mut self, op: LineOp, stages: &mut Vec<Stage>) -> Result<(), ParseError> {
        let mut operands = vec![self.line_operand(op)?];
        while self.accept("or")? {
            operands.push(self.line_operand(op)?);
        }
        if matches!(op, LineOp::NotContains | LineOp::NotRegex | LineOp::NotPattern) {
            stages.extend(operands.into_iter().map(|operand| Stage::LineFilter(LineFilter { op, operands: vec![operand] })));
        } else {
            stages.push(Stage::LineFilter(LineFilter { op, operands }));
        }
        Ok(())
    }

    fn line_operand(&mut self, op: LineOp) -> Result<LineOperand, ParseError> {
        if self.accept("ip")? {
            return Ok(LineOperand::Ip(self.ip_argument()?));
        }
        let text = self.demand_string(&OPERANDS)?;
        if matches!(op, LineOp::Regex | LineOp::NotRegex) {
            self.count_regex(&text)?;
        }
        Ok(LineOperand::Text(text))
    }

    /// What follows `ip`.
    pub fn ip_argument(&mut self) -> Result<String, ParseError> {
        self.demand("(", &["("])?;
        let address = self.demand_string(&["STRING"])?;
        self.demand(")", &[")"])?;
        Ok(address)
    }

    /// What follows a `|`.
    fn piped_stage(&mut self) -> Result<Stage, ParseError> {
        let word = match self.peek()? {
            TokenKind::Identifier | TokenKind::Word("(") => return Ok(Stage::LabelFilter(self.label_filter()?)),
            TokenKind::Word(word) => *word,
            _ => return self.unexpected(&[]),
        };
        if !matches!(
            word,
            "json" | "logfmt" | "regexp" | "pattern" | "unpack" | "line_format" | "label_format" | "decolorize" | "drop" | "keep"
        ) {
            return self.unexpected(&[]);
        }
        self.take()?;
        Ok(match word {
            "json" => Stage::Json(self.extractions()?),
            "logfmt" => self.logfmt()?,
            "regexp" => {
                let regexp = self.demand_string(&["STRING"])?;
                self.count_regex(&regexp)?;
                check::regexp_stage(&regexp)?;
                Stage::Regexp(regexp)
            }
            "pattern" => {
                let text = self.demand_string(&["STRING"])?;
                pattern::check(&text).map_err(|cause| ParseError::new(format!("invalid pattern parser: {cause}")))?;
                Stage::Pattern(text)
            }
            "unpack" => Stage::Unpack,
            "line_format" => Stage::LineFormat(self.demand_string(&["STRING"])?),
            "label_format" => Stage::LabelFormat(self.list(Self::label_format)?),
            "decolorize" => Stage::Decolorize,
            "drop" => Stage::Drop(self.list(Self::named)?),
            _ => Stage::Keep(self.list(Self::named)?),
        })
    }

    /// One or more items with commas between.
    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Result<T, ParseError>) -> Result<Vec<T>, ParseError> {
        let mut items = vec![item(self)?];
        while self.accept(",")? {
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn logfmt(&mut self) -> Result<Stage, ParseError> {
        let (mut strict, mut keep_empty) = (false, false);
        while let TokenKind::Flag(flag) = self.peek()? {
            match flag {
                Flag::Strict => strict = true,
                Flag::KeepEmpty => keep_empty = true,
            }
            self.take()?;
        }
        Ok(Stage::Logfmt { strict, keep_empty, extractions: self.extractions()? })
    }

    fn extractions(&mut self) -> Result<Vec<Extraction>, ParseError> {
        if *self.peek()? != TokenKind::Identifier {
            return Ok(Vec::new());
        }
        self.list(|parser| {
            let name = parser.demand_identifier(&["IDENTIFIER"])?;
            let expression = if parser.accept("=")? { parser.demand_string(&["STRING"])? } else { name.clone() };
            Ok(Extraction { name, expression })
        })
    }

    fn label_format(&mut self) -> Result<LabelFormat, ParseError> {
        let dst = self.demand_identifier(&["IDENTIFIER"])?;
        self.demand("=", &["="])?;
        match self.peek()? {
            TokenKind::Identifier => Ok(LabelFormat::Rename { dst, src: self.take()?.text }),
            _ => Ok(LabelFormat::Template { dst, template: self.demand_string(&["IDENTIFIER", "STRING"])? }),
        }
    }

    fn named(&mut self) -> Result<NamedOrMatcher, ParseError> {
        let name = self.demand_identifier(&["IDENTIFIER"])?;
        match self.word()?.and_then(match_op) {
            Some(_) => Ok(NamedOrMatcher::Matcher(self.matcher(name)?)),
            None => Ok(NamedOrMatcher::Name(name)),
        }
    }
}

pub(super) fn match_op(word: &str) -> Option<MatchOp> {
    Some(match word {
        "=" => MatchOp::Equal,
        "!=" => MatchOp::NotEqual,
        "=~" => MatchOp::Regex,
        "!~" => MatchOp::NotRegex,
        _ => return None,
    })
}

fn line_op(word: &str) -> Option<LineOp> {
    Some(match word {
        "|=" => LineOp::Contains,
        "!=" => LineOp::NotContains,
        "|~" => LineOp::Regex,
        "!~" => LineOp::NotRegex,
        "|>" => LineOp::Pattern,
        "!>" => LineOp::NotPattern,
        _ => return None,
    })
}
