//! Reads `key=value` pairs as labels.

#[cfg(test)]
mod tests;

use super::extract::{Extractor, Flow};
use super::json::{Escapes, push_sanitised, unescape};
use super::leads::Leads;
use super::scan::{below, equal, find, quote_or_escape};

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
    /// Before the values of [`extract`].
    leads: Leads,
}

/// One pair of a line.
#[derive(Debug, PartialEq, Eq)]
struct Pair<'a> {
    key: &'a [u8],
    /// What stands behind `=`, without quotes.
    value: &'a [u8],
    /// Whether the value holds escapes.
    escaped: bool,
    /// Where it begins, with its quotes; none of a key alone.
    value_from: Option<usize>,
}

/// Gives the pairs of `line` to `out`. An error (strict only) is the text of its details; labels found before it stay.
pub(crate) fn extract(line: &[u8], options: LogfmtOptions, buffers: &mut LogfmtBuffers, out: &mut Extractor<'_>) -> Result<(), String> {
    let mut scanner = Scanner { bytes: line, at: 0 };
    let mut place = buffers.leads.begin();
    loop {
        let start = scanner.at;
        let done = match buffers.leads.follow(place, &line[start..]) {
            Some((next, len)) => {
                place = next;
                scanner.at += len;
                let LogfmtBuffers { value, leads, .. } = &mut *buffers;
                scanner.value().and_then(|read| put(Some(leads.name(place)), read, options, value, out))
            }
            None => {
                let Some(next) = scanner.next() else { return Ok(()) };
                let LogfmtBuffers { key, value, leads } = &mut *buffers;
                next.and_then(|pair| {
                    let is_text = pair.key.is_ascii() || std::str::from_utf8(pair.key).is_ok_and(|key| !key.contains('\u{fffd}'));
                    if is_text && pair.value.is_empty() && !options.keep_empty {
                        leads.missed();
                        return Ok(Flow::Continue);
                    }
                    key.clear();
                    push_sanitised(key, pair.key, true);
                    if is_text && let Some(from) = pair.value_from {
                        place = leads.learn(place, &line[start..from], key);
                    }
                    put(is_text.then_some(key), (pair.value, pair.escaped), options, value, out)
                })
            }
        };
        match done {
            Ok(Flow::Continue) => {}
            Ok(Flow::Stop) => return Ok(()),
            Err(cause) if options.strict => return Err(format!("logfmt syntax error at pos {} : {cause}", scanner.at + 1)),
            Err(_) => scanner.skip_word(),
        }
    }
}

/// Calls `visit` with key, made a label's name, and value of each pair of `line` whose value is in order. An error (strict only) is the text of its details.
pub(crate) fn each_pair(line: &[u8], strict: bool, buffers: &mut LogfmtBuffers, mut visit: impl FnMut(&[u8], &[u8])) -> Result<(), String> {
    let LogfmtBuffers { key, value, .. } = buffers;
    written_pairs(line, strict, value, |name, value| {
        key.clear();
        push_sanitised(key, name, true);
        visit(key, value);
    })
}

/// Calls `visit` with key, as it is written, and value of each pair of `line` that is in order; the others are passed over.
///
/// A key alone has an empty value. `buffer` is for values with escapes.
pub fn logfmt_pairs(line: &str, buffer: &mut Vec<u8>, mut visit: impl FnMut(&str, &str)) {
    let visit = |key: &[u8], value: &[u8]| {
        if let (Ok(key), Ok(value)) = (std::str::from_utf8(key), std::str::from_utf8(value)) {
            visit(key, value);
        }
    };
    written_pairs(line.as_bytes(), false, buffer, visit).expect("it fails only where it is strict");
}

fn written_pairs(line: &[u8], strict: bool, buffer: &mut Vec<u8>, mut visit: impl FnMut(&[u8], &[u8])) -> Result<(), String> {
    let mut scanner = Scanner { bytes: line, at: 0 };
    while let Some(next) = scanner.next() {
        buffer.clear();
        let read = next.and_then(|pair| match pair.escaped {
            true if !unescape(pair.value, Escapes::Logfmt, buffer) => Err("invalid quoted value"),
            true => Ok((pair.key, buffer.as_slice())),
            false => Ok((pair.key, pair.value)),
        });
        match read {
            Ok((name, value)) => visit(name, if std::str::from_utf8(value).is_ok() { value } else { b"" }),
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

/// Makes a label of a value and whether it holds escapes. There is no name where the key is none.
#[inline]
fn put(
    name: Option<&[u8]>,
    (mut value, escaped): (&[u8], bool),
    options: LogfmtOptions,
    buffer: &mut Vec<u8>,
    out: &mut Extractor<'_>,
) -> Result<Flow, &'static str> {
    if escaped {
        buffer.clear();
        if !unescape(value, Escapes::Logfmt, buffer) {
            return Err("invalid quoted value");
        }
        value = buffer;
    }
    let name = name.ok_or("invalid key")?;
    let is_of_use = (options.keep_empty || !value.is_empty()) && !name.is_empty() && out.wants(name);
    Ok(if is_of_use { out.put_text(name, value) } else { Flow::Continue })
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
                b'=' => {
                    let key = &self.bytes[start..self.at];
                    self.at += 1;
                    let value_from = Some(self.at);
                    return Some(self.value().map(|(value, escaped)| Pair { key, value, escaped, value_from }));
                }
                b'"' => return Some(Err("unexpected '\"'")),
                0..=b' ' => break,
                _ => self.at += 1,
            }
        }
        Some(Ok(Pair { key: &self.bytes[start..self.at], value: &[], escaped: false, value_from: None }))
    }

    /// The value behind `=`, without quotes, and whether it holds escapes.
    #[inline]
    fn value(&mut self) -> Result<(&'a [u8], bool), &'static str> {
        let start = self.at;
        let ends = |word| below(word, b' ' + 1) | equal(word, b'=') | equal(word, b'"');
        self.at = find(self.bytes, start, ends, |b| matches!(b, b'=' | b'"' | 0..=b' ')).unwrap_or(self.bytes.len());
        match self.bytes.get(self.at) {
            Some(b'"') if self.at == start => self.quoted(),
            Some(b'=') => Err("unexpected '='"),
            Some(b'"') => Err("unexpected '\"'"),
            _ => Ok((&self.bytes[start..self.at], false)),
        }
    }

    fn quoted(&mut self) -> Result<(&'a [u8], bool), &'static str> {
        let start = self.at + 1;
        let (mut at, mut escaped) = (start, false);
        while let Some(found) = quote_or_escape(self.bytes, at) {
            if self.bytes[found] == b'"' {
                self.at = found + 1;
                return Ok((&self.bytes[start..found], escaped));
            }
            escaped = true;
            at = found + 2;
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
