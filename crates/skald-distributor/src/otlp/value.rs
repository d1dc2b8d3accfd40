//! Values as text: texts as they are, numbers in decimal, bytes in base64, lists and maps as compact JSON with sorted keys.

use crate::error::PushFailure;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use skald_proto::otlp::{AnyValue, Array, Attribute, Map};
use std::io::Write;

/// How deep values may nest.
const DEPTH_MAX: usize = 64;
/// Most names of maps that are sorted at a time.
const MEMBERS_MAX: usize = 1 << 16;

fn too_deep() -> PushFailure {
    PushFailure::Decode(format!("values nest deeper than {DEPTH_MAX}"))
}

/// Name of a value that is no map.
#[derive(Debug, Clone, Copy)]
pub enum Name<'b, 'p> {
    /// The key of the attribute itself.
    Key(&'b [u8]),
    /// Keys on the way to it, joined by `_`.
    Path(&'p [u8]),
}

/// Calls `each` with every value of `attribute` that is no map: the attribute's own, or those within its map.
///
/// # Errors
/// Those of `each`, and when the attribute is malformed or nests too deeply.
pub fn for_each_leaf<'b>(
    attribute: Attribute<'b>,
    each: &mut impl FnMut(Name<'b, '_>, AnyValue<'b>) -> Result<(), PushFailure>,
) -> Result<(), PushFailure> {
    match attribute.value {
        AnyValue::Map(map) => descend(map, &mut attribute.key.to_vec(), DEPTH_MAX, each),
        value => each(Name::Key(attribute.key), value),
    }
}

fn descend<'b>(
    map: Map<'b>,
    path: &mut Vec<u8>,
    depth_left: usize,
    each: &mut impl FnMut(Name<'b, '_>, AnyValue<'b>) -> Result<(), PushFailure>,
) -> Result<(), PushFailure> {
    let depth_left = depth_left.checked_sub(1).ok_or_else(too_deep)?;
    let before = path.len();
    for attribute in map.attributes() {
        let attribute = attribute?;
        path.push(b'_');
        path.extend_from_slice(attribute.key);
        match attribute.value {
            AnyValue::Map(map) => descend(map, path, depth_left, each)?,
            value => each(Name::Path(path), value)?,
        }
        path.truncate(before);
    }
    Ok(())
}

/// Appends `value` to `out`, at most `max` bytes of it.
///
/// # Errors
/// When it is malformed, nests too deeply or takes more.
pub fn write(value: AnyValue<'_>, out: &mut Vec<u8>, max: usize) -> Result<(), PushFailure> {
    match value {
        AnyValue::Empty => {}
        AnyValue::String(text) => out.extend_from_slice(text),
        AnyValue::Bytes(bytes) => base64(bytes, out),
        AnyValue::Double(number) => double(number, out),
        other => {
            let end_max = out.len().saturating_add(max);
            Json { out, end_max, members_left: MEMBERS_MAX }.value(other, DEPTH_MAX)?;
        }
    }
    Ok(())
}

fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + base64::encoded_len(bytes.len(), true).expect("four thirds of what is in memory"), 0);
    STANDARD.encode_slice(bytes, &mut out[start..]).expect("it was made long enough");
}

/// The shortest decimal that reads back as `number`, with an exponent where it is very large or small.
fn double(number: f64, out: &mut Vec<u8>) {
    let size = number.abs();
    let text = match number {
        _ if number.is_nan() => "NaN".to_owned(),
        _ if number.is_infinite() => (if number > 0.0 { "+Inf" } else { "-Inf" }).to_owned(),
        _ if size != 0.0 && size < 1e-6 => format!("{number:e}"),
        _ if size >= 1e21 => format!("{number:e}").replace('e', "e+"),
        _ => number.to_string(),
    };
    out.extend_from_slice(text.as_bytes());
}

/// Writes JSON as Go does.
struct Json<'o> {
    out: &'o mut Vec<u8>,
    end_max: usize,
    members_left: usize,
}

impl Json<'_> {
    fn value(&mut self, value: AnyValue<'_>, depth_left: usize) -> Result<(), PushFailure> {
        match value {
            AnyValue::Empty => self.out.extend_from_slice(b"null"),
            AnyValue::String(text) => self.string(text),
            AnyValue::Bool(value) => self.out.extend_from_slice(if value { b"true" } else { b"false" }),
            AnyValue::Int(number) => write!(self.out, "{number}").expect("memory takes all"),
            AnyValue::Double(number) if number.is_finite() => double(number, self.out),
            AnyValue::Double(number) => self.quoted(|out| double(number, out)),
            AnyValue::Bytes(bytes) => self.quoted(|out| base64(bytes, out)),
            AnyValue::Array(list) => self.array(list, depth_left.checked_sub(1).ok_or_else(too_deep)?)?,
            AnyValue::Map(map) => self.map(map, depth_left.checked_sub(1).ok_or_else(too_deep)?)?,
        }
        if self.out.len() > self.end_max {
            return Err(PushFailure::TooLarge("a value takes too many bytes as JSON".to_owned()));
        }
        Ok(())
    }

    fn quoted(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.out.push(b'"');
        write(self.out);
        self.out.push(b'"');
    }

    fn array(&mut self, list: Array<'_>, depth_left: usize) -> Result<(), PushFailure> {
        self.out.push(b'[');
        for (i, value) in list.values().enumerate() {
            if i > 0 {
                self.out.push(b',');
            }
            self.value(value?, depth_left)?;
        }
        self.out.push(b']');
        Ok(())
    }

    /// Members in the order of their names; of several with one name the last.
    fn map(&mut self, map: Map<'_>, depth_left: usize) -> Result<(), PushFailure> {
        let mut members = Vec::new();
        for attribute in map.attributes() {
            if members.len() >= self.members_left {
                return Err(PushFailure::TooLarge(format!("a value has more than {MEMBERS_MAX} names")));
            }
            members.push(attribute?);
        }
        self.members_left -= members.len();
        members.sort_by_key(|attribute| attribute.key);
        self.out.push(b'{');
        let mut is_first = true;
        for (i, member) in members.iter().enumerate() {
            if members.get(i + 1).is_some_and(|next| next.key == member.key) {
                continue;
            }
            if !std::mem::take(&mut is_first) {
                self.out.push(b',');
            }
            self.string(member.key);
            self.out.push(b':');
            self.value(member.value, depth_left)?;
        }
        self.out.push(b'}');
        self.members_left += members.len();
        Ok(())
    }

    fn string(&mut self, text: &[u8]) {
        self.out.push(b'"');
        for chunk in text.utf8_chunks() {
            escape(chunk.valid(), self.out);
            for _ in chunk.invalid() {
                self.out.extend_from_slice(b"\\ufffd");
            }
        }
        self.out.push(b'"');
    }
}

/// What JSON must escape, and what HTML would read.
fn escape(text: &str, out: &mut Vec<u8>) {
    let is_plain = |c: char| c >= ' ' && !matches!(c, '"' | '\\' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}');
    let mut rest = text;
    while let Some(at) = rest.find(|c| !is_plain(c)) {
        let (before, from) = rest.split_at(at);
        out.extend_from_slice(before.as_bytes());
        let c = from.chars().next().expect("it was found there");
        match c {
            '"' | '\\' => out.extend([b'\\', c as u8]),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\u{c}' => out.extend_from_slice(b"\\f"),
            c => write!(out, "\\u{:04x}", u32::from(c)).expect("memory takes all"),
        }
        rest = &from[c.len_utf8()..];
    }
    out.extend_from_slice(rest.as_bytes());
}

#[cfg(test)]
mod tests;
