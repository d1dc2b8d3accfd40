//! Functions over texts that only templates of an agent have.

use super::functions::text;
use super::numbers::int;
use super::strings::bounded;
use super::value::Value;
use ::regex::bytes::Regex;
use ::sha2::{Digest, Sha256};
use ::sha3::Sha3_256;

type Given<'a> = &'a [Value];
type Got = Result<Value, String>;

/// Hexadecimal SHA-3 of a salt and a text.
pub(super) fn sha3(args: Given<'_>) -> Got {
    Ok(hex(&Sha3_256::new().chain_update(text(&args[0])).chain_update(text(&args[1])).finalize()))
}

/// Hexadecimal SHA-256 of a salt and a text.
pub(super) fn sha2(args: Given<'_>) -> Got {
    Ok(hex(&Sha256::new().chain_update(text(&args[0])).chain_update(text(&args[1])).finalize()))
}

fn hex(bytes: &[u8]) -> Value {
    let digit = |four: u8| char::from_digit(u32::from(four), 16).expect("four bits are a digit");
    Value::text(&bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect::<String>())
}

/// The Adler-32 checksum, in decimal.
pub(super) fn adler32(args: Given<'_>) -> Got {
    let (a, b) = text(&args[0]).bytes().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(byte)) % 65_521;
        (a, (a + b) % 65_521)
    });
    Ok(Value::text(&(b << 16 | a).to_string()))
}

pub(super) fn no_space(args: Given<'_>) -> Got {
    Ok(Value::text(&text(&args[0]).chars().filter(|c| !c.is_whitespace()).collect::<String>()))
}

pub(super) fn swap_case(args: Given<'_>) -> Got {
    let swapped = |c: char| if c.is_uppercase() { c.to_lowercase().collect::<Vec<_>>() } else { c.to_uppercase().collect() };
    Ok(Value::text(&text(&args[0]).chars().flat_map(swapped).collect::<String>()))
}

/// The first letter of each word in lower case.
pub(super) fn untitle(args: Given<'_>) -> Got {
    let (mut out, mut in_word) = (String::new(), false);
    for c in text(&args[0]).chars() {
        if in_word {
            out.push(c);
        } else {
            out.extend(c.to_lowercase());
        }
        in_word = !c.is_whitespace();
    }
    Ok(Value::text(&out))
}

/// The first letter of each word.
pub(super) fn initials(args: Given<'_>) -> Got {
    Ok(Value::text(&text(&args[0]).split_whitespace().filter_map(|word| word.chars().next()).collect::<String>()))
}

/// The words of a text, as blanks, signs and capital letters part them.
fn words(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut words = vec![String::new()];
    for (at, c) in chars.iter().enumerate() {
        if !c.is_alphanumeric() {
            words.push(String::new());
            continue;
        }
        let after_small = at > 0 && (chars[at - 1].is_lowercase() || chars[at - 1].is_numeric());
        let before_small = at > 0 && chars[at - 1].is_uppercase() && chars.get(at + 1).is_some_and(|next| next.is_lowercase());
        if c.is_uppercase() && (after_small || before_small) {
            words.push(String::new());
        }
        words.last_mut().expect("there is always a word").push(*c);
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The words in lower case, joined by a sign.
pub(super) fn joined_words(text: &str, sign: char) -> Value {
    Value::text(&words(text).join(&sign.to_string()).to_lowercase())
}

/// The words, each with a capital letter.
pub(super) fn camel_case(args: Given<'_>) -> Got {
    let mut out = String::new();
    for word in words(text(&args[0])) {
        let mut chars = word.chars();
        out.extend(chars.next().into_iter().flat_map(char::to_uppercase));
        out.push_str(&chars.as_str().to_lowercase());
    }
    Ok(Value::text(&out))
}

/// Cut to a number of characters, of which the last three are points.
pub(super) fn abbreviated(args: Given<'_>) -> Got {
    let (width, whole) = (usize::try_from(int(&args[0])).unwrap_or(0), text(&args[1]));
    if width < 4 || whole.chars().count() <= width {
        return Ok(args[1].clone());
    }
    Ok(Value::text(&(whole.chars().take(width - 3).collect::<String>() + "...")))
}

/// Broken between words into lines of at most a number of characters; longer words have lines of their own.
pub(super) fn wrapped(args: Given<'_>) -> Got {
    let width = usize::try_from(int(&args[0])).unwrap_or(0).max(1);
    let (mut out, mut len) = (String::new(), 0);
    for word in text(&args[1]).split_whitespace() {
        let word_len = word.chars().count();
        if !out.is_empty() {
            let breaks = len + 1 + word_len > width;
            out.push(if breaks { '\n' } else { ' ' });
            len = if breaks { 0 } else { len + 1 };
        }
        out.push_str(word);
        len += word_len;
    }
    Ok(Value::text(&out))
}

pub(super) fn quote_meta(args: Given<'_>) -> Got {
    let special = |c: char| matches!(c, '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$');
    Ok(Value::text(&text(&args[0]).chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect::<String>()))
}

/// Each value in quotes, parted by blanks; double quotes escape what is in them.
pub(super) fn quoted(args: Given<'_>, quote: char) -> Got {
    let mut out = String::new();
    for value in args.iter().filter(|value| !matches!(value, Value::Nil)) {
        out.push_str(if out.is_empty() { "" } else { " " });
        match quote {
            '"' => skald_model::quote(&mut out, &value.to_string()),
            _ => out.push_str(&format!("{quote}{value}{quote}")),
        }
        bounded(out.len())?;
    }
    Ok(Value::text(&out))
}

/// All values, parted by blanks.
pub(super) fn cat(args: Given<'_>) -> Got {
    let texts: Vec<String> = args.iter().filter(|value| !matches!(value, Value::Nil)).map(ToString::to_string).collect();
    let joined = texts.join(" ");
    bounded(joined.len())?;
    Ok(Value::text(&joined))
}

pub(super) fn regex_match(regex: &Regex, args: Given<'_>) -> Got {
    Ok(Value::Bool(regex.is_match(text(&args[0]).as_bytes())))
}

/// The first match, empty where is none.
pub(super) fn regex_find(regex: &Regex, args: Given<'_>) -> Got {
    let found = regex.find(text(&args[0]).as_bytes());
    Ok(Value::text(&String::from_utf8_lossy(found.map_or(b"", |found| found.as_bytes()))))
}
