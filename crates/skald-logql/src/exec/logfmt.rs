//! Reads `key=value` pairs as labels.

use super::extract::{Extractor, Flow};
use super::json::{Escapes, push_sanitised, unescape};

/// What the strict parser reports when a pair is wrong.
pub(crate) const LOGFMT_ERROR: &str = "LogfmtParserErr";

/// How pairs are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogfmtOptions {
    /// Stop at the first wrong pair and say so.
    pub(crate) strict: bool,
    /// Keep keys without a value.
    pub(crate) keep_empty: bool,
}

/// Buffers that are used again for the next line.
#[derive(Debug, Default)]
pub(crate) struct LogfmtBuffers {
    key: Vec<u8>,
    value: Vec<u8>,
}

/// One pair of a line.
#[derive(Debug, PartialEq, Eq)]
struct Pair<'a> {
    key: &'a [u8],
    /// What stands behind `=`, without quotes.
    value: &'a [u8],
    /// Whether the value holds escapes.
    escaped: bool,
}

/// Gives the pairs of `line` to `out`. An error (strict only) is the text of its details; labels found before it stay.
pub(crate) fn extract(line: &[u8], options: LogfmtOptions, buffers: &mut LogfmtBuffers, out: &mut Extractor<'_>) -> Result<(), String> {
    let mut scanner = Scanner { bytes: line, at: 0 };
    while let Some(next) = scanner.next() {
        let done = next.and_then(|pair| put(&pair, options, buffers, out));
        match done {
            Ok(Flow::Continue) => {}
            Ok(Flow::Stop) => return Ok(()),
            Err(cause) if options.strict => return Err(format!("logfmt syntax error at pos {} : {cause}", scanner.at + 1)),
            Err(_) => scanner.skip_word(),
        }
    }
    Ok(())
}

/// Calls `visit` with key and value of each pair of `line` whose value is in order. An error (strict only) is the text of its details.
pub(crate) fn each_pair(line: &[u8], strict: bool, buffers: &mut LogfmtBuffers, mut visit: impl FnMut(&[u8], &[u8])) -> Result<(), String> {
    let mut scanner = Scanner { bytes: line, at: 0 };
    while let Some(next) = scanner.next() {
        let LogfmtBuffers { key, value } = buffers;
        value.clear();
        let read = next.and_then(|pair| match pair.escaped {
            true if !unescape(pair.value, Escapes::Logfmt, value) => Err("invalid quoted value"),
            true => Ok((pair.key, value.as_slice())),
            false => Ok((pair.key, pair.value)),
        });
        match read {
            Ok((name, value)) => {
                key.clear();
                push_sanitised(key, name, true);
                visit(key, if std::str::from_utf8(value).is_ok() { value } else { b"" });
            }
            Err(cause) if strict => return Err(format!("logfmt syntax error at pos {} : {cause}", scanner.at + 1)),
            Err(_) => scanner.skip_word(),
        }
    }
    Ok(())
}

/// The key that an expression names: a bare word, or a text in quotes. The error says what is wrong with it.
pub(crate) fn parse_key(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("syntax error: unexpected $end, expecting STRING or KEY".to_owned());
    }
    if let Some(quoted) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        return Ok(quoted.to_owned());
    }
    match text.chars().find(|c| !c.is_alphanumeric() && *c != '_') {
        Some(c) if c.is_whitespace() => Err("syntax error: unexpected KEY".to_owned()),
        Some(c) => Err(format!("unexpected char {c}")),
        None => Ok(text.to_owned()),
    }
}

fn put(pair: &Pair<'_>, options: LogfmtOptions, buffers: &mut LogfmtBuffers, out: &mut Extractor<'_>) -> Result<Flow, &'static str> {
    let mut value = pair.value;
    if pair.escaped {
        buffers.value.clear();
        if !unescape(pair.value, Escapes::Logfmt, &mut buffers.value) {
            return Err("invalid quoted value");
        }
        value = &buffers.value;
    }
    if !pair.key.is_ascii() && std::str::from_utf8(pair.key).map_or(true, |key| key.contains('\u{fffd}')) {
        return Err("invalid key");
    }
    if value.is_empty() && !options.keep_empty {
        return Ok(Flow::Continue);
    }
    buffers.key.clear();
    push_sanitised(&mut buffers.key, pair.key, true);
    if buffers.key.is_empty() || !out.wants(&buffers.key) {
        return Ok(Flow::Continue);
    }
    Ok(out.put_text(&buffers.key, value))
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    /// The next pair. After an error `at` is the place of it.
    #[inline]
    fn next(&mut self) -> Option<Result<Pair<'a>, &'static str>> {
        while *self.bytes.get(self.at)? <= b' ' {
            self.at += 1;
        }
        let start = self.at;
        while let Some(b) = self.bytes.get(self.at) {
            match b {
                b'=' if self.at == start => return Some(Err("unexpected '='")),
                b'=' => return Some(self.value(&self.bytes[start..self.at])),
                b'"' => return Some(Err("unexpected '\"'")),
                0..=b' ' => break,
                _ => self.at += 1,
            }
        }
        Some(Ok(Pair { key: &self.bytes[start..self.at], value: &[], escaped: false }))
    }

    /// The pair of `key`, whose `=` stands at `at`.
    #[inline]
    fn value(&mut self, key: &'a [u8]) -> Result<Pair<'a>, &'static str> {
        self.at += 1;
        if self.bytes.get(self.at) == Some(&b'"') {
            return self.quoted(key);
        }
        let start = self.at;
        while let Some(b) = self.bytes.get(self.at) {
            match b {
                b'=' => return Err("unexpected '='"),
                b'"' => return Err("unexpected '\"'"),
                0..=b' ' => break,
                _ => self.at += 1,
            }
        }
        Ok(Pair { key, value: &self.bytes[start..self.at], escaped: false })
    }

    fn quoted(&mut self, key: &'a [u8]) -> Result<Pair<'a>, &'static str> {
        let start = self.at + 1;
        let (mut at, mut escaped) = (start, false);
        while let Some(found) = memchr::memchr2(b'"', b'\\', self.bytes.get(at..).unwrap_or_default()) {
            at += found;
            if self.bytes[at] == b'"' {
                self.at = at + 1;
                return Ok(Pair { key, value: &self.bytes[start..at], escaped });
            }
            escaped = true;
            at += 2;
        }
        self.at = self.bytes.len();
        Err("unterminated quoted value")
    }

    /// Passes everything up to the next blank.
    fn skip_word(&mut self) {
        while self.bytes.get(self.at).is_some_and(|b| *b > b' ') {
            self.at += 1;
        }
    }
}
