//! Finds bytes eight at a time. For the short values of log lines this is faster than a call that sets up wide registers.

const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = 0x8080_8080_8080_8080;
/// Behind so many bytes without a hit, long texts are left to `memchr`.
const SHORT: usize = 32;

/// A set bit for bytes that are `byte`. Of the set bits only the lowest is to be trusted.
#[inline]
pub(crate) fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ (ONES * u64::from(byte)), 1)
}

/// A set bit for bytes less than `limit`, which is at most 128. Of the set bits only the lowest is to be trusted.
#[inline]
pub(crate) fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(ONES * u64::from(limit)) & !word & TOPS
}

/// Eight bytes from `at` on, if there are so many.
#[inline]
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

/// Place of the first byte from `at` on for which `test` sets a bit in words and `byte_test` holds. They must agree, and hold for no byte
/// of 0xff.
#[inline]
pub(crate) fn find(bytes: &[u8], mut at: usize, test: impl Fn(u64) -> u64, byte_test: impl Fn(u8) -> bool) -> Option<usize> {
    while let Some(word) = word(bytes, at) {
        let hits = test(word);
        if hits != 0 {
            return Some(at + hits.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let rest = bytes.get(at..)?;
    let Some(last) = bytes.last_chunk().filter(|_| !rest.is_empty()) else {
        return rest.iter().position(|byte| byte_test(*byte)).map(|found| at + found);
    };
    // The last word once more, without what was looked at, filled up with bytes that are nothing.
    let bits = 8 * rest.len() as u32;
    let hits = test(u64::from_le_bytes(*last) >> (64 - bits) | u64::MAX << bits);
    (hits != 0).then(|| at + hits.trailing_zeros() as usize / 8)
}

/// Place of the first `"` or `\` from `at` on.
#[inline]
pub(crate) fn quote_or_escape(bytes: &[u8], at: usize) -> Option<usize> {
    let near = bytes.len().min(at.saturating_add(SHORT));
    let test = |word| equal(word, b'"') | equal(word, b'\\');
    if let Some(found) = find(&bytes[..near], at, test, |byte| matches!(byte, b'"' | b'\\')) {
        return Some(found);
    }
    memchr::memchr2(b'"', b'\\', bytes.get(near..)?).map(|found| near + found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(skald_testkit::property(500))]

        #[test]
        fn finds_what_a_look_at_each_byte_finds(bytes in proptest::collection::vec(prop_oneof![4 => 0x1fu8..0x30, 1 => any::<u8>()], 0..80), from in 0usize..90, limit in 1u8..=128) {
            let want = |test: &dyn Fn(u8) -> bool| (from..bytes.len()).find(|at| test(bytes[*at]));
            prop_assert_eq!(quote_or_escape(&bytes, from), want(&|byte| byte == b'"' || byte == b'\\'));
            prop_assert_eq!(find(&bytes, from, |word| below(word, limit), |byte| byte < limit), want(&|byte| byte < limit));
            let either = |word| equal(word, b',') | equal(word, 0xfe) | below(word, 0x21);
            let is_either = |byte| byte == b',' || byte == 0xfe || byte < 0x21;
            prop_assert_eq!(find(&bytes, from, either, is_either), want(&is_either));
        }
    }
}
