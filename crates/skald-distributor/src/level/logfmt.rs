use super::Fields;
use memchr::{memchr, memchr2};

/// The value of the best of `fields`, whatever the case of its key, among the `key=value` pairs of a line; of equal ones the first.
///
/// Goes from one `=` to the next and looks back for the key, so that words without a value cost next to nothing.
pub(super) fn find<'a>(line: &'a [u8], fields: &Fields<'_>) -> Option<&'a [u8]> {
    let mut best: Option<(usize, &[u8])> = None;
    let mut at = 0;
    while let Some(equals) = memchr(b'=', &line[at..]).map(|found| at + found) {
        let value = value_at(line, equals + 1);
        if let Some(rank) = key_before(line, at, equals, fields.len_max).and_then(|key| fields.any_case(key))
            && best.is_none_or(|(found, _)| rank < found)
        {
            best = Some((rank, value.text));
            if rank == 0 {
                break;
            }
        }
        at = value.next;
    }
    best.map(|(_, value)| value)
}

/// The key that ends at `equals`: it begins after a blank or with the line. None when it is longer than `len_max`, or stands inside the value
/// that began at `floor`.
#[inline]
fn key_before(line: &[u8], floor: usize, equals: usize, len_max: usize) -> Option<&[u8]> {
    let key = line[floor..equals].iter().rev().take(len_max + 1).take_while(|byte| **byte > b' ').count();
    let start = equals - key;
    let begins = start == 0 || line[start - 1] <= b' ';
    (begins && key > 0).then(|| &line[start..equals])
}

struct Value<'a> {
    text: &'a [u8],
    /// Where to go on: behind a quoted value, at the beginning of another, which has an end but needs no search for it.
    next: usize,
}

#[inline]
fn value_at(line: &[u8], start: usize) -> Value<'_> {
    if line.get(start) != Some(&b'"') {
        let rest = &line[start..];
        let longest = &rest[..rest.len().min(LEVEL_LEN_MAX)];
        let len = longest.iter().position(|byte| *byte <= b' ').unwrap_or(longest.len());
        return Value { text: &rest[..len], next: start };
    }
    let mut at = start + 1;
    while let Some(found) = line.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if line[at] == b'"' {
            return Value { text: &line[start + 1..at], next: at + 1 };
        }
        at += 2;
    }
    // The closing quote is missing: what was meant as a value cannot be told from what follows.
    Value { text: &[], next: line.len() }
}

/// Longer than any spelling of a level: of a longer value no more is looked at.
const LEVEL_LEN_MAX: usize = 16;
