//! Instants of a stream that fill whole runs in one of several inputs: their rows need not fit into memory.

use super::{JoinError, Joining};
use rustc_hash::FxHashSet;
use skald_model::Labels;
use std::ops::Range;

impl Joining<'_> {
    /// Writes all rows of one time, those of the first input before those of the second, without what an earlier one has.
    ///
    /// Rows are known by the hashes of which digests are made. They are looked through once for every class of hashes, so that a class fits into memory, and
    /// once more to be written.
    pub(super) fn join_instant(&mut self, labels: &Labels, at: i64, having: &[usize]) -> Result<(), JoinError> {
        let tied: Vec<usize> = having.iter().copied().filter(|i| self.inputs[*i].next_time() == Some(at)).collect();
        let starts: Vec<_> = tied.iter().map(|i| self.inputs[*i].position()).collect();
        let classes = tied.iter().map(|i| self.inputs[*i].rows_at_most(at)).sum::<u64>().div_ceil(self.instant_rows).max(1);
        let mut repeated: Vec<Places> = vec![Places::default(); tied.len()];
        for class in 0..classes {
            let mut seen: FxHashSet<u128> = FxHashSet::default();
            for ((i, start), repeated) in tied.iter().zip(&starts).zip(&mut repeated) {
                self.inputs[*i].go_back(start)?;
                let mut row = 0;
                while let Some(span) = self.next_rows_at(*i, at)? {
                    let (rows, _) = self.inputs[*i].take(span.end);
                    for hash in self.hasher.hashes(labels, rows, span) {
                        if (hash as u64) % classes == class && !seen.insert(hash) {
                            repeated.insert(row);
                        }
                        row += 1;
                    }
                }
            }
        }
        for ((i, start), repeated) in tied.iter().zip(&starts).zip(&repeated) {
            self.inputs[*i].go_back(start)?;
            let mut row = 0;
            while let Some(span) = self.next_rows_at(*i, at)? {
                for kept in repeated.gaps(row, span.len()) {
                    self.take(*i, labels, span.start + kept.start..span.start + kept.end)?;
                }
                self.inputs[*i].take(span.end);
                row += span.len();
            }
        }
        Ok(())
    }

    /// The next loaded rows of an input at a time.
    fn next_rows_at(&mut self, i: usize, at: i64) -> Result<Option<Range<usize>>, JoinError> {
        let input = &mut self.inputs[i];
        if input.next_time() != Some(at) {
            return Ok(None);
        }
        input.load()?;
        Ok(Some(input.rows_before(at.checked_add(1))))
    }
}

/// Numbers of rows, a bit each.
#[derive(Debug, Clone, Default)]
struct Places(Vec<u64>);

impl Places {
    fn insert(&mut self, row: usize) {
        if self.0.len() <= row / 64 {
            self.0.resize(row / 64 + 1, 0);
        }
        self.0[row / 64] |= 1 << (row % 64);
    }

    fn contains(&self, row: usize) -> bool {
        self.0.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    /// Stretches of the `len` rows from `first` on that are not among these, counted from `first`.
    fn gaps(&self, first: usize, len: usize) -> Vec<Range<usize>> {
        let mut gaps: Vec<Range<usize>> = Vec::new();
        for row in (0..len).filter(|row| !self.contains(first + row)) {
            match gaps.last_mut() {
                Some(gap) if gap.end == row => gap.end += 1,
                _ => gaps.push(row..row + 1),
            }
        }
        gaps
    }
}
