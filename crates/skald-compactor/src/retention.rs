//! Letting go of days that a tenant's retention, or the size of the store, no longer keeps.

use crate::Compactor;
use skald_config::ByteSize;
use skald_model::{Day, TenantId, Timestamp};
use skald_runtime::chain;
use std::time::Duration;
use tracing::{info, warn};

/// A day of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
struct TenantDay {
    day: Day,
    tenant: TenantId,
    bytes: u64,
}

impl Compactor {
    /// Removes what is due at this moment.
    pub async fn apply_retention(&self) {
        let now = self.seams.clock.now();
        let days = self.days();
        let period = |tenant: &TenantId| self.limits.limits(tenant).retention_period;
        let (expired, kept): (Vec<_>, Vec<_>) = days.into_iter().partition(|day| is_expired(day.day, period(&day.tenant), now));
        for day in expired {
            self.remove(&day, "retention_period").await;
        }
        if let Some(size) = self.config.compactor.retention_size {
            self.remove_excess(kept, size, now).await;
        }
        if let Err(error) = self.catalog.sweep().await {
            self.metrics.retention_failures.inc();
            warn!(error = chain(&error), "cannot delete what is no longer live, trying again later");
        }
    }

    async fn remove_excess(&self, kept: Vec<TenantDay>, size: ByteSize, now: Timestamp) {
        let excess = kept.iter().map(|day| day.bytes).sum::<u64>().saturating_sub(size.0).max(self.missing_space());
        for day in oldest_until(kept, excess, Day::of(now)) {
            self.remove(&day, "retention_size").await;
        }
    }

    fn days(&self) -> Vec<TenantDay> {
        let of_tenant = |tenant: TenantId| {
            let days = self.catalog.days(&tenant).into_iter();
            days.map(move |(day, bytes)| TenantDay { day, tenant: tenant.clone(), bytes }).collect::<Vec<_>>()
        };
        self.catalog.tenants().into_iter().flat_map(of_tenant).collect()
    }

    /// Bytes that have to go to bring free space up to its floor, on the disk of the data objects: elsewhere their removal frees nothing.
    fn missing_space(&self) -> u64 {
        if self.config.is_remote() {
            return 0;
        }
        let space = self.seams.disk.space(&self.config.objects_dir());
        space.map_or(0, |space| self.config.storage.free_space_floor.0.saturating_sub(space.free))
    }

    async fn remove(&self, day: &TenantDay, reason: &'static str) {
        match self.catalog.remove_day(&day.tenant, day.day, &self.publisher).await {
            Ok(bytes) => {
                self.metrics.removed(reason, bytes);
                info!(tenant = %day.tenant, day = %day.day, bytes, reason, "removed a day of data objects");
            }
            Err(error) => {
                self.metrics.retention_failures.inc();
                warn!(tenant = %day.tenant, day = %day.day, error = chain(&error), "cannot remove a day of data objects, trying again later");
            }
        }
    }
}

/// Whether the last instant of `day` is older than `period`; a period of zero keeps for ever.
fn is_expired(day: Day, period: Duration, now: Timestamp) -> bool {
    !period.is_zero() && day.range().end <= now.minus(period)
}

/// The oldest days that together free `excess` bytes, `today` and later left out.
fn oldest_until(mut days: Vec<TenantDay>, excess: u64, today: Day) -> Vec<TenantDay> {
    days.retain(|day| day.day < today);
    days.sort_by(|a, b| (a.day, &a.tenant).cmp(&(b.day, &b.tenant)));
    let mut freed = 0;
    days.into_iter()
        .take_while(|day| {
            let wanted = freed < excess;
            freed += day.bytes;
            wanted
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn a_day_goes_when_all_of_it_is_too_old() {
        let end_of_day_3 = Day(3).range().end;
        assert!(!is_expired(Day(3), DAY, Timestamp(end_of_day_3.plus(DAY).0 - 1)));
        assert!(is_expired(Day(3), DAY, end_of_day_3.plus(DAY)));
        assert!(!is_expired(Day(3), Duration::ZERO, Timestamp::MAX));
    }

    #[test]
    fn the_oldest_days_go_until_enough_is_free_and_today_stays() {
        let day = |day, tenant: &str| TenantDay { day: Day(day), tenant: TenantId::parse(tenant).expect("valid"), bytes: 10 };
        let days = || vec![day(2, "b"), day(1, "b"), day(1, "a"), day(3, "a")];
        let gone =
            |excess| oldest_until(days(), excess, Day(3)).into_iter().map(|day| (day.day.0, day.tenant.to_string())).collect::<Vec<_>>();
        assert_eq!(gone(0), []);
        assert_eq!(gone(11), [(1, "a".to_owned()), (1, "b".to_owned())]);
        assert_eq!(gone(1000).len(), 3);
    }
}
