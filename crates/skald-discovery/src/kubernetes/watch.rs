//! A watch that never ends: lists, follows, and begins again where it broke off.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use futures::stream::{self, BoxStream, StreamExt};
use kube::Api;
use kube::runtime::watcher::{self, Event, watcher};
use skald_model::seam::{Clock, Random};
use tracing::{info, warn};

use super::object::Observed;
use super::objects::Change;
use crate::DiscoveryStats;

/// Pause after the first failure; each further one doubles it.
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A failure after this long is a first one.
const QUIET: Duration = Duration::from_secs(120);
/// How long a list, or a page of it, may take.
const LIST_TIMEOUT: Duration = Duration::from_secs(60);
/// After so many refusals in a row by the server itself, resuming is given up for a new list.
const REFUSALS_MAX: u32 = 5;

/// What watches share with their discovery.
#[derive(Clone)]
pub(super) struct Ground {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) stats: Arc<DiscoveryStats>,
}

/// Changes of what `api` shows under `config`, each with the number `watch`.
pub(super) fn changes<K: Observed>(
    watch: usize,
    api: Api<K>,
    config: watcher::Config,
    ground: Ground,
) -> BoxStream<'static, (usize, Change)> {
    let state = Watch {
        events: Box::pin(watcher(api.clone(), config.clone())),
        api,
        config,
        ground,
        listing: false,
        failures: Failures::default(),
    };
    stream::unfold(state, move |mut state| async move {
        let change = state.next().await;
        Some(((watch, change), state))
    })
    .boxed()
}

struct Watch<K> {
    api: Api<K>,
    config: watcher::Config,
    events: Pin<Box<dyn stream::Stream<Item = Result<Event<K>, watcher::Error>> + Send>>,
    ground: Ground,
    /// A list is under way.
    listing: bool,
    failures: Failures,
}

impl<K: Observed> Watch<K> {
    async fn next(&mut self) -> Change {
        loop {
            match self.event().await {
                Ok(event) => return self.change(event),
                Err(failure) => self.fail(failure).await,
            }
        }
    }

    /// The next event. A list that takes too long is a failure; a watch may be silent, and notices a dead connection itself.
    async fn event(&mut self) -> Result<Event<K>, Failure> {
        let timeout = if self.listing { self.ground.clock.sleep(LIST_TIMEOUT) } else { Box::pin(std::future::pending()) };
        match select(self.events.next(), timeout).await {
            Either::Left((Some(Ok(event)), _)) => Ok(event),
            Either::Left((Some(Err(error)), _)) => Err(Failure::Watch(error)),
            Either::Left((None, _)) => Err(Failure::Ended),
            Either::Right(((), _)) => Err(Failure::Slow),
        }
    }

    fn change(&mut self, event: Event<K>) -> Change {
        self.listing = matches!(event, Event::Init | Event::InitApply(_));
        if !self.listing && self.failures.end() {
            info!(kind = K::KIND.name(), "kubernetes discovery follows the API server again");
        }
        match event {
            Event::Init => Change::ListBegins,
            Event::InitApply(object) => Change::Listed(object.key(), object.into_object()),
            Event::InitDone => Change::ListEnds,
            Event::Apply(object) => Change::Set(object.key(), object.into_object()),
            Event::Delete(object) => Change::Gone(object.key()),
        }
    }

    /// Counts and tells a failure, and waits before the next attempt.
    async fn fail(&mut self, failure: Failure) {
        let attempt = self.failures.count(self.ground.clock.monotonic(), failure.is_refusal());
        self.ground.stats.count_failure();
        let pause = pause(attempt, self.ground.random.next_u64());
        warn!(kind = K::KIND.name(), attempt, pause_ms = pause.as_millis() as u64, error = %failure, "cannot follow the kubernetes API server, trying again");
        if self.failures.refusals >= REFUSALS_MAX || failure.needs_new_list() {
            self.failures.refusals = 0;
            self.listing = false;
            self.events = Box::pin(watcher(self.api.clone(), self.config.clone()));
        }
        self.ground.clock.sleep(pause).await;
    }
}

/// Failures in a row.
#[derive(Default)]
struct Failures {
    attempts: u32,
    /// Those of them that the server itself answered with.
    refusals: u32,
    last: Option<Duration>,
    /// Something failed and nothing has come since.
    broken: bool,
}

impl Failures {
    /// Counts one more and says how many there are.
    fn count(&mut self, now: Duration, is_refusal: bool) -> u32 {
        if self.last.is_some_and(|last| now.saturating_sub(last) > QUIET) {
            self.attempts = 0;
            self.refusals = 0;
        }
        self.last = Some(now);
        self.broken = true;
        self.attempts = self.attempts.saturating_add(1);
        self.refusals = if is_refusal { self.refusals + 1 } else { self.refusals };
        self.attempts
    }

    /// Something came. Whether that ends a time of failures. (Their number stays until there were none for a while: a server that
    /// lists and then refuses is not to be asked without pause.)
    fn end(&mut self) -> bool {
        self.refusals = 0;
        std::mem::take(&mut self.broken)
    }
}

/// Doubled with each attempt up to the longest, then between half of that and all of it.
fn pause(attempt: u32, random: u64) -> Duration {
    let longest = PAUSE_MIN.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(PAUSE_MAX);
    longest / 2 + Duration::from_nanos(random % (longest.as_nanos() as u64 / 2))
}

/// Why a watch broke off.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{}", chain(.0))]
    Watch(watcher::Error),
    #[error("the list took longer than {} s", LIST_TIMEOUT.as_secs())]
    Slow,
    #[error("the watch ended for no reason")]
    Ended,
}

impl Failure {
    /// Whether the server itself said no, rather than the way to it.
    fn is_refusal(&self) -> bool {
        self.status().is_some()
    }

    /// Whether nothing can be resumed: the place that it would go on from is forgotten, or there is nothing to poll.
    fn needs_new_list(&self) -> bool {
        match self {
            Self::Watch(_) => self.status() == Some(410),
            Self::Slow | Self::Ended => true,
        }
    }

    /// Status that the server answered with.
    fn status(&self) -> Option<u16> {
        match self {
            Self::Watch(
                watcher::Error::InitialListFailed(kube::Error::Api(status))
                | watcher::Error::WatchStartFailed(kube::Error::Api(status))
                | watcher::Error::WatchFailed(kube::Error::Api(status)),
            ) => Some(status.code),
            Self::Watch(watcher::Error::WatchError(status)) => Some(status.code),
            _ => None,
        }
    }
}

/// The message with those of its causes, where they add something.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_the_longest_and_are_never_shorter_than_half() {
        for (attempt, longest_ms) in [(1, 500), (2, 1000), (3, 2000), (7, 30_000), (8, 30_000), (u32::MAX, 30_000)] {
            for random in [0, 1, u64::MAX / 3, u64::MAX] {
                let pause = pause(attempt, random).as_millis();
                assert!((longest_ms / 2..=longest_ms).contains(&pause), "{attempt}: {pause}");
            }
        }
    }

    #[test]
    fn failures_count_up_until_there_were_none_for_a_while() {
        let mut failures = Failures::default();
        let at = Duration::from_secs;
        assert_eq!(failures.count(at(0), true), 1);
        assert_eq!(failures.count(at(10), true), 2);
        assert!(failures.end() && !failures.end());
        assert_eq!(failures.refusals, 0);
        assert_eq!(failures.count(at(120), false), 3);
        assert_eq!(failures.refusals, 0);
        assert_eq!(failures.count(at(241), true), 1);
        assert_eq!(failures.refusals, 1);
    }
}
