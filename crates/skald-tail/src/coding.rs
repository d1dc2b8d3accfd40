//! Character encodings: where lines end, and what they say.

use crate::target::TargetError;
use encoding_rs::Encoding;
use std::borrow::Cow;

/// How bytes become characters. UTF-16 and UTF-32 are told by the byte order mark where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Utf8,
    Utf16 {
        big: bool,
    },
    Utf32 {
        big: bool,
    },
    /// One of the encodings in which the byte 0x0A is always the end of a line.
    Table(&'static Encoding),
}

/// Byte order marks; the longer before those that they begin with.
const MARKS: [(&[u8], Coding); 5] = [
    (&[0xff, 0xfe, 0, 0], Coding::Utf32 { big: false }),
    (&[0, 0, 0xfe, 0xff], Coding::Utf32 { big: true }),
    (&[0xff, 0xfe], Coding::Utf16 { big: false }),
    (&[0xfe, 0xff], Coding::Utf16 { big: true }),
    (&[0xef, 0xbb, 0xbf], Coding::Utf8),
];

impl Coding {
    /// By its IANA name; UTF-8 when empty.
    pub(crate) fn named(name: &str) -> Result<Self, TargetError> {
        let plain = name.trim().to_ascii_lowercase().replace('_', "-");
        Ok(match plain.as_str() {
            "" | "utf-8" | "utf8" => Coding::Utf8,
            "utf-16" | "utf-16le" => Coding::Utf16 { big: false },
            "utf-16be" => Coding::Utf16 { big: true },
            "utf-32" | "utf-32le" => Coding::Utf32 { big: false },
            "utf-32be" => Coding::Utf32 { big: true },
            _ => match Encoding::for_label_no_replacement(plain.as_bytes()) {
                Some(encoding) => Coding::Table(encoding),
                None => return Err(TargetError::Encoding { name: name.to_owned() }),
            },
        })
    }

    /// What a file that begins with `head` is in, and the length of its byte order mark. Tables have no mark.
    pub(crate) fn of_file(self, head: &[u8]) -> (Self, usize) {
        let mark = MARKS.iter().find(|(mark, _)| head.starts_with(mark));
        match (self, mark) {
            (Coding::Table(_), _) | (_, None) => (self, 0),
            (_, Some((mark, coding))) => (*coding, mark.len()),
        }
    }

    /// Bytes of a code unit.
    pub(crate) fn width(self) -> usize {
        match self {
            Coding::Utf8 | Coding::Table(_) => 1,
            Coding::Utf16 { .. } => 2,
            Coding::Utf32 { .. } => 4,
        }
    }

    /// Where the first end of a line begins in `bytes`, which begin with a whole code unit.
    pub(crate) fn line_end(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Coding::Utf8 | Coding::Table(_) => memchr::memchr(b'\n', bytes),
            Coding::Utf16 { big } => unit_at(bytes, if big { &[0, b'\n'] } else { &[b'\n', 0] }),
            Coding::Utf32 { big } => unit_at(bytes, if big { &[0, 0, 0, b'\n'] } else { &[b'\n', 0, 0, 0] }),
        }
    }

    /// At most `max` bytes of a long line, without cutting a character where that can be seen.
    pub(crate) fn cut(self, bytes: &[u8], max: usize) -> usize {
        let end = max.min(bytes.len());
        let end = match self {
            Coding::Table(_) => end,
            Coding::Utf8 => {
                (end.saturating_sub(3)..=end).rev().find(|&at| bytes.get(at).is_none_or(|byte| byte & 0xc0 != 0x80)).unwrap_or(end)
            }
            Coding::Utf16 { big } => {
                let end = end & !1;
                let lead = end.checked_sub(2).and_then(|at| bytes.get(if big { at } else { at + 1 }));
                if lead.is_some_and(|byte| byte & 0xfc == 0xd8) { end - 2 } else { end }
            }
            Coding::Utf32 { .. } => end & !3,
        };
        if end == 0 { max.min(bytes.len()) } else { end }
    }

    /// The characters, and whether some bytes were none and were replaced.
    pub(crate) fn decode(self, bytes: &[u8]) -> (Cow<'_, str>, bool) {
        match self {
            Coding::Utf8 => encoding_rs::UTF_8.decode_without_bom_handling(bytes),
            Coding::Utf16 { big: false } => encoding_rs::UTF_16LE.decode_without_bom_handling(bytes),
            Coding::Utf16 { big: true } => encoding_rs::UTF_16BE.decode_without_bom_handling(bytes),
            Coding::Utf32 { big } => {
                let mut replaced = false;
                let text = bytes.chunks(4).map(|unit| char_of(unit, big).unwrap_or_else(|| bad(&mut replaced))).collect::<String>();
                (Cow::Owned(text), replaced)
            }
            Coding::Table(encoding) => encoding.decode_without_bom_handling(bytes),
        }
    }
}

fn char_of(unit: &[u8], big: bool) -> Option<char> {
    let unit: [u8; 4] = unit.try_into().ok()?;
    char::from_u32(if big { u32::from_be_bytes(unit) } else { u32::from_le_bytes(unit) })
}

fn bad(replaced: &mut bool) -> char {
    *replaced = true;
    char::REPLACEMENT_CHARACTER
}

/// Where `unit` first stands at a multiple of its length. (Two hits cannot overlap: a unit has one byte that is not zero.)
fn unit_at(bytes: &[u8], unit: &[u8]) -> Option<usize> {
    memchr::memmem::find_iter(bytes, unit).find(|at| at % unit.len() == 0)
}

#[cfg(test)]
mod tests;
