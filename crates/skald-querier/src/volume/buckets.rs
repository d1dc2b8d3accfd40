//! Pieces of time whose bytes are added up.

use skald_model::Timestamp;
use std::time::Duration;

const MILLISECOND: i64 = 1_000_000;

/// A span of time, both ends inside, cut at the multiples of a step since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Buckets {
    start: Timestamp,
    end: Timestamp,
    step: i64,
    /// The first bucket counts from 1970.
    first: i64,
    count: i64,
}

impl Buckets {
    /// One bucket from `start` to `end`.
    pub(crate) fn whole(start: Timestamp, end: Timestamp) -> Self {
        Buckets { start, end, step: i64::MAX, first: 0, count: 1 }
    }

    /// Buckets of `step`, of which the last takes the end in as well.
    pub(crate) fn every(step: Duration, start: Timestamp, end: Timestamp) -> Self {
        let step = i64::try_from(step.as_nanos()).unwrap_or(i64::MAX).max(1);
        let first = start.0.div_euclid(step);
        let after = end.0.div_euclid(step) + i64::from(end.0.rem_euclid(step) != 0);
        Buckets { start, end, step, first, count: (after - first).max(1) }
    }

    /// The first and the last instant.
    pub(crate) fn ends(&self) -> (Timestamp, Timestamp) {
        (self.start, self.end)
    }

    /// The first instant behind a bucket, if another follows.
    pub(crate) fn after(&self, bucket: u32) -> Option<Timestamp> {
        let next = i64::from(bucket) + 1;
        (next < self.count).then(|| Timestamp((self.first + next).saturating_mul(self.step)))
    }

    /// The bucket of an instant, if it lies inside.
    pub(crate) fn bucket_of(&self, at: Timestamp) -> Option<u32> {
        if at < self.start || at > self.end {
            return None;
        }
        let bucket = if self.count == 1 { 0 } else { (at.0.div_euclid(self.step) - self.first).min(self.count - 1) };
        Some(bucket as u32)
    }

    /// The number of the last bucket.
    #[cfg(test)]
    pub(crate) fn last(&self) -> u32 {
        (self.count - 1) as u32
    }

    /// The bucket that holds the whole of a span.
    pub(crate) fn bucket_around(&self, min: Timestamp, max: Timestamp) -> Option<u32> {
        let bucket = self.bucket_of(min)?;
        (self.bucket_of(max) == Some(bucket)).then_some(bucket)
    }

    /// The time that a bucket is shown at: its last millisecond, and for the last bucket the end of the span.
    pub(crate) fn stamp(&self, bucket: u32) -> Timestamp {
        self.after(bucket).map_or(self.end, |after| Timestamp(after.0.saturating_sub(MILLISECOND)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn millis(millis: i64) -> Timestamp {
        Timestamp(millis * MILLISECOND)
    }

    #[track_caller]
    fn check(step: u64, start: i64, end: i64, stamps: &[i64]) {
        let buckets = Buckets::every(Duration::from_secs(step), Timestamp::from_secs(start), Timestamp::from_secs(end));
        let found: Vec<Timestamp> = (0..buckets.count as u32).map(|bucket| buckets.stamp(bucket)).collect();
        assert_eq!(found, stamps.iter().copied().map(millis).collect::<Vec<_>>());
    }

    #[test]
    fn all_buckets_but_the_last_are_stamped_with_their_last_millisecond() {
        check(3600, 7200, 14_400, &[10_799_999, 14_400_000]);
        check(3600, 7201, 14_399, &[10_799_999, 14_399_000]);
        check(60, 571, 695, &[599_999, 659_999, 695_000]);
        check(60, -61, 1, &[-60_001, -1, 1_000]);
        check(3600, 60, 120, &[120_000]);
        check(60, 60, 60, &[60_000]);
    }

    #[test]
    fn both_ends_are_inside_and_the_last_bucket_takes_the_end() {
        let secs = Timestamp::from_secs;
        let buckets = Buckets::every(Duration::from_secs(10), secs(5), secs(30));
        let of = |at: i64| buckets.bucket_of(secs(at));
        assert_eq!([4, 5, 9, 10, 29, 30, 31].map(of), [None, Some(0), Some(0), Some(1), Some(2), Some(2), None]);
        assert_eq!(buckets.bucket_around(secs(11), secs(19)), Some(1));
        assert_eq!(buckets.bucket_around(secs(11), secs(20)), None);
        assert_eq!(buckets.bucket_around(secs(29), secs(31)), None);
        assert_eq!([0, 1, 2].map(|bucket| buckets.after(bucket)), [Some(secs(10)), Some(secs(20)), None]);
        let whole = Buckets::whole(secs(5), secs(30));
        assert_eq!((whole.bucket_of(secs(30)), whole.stamp(0), whole.bucket_of(secs(31))), (Some(0), secs(30), None));
    }

    proptest! {
        #![proptest_config(skald_testkit::property(64))]

        #[test]
        fn every_instant_inside_has_one_bucket_and_is_not_behind_its_stamp_by_more_than_a_millisecond(
            step in 1..10_000u64, start in -100_000..100_000i64, len in 0..100_000i64, at in 0.0..1.0f64,
        ) {
            let buckets = Buckets::every(Duration::from_millis(step), millis(start), millis(start + len));
            let at = millis(start + (len as f64 * at) as i64);
            let bucket = buckets.bucket_of(at).expect("it is inside");
            prop_assert!(i64::from(bucket) < buckets.count);
            prop_assert!(at <= Timestamp(buckets.stamp(bucket).0 + MILLISECOND));
            prop_assert!(bucket == 0 || buckets.stamp(bucket - 1) < at);
        }

        #[test]
        fn any_span_and_step_have_buckets(step in any::<u64>(), start in any::<i64>(), end in any::<i64>()) {
            let (start, end) = (start.min(end), start.max(end));
            let buckets = Buckets::every(Duration::from_nanos(step.max(1 << 51)), Timestamp(start), Timestamp(end));
            let last = buckets.bucket_of(Timestamp(end)).expect("it is inside");
            prop_assert_eq!(buckets.stamp(last), Timestamp(end));
            prop_assert_eq!(buckets.bucket_of(Timestamp(start)), Some(0));
        }
    }
}
