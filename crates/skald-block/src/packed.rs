//! Numbers in groups of 64: the smallest, then each number's distance from it in as many bits as the largest distance needs.

use crate::FormatError;
use crate::wire::{Reader, put_varint};

const GROUP: usize = 64;
/// Widest distance that one unaligned 8-byte load can hold at any bit offset; wider ones take 64 bits each.
const WIDTH_MAX: u32 = 56;
/// Zero bytes after the last group, so that 8-byte loads stay inside.
const PADDING: usize = 8;

/// Appends `values`; their number is kept elsewhere.
pub(crate) fn pack(out: &mut Vec<u8>, values: &[u64]) {
    for group in values.chunks(GROUP) {
        let min = group.iter().copied().min().unwrap_or(0);
        let max = group.iter().copied().max().unwrap_or(0);
        let width = match 64 - (max - min).leading_zeros() {
            bits if bits > WIDTH_MAX => 64,
            bits => bits,
        };
        put_varint(out, min);
        out.push(width as u8);
        pack_group(out, group, min, width);
    }
    out.extend_from_slice(&[0; PADDING]);
}

fn pack_group(out: &mut Vec<u8>, group: &[u64], min: u64, width: u32) {
    let (mut buffer, mut filled) = (0u128, 0);
    for value in group {
        buffer |= u128::from(value - min) << filled;
        filled += width;
        while filled >= 8 {
            out.push(buffer as u8);
            buffer >>= 8;
            filled -= 8;
        }
    }
    if filled > 0 {
        out.push(buffer as u8);
    }
}

/// Takes `count` numbers off `reader` and hands each to `each`.
pub(crate) fn unpack(reader: &mut Reader<'_>, count: usize, mut each: impl FnMut(u64)) -> Result<(), FormatError> {
    let mut left = count;
    while left > 0 {
        let len = left.min(GROUP);
        let (min, width) = (reader.varint()?, u32::from(reader.u8()?));
        if width > WIDTH_MAX && width != 64 {
            return Err(reader.malformed("a bit width is out of range"));
        }
        let bytes = (len * width as usize).div_ceil(8);
        let with_padding = reader.rest().get(..bytes + PADDING).ok_or_else(|| reader.malformed("it ends early"))?;
        unpack_group(with_padding, len, min, width, &mut each);
        reader.take(bytes)?;
        left -= len;
    }
    reader.take(PADDING).map(|_| ())
}

#[inline]
fn unpack_group(bytes: &[u8], len: usize, min: u64, width: u32, each: &mut impl FnMut(u64)) {
    let load = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    match width {
        0 => (0..len).for_each(|_| each(min)),
        64 => (0..len).for_each(|i| each(min.wrapping_add(load(8 * i)))),
        _ => {
            let mask = (1u64 << width) - 1;
            for i in 0..len {
                let bit = i * width as usize;
                each(min.wrapping_add(load(bit >> 3) >> (bit & 7) & mask));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Part;
    use proptest::prelude::*;

    fn check(values: &[u64]) {
        let mut out = Vec::new();
        pack(&mut out, values);
        let (mut reader, mut found) = (Reader::new(&out, Part::Info, 0), Vec::new());
        unpack(&mut reader, values.len(), |value| found.push(value)).expect("just packed");
        assert_eq!(found, values);
        reader.finish().expect("all of it was read");
    }

    #[test]
    fn any_width_comes_back() {
        check(&[]);
        check(&[7; 65]);
        for bits in 0..64 {
            check(&(0..130).map(|i: u64| i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> bits).collect::<Vec<_>>());
        }
        check(&[0, u64::MAX, 1]);
    }

    proptest! {
        #![proptest_config(skald_testkit::property(64))]

        #[test]
        fn random_bytes_are_an_error_or_numbers(bytes in proptest::collection::vec(any::<u8>(), 0..200), count in 0usize..300) {
            let mut seen = 0;
            let result = unpack(&mut Reader::new(&bytes, Part::Info, 0), count, |_| seen += 1);
            prop_assert!(result.is_err() || seen == count);
        }
    }
}
