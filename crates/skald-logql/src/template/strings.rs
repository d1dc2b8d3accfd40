//! Functions over texts.

use super::OUTPUT_BYTES_MAX;
use super::functions::text;
use super::numbers::int;
use super::value::Value;
use crate::regex::{self, Flags};
use ::regex::bytes::{NoExpand, Regex, Replacer};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use base64::{DecodeError, DecodeSliceError};

type Given<'a> = &'a [Value];
type Got = Result<Value, String>;

fn lossy(bytes: &[u8]) -> Value {
    Value::text(&String::from_utf8_lossy(bytes))
}

/// Refuses to make a text of more bytes than a rendering may have.
pub(super) fn bounded(len: usize) -> Result<(), String> {
    if len > OUTPUT_BYTES_MAX { Err(format!("the text is longer than {OUTPUT_BYTES_MAX} bytes")) } else { Ok(()) }
}

pub(super) fn lower(args: Given<'_>) -> Got {
    Ok(Value::text(&text(&args[0]).to_lowercase()))
}

pub(super) fn upper(args: Given<'_>) -> Got {
    Ok(Value::text(&text(&args[0]).to_uppercase()))
}

/// The first letter of each word in upper case.
pub(super) fn title(args: Given<'_>) -> Got {
    let mut in_word = false;
    let mut out = String::new();
    for c in text(&args[0]).chars() {
        if in_word {
            out.push(c);
        } else {
            out.extend(c.to_uppercase());
        }
        in_word = if c.is_ascii() { c.is_ascii_alphanumeric() || c == '_' } else { !c.is_whitespace() };
    }
    Ok(Value::text(&out))
}

pub(super) fn trim_space(args: Given<'_>) -> Got {
    Ok(Value::text(text(&args[0]).trim()))
}

/// Whether a character is among those of a text, however long it is.
fn any_of(set: &Value) -> impl Fn(char) -> bool + Clone {
    let mut chars: Vec<char> = text(set).chars().collect();
    chars.sort_unstable();
    chars.dedup();
    move |c| chars.binary_search(&c).is_ok()
}

pub(super) fn trim_set(args: Given<'_>) -> Got {
    Ok(Value::text(text(&args[0]).trim_matches(any_of(&args[1]))))
}

pub(super) fn trim_set_left(args: Given<'_>) -> Got {
    Ok(Value::text(text(&args[0]).trim_start_matches(any_of(&args[1]))))
}

pub(super) fn trim_set_right(args: Given<'_>) -> Got {
    Ok(Value::text(text(&args[0]).trim_end_matches(any_of(&args[1]))))
}

pub(super) fn trim_prefix(args: Given<'_>) -> Got {
    let whole = text(&args[0]);
    Ok(Value::text(whole.strip_prefix(text(&args[1])).unwrap_or(whole)))
}

pub(super) fn trim_suffix(args: Given<'_>) -> Got {
    let whole = text(&args[0]);
    Ok(Value::text(whole.strip_suffix(text(&args[1])).unwrap_or(whole)))
}

fn replaced(whole: &str, old: &str, new: &str, count: i64) -> Got {
    let times = usize::try_from(count).unwrap_or(usize::MAX).min(whole.matches(old).count());
    bounded(whole.len().saturating_add(times.saturating_mul(new.len())))?;
    Ok(Value::text(&whole.replacen(old, new, times)))
}

pub(super) fn replace_some(args: Given<'_>) -> Got {
    replaced(text(&args[0]), text(&args[1]), text(&args[2]), int(&args[3]))
}

pub(super) fn replace_all(args: Given<'_>) -> Got {
    replaced(text(&args[2]), text(&args[0]), text(&args[1]), -1)
}

/// The first bytes, or with a negative number the last.
pub(super) fn trunc(args: Given<'_>) -> Got {
    let (count, whole) = (int(&args[0]), text(&args[1]).as_bytes());
    let len = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX).min(whole.len());
    Ok(lossy(if count < 0 { &whole[whole.len() - len..] } else { &whole[..len] }))
}

pub(super) fn substr(args: Given<'_>) -> Got {
    let (from, end, whole) = (int(&args[0]), int(&args[1]), text(&args[2]).as_bytes());
    let len = whole.len() as i64;
    let wrong = |range: String| Err(format!("runtime error: slice bounds out of range [{range}]"));
    if from < 0 {
        return match usize::try_from(end).ok().and_then(|end| whole.get(..end)) {
            Some(part) => Ok(lossy(part)),
            None if end < 0 => wrong(format!(":{end}")),
            None => wrong(format!(":{end}] with length {len}").trim_end_matches(']').to_owned()),
        };
    }
    if end < 0 || end > len {
        return match whole.get(from as usize..) {
            Some(part) => Ok(lossy(part)),
            None => wrong(format!("{from}:{len}")),
        };
    }
    match whole.get(from as usize..end as usize) {
        Some(part) => Ok(lossy(part)),
        None => wrong(format!("{from}:{end}")),
    }
}

pub(super) fn contains(args: Given<'_>) -> Got {
    Ok(Value::Bool(text(&args[1]).contains(text(&args[0]))))
}

pub(super) fn has_prefix(args: Given<'_>) -> Got {
    Ok(Value::Bool(text(&args[1]).starts_with(text(&args[0]))))
}

pub(super) fn has_suffix(args: Given<'_>) -> Got {
    Ok(Value::Bool(text(&args[1]).ends_with(text(&args[0]))))
}

fn blanks(count: i64) -> Result<String, String> {
    let count = usize::try_from(count).map_err(|_| "strings: negative Repeat count".to_owned())?;
    bounded(count)?;
    Ok(" ".repeat(count))
}

pub(super) fn repeat(args: Given<'_>) -> Got {
    let count = usize::try_from(int(&args[0])).map_err(|_| "strings: negative Repeat count".to_owned())?;
    let part = text(&args[1]);
    bounded(count.saturating_mul(part.len()))?;
    Ok(Value::text(&part.repeat(if part.is_empty() { 0 } else { count })))
}

fn indented(args: Given<'_>) -> Result<String, String> {
    let (pad, whole) = (blanks(int(&args[0]))?, text(&args[1]));
    bounded(pad.len().saturating_mul(whole.matches('\n').count() + 1).saturating_add(whole.len()))?;
    Ok(pad.clone() + &whole.replace('\n', &format!("\n{pad}")))
}

pub(super) fn indent(args: Given<'_>) -> Got {
    Ok(Value::text(&indented(args)?))
}

pub(super) fn new_line_indent(args: Given<'_>) -> Got {
    Ok(Value::text(&format!("\n{}", indented(args)?)))
}

/// Cut, or filled with blanks, to a number of characters; `right` keeps and moves the text to the end.
fn aligned(args: Given<'_>, right: bool) -> Got {
    let (Ok(width), whole) = (usize::try_from(int(&args[0])), text(&args[1])) else { return Ok(args[1].clone()) };
    let len = whole.chars().count();
    if len <= width {
        let pad = blanks((width - len) as i64)?;
        return Ok(Value::text(&if right { pad + whole } else { whole.to_owned() + &pad }));
    }
    let cut = if right { whole.chars().skip(len - width).collect::<String>() } else { whole.chars().take(width).collect() };
    Ok(Value::text(&cut))
}

pub(super) fn align_left(args: Given<'_>) -> Got {
    aligned(args, false)
}

pub(super) fn align_right(args: Given<'_>) -> Got {
    aligned(args, true)
}

pub(super) fn url_encode(args: Given<'_>) -> Got {
    Ok(Value::text(&gotmpl::url_encode(text(&args[0]))))
}

pub(super) fn url_decode(args: Given<'_>) -> Got {
    let mut rest = text(&args[0]).as_bytes();
    let mut out = Vec::with_capacity(rest.len());
    while let [first, after @ ..] = rest {
        rest = after;
        match first {
            b'+' => out.push(b' '),
            b'%' => {
                let byte = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
                let byte = byte
                    .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
                    .and_then(|digits| u8::from_str_radix(digits, 16).ok());
                let Some(byte) = byte else {
                    let shown = String::from_utf8_lossy(&after[..after.len().min(2)]).into_owned();
                    return Err(format!("invalid URL escape {:?}", format!("%{shown}")));
                };
                out.push(byte);
                rest = &after[2..];
            }
            other => out.push(*other),
        }
    }
    Ok(lossy(&out))
}

pub(super) fn base64_encode(args: Given<'_>) -> Got {
    Ok(Value::text(&STANDARD.encode(text(&args[0]))))
}

/// What does not decode gives the text of the error.
pub(super) fn base64_decode(args: Given<'_>) -> Got {
    let encoded = text(&args[0]);
    let missing = if matches!(encoded.len() % 4, 2 | 3) { 4 - encoded.len() % 4 } else { 0 };
    let mut out = vec![0; encoded.len()];
    let decoded = STANDARD.decode_slice(encoded.to_owned() + &"=".repeat(missing), &mut out);
    Ok(match decoded {
        Ok(len) => lossy(&out[..len]),
        Err(error) => {
            let at = match error {
                DecodeSliceError::DecodeError(DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _)) => at,
                _ => encoded.len(),
            };
            Value::text(&format!("illegal base64 data at input byte {at}"))
        }
    })
}

/// Compiles a pattern of a template.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    regex::compile(pattern, Flags::SEARCH).map_err(|error| error.to_string())
}

pub(super) fn count(regex: &Regex, args: Given<'_>) -> Got {
    Ok(Value::Int(regex.find_iter(text(&args[0]).as_bytes()).count() as i64))
}

pub(super) fn regex_replace(regex: &Regex, args: Given<'_>) -> Got {
    replace_matches(regex, text(&args[0]), text(&args[1]).as_bytes())
}

pub(super) fn regex_replace_literal(regex: &Regex, args: Given<'_>) -> Got {
    replace_matches(regex, text(&args[0]), NoExpand(text(&args[1]).as_bytes()))
}

fn replace_matches(regex: &Regex, whole: &str, mut by: impl Replacer) -> Got {
    let mut out = Vec::new();
    let mut from = 0;
    for found in regex.captures_iter(whole.as_bytes()) {
        let range = found.get(0).expect("the whole match is there").range();
        out.extend_from_slice(&whole.as_bytes()[from..range.start]);
        by.replace_append(&found, &mut out);
        from = range.end;
        bounded(out.len())?;
    }
    out.extend_from_slice(&whole.as_bytes()[from..]);
    Ok(lossy(&out))
}
