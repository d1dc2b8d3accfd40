use super::{GRAM, LONG_GRAM, WIDTH_LOG2_MAX, gram_hash, is_long_gram_byte, long_gram_hash, page_rows, pair_hashes};
use crate::{FormatError, Part};
use skald_model::Column;

const WORDS: usize = 1 << (WIDTH_LOG2_MAX - 6);
const WIDTH_LOG2_MIN: u32 = 8;
/// Bits for each distinct gram of an average block that the width aims at, before it is made a power of two.
const BITS_PER_GRAM: f64 = 2.5;
/// Most bytes of filters per byte of lines, unless a block has few.
const SHARE_MAX: f64 = 0.0165;
/// Width that any object may have, however small its blocks: what a probe saves is worth more than the bytes.
const WIDTH_LOG2_FREE: u32 = 13;

/// Collects the filters of one object, block after block, all at the widest width.
pub struct FilterBuilder {
    current: Box<[u64; WORDS]>,
    blocks: Vec<Box<[u64]>>,
    lower: Vec<u8>,
    starts: Vec<u64>,
    raw_bytes: u64,
}

impl Default for FilterBuilder {
    fn default() -> Self {
        FilterBuilder { current: empty(), blocks: Vec::new(), lower: Vec::new(), starts: Vec::new(), raw_bytes: 0 }
    }
}

impl FilterBuilder {
    /// Adds lines, end to end, to the open block; line `i` ends at `ends[i]`.
    pub fn add_lines(&mut self, lines: &[u8], ends: &[u32]) {
        self.raw_bytes += lines.len() as u64;
        self.lower.clear();
        self.lower.extend_from_slice(lines);
        self.lower.make_ascii_lowercase();
        let mut start = 0;
        for end in ends {
            add_grams(&mut self.current, &self.lower[start..*end as usize]);
            start = *end as usize;
        }
        long_gram_starts(&self.lower, ends, &mut self.starts);
        add_long_grams(&mut self.current, &self.lower, &self.starts);
    }

    /// Adds the pairs of a metadata column of the open block.
    pub(crate) fn add_column(&mut self, column: &Column) {
        if let Some((_, words)) = column.dictionary() {
            words.iter().for_each(|value| self.add_pair(column.name(), value));
            return;
        }
        let mut last: &[u8] = b"";
        for (_, value) in column.present(0..column.len()) {
            if value != last {
                self.add_pair(column.name(), value);
                last = value;
            }
        }
    }

    fn add_pair(&mut self, name: &str, value: &[u8]) {
        if !value.is_empty() {
            pair_hashes(name, value).into_iter().for_each(|hash| set(&mut self.current, hash));
        }
    }

    /// Ends the open block.
    pub(crate) fn close_block(&mut self) {
        let full: Box<[u64]> = self.current.clone();
        self.current.fill(0);
        self.blocks.push(full);
    }

    /// Bits of each block, as a power of two.
    fn width_log2(&self) -> u32 {
        let blocks = self.blocks.len().max(1) as f64;
        let distinct: f64 = self.blocks.iter().map(|bits| distinct(bits)).sum::<f64>() / blocks;
        let wanted = (distinct * BITS_PER_GRAM).max(1.0).log2().round() as u32;
        // Blocks are rarely quite full; a width that is right for a full one is right for all.
        let affordable = (1.05 * SHARE_MAX * 8.0 * self.raw_bytes as f64 / blocks).max(1.0).log2().floor() as u32;
        wanted.min(affordable.max(WIDTH_LOG2_FREE)).clamp(WIDTH_LOG2_MIN, WIDTH_LOG2_MAX)
    }

    /// Appends the pages, each with its checksum, and gives the description.
    pub(crate) fn finish(self, out: &mut Vec<u8>) -> FilterShape {
        let shape = FilterShape { width_log2: self.width_log2(), blocks: self.blocks.len() as u32, offset: out.len() as u64 };
        let blocks: Vec<Vec<u64>> = self.blocks.iter().map(|bits| fold(bits, shape.width_log2)).collect();
        for page in transpose(&blocks, shape.width_log2).chunks(shape.page_len() - 4) {
            out.extend_from_slice(page);
            out.extend_from_slice(&crc32fast::hash(page).to_le_bytes());
        }
        shape
    }
}

/// Where the filters of an object stand and how wide they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FilterShape {
    pub(crate) width_log2: u32,
    pub(crate) blocks: u32,
    pub(crate) offset: u64,
}

impl FilterShape {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.width_log2 as u8];
        out.extend_from_slice(&self.blocks.to_le_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
        out
    }

    pub(crate) fn parse(mut reader: crate::wire::Reader<'_>) -> Result<Self, FormatError> {
        let shape = FilterShape { width_log2: u32::from(reader.u8()?), blocks: reader.u32()?, offset: u64::from_le_bytes(reader.array()?) };
        if !(WIDTH_LOG2_MIN..=WIDTH_LOG2_MAX).contains(&shape.width_log2) || shape.blocks == 0 {
            return Err(reader.malformed("filters have an impossible shape"));
        }
        reader.finish()?;
        Ok(shape)
    }

    pub(crate) fn page_rows(&self) -> usize {
        page_rows(self.blocks as usize, self.width_log2)
    }

    pub(crate) fn pages(&self) -> u32 {
        ((1usize << self.width_log2) / self.page_rows()) as u32
    }

    /// Stored bytes of each page, with its checksum.
    pub(crate) fn page_len(&self) -> usize {
        self.page_rows() * self.blocks as usize / 8 + 4
    }

    /// First byte after the last page.
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(u64::from(self.pages()) * self.page_len() as u64)
    }

    pub(crate) fn part(page: u32) -> Part {
        Part::FilterPage(page)
    }
}

/// The bits of one block at a width, for comparing with what is stored.
pub(crate) fn block_bits(lines: &[u8], ends: &[u32], columns: &[Column], width_log2: u32) -> Vec<u64> {
    let mut builder = FilterBuilder::default();
    builder.add_lines(lines, ends);
    columns.iter().for_each(|column| builder.add_column(column));
    fold(&builder.current[..], width_log2)
}

fn empty() -> Box<[u64; WORDS]> {
    vec![0; WORDS].try_into().expect("made with this length")
}

#[inline]
fn set(bits: &mut [u64; WORDS], hash: u64) {
    let at = hash >> (64 - WIDTH_LOG2_MAX);
    bits[(at >> 6) as usize] |= 1 << (at & 63);
}

fn add_grams(bits: &mut [u64; WORDS], line: &[u8]) {
    for gram in line.windows(GRAM) {
        set(bits, gram_hash(gram.try_into().expect("a window of this length")));
    }
}

fn add_long_grams(bits: &mut [u64; WORDS], lower: &[u8], starts: &[u64]) {
    for (i, word) in starts.iter().enumerate() {
        let mut left = *word;
        while left != 0 {
            let at = 64 * i + left.trailing_zeros() as usize;
            left &= left - 1;
            if let Some(hash) = lower[at..].first_chunk().and_then(|gram| long_gram_hash(*gram)) {
                set(bits, hash);
            }
        }
    }
}

/// A bit per byte at which a long gram begins; grams that cross the end of a line are left out.
fn long_gram_starts(lower: &[u8], ends: &[u32], starts: &mut Vec<u64>) {
    starts.clear();
    starts.extend(lower.chunks(64).map(class_mask));
    starts.push(0);
    for i in 0..starts.len() - 1 {
        let one = u128::from(starts[i]) | u128::from(starts[i + 1]) << 64;
        let two = one & one >> 1;
        starts[i] = (two & two >> 2 & two >> 4) as u64;
    }
    for end in ends.iter().map(|end| *end as usize) {
        (end.saturating_sub(LONG_GRAM - 1)..end).for_each(|at| starts[at / 64] &= !(1 << (at % 64)));
    }
}

/// A bit for each of up to 64 bytes: whether long grams are made of it.
fn class_mask(bytes: &[u8]) -> u64 {
    let mut classes = [0u8; 64];
    classes.iter_mut().zip(bytes).for_each(|(class, byte)| *class = u8::from(is_long_gram_byte(*byte)));
    let eight = |group: &[u8]| {
        let group = u64::from_le_bytes(group.try_into().expect("chunks of eight"));
        // Gathers the lowest bit of each byte in the highest byte.
        group.wrapping_mul(0x0102_0408_1020_4080) >> 56
    };
    classes.chunks_exact(8).rev().fold(0, |mask, group| mask << 8 | eight(group))
}

/// How many distinct hashes likely set these bits.
fn distinct(bits: &[u64]) -> f64 {
    let width = (64 * bits.len()) as f64;
    let unset = (width - bits.iter().map(|word| f64::from(word.count_ones())).sum::<f64>()).max(1.0);
    width * (width / unset).ln()
}

/// Narrows a filter: each bit is set if any of the neighbours that share its high bits was.
fn fold(bits: &[u64], width_log2: u32) -> Vec<u64> {
    let mut bits = bits.to_vec();
    for _ in width_log2..WIDTH_LOG2_MAX {
        bits = bits.chunks_exact(2).map(|two| halve(two[0]) | halve(two[1]) << 32).collect();
    }
    bits
}

/// Every two neighbouring bits as one.
fn halve(word: u64) -> u64 {
    let mut x = (word | word >> 1) & 0x5555_5555_5555_5555;
    x = (x | x >> 1) & 0x3333_3333_3333_3333;
    x = (x | x >> 2) & 0x0f0f_0f0f_0f0f_0f0f;
    x = (x | x >> 4) & 0x00ff_00ff_00ff_00ff;
    x = (x | x >> 8) & 0x0000_ffff_0000_ffff;
    (x | x >> 16) & 0xffff_ffff
}

/// A row per hash value with a bit per block, from a row per block with a bit per hash value; rows follow each other bit by bit.
fn transpose(blocks: &[Vec<u64>], width_log2: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity((blocks.len() << width_log2) / 8);
    let (mut buffer, mut filled) = (0u32, 0);
    let mut rows = vec![[0; 8]; blocks.len().div_ceil(8)];
    for at in 0..(1usize << width_log2) / 8 {
        for (square, group) in rows.iter_mut().zip(blocks.chunks(8)) {
            let mut bytes = [0; 8];
            bytes.iter_mut().zip(group).for_each(|(byte, bits)| *byte = (bits[at / 8] >> (8 * (at % 8))) as u8);
            *square = transpose_square(bytes);
        }
        for row in 0..8 {
            for (square, group) in rows.iter().zip(blocks.chunks(8)) {
                buffer |= u32::from(square[row]) << filled;
                filled += group.len();
                if filled >= 8 {
                    out.push(buffer as u8);
                    buffer >>= 8;
                    filled -= 8;
                }
            }
        }
    }
    out
}

/// Turns 8 × 8 bits around the diagonal (by swapping ever larger squares).
fn transpose_square(square: [u8; 8]) -> [u8; 8] {
    let mut x = u64::from_le_bytes(square);
    for (shift, mask) in [(7, 0x00aa_00aa_00aa_00aa), (14, 0x0000_cccc_0000_cccc), (28, 0x0000_0000_f0f0_f0f0)] {
        let swapped = (x ^ x >> shift) & mask;
        x ^= swapped ^ swapped << shift;
    }
    x.to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_turn_around_the_diagonal() {
        let square = [0b1000_0001, 2, 4, 0xff, 0, 7, 0x80, 0x55];
        let turned = transpose_square(square);
        for (row, bits) in square.iter().enumerate() {
            for (column, turned) in turned.iter().enumerate() {
                assert_eq!(bits >> column & 1, turned >> row & 1, "row {row}, column {column}");
            }
        }
    }

    #[test]
    fn folding_keeps_every_hash() {
        let mut bits = empty();
        let hashes: Vec<u64> = (1..500u64).map(|i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect();
        hashes.iter().for_each(|hash| set(&mut bits, *hash));
        for width_log2 in WIDTH_LOG2_MIN..=WIDTH_LOG2_MAX {
            let folded = fold(&bits[..], width_log2);
            assert_eq!(folded.len() * 64, 1 << width_log2);
            let has = |hash: &u64| folded[(hash >> (64 - width_log2)) as usize / 64] >> ((hash >> (64 - width_log2)) % 64) & 1 == 1;
            assert!(hashes.iter().all(has));
        }
    }
}
