use crate::BLOCK_STREAMS;
use std::fmt;

/// Streams of one index, by number: one bit for each stream that the index has.
#[derive(Clone, PartialEq, Eq)]
pub struct Selection {
    words: Vec<u64>,
    streams: u32,
}

impl Selection {
    /// No stream of `streams`.
    pub(crate) fn none(streams: u32) -> Self {
        Selection { words: vec![0; (streams as usize).div_ceil(64)], streams }
    }

    /// All of `streams`.
    pub(crate) fn all(streams: u32) -> Self {
        let mut all = Selection { words: vec![u64::MAX; (streams as usize).div_ceil(64)], streams };
        if !streams.is_multiple_of(64) {
            *all.words.last_mut().expect("there is a stream") = (1 << (streams % 64)) - 1;
        }
        all
    }

    /// How many streams are selected. Cost: a look at each word of 64 streams.
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether none is selected.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Whether the stream of this number is selected.
    pub fn contains(&self, stream: u32) -> bool {
        self.words.get(stream as usize / 64).is_some_and(|word| word >> (stream % 64) & 1 == 1)
    }

    /// The selected numbers, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(i, word)| ones(*word).map(move |bit| i as u32 * 64 + bit))
    }

    /// The selected streams for which `keep` holds.
    pub fn filter(mut self, keep: impl FnMut(u32) -> bool) -> Self {
        self.retain(keep);
        self
    }

    /// Selects a stream. A number that the index does not have changes nothing.
    pub(crate) fn insert(&mut self, stream: u32) {
        if stream < self.streams {
            self.words[stream as usize / 64] |= 1 << (stream % 64);
        }
    }

    pub(crate) fn remove(&mut self, stream: u32) {
        if let Some(word) = self.words.get_mut(stream as usize / 64) {
            *word &= !(1 << (stream % 64));
        }
    }

    pub(crate) fn keep(&mut self, other: &Selection) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= other);
    }

    pub(crate) fn drop_all(&mut self, other: &Selection) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= !other);
    }

    /// Keeps the selected streams for which `keep` holds.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(u32) -> bool) {
        for (i, word) in self.words.iter_mut().enumerate() {
            for bit in ones(*word) {
                if !keep(i as u32 * 64 + bit) {
                    *word &= !(1 << bit);
                }
            }
        }
    }

    /// Which streams of a row block are selected, the first in the lowest bit.
    pub(crate) fn block(&self, block: u32) -> u32 {
        const { assert!(BLOCK_STREAMS == 32, "a block is half a word") }
        self.words.get(block as usize / 2).map_or(0, |word| (word >> (32 * (block % 2))) as u32)
    }
}

/// Places of the bits set in `word`, ascending.
pub(crate) fn ones(mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros())?;
        word &= word - 1;
        Some(bit)
    })
}

impl fmt::Debug for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ends_with_the_last_stream() {
        for streams in [0, 1, 63, 64, 65, 200] {
            let all = Selection::all(streams);
            assert_eq!((all.len(), all.iter().last()), (streams as usize, streams.checked_sub(1)));
            assert_eq!((all.contains(streams), Selection::none(streams).len()), (false, 0));
        }
    }

    #[test]
    fn blocks_are_its_halves_of_words() {
        let mut some = Selection::none(100);
        [0, 31, 32, 64, 99, 100, 4000].into_iter().for_each(|stream| some.insert(stream));
        assert_eq!([0, 1, 2, 3, 4].map(|block| some.block(block)), [1 << 31 | 1, 1, 1, 8, 0]);
        some.remove(32);
        some.retain(|stream| stream != 64);
        assert_eq!(some.iter().collect::<Vec<_>>(), [0, 31, 99]);
    }
}
