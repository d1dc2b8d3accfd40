//! Rows of which only their number, their bytes and their first and last time are known.

use skald_block::Run;
use skald_index::Reference;
use skald_model::Timestamp;

/// What is known of rows of one stream that stand together, in one block or in one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Time of the first row.
    pub(crate) min: Timestamp,
    /// Time of the last row.
    pub(crate) max: Timestamp,
    /// Rows, at least one.
    pub(crate) rows: u64,
    /// Bytes of their lines.
    pub(crate) line_bytes: u64,
    /// Bytes of their metadata, as volumes count them.
    pub(crate) metadata_bytes: u64,
}

impl Piece {
    /// What a directory says of a run.
    pub(crate) fn of_run(run: &Run) -> Self {
        Piece {
            min: run.min_time,
            max: run.max_time,
            rows: u64::from(run.rows),
            line_bytes: u64::from(run.line_bytes),
            metadata_bytes: run.metadata_volume(),
        }
    }

    /// What an index says of the rows that a stream has in an object.
    pub(crate) fn of_reference(reference: &Reference) -> Self {
        let Reference { min_time, max_time, rows, line_bytes, metadata_bytes, .. } = *reference;
        Piece { min: min_time, max: max_time, rows, line_bytes, metadata_bytes }
    }

    /// Rows before `at`, as if their times lay evenly between the first and the last. Both ends are where they are said to be, so that a piece of
    /// two rows is cut exactly.
    pub(crate) fn rows_before(&self, at: Timestamp) -> u64 {
        if at <= self.min {
            return 0;
        }
        if at > self.max {
            return self.rows;
        }
        let (into, span) = (distance(self.min, at), distance(self.min, self.max));
        (into * u128::from(self.rows - 1)).div_ceil(span) as u64
    }

    /// Time of a row by its number, as [`Piece::rows_before`] has it, rounded down.
    pub(crate) fn time_of(&self, row: u64) -> Timestamp {
        let (span, last) = (distance(self.min, self.max), u128::from(self.rows - 1));
        if last == 0 {
            return self.min;
        }
        Timestamp(self.min.0.saturating_add_unsigned((u128::from(row) * span / last) as u64))
    }

    /// What the rows up to a number have of `bytes`: their share, rounded down, so that neighbouring parts add up to the whole.
    pub(crate) fn share(&self, bytes: u64, rows: u64) -> u64 {
        (u128::from(bytes) * u128::from(rows) / u128::from(self.rows.max(1))) as u64
    }
}

/// Nanoseconds from one instant to a later one.
fn distance(from: Timestamp, to: Timestamp) -> u128 {
    (i128::from(to.0) - i128::from(from.0)).max(0) as u128
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn piece(min: i64, max: i64, rows: u64) -> Piece {
        Piece { min: Timestamp(min), max: Timestamp(max), rows, line_bytes: 10 * rows, metadata_bytes: 0 }
    }

    #[track_caller]
    fn check(piece: Piece, times: &[i64]) {
        let found: Vec<i64> = (0..piece.rows).map(|row| piece.time_of(row).0).collect();
        assert_eq!(found, times);
    }

    #[test]
    fn rows_lie_evenly_between_the_first_and_the_last() {
        check(piece(5, 5, 1), &[5]);
        check(piece(5, 9, 2), &[5, 9]);
        check(piece(0, 10, 4), &[0, 3, 6, 10]);
        check(piece(7, 7, 3), &[7, 7, 7]);
        check(piece(i64::MIN, i64::MAX, 3), &[i64::MIN, -1, i64::MAX]);
    }

    proptest! {
        #![proptest_config(skald_testkit::property(64))]

        #[test]
        fn as_many_rows_lie_before_an_instant_as_have_earlier_times(min in -50i64..50, span in 0i64..100, rows in 1u64..40, at in -60i64..160) {
            let piece = piece(min, min + span, if span == 0 { rows } else { rows.max(2) });
            let earlier = (0..piece.rows).filter(|row| piece.time_of(*row) < Timestamp(at)).count() as u64;
            prop_assert_eq!(piece.rows_before(Timestamp(at)), earlier);
        }

        #[test]
        fn shares_add_up(bytes in any::<u64>(), rows in 1u64..1000, cuts in proptest::collection::btree_set(0u64..1000, 0..10)) {
            let piece = piece(0, 1000, rows);
            let mut cuts: Vec<u64> = cuts.into_iter().filter(|cut| *cut < rows).collect();
            cuts.insert(0, 0);
            cuts.push(rows);
            let parts = cuts.windows(2).map(|cut| piece.share(bytes, cut[1]) - piece.share(bytes, cut[0]));
            prop_assert_eq!(parts.sum::<u64>(), bytes);
        }
    }
}
