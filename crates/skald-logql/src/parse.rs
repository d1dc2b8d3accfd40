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

/// Why a text is no plain selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MatchersError {
    /// Not even a query.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A query that does more than select streams.
    #[error("only label matchers are supported")]
    NotMatchers,
}

impl MatchersError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Parse(err) => err.kind(),
            Self::NotMatchers => ErrorKind::InvalidInput,
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
    let expr = read(text)?;
    check::selectors(&expr)?;
    Ok(expr)
}

/// Reads a selector without stages. With `allow_all` it may mean every stream, as `{}` does.
///
/// # Errors
/// As [`parse`], or that there is more than a selector.
pub fn parse_matchers(text: &str, allow_all: bool) -> Result<Vec<Matcher>, MatchersError> {
    let expr = read(text)?;
    if !allow_all {
        check::selectors(&expr)?;
    }
    match expr {
        Expr::Log(log) if log.stages.is_empty() => Ok(log.matchers),
        Expr::Log(_) | Expr::Metric(_) => Err(MatchersError::NotMatchers),
    }
}

/// Reads a query whose selectors may mean every stream.
pub(crate) fn read(text: &str) -> Result<Expr, ParseError> {
    if text.len() >= TEXT_BYTES_MAX {
        return Err(ParseError::new(format!("input size too long ({} > {TEXT_BYTES_MAX})", text.len())));
    }
    parser::Parser::new(text).query()
}

#[cfg(test)]
mod tests;
