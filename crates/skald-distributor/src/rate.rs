use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use skald_config::Limits;
use skald_model::TenantId;
use std::time::Duration;

/// A token bucket per tenant, a token a byte.
#[derive(Default)]
pub struct RateLimiter {
    buckets: Mutex<Buckets>,
}

#[derive(Default)]
struct Buckets {
    by_tenant: FxHashMap<TenantId, Bucket>,
    /// Buckets that are full again are dropped when there are this many.
    sweep_at: usize,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    missing: f64,
    at: Duration,
    /// Tokens a second when it was used last, by which the sweep tells whether it is full.
    rate: f64,
}

const SWEEP_MIN: usize = 1024;

impl RateLimiter {
    /// Takes `bytes` tokens, or none where that many are not there. Gives the part of the bucket, 0 to 1, that is used then.
    ///
    /// The bucket holds a burst and is filled at the rate of `limits`; more than a burst never passes. `now` is monotonic time.
    ///
    /// # Errors
    /// [`RateExceeded`] when the tokens are not there; none were taken.
    pub fn take(&self, tenant: &TenantId, bytes: usize, limits: &Limits, now: Duration) -> Result<f64, RateExceeded> {
        let (rate, burst) = (bytes_per_second(limits), limits.ingestion_burst_size_mb * MIB);
        let mut buckets = self.buckets.lock();
        let missing = buckets.by_tenant.get(tenant).map_or(0.0, |bucket| bucket.missing_at(now, rate));
        let after = missing + bytes as f64;
        if after > burst {
            return Err(RateExceeded);
        }
        buckets.by_tenant.insert(tenant.clone(), Bucket { missing: after, at: now, rate });
        buckets.sweep(now);
        Ok(if burst > 0.0 { after / burst } else { 1.0 })
    }
}

/// There are not enough tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateExceeded;

/// Bytes a second that a tenant may push.
pub fn bytes_per_second(limits: &Limits) -> f64 {
    limits.ingestion_rate_mb * MIB
}

const MIB: f64 = 1_048_576.0;

impl Bucket {
    fn missing_at(&self, now: Duration, rate: f64) -> f64 {
        (self.missing - rate * now.saturating_sub(self.at).as_secs_f64()).max(0.0)
    }
}

impl Buckets {
    /// Forgets buckets that are full, which say no more than none.
    fn sweep(&mut self, now: Duration) {
        if self.by_tenant.len() >= self.sweep_at.max(SWEEP_MIN) {
            self.by_tenant.retain(|_, bucket| bucket.missing_at(now, bucket.rate) > 0.0);
            self.sweep_at = 2 * self.by_tenant.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(rate: f64, burst: f64) -> Limits {
        Limits { ingestion_rate_mb: rate, ingestion_burst_size_mb: burst, ..Limits::default() }
    }

    const ONE: usize = 1 << 20;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let limiter = RateLimiter::default();
        let tenant = TenantId::parse("a").expect("valid");
        let other = TenantId::parse("b").expect("valid");
        let check = |who: &TenantId, seconds: u64, mib: usize, want: Result<f64, RateExceeded>| {
            assert_eq!(limiter.take(who, mib * ONE, &limits(1.0, 4.0), Duration::from_secs(seconds)), want);
        };
        check(&tenant, 0, 5, Err(RateExceeded));
        check(&tenant, 0, 4, Ok(1.0));
        check(&tenant, 1, 2, Err(RateExceeded));
        check(&tenant, 1, 1, Ok(1.0));
        check(&other, 1, 2, Ok(0.5));
        check(&tenant, 100, 4, Ok(1.0));
    }

    #[test]
    fn tenants_that_are_idle_cost_nothing() {
        let limiter = RateLimiter::default();
        for i in 0..10 * SWEEP_MIN {
            let tenant = TenantId::parse(&format!("t{i}")).expect("valid");
            let _ = limiter.take(&tenant, ONE, &limits(1.0, 4.0), Duration::from_secs(i as u64));
        }
        assert!(limiter.buckets.lock().by_tenant.len() <= SWEEP_MIN);
    }
}
