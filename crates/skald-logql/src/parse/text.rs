//! The shapes of string and number literals, which are Go's.

/// Reads the string literal at the start of `text`: its value and its length in bytes.
pub(super) fn read_string(text: &str) -> Result<(String, usize), &'static str> {
    if let Some(raw) = text.strip_prefix('`') {
        let end = raw.find('`').ok_or("literal not terminated")?;
        return Ok((raw[..end].replace('\r', ""), end + 2));
    }
    let (_, len) = scan_quoted(text, '"')?;
    Ok((unescape(&text[1..len - 1])?, len))
}

/// Checks the shape of a quoted literal at the start of `text`: the number of its characters and its length in bytes.
pub(super) fn scan_quoted(text: &str, quote: char) -> Result<(usize, usize), &'static str> {
    let mut count = 0;
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Ok((count, at + 1)),
            '\n' => break,
            '\0' => return Err("invalid character NUL"),
            '\\' => {
                let (_, escape) = chars.next().ok_or("invalid char escape")?;
                let (base, digits) = match escape {
                    'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => (16, 0),
                    c if c == quote => (16, 0),
                    '0'..='7' => (8, 2),
                    'x' => (16, 2),
                    'u' => (16, 4),
                    'U' => (16, 8),
                    _ => return Err("invalid char escape"),
                };
                for _ in 0..digits {
                    chars.next_if(|(_, c)| c.is_digit(base)).ok_or("invalid char escape")?;
                }
            }
            _ => {}
        }
        count += 1;
    }
    Err("literal not terminated")
}

/// The value of what stands between double quotes, whose shape was checked.
fn unescape(text: &str) -> Result<String, &'static str> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = &rest[at + 1..];
        let (first, digits) = escape.split_at(1);
        let len = match first {
            "a" => push(&mut out, 0x07),
            "b" => push(&mut out, 0x08),
            "f" => push(&mut out, 0x0c),
            "n" => push(&mut out, b'\n'),
            "r" => push(&mut out, b'\r'),
            "t" => push(&mut out, b'\t'),
            "v" => push(&mut out, 0x0b),
            "x" => push(&mut out, number(&digits[..2], 16)? as u8),
            "u" => push_char(&mut out, &digits[..4])?,
            "U" => push_char(&mut out, &digits[..8])?,
            "\\" | "\"" => push(&mut out, first.as_bytes()[0]),
            _ => {
                push(&mut out, u8::try_from(number(&escape[..3], 8)?).map_err(|_| "invalid syntax")?);
                3
            }
        };
        let len = match first {
            "x" => 3,
            _ => len,
        };
        rest = &escape[len..];
    }
    out.extend_from_slice(rest.as_bytes());
    String::from_utf8(out).map_err(|_| "invalid UTF-8 rune")
}

/// Appends a byte that a one-letter escape stands for; gives that escape's length.
fn push(out: &mut Vec<u8>, byte: u8) -> usize {
    out.push(byte);
    1
}

/// Appends the character numbered by `digits`, a lone surrogate as U+FFFD; gives the escape's length.
fn push_char(out: &mut Vec<u8>, digits: &str) -> Result<usize, &'static str> {
    let c = match number(digits, 16)? {
        0xd800..=0xdfff => char::REPLACEMENT_CHARACTER,
        code => char::from_u32(code).ok_or("invalid syntax")?,
    };
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    Ok(digits.len() + 1)
}

fn number(digits: &str, base: u32) -> Result<u32, &'static str> {
    u32::from_str_radix(digits, base).map_err(|_| "invalid syntax")
}

/// The length in bytes of the number literal at the start of `text`.
pub(super) fn scan_number(text: &str) -> Result<usize, &'static str> {
    let bytes = text.as_bytes();
    let (base, name) = match (bytes[0], bytes.get(1)) {
        (b'0', Some(b'x' | b'X')) => (16, "hexadecimal"),
        (b'0', Some(b'o' | b'O')) => (8, "octal"),
        (b'0', Some(b'b' | b'B')) => (2, "binary"),
        _ => (10, ""),
    };
    let prefix = if base == 10 { 0 } else { 2 };
    let digit = |c: u8| c == b'_' || c.is_ascii_digit() || (base == 16 && c.is_ascii_hexdigit());
    let run = |from: usize, allowed: &dyn Fn(u8) -> bool| from + bytes[from..].iter().take_while(|c| allowed(**c)).count();
    let whole = run(prefix, &digit);
    let mut end = whole;
    let mut is_float = false;
    if matches!(base, 10 | 16) && bytes.get(end) == Some(&b'.') {
        end = run(end + 1, &digit);
        is_float = true;
    }
    let exponent = bytes.get(end).map(u8::to_ascii_lowercase);
    if (base == 10 && exponent == Some(b'e')) || (base == 16 && exponent == Some(b'p')) {
        is_float = true;
        end += 1;
        end += usize::from(matches!(bytes.get(end), Some(b'+' | b'-')));
        let digits = run(end, &|c| c == b'_' || c.is_ascii_digit());
        if digits == end {
            return Err("exponent has no digits");
        }
        end = digits;
    } else if base == 16 && is_float {
        return Err("hexadecimal mantissa requires a 'p' exponent");
    }
    if !is_float {
        let octal = base == 8 || (base == 10 && bytes[0] == b'0');
        let limit = if octal { b'8' } else { b'2' };
        let wrong = bytes[prefix..whole].iter().find(|c| (octal || base == 2) && c.is_ascii_digit() && **c >= limit);
        if let Some(wrong) = wrong {
            let name = if octal { "octal" } else { name };
            return Err(invalid_digit(*wrong, name));
        }
    }
    let body = &bytes[..end];
    let separated = |at: usize| at > 0 && body[at - 1].is_ascii_alphanumeric() && body.get(at + 1).is_some_and(u8::is_ascii_hexdigit);
    if (0..end).any(|at| body[at] == b'_' && !separated(at)) {
        return Err("'_' must separate successive digits");
    }
    Ok(end)
}

/// The complaint about a digit that the base does not have.
fn invalid_digit(digit: u8, name: &str) -> &'static str {
    match (name, digit) {
        ("octal", b'8') => "invalid digit '8' in octal literal",
        ("octal", _) => "invalid digit '9' in octal literal",
        (_, b'2') => "invalid digit '2' in binary literal",
        (_, b'3') => "invalid digit '3' in binary literal",
        (_, b'4') => "invalid digit '4' in binary literal",
        (_, b'5') => "invalid digit '5' in binary literal",
        (_, b'6') => "invalid digit '6' in binary literal",
        (_, b'7') => "invalid digit '7' in binary literal",
        (_, b'8') => "invalid digit '8' in binary literal",
        _ => "invalid digit '9' in binary literal",
    }
}
