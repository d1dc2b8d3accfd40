use super::shared::Shared;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;
use std::sync::Weak;
use std::sync::atomic::Ordering;

/// Metrics of the spool, looked up when they are asked for.
pub(crate) struct SpoolCollector(pub(crate) Weak<Shared>);

impl Collector for SpoolCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(shared) = self.0.upgrade() else { return Ok(()) };
        let state = shared.state.lock();
        let (published, floor, lost) = (state.published(), state.floor(), state.lost());
        let (window, oldest) = (state.window_bytes(), state.oldest_cut_at());
        let watermarks = state.watermarks();
        drop(state);
        let waited = oldest.map_or(0.0, |cut_at| shared.clock.now().0.saturating_sub(cut_at).max(0) as f64 / 1e9);
        let open = shared.batcher.oldest_wait().unwrap_or_default().as_secs_f64();

        let mut gauge = |name, help, value: f64| {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        gauge("promtail_spool_bytes", "Bytes of the spool on disk", shared.wal.bytes() as f64)?;
        gauge("promtail_spool_max_bytes", "Bytes that the spool may have", shared.size_max as f64)?;
        gauge("promtail_spool_memory_bytes", "Bytes of groups of the spool in memory", window as f64)?;
        gauge("promtail_spool_unacked_groups", "Groups that a client has not had acknowledged", published.saturating_sub(floor) as f64)?;
        gauge("promtail_oldest_unacked_seconds", "Age of the oldest entries that a client has not had acknowledged", waited.max(open))?;

        let mut counter = |name, help, value: u64| {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)
        };
        counter(
            "promtail_spool_write_failures",
            "Groups that could not be written at an attempt",
            shared.write_failures.load(Ordering::Relaxed),
        )?;
        counter(
            "promtail_positions_write_failures",
            "Attempts to write positions that failed",
            shared.save_failures.load(Ordering::Relaxed),
        )?;
        counter("promtail_spool_lost_groups", "Groups that were damaged on disk", lost)?;

        let lag = ConstGauge::new(0u64);
        let mut lags = encoder.encode_descriptor(
            "promtail_client_unacked_groups",
            "Groups that the client has not had acknowledged",
            None,
            lag.metric_type(),
        )?;
        for (client, watermark) in watermarks {
            let lag = ConstGauge::new(published.saturating_sub(watermark));
            lag.encode(lags.encode_family(&[("client", client)])?)?;
        }
        Ok(())
    }
}

impl fmt::Debug for SpoolCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpoolCollector")
    }
}
