//! A bounded sample of lines that depends on which lines there were, not on the order they came in.

use super::tokens::BYTES_MAX;
use skald_model::Level;
use std::collections::BinaryHeap;

/// A line of a sample.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sampled {
    /// Where the line stands among all, by chance.
    rank: u64,
    pub(super) level: Level,
    /// As much of the line as is looked at, and a byte more if there is more.
    pub(super) line: Box<[u8]>,
}

/// The lines of lowest rank, so many as its bounds allow.
///
/// Which lines stay does not depend on the order: one that goes stands behind lines that fill the sample, and there will not be fewer of these.
#[derive(Debug)]
pub(super) struct Sample {
    lines_max: usize,
    bytes_max: usize,
    /// The one of highest rank on top.
    kept: BinaryHeap<Sampled>,
    held_bytes: usize,
    /// The lowest rank of a line that had to go; nothing behind it can stay.
    full_from: u64,
}

impl Sample {
    /// Of at most `lines_max` lines, which take `bytes_max` of memory.
    pub(super) fn new(lines_max: usize, bytes_max: usize) -> Self {
        Sample { lines_max, bytes_max, kept: BinaryHeap::new(), held_bytes: 0, full_from: u64::MAX }
    }

    /// Takes a line, if its rank is low enough. `place` tells lines apart.
    #[inline]
    pub(super) fn offer(&mut self, place: [u64; 4], level: Level, line: &[u8]) {
        let rank = place.into_iter().fold(0, |hash, part| scramble(hash ^ part));
        if rank < self.full_from {
            self.push(Sampled { rank, level, line: line[..line.len().min(BYTES_MAX + 1)].into() });
        }
    }

    fn push(&mut self, sampled: Sampled) {
        if sampled.rank >= self.full_from {
            return;
        }
        self.held_bytes += sampled.heap_bytes();
        self.kept.push(sampled);
        while (self.kept.len() > self.lines_max || self.held_bytes > self.bytes_max)
            && let Some(gone) = self.kept.pop()
        {
            self.held_bytes -= gone.heap_bytes();
            self.full_from = gone.rank;
        }
    }

    /// Adds the lines of another sample with the same bounds.
    pub(super) fn merge(&mut self, other: Sample) {
        self.full_from = self.full_from.min(other.full_from);
        while self.kept.peek().is_some_and(|last| last.rank >= self.full_from)
            && let Some(gone) = self.kept.pop()
        {
            self.held_bytes -= gone.heap_bytes();
        }
        other.kept.into_iter().for_each(|sampled| self.push(sampled));
    }

    /// Number of lines.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Bytes of memory held, about.
    pub(super) fn heap_bytes(&self) -> usize {
        self.held_bytes
    }

    /// The lines.
    pub(super) fn into_lines(self) -> Vec<Sampled> {
        self.kept.into_vec()
    }
}

impl Sampled {
    fn heap_bytes(&self) -> usize {
        self.line.len() + std::mem::size_of::<Sampled>()
    }
}

/// The finaliser of splitmix64: every bit of the input changes about half of the output.
fn scramble(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_the_same_however_lines_are_split() {
        let take = |parts: usize, bytes: usize| {
            let mut samples: Vec<Sample> = (0..parts).map(|_| Sample::new(10, bytes)).collect();
            (0..1000u64).for_each(|n| samples[n as usize % parts].offer([1, 2, n / 3, n], Level::Info, format!("line {n}").as_bytes()));
            let merged = samples.into_iter().reduce(|mut all, part| {
                all.merge(part);
                all
            });
            let mut lines = merged.expect("there are parts").into_lines();
            lines.sort();
            lines
        };
        assert_eq!(take(1, 1 << 20).len(), 10);
        assert_eq!(take(1, 1 << 20), take(7, 1 << 20));
        let few = take(1, 5 * (8 + std::mem::size_of::<Sampled>()));
        assert!((4..=6).contains(&few.len()), "{few:?}");
        assert_eq!(few, take(7, 5 * (8 + std::mem::size_of::<Sampled>())));
    }

    #[test]
    fn what_is_held_is_counted() {
        let mut sample = Sample::new(2, 1 << 20);
        (0..100u64).for_each(|n| sample.offer([0, 0, 0, n], Level::Info, &[b'x'; 5000]));
        assert_eq!((sample.len(), sample.heap_bytes()), (2, 2 * (BYTES_MAX + 1 + std::mem::size_of::<Sampled>())));
    }
}
