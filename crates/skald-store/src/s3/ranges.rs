//! Which ranges to ask for, and how to make those that were asked of us from them.

use bytes::{Bytes, BytesMut};
use std::ops::Range;

/// Bytes between two ranges that are rather read than asked for again.
const GAP_MAX: u64 = 16 << 10;
/// Bytes of one request; a longer range is split, so that its parts come side by side.
pub(super) const REQUEST_LEN_MAX: u64 = 16 << 20;
/// No object is as long, and no server reads a larger number as one.
const OBJECT_LEN_MAX: u64 = 1 << 53;

/// Requests for `ranges`, ascending: neighbours are joined where they fit into one, long ones are split. Empty and impossible ranges need none, but of
/// nothing else there would be no answer: the first byte is asked for then, since the answer has the size.
pub(super) fn plan(ranges: &[Range<u64>]) -> impl Iterator<Item = Range<u64>> + Send + use<> {
    let mut wanted: Vec<Range<u64>> =
        ranges.iter().filter(|range| range.start < range.end && range.end <= OBJECT_LEN_MAX).cloned().collect();
    wanted.sort_by_key(|range| (range.start, range.end));
    let mut spans: Vec<Range<u64>> = Vec::new();
    for range in wanted {
        match spans.last_mut() {
            Some(last) if joins(last, &range) => last.end = last.end.max(range.end),
            _ => spans.push(range),
        }
    }
    if spans.is_empty() {
        spans.push(0..1);
    }
    spans.into_iter().flat_map(split)
}

/// Whether a range is read with the one before it. One that overlaps is, however long both are.
fn joins(last: &Range<u64>, next: &Range<u64>) -> bool {
    next.start < last.end || (next.start - last.end < GAP_MAX && last.end.max(next.end) - last.start <= REQUEST_LEN_MAX)
}

fn split(span: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let parts = (span.end - span.start).div_ceil(REQUEST_LEN_MAX);
    (0..parts).map(move |part| {
        let start = span.start + part * REQUEST_LEN_MAX;
        start..span.end.min(start + REQUEST_LEN_MAX)
    })
}

/// What came of one request.
#[derive(Debug)]
pub(super) struct Part {
    /// Where its bytes begin in the object.
    pub(super) start: u64,
    /// All that the object has of the range.
    pub(super) bytes: Bytes,
}

impl Part {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

/// A range of ours from the parts that cover it, ascending. It owns its bytes alone unless it is the whole of a part: one that is kept does not keep its
/// neighbours in memory.
pub(super) fn assemble(range: &Range<u64>, parts: &[Part]) -> Bytes {
    if range.is_empty() {
        return Bytes::new();
    }
    if let Some(part) = parts.iter().find(|part| part.start == range.start && part.end() == range.end) {
        return part.bytes.clone();
    }
    let first = parts.partition_point(|part| part.end() <= range.start);
    let mut bytes = BytesMut::with_capacity((range.end - range.start) as usize);
    for part in parts[first..].iter().take_while(|part| part.start < range.end) {
        let (from, to) = (range.start.max(part.start), range.end.min(part.end()));
        bytes.extend_from_slice(&part.bytes[(from - part.start) as usize..(to - part.start) as usize]);
    }
    bytes.freeze()
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "lists of ranges are what this is about")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;
    const KIB: u64 = 1 << 10;

    #[track_caller]
    fn check(ranges: &[Range<u64>], want: &[Range<u64>]) {
        assert_eq!(plan(ranges).collect::<Vec<_>>(), want, "{ranges:?}");
    }

    #[test]
    fn neighbours_are_read_together_and_long_ranges_in_parts() {
        check(&[0..10, 10..20], &[0..20]);
        check(&[100..110, 0..10], &[0..110]);
        check(&[0..10, 10 + 16 * KIB - 1..16 * KIB + 20], &[0..16 * KIB + 20]);
        check(&[0..10, 10 + 16 * KIB..16 * KIB + 20], &[0..10, 10 + 16 * KIB..16 * KIB + 20]);
        check(&[0..16 * MIB, 16 * MIB..17 * MIB], &[0..16 * MIB, 16 * MIB..17 * MIB]);
        check(&[5..40 * MIB], &[5..16 * MIB + 5, 16 * MIB + 5..32 * MIB + 5, 32 * MIB + 5..40 * MIB]);
        check(&[0..20 * MIB, 10 * MIB..30 * MIB], &[0..16 * MIB, 16 * MIB..30 * MIB]);
    }

    #[test]
    fn the_size_is_asked_for_where_nothing_else_would_be() {
        check(&[], &[0..1]);
        check(&[7..7, 9..9], &[0..1]);
        #[expect(clippy::reversed_empty_ranges, reason = "such a range is one of the cases")]
        check(&[9..7], &[0..1]);
        check(&[0..u64::MAX], &[0..1]);
        check(&[7..7, 3..5], &[3..5]);
    }

    #[test]
    fn a_range_beyond_any_object_is_planned_without_holding_its_parts() {
        assert_eq!(plan(&[0..OBJECT_LEN_MAX]).next(), Some(0..REQUEST_LEN_MAX));
    }

    proptest! {
        #![proptest_config(skald_testkit::property(256))]

        #[test]
        fn every_range_is_made_from_the_parts(ranges in prop::collection::vec((0..400_000u64, 0..200_000u64), 1..12)) {
            let object: Bytes = (0..700_000u64).map(|at| ((at * 31) >> 3) as u8).collect();
            let slice = |range: &Range<u64>| object.slice(range.start as usize..range.end as usize);
            let ranges: Vec<Range<u64>> = ranges.into_iter().map(|(start, len)| start..start + len).collect();
            let parts: Vec<Part> = plan(&ranges).map(|range| Part { start: range.start, bytes: slice(&range) }).collect();
            prop_assert!(parts.windows(2).all(|pair| pair[0].end() <= pair[1].start));
            for range in &ranges {
                prop_assert_eq!(assemble(range, &parts), slice(range));
            }
        }
    }
}
