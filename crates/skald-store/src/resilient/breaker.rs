//! Leaves a store alone that fails too often.

use super::settings::BreakerSettings;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::time::Duration;

/// Attempts at a time that try whether the store is well again.
const TRIALS_MAX: u32 = 3;
/// What a call is told that comes while these are under way.
const TRIAL_WAIT: Duration = Duration::from_secs(1);

/// Closed: attempts go through. Open: none does, for a while. Half-open: a few do, and the first that ends decides.
pub(super) struct Breaker {
    settings: BreakerSettings,
    inner: Mutex<Inner>,
}

struct Inner {
    state: State,
    /// Ends of recent attempts, true for a failure.
    recent: VecDeque<bool>,
    /// Counts changes of state: how an attempt ended that began in an earlier state means nothing in this one.
    era: u64,
    last: String,
}

#[derive(Clone, Copy)]
enum State {
    Closed,
    Open { failing_since: Duration, until: Duration },
    HalfOpen { failing_since: Duration, trials: u32 },
}

/// Why no attempt is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rest {
    pub(super) failing_for: Duration,
    pub(super) retry_in: Duration,
    pub(super) last: String,
}

/// Leave for one attempt. One that is dropped without being [settled](Ticket::settle) counts as neither success nor failure.
pub(super) struct Ticket<'a> {
    breaker: &'a Breaker,
    era: u64,
    settled: bool,
}

impl Breaker {
    pub(super) fn new(settings: BreakerSettings) -> Self {
        let inner = Inner { state: State::Closed, recent: VecDeque::new(), era: 0, last: String::new() };
        Breaker { settings, inner: Mutex::new(inner) }
    }

    /// Whether the store is left alone just now. Changes nothing.
    pub(super) fn check(&self, now: Duration) -> Result<(), Rest> {
        self.inner.lock().check(now)
    }

    /// Leave for an attempt that begins now.
    pub(super) fn admit(&self, now: Duration) -> Result<Ticket<'_>, Rest> {
        let mut inner = self.inner.lock();
        inner.check(now)?;
        if let State::Open { failing_since, .. } = inner.state {
            inner.change(State::HalfOpen { failing_since, trials: 0 });
        }
        if let State::HalfOpen { trials, .. } = &mut inner.state {
            *trials += 1;
        }
        Ok(Ticket { breaker: self, era: inner.era, settled: false })
    }

    /// 0 closed, 1 half-open, 2 open.
    pub(super) fn level(&self) -> i64 {
        match self.inner.lock().state {
            State::Closed => 0,
            State::HalfOpen { .. } => 1,
            State::Open { .. } => 2,
        }
    }
}

impl Inner {
    fn check(&self, now: Duration) -> Result<(), Rest> {
        let (failing_since, retry_in) = match self.state {
            State::Open { failing_since, until } if now < until => (failing_since, until - now),
            State::HalfOpen { failing_since, trials } if trials >= TRIALS_MAX => (failing_since, TRIAL_WAIT),
            State::Closed | State::Open { .. } | State::HalfOpen { .. } => return Ok(()),
        };
        Err(Rest { failing_for: now.saturating_sub(failing_since), retry_in, last: self.last.clone() })
    }

    fn change(&mut self, state: State) {
        self.state = state;
        self.era += 1;
        self.recent.clear();
    }

    fn settle(&mut self, failure: Option<String>, now: Duration, settings: &BreakerSettings) {
        let failed = failure.is_some();
        match self.state {
            State::Closed => {
                if self.recent.len() >= settings.window {
                    self.recent.pop_front();
                }
                self.recent.push_back(failed);
                let failures = self.recent.iter().filter(|failed| **failed).count();
                let enough = self.recent.len() >= settings.attempts_min.max(1);
                let is_mostly_failing = enough && failures as f64 >= settings.failure_share * self.recent.len() as f64;
                let in_a_row = self.recent.iter().rev().take_while(|failed| **failed).count();
                if failed && (is_mostly_failing || in_a_row >= settings.failures_in_a_row.max(1)) {
                    self.change(State::Open { failing_since: now, until: now + settings.rest });
                }
            }
            State::HalfOpen { failing_since, .. } if failed => self.change(State::Open { failing_since, until: now + settings.rest }),
            State::HalfOpen { .. } => self.change(State::Closed),
            // Attempts of this era do not exist: none is admitted.
            State::Open { .. } => {}
        }
        self.last = failure.unwrap_or_else(|| std::mem::take(&mut self.last));
    }
}

impl Ticket<'_> {
    /// The attempt ended now, with this failure of the store, if it was one.
    pub(super) fn settle(mut self, failure: Option<String>, now: Duration) {
        self.settled = true;
        let mut inner = self.breaker.inner.lock();
        if inner.era == self.era {
            inner.settle(failure, now, &self.breaker.settings);
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let mut inner = self.breaker.inner.lock();
        let of_this_era = inner.era == self.era;
        if let State::HalfOpen { trials, .. } = &mut inner.state
            && of_this_era
        {
            *trials -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn breaker() -> Breaker {
        Breaker::new(BreakerSettings { window: 10, attempts_min: 4, failure_share: 0.5, failures_in_a_row: 10, rest: 10 * SECOND })
    }

    /// Attempts one after another at `at`, `-` failing. How many of them were let through.
    fn attempts(breaker: &Breaker, at: Duration, ends: &str) -> usize {
        let failure = |end| (end == '-').then(|| "sick".to_owned());
        ends.chars().filter_map(|end| breaker.admit(at).ok().map(|ticket| ticket.settle(failure(end), at))).count()
    }

    #[track_caller]
    fn check(ends: &str, opens: bool) {
        let breaker = breaker();
        attempts(&breaker, SECOND, ends);
        assert_eq!(breaker.level(), if opens { 2 } else { 0 }, "{ends}");
    }

    #[test]
    fn opens_at_the_share_of_failures_in_the_window_and_not_before_the_minimum() {
        check("---", false);
        check("----", true);
        check("++--", true);
        check("+++--+-+", false);
        check("+-+-", true);
        check("++++++++++----", false);
        check("++++++++++-----", true);
    }

    #[test]
    fn opens_after_so_many_failures_in_a_row_however_many_successes_are_in_the_window() {
        let settings = BreakerSettings { window: 100, attempts_min: 4, failure_share: 0.5, failures_in_a_row: 3, rest: 10 * SECOND };
        for (ends, opens) in [("++++++++++--+--", false), ("++++++++++---", true)] {
            let breaker = Breaker::new(settings.clone());
            attempts(&breaker, SECOND, ends);
            assert_eq!(breaker.level(), if opens { 2 } else { 0 }, "{ends}");
        }
    }

    #[test]
    fn an_open_one_lets_nobody_through_until_it_has_rested() {
        let breaker = breaker();
        assert_eq!(attempts(&breaker, SECOND, "------"), 4);
        let rest = breaker.check(4 * SECOND).unwrap_err();
        assert_eq!(rest, Rest { failing_for: 3 * SECOND, retry_in: 7 * SECOND, last: "sick".to_owned() });
        assert!(breaker.admit(11 * SECOND - Duration::from_nanos(1)).is_err());
        assert!(breaker.admit(11 * SECOND).is_ok());
    }

    #[test]
    fn the_first_trial_that_ends_decides() {
        let breaker = breaker();
        attempts(&breaker, SECOND, "----");
        assert_eq!(attempts(&breaker, 20 * SECOND, "-+"), 1);
        assert_eq!(breaker.check(21 * SECOND).unwrap_err().failing_for, 20 * SECOND, "it fails since the first time");
        assert_eq!(attempts(&breaker, 30 * SECOND, "+---"), 4);
        assert_eq!(breaker.level(), 0, "one success closes it, and forgets the failures before");
    }

    #[test]
    fn a_few_trials_at_a_time_and_one_that_is_given_up_makes_room() {
        let breaker = breaker();
        attempts(&breaker, SECOND, "----");
        let mut trials: Vec<_> = (0..TRIALS_MAX).map(|_| breaker.admit(20 * SECOND).ok().unwrap()).collect();
        assert_eq!(breaker.check(20 * SECOND).unwrap_err().retry_in, TRIAL_WAIT);
        trials.pop();
        assert_eq!(breaker.level(), 1);
        trials.push(breaker.admit(20 * SECOND).ok().unwrap());
        assert!(breaker.admit(20 * SECOND).is_err());
    }

    #[test]
    fn attempts_of_an_earlier_era_decide_nothing() {
        let breaker = breaker();
        let [success, failure, dropped] = [(); 3].map(|()| breaker.admit(SECOND).ok().unwrap());
        attempts(&breaker, SECOND, "----");
        success.settle(None, 2 * SECOND);
        assert_eq!(breaker.level(), 2);
        let trial = breaker.admit(20 * SECOND).ok().unwrap();
        failure.settle(Some("old".to_owned()), 20 * SECOND);
        assert_eq!(breaker.level(), 1);
        let others: Vec<_> = (1..TRIALS_MAX).map(|_| breaker.admit(20 * SECOND).ok().unwrap()).collect();
        drop(dropped);
        assert!(breaker.admit(20 * SECOND).is_err(), "it was no trial");
        drop(others);
        trial.settle(None, 21 * SECOND);
        assert_eq!(breaker.level(), 0);
    }
}
