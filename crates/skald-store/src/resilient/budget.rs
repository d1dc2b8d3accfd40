//! How many attempts may be made beyond the first of each call.

use parking_lot::Mutex;
use std::time::Duration;

/// The time in which an empty bucket fills up without any call.
const REFILL: Duration = Duration::from_secs(60);

/// A bucket of tokens. Each further attempt takes one; each call brings a share of one, and so does time. So a sick store gets hardly more requests
/// than a sound one.
pub(super) struct Budget {
    share: f64,
    reserve: f64,
    bucket: Mutex<Bucket>,
}

struct Bucket {
    tokens: f64,
    at: Duration,
}

impl Budget {
    /// A full bucket of `reserve` tokens.
    pub(super) fn new(share: f64, reserve: u32, now: Duration) -> Self {
        let reserve = f64::from(reserve);
        Budget { share, reserve, bucket: Mutex::new(Bucket { tokens: reserve, at: now }) }
    }

    /// A call brings its share.
    pub(super) fn add_call(&self) {
        let mut bucket = self.bucket.lock();
        bucket.tokens = (bucket.tokens + self.share).min(self.reserve);
    }

    /// Takes a token for the retry of a call that failed.
    pub(super) fn take_for_retry(&self, now: Duration) -> bool {
        self.take(now, 1.0)
    }

    /// Takes a token for a read that is only slow. Half of the bucket is left to calls that failed.
    pub(super) fn take_for_hedge(&self, now: Duration) -> bool {
        self.take(now, 1.0 + self.reserve / 2.0)
    }

    /// Tokens left.
    pub(super) fn tokens(&self) -> f64 {
        self.bucket.lock().tokens
    }

    fn take(&self, now: Duration, wanted: f64) -> bool {
        let mut bucket = self.bucket.lock();
        let passed = now.saturating_sub(bucket.at).as_secs_f64() / REFILL.as_secs_f64();
        bucket.tokens = (bucket.tokens + passed * self.reserve).min(self.reserve);
        bucket.at = now;
        let enough = bucket.tokens >= wanted;
        if enough {
            bucket.tokens -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(budget: &Budget, at: u64) -> usize {
        std::iter::repeat_with(|| budget.take_for_retry(Duration::from_secs(at))).take_while(|taken| *taken).count()
    }

    #[test]
    fn calls_and_time_bring_tokens_up_to_the_reserve() {
        let budget = Budget::new(0.125, 10, Duration::ZERO);
        assert_eq!((take_all(&budget, 0), take_all(&budget, 0)), (10, 0));
        (0..24).for_each(|_| budget.add_call());
        assert_eq!(take_all(&budget, 0), 3);
        (0..1000).for_each(|_| budget.add_call());
        assert_eq!(take_all(&budget, 0), 10, "no more than the reserve is saved up");
        assert_eq!((take_all(&budget, 30), take_all(&budget, 3600)), (5, 10));
    }

    #[test]
    fn slow_reads_leave_half_of_it_to_failures() {
        let budget = Budget::new(0.1, 10, Duration::ZERO);
        let hedges = std::iter::repeat_with(|| budget.take_for_hedge(Duration::ZERO)).take_while(|taken| *taken).count();
        assert_eq!((hedges, take_all(&budget, 0)), (5, 5));
    }
}
