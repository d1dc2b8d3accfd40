//! Whose query runs next.

use crate::error::QueryError;
use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use std::collections::HashMap;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Bounds how many queries run at a time, and how many of a tenant wait.
pub(crate) struct Queue {
    turns: Semaphore,
    waiting: Mutex<HashMap<String, usize>>,
    waiting_max: usize,
    len: Gauge,
}

impl Queue {
    /// Lets `running_max` queries run at a time and `waiting_max` of each tenant wait.
    pub(crate) fn new(running_max: usize, waiting_max: usize, len: Gauge) -> Self {
        Queue { turns: Semaphore::new(running_max.max(1)), waiting: Mutex::default(), waiting_max, len }
    }

    /// Waits until one of the running queries is through; refuses when too many of the tenant's wait already.
    pub(crate) async fn turn(&self, tenant: &str) -> Result<SemaphorePermit<'_>, QueryError> {
        if let Ok(permit) = self.turns.try_acquire() {
            return Ok(permit);
        }
        let _waiting = Waiting::enter(self, tenant)?;
        self.turns.acquire().await.map_err(|_| QueryError::Stopped)
    }
}

/// One of a tenant's queries that wait for their turn.
struct Waiting<'a> {
    queue: &'a Queue,
    tenant: String,
}

impl<'a> Waiting<'a> {
    fn enter(queue: &'a Queue, tenant: &str) -> Result<Self, QueryError> {
        let mut waiting = queue.waiting.lock();
        let of_tenant = waiting.entry(tenant.to_owned()).or_default();
        if *of_tenant >= queue.waiting_max {
            return Err(QueryError::QueueFull);
        }
        *of_tenant += 1;
        queue.len.inc();
        Ok(Waiting { queue, tenant: tenant.to_owned() })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.queue.waiting.lock();
        self.queue.len.dec();
        if let Some(of_tenant) = waiting.get_mut(&self.tenant) {
            *of_tenant -= 1;
            if *of_tenant == 0 {
                waiting.remove(&self.tenant);
            }
        }
    }
}
