use super::Fields;
use memchr::{memchr, memchr2};

/// The value of the best of `fields`, whatever the case of its key, among the `key=value` pairs of a line; of equal ones the first.
///
/// Goes from one `=` to the next and looks back for the key, so that words without a value cost next to nothing.
pub(super) fn find<'a>(line: &'a [u8], fields: &Fields<'_>) -> Option<&'a [u8]> {
    let mut best: Option<(usize, usize)> = None;
    let mut at = 0;
    while let Some(equals) = memchr(b'=', &line[at..]).map(|found| at + found) {
        if let Some(rank) = key_before(line, at, equals, fields.len_max).and_then(|key| fields.any_case(key))
            && best.is_none_or(|(found, _)| rank < found)
        {
            best = Some((rank, equals + 1));
            if rank == 0 {
                break;
            }
        }
        at = skip_quoted(line, equals + 1);
    }
    best.map(|(_, start)| value_at(line, start))
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

/// Where to look for the next `=`: behind a value in quotes. A value without quotes may be searched: what stands in it is no key.
#[inline]
fn skip_quoted(line: &[u8], start: usize) -> usize {
    if line.get(start) == Some(&b'"') { closing_quote(line, start).map_or(line.len(), |end| end + 1) } else { start }
}

fn closing_quote(line: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += memchr2(b'"', b'\\', line.get(at..)?)?;
        if line[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

/// The value that begins at `start`; of a long one no more than the beginning. Nothing where the closing quote is missing: what was meant
/// as the value cannot be told from what follows.
fn value_at(line: &[u8], start: usize) -> &[u8] {
    if line.get(start) == Some(&b'"') {
        return closing_quote(line, start).map_or(&[], |end| &line[start + 1..end]);
    }
    let longest = &line[start..line.len().min(start + LEVEL_LEN_MAX)];
    longest.iter().position(|byte| *byte <= b' ').map_or(longest, |len| &longest[..len])
}

/// Longer than any spelling of a level: of a longer value no more is looked at.
const LEVEL_LEN_MAX: usize = 16;
