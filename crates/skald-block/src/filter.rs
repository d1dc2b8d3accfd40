//! Which blocks may hold a text: a bit per block and hash value of every gram in it.
//!
//! A gram is a window of 4 bytes of a line; or of 6 bytes that are all hex digits, dots or colons, of which every other one without dot and colon is
//! left out, by its hash; or a whole `name=value` of metadata. ASCII letters of lines count as lower case. Every gram sets the one bit that its hash names, so a text whose grams do not all stand in a block is not in it.

mod build;
mod probe;

pub use build::FilterBuilder;
pub(crate) use build::{FilterShape, block_bits};
pub use probe::{BlockSet, FilterIndex, FilterPage, FilterQuery};

/// Widest filter: this many bits of a hash.
pub(crate) const WIDTH_LOG2_MAX: u32 = 18;
/// Rows of the transposed filter go into pages of about this many bytes.
pub(crate) const PAGE_BYTES: usize = 4096;

pub(crate) const GRAM: usize = 4;
pub(crate) const LONG_GRAM: usize = 6;

const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;
const LONG_MULTIPLIER: u64 = 0xD6E8_FEB8_6659_FD93;

/// The hash of four bytes, already in lower case; its high bits name the filter's bit.
#[inline]
pub(crate) fn gram_hash(gram: [u8; GRAM]) -> u64 {
    u64::from(u32::from_le_bytes(gram)).wrapping_mul(MULTIPLIER)
}

/// The hash of six bytes of addresses, times or hex numbers, already in lower case.
///
/// Of grams of hex digits alone every other one has none: random ids would otherwise fill the filter, and have grams enough.
#[inline]
pub(crate) fn long_gram_hash(gram: [u8; LONG_GRAM]) -> Option<u64> {
    let [a, b, c, d, e, f] = gram;
    let bytes = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]);
    let hash = bytes.wrapping_mul(LONG_MULTIPLIER);
    // Of the bytes of long grams only dot and colon have a low half above 9.
    let punctuated = ((bytes & 0x0f0f_0f0f_0f0f) + 0x0606_0606_0606) & 0x1010_1010_1010 != 0;
    (punctuated || hash >> 40 & 1 == 0).then_some(hash)
}

/// The hashes of a metadata pair. A text has many grams, a pair is asked for by itself: one bit of a filter that is nearly half full would pass
/// nearly half of all blocks.
pub(crate) fn pair_hashes(name: &str, value: &[u8]) -> [u64; 4] {
    let seed = xxhash_rust::xxh3::xxh3_64_with_seed(name.as_bytes(), 2);
    let hash = xxhash_rust::xxh3::xxh3_64_with_seed(value, seed);
    [hash, hash.rotate_left(16), hash.rotate_left(32), hash.rotate_left(48)]
}

/// Whether six of these in a row make a long gram.
#[inline]
pub(crate) fn is_long_gram_byte(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' | b'.' | b':')
}

/// Rows of one page, a power of two and at least 8, so that pages are whole bytes.
pub(crate) fn page_rows(blocks: usize, width_log2: u32) -> usize {
    let rows = (8 * PAGE_BYTES / blocks.max(1)).max(8);
    (1 << rows.ilog2()).min(1 << width_log2)
}

#[cfg(test)]
mod tests;
