use crate::error::PushFailure;
use prometheus_client::metrics::gauge::Gauge;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of pushes being worked on, and their limit.
pub struct InFlight {
    used: AtomicU64,
    max: u64,
    gauge: Gauge,
}

impl InFlight {
    /// At most `max` bytes at a time, 0 for no limit; `gauge` shows how many.
    pub fn new(max: u64, gauge: Gauge) -> Self {
        InFlight { used: AtomicU64::new(0), max: if max == 0 { u64::MAX } else { max }, gauge }
    }
}

/// Bytes that one push holds; given back when dropped.
pub struct Reservation {
    owner: Arc<InFlight>,
    bytes: u64,
}

impl Reservation {
    /// Holds nothing yet.
    pub fn new(owner: &Arc<InFlight>) -> Self {
        Reservation { owner: owner.clone(), bytes: 0 }
    }

    /// Takes `bytes` more.
    ///
    /// # Errors
    /// [`PushFailure::Busy`] when that would pass the limit; nothing more is held then.
    pub fn grow(&mut self, bytes: u64) -> Result<(), PushFailure> {
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.owner.max);
        self.owner.used.try_update(Ordering::Relaxed, Ordering::Relaxed, fits).map_err(|_| PushFailure::Busy)?;
        self.bytes += bytes;
        self.owner.gauge.inc_by(bytes as i64);
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.owner.used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.owner.gauge.dec_by(self.bytes as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_free_again() {
        let owner = Arc::new(InFlight::new(10, Gauge::default()));
        let mut one = Reservation::new(&owner);
        assert!(one.grow(6).is_ok());
        let mut two = Reservation::new(&owner);
        assert!(matches!(two.grow(5), Err(PushFailure::Busy)));
        assert!(two.grow(4).is_ok());
        assert_eq!(owner.gauge.get(), 10);
        drop(one);
        assert!(two.grow(6).is_ok());
        drop(two);
        assert_eq!(owner.gauge.get(), 0);
    }
}
