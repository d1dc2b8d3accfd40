//! Reads the members of a JSON object as labels, without building it: what nobody needs is skipped.

#[cfg(test)]
mod tests;

use super::extract::{Extractor, Flow};
use super::leads::Leads;
use super::scan::{below, equal, find, quote_or_escape};

/// What the parser reports when a line is not a JSON object.
pub(crate) const JSON_ERROR: &str = "JSONParserErr";
/// Deepest nesting that is read; deeper objects are skipped.
const DEPTH_MAX: usize = 64;

const NOT_AN_OBJECT: &str = "Value looks like object, but can't find closing '}' symbol";
const CUT_OFF: &str = "Value is array, but can't find closing ']' symbol";
const CUT_OFF_STRING: &str = "Value is string, but can't find closing '\"' symbol";
const UNKNOWN_TYPE: &str = "Unknown value type";
const MALFORMED: &str = "Malformed JSON error";
const BAD_ESCAPE: &str = "Encountered an invalid escape sequence in a string";

/// Why reading ended before the object did.
enum Stop {
    /// Everything needed was found, or the entry is out.
    Enough,
    Error(&'static str),
}

/// Buffers that are used again for the next line.
#[derive(Debug, Default)]
pub(crate) struct JsonBuffers {
    /// Path of the member being read, joined by `_`.
    path: Vec<u8>,
    key: Vec<u8>,
    value: Vec<u8>,
    /// Before the members of the outermost object.
    leads: Leads,
}

/// Gives the members of `line` to `out`. An error says what is wrong with the line; labels found before it stay.
pub(crate) fn extract(line: &[u8], buffers: &mut JsonBuffers, out: &mut Extractor<'_>) -> Result<(), &'static str> {
    buffers.path.clear();
    let mut reader = Reader::new(line);
    match reader.token() {
        Some(b'{') => reader.at += 1,
        _ => return Err(NOT_AN_OBJECT),
    }
    match (Members { reader, buffers }).outermost(out) {
        Ok(()) | Err(Stop::Enough) => Ok(()),
        Err(Stop::Error(error)) => Err(error),
    }
}

/// Calls `visit` with name and value of each member of an object whose value is a text, until it stops.
pub(crate) fn string_members(
    line: &[u8],
    buffers: &mut JsonBuffers,
    mut visit: impl FnMut(&[u8], &[u8]) -> Flow,
) -> Result<(), &'static str> {
    let mut reader = Reader::new(line);
    if reader.token() != Some(b'{') {
        return Err(NOT_AN_OBJECT);
    }
    reader.at += 1;
    let JsonBuffers { key, value, .. } = buffers;
    let mut next = reader.token().ok_or(MALFORMED)?;
    while next != b'}' {
        if next != b'"' {
            return Err(NOT_AN_OBJECT);
        }
        reader.at += 1;
        let (name, name_escaped) = reader.string().ok_or(MALFORMED)?;
        if reader.token() != Some(b':') {
            return Err(MALFORMED);
        }
        reader.at += 1;
        let first = reader.token().ok_or(MALFORMED)?;
        if first == b'"' {
            reader.at += 1;
            let (text, escaped) = reader.string().ok_or(CUT_OFF_STRING)?;
            let name = resolved(name, name_escaped, key).ok_or(BAD_ESCAPE)?;
            if visit(name, resolved(text, escaped, value).unwrap_or_default()) == Flow::Stop {
                return Ok(());
            }
        } else {
            reader.raw_value(first)?;
        }
        match reader.token() {
            None => return Err(CUT_OFF),
            Some(b'}') => return Ok(()),
            Some(b',') => reader.at += 1,
            Some(_) => return Err(NOT_AN_OBJECT),
        }
        next = reader.token().ok_or(CUT_OFF)?;
    }
    Ok(())
}

/// A text with its escapes resolved; `None` when one is wrong.
fn resolved<'a>(raw: &'a [u8], escaped: bool, buffer: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    if !escaped {
        return Some(raw);
    }
    buffer.clear();
    unescape(raw, Escapes::Json, buffer).then_some(buffer.as_slice())
}

/// Walks over the members of an object.
struct Members<'a, 'b> {
    reader: Reader<'a>,
    buffers: &'b mut JsonBuffers,
}

impl Members<'_, '_> {
    /// Reads the members of the outermost object, whose opening brace was passed.
    fn outermost(&mut self, out: &mut Extractor<'_>) -> Result<(), Stop> {
        let mut place = self.buffers.leads.begin();
        let mut is_first = true;
        loop {
            let start = self.reader.at;
            let known = self.buffers.leads.follow(place, self.reader.rest());
            let first = match known {
                Some((next, len)) => {
                    place = next;
                    self.reader.at += len;
                    self.reader.token().ok_or(Stop::Error(MALFORMED))?
                }
                None if !self.next_member(is_first)? => return Ok(()),
                None => {
                    let first = self.key()?;
                    let lead = &self.reader.bytes[start..self.reader.at];
                    place = self.buffers.leads.learn(place, lead, &self.buffers.path);
                    first
                }
            };
            is_first = false;
            let JsonBuffers { path, leads, .. } = &mut *self.buffers;
            let name = if known.is_some() { leads.name(place) } else { path.as_slice() };
            let is_of_use = match first {
                b'{' => out.wants_prefix(name),
                b'[' => false,
                _ => !name.is_empty() && out.wants(name),
            };
            if !is_of_use {
                self.reader.skip_value(first)?;
            } else {
                if known.is_some() {
                    path.extend_from_slice(leads.name(place));
                }
                self.value(first, out, 1, true)?;
            }
            self.buffers.path.clear();
        }
    }

    /// Goes to the quote of the next member's key and passes it; false behind the closing brace.
    fn next_member(&mut self, is_first: bool) -> Result<bool, Stop> {
        let next = if is_first {
            self.reader.token().ok_or(Stop::Error(MALFORMED))?
        } else {
            match self.reader.token() {
                None => return Err(Stop::Error(CUT_OFF)),
                Some(b'}') => b'}',
                Some(b',') => {
                    self.reader.at += 1;
                    self.reader.token().ok_or(Stop::Error(CUT_OFF))?
                }
                Some(_) => return Err(Stop::Error(NOT_AN_OBJECT)),
            }
        };
        self.reader.at += 1;
        match next {
            b'"' => Ok(true),
            b'}' => Ok(false),
            _ => Err(Stop::Error(NOT_AN_OBJECT)),
        }
    }

    /// Reads members up to the closing brace; the opening one was passed.
    fn members(&mut self, out: &mut Extractor<'_>, depth: usize) -> Result<(), Stop> {
        let mut is_first = true;
        while self.next_member(is_first)? {
            is_first = false;
            let path_len = self.buffers.path.len();
            let first = self.key()?;
            self.value(first, out, depth, self.buffers.path.len() > path_len)?;
            self.buffers.path.truncate(path_len);
        }
        Ok(())
    }

    /// Reads a key, whose quote was passed, onto the path, and goes to the value, whose first byte it gives.
    fn key(&mut self) -> Result<u8, Stop> {
        let (key, escaped) = self.reader.string().ok_or(Stop::Error(MALFORMED))?;
        if self.reader.token() != Some(b':') {
            return Err(Stop::Error(MALFORMED));
        }
        self.reader.at += 1;
        let first = self.reader.token().ok_or(Stop::Error(MALFORMED))?;
        let JsonBuffers { path, key: unescaped, .. } = &mut *self.buffers;
        if !escaped {
            push_path(path, key);
            return Ok(first);
        }
        unescaped.clear();
        if !unescape(key, Escapes::Json, unescaped) {
            return Err(Stop::Error(BAD_ESCAPE));
        }
        push_path(path, unescaped);
        Ok(first)
    }

    fn value(&mut self, first: u8, out: &mut Extractor<'_>, depth: usize, named: bool) -> Result<(), Stop> {
        match first {
            b'"' => {
                self.reader.at += 1;
                let (value, escaped) = self.reader.string().ok_or(Stop::Error(CUT_OFF_STRING))?;
                if !named || !out.wants(&self.buffers.path) {
                    return Ok(());
                }
                let value = if escaped {
                    self.buffers.value.clear();
                    if !unescape(value, Escapes::Json, &mut self.buffers.value) {
                        self.buffers.value.clear();
                    }
                    self.buffers.value.as_slice()
                } else {
                    value
                };
                flow(out.put_text(&self.buffers.path, value))
            }
            b'{' => {
                self.reader.at += 1;
                if depth >= DEPTH_MAX || !out.wants_prefix(&self.buffers.path) {
                    return self.reader.skip_block(b'{', b'}');
                }
                self.members(out, depth + 1)
            }
            b'[' => {
                self.reader.at += 1;
                self.reader.skip_block(b'[', b']')
            }
            _ => {
                let value = self.reader.literal(first).map_err(Stop::Error)?;
                if first == b'n' {
                    return Ok(());
                }
                if !named || !out.wants(&self.buffers.path) {
                    return Ok(());
                }
                flow(out.put_text(&self.buffers.path, value))
            }
        }
    }
}

/// Walks over JSON text, looking only at what its form needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// At the start of `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    /// The next byte that is not blank, without passing it.
    pub(crate) fn token(&mut self) -> Option<u8> {
        while let Some(b) = self.bytes.get(self.at) {
            if !matches!(b, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(*b);
            }
            self.at += 1;
        }
        None
    }

    fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// A number, truth value or null.
    #[inline]
    fn literal(&mut self, first: u8) -> Result<&'a [u8], &'static str> {
        let start = self.at;
        // Everything that ends a literal, and a few that do not.
        let near_end = |word| below(word, b'-') | equal(word, b'}') | equal(word, b']');
        let ends = |b: u8| matches!(b, b' ' | b'\n' | b'\r' | b'\t' | b',' | b'}' | b']');
        loop {
            self.at = find(self.bytes, self.at, near_end, ends).unwrap_or(self.bytes.len());
            match self.bytes.get(self.at) {
                Some(b) if !ends(*b) => self.at += 1,
                _ => break,
            }
        }
        let value = &self.bytes[start..self.at];
        match first {
            b't' | b'f' if value == b"true" || value == b"false" => Ok(value),
            b'n' if value == b"null" => Ok(value),
            b'0'..=b'9' | b'-' => Ok(value),
            _ => Err(UNKNOWN_TYPE),
        }
    }

    /// The value that begins with `first`, as written; it is passed.
    pub(crate) fn raw_value(&mut self, first: u8) -> Result<&'a [u8], &'static str> {
        let start = self.at;
        match first {
            b'"' => {
                self.at += 1;
                self.string().ok_or(CUT_OFF_STRING)?;
            }
            b'{' | b'[' => {
                self.at += 1;
                let (close, error) = if first == b'{' { (b'}', NOT_AN_OBJECT) } else { (b']', CUT_OFF) };
                self.skip_block(first, close).map_err(|_| error)?;
            }
            _ => return self.literal(first),
        }
        Ok(&self.bytes[start..self.at])
    }

    /// Goes to the first member of the object that comes next.
    pub(crate) fn enter_object(&mut self) -> Option<()> {
        self.open(b'{')
    }

    /// Goes to the value of the next member named `key`.
    pub(crate) fn next_member(&mut self, key: &[u8]) -> Option<()> {
        let mut unescaped = Vec::new();
        loop {
            if self.token()? != b'"' {
                return None;
            }
            self.at += 1;
            let (name, escaped) = self.string()?;
            unescaped.clear();
            let same = if escaped { unescape(name, Escapes::Json, &mut unescaped) && unescaped == key } else { name == key };
            if self.token()? != b':' {
                return None;
            }
            self.at += 1;
            if same {
                return Some(());
            }
            self.next_sibling()?;
        }
    }

    /// Goes to element `index` of the array that comes next.
    pub(crate) fn enter_element(&mut self, index: usize) -> Option<()> {
        self.open(b'[')?;
        for _ in 0..index {
            self.next_sibling()?;
        }
        (self.token()? != b']').then_some(())
    }

    fn open(&mut self, bracket: u8) -> Option<()> {
        (self.token()? == bracket).then(|| self.at += 1)
    }

    /// Passes a value and the comma behind it.
    pub(crate) fn next_sibling(&mut self) -> Option<()> {
        let first = self.token()?;
        self.raw_value(first).ok()?;
        (self.token()? == b',').then(|| self.at += 1)
    }

    /// What stands before the closing quote, which is passed, and whether it holds escapes. `None` without a closing quote.
    #[inline]
    fn string(&mut self) -> Option<(&'a [u8], bool)> {
        let start = self.at;
        let mut escaped = false;
        loop {
            let found = quote_or_escape(self.bytes, self.at)?;
            if self.bytes[found] == b'"' {
                self.at = found + 1;
                return Some((&self.bytes[start..found], escaped));
            }
            escaped = true;
            self.at = (found + 2).min(self.bytes.len());
        }
    }

    /// Passes the value that begins with `first`.
    #[inline]
    fn skip_value(&mut self, first: u8) -> Result<(), Stop> {
        match first {
            b'"' => {
                self.at += 1;
                self.string().map(|_| ()).ok_or(Stop::Error(CUT_OFF_STRING))
            }
            b'{' | b'[' => {
                self.at += 1;
                self.skip_block(first, if first == b'{' { b'}' } else { b']' })
            }
            _ => self.literal(first).map(|_| ()).map_err(Stop::Error),
        }
    }

    /// Passes the end of an object or array whose opening was passed.
    fn skip_block(&mut self, open: u8, close: u8) -> Result<(), Stop> {
        let mut depth = 1;
        let test = |word| equal(word, open) | equal(word, close) | equal(word, b'"');
        loop {
            let found = find(self.bytes, self.at, test, |b| b == open || b == close || b == b'"').ok_or(Stop::Error(CUT_OFF))?;
            let b = self.bytes[found];
            self.at = found + 1;
            if b == b'"' {
                self.string().ok_or(Stop::Error(CUT_OFF))?;
            } else if b == open {
                depth += 1;
            } else {
                depth -= 1;
                if depth == 0 {
                    return Ok(());
                }
            }
        }
    }
}

fn flow(flow: Flow) -> Result<(), Stop> {
    match flow {
        Flow::Continue => Ok(()),
        Flow::Stop => Err(Stop::Enough),
    }
}

/// Appends `key` to a path, as part of a label name: parts are joined by `_`, blank ones left out.
pub(crate) fn push_path(path: &mut Vec<u8>, key: &[u8]) {
    let first = path.is_empty();
    let before = path.len();
    if !first {
        path.push(b'_');
    }
    let start = path.len();
    push_sanitised(path, key, first);
    if path.len() == start {
        path.truncate(before);
    }
}

/// Appends `key` as a label name: blanks around it go, what is no letter, digit or `_` becomes `_`, a digit in front gets one.
pub(crate) fn push_sanitised(out: &mut Vec<u8>, key: &[u8], prefix_digit: bool) {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    if key.iter().all(plain) {
        if prefix_digit && key.first().is_some_and(u8::is_ascii_digit) {
            out.push(b'_');
        }
        out.extend_from_slice(key);
        return;
    }
    let text = String::from_utf8_lossy(key);
    let text = text.trim();
    if prefix_digit && text.as_bytes().first().is_some_and(u8::is_ascii_digit) {
        out.push(b'_');
    }
    out.extend(text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c as u8 } else { b'_' }));
}

/// Whose escapes are resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escapes {
    /// Half a surrogate pair is wrong.
    Json,
    /// Half a surrogate pair becomes U+FFFD, `\'` is an escape, and control characters are wrong.
    Logfmt,
}

/// Appends `raw` with escapes resolved; false when one is wrong.
pub(crate) fn unescape(raw: &[u8], rules: Escapes, out: &mut Vec<u8>) -> bool {
    if rules == Escapes::Logfmt && raw.iter().any(|b| *b < b' ') {
        return false;
    }
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let Some(code) = rest.get(at + 1) else { return false };
        let simple = match code {
            b'"' | b'\\' | b'/' => *code,
            b'\'' if rules == Escapes::Logfmt => *code,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let (c, len) = match unicode_escape(&rest[at..]) {
                    Ok(found) => found,
                    Err(true) if rules == Escapes::Logfmt => ('\u{fffd}', 6),
                    Err(_) => return false,
                };
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &rest[at + len..];
                continue;
            }
            _ => return false,
        };
        out.push(simple);
        rest = &rest[at + 2..];
    }
    out.extend_from_slice(rest);
    true
}

/// The character of `\uXXXX`, or of two of them that are a surrogate pair, and the length of the escape.
/// The error says whether it is half a pair.
fn unicode_escape(raw: &[u8]) -> Result<(char, usize), bool> {
    let unit = |at: usize| -> Option<u32> {
        let escape = raw.get(at..at + 6)?;
        let digits = std::str::from_utf8(&escape[2..]).ok()?;
        let plain = escape.starts_with(b"\\u") && digits.bytes().all(|b| b.is_ascii_hexdigit());
        plain.then(|| u32::from_str_radix(digits, 16).ok())?
    };
    let high = unit(0).ok_or(false)?;
    if let Some(c) = char::from_u32(high) {
        return Ok((c, 6));
    }
    let low = unit(6).filter(|low| (0xd800..0xdc00).contains(&high) && (0xdc00..0xe000).contains(low)).ok_or(true)?;
    char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)).map(|c| (c, 12)).ok_or(true)
}
