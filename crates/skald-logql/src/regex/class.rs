//! Character classes and escapes.

use super::RegexError;
use std::fmt::Write;

const POSIX: [&str; 14] =
    ["alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word", "xdigit"];

/// A range of this many characters counts as wide.
const WIDE: u32 = 1024;

/// Appends one character that means itself, in or out of a class.
pub(super) fn push_char(out: &mut String, c: char) {
    if c.is_ascii_alphanumeric() || c == '_' || !(c.is_ascii() || c.is_control()) {
        out.push(c);
    } else {
        let _ = write!(out, "\\x{{{:x}}}", c as u32);
    }
}

/// What `\d`, `\s` and `\w` (upper case: all else) stand for inside brackets.
pub(super) fn perl(letter: char) -> &'static str {
    match letter {
        'd' => "0-9",
        'D' => "[^0-9]",
        's' => "\\t\\n\\x0c\\r\\x20",
        'S' => "[^\\t\\n\\x0c\\r\\x20]",
        'w' => "0-9A-Za-z_",
        _ => "[^0-9A-Za-z_]",
    }
}

/// A class read.
pub(super) struct Translated {
    pub text: String,
    /// Bytes of the pattern that it takes.
    pub len: usize,
    /// Parts of it that hold many characters.
    pub wide: usize,
}

/// Reads the class at the start of `text` (a `[`).
pub(super) fn translate_class(text: &str) -> Result<Translated, RegexError> {
    let mut wide = 0;
    let mut out = String::from("[");
    let mut rest = &text[1..];
    if let Some(after) = rest.strip_prefix('^') {
        rest = after;
        out.push('^');
    }
    let missing = || RegexError::MissingBracket(text.to_owned());
    let mut first = true;
    while first || !rest.starts_with(']') {
        if rest.is_empty() {
            return Err(missing());
        }
        first = false;
        if let Some(group) = posix(rest)? {
            out.push_str(group);
            rest = &rest[group.len()..];
            continue;
        }
        let escaped = rest.strip_prefix('\\').and_then(|after| after.chars().next());
        if let Some(letter @ ('d' | 'D' | 's' | 'S' | 'w' | 'W')) = escaped {
            out.push_str(perl(letter));
            rest = &rest[2..];
            continue;
        }
        if matches!(escaped, Some('p' | 'P')) {
            let group = translate_unicode(rest)?;
            out.push_str(&group.text);
            rest = &rest[group.len..];
            wide += group.wide;
            continue;
        }
        let from = rest;
        let (low, len) = read_char(rest, text)?;
        rest = &rest[len..];
        push_char(&mut out, low);
        if rest.starts_with('-') && rest.len() >= 2 && !rest[1..].starts_with(']') {
            let (high, len) = read_char(&rest[1..], text)?;
            rest = &rest[1 + len..];
            if high < low {
                return Err(RegexError::CharRange(from[..from.len() - rest.len()].to_owned()));
            }
            out.push('-');
            push_char(&mut out, high);
            wide += usize::from(high as u32 - low as u32 >= WIDE);
        }
    }
    out.push(']');
    Ok(Translated { text: out, len: text.len() - rest.len() + 1, wide })
}

/// `[:alpha:]` at the start of `text`.
fn posix(text: &str) -> Result<Option<&str>, RegexError> {
    if !text.starts_with("[:") {
        return Ok(None);
    }
    let Some(end) = text[2..].find(":]").map(|end| end + 4) else {
        return Ok(None);
    };
    let group = &text[..end];
    let name = &group[2..end - 2];
    let name = name.strip_prefix('^').unwrap_or(name);
    if POSIX.contains(&name) { Ok(Some(group)) } else { Err(RegexError::CharRange(group.to_owned())) }
}

fn read_char(text: &str, class: &str) -> Result<(char, usize), RegexError> {
    match text.chars().next() {
        None => Err(RegexError::MissingBracket(class.to_owned())),
        Some('\\') => read_escape(text),
        Some(c) => Ok((c, c.len_utf8())),
    }
}

/// Reads `\p{Greek}`, `\pL`, `\P{^Lu}` at the start of `text`.
pub(super) fn translate_unicode(text: &str) -> Result<Translated, RegexError> {
    let body = &text[2..];
    let (name, len) = if let Some(braced) = body.strip_prefix('{') {
        let end = braced.find('}').ok_or_else(|| RegexError::CharRange(text.to_owned()))?;
        (&braced[..end], 2 + end + 2)
    } else {
        let c = body.chars().next().ok_or_else(|| RegexError::CharRange(text.to_owned()))?;
        (&body[..c.len_utf8()], 2 + c.len_utf8())
    };
    let (inverted, name) = name.strip_prefix('^').map_or((false, name), |name| (true, name));
    let letter = if (text.as_bytes()[1] == b'P') != inverted { 'P' } else { 'p' };
    let translated = format!("\\{letter}{{{name}}}");
    // Rust also takes `name=value`, which Go does not.
    let plain = !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
    if !plain || regex_syntax::parse(&translated).is_err() {
        return Err(RegexError::CharRange(text[..len].to_owned()));
    }
    Ok(Translated { text: translated, len, wide: 1 })
}

/// Reads an escape that stands for one character at the start of `text` (a backslash).
pub(super) fn read_escape(text: &str) -> Result<(char, usize), RegexError> {
    let Some(c) = text[1..].chars().next() else {
        return Err(RegexError::TrailingBackslash);
    };
    let invalid = |len: usize| RegexError::Escape(text[..len.min(text.len())].to_owned());
    let after = &text[1 + c.len_utf8()..];
    let control = match c {
        'a' => '\u{7}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        'x' => return read_hex(text),
        '1'..='7' if !after.starts_with(|c| matches!(c, '0'..='7')) => return Err(invalid(2)),
        '0'..='7' => {
            let more = after.bytes().take(2).take_while(|c| matches!(c, b'0'..=b'7')).count();
            let digits = &text[1..2 + more];
            let code = u32::from_str_radix(digits, 8).expect("up to three octal digits");
            return Ok((char::from_u32(code).expect("below 512"), 2 + more));
        }
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
        c => return Err(invalid(1 + c.len_utf8())),
    };
    Ok((control, 2))
}

/// `\x41` or `\x{1F600}`.
fn read_hex(text: &str) -> Result<(char, usize), RegexError> {
    let body = &text[2..];
    let (digits, len) = if let Some(braced) = body.strip_prefix('{') {
        let digits = braced.bytes().take_while(u8::is_ascii_hexdigit).count();
        if !braced[digits..].starts_with('}') {
            let wrong = braced[digits..].chars().next().map_or(0, char::len_utf8);
            return Err(RegexError::Escape(text[..3 + digits + wrong].to_owned()));
        }
        (&braced[..digits], 3 + digits + 1)
    } else {
        let digits = body.bytes().take(2).take_while(u8::is_ascii_hexdigit).count();
        if digits < 2 {
            let wrong = body[digits..].chars().next().map_or(0, char::len_utf8);
            return Err(RegexError::Escape(text[..2 + digits + wrong].to_owned()));
        }
        (&body[..2], 4)
    };
    let c = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
    c.map(|c| (c, len)).ok_or_else(|| RegexError::Escape(text[..len].to_owned()))
}
