//! Metadata columns: a byte for the encoding, then its parts. An empty value stands for a row without one.

use crate::packed::{pack, unpack};
use crate::wire::{Reader, put_bytes, put_varint};
use crate::{FormatError, PART_RAW_MAX};
use rustc_hash::FxHashMap;
use skald_model::Column;
use std::sync::Arc;

/// Each distinct value once, and a number per row.
const DICTIONARY: u8 = 0;
/// Lengths, then bytes.
const BYTES: u8 = 1;
/// Lower-case hex of even length, two digits a byte; lengths in bytes.
const HEX: u8 = 2;
/// UUIDs in lower case with dashes, 16 bytes each; lengths 0 or 16.
const UUID: u8 = 3;

const WORDS_MAX: usize = 4096;
const UUID_TEXT: usize = 36;
const UUID_DASHES: [usize; 4] = [8, 13, 18, 23];

/// Encodes a column; `out` is emptied first.
pub(crate) fn encode(column: &Column, out: &mut Vec<u8>) {
    out.clear();
    if encode_dictionary(column, out) {
        return;
    }
    if values_are(column, is_hex) {
        encode_values(column, out, HEX, |value| value.len() / 2, put_hex);
    } else if values_are(column, is_uuid) {
        encode_values(column, out, UUID, |value| value.len().min(16), put_uuid);
    } else {
        encode_values(column, out, BYTES, <[u8]>::len, |out, value| out.extend_from_slice(value));
    }
}

fn values_are(column: &Column, fits: impl Fn(&[u8]) -> bool) -> bool {
    column.present(0..column.len()).all(|(_, value)| fits(value))
}

fn encode_values(column: &Column, out: &mut Vec<u8>, encoding: u8, len: impl Fn(&[u8]) -> usize, put: impl Fn(&mut Vec<u8>, &[u8])) {
    out.push(encoding);
    let mut lengths = vec![0; column.len()];
    column.present(0..column.len()).for_each(|(row, value)| lengths[row] = len(value) as u64);
    pack(out, &lengths);
    column.present(0..column.len()).for_each(|(_, value)| put(out, value));
}

/// Whether few enough values are distinct that numbers pay.
fn encode_dictionary(column: &Column, out: &mut Vec<u8>) -> bool {
    let words_max = (column.len() / 4).clamp(16, WORDS_MAX);
    let mut words = Words::default();
    let mut ids: Vec<u16> = Vec::with_capacity(column.len());
    for (row, value) in column.present(0..column.len()) {
        if ids.len() < row {
            ids.resize(row, words.id(b""));
        }
        // Neighbours are often equal; comparing is cheaper than hashing.
        let again = ids.last().filter(|id| words.list[usize::from(**id)] == value).copied();
        ids.push(again.unwrap_or_else(|| words.id(value)));
        if words.list.len() > words_max {
            return false;
        }
    }
    if ids.len() < column.len() {
        ids.resize(column.len(), words.id(b""));
    }
    if words.list.len() > words_max {
        return false;
    }
    out.push(DICTIONARY);
    put_varint(out, words.list.len() as u64);
    words.list.iter().for_each(|word| put_bytes(out, word));
    if words.list.len() <= 256 {
        out.extend(ids.iter().map(|id| *id as u8));
    } else {
        ids.iter().for_each(|id| out.extend_from_slice(&id.to_le_bytes()));
    }
    true
}

/// Distinct values by first appearance.
#[derive(Default)]
struct Words<'a> {
    numbers: FxHashMap<&'a [u8], u16>,
    list: Vec<&'a [u8]>,
}

impl<'a> Words<'a> {
    fn id(&mut self, value: &'a [u8]) -> u16 {
        *self.numbers.entry(value).or_insert_with(|| {
            self.list.push(value);
            (self.list.len() - 1) as u16
        })
    }
}

/// Decodes what [`encode`] made of a column of `rows` rows.
pub(crate) fn decode(mut reader: Reader<'_>, rows: usize, name: Arc<str>, derived: bool) -> Result<Column, FormatError> {
    let column = match reader.u8()? {
        DICTIONARY => decode_dictionary(&mut reader, rows, name, derived)?,
        BYTES => {
            let ends = lengths(&mut reader, rows, 1)?;
            let bytes = reader.take(ends.last().map_or(0, |end| *end as usize))?.to_vec();
            Column::plain(name, derived, ends, bytes)
        }
        HEX => {
            let ends = lengths(&mut reader, rows, 2)?;
            let bytes = reader.take(ends.last().map_or(0, |end| *end as usize) / 2)?;
            let text = bytes.iter().flat_map(|byte| hex_digits(*byte)).collect();
            Column::plain(name, derived, ends, text)
        }
        UUID => decode_uuids(&mut reader, rows, name, derived)?,
        _ => return Err(reader.malformed("its encoding is unknown")),
    };
    reader.finish()?;
    Ok(column)
}

fn decode_dictionary(reader: &mut Reader<'_>, rows: usize, name: Arc<str>, derived: bool) -> Result<Column, FormatError> {
    let count = reader.at_most(WORDS_MAX, "it has too many words")?;
    let (mut ends, mut bytes) = (Vec::with_capacity(count), Vec::new());
    for _ in 0..count {
        bytes.extend_from_slice(reader.bytes()?);
        ends.push(bytes.len() as u32);
    }
    let ids: Vec<u32> = if count <= 256 {
        reader.take(rows)?.iter().map(|id| u32::from(*id)).collect()
    } else {
        reader.take(2 * rows)?.chunks_exact(2).map(|id| u32::from(u16::from_le_bytes([id[0], id[1]]))).collect()
    };
    if ids.iter().any(|id| *id as usize >= count) {
        return Err(reader.malformed("a row has an unknown word"));
    }
    Ok(Column::dictionary_of(name, derived, ids, ends, bytes))
}

/// Ends of values from their stored lengths, each of which stands for `scale` bytes.
fn lengths(reader: &mut Reader<'_>, rows: usize, scale: u64) -> Result<Vec<u32>, FormatError> {
    let (mut ends, mut end) = (Vec::with_capacity(rows), 0u64);
    unpack(reader, rows, |len| {
        end = end.saturating_add(len.saturating_mul(scale));
        ends.push(end as u32);
    })?;
    if end > 2 * PART_RAW_MAX as u64 { Err(reader.malformed("values are too long")) } else { Ok(ends) }
}

fn decode_uuids(reader: &mut Reader<'_>, rows: usize, name: Arc<str>, derived: bool) -> Result<Column, FormatError> {
    let mut ends = lengths(reader, rows, 1)?;
    let bytes = reader.take(ends.last().map_or(0, |end| *end as usize))?;
    if ends.iter().any(|end| end % 16 != 0) || ends.windows(2).any(|two| two[1] - two[0] > 16) || ends.first().is_some_and(|end| *end > 16)
    {
        return Err(reader.malformed("a UUID has another length than 16"));
    }
    let mut text = Vec::with_capacity(bytes.len() / 16 * UUID_TEXT);
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i % 16, 4 | 6 | 8 | 10) {
            text.push(b'-');
        }
        text.extend(hex_digits(*byte));
    }
    ends.iter_mut().for_each(|end| *end = *end / 16 * UUID_TEXT as u32);
    Ok(Column::plain(name, derived, ends, text))
}

fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn is_hex(value: &[u8]) -> bool {
    value.len().is_multiple_of(2) && value.iter().all(|byte| is_digit(*byte))
}

fn is_uuid(value: &[u8]) -> bool {
    let fits = |(i, byte): (usize, &u8)| if UUID_DASHES.contains(&i) { *byte == b'-' } else { is_digit(*byte) };
    value.is_empty() || value.len() == UUID_TEXT && value.iter().enumerate().all(fits)
}

fn nibble(digit: u8) -> u8 {
    if digit <= b'9' { digit - b'0' } else { digit - b'a' + 10 }
}

fn put_hex(out: &mut Vec<u8>, value: &[u8]) {
    out.extend(value.chunks_exact(2).map(|digits| nibble(digits[0]) << 4 | nibble(digits[1])));
}

fn put_uuid(out: &mut Vec<u8>, value: &[u8]) {
    let digits: Vec<u8> = value.iter().copied().filter(|byte| *byte != b'-').collect();
    put_hex(out, &digits);
}

fn hex_digits(byte: u8) -> [u8; 2] {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Part;
    use proptest::prelude::*;
    use skald_model::ColumnBuilder;

    fn column(values: &[Vec<u8>]) -> Column {
        let mut builder = ColumnBuilder::default();
        values.iter().enumerate().for_each(|(row, value)| builder.set(row, value));
        builder.finish("n".into(), false, values.len())
    }

    #[track_caller]
    fn check(encoding: u8, values: impl Iterator<Item = String>) -> usize {
        let values: Vec<Vec<u8>> = values.map(String::into_bytes).collect();
        let mut out = Vec::new();
        encode(&column(&values), &mut out);
        assert_eq!(out[0], encoding);
        let found = decode(Reader::new(&out, Part::Info, 0), values.len(), "n".into(), false).expect("just encoded");
        let found: Vec<Vec<u8>> = (0..values.len()).map(|row| found.value(row).to_vec()).collect();
        assert_eq!(found, values);
        out.len()
    }

    #[test]
    fn each_kind_of_values_has_its_encoding() {
        let hash = |i: u64| (u128::from(i) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        let uuid = |i| {
            let hex = format!("{:032x}", hash(i));
            format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
        };
        check(DICTIONARY, (0..1000).map(|i| ["info", "", "error"][i % 3].to_owned()));
        check(DICTIONARY, (0..4000).map(|i| format!("word {}", i % 999)));
        let hex = check(HEX, (0..1000).map(|i| format!("{:032x}", hash(i))));
        assert!(hex < 1000 * 17, "two digits take a byte: {hex}");
        check(HEX, (0..1000).map(|i| if i % 5 == 0 { String::new() } else { format!("{:016x}", hash(i) as u64) }));
        let uuids = check(UUID, (0..1000).map(|i| if i % 7 == 3 { String::new() } else { uuid(i) }));
        assert!(uuids < 1000 * 17);
        check(BYTES, (0..1000).map(|i| format!("{:X}", hash(i))));
        check(BYTES, (0..1000).map(|i| format!("{:033x}", hash(i))));
        check(DICTIONARY, std::iter::empty());
    }

    proptest! {
        #![proptest_config(skald_testkit::property(64))]

        #[test]
        fn random_bytes_are_an_error_or_a_column(encoding in 0u8..5, mut bytes in proptest::collection::vec(any::<u8>(), 0..300), rows in 0usize..100) {
            bytes.insert(0, encoding);
            if let Ok(column) = decode(Reader::new(&bytes, Part::Info, 0), rows, "n".into(), false) {
                prop_assert_eq!(column.len(), rows);
                (0..rows).for_each(|row| { column.value(row); });
            }
        }
    }
}
