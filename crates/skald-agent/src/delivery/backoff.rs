use super::config::BackoffConfig;
use skald_model::seam::Random;
use std::time::Duration;

/// How long to wait before the `attempt`th try again (from 1): doubling from the shortest to the longest wait, with up to half of it taken off by chance so that
/// agents that failed together do not come back together. A server that asks for a longer wait gets that.
pub(crate) fn wait_before(config: &BackoffConfig, attempt: u32, asked: Option<Duration>, random: &dyn Random) -> Duration {
    let doubled = config.min_period.0.saturating_mul(2u32.saturating_pow(attempt.saturating_sub(1)));
    let longest = doubled.min(config.max_period.0);
    let share = (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    longest.mul_f64(1.0 - share / 2.0).max(asked.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use skald_testkit::SeededRandom;

    #[test]
    fn waits_double_up_to_the_longest_with_jitter() {
        let random = SeededRandom::new(7);
        let config = BackoffConfig::default();
        let mut waits = Vec::new();
        for (attempt, full) in [(1, 0.5), (2, 1.0), (3, 2.0), (10, 256.0), (11, 300.0), (4_000_000_000, 300.0)] {
            let wait = wait_before(&config, attempt, None, &random).as_secs_f64();
            assert!(wait > full / 2.0 && wait <= full, "{wait} before attempt {attempt}");
            waits.push(wait / full);
        }
        waits.dedup();
        assert!(waits.len() > 4, "there is jitter: {waits:?}");
    }

    #[test]
    fn a_server_can_ask_for_more_and_not_for_less() {
        let (config, random) = (BackoffConfig::default(), SeededRandom::new(7));
        assert_eq!(wait_before(&config, 1, Some(Duration::from_secs(20)), &random), Duration::from_secs(20));
        assert!(wait_before(&config, 3, Some(Duration::ZERO), &random) > Duration::from_secs(1));
    }
}
