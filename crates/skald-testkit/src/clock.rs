use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use skald_model::Timestamp;
use skald_model::seam::Clock;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// A clock that stands still until it is advanced.
pub struct SimClock(Mutex<State>);

struct State {
    wall: Timestamp,
    monotonic: Duration,
    slept: u64,
    /// By when they wake, and the order in which they went to sleep.
    sleepers: BTreeMap<(Duration, u64), oneshot::Sender<()>>,
}

impl SimClock {
    /// A clock whose wall shows `start`.
    pub fn new(start: Timestamp) -> Arc<Self> {
        Arc::new(SimClock(Mutex::new(State { wall: start, monotonic: Duration::ZERO, slept: 0, sleepers: BTreeMap::new() })))
    }

    /// Moves both clocks on and wakes who has slept long enough, the earliest first.
    pub fn advance(&self, by: Duration) {
        let mut state = self.0.lock();
        state.wall = state.wall.plus(by);
        state.monotonic += by;
        let now = state.monotonic;
        let later = state.sleepers.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut state.sleepers, later);
        drop(state);
        for (_, wake) in due {
            let _ = wake.send(());
        }
    }

    /// Moves on to when the next sleeper wakes, and wakes it; false when nobody sleeps.
    pub fn advance_to_next_sleeper(&self) -> bool {
        let mut state = self.0.lock();
        state.sleepers.retain(|_, wake| !wake.is_canceled());
        let Some(wait) = state.sleepers.keys().next().map(|(wake_at, _)| wake_at.saturating_sub(state.monotonic)) else { return false };
        drop(state);
        self.advance(wait);
        true
    }

    /// Drives `future` to its end. Whenever it waits, time moves on to the next sleeper.
    ///
    /// # Panics
    /// When it waits and nobody sleeps: it would wait for ever.
    pub fn drive<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        loop {
            if let Some(value) = future.as_mut().now_or_never() {
                return value;
            }
            assert!(self.advance_to_next_sleeper(), "the future waits, and not for the time");
        }
    }

    /// Sets the wall clock alone, as an operator or a time server does.
    pub fn set_wall(&self, now: Timestamp) {
        self.0.lock().wall = now;
    }

    /// How many sleep.
    pub fn sleepers(&self) -> usize {
        let mut state = self.0.lock();
        state.sleepers.retain(|_, wake| !wake.is_canceled());
        state.sleepers.len()
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        self.0.lock().wall
    }

    fn monotonic(&self) -> Duration {
        self.0.lock().monotonic
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        if duration.is_zero() {
            return futures::future::ready(()).boxed();
        }
        let (wake, woken) = oneshot::channel();
        let mut state = self.0.lock();
        let key = (state.monotonic.saturating_add(duration), state.slept);
        state.slept += 1;
        state.sleepers.insert(key, wake);
        woken.map(|_| ()).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleepers_wake_when_their_time_has_come_and_not_before() {
        let clock = SimClock::new(Timestamp(0));
        let mut early = clock.sleep(Duration::from_secs(1));
        let mut late = clock.sleep(Duration::from_secs(2));
        clock.advance(Duration::from_millis(999));
        assert!((&mut early).now_or_never().is_none());
        clock.advance(Duration::from_millis(1));
        assert!((&mut early).now_or_never().is_some());
        assert!((&mut late).now_or_never().is_none());
        assert!(clock.advance_to_next_sleeper());
        assert!(late.now_or_never().is_some());
        assert!(!clock.advance_to_next_sleeper());
        assert_eq!((clock.now(), clock.monotonic()), (Timestamp::from_secs(2), Duration::from_secs(2)));
    }

    #[test]
    fn a_driven_future_finds_that_its_time_has_passed() {
        let clock = SimClock::new(Timestamp(0));
        clock.drive(async {
            for _ in 0..3 {
                clock.sleep(Duration::from_secs(20)).await;
            }
        });
        assert_eq!(clock.monotonic(), Duration::from_secs(60));
    }

    #[test]
    fn the_wall_clock_may_jump_without_waking_anyone() {
        let clock = SimClock::new(Timestamp(0));
        let sleep = clock.sleep(Duration::from_secs(1));
        clock.set_wall(Timestamp::from_secs(100));
        assert_eq!((clock.sleepers(), clock.monotonic()), (1, Duration::ZERO));
        drop(sleep);
        assert_eq!(clock.sleepers(), 0);
    }
}
