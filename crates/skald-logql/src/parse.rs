//! LogQL text to [`ast`](crate::ast): the whole grammar, checked, with Loki's error texts.

mod check;
mod filter;
mod lexer;
mod log;
mod metric;
mod parser;
mod pattern;
mod range;
mod text;
mod token;

use crate::ast::{Expr, Matcher};
use skald_model::ErrorKind;

/// Texts of this many bytes and more are refused.
pub const TEXT_BYTES_MAX: usize = 131_072;
/// How deep parentheses, functions and operators of a metric query may nest.
pub const METRIC_DEPTH_MAX: usize = 128;
/// How deep conditions of one label filter may nest; a chain of conditions nests as deep as it is long.
pub const FILTER_DEPTH_MAX: usize = 500;

/// Why a text is no query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parse error {place}: {message}", place = self.place())]
pub struct ParseError {
    /// Line from 1; 0 where none is known.
    pub line: usize,
    /// Column in characters from 1; 0 where none is known.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl ParseError {
    /// An error of the whole text.
    pub fn new(message: impl Into<String>) -> Self {
        ParseError { line: 0, column: 0, message: message.into() }
    }

    fn at(at: token::Position, message: impl Into<String>) -> Self {
        ParseError { line: at.line, column: at.column, message: message.into() }
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidInput
    }

    fn place(&self) -> String {
        match (self.line, self.column) {
            (0, 0) => String::new(),
            (line, column) => format!("at line {line}, col {column}"),
        }
    }
}

/// Reads a query.
///
/// What only compiling a stage can tell (the regular expression of a line filter, a template, an address, a path) is not checked here.
///
/// # Errors
/// The first thing wrong, in Loki's words.
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    if text.len() >= TEXT_BYTES_MAX {
        return Err(ParseError::new(format!("input size too long ({} > {TEXT_BYTES_MAX})", text.len())));
    }
    let mut parser = parser::Parser::new(text);
    let expr = parser.query()?;
    check::selectors(&expr)?;
    Ok(expr)
}

/// Reads a stream selector and nothing else; unlike in a query, any matchers will do.
///
/// # Errors
/// The first thing wrong, in Loki's words.
pub fn parse_matchers(text: &str) -> Result<Vec<Matcher>, ParseError> {
    if text.len() >= TEXT_BYTES_MAX {
        return Err(ParseError::new(format!("input size too long ({} > {TEXT_BYTES_MAX})", text.len())));
    }
    let mut parser = parser::Parser::new(text);
    let matchers = parser.selector()?;
    if *parser.peek()? == token::TokenKind::End { Ok(matchers) } else { parser.unexpected(&[]) }
}

#[cfg(test)]
mod tests;
