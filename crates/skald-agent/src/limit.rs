//! The rate of lines of the whole process, as `limits_config` bounds it.

use crate::intake::{Intake, NoRoom, PositionUpdate, Ticket};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use skald_model::seam::Clock;
use skald_pipeline::{Counter, Entry};
use std::sync::Arc;
use std::time::Duration;

/// Lets so many entries through to an intake; what comes faster is dropped, or waits.
pub struct Limited {
    intake: Arc<dyn Intake>,
    clock: Arc<dyn Clock>,
    /// `None` lets everything through.
    bucket: Mutex<Option<Bucket>>,
    /// Counts what is dropped.
    dropped: Counter,
}

/// How much is let through.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Entries a second.
    pub per_second: f64,
    /// Entries that may come at once.
    pub burst: u64,
    /// Whether what comes faster is dropped; else sources wait.
    pub drop: bool,
}

/// Tokens, of which each entry takes one.
#[derive(Debug)]
struct Bucket {
    rate: Rate,
    tokens: f64,
    filled: Duration,
}

impl Limited {
    /// In front of `intake`, without a limit; `dropped` counts what one will drop.
    pub fn new(intake: Arc<dyn Intake>, clock: Arc<dyn Clock>, dropped: Counter) -> Self {
        Limited { intake, clock, bucket: Mutex::new(None), dropped }
    }

    /// Goes by another limit from now on, `None` for none.
    pub fn set_rate(&self, rate: Option<Rate>) {
        let filled = self.clock.monotonic();
        *self.bucket.lock() = rate.map(|rate| Bucket { rate, tokens: rate.burst as f64, filled });
    }
}

impl Intake for Limited {
    fn offer(&self, entries: &mut Vec<Entry>, position: Option<PositionUpdate>) -> Result<Ticket, NoRoom> {
        let mut bucket = self.bucket.lock();
        let Some(bucket) = &mut *bucket else { return self.intake.offer(entries, position) };
        bucket.fill(self.clock.monotonic());
        let offered = entries.len();
        if !bucket.rate.drop {
            // One offer may take more than there is; the next one then waits longer.
            if offered > 0 && bucket.tokens < 1.0 {
                return Err(NoRoom);
            }
            let ticket = self.intake.offer(entries, position)?;
            bucket.tokens -= offered as f64;
            return Ok(ticket);
        }
        let allowed = offered.min(bucket.tokens as usize);
        let beyond = entries.split_off(allowed);
        match self.intake.offer(entries, position) {
            Ok(ticket) => {
                bucket.tokens -= allowed as f64;
                self.dropped.add(beyond.len() as u64);
                Ok(ticket)
            }
            Err(NoRoom) => {
                entries.extend(beyond);
                Err(NoRoom)
            }
        }
    }

    fn room(&self) -> BoxFuture<'static, ()> {
        let now = self.clock.monotonic();
        let pause = self.bucket.lock().as_mut().filter(|bucket| !bucket.rate.drop).map(|bucket| bucket.until_one(now)).unwrap_or_default();
        let (room, sleep) = (self.intake.room(), self.clock.sleep(pause));
        async move {
            if !pause.is_zero() {
                sleep.await;
            }
            room.await;
        }
        .boxed()
    }

    fn durable(&self, ticket: Ticket) -> BoxFuture<'static, ()> {
        self.intake.durable(ticket)
    }
}

impl Bucket {
    fn fill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * self.rate.per_second).min(self.rate.burst as f64);
        self.filled = now;
    }

    /// How long until there is a token.
    fn until_one(&mut self, now: Duration) -> Duration {
        self.fill(now);
        // Much of a year is for ever, and a rate that is next to nothing must not overflow.
        Duration::from_secs_f64(((1.0 - self.tokens) / self.rate.per_second).clamp(0.0, 1e7))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::fake::FakeIntake;
    use skald_model::Timestamp;
    use skald_pipeline::LabelSet;
    use skald_testkit::SimClock;

    fn entries(count: usize) -> Vec<Entry> {
        let entry =
            |at: usize| Entry { labels: LabelSet::new(), timestamp: Timestamp(at as i64), line: at.to_string(), metadata: Vec::new() };
        (0..count).map(entry).collect()
    }

    fn clock() -> Arc<SimClock> {
        SimClock::new(Timestamp(0))
    }

    #[test]
    fn entries_above_the_rate_are_dropped_and_counted() {
        let (clock, intake, dropped) = (clock(), FakeIntake::with_room(6), Counter::default());
        let limited = Limited::new(Arc::clone(&intake) as _, Arc::clone(&clock) as _, dropped.clone());
        limited.set_rate(Some(Rate { per_second: 2.0, burst: 3, drop: true }));
        limited.offer(&mut entries(5), None).expect("there is room");
        assert_eq!((intake.len(), dropped.get()), (3, 2));
        clock.advance(Duration::from_millis(1500));
        limited.offer(&mut entries(5), None).expect("there is room");
        assert_eq!((intake.len(), dropped.get()), (6, 4));
        clock.advance(Duration::from_secs(10));
        let mut refused = entries(5);
        assert_eq!(limited.offer(&mut refused, None), Err(NoRoom));
        assert_eq!((refused.len(), dropped.get()), (5, 4), "what is refused is neither taken nor dropped");
    }

    #[test]
    fn entries_above_the_rate_wait_for_their_time() {
        let (clock, intake) = (clock(), FakeIntake::with_room(100));
        let limited = Limited::new(Arc::clone(&intake) as _, Arc::clone(&clock) as _, Counter::default());
        limited.set_rate(Some(Rate { per_second: 2.0, burst: 3, drop: false }));
        limited.offer(&mut entries(5), None).expect("one offer may be larger than the burst");
        assert_eq!(limited.offer(&mut entries(1), None), Err(NoRoom));
        limited.offer(&mut Vec::new(), None).expect("a position alone takes no token");
        let mut room = limited.room();
        assert!((&mut room).now_or_never().is_none());
        clock.advance(Duration::from_millis(1500));
        assert!(room.now_or_never().is_some());
        limited.offer(&mut entries(1), None).expect("a token is there");
        assert_eq!(intake.len(), 6);
        assert_eq!(limited.offer(&mut entries(1), None), Err(NoRoom));
        limited.set_rate(None);
        limited.offer(&mut entries(50), None).expect("there is no limit any more");
    }
}
