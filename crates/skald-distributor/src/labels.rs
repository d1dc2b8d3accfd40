//! The text of a stream's labels: `{name="value", …}` as Prometheus writes a series.

/// Why a text is not a label set. Says where (line and column, from 1), in Prometheus' words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: parse error: {message}")]
pub struct LabelsParseError {
    line: usize,
    column: usize,
    message: String,
}

/// Names and values in the order of the text; a name may come twice, a value may be empty.
///
/// # Errors
/// See [`LabelsParseError`].
pub fn parse_labels(text: &str) -> Result<Vec<(String, String)>, LabelsParseError> {
    Parser { lexer: Lexer { text, at: 0, inside: false }, pairs: Vec::new() }.run()
}

const METRIC_NAME: &str = "__name__";

#[derive(Debug, PartialEq)]
enum Token<'a> {
    LeftBrace,
    RightBrace,
    Comma,
    Equals,
    /// Any other operator of matchers.
    Operator(&'a str),
    Identifier(&'a str),
    /// What a quoted string says, and how it was written.
    Text(String, &'a str),
    End,
}

impl Token<'_> {
    fn describe(&self) -> String {
        match self {
            Token::LeftBrace => "\"{\"".to_owned(),
            Token::RightBrace => "\"}\"".to_owned(),
            Token::Comma => "\",\"".to_owned(),
            Token::Equals => "\"=\"".to_owned(),
            Token::Operator(text) => format!("\"{text}\""),
            Token::Identifier(name) => format!("identifier \"{name}\""),
            Token::Text(_, written) => format!("string {}", quoted(written)),
            Token::End => "end of input".to_owned(),
        }
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    skald_model::quote(&mut out, text);
    out
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    pairs: Vec<(String, String)>,
}

impl Parser<'_> {
    fn run(mut self) -> Result<Vec<(String, String)>, LabelsParseError> {
        let (mut at, mut token) = self.lexer.next()?;
        if let Token::Identifier(name) = token {
            self.pairs.push((METRIC_NAME.to_owned(), name.to_owned()));
            (at, token) = self.lexer.next()?;
        }
        match token {
            Token::LeftBrace => self.set()?,
            Token::End if !self.pairs.is_empty() => return Ok(self.pairs),
            other => return Err(self.lexer.error(at, format!("unexpected {}", other.describe()))),
        }
        match self.lexer.next()? {
            (_, Token::End) => Ok(self.pairs),
            (at, other) => Err(self.lexer.error(at, format!("unexpected {}", other.describe()))),
        }
    }

    /// What follows the left brace, up to the right one.
    fn set(&mut self) -> Result<(), LabelsParseError> {
        loop {
            let (name, is_quoted) = match self.lexer.next()? {
                (_, Token::RightBrace) => return Ok(()),
                (_, Token::Identifier(name)) => (name.to_owned(), false),
                (_, Token::Text(name, _)) => (name, true),
                (at, other) => return Err(self.expected(at, &other, "identifier or \"}\"")),
            };
            let (at, token) = self.lexer.next()?;
            let (at, after) = match token {
                Token::Equals => {
                    match self.lexer.next()? {
                        (_, Token::Text(value, _)) => self.pairs.push((name, value)),
                        (at, other) => return Err(self.expected(at, &other, "string")),
                    }
                    self.lexer.next()?
                }
                // A quoted name by itself is the metric's.
                Token::Comma | Token::RightBrace if is_quoted => {
                    self.pairs.push((METRIC_NAME.to_owned(), name));
                    (at, token)
                }
                other => return Err(self.expected(at, &other, "\"=\"")),
            };
            match after {
                Token::Comma => {}
                Token::RightBrace => return Ok(()),
                other => return Err(self.expected(at, &other, "\",\" or \"}\"")),
            }
        }
    }

    fn expected(&self, at: usize, found: &Token<'_>, wanted: &str) -> LabelsParseError {
        self.lexer.error(at, format!("unexpected {} in label set, expected {wanted}", found.describe()))
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    inside: bool,
}

impl<'a> Lexer<'a> {
    /// The next token and where it begins.
    fn next(&mut self) -> Result<(usize, Token<'a>), LabelsParseError> {
        let rest = self.text[self.at..].trim_start_matches([' ', '\t', '\n', '\r']);
        let start = self.text.len() - rest.len();
        let Some(first) = rest.chars().next() else {
            self.at = start;
            return if self.inside { Err(self.error(start, "unexpected end of input inside braces")) } else { Ok((start, Token::End)) };
        };
        let one = |token| (token, first.len_utf8());
        let (token, len) = match first {
            'a'..='z' | 'A'..='Z' | '_' => self.identifier(rest),
            ':' if !self.inside => self.identifier(rest),
            '{' if !self.inside => one(Token::LeftBrace),
            '{' => return Err(self.error(start, "unexpected left brace '{'")),
            '}' => one(Token::RightBrace),
            ',' if self.inside => one(Token::Comma),
            '=' if rest.starts_with("=~") => (Token::Operator("=~"), 2),
            '=' => one(Token::Equals),
            '!' if rest.starts_with("!=") || rest.starts_with("!~") => (Token::Operator(&rest[..2]), 2),
            '"' | '\'' | '`' if self.inside => self.string(start, first)?,
            other if self.inside => return Err(self.error(start, format!("unexpected character inside braces: '{other}'"))),
            other => return Err(self.error(start, format!("unexpected character: '{other}'"))),
        };
        match token {
            Token::LeftBrace => self.inside = true,
            Token::RightBrace => self.inside = false,
            _ => {}
        }
        self.at = start + len;
        Ok((start, token))
    }

    fn identifier(&self, rest: &'a str) -> (Token<'a>, usize) {
        let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || (c == ':' && !self.inside);
        let len = rest.find(|c| !part(c)).unwrap_or(rest.len());
        (Token::Identifier(&rest[..len]), len)
    }

    /// The string that begins at `start` with the mark `quote`, and its length with both marks.
    fn string(&self, start: usize, quote: char) -> Result<(Token<'a>, usize), LabelsParseError> {
        let body = &self.text[start + 1..];
        let unterminated = if quote == '`' { "unterminated raw string" } else { "unterminated quoted string" };
        let mut value = Vec::new();
        let mut chars = body.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    let written = &self.text[start..start + at + 2];
                    let value =
                        String::from_utf8(value).map_err(|_| self.error(start, format!("{} is not valid UTF-8", quoted(written))))?;
                    return Ok((Token::Text(value, written), written.len()));
                }
                '\\' if quote != '`' => {
                    let escape = unescape(&body[at + 1..], quote).ok_or_else(|| self.error(start, "invalid escape in quoted string"))?;
                    value.extend_from_slice(escape.bytes.as_bytes());
                    // All escapes are ASCII: as many characters as bytes.
                    chars.nth(escape.len - 1);
                }
                '\n' if quote != '`' => break,
                c => value.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        Err(self.error(start, unterminated))
    }

    fn error(&self, at: usize, message: impl Into<String>) -> LabelsParseError {
        let before = &self.text[..at];
        let line = before.matches('\n').count() + 1;
        let column = at - before.rfind('\n').map_or(0, |newline| newline + 1) + 1;
        LabelsParseError { line, column, message: message.into() }
    }
}

struct Escape {
    bytes: EscapeBytes,
    /// Bytes of the escape behind the backslash.
    len: usize,
}

enum EscapeBytes {
    /// One byte of UTF-8, or all of it for ASCII.
    Byte([u8; 1]),
    Char(String),
}

impl EscapeBytes {
    fn as_bytes(&self) -> &[u8] {
        match self {
            EscapeBytes::Byte(byte) => byte,
            EscapeBytes::Char(text) => text.as_bytes(),
        }
    }
}

/// What a backslash and the beginning of `rest` stand for, by Go's rules for string literals.
fn unescape(rest: &str, quote: char) -> Option<Escape> {
    let first = rest.chars().next()?;
    let byte = |byte, len| Some(Escape { bytes: EscapeBytes::Byte([byte]), len });
    let code = |digits: usize| {
        let digits = rest.get(1..1 + digits).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
        u32::from_str_radix(digits, 16).ok()
    };
    let unicode = |digits| Some(Escape { bytes: EscapeBytes::Char(char::from_u32(code(digits)?)?.to_string()), len: digits + 1 });
    match first {
        'a' => byte(0x07, 1),
        'b' => byte(0x08, 1),
        'f' => byte(0x0c, 1),
        'n' => byte(b'\n', 1),
        'r' => byte(b'\r', 1),
        't' => byte(b'\t', 1),
        'v' => byte(0x0b, 1),
        '\\' => byte(b'\\', 1),
        c if c == quote => byte(c as u8, 1),
        'x' => byte(code(2)? as u8, 3),
        'u' => unicode(4),
        'U' => unicode(8),
        '0'..='7' => {
            let digits = rest.get(..3).filter(|digits| digits.bytes().all(|b| (b'0'..=b'7').contains(&b)))?;
            byte(u8::from_str_radix(digits, 8).ok()?, 3)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
