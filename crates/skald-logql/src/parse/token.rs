//! The words of LogQL and the names that errors give them.

use crate::ast::{Conversion, RangeOp, VectorOp};
use std::time::Duration;

/// A token and where it starts.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub kind: TokenKind,
    /// The text as written.
    pub text: String,
    pub at: Position,
}

/// Line and column that an error prints; both are zero at the start of an empty text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub line: usize,
    pub column: usize,
}

/// What a token is, with the value of those that have one.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    Identifier,
    /// A character that starts nothing; errors call it an identifier.
    Stray,
    String(String),
    Number,
    /// Nanoseconds.
    Duration(i64),
    Bytes(u64),
    Range(Duration),
    Flag(Flag),
    RangeOp(RangeOp),
    VectorOp(VectorOp),
    Conversion(Conversion),
    /// An operator, a bracket or a reserved word, by its text.
    Word(&'static str),
    End,
}

/// Options of `logfmt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flag {
    Strict,
    KeepEmpty,
}

impl TokenKind {
    /// The name of the token in errors.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Identifier | Self::Stray => "IDENTIFIER",
            Self::String(_) => "STRING",
            Self::Number => "NUMBER",
            Self::Duration(_) => "DURATION",
            Self::Bytes(_) => "BYTES",
            Self::Range(_) => "RANGE",
            Self::Flag(_) => "FUNCTION_FLAG",
            Self::RangeOp(op) => range_op_token(*op),
            Self::VectorOp(op) => vector_op_token(*op),
            Self::Conversion(Conversion::Bytes) => "BYTES_CONV",
            Self::Conversion(Conversion::Duration) => "DURATION_CONV",
            Self::Conversion(Conversion::DurationSeconds) => "DURATION_SECONDS_CONV",
            Self::Word("vector") => "VECTOR",
            Self::Word(word) => word,
            Self::End => "$end",
        }
    }

    /// Whether errors at this token lose their line: a token put together from several base tokens.
    pub fn loses_line(&self) -> bool {
        match self {
            Self::Duration(_) | Self::Bytes(_) | Self::Range(_) | Self::Flag(_) => true,
            Self::Word(word) => matches!(*word, "|=" | "|~" | "|>" | "!=" | "!~" | "!>" | "=~" | "==" | ">=" | "<="),
            Self::Identifier | Self::Stray | Self::String(_) | Self::Number | Self::End => false,
            Self::RangeOp(_) | Self::VectorOp(_) | Self::Conversion(_) => false,
        }
    }
}

fn range_op_token(op: RangeOp) -> &'static str {
    match op {
        RangeOp::Rate => "RATE",
        RangeOp::RateCounter => "RATE_COUNTER",
        RangeOp::CountOverTime => "COUNT_OVER_TIME",
        RangeOp::BytesRate => "BYTES_RATE",
        RangeOp::BytesOverTime => "BYTES_OVER_TIME",
        RangeOp::AvgOverTime => "AVG_OVER_TIME",
        RangeOp::SumOverTime => "SUM_OVER_TIME",
        RangeOp::MinOverTime => "MIN_OVER_TIME",
        RangeOp::MaxOverTime => "MAX_OVER_TIME",
        RangeOp::StdvarOverTime => "STDVAR_OVER_TIME",
        RangeOp::StddevOverTime => "STDDEV_OVER_TIME",
        RangeOp::QuantileOverTime => "QUANTILE_OVER_TIME",
        RangeOp::FirstOverTime => "FIRST_OVER_TIME",
        RangeOp::LastOverTime => "LAST_OVER_TIME",
        RangeOp::AbsentOverTime => "ABSENT_OVER_TIME",
    }
}

fn vector_op_token(op: VectorOp) -> &'static str {
    match op {
        VectorOp::Sum => "SUM",
        VectorOp::Avg => "AVG",
        VectorOp::Min => "MIN",
        VectorOp::Max => "MAX",
        VectorOp::Count => "COUNT",
        VectorOp::Stddev => "STDDEV",
        VectorOp::Stdvar => "STDVAR",
        VectorOp::Topk => "TOPK",
        VectorOp::Bottomk => "BOTTOMK",
        VectorOp::ApproxTopk => "APPROX_TOPK",
        VectorOp::Sort => "SORT",
        VectorOp::SortDesc => "SORT_DESC",
    }
}

/// Words that are never label names.
pub(super) const RESERVED: [&str; 22] = [
    "by",
    "without",
    "bool",
    "offset",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "or",
    "and",
    "unless",
    "json",
    "logfmt",
    "regexp",
    "pattern",
    "unpack",
    "line_format",
    "label_format",
    "decolorize",
    "drop",
    "keep",
    "unwrap",
];

/// The function that a lower-case word names when a parenthesis or a grouping follows.
pub(super) fn function(word: &str) -> Option<TokenKind> {
    if let Some(op) = RangeOp::ALL.into_iter().find(|op| op.name() == word) {
        return Some(TokenKind::RangeOp(op));
    }
    if let Some(op) = VectorOp::ALL.into_iter().find(|op| op.name() == word) {
        return Some(TokenKind::VectorOp(op));
    }
    Some(match word {
        "bytes" => TokenKind::Conversion(Conversion::Bytes),
        "duration" => TokenKind::Conversion(Conversion::Duration),
        "duration_seconds" => TokenKind::Conversion(Conversion::DurationSeconds),
        "vector" => TokenKind::Word("vector"),
        "label_replace" => TokenKind::Word("label_replace"),
        "ip" => TokenKind::Word("ip"),
        _ => return None,
    })
}
