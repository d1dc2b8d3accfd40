//! Text to tokens.

use super::token::{Flag, Position, RESERVED, Token, TokenKind, function};
use super::{ParseError, text};
use crate::units::{parse_duration, parse_go_duration, parse_size};

/// Operators and brackets, the longer ones first.
const SYMBOLS: [&str; 27] = [
    "|=", "|~", "|>", "!=", "!~", "!>", "=~", "==", ">=", "<=", "=", "{", "}", "]", ",", ".", "(", ")", "|", "<", ">", "+", "-", "*", "/",
    "%", "^",
];
const FLAGS: [(&str, Flag); 2] = [("--strict", Flag::Strict), ("--keep-empty", Flag::KeepEmpty)];

/// Reads one token after the other.
pub(super) struct Lexer<'a> {
    rest: &'a str,
    at: Position,
    whole_is_empty: bool,
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str) -> Self {
        let rest = text.strip_prefix('\u{feff}').unwrap_or(text);
        Lexer { rest, at: Position { line: 1, column: 1 }, whole_is_empty: text.is_empty() }
    }

    pub fn next(&mut self) -> Result<Token, ParseError> {
        self.skip_blanks()?;
        let at = self.at;
        let Some(first) = self.rest.chars().next() else {
            let at = if self.whole_is_empty { Position { line: 0, column: 0 } } else { at };
            return Ok(Token { kind: TokenKind::End, text: String::new(), at });
        };
        let before = self.rest;
        let kind = match first {
            '\0' => return Err(ParseError::at(at, "invalid character NUL")),
            '"' | '`' => self.string()?,
            '\'' => self.char_literal()?,
            '[' => self.range()?,
            c if c == '_' || c.is_alphabetic() => self.word(),
            c if c.is_ascii_digit() || (c == '.' && starts_with_digit(&self.rest[1..])) => self.number()?,
            '-' => self.minus(),
            _ => self.symbol(first),
        };
        let text = before[..before.len() - self.rest.len()].to_owned();
        let at = if kind.loses_line() { Position { line: 0, ..at } } else { at };
        Ok(Token { kind, text, at })
    }

    fn advance(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        for c in taken.chars() {
            if c == '\n' {
                self.at = Position { line: self.at.line + 1, column: 1 };
            } else {
                self.at.column += 1;
            }
        }
        self.rest = rest;
        taken
    }

    /// Blanks and comments.
    fn skip_blanks(&mut self) -> Result<(), ParseError> {
        loop {
            let blanks = self.rest.len() - self.rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
            self.advance(blanks);
            if self.rest.starts_with('#') || self.rest.starts_with("//") {
                self.advance(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                let end = self.rest[2..].find("*/").ok_or_else(|| ParseError::at(self.at, "comment not terminated"))?;
                self.advance(end + 4);
            } else if blanks == 0 {
                return Ok(());
            }
        }
    }

    fn string(&mut self) -> Result<TokenKind, ParseError> {
        let at = self.at;
        let (value, len) = text::read_string(self.rest).map_err(|message| ParseError::at(at, message))?;
        self.advance(len);
        Ok(TokenKind::String(value))
    }

    /// Single quotes around one character are a token that no rule takes; anything else is an error.
    fn char_literal(&mut self) -> Result<TokenKind, ParseError> {
        let (chars, len) = text::scan_quoted(self.rest, '\'').map_err(|message| ParseError::at(self.at, message))?;
        if chars != 1 {
            return Err(ParseError::at(self.at, "invalid char literal"));
        }
        self.advance(len);
        Ok(TokenKind::Stray)
    }

    fn range(&mut self) -> Result<TokenKind, ParseError> {
        let at = Position { line: 0, ..self.at };
        let end = self.rest.find(']').ok_or_else(|| ParseError::at(at, "missing closing ']' in duration"))?;
        let duration = parse_duration(&self.rest[1..end]).map_err(|err| ParseError::at(at, err.to_string()))?;
        self.advance(end + 1);
        Ok(TokenKind::Range(duration))
    }

    fn word(&mut self) -> TokenKind {
        let len = self.rest.find(|c: char| !is_word(c)).unwrap_or(self.rest.len());
        let word = self.advance(len).to_ascii_lowercase();
        if let Some(reserved) = RESERVED.into_iter().find(|reserved| *reserved == word) {
            return TokenKind::Word(reserved);
        }
        match function(&word) {
            Some(kind) if self.call_follows() => kind,
            _ => TokenKind::Identifier,
        }
    }

    /// Whether `(`, or a grouping and then `(`, comes next: only then is a function's name no label name.
    fn call_follows(&self) -> bool {
        let blanks = [' ', '\t', '\n', '\r'];
        let rest = self.rest.trim_start_matches(blanks);
        let word_len = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
        let word = &rest[..word_len];
        let is_grouping = word.eq_ignore_ascii_case("by") || word.eq_ignore_ascii_case("without");
        let rest = if is_grouping { rest[word_len..].trim_start_matches(blanks) } else { rest };
        rest.starts_with('(')
    }

    fn number(&mut self) -> Result<TokenKind, ParseError> {
        let len = text::scan_number(self.rest).map_err(|message| ParseError::at(self.at, message))?;
        if let Some((nanos, whole)) = duration_prefix(self.rest, len) {
            self.advance(whole);
            return Ok(TokenKind::Duration(nanos));
        }
        let run = run_len(&self.rest[len..], "BikKMGTP.");
        if run > 0
            && let Ok(bytes) = parse_size(&self.rest[..len + run])
        {
            self.advance(len + run);
            return Ok(TokenKind::Bytes(bytes));
        }
        self.advance(len);
        Ok(TokenKind::Number)
    }

    fn minus(&mut self) -> TokenKind {
        if starts_with_digit(&self.rest[1..])
            && let Some((nanos, whole)) = duration_prefix(self.rest, 1)
        {
            self.advance(whole);
            return TokenKind::Duration(nanos);
        }
        let flag = &self.rest[..self.rest.find(|c: char| !(is_word(c) || c == '-')).unwrap_or(self.rest.len())];
        if let Some((text, flag)) = FLAGS.into_iter().find(|(text, _)| *text == flag) {
            self.advance(text.len());
            return TokenKind::Flag(flag);
        }
        self.advance(1);
        TokenKind::Word("-")
    }

    fn symbol(&mut self, first: char) -> TokenKind {
        match SYMBOLS.into_iter().find(|symbol| self.rest.starts_with(symbol)) {
            Some(symbol) => {
                self.advance(symbol.len());
                TokenKind::Word(symbol)
            }
            None => {
                self.advance(first.len_utf8());
                TokenKind::Stray
            }
        }
    }
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn starts_with_digit(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
}

/// Bytes of `text` that are digits or in `alphabet`.
fn run_len(text: &str, alphabet: &str) -> usize {
    text.find(|c: char| !(c.is_numeric() || alphabet.contains(c))).unwrap_or(text.len())
}

/// The duration made of the first `len` bytes of `text` and all duration characters after them, with its length.
fn duration_prefix(text: &str, len: usize) -> Option<(i64, usize)> {
    let run = run_len(&text[len..], "nuµmshdwy.");
    if run == 0 {
        return None;
    }
    let whole = &text[..len + run];
    let nanos = match parse_duration(whole) {
        Ok(duration) => i64::try_from(duration.as_nanos()).ok()?,
        Err(_) => parse_go_duration(whole).ok()?,
    };
    Some((nanos, whole.len()))
}
