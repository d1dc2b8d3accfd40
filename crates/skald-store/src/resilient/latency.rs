//! How long reads took lately.

use parking_lot::Mutex;
use std::time::Duration;

/// Reads that are looked back on, of each class.
const KEPT: usize = 200;
/// Reads without which nothing is concluded.
const KEPT_MIN: usize = 40;
/// Largest reads of each class but the last.
const CLASSES: [u64; 3] = [128 << 10, 1 << 20, 8 << 20];

/// Times of recent reads, by how many bytes were read.
#[derive(Default)]
pub(super) struct Latencies([Mutex<Recent>; CLASSES.len() + 1]);

#[derive(Default)]
struct Recent {
    times: Vec<Duration>,
    next: usize,
}

impl Latencies {
    /// A read of `bytes` took `time`.
    pub(super) fn record(&self, bytes: u64, time: Duration) {
        let mut recent = self.of(bytes).lock();
        if recent.times.len() < KEPT {
            recent.times.push(time);
        } else {
            let next = recent.next;
            recent.times[next] = time;
            recent.next = (next + 1) % KEPT;
        }
    }

    /// The time within which 95 % of recent reads of about as many bytes were through, if there were enough to tell.
    pub(super) fn p95(&self, bytes: u64) -> Option<Duration> {
        let mut times = self.of(bytes).lock().times.clone();
        let place = times.len() * 95 / 100;
        (times.len() >= KEPT_MIN).then(|| *times.select_nth_unstable(place).1)
    }

    fn of(&self, bytes: u64) -> &Mutex<Recent> {
        &self.0[CLASSES.partition_point(|largest| *largest < bytes)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(latencies: &Latencies, bytes: u64, millis: impl Iterator<Item = u64>) {
        millis.for_each(|millis| latencies.record(bytes, Duration::from_millis(millis)));
    }

    #[test]
    fn the_95th_of_100_is_known_once_there_are_enough() {
        let latencies = Latencies::default();
        record(&latencies, 0, 0..39);
        assert_eq!(latencies.p95(0), None);
        record(&latencies, 0, 39..100);
        assert_eq!(latencies.p95(0), Some(Duration::from_millis(95)));
    }

    #[test]
    fn sizes_do_not_mix_and_old_reads_are_forgotten() {
        let latencies = Latencies::default();
        for (bytes, millis) in [(128 << 10, 1), ((128 << 10) + 1, 2), (8 << 20, 3), (1 << 40, 4)] {
            record(&latencies, bytes, std::iter::repeat_n(millis, 50));
        }
        for (bytes, millis) in [(1, 1), (1 << 20, 2), (2 << 20, 3), (9 << 20, 4)] {
            assert_eq!(latencies.p95(bytes), Some(Duration::from_millis(millis)), "{bytes}");
        }
        record(&latencies, 1, std::iter::repeat_n(9, KEPT * 2));
        record(&latencies, 1, std::iter::repeat_n(7, KEPT));
        assert_eq!(latencies.p95(1), Some(Duration::from_millis(7)));
    }
}
