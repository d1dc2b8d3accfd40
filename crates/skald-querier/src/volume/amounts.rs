//! What sources have in each bucket.

use super::buckets::Buckets;
use super::totals::Amount;
use crate::piece::Piece;
use crate::survey::Found;
use skald_block::DERIVED_VALUE_BYTES;
use skald_model::{Rows, Timestamp};

/// What of an entry has bytes that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weighing {
    Lines,
    LinesAndMetadata,
}

impl Found<'_> {
    /// Hands over what lies in each bucket. A bucket may come several times, and never without entries.
    pub(crate) fn amounts(&self, buckets: &Buckets, weighing: Weighing, mut add: impl FnMut(u32, Amount)) {
        match self {
            Found::Some => {}
            Found::Rows(rows, keep) => of_rows(rows, *keep, buckets, weighing, &mut add),
            Found::Pieces(pieces) => pieces.iter().for_each(|piece| of_piece(piece, buckets, weighing, &mut add)),
        }
    }
}

/// Bytes of each row.
fn sizes(rows: &Rows, weighing: Weighing) -> Vec<u64> {
    let mut sizes: Vec<u64> = (0..rows.len()).map(|row| rows.line(row).len() as u64).collect();
    if weighing == Weighing::LinesAndMetadata {
        for column in rows.columns() {
            for (row, value) in column.present(0..rows.len()) {
                sizes[row] += if column.is_derived() { DERIVED_VALUE_BYTES } else { (column.name().len() + value.len()) as u64 };
            }
        }
    }
    sizes
}

fn of_rows(rows: &Rows, keep: Option<&[u32]>, buckets: &Buckets, weighing: Weighing, add: &mut impl FnMut(u32, Amount)) {
    let sizes = sizes(rows, weighing);
    // Neighbours are mostly in one bucket.
    let mut current: Option<(u32, Amount)> = None;
    let mut one = |row: usize| {
        let Some(bucket) = buckets.bucket_of(Timestamp(rows.timestamps()[row])) else { return };
        match &mut current {
            Some((at, amount)) if *at == bucket => {
                amount.entries += 1;
                amount.bytes += sizes[row];
            }
            _ => {
                let next = (bucket, Amount { entries: 1, bytes: sizes[row] });
                current.replace(next).into_iter().for_each(|(bucket, amount)| add(bucket, amount));
            }
        }
    };
    match keep {
        None => (0..rows.len()).for_each(&mut one),
        Some(keep) => keep.iter().for_each(|row| one(*row as usize)),
    }
    current.into_iter().for_each(|(bucket, amount)| add(bucket, amount));
}

/// Splits a piece at the borders of buckets. Cost: a step for each bucket that has entries.
fn of_piece(piece: &Piece, buckets: &Buckets, weighing: Weighing, add: &mut impl FnMut(u32, Amount)) {
    let bytes = |rows: u64| match weighing {
        Weighing::Lines => piece.share(piece.line_bytes, rows),
        Weighing::LinesAndMetadata => piece.share(piece.line_bytes, rows) + piece.share(piece.metadata_bytes, rows),
    };
    let (start, end) = buckets.ends();
    let mut done = piece.rows_before(start);
    let all = if piece.max <= end { piece.rows } else { piece.rows_before(Timestamp(end.0.saturating_add(1))) };
    while done < all {
        let Some(bucket) = buckets.bucket_of(piece.time_of(done)) else { return };
        let until = buckets.after(bucket).map_or(all, |after| piece.rows_before(after).min(all)).max(done + 1);
        add(bucket, Amount { entries: until - done, bytes: bytes(until) - bytes(done) });
        done = until;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::time::Duration;

    proptest! {
        #![proptest_config(skald_testkit::property(128))]

        #[test]
        fn a_piece_lies_whole_and_in_order_in_its_buckets(
            min in 0i64..10_000, span in 0i64..5_000, rows in 1u64..200, line_bytes in 0u64..10_000, step in 1u64..3_000,
            start in 0i64..10_000, len in 0i64..10_000,
        ) {
            let rows = if span == 0 { rows } else { rows.max(2) };
            let piece = Piece { min: Timestamp(min), max: Timestamp(min + span), rows, line_bytes, metadata_bytes: 3 * rows };
            let of = |buckets: &Buckets| {
                let mut found = BTreeMap::<u32, Amount>::new();
                of_piece(&piece, buckets, Weighing::LinesAndMetadata, &mut |bucket, amount| {
                    assert!(amount.entries > 0);
                    let sum = found.entry(bucket).or_default();
                    sum.entries += amount.entries;
                    sum.bytes += amount.bytes;
                });
                found
            };
            // Bucket by bucket as its rows lie.
            let buckets = Buckets::every(Duration::from_nanos(step), Timestamp(start), Timestamp(start + len));
            let found = of(&buckets);
            let mut want = BTreeMap::<u32, u64>::new();
            (0..rows).filter_map(|row| buckets.bucket_of(piece.time_of(row))).for_each(|bucket| *want.entry(bucket).or_default() += 1);
            prop_assert_eq!(found.iter().map(|(bucket, amount)| (*bucket, amount.entries)).collect::<BTreeMap<_, _>>(), want);
            // However the time is cut, the parts add up to the whole.
            let sum = |found: &BTreeMap<u32, Amount>| found.values().fold((0, 0), |sum, one| (sum.0 + one.entries, sum.1 + one.bytes));
            let (first, last) = (Timestamp(i64::MIN / 2), Timestamp(i64::MAX / 2));
            let parts = [(first, Timestamp(start - 1)), (Timestamp(start), Timestamp(start + len)), (Timestamp(start + len + 1), last)];
            let of_parts = parts.map(|(from, to)| sum(&of(&Buckets::whole(from, to))));
            prop_assert_eq!(of_parts[1], sum(&found));
            prop_assert_eq!(of_parts.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1)), (rows, line_bytes + 3 * rows));
        }
    }
}
