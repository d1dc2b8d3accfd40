use std::time::Duration;

/// Time for the bytes of one attempt at most: a day.
const TRANSFER_MAX: Duration = Duration::from_secs(24 * 3600);

/// How patient [`super::Resilient`] is.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Time for one attempt, besides that for its bytes.
    pub attempt_timeout: Duration,
    /// Time for a whole call with all its attempts, besides that for its bytes.
    pub call_timeout: Duration,
    /// Bytes per second below which a transfer counts as hanging: each attempt gets the time that its bytes take at this speed.
    pub speed_min: u64,
    /// Time for one listing, which may be many requests.
    pub list_timeout: Duration,
    /// Attempts for one call, the first among them.
    pub attempts_max: u32,
    /// The pause before the first retry is drawn from zero to this; with each further retry the bound doubles.
    pub pause: Duration,
    /// Where the bound stops to double.
    pub pause_max: Duration,
    /// Further attempts, as a share of all calls, that may be made when attempts fail or are slow.
    pub retry_share: f64,
    /// Further attempts on top of that share, each minute. 0: none at all, whatever the share.
    pub retry_reserve: u32,
    /// Attempts in progress at a time. More wait.
    pub concurrency: usize,
    /// A second read is not sent earlier than this after the first.
    pub hedge_delay_min: Duration,
    /// When the store is left alone.
    pub breaker: BreakerSettings,
}

/// When a store that fails is left alone.
#[derive(Debug, Clone, PartialEq)]
pub struct BreakerSettings {
    /// Attempts that are looked back on.
    pub window: usize,
    /// Attempts without which nothing is concluded.
    pub attempts_min: usize,
    /// Share of failures at which the store is left alone.
    pub failure_share: f64,
    /// Failures in a row at which it is, however well it did before: a store that hangs fails slowly.
    pub failures_in_a_row: usize,
    /// For how long, before single attempts try whether it is well again.
    pub rest: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            attempt_timeout: Duration::from_secs(10),
            call_timeout: Duration::from_secs(60),
            speed_min: 1 << 20,
            list_timeout: Duration::from_secs(300),
            attempts_max: 4,
            pause: Duration::from_millis(100),
            pause_max: Duration::from_secs(5),
            retry_share: 0.1,
            retry_reserve: 10,
            concurrency: 64,
            hedge_delay_min: Duration::from_millis(50),
            breaker: BreakerSettings::default(),
        }
    }
}

impl Default for BreakerSettings {
    fn default() -> Self {
        BreakerSettings { window: 64, attempts_min: 20, failure_share: 0.5, failures_in_a_row: 8, rest: Duration::from_secs(10) }
    }
}

impl Settings {
    /// Time for `bytes` at the slowest speed, in whole seconds.
    pub(super) fn transfer_time(&self, bytes: u64) -> Duration {
        // Ranges that no object can have are answered at once.
        Duration::from_secs(bytes / self.speed_min.max(1)).min(TRANSFER_MAX)
    }

    /// Time for so many names to go, besides that for an attempt: a second for each 100.
    pub(super) fn time_to_delete(&self, names: usize) -> Duration {
        Duration::from_secs(names as u64 / 100).min(TRANSFER_MAX)
    }
}
