use super::build::FilterShape;
use super::{GRAM, LONG_GRAM, gram_hash, is_long_gram_byte, long_gram_hash, pair_hashes};
use crate::FormatError;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::ops::Range;

/// Most filter rows that one literal reads; the rest of a long one would hardly tell more.
const ROWS_PER_LITERAL: usize = 48;

/// What every row that matters has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilterQuery {
    /// All of these; without any, everything.
    And(Vec<FilterQuery>),
    /// Any of these; without any, nothing.
    Or(Vec<FilterQuery>),
    /// The line has these bytes in it.
    Contains {
        /// What to find.
        literal: Vec<u8>,
        /// Whether letters of other case match, in the whole of Unicode.
        ignore_case: bool,
    },
    /// The metadata `name` has exactly this value.
    MetadataEquals {
        /// Metadata name.
        name: String,
        /// Its value; an empty one passes every block.
        value: Vec<u8>,
    },
}

/// The filters of one object, without their pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterIndex {
    shape: FilterShape,
}

/// One page of filters whose checksum was right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterPage(Bytes);

impl FilterPage {
    /// Bytes of memory held.
    pub fn heap_bytes(&self) -> usize {
        self.0.len()
    }
}

impl FilterIndex {
    pub(crate) fn new(shape: FilterShape) -> Self {
        FilterIndex { shape }
    }

    pub(crate) fn shape(&self) -> &FilterShape {
        &self.shape
    }

    /// Number of pages.
    pub fn pages(&self) -> u32 {
        self.shape.pages()
    }

    /// Where a page stands in the object.
    pub fn page_range(&self, page: u32) -> Range<u64> {
        let len = self.shape.page_len() as u64;
        let start = self.shape.offset + u64::from(page) * len;
        start..start + len
    }

    /// Takes the stored bytes of a page.
    ///
    /// # Errors
    /// When they are not what was written.
    pub fn parse_page(&self, page: u32, stored: &Bytes) -> Result<FilterPage, FormatError> {
        let (part, offset) = (FilterShape::part(page), self.page_range(page).start);
        let want = self.shape.page_len();
        let found = stored.len();
        let Some((rows, crc)) = stored.split_last_chunk::<4>().filter(|_| found == want) else {
            return Err(FormatError::Length { part, offset, found: found as u64, want: want as u64 });
        };
        let (stored_crc, computed) = (u32::from_le_bytes(*crc), crc32fast::hash(rows));
        if stored_crc != computed {
            return Err(FormatError::Checksum { part, offset, stored: stored_crc, computed });
        }
        Ok(FilterPage(stored.slice(..found - 4)))
    }

    /// The pages that [`FilterIndex::matching_blocks`] will look at, ascending; none when the query tells nothing.
    pub fn pages_needed(&self, query: &FilterQuery) -> Vec<u32> {
        let mut pages = BTreeSet::new();
        self.collect_pages(query, &mut pages);
        pages.into_iter().collect()
    }

    fn collect_pages(&self, query: &FilterQuery, pages: &mut BTreeSet<u32>) {
        match query {
            FilterQuery::And(all) | FilterQuery::Or(all) => all.iter().for_each(|one| self.collect_pages(one, pages)),
            FilterQuery::Contains { .. } | FilterQuery::MetadataEquals { .. } => {
                pages.extend(hashes(query).into_iter().map(|hash| self.place(hash).0));
            }
        }
    }

    /// The blocks that may hold a row the query asks for. A page that `pages` does not have (because it is damaged) rules nothing out.
    pub fn matching_blocks<'p>(&self, query: &FilterQuery, pages: &dyn Fn(u32) -> Option<&'p FilterPage>) -> BlockSet {
        let blocks = self.shape.blocks as usize;
        match query {
            FilterQuery::And(all) => {
                let sets = all.iter().map(|one| self.matching_blocks(one, pages));
                sets.fold(BlockSet::all(blocks), |mut found, set| {
                    found.combine(&set, |one, two| one & two);
                    found
                })
            }
            FilterQuery::Or(any) => {
                let sets = any.iter().map(|one| self.matching_blocks(one, pages));
                sets.fold(BlockSet::none(blocks), |mut found, set| {
                    found.combine(&set, |one, two| one | two);
                    found
                })
            }
            FilterQuery::Contains { .. } | FilterQuery::MetadataEquals { .. } => self.matching_leaf(query, pages),
        }
    }

    fn matching_leaf<'p>(&self, query: &FilterQuery, pages: &dyn Fn(u32) -> Option<&'p FilterPage>) -> BlockSet {
        let blocks = self.shape.blocks as usize;
        let mut found = BlockSet::all(blocks);
        for hash in hashes(query) {
            let (page, row) = self.place(hash);
            if let Some(page) = pages(page) {
                found.keep(&page.0, row * blocks);
            }
            if found.is_empty() {
                break;
            }
        }
        found
    }

    /// Page, and row in the page, of a hash.
    fn place(&self, hash: u64) -> (u32, usize) {
        let row = (hash >> (64 - self.shape.width_log2)) as usize;
        ((row / self.shape.page_rows()) as u32, row % self.shape.page_rows())
    }
}

/// What must stand in a block that holds a leaf of a query; empty when nothing is known.
fn hashes(query: &FilterQuery) -> Vec<u64> {
    match query {
        FilterQuery::And(_) | FilterQuery::Or(_) => Vec::new(),
        FilterQuery::MetadataEquals { value, .. } if value.is_empty() => Vec::new(),
        FilterQuery::MetadataEquals { name, value } => pair_hashes(name, value).to_vec(),
        FilterQuery::Contains { literal, ignore_case } => literal_hashes(&literal.to_ascii_lowercase(), *ignore_case),
    }
}

fn literal_hashes(lower: &[u8], ignore_case: bool) -> Vec<u64> {
    let long = lower.windows(LONG_GRAM).filter(|gram| gram.iter().all(|byte| is_long_gram_byte(*byte)));
    let long: Vec<u64> = long.filter_map(|gram| long_gram_hash(gram.try_into().expect("a window of this length"))).collect();
    // Other cases of k, s and of letters beyond ASCII may be other bytes altogether (the Kelvin sign, the long s).
    let folds_away = |byte: &u8| ignore_case && (matches!(byte, b'k' | b's') || !byte.is_ascii());
    let short = lower.windows(GRAM).filter(|gram| !gram.iter().any(folds_away));
    let short: Vec<u64> = short.map(|gram| gram_hash(gram.try_into().expect("a window of this length"))).collect();
    let mut hashes = thin_out(&long, ROWS_PER_LITERAL / 2);
    hashes.extend(thin_out(&short, ROWS_PER_LITERAL - hashes.len()));
    hashes
}

/// At most `max` of `hashes`, from all over.
fn thin_out(hashes: &[u64], max: usize) -> Vec<u64> {
    let count = hashes.len().min(max);
    (0..count).map(|i| hashes[i * hashes.len() / count]).collect()
}

/// A set of blocks of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockSet {
    words: Vec<u64>,
}

impl BlockSet {
    /// The blocks `0..count`.
    pub fn all(count: usize) -> Self {
        let mut words = vec![u64::MAX; count / 64];
        if !count.is_multiple_of(64) {
            words.push((1 << (count % 64)) - 1);
        }
        BlockSet { words }
    }

    fn none(count: usize) -> Self {
        BlockSet { words: vec![0; count.div_ceil(64)] }
    }

    /// Whether a block is in the set.
    pub fn contains(&self, block: u32) -> bool {
        self.words.get(block as usize / 64).is_some_and(|word| word >> (block % 64) & 1 == 1)
    }

    /// Number of blocks.
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether there is no block.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Its blocks, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        (0..64 * self.words.len() as u32).filter(|block| self.contains(*block))
    }

    fn combine(&mut self, other: &BlockSet, how: impl Fn(u64, u64) -> u64) {
        self.words.iter_mut().zip(&other.words).for_each(|(one, two)| *one = how(*one, *two));
    }

    /// Leaves the blocks whose bit is set in the row that begins at `bit` of `page`.
    fn keep(&mut self, page: &[u8], bit: usize) {
        for (i, word) in self.words.iter_mut().enumerate() {
            let at = bit + 64 * i;
            let mut bytes = [0; 16];
            bytes.iter_mut().zip(page.iter().skip(at / 8).take(9)).for_each(|(to, from)| *to = *from);
            *word &= (u128::from_le_bytes(bytes) >> (at % 8)) as u64;
        }
    }
}
