use futures::FutureExt;
use futures::future::BoxFuture;
use skald_model::Timestamp;
use skald_model::seam::Clock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The machine's clock; sleeping needs a tokio runtime.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time begins now.
    #[allow(clippy::disallowed_methods, reason = "this is the real clock")]
    pub fn new() -> Self {
        SystemClock { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

/// Nanoseconds since 1970.
pub(super) fn timestamp(at: SystemTime) -> Timestamp {
    let nanos = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
    Timestamp(at.duration_since(UNIX_EPOCH).map_or_else(|before| -nanos(before.duration()), nanos))
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the real clock")]
    fn now(&self) -> Timestamp {
        timestamp(SystemTime::now())
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    #[allow(clippy::disallowed_methods, reason = "this is the real clock")]
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(duration).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sleeping_takes_at_least_as_long_as_asked() {
        let clock = SystemClock::new();
        let (wall, before) = (clock.now(), clock.monotonic());
        clock.sleep(Duration::from_millis(5)).await;
        assert!(clock.monotonic() >= before + Duration::from_millis(5));
        assert!(wall > Timestamp::from_secs(1_600_000_000));
    }
}
