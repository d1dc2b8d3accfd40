//! The tails that run: how many there may be, and their end when the process stops.

use crate::error::QueryError;
use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use rustc_hash::FxHashMap;
use skald_model::TenantId;
use skald_model::seam::Clock;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long the process waits for tails to say goodbye.
const GOODBYE: Duration = Duration::from_secs(3);

/// The tails of all tenants.
pub(crate) struct Tails {
    shared: Arc<Shared>,
}

struct Shared {
    /// Most at a time.
    max: usize,
    counts: Mutex<Counts>,
    active: Gauge,
    stopping: watch::Sender<bool>,
    /// How many there are.
    total: watch::Sender<usize>,
}

#[derive(Default)]
struct Counts {
    total: usize,
    by_tenant: FxHashMap<TenantId, usize>,
}

/// A tail that counts until this is dropped.
pub(crate) struct Running {
    shared: Arc<Shared>,
    tenant: TenantId,
}

impl Tails {
    /// None yet, and never more than `max`; `active` shows how many.
    pub(crate) fn new(max: usize, active: Gauge) -> Self {
        let (stopping, total) = (watch::channel(false).0, watch::channel(0).0);
        Tails { shared: Arc::new(Shared { max, counts: Mutex::default(), active, stopping, total }) }
    }

    /// Counts one more of a tenant that may have `limit`.
    ///
    /// # Errors
    /// [`QueryError::Limit`]
    pub(crate) fn begin(&self, tenant: &TenantId, limit: usize) -> Result<Running, QueryError> {
        let mut counts = self.shared.counts.lock();
        let of_tenant = counts.by_tenant.get(tenant).copied().unwrap_or_default() + 1;
        if of_tenant > limit {
            let text = format!("max concurrent tail requests limit exceeded, count > limit ({of_tenant} > {limit})");
            return Err(QueryError::Limit(text));
        }
        if counts.total >= self.shared.max {
            return Err(QueryError::Limit(format!("too many live tails on this server ({})", self.shared.max)));
        }
        counts.by_tenant.insert(tenant.clone(), of_tenant);
        counts.total += 1;
        self.shared.note(&counts);
        Ok(Running { shared: self.shared.clone(), tenant: tenant.clone() })
    }

    /// Completes when tails are to end.
    pub(crate) fn stopping(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stopping = self.shared.stopping.subscribe();
        async move {
            // An error is the end of the querier.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        }
    }

    /// Ends all tails and waits until they have said so to their clients, but not for long. Later ones end at once.
    pub(crate) async fn stop(&self, clock: &dyn Clock) {
        self.shared.stopping.send_replace(true);
        let mut total = self.shared.total.subscribe();
        tokio::select! {
            _ = total.wait_for(|total| *total == 0) => {}
            () = clock.sleep(GOODBYE) => {}
        }
    }
}

impl Shared {
    fn note(&self, counts: &Counts) {
        self.active.set(counts.total as i64);
        self.total.send_replace(counts.total);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut counts = self.shared.counts.lock();
        counts.total -= 1;
        if let Some(of_tenant) = counts.by_tenant.get_mut(&self.tenant) {
            *of_tenant -= 1;
            if *of_tenant == 0 {
                counts.by_tenant.remove(&self.tenant);
            }
        }
        self.shared.note(&counts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use skald_model::Timestamp;
    use skald_testkit::SimClock;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).expect("valid")
    }

    #[test]
    fn a_tenant_has_so_many_tails_and_a_server_too() {
        let tails = Tails::new(3, Gauge::default());
        let refused = |name: &str, limit| tails.begin(&tenant(name), limit).err().map(|error| error.to_string());
        let mut running: Vec<Running> = (0..2).filter_map(|_| tails.begin(&tenant("a"), 2).ok()).collect();
        let text = "max concurrent tail requests limit exceeded, count > limit (3 > 2)";
        assert_eq!(refused("a", 2).as_deref(), Some(text));
        running.extend(tails.begin(&tenant("b"), 2));
        assert_eq!(refused("c", 2).as_deref(), Some("too many live tails on this server (3)"));
        running.remove(0);
        assert_eq!((refused("a", 2), tails.shared.active.get()), (None, 2));
        drop(running);
        assert!(tails.shared.active.get() == 0 && tails.shared.counts.lock().by_tenant.is_empty());
    }

    #[test]
    fn stopping_waits_for_those_that_run_but_not_for_ever() {
        let (tails, clock) = (Tails::new(3, Gauge::default()), SimClock::new(Timestamp(0)));
        let running = [tails.begin(&tenant("a"), 2), tails.begin(&tenant("a"), 2)];
        let told = tails.stopping();
        let mut stop = Box::pin(tails.stop(&*clock));
        assert!((&mut stop).now_or_never().is_none());
        assert!(told.now_or_never().is_some());
        clock.advance(GOODBYE);
        assert!(stop.now_or_never().is_some());
        drop(running);
        assert!(tails.stop(&*clock).now_or_never().is_some());
    }
}
