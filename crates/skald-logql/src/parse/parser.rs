//! The token stream, and what every rule needs of it.

use super::lexer::Lexer;
use super::token::{Token, TokenKind};
use super::{METRIC_DEPTH_MAX, ParseError};
use crate::regex::{self, RegexError};

/// Reads rules from tokens. One token is looked at before it is taken.
///
/// Errors name the tokens that could stand at the place instead. A rule gives those names where it demands one of few; a rule that can
/// end, or that more than four tokens could continue, leaves them out.
pub(super) struct Parser<'a> {
    lexer: Lexer<'a>,
    ahead: Option<Token>,
    depth: usize,
    /// Wide classes in all regular expressions so far.
    wide_classes: usize,
    /// What all regular expressions so far cost to compile.
    regex_cost: usize,
}

impl<'a> Parser<'a> {
    pub fn new(text: &'a str) -> Self {
        Parser { lexer: Lexer::new(text), ahead: None, depth: 0, wide_classes: 0, regex_cost: 0 }
    }

    pub fn peek(&mut self) -> Result<&TokenKind, ParseError> {
        if self.ahead.is_none() {
            self.ahead = Some(self.lexer.next()?);
        }
        Ok(&self.ahead.as_ref().expect("just filled").kind)
    }

    pub fn take(&mut self) -> Result<Token, ParseError> {
        match self.ahead.take() {
            Some(token) => Ok(token),
            None => self.lexer.next(),
        }
    }

    /// Whether the next token is `word`.
    pub fn at(&mut self, word: &str) -> Result<bool, ParseError> {
        Ok(matches!(self.peek()?, TokenKind::Word(next) if *next == word))
    }

    /// The next token if it is an operator, a bracket or a reserved word.
    pub fn word(&mut self) -> Result<Option<&'static str>, ParseError> {
        Ok(match self.peek()? {
            TokenKind::Word(word) => Some(word),
            _ => None,
        })
    }

    /// Takes `word` if it comes next.
    pub fn accept(&mut self, word: &str) -> Result<bool, ParseError> {
        let found = self.at(word)?;
        if found {
            self.take()?;
        }
        Ok(found)
    }

    /// Takes `word`, or fails with `expecting`.
    pub fn demand(&mut self, word: &str, expecting: &[&str]) -> Result<(), ParseError> {
        if self.accept(word)? { Ok(()) } else { self.unexpected(expecting) }
    }

    pub fn demand_identifier(&mut self, expecting: &[&str]) -> Result<String, ParseError> {
        match self.peek()? {
            TokenKind::Identifier => Ok(self.take()?.text),
            _ => self.unexpected(expecting),
        }
    }

    pub fn demand_string(&mut self, expecting: &[&str]) -> Result<String, ParseError> {
        match self.peek()? {
            TokenKind::String(_) => match self.take()?.kind {
                TokenKind::String(value) => Ok(value),
                _ => unreachable!("the token was looked at"),
            },
            _ => self.unexpected(expecting),
        }
    }

    /// The error of a next token that cannot stand here.
    pub fn unexpected<T>(&mut self, expecting: &[&str]) -> Result<T, ParseError> {
        self.peek()?;
        let token = self.ahead.as_ref().expect("just looked at");
        let mut message = format!("syntax error: unexpected {}", token.kind.name());
        for (i, name) in expecting.iter().enumerate() {
            message.push_str(if i == 0 { ", expecting " } else { " or " });
            message.push_str(name);
        }
        Err(ParseError::at(token.at, message))
    }

    /// Counts what a regular expression costs to read and to compile, and refuses a query of many dear ones.
    pub fn count_regex(&mut self, pattern: &str) -> Result<(), ParseError> {
        self.wide_classes += regex::wide_classes(pattern);
        if self.wide_classes <= regex::WIDE_CLASSES_MAX {
            self.regex_cost = self.regex_cost.saturating_add(regex::cost(pattern));
            if self.regex_cost <= regex::COST_MAX {
                return Ok(());
            }
        }
        Err(ParseError::new(RegexError::TooLarge(pattern.to_owned()).to_string()))
    }

    /// Runs `rule` one level deeper.
    pub fn nested<T>(&mut self, rule: impl FnOnce(&mut Self) -> Result<T, ParseError>) -> Result<T, ParseError> {
        if self.depth == METRIC_DEPTH_MAX {
            return Err(ParseError::new(format!("query nests too deeply (limit {METRIC_DEPTH_MAX})")));
        }
        self.depth += 1;
        let result = rule(self);
        self.depth -= 1;
        result
    }
}
